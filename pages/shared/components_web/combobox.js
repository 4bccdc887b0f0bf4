/**
 * A text field and the list of what was found for it: the arrow keys move through the list, Enter chooses.
 *
 * @typedef {{ name: string, title: string, [more: string]: any }} Option
 * @typedef {{ groups: { title: string, options: Option[] }[], note?: string }} Found
 */

import { element } from "../../../saliency_core/viewer/web/controls/dom.js";

const PAUSE_MILLISECONDS = 70;
/** Of a list that opens at its field, in pixels. */
const HEIGHT = 260;
let count = 0;

export class Combobox {
  /**
   * @param {{
   *   label: string,
   *   placeholder: string,
   *   find: (query: string, signal: AbortSignal) => Promise<Found>,
   *   row: (option: Option) => (Node | string | null)[],
   *   onchoose: (option: Option) => void,
   *   onfilled?: () => void,
   *   onactive?: (option: Option | null, clicked: boolean) => void,
   *   popup?: boolean,
   *   clears?: boolean,
   *   failed: string,
   *   testid: string,
   * }} given `popup`: the list is there only while one searches; `clears`: Escape also empties the field; `failed` is said where nothing could be asked.
   */
  constructor(given) {
    this.given = given;
    const id = `combobox-${++count}`;
    this.input = element("input", {
      type: "text",
      class: "search",
      role: "combobox",
      "aria-label": given.label,
      "aria-autocomplete": "list",
      "aria-controls": id,
      "aria-expanded": String(!given.popup),
      autocomplete: "off",
      autocapitalize: "off",
      spellcheck: "false",
      placeholder: given.placeholder,
      "data-testid": given.testid,
      oninput: () => this.#later(),
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.#key(event),
    });
    this.list = element("div", { id, class: "options", role: "listbox", "aria-label": given.label, popover: given.popup ? "manual" : null });
    this.note = element("p", { class: "found", role: "status" });
    /** @type {Option[]} */
    this.options = [];
    this.active = -1;
    /** Which option is marked as the chosen one, by its name. */
    this.selected = "";
    this.asked = new AbortController();
    this.list.addEventListener("mousedown", (event) => event.preventDefault()); // the field keeps the focus
    this.list.addEventListener("click", (event) => this.#click(event));
    if (given.popup) {
      this.input.addEventListener("focus", () => this.search());
      this.input.addEventListener("blur", () => this.#show(false));
      // The list lies above everything else, at the field: it would not follow.
      window.addEventListener("scroll", (event) => event.target !== this.list && this.#show(false), { capture: true, passive: true });
    }
  }

  /** Asks for what fits the text in the field, and shows it. */
  async search() {
    clearTimeout(this.timer);
    this.asked.abort();
    this.asked = new AbortController();
    const { signal } = this.asked;
    try {
      const found = await this.given.find(this.input.value.trim(), signal);
      if (!signal.aborted) this.#fill(found);
    } catch {
      if (!signal.aborted) this.#fill({ groups: [], note: this.given.failed });
    }
  }

  /** @param {string} name */
  select(name) {
    this.selected = name;
    for (const [index, node] of this.#nodes().entries()) {
      node.toggleAttribute("data-chosen", this.options[index].name === name);
    }
  }

  /** @returns {HTMLElement[]} */
  #nodes() {
    return [.../** @type {NodeListOf<HTMLElement>} */ (this.list.querySelectorAll("[role=option]"))];
  }

  #later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.search(), PAUSE_MILLISECONDS);
  }

  /** @param {boolean} open */
  #show(open) {
    if (!this.given.popup) return;
    const shown = open && this.options.length > 0;
    if (shown !== this.#open) this.list.togglePopover(shown);
    if (shown) this.#place();
    this.input.setAttribute("aria-expanded", String(shown));
    if (!open) this.#activate(-1);
  }

  get #open() {
    return this.list.matches(":popover-open");
  }

