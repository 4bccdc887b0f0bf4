/** The strip of photos: arrow keys move between them, a click or Enter chooses, Delete takes a removable one out. */

const CROSS =
  '<svg viewBox="0 0 10 10" width="10" height="10" aria-hidden="true">' +
  '<path d="M2 2l6 6M8 2l-6 6" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round"/></svg>';

function button(attributes, onclick) {
  const element = document.createElement("button");
  element.type = "button";
  Object.assign(element, attributes, { onclick });
  return element;
}

function item(photo, strip) {
  const element = document.createElement("div");
  element.className = "item";
  element.dataset.key = photo.key;
  const choose = button({ className: "photo", title: photo.name }, () => strip.actions.choose(photo.key));
  choose.dataset.testid = "photo";
  choose.dataset.key = photo.key;
  const image = document.createElement("img");
  image.src = photo.thumb;
  image.alt = photo.name;
  image.draggable = false;
  choose.append(image);
  element.append(choose);
  if (photo.removable) {
    const remove = button({ className: "remove", title: `Remove ${photo.name}`, innerHTML: CROSS }, () => strip.actions.remove(photo.key));
    remove.setAttribute("aria-label", remove.title);
    remove.dataset.testid = "remove-photo";
    element.append(remove);
  }
  return element;
}

/** One stop for the Tab key, and behind it the button that removes that photo; the arrow keys do the rest. */
function setStop(strip, stop) {
  for (const element of strip.children) {
    for (const part of element.children) part.tabIndex = element === stop ? 0 : -1;
  }
}

function mark(strip, selected) {
  const items = [...strip.children];
  for (const element of items) element.firstChild.setAttribute("aria-pressed", String(element.dataset.key === selected));
  setStop(strip, items.find((element) => element.dataset.key === selected) ?? items[0]);
}

/** Scroll the strip, and nothing else on the page, until the element is in sight. */
function reveal(strip, element) {
  if (!element) return;
  const top = element.offsetTop;
  if (top < strip.scrollTop || top + element.offsetHeight > strip.scrollTop + strip.clientHeight) strip.scrollTop = top;
}

function columns(strip) {
  return getComputedStyle(strip).gridTemplateColumns.split(" ").length;
}

function onKey(event, strip) {
  const items = [...strip.children];
  const here = items.indexOf(event.target.closest(".item"));
  if (here < 0) return;
  if (event.key === "Delete" && items[here].querySelector(".remove")) {
    event.preventDefault();
    strip.actions.remove(items[here].dataset.key);
    return;
  }
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns(strip), ArrowUp: -columns(strip) };
  const wished = { Home: 0, End: items.length - 1 }[event.key] ?? here + steps[event.key];
  if (Number.isNaN(wished)) return;
  event.preventDefault();
  const next = items[Math.min(Math.max(wished, 0), items.length - 1)];
  setStop(strip, next);
  next.firstChild.focus();
}

export default function gallery({ data, parentElement, setTriggerValue }) {
  const strip = parentElement.querySelector(".strip");
  const content = JSON.stringify(data.photos.map((photo) => [photo.key, photo.name]));
  strip.actions = {
    choose: (key) => {
      mark(strip, key); // the ring moves at once; the server's answer confirms it
      setTriggerValue("chosen", key);
    },
    remove: (key) => setTriggerValue("removed", key),
  };
  const fresh = strip.dataset.content !== content;
  // The button that has the focus may go with its photo: the keyboard then goes on at the chosen one.
  const focused = fresh && strip.contains(strip.getRootNode().activeElement);
  if (fresh) {
    strip.dataset.content = content;
    strip.replaceChildren(...data.photos.map((photo) => item(photo, strip)));
    document.documentElement.dataset.photos = "shown"; // the sidebar appears now, all at once
    strip.onkeydown = (event) => onKey(event, strip);
  }
  mark(strip, data.selected);
  const chosen = strip.querySelector('[aria-pressed="true"]');
  if (focused) chosen?.focus({ preventScroll: true });
  if (strip.dataset.selected !== data.selected) {
    strip.dataset.selected = data.selected;
    reveal(strip, chosen?.parentElement);
  }
}
