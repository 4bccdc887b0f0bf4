/** The picker of further layers: a button, and the sheet with all layers of the network that it opens. */

import { element, icon, iconButton, setText } from "./dom.js";
import { layerSize } from "../core/format.js";
import { whenChanged } from "../core/redraw.js";

/** @import { LayerChoice, Payload } from "../core/payload.js" */
/** @import { View } from "../core/view.js" */

const ADD = '<path d="M10 3.5l7 3.6-7 3.6-7-3.6zM3 11l7 3.6 7-3.6M3 14.6l7 3.6 7-3.6" transform="translate(0 -1)"/>';
const CROSS = '<path d="M5.5 5.5l9 9M14.5 5.5l-9 9"/>';
const EDGE = 8;
const WIDTH = 420;
const HEIGHT = 520;
/** Windows up to this width show the sheet at their lower edge. */
const PHONE = 640;
let pickers = 0;

/** @typedef {{layer: LayerChoice, text: string, group: number, element: HTMLElement}} Option */

export class LayerPicker {
  /** @param {import("../modes/mode.js").ModeHost} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    this.id = `layer-picker-${++pickers}`;
    /** @type {LayerChoice[]} */
    this.all = [];
    /** @type {string[]} */
    this.chosen = [];
    this.most = 0;
    /** @type {string[]} */
    this.coming = [];
    /** @type {Option[]} */
    this.options = [];
    /** @type {HTMLElement[]} */
    this.groups = [];
    /** @type {Option | null} */
    this.active = null;
    this.build = whenChanged((/** @type {{all: LayerChoice[]}} */ { all }) => this.#build(all));
    this.explain = whenChanged((/** @type {{leftOut: [string, string][]}} */ { leftOut }) => this.#explain(leftOut));
    this.count = element("span", { class: "layers-count", hidden: true });
    this.button = element(
      "button",
      { type: "button", class: "chip layers-button", "data-testid": "layers", "aria-haspopup": "dialog", onclick: () => this.sheet.togglePopover() },
      icon(ADD),
      element("span", { text: "Layers" }),
      this.count,
    );
    this.search = element("input", {
      type: "search",
      class: "layers-search",
      placeholder: "Find a layer by name",
      role: "combobox",
      "aria-label": "Find a layer by name",
      "aria-expanded": "true",
      "aria-autocomplete": "list",
      "aria-controls": `${this.id}-list`,
      autocomplete: "off",
      spellcheck: "false",
      "data-testid": "layer-search",
      oninput: () => this.#filter(),
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.#key(event),
    });
    this.list = element("div", { class: "layers-list", id: `${this.id}-list`, role: "listbox", "aria-label": "Layers of the network", "aria-multiselectable": "true" });
    this.nothing = element("p", { class: "hint layers-nothing", text: "No layer has this name.", hidden: true });
    this.leftOut = element("div", { class: "hint layers-left-out", "data-testid": "layers-left-out" });
    this.status = element("p", { class: "hint layers-status", role: "status", "data-testid": "layers-status" });
    this.close = iconButton("Close", CROSS, () => this.sheet.hidePopover(), { class: "icon-button layers-close" });
    this.sheet = element(
      "div",
      { class: "layers-sheet", popover: "auto", role: "dialog", "aria-label": "Layers", "data-testid": "layers-sheet" },
      element("div", { class: "layers-head" }, element("h3", { text: "Layers" }), this.close),
      this.search,
      this.list,
      this.nothing,
      this.leftOut,
      this.status,
    );
    this.element = element("div", { class: "layer-picker" }, this.button, this.sheet);
    const place = () => this.#place();
    this.sheet.addEventListener("toggle", (event) => {
      if (/** @type {ToggleEvent} */ (event).newState === "open") {
        document.addEventListener("scroll", place, { capture: true, passive: true });
        window.addEventListener("resize", place);
        this.#opened();
      } else {
        document.removeEventListener("scroll", place, { capture: true });
        window.removeEventListener("resize", place);
      }
    });
  }

  /**
   * Shows which layers are chosen; without a list of layers there is nothing to pick.
   *
   * @param {Payload} payload
   * @param {View} view
   */
  set({ meta, content }, view) {
    this.all = meta.allLayers ?? [];
    this.explain({ leftOut: meta.leftOut });
    this.chosen = view.layers;
    this.most = meta.schema.find((/** @type {{name: string}} */ field) => field.name === "layers")?.most ?? 0;
    this.coming = view.layers.filter((name) => content.layerIndex(name) < 0);
    this.element.hidden = this.all.length === 0;
    const count = this.chosen.length;
    this.count.hidden = count === 0;
    setText(this.count, String(count));
    this.button.setAttribute("aria-label", count === 0 ? "Layers: add more" : `Layers: ${count} added`);
    if (this.#isOpen()) this.#mark();
  }

  /**
   * Removes a layer that was added; if it is the one shown, its neighbour is shown instead.
   *
   * @param {string} name
   */
  remove(name) {
    const { layers } = this.viewer.payload.content;
    const index = layers.findIndex((layer) => layer.name === name);
    const next = (layers[index + 1] ?? layers[index - 1])?.name;
    this.viewer.set((view) => ({
      layers: view.layers.filter((each) => each !== name),
      layer: view.layer === name && next ? next : view.layer,
    }));
    this.viewer.settle(true);
  }

  #isOpen() {
    return this.sheet.matches(":popover-open");
  }

  #opened() {
    this.build({ all: this.all });
    this.search.value = "";
    this.#filter();
    this.#mark();
    this.#place();
    // A keyboard on the glass would cover the list.
    if (matchMedia("(hover: none)").matches) this.close.focus();
    else this.search.focus();
    const first = this.options.find(({ layer }) => layer.name === this.viewer.payload.content.layers[0].name);
    first?.element.scrollIntoView({ block: "nearest" });
  }