  /** Below the field, or above it where there is more room. */
  #place() {
    const { left, top, bottom, width } = this.input.getBoundingClientRect();
    const below = innerHeight - bottom;
    const above = below < HEIGHT && top > below;
    Object.assign(this.list.style, {
      left: `${left}px`,
      width: `${width}px`,
      maxHeight: `${Math.min(HEIGHT, (above ? top : below) - 12)}px`,
      top: above ? "auto" : `${bottom + 4}px`,
      bottom: above ? `${innerHeight - top + 4}px` : "auto",
    });
  }

  /** @param {Found} found */
  #fill({ groups, note = "" }) {
    this.options = groups.flatMap((group) => group.options);
    let index = 0;
    const parts = groups.map((group) => {
      const rows = group.options.map((option) => {
        const place = index++;
        return element("div", { id: `${this.list.id}-${place}`, class: "option", role: "option", "aria-selected": "false", "data-name": option.name }, ...this.given.row(option));
      });
      if (!group.title) return rows;
      const title = element("div", { class: "group-title", id: `${this.list.id}-group-${index}`, text: group.title });
      return [element("div", { class: "group", role: "group", "aria-labelledby": title.id }, title, ...rows)];
    });
    this.list.replaceChildren(...parts.flat());
    this.list.scrollTop = 0;
    this.note.textContent = note;
    this.select(this.selected);
    this.#show(!this.given.popup || this.#focused());
    const chosen = this.input.value ? 0 : this.options.findIndex((option) => option.name === this.selected);
    this.#activate(this.given.popup && !this.input.value ? -1 : Math.min(chosen, this.options.length - 1));
    this.given.onfilled?.();
  }

  #focused() {
    const root = this.input.getRootNode();
    return root instanceof ShadowRoot || root instanceof Document ? root.activeElement === this.input : false;
  }

  /**
   * @param {number} index
   * @param {boolean} [clicked]
   */
  #activate(index, clicked = false) {
    const nodes = this.#nodes();
    nodes.forEach((node, place) => node.setAttribute("aria-selected", String(place === index)));
    this.active = index;
    const node = nodes[index];
    if (node) {
      this.input.setAttribute("aria-activedescendant", node.id);
      const [part, whole] = [node.getBoundingClientRect(), this.list.getBoundingClientRect()];
      if (part.top < whole.top) this.list.scrollTop += part.top - whole.top - 32;
      else if (part.bottom > whole.bottom) this.list.scrollTop += part.bottom - whole.bottom + 8;
    } else this.input.removeAttribute("aria-activedescendant");
    this.given.onactive?.(this.options[index] ?? null, clicked);
  }

  /** @param {MouseEvent} event */
  #click(event) {
    const node = /** @type {Element} */ (event.target).closest("[role=option]");
    const index = this.#nodes().indexOf(/** @type {HTMLElement} */ (node));
    if (index < 0) return;
    this.#activate(index, true);
    if (this.given.popup) this.#choose();
  }

  #choose() {
    const option = this.options[this.active];
    if (!option) return;
    this.#stop();
    this.given.onchoose(option);
    this.#show(false);
  }

  /** Ends a search under way, which would open the list again. */
  #stop() {
    clearTimeout(this.timer);
    this.asked.abort();
  }

  #close() {
    this.#stop();
    if (this.given.clears) this.input.value = "";
    this.note.textContent = "";
    this.#show(false);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const last = this.options.length - 1;
    if (event.key === "Enter") {
      event.preventDefault();
      this.#choose();
      return;
    }
    if (event.key === "Escape" && this.given.popup && (this.#open || (this.given.clears && this.input.value))) {
      event.preventDefault();
      event.stopPropagation();
      this.#close();
      return;
    }
    const moves = /** @type {Record<string, () => number>} */ ({
      ArrowDown: () => Math.min(this.active + 1, last),
      ArrowUp: () => Math.max(this.active - 1, 0),
      PageDown: () => Math.min(this.active + 8, last),
      PageUp: () => Math.max(this.active - 8, 0),
    });
    const move = moves[event.key];
    if (!move || last < 0) return;
    event.preventDefault();
    if (this.given.popup && !this.#open) this.#show(true);
    this.#activate(move());
  }
}
