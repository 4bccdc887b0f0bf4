/**
 * Lecture mode: the page for a projector. Two buttons, the key L, Escape, and the arrow keys for the depth.
 *
 * The attribute data-present of the page's root element says whether it is on; the style sheets follow it. The page
 * begins with what its address says (pages/shared/server.py).
 */

const SCREEN = '<path d="M3 4.5h14v9H3zM7 16.5h6M10 13.5v3"/>';
const LINK = '<path d="M8.5 11.5l3-3M9 6.5l1.6-1.6a3.2 3.2 0 0 1 4.5 4.5L13.5 11M11 13.5l-1.6 1.6a3.2 3.2 0 0 1-4.5-4.5L6.5 9"/>';
const COPY = "Copy link";
const CONFIRMATION_MILLISECONDS = 1800;
const OWN_ARROWS = "input, select, textarea, [contenteditable=true], [role=tab], [role=slider], [role=application], [tabindex='0']:not([data-testid=stMain])";
const TYPING = "select, textarea, [contenteditable=true], input:not([type=range], [type=checkbox], [type=radio], [type=button])";

const root = document.documentElement;
const presenting = () => root.hasAttribute("data-present");

function button(parent, path, onclick) {
  const element = document.createElement("button");
  element.type = "button";
  element.innerHTML = `<svg viewBox="0 0 20 20" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round"
    stroke-linejoin="round" aria-hidden="true">${path}</svg><span class="words"></span>`;
  element.addEventListener("click", onclick);
  parent.append(element);
  return element;
}

/** Writes what a button is for: beside its icon where there is room, else as its name and hint. */
function label(element, words, hint = words) {
  element.lastChild.textContent = words;
  element.title = hint;
}

/** Copies a text; without the clipboard's interface (on a page without encryption) by the browser's old command. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = document.createElement("textarea");
    field.value = text;
    field.style.position = "fixed";
    field.style.opacity = "0";
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

/** Whether something lies open above the page that Escape closes first. */
function somethingOpen() {
  const roots = [document, ...[...document.querySelectorAll("*")].map((element) => element.shadowRoot).filter(Boolean)];
  return roots.some((each) => each.querySelector("dialog[open], :popover-open, [data-baseweb=popover]"));
}

class Lecture {
  constructor(parent, send) {
    this.send = send;
    /** What was reported and is not yet confirmed. */
    this.reported = null;
    this.parent = parent;
    this.link = button(parent, LINK, () => this.#copy());
    this.toggle = button(parent, SCREEN, () => this.set(!presenting()));
    this.toggle.dataset.testid = "lecture";
    this.link.dataset.testid = "copy-link";
    label(this.link, COPY, "Copy the address of this view");
    this.observer = new MutationObserver(() => this.draw());
    this.observer.observe(root, { attributeFilter: ["data-present"] });
    this.draw();
  }

  /** Takes what the server knows, unless it has not heard of the last change made here. */
  take(present) {
    if (this.reported === present) this.reported = null;
    if (this.reported === null) root.toggleAttribute("data-present", present);
  }

  set(present) {
    root.toggleAttribute("data-present", present);
    this.reported = present;
    this.send(present);
  }

  draw() {
    const on = presenting();
    this.toggle.setAttribute("aria-pressed", String(on));
    label(this.toggle, on ? "End lecture mode" : "Lecture mode", on ? "Key: L or Escape" : "Large type, no sidebar. Key: L");
    this.parent.classList.toggle("presenting", on);
  }

  async #copy() {
    const done = await copy(location.href);
    label(this.link, done ? "Copied" : "Not copied", done ? "The address is in the clipboard" : "The browser refused: copy the address bar");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => label(this.link, COPY, "Copy the address of this view"), CONFIRMATION_MILLISECONDS);
  }

  key(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.composedPath()[0];
    const within = (selector) => target instanceof Element && target.closest(selector) !== null;
    if (event.key.toLowerCase() === "l" && !event.repeat && !within(TYPING)) this.set(!presenting());
    else if (!presenting()) return;
    else if (event.key === "Escape" && !somethingOpen()) this.set(false);
    else if (["ArrowLeft", "ArrowRight"].includes(event.key) && !within(OWN_ARROWS)) {
      window.dispatchEvent(new CustomEvent("normgrad-depth", { detail: event.key === "ArrowRight" ? 1 : -1 }));
      event.preventDefault();
    }
  }

  destroy() {
    clearTimeout(this.timer);
    this.observer.disconnect();
    this.parent.replaceChildren();
  }
}

/** `data`: whether the session presents, and whether this copy listens to keys. */
export default function lecture({ data, parentElement, setTriggerValue }) {
  if (!parentElement.lecture) {
    const made = new Lecture(parentElement.querySelector(".lecture"), (present) => setTriggerValue("present", present ? "on" : "off"));
    const key = (event) => made.key(event);
    if (data.keys) document.addEventListener("keydown", key);
    parentElement.lecture = made;
    parentElement.unlisten = () => document.removeEventListener("keydown", key);
    made.parent.classList.add(data.keys ? "header" : "menu");
  }
  parentElement.lecture.take(data.present);
  return () => {
    parentElement.unlisten();
    parentElement.lecture.destroy();
    delete parentElement.lecture;
  };
}
