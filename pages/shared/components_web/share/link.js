/** The addresses of the view: as it is, for slides, and the line that embeds it in a page. */

import { element } from "../../../../saliency_core/viewer/web/controls/dom.js";
import { copyText } from "../clipboard.js";

const FOLLOW_MILLISECONDS = 300;
const CONFIRMATION_MILLISECONDS = 1800;

/**
 * The address of the view with other parameters; null takes one away.
 *
 * @param {Record<string, string | null>} changes
 */
function addressWith(changes) {
  const found = new URL(location.href);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) found.searchParams.delete(name);
    else found.searchParams.set(name, value);
  }
  return found.href;
}

/** @param {string} text */
function attribute(text) {
  return text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");
}

function frame() {
  const address = addressWith({ present: null, embed: "true" });
  return `<iframe src="${attribute(address)}" title="${attribute(document.title)}" width="1200" height="800" style="border: 0"></iframe>`;
}

const LINKS = [
  { name: "link", title: "This view", hint: "Opens the same photo, model, class and settings.", text: () => addressWith({ present: null, embed: null }) },
  { name: "slides", title: "For slides", hint: "Opens in lecture mode: large type, no sidebar.", text: () => addressWith({ present: "1", embed: null }) },
  { name: "embed", title: "For a web page", hint: "A line of HTML that shows the view inside another page.", text: frame },
];

export class LinkSection {
  constructor() {
    this.remarks = element("div", { class: "remarks" });
    this.rows = LINKS.map((link) => this.#row(link));
    this.element = element("div", { class: "section" }, element("h3", { text: "Link" }), ...this.rows.map(({ element }) => element), this.remarks);
  }

  /** @param {string[]} remarks what is to be said of these addresses */
  say(remarks) {
    this.remarks.replaceChildren(...remarks.map((text) => element("p", { class: "quiet", text })));
  }

  /** The session writes the address a moment after the view has changed. */
  show() {
    this.#follow();
    this.timer = setInterval(() => this.#follow(), FOLLOW_MILLISECONDS);
  }

  hide() {
    clearInterval(this.timer);
  }

  #follow() {
    for (const { field, text } of this.rows) if (field.value !== text()) field.value = text();
  }

  /** @param {typeof LINKS[number]} link */
  #row({ name, title, hint, text }) {
    const field = element("input", { type: "text", readonly: true, id: `share-${name}`, "aria-describedby": `share-${name}-hint`, "data-testid": `share-${name}`, onfocus: () => field.select() });
    const copy = element("button", { type: "button", class: "plain", text: "Copy", "aria-label": `Copy: ${title}`, "data-testid": `copy-${name}`, onclick: () => this.#copy(copy, text()) });
    return {
      field,
      text,
      element: element(
        "div",
        { class: "link-row" },
        element("label", { for: `share-${name}`, text: title }),
        element("p", { class: "quiet", id: `share-${name}-hint`, text: hint }),
        element("div", { class: "copyable" }, field, copy),
      ),
    };
  }

  /**
   * @param {HTMLButtonElement} button
   * @param {string} text
   */
  async #copy(button, text) {
    button.textContent = (await copyText(text, this.element)) ? "Copied" : "Not copied";
    setTimeout(() => {
      button.textContent = "Copy";
    }, CONFIRMATION_MILLISECONDS);
  }
}
