/** The picker of one of a network's classes: a box to type in, and the classes that match, the likely ones first. */

import { element } from "../../controls/dom.js";
import { percent } from "../../core/format.js";
import { whenChanged } from "../../core/redraw.js";

/** @typedef {[string, number | null]} NamedClass its name and its probability */

const MOST = 60;

/** @type {Record<string, number>} */
const DIRECTIONS = { ArrowDown: 1, ArrowUp: -1 };

export class ClassPicker {
  /**
   * @param {string} letter
   * @param {(index: number) => void} onchoose
   */
  constructor(letter, onchoose) {
    this.onchoose = onchoose;
    /** @type {NamedClass[]} */
    this.classes = [];
    /** The indices of all classes, the most likely one first. @type {number[]} */
    this.order = [];
    /** Those in the open list. @type {number[]} */
    this.shown = [];
    this.chosen = 0;
    this.active = 0;
    const id = `classes-${letter}-${Math.random().toString(36).slice(2)}`;
    this.list = element("ul", { class: "class-options", id, role: "listbox", "aria-label": `Class ${letter}`, hidden: true });
    this.input = element("input", {
      type: "text",
      class: "class-input",
      role: "combobox",
      "aria-label": `Class ${letter}`,
      "aria-autocomplete": "list",
      "aria-controls": id,
      "aria-expanded": "false",
      autocomplete: "off",
      spellcheck: "false",
      "data-testid": `class-${letter}`,
      onfocus: () => this.#open(),
      onclick: () => this.#open(),
      oninput: () => this.#match(this.input.value),
      onblur: () => this.#close(),
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.#press(event),
    });
    this.sort = whenChanged((/** @type {{classes: NamedClass[]}} */ { classes }) => {
      this.order = classes.map((_, i) => i).sort((a, b) => (classes[b][1] ?? 0) - (classes[a][1] ?? 0));
    });
    this.element = element(
      "div",
      { class: "class-picker" },
      element("span", { class: "letter", text: letter, "aria-hidden": "true" }),
      element("div", { class: "class-box" }, this.input, this.list),
    );
  }

  /**
   * Shows the chosen class; what is being typed stays.
   *
   * @param {NamedClass[]} classes
   * @param {number} index
   */
  set(classes, index) {
    this.classes = classes;
    this.sort({ classes });
    this.chosen = index;
    if (this.list.hidden) this.#rest();
  }

  /**
   * Shows the name of a class where no other one can be chosen.
   *
   * @param {string} name
   */
  fix(name) {
    this.element.classList.add("fixed");
    this.input.readOnly = true;
    this.input.value = this.input.title = name;
  }

  #rest() {
    const name = this.classes[this.chosen]?.[0] ?? "";
    if (this.input.value !== name) this.input.value = name;
    this.input.title = name;
  }

  #open() {
    if (!this.list.hidden || this.input.readOnly) return;
    this.input.select();
    this.#match("");
  }

  #close() {
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
    this.#rest();
  }

  /** @param {string} typed */
  #match(typed) {
    const words = typed.trim().toLowerCase();
    const found = this.order.filter((index) => this.classes[index][0].toLowerCase().includes(words));
    const starting = (/** @type {number} */ index) => Number(!this.classes[index][0].toLowerCase().startsWith(words));
    if (words) found.sort((a, b) => starting(a) - starting(b));
    this.shown = found.slice(0, MOST);
    this.list.replaceChildren(...this.shown.map((index) => this.#option(index)));
    if (this.shown.length === 0) this.list.append(element("li", { class: "class-none", text: "No class of this name." }));
    this.list.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    this.#activate(0);
  }

  /** @param {number} index */
  #option(index) {
    const [name, probability] = this.classes[index];
    return element(
      "li",
      {
        role: "option",
        id: `${this.list.id}-${index}`,
        "aria-selected": String(index === this.chosen),
        onmousedown: (/** @type {MouseEvent} */ event) => event.preventDefault(), // the box keeps the focus
        onclick: () => this.#choose(index),
      },
      element("span", { text: name }),
      element("small", { text: probability === null ? "" : percent(probability) }),
    );
  }

  /** @param {number} position */
  #activate(position) {
    this.active = Math.min(Math.max(position, 0), this.shown.length - 1);
    [...this.list.children].forEach((option, i) => option.classList.toggle("active", i === this.active));
    const option = /** @type {HTMLElement | undefined} */ (this.list.children[this.active]);
    if (!option) return;
    this.input.setAttribute("aria-activedescendant", option.id);
    // Not scrollIntoView(), which would move the page too.
    const { offsetTop, offsetHeight } = option;
    if (offsetTop < this.list.scrollTop) this.list.scrollTop = offsetTop;
    else if (offsetTop + offsetHeight > this.list.scrollTop + this.list.clientHeight) {
      this.list.scrollTop = offsetTop + offsetHeight - this.list.clientHeight;
    }
  }

  /** @param {number} index */
  #choose(index) {
    const changed = index !== this.chosen;
    this.chosen = index;
    this.#close();
    this.input.blur();
    if (changed) this.onchoose(index);
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    const direction = DIRECTIONS[event.key];
    if (this.input.readOnly) return;
    if (direction !== undefined) {
      event.preventDefault();
      if (this.list.hidden) this.#open();
      else this.#activate(this.active + direction);
    } else if (event.key === "Enter" && !this.list.hidden && this.shown.length > 0) {
      event.preventDefault();
      this.#choose(this.shown[this.active]);
    } else if (event.key === "Escape") this.#close();
  }
}
