/** Every method at every layer: the correlation of both classes' maps in each cell, and the maps of the chosen one. */

import { element, setText } from "../../controls/dom.js";
import { Segmented } from "../../controls/segmented.js";
import { rho } from "../../core/format.js";
import { whenChanged } from "../../core/redraw.js";
import { Preview } from "./preview.js";
import { CHANGE_COLOURS, changeOf, COLOURS, tintOf } from "./correlation.js";

/** @import { Layer, Method } from "../../core/payload.js" */
/** @import { View } from "../../core/view.js" */
/** @import { Correlations, Figure, Frame, ModeHost, Row } from "../mode.js" */

const CHOICES = [
  { name: "after", title: "After the step", hint: "ρ of the maps after each class’s own step" },
  { name: "before", title: "Without", hint: "ρ of the maps without a step" },
  { name: "change", title: "Change", hint: "ρ after the step minus ρ without it" },
];
const SWITCHES = /** @type {const} */ ([
  ["cells", "Show all framework cells"],
  ["modified", "Show modified backpropagation"],
]);

/** @typedef {{layers: Layer[], rows: string}} Shape the columns, and the methods' names in one text */

export class SensitivityTable {
  /**
   * @param {ModeHost} viewer
   * @param {(method: string, layer: string) => void} onpick
   * @param {() => void} onshow go to the large maps
   */
  constructor(viewer, onpick, onshow) {
    this.viewer = viewer;
    this.onpick = onpick;
    this.preview = new Preview(onshow);
    /** @type {Map<string, HTMLButtonElement[]>} */
    this.cells = new Map();
    const settle = (/** @type {Partial<View>} */ change) => {
      viewer.set(change);
      viewer.settle(true);
    };
    this.choice = new Segmented("Figures in the table", "figures", CHOICES, (figures) => settle({ figures }));
    this.switches = SWITCHES.map(([name, title]) => {
      const input = element("input", { type: "checkbox", "data-testid": name, onchange: () => settle({ [name]: input.checked }) });
      return { name, input, element: element("label", { class: "switch" }, input, element("span", { text: title })) };
    });
    this.colours = element("p", { class: "table-words", "data-testid": "table-words" });
    this.scroller = element("div", { class: "table-scroll", tabindex: "-1" });
    this.build = whenChanged((/** @type {Shape} */ { layers, rows }) => this.#build(layers, rows.split(" ")));
    this.element = element(
      "section",
      { class: "sensitivity card", "aria-label": "Every method at every layer", "data-testid": "sensitivity" },
      element(
        "header",
        { class: "table-head" },
        element("h2", { text: "Every method at every layer" }),
        this.choice.element,
        element("span", { class: "space" }),
        ...this.switches.map((each) => each.element),
      ),
      this.colours,
      element("div", { class: "table-body" }, this.scroller, this.preview.element),
    );
  }

  /** @param {Frame} frame */
  draw({ payload, view, updates }) {
    const { correlations } = updates;
    const { layers } = payload.content;
    const stepped = (correlations?.after ?? null) !== null;
    const what = stepped ? view.figures : "before";
    this.choice.element.hidden = !stepped;
    this.choice.set(view.figures);
    for (const { name, input, element: label } of this.switches) {
      label.hidden = this.viewer.offline;
      input.checked = view[name];
      input.disabled = name === "modified" && Boolean(correlations?.remark);
      label.title = input.disabled ? (correlations?.remark ?? "") : "";
    }
    setText(this.colours, what === "change" ? `The change of ρ by the step. ${CHANGE_COLOURS}` : `ρ of both classes’ maps. ${COLOURS}`);
    if (correlations === null) return;
    const rows = figuresOf(correlations, what);
    this.build({ layers, rows: rows.map(({ method }) => method).join(" ") });
    for (const { method, figures } of rows) {
      const { title } = /** @type {Method} */ (payload.method(method));
      // The maps of another network may arrive before the figures for its layers.
      const known = figures?.length === layers.length ? figures : [];
      this.cells.get(method)?.forEach((cell, i) => {
        write(cell, known[i] ?? null, what === "change", `${title} at ${layers[i].name}`);
        cell.setAttribute("aria-pressed", String(method === view.left && layers[i].name === view.layer));
      });
    }
  }

  /**
   * @param {Layer[]} layers
   * @param {string[]} methods
   */
  #build(layers, methods) {
    const head = layers.map((layer) => element("th", { scope: "col", text: layer.name }));
    this.cells = new Map();
    const rows = methods.map((name) => {
      const cells = layers.map((layer) =>
        element("button", {
          type: "button",
          class: "rho-cell",
          "data-testid": `cell-${name}-${layer.name}`,
          onclick: () => this.onpick(name, layer.name),
        }),
      );
      this.cells.set(name, cells);
      const { title, shortTitle } = this.viewer.payload.method(name);
      return element(
        "tr",
        {},
        element("th", { scope: "row", text: shortTitle, title }),
        ...cells.map((cell) => element("td", {}, cell)),
      );
    });
    this.scroller.replaceChildren(
      element(
        "table",
        {},
        element("thead", {}, element("tr", {}, element("td", {}), ...head)),
        element("tbody", {}, ...rows),
      ),
    );
  }
}

/**
 * @param {Correlations} correlations
 * @param {View["figures"]} what
 * @returns {Row[]}
 */
function figuresOf({ before, after }, what) {
  if (what === "before" || after === null) return before;
  if (what === "after") return after;
  return before.map(({ method, figures }, row) => {
    const stepped = after[row].figures;
    const both = figures !== null && stepped?.length === figures.length;
    return { method, figures: both ? figures.map((figure, i) => changeOf(figure, stepped[i])) : null };
  });
}

/**
 * @param {HTMLButtonElement} cell
 * @param {Figure | null} figure null while it is being computed
 * @param {boolean} change
 * @param {string} where
 */
function write(cell, figure, change, where) {
  const value = figure?.value ?? null;
  const number = value === null ? "" : change && value > 0.004 ? `+${rho(value)}` : rho(value);
  const text = figure === null ? "…" : value === null ? "–" : number;
  setText(cell, text);
  const words = figure === null ? "being computed" : value === null ? `undefined. ${figure.reason}` : text;
  const title = `${where}: ${change ? "change of ρ" : "ρ"} ${value === null ? words : `= ${words}`}`;
  if (cell.title === title) return;
  cell.title = title;
  cell.setAttribute("aria-label", title);
  const { sign, strength, strong } = tintOf(value ?? 0);
  cell.dataset.sign = sign;
  cell.dataset.strong = String(strong);
  cell.style.setProperty("--strength", `${strength}%`);
}