  #place() {
    const { style } = this.sheet;
    this.sheet.classList.toggle("at-edge", window.innerWidth <= PHONE);
    if (window.innerWidth <= PHONE) {
      for (const name of ["left", "top", "width", "height"]) style.removeProperty(name);
      return;
    }
    const { left, top, bottom } = this.button.getBoundingClientRect();
    const below = window.innerHeight - bottom - 2 * EDGE;
    const above = top - 2 * EDGE;
    const height = Math.min(HEIGHT, Math.max(below, above));
    style.width = `${WIDTH}px`;
    style.height = `${height}px`;
    style.left = `${Math.max(EDGE, Math.min(left, window.innerWidth - EDGE - WIDTH))}px`;
    style.top = `${below >= Math.min(HEIGHT, above) ? bottom + EDGE : top - EDGE - height}px`;
  }

  /** @param {LayerChoice[]} all */
  #build(all) {
    const stages = Math.max(...all.map(({ stage }) => stage ?? 0));
    let group = 0;
    this.options = all.map((layer) => {
      const text = `${layer.name} ${layer.kind}`.toLowerCase();
      const option = { layer, text, group, element: this.#option(layer) };
      // The input stands alone; a stage ends its group.
      if (group === 0 || layer.stage !== null) group += 1;
      return option;
    });
    const used = Math.max(...this.options.map((option) => option.group)) + 1;
    this.groups = Array.from({ length: used }, (_, i) => {
      const options = this.options.filter((option) => option.group === i);
      const title = i === 0 ? "Input" : i <= stages ? `Stage ${i}` : `After stage ${stages}`;
      const head = element("h4", { id: `${this.id}-group-${i}`, text: title });
      return element("div", { role: "group", "aria-labelledby": head.id }, head, ...options.map((option) => option.element));
    });
    this.list.replaceChildren(...this.groups);
  }

  /**
   * Says why blocks are not among the stages.
   *
   * @param {[string, string][]} blocks their names and the reasons
   */
  #explain(blocks) {
    this.leftOut.hidden = blocks.length === 0;
    this.leftOut.replaceChildren(...blocks.map(([name, reason]) => element("p", { text: `${name} is left out: ${reason}.` })));
  }

  /** @param {LayerChoice} layer */
  #option(layer) {
    const { name, channels, kind, stage } = layer;
    const facts = [`${layerSize(layer)} × ${channels}`, kind, stage === null ? "" : `stage ${stage}, always shown`];
    return element(
      "div",
      { role: "option", class: "layer-option", id: `${this.id}-${name}`, "data-testid": `layer-option-${name}`, onclick: () => this.#toggle(name) },
      element("span", { class: "layer-check", "aria-hidden": "true" }),
      element("span", { class: "layer-option-name", text: name }),
      element("span", { class: "layer-facts", text: facts.filter(Boolean).join(" · ") }),
    );
  }

  /** @param {string} name */
  #toggle(name) {
    const layer = this.all.find((each) => each.name === name);
    if (!layer || layer.stage !== null) return;
    if (this.chosen.includes(name)) this.remove(name);
    else if (this.chosen.length < this.most) {
      this.viewer.set((view) => ({ layers: [...view.layers, name] }));
      this.viewer.settle(true);
    }
  }

  /** Writes which layers are chosen, and how many more can be. */
  #mark() {
    const full = this.chosen.length >= this.most;
    for (const { layer, element: node } of this.options) {
      const chosen = this.chosen.includes(layer.name);
      node.setAttribute("aria-selected", String(chosen || layer.stage !== null));
      node.setAttribute("aria-disabled", String(layer.stage !== null || (full && !chosen)));
    }
    const coming = this.coming.length > 0 ? `Computing ${this.coming.join(", ")} …` : "";
    const limit = `${this.most} further layers are the most that can be shown. Remove one to add another.`;
    setText(this.status, coming || (full ? limit : `${this.chosen.length} of at most ${this.most} further layers added.`));
  }

  #filter() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = new Set();
    for (const option of this.options) {
      const fits = words.every((word) => option.text.includes(word));
      option.element.hidden = !fits;
      if (fits) shown.add(option.group);
    }
    this.groups.forEach((group, i) => (group.hidden = !shown.has(i)));
    this.nothing.hidden = shown.size > 0;
    const first = words.length > 0 ? this.options.find((option) => !option.element.hidden) : undefined;
    this.#activate(first ?? null);
  }

  /** @param {Option | null} option */
  #activate(option) {
    this.active?.element.classList.remove("active");
    this.active = option;
    if (option === null) {
      this.search.removeAttribute("aria-activedescendant");
      return;
    }
    option.element.classList.add("active");
    option.element.scrollIntoView({ block: "nearest" });
    this.search.setAttribute("aria-activedescendant", option.element.id);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    // The page has shortcuts of its own.
    event.stopPropagation();
    if (event.key === "Escape") {
      event.preventDefault(); // which would empty the field first
      this.sheet.hidePopover();
    }
    if (event.key === "Enter" && this.active) this.#toggle(this.active.layer.name);
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    event.preventDefault();
    const shown = this.options.filter((option) => !option.element.hidden);
    const step = event.key === "ArrowDown" ? 1 : -1;
    const index = this.active === null ? (step > 0 ? 0 : shown.length - 1) : shown.indexOf(this.active) + step;
    this.#activate(shown[Math.min(Math.max(index, 0), shown.length - 1)] ?? null);
  }
}
