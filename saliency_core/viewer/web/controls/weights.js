/** Weights of the layers: sliders, presets, product or sum, and the chart of normalised weights. */

import { element, rangeInput, setRange, setText } from "./dom.js";
import { Segmented } from "./segmented.js";
import { layerSize, percent, shortNames, weightTexts } from "../core/format.js";
import { shares } from "../core/maths.js";
import { whenChanged } from "../core/redraw.js";
import { SIDES } from "../core/view.js";
import { THUMBNAIL } from "../panels/thumbnails.js";
import { weightsMark } from "../panels/weights-mark.js";

/** @import { Layer } from "../core/payload.js" */

export const HOW_OPTIONS = [
  { name: "product", title: "Product", hint: "Product: only locations important at every layer with a weight stay bright." },
  { name: "sum", title: "Sum", hint: "Sum: locations important at any layer with a weight stay visible." },
];

/** What a preset is; the others were published for the network. @type {Record<string, string>} */
const PRESET_HINTS = {
  Uniform: "The same weight for every layer",
  Linear: "Weights that rise with depth: 1, 2, 3, …",
};
const PUBLISHED = "Weights that the paper’s authors published for this network";

/** From this number of layers on, the chart has a line of its own. */
const MANY_LAYERS = 11;

/**
 * A share as a percentage without its sign, with one decimal at most.
 *
 * @param {number} share
 */
function inPercent(share) {
  return String(Number((100 * share).toFixed(1)));
}

/**
 * `actions` has drag(layer, weight) while a slider moves, settle() on its release, how(name), preset(weights)
 * and reset().
 */
export class Weights {
  /**
   * @param {Record<string, (...values: any[]) => void>} actions
   * @param {HTMLElement} tools stands beside the presets
   */
  constructor(actions, tools) {
    this.actions = actions;
    /** @type {Layer[]} */
    this.layers = [];
    /** @type {any[]} */
    this.rows = [];
    /** @type {any[]} */
    this.columns = [];
    /** @type {{button: HTMLElement, values: number[]}[]} */
    this.presets = [];
    this.build = whenChanged((/** @type {{layers: Layer[], presets: any}} */ inputs) => this.#build(inputs));
    this.how = new Segmented("How the layers are mixed", "how", HOW_OPTIONS, actions.how);
    this.howHint = element("p", { class: "hint" });
    this.presetRow = element("div", { class: "chips", role: "group", "aria-label": "Presets" });
    this.reset = element("button", {
      type: "button",
      class: "chip plain",
      "data-testid": "reset-weights",
      text: "Reset",
      onclick: actions.reset,
    });
    this.sliders = element("div", { class: "sliders" });
    this.chart = element("div", { class: "chart", role: "img", "data-testid": "weights-chart" });
    this.keyNames = SIDES.map((side) => element("span", { class: `key ${side}` }));
    this.chartKey = element("span", { class: "chart-key" }, ...this.keyNames);
    this.element = element(
      "section",
      { class: "mixer card", "aria-label": "Layer weights" },
      element("div", { class: "mixer-head" }, this.how.element, element("span", { class: "row-label", text: "Presets" }), this.presetRow, this.reset, tools, this.howHint, weightsMark()),
      this.sliders,
      element("figure", { class: "chart-box" }, element("figcaption", {}, "Normalised weights, %", this.chartKey), this.chart),
    );
  }

  /**
   * Rebuilds sliders and presets when layers or presets differ.
   *
   * @param {Layer[]} layers
   * @param {Record<string, Record<string, number>>} presets
   */
  setLayers(layers, presets) {
    this.layers = layers;
    this.build({ layers, presets });
  }

  /**
   * Shows the view's weights.
   *
   * @param {Record<string, number>} weights
   * @param {string} how
   * @param {(string | null)[][]} leftOut per panel and layer: why there is no map to mix, null where there is one
   * @param {string[]} titles the panels' methods
   */
  setWeights(weights, how, leftOut, titles) {
    this.how.set(how);
    setText(this.howHint, HOW_OPTIONS.find((entry) => entry.name === how)?.hint ?? "");
    const values = this.layers.map((layer) => weights[layer.name]);
    const texts = weightTexts(values);
    this.rows.forEach((row, i) => {
      setRange(row.input, values[i]);
      row.input.setAttribute("aria-valuetext", texts[i]);
      setText(row.value, texts[i]);
      const without = titles.flatMap((title, k) => (leftOut[k][i] === null ? [] : [{ title, why: leftOut[k][i] }]));
      const whys = [...new Set(without.map(({ why }) => why))];
      const whose = without.length < titles.length ? without.map(({ title }) => `: ${title}`) : [];
      setText(row.out, without.length > 0 ? `${whys.join(", ")}${whose.join("")}` : "");
      row.out.title = without.map(({ title, why }) => `${title} is left out at this layer: ${why}`).join("; ");
      row.input.ariaDescription = row.out.title;
    });
    const wanted = shares(values);
    this.presets.forEach(({ button, values: preset }) => {
      const same = shares(preset).every((share, i) => Math.abs(share - wanted[i]) < 1e-3);
      button.setAttribute("aria-pressed", String(same));
    });
    this.#drawChart(values, leftOut, titles);
  }

  /**
   * Calls draw(canvas, layer index, row) for every thumbnail.
   *
   * @param {(canvas: HTMLCanvasElement, layer: number, row: number) => void} draw
   */
  drawThumbnails(draw) {
    this.rows.forEach((row, i) => SIDES.forEach((_, k) => draw(row.canvases[k], i, k)));
  }

  /**
   * @param {number[]} values
   * @param {(string | null)[][]} leftOut
   * @param {string[]} titles
   */
  #drawChart(values, leftOut, titles) {
    const parts = leftOut.map((out) => shares(values.map((value, i) => (out[i] === null ? value : 0))));
    const alike = parts[0].every((part, i) => Math.abs(part - parts[1][i]) < 1e-6);
    const top = Math.max(...parts[0], ...parts[1], 1e-9);
    this.columns.forEach((column, i) => {
      column.bars.forEach((/** @type {HTMLElement} */ bar, /** @type {number} */ k) => (bar.style.transform = `scaleY(${parts[k][i] / top})`));
      column.element.classList.toggle("alike", alike);
      column.texts.forEach((/** @type {HTMLElement} */ text, /** @type {number} */ k) => setText(text, inPercent(parts[k][i])));
    });
    this.chartKey.hidden = alike;
    titles.forEach((title, k) => setText(this.keyNames[k], title));
    const spoken = this.layers.map((layer, i) => `${layer.name} ${percent(parts[0][i])}${alike ? "" : ` and ${percent(parts[1][i])}`}`);
    this.chart.setAttribute("aria-label", `Normalised weights: ${spoken.join(", ")}`);
  }

