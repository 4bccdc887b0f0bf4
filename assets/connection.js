/**
 * Says that the server does not answer, in place of Streamlit's own dialog, and that it does again.
 *
 * Part of the page shell (pages/shared/server.py), as it must work without the server. Streamlit writes the state of its
 * connection into an attribute of the app's element.
 */

const CONNECTED = "CONNECTED";
const GIVEN_UP = "DISCONNECTED_FOREVER"; // Streamlit does not try again: only a reload helps
const ATTRIBUTE = "data-test-connection-state";
const GRACE = 1200; // ms: a short break is over before anyone has read of it
const FIRST_GRACE = 8000; // ms: the first connection may take longer
const RETRY = 3000; // ms
const RELOADED = "normgrad reloaded";
const RELOAD_PAUSE = 20000; // ms between two reloads
const LOST = "The server is not answering.";
const FULL = "The server is busy: it can serve no more people at once.";
const MEANWHILE = "What you see here stays usable. This page reconnects by itself.";
const BUSY = 503;

/** @type {Element | null} */
let app = null;
let connected = false;
let wasConnected = false;
/** @type {number | undefined} */
let timer;
let recovering = false;

const banner = document.createElement("div");
banner.className = "ng-offline";
banner.dataset.testid = "offline";
banner.setAttribute("role", "status");

function show() {
  // In the app's element, whose style knows the theme; a live region speaks when its text comes after itself.
  app?.append(banner);
  document.documentElement.classList.add("ng-is-offline");
  const lost = document.createElement("b");
  lost.textContent = LOST;
  const rest = document.createTextNode(` ${MEANWHILE}`);
  banner.replaceChildren(document.createElement("i"), lost, rest);
  fetch(location.href, { method: "HEAD", cache: "no-store" })
    .then((answer) => {
      if (answer.status !== BUSY) return;
      lost.textContent = FULL;
      if (!wasConnected) rest.textContent = " This page opens by itself as soon as there is room.";
    })
    .catch(() => {}); // no answer: that is what it says
}

function hide() {
  document.documentElement.classList.remove("ng-is-offline");
  banner.replaceChildren();
  banner.remove();
}

/** Streamlit's dialog would hold the keyboard's focus; closed once, it stays away until the next connection. */
function closeDialog() {
  const close = document.querySelector('[data-testid="stDialog"] button[aria-label="Close"]');
  if (close instanceof HTMLElement) close.click();
}

/** Loads the page again as soon as the server answers; the address and the tab's storage bring back what was shown. */
async function recover() {
  recovering = true;
  const answer = await fetch(new URL("_stcore/health", document.baseURI)).catch(() => null);
  const last = Number(sessionStorage.getItem(RELOADED) ?? 0);
  if (answer?.ok && Date.now() - last > RELOAD_PAUSE) {
    sessionStorage.setItem(RELOADED, String(Date.now()));
    location.reload();
  } else window.setTimeout(recover, RETRY);
}

function look() {
  if (!app?.isConnected) app = document.querySelector('[data-testid="stApp"]');
  if (!app) return;
  const before = connected;
  const state = app.getAttribute(ATTRIBUTE);
  if (state === GIVEN_UP && !recovering) recover();
  connected = state === CONNECTED;
  if (!connected) {
    timer ??= window.setTimeout(show, wasConnected ? GRACE : FIRST_GRACE);
    closeDialog();
  } else if (!before) {
    const shown = banner.isConnected;
    clearTimeout(timer);
    timer = undefined;
    wasConnected = true;
    hide();
    if (shown) window.dispatchEvent(new CustomEvent("normgrad:reconnected"));
  }
}

new MutationObserver(look).observe(document.documentElement, {
  subtree: true,
  childList: true,
  attributeFilter: [ATTRIBUTE],
});
