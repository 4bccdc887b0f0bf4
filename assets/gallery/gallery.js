/** The strip of photos: one button each, arrow keys move between them, a click or Enter chooses. */

function button(photo, choose) {
  const element = document.createElement("button");
  element.type = "button";
  element.title = photo.name;
  element.dataset.key = photo.key;
  element.dataset.testid = "photo";
  const image = document.createElement("img");
  image.src = photo.thumb;
  image.alt = photo.name;
  image.draggable = false;
  element.append(image);
  element.addEventListener("click", () => choose(photo.key));
  return element;
}

function mark(strip, selected) {
  for (const element of strip.children) {
    const chosen = element.dataset.key === selected;
    element.setAttribute("aria-pressed", String(chosen));
    // One stop for the Tab key: the chosen photo. The arrow keys do the rest.
    element.tabIndex = chosen ? 0 : -1;
  }
  if (!strip.querySelector('[tabindex="0"]') && strip.firstElementChild) strip.firstElementChild.tabIndex = 0;
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

function moveFocus(event, strip) {
  const buttons = [...strip.children];
  const here = buttons.indexOf(event.target.closest("button"));
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns(strip), ArrowUp: -columns(strip) };
  const wished = { Home: 0, End: buttons.length - 1 }[event.key] ?? here + steps[event.key];
  if (here < 0 || Number.isNaN(wished)) return;
  event.preventDefault();
  buttons[Math.min(Math.max(wished, 0), buttons.length - 1)].focus();
}

export default function gallery({ data, parentElement, setTriggerValue }) {
  const strip = parentElement.querySelector(".strip");
  const content = JSON.stringify(data.photos.map((photo) => photo.key + photo.name));
  if (strip.dataset.content !== content) {
    strip.dataset.content = content;
    const choose = (key) => {
      mark(strip, key); // the ring moves at once; the server's answer confirms it
      setTriggerValue("chosen", key);
    };
    strip.choose = choose;
    strip.replaceChildren(...data.photos.map((photo) => button(photo, (key) => strip.choose(key))));
    strip.onkeydown = (event) => moveFocus(event, strip);
  }
  mark(strip, data.selected);
  if (strip.dataset.selected !== data.selected) {
    strip.dataset.selected = data.selected;
    reveal(strip, strip.querySelector('[aria-pressed="true"]'));
  }
}