  /** @param {{layers: Layer[], presets: Record<string, Record<string, number>>}} inputs */
  #build({ layers, presets }) {
    this.rows = layers.map((layer) => {
      const canvases = SIDES.map(() =>
        element("canvas", { class: "mini", width: THUMBNAIL, height: THUMBNAIL, "aria-hidden": "true" }),
      );
      const input = rangeInput({
        min: 0,
        max: 1,
        step: 0.01,
        "aria-label": `Weight of ${layer.name}`,
        "data-testid": `weight-${layer.name}`,
        oninput: () => this.actions.drag(layer.name, Number(input.value)),
        onchange: () => this.actions.settle(),
      });
      const value = element("output", { class: "weight-value" });
      const out = element("small", { class: "left-out" });
      const name = element(
        "span",
        { class: "slider-name" },
        element("b", { text: layer.name, title: layer.name }),
        element("small", { text: layerSize(layer) }),
      );
      const cell = element("div", { class: "slider-cell" }, input, out);
      const row = element("div", { class: "slider-row" }, ...canvases, name, cell, value);
      return { canvases, input, value, out, element: row };
    });
    this.element.classList.toggle("many", layers.length >= MANY_LAYERS);
    this.sliders.style.setProperty("--rows", String(Math.ceil(layers.length / 2)));
    this.sliders.replaceChildren(...this.rows.map((row) => row.element));
    const short = shortNames(layers.map((layer) => layer.name));
    this.columns = layers.map((layer, i) => {
      const texts = SIDES.map((side) => element("span", { class: `column-text ${side}` }));
      const bars = SIDES.map((side) => element("span", { class: `column-bar ${side}` }));
      const shape = element("span", { class: "column-shape" }, ...bars);
      const column = element(
        "div",
        { class: "column" },
        element("span", { class: "column-texts" }, ...texts),
        shape,
        element("span", { class: "column-name", text: short[i], title: layer.name }),
      );
      return { texts, bars, element: column };
    });
    this.chart.replaceChildren(...this.columns.map((column) => column.element));
    this.presets = Object.entries(presets).map(([title, weights]) => {
      const hint = PRESET_HINTS[title] ?? PUBLISHED;
      const button = element("button", { type: "button", class: "chip", title: hint, text: title, onclick: () => this.actions.preset(weights) });
      return { button, values: layers.map((layer) => weights[layer.name] ?? 0) };
    });
    this.presetRow.replaceChildren(...this.presets.map((preset) => preset.button));
  }
}
