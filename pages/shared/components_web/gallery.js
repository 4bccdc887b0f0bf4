/**
 * The photos to choose from: samples, and the tab's own uploads. Arrow keys move between them, a click or Enter chooses,
 * Delete takes an upload out.
 *
 * The tab remembers its uploads in the session storage: that outlives a reload, but neither the tab nor reaches another
 * one, so that the next person at a shared computer does not find them. A server session that does not know them is told.
 */

const STORAGE = "normgrad-photos";
const RECONNECTED = "normgrad:reconnected"; // sent by assets/connection.js
const CROSS =
  '<svg viewBox="0 0 10 10" width="10" height="10" aria-hidden="true">' +
  '<path d="M2 2l6 6M8 2l-6 6" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round"/></svg>';

/** What the tab remembers: the session that knew its uploads, and these; null if there is nothing usable. */
function recall() {
  try {
    const found = JSON.parse(sessionStorage.getItem(STORAGE));
    const usable = (photo) => [photo?.key, photo?.name, photo?.thumb].every((part) => typeof part === "string");
    return Array.isArray(found?.photos) && found.photos.length && found.photos.every(usable) ? found : null;
  } catch {
    return null; // no storage here, or not ours
  }
}

function remember(session, photos) {
  try {
    if (photos.length) sessionStorage.setItem(STORAGE, JSON.stringify({ session, photos }));
    else sessionStorage.removeItem(STORAGE);
  } catch {
    // Without a storage, or with a full one, uploads do not outlive a reload.
  }
}

