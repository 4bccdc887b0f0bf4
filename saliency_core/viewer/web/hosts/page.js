/** A web page of its own as a host: photo and maps are in the page, and nothing is asked of anybody. */

import { element, select, setText } from "../controls/dom.js";
import { listenToKeys, pressKey } from "../controls/keys.js";
import { Tabs } from "../controls/tabs.js";
import { classText } from "../core/format.js";
import { bytesOf, joined, restored } from "../core/quantised.js";
import { Viewer } from "../viewer.js";
import { RANDOM_WEIGHTS } from "../panels/weights-mark.js";

/** @import { Plane } from "../core/quantised.js" */
/** @import { Updates } from "../modes/mode.js" */

/**
 * One explanation of the page: `maps` and `photo` are positions in the lists of all.
 *
 * @typedef {object} Entry
 * @property {string} title
 * @property {any} meta
 * @property {number} photo
 * @property {number[]} maps
 * @property {string} remark on its photo
 * @property {Updates} updates
 * @property {{name: string, title: string, hint: string}[]} tabs
 */

/**
 * All that the page shows, as saliency_core/viewer/html.py writes it.
 *
 * @typedef {object} Contents
 * @property {any} meta what is the same for all explanations
 * @property {Entry[]} entries
 * @property {string[]} photos in base64, as is what follows
 * @property {string} luts
 * @property {{bits: 8 | 16, data: string, planes: Plane[]}} maps
 * @property {string} mode
 */

class Page {
  /** @param {Contents} contents */
  constructor(contents) {
    this.contents = contents;
    this.entry = contents.entries[0];
    this.mode = contents.mode;
    const { bits, data, planes } = contents.maps;
    this.maps = restored(bytesOf(data), bits, planes);
    this.luts = bytesOf(contents.luts);
    this.facts = byId("facts");
    this.remark = byId("remark");
    this.bar = byId("bar");
    this.viewer = new Viewer(byId("viewer"));
    this.chooser = select(
      { "aria-label": "What is explained", "data-testid": "explanation", onchange: () => this.#choose() },
      contents.entries.map(({ title }, i) => ({ name: String(i), title })),
    );
    this.choice = element("span", { class: "select-wrap", hidden: contents.entries.length < 2 }, this.chooser);
    this.#show();
    listenToKeys(this.viewer);
    document.addEventListener("keydown", pressKey);
  }

  #choose() {
    this.entry = this.contents.entries[Number(/** @type {HTMLSelectElement} */ (this.chooser).value)];
    this.#show();
  }

  /** Shows the chosen explanation in the chosen mode, or in its first one if it does not have that. */
  #show() {
    const { meta, tabs, photo, maps, updates, remark } = this.entry;
    if (!tabs.some(({ name }) => name === this.mode)) this.mode = tabs[0].name;
    const list = new Tabs("What is shown", "page-tabs", tabs, (name) => {
      this.mode = name;
      list.set(name);
      this.#update();
    });
    list.set(this.mode);
    list.element.hidden = tabs.length < 2;
    this.bar.replaceChildren(list.element, this.choice);
    this.bar.hidden = list.element.hidden && this.choice.hidden;
    this.delivery = {
      meta: { ...this.contents.meta, ...meta },
      maps: () => joined(maps.map((index) => this.maps[index])),
      luts: () => this.luts,
      photo: () => bytesOf(this.contents.photos[photo]),
    };
    this.updates = updates;
    setText(this.facts, factsOf(this.delivery.meta));
    setText(this.remark, remark);
    this.#update();
  }

  #update() {
    const { mode } = this;
    const meta = { ...this.delivery?.meta, mode };
    this.viewer.update({ .../** @type {any} */ (this.delivery), meta }, /** @type {Updates} */ (this.updates), {
      offline: true,
      report: () => {},
      open: ({ method, layer }) => this.#open(method, layer),
      compute: () => {},
      request: () => {},
      headerHeight: () => 0,
    });
  }

  /**
   * Shows a method beside Grad-CAM, as the app does.
   *
   * @param {string} method
   * @param {string} layer
   */
  #open(method, layer) {
    if (!this.entry.tabs.some(({ name }) => name === "compare")) return;
    this.mode = "compare";
    this.viewer.set({ left: method, right: this.entry.meta.defaults.right, layer });
    this.#show();
    window.scrollTo({ top: 0 });
  }
}

/** @param {string} id */
function byId(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

/**
 * What is explained, in a line.
 *
 * @param {any} meta
 */
function factsOf({ model, random, label, probability, probability_after: after, comparison, state }) {
  const classes = [classText(label, probability, after)];
  if (comparison) classes.push(classText(comparison.label, comparison.probability, comparison.probability_after));
  return [random ? `${model} with ${RANDOM_WEIGHTS}` : model, classes.join(" and "), state].filter(Boolean).join(" · ");
}

new Page(JSON.parse(byId("contents").textContent ?? ""));