function make(tag, className, text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

function button(attributes, onclick) {
  const element = document.createElement("button");
  element.type = "button";
  return Object.assign(element, attributes, { onclick });
}

function item(photo, strip, own) {
  const element = make("div", "item");
  element.dataset.key = photo.key;
  const choose = button({ className: "photo", title: photo.name, disabled: photo.pending === true }, () =>
    strip.actions.choose(photo.key),
  );
  choose.dataset.testid = "photo";
  choose.dataset.key = photo.key;
  const image = document.createElement("img");
  image.src = photo.thumb;
  image.alt = "";
  image.draggable = false;
  choose.append(image, make("span", "name", photo.name));
  element.append(choose);
  if (own && !photo.pending) {
    const remove = button({ className: "remove", title: `Remove ${photo.name}`, innerHTML: CROSS }, () => strip.actions.remove(photo.key));
    remove.setAttribute("aria-label", remove.title);
    remove.dataset.testid = "remove-photo";
    element.append(remove);
  }
  return element;
}

function group(title, photos, strip, own = false) {
  const element = make("section", "group");
  const grid = make("div", "grid");
  grid.append(...photos.map((photo) => item(photo, strip, own)));
  element.append(make("h2", "title", title), grid);
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", title);
  return element;
}

function groups(samples, uploads, limit, strip) {
  const found = [group("Samples", samples, strip)];
  if (uploads.length) {
    const own = group(`Your photos (${uploads.length} of ${limit})`, uploads, strip, true);
    if (uploads.length >= limit) own.append(make("p", "limit", `The next photo replaces “${uploads[0].name}”.`));
    found.push(own);
  }
  return found;
}

function itemsOf(strip) {
  return [...strip.querySelectorAll(".item")];
}

/** One stop for the Tab key, and behind it the button that removes that photo; the arrow keys do the rest. */
function setStop(strip, stop) {
  for (const element of itemsOf(strip)) {
    for (const part of element.children) part.tabIndex = element === stop ? 0 : -1;
  }
}

function mark(strip, selected) {
  const items = itemsOf(strip);
  for (const element of items) element.firstChild.setAttribute("aria-pressed", String(element.dataset.key === selected));
  setStop(strip, items.find((element) => element.dataset.key === selected) ?? items[0]);
}

/** Scroll the strip, and nothing else on the page, until the element is in sight. */
function reveal(strip, element) {
  if (!element) return;
  const [part, whole] = [element.getBoundingClientRect(), strip.getBoundingClientRect()];
  if (part.top < whole.top || part.bottom > whole.bottom) strip.scrollTop += part.top - whole.top;
}

/** The nearest photo in the next row (or the one before), whatever group it is in. */
function beside(items, here, down) {
  const from = items[here].getBoundingClientRect();
  const rows = items
    .map((element, index) => ({ index, box: element.getBoundingClientRect() }))
    .filter(({ box }) => (down ? box.top > from.top + 1 : box.top < from.top - 1));
  const distance = ({ box }) => 1000 * Math.abs(box.top - from.top) + Math.abs(box.left - from.left);
  return rows.toSorted((first, second) => distance(first) - distance(second))[0]?.index ?? here;
}

function onKey(event, strip) {
  const items = itemsOf(strip);
  const here = items.indexOf(event.target.closest(".item"));
  if (here < 0) return;
  if (event.key === "Delete" && items[here].querySelector(".remove")) {
    event.preventDefault();
    strip.actions.remove(items[here].dataset.key);
    return;
  }
  const wished = {
    Home: () => 0,
    End: () => items.length - 1,
    ArrowRight: () => here + 1,
    ArrowLeft: () => here - 1,
    ArrowDown: () => beside(items, here, true),
    ArrowUp: () => beside(items, here, false),
  }[event.key]?.();
  if (wished === undefined) return;
  event.preventDefault();
  const next = items[Math.min(Math.max(wished, 0), items.length - 1)];
  setStop(strip, next);
  next.firstChild.focus();
}

/** The uploads to show: while the session has not answered yet, also those that only the tab knows. */
function follow(strip, data, tell) {
  const memory = recall();
  if (memory === null || memory.session === data.session || data.restored) {
    remember(data.session, data.uploads);
    return data.uploads;
  }
  if (strip.told !== data.session) {
    strip.told = data.session;
    tell(memory.photos);
  }
  const known = new Map(data.uploads.map((photo) => [photo.key, photo]));
  const earlier = memory.photos.map((photo) => known.get(photo.key) ?? { ...photo, pending: true });
  const keys = new Set(earlier.map((photo) => photo.key));
  return [...earlier, ...data.uploads.filter((photo) => !keys.has(photo.key))];
}

export default function gallery({ data, parentElement, setTriggerValue }) {
  const strip = parentElement.querySelector(".strip");
  const tell = (photos) => setTriggerValue("restored", photos.map(({ key, name }) => ({ key, name })));
  strip.actions = {
    choose: (key) => {
      mark(strip, key); // the ring moves at once; the server's answer confirms it
      setTriggerValue("chosen", key);
    },
    remove: (key) => setTriggerValue("removed", key),
  };
  const uploads = follow(strip, data, tell);
  const content = JSON.stringify([data.samples, uploads].map((photos) => photos.map(({ key, name, pending }) => [key, name, pending])));
  const fresh = strip.dataset.content !== content;
  // The button that has the focus may go with its photo: the keyboard then goes on at the chosen one.
  const focused = fresh && strip.contains(strip.getRootNode().activeElement);
  if (fresh) {
    strip.dataset.content = content;
    const scrolled = strip.scrollTop;
    strip.replaceChildren(...groups(data.samples, uploads, data.limit, strip));
    strip.scrollTop = scrolled;
    strip.watch?.disconnect();
    strip.watch = new ResizeObserver(([{ target }]) => strip.style.setProperty("--samples-height", `${target.offsetHeight}px`));
    strip.watch.observe(strip.firstChild);
    strip.style.setProperty("--samples-height", `${strip.firstChild.offsetHeight}px`);
    document.documentElement.dataset.photos = "shown"; // the sidebar appears now, all at once
    strip.onkeydown = (event) => onKey(event, strip);
  }
  mark(strip, data.selected);
  const chosen = strip.querySelector('[aria-pressed="true"]');
  if (focused) chosen?.focus({ preventScroll: true });
  if (fresh || strip.dataset.selected !== data.selected) {
    strip.dataset.selected = data.selected;
    reveal(strip, chosen?.parentElement);
  }
  // A server that was started anew has another session, which nobody would run before the next click.
  const reconnected = () => tell(recall()?.photos ?? []);
  window.removeEventListener(RECONNECTED, strip.reconnected);
  strip.reconnected = reconnected;
  window.addEventListener(RECONNECTED, reconnected);
  return () => window.removeEventListener(RECONNECTED, strip.reconnected);
}
