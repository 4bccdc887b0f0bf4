/** Weights of the layers: sliders, presets, product or sum, and the chart of normalised weights. */

import { shares } from "./maths.js";
import { element, rangeInput, Segmented, setRange, setText } from "./dom.js";
import { layerSize, percent, weightText } from "./format.js";
import { THUMBNAIL } from "./thumbnail.js";
import { SIDES } from "./view.js";

export const HOW_OPTIONS = [
  { name: "product", title: "Product", hint: "Weighted geometric mean: a place must count at every layer." },
  { name: "sum", title: "Sum", hint: "Weighted mean: a place may count at any layer." },
];

/** A share as a bare number of per cent, one decimal at most. */
function inPercent(share) {
  return String(Number((100 * share).toFixed(1)));
}

/**
 * `actions` has drag(layer, weight) while a slider moves, settle() on its release, how(name), preset(weights)
 * and reset().
 */
export class Weights {
  constructor(actions) {
    this.actions = actions;
    this.layers = [];
    this.rows = [];
    this.presets = [];
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
      element("div", { class: "mixer-head" }, this.how.element, this.presetRow, this.reset, this.howHint),
      this.sliders,
      element("figure", { class: "chart-box" }, element("figcaption", {}, "Normalised weights, %", this.chartKey), this.chart),
    );
  }

  /** Rebuilds sliders and presets when layers or presets differ. */
  setLayers(layers, presets) {
    const identity = JSON.stringify([layers.map((layer) => [layer.name, layer.height, layer.width]), presets]);
    this.layers = layers;
    if (identity === this.identity) return;
    this.identity = identity;
    this.#build(presets);
  }

  /** Shows the view's weights. `left` and `right` say per layer whether that panel's map is constant. */
  setWeights(weights, how, leftOut, titles) {
    this.how.set(how);
    setText(this.howHint, HOW_OPTIONS.find((entry) => entry.name === how).hint);
    const values = this.layers.map((layer) => weights[layer.name]);
    this.rows.forEach((row, i) => {
      setRange(row.input, values[i]);
      row.input.setAttribute("aria-valuetext", weightText(values[i]));
      setText(row.value, weightText(values[i]));
      const without = titles.filter((title, k) => leftOut[k][i]);
      setText(row.out, without.length > 0 ? "left out: constant" : "");
      row.out.title = without.length > 0 ? `The map of ${without.join(" and of ")} is constant at this layer` : "";
      row.input.ariaDescription = row.out.title;
    });
    const wanted = shares(values);
    this.presets.forEach(({ button, values: preset }) => {
      const same = shares(preset).every((share, i) => Math.abs(share - wanted[i]) < 1e-3);
      button.setAttribute("aria-pressed", String(same));
    });
    this.#drawChart(values, leftOut, titles);
  }

  /** Calls draw(canvas, layer index, side) for every thumbnail. */
  drawThumbnails(draw) {
    this.rows.forEach((row, i) => SIDES.forEach((side, k) => draw(row.canvases[k], i, side)));
  }

  #drawChart(values, leftOut, titles) {
    const parts = leftOut.map((out) => shares(values.map((value, i) => (out[i] ? 0 : value))));
    const alike = parts[0].every((part, i) => Math.abs(part - parts[1][i]) < 1e-6);
    const top = Math.max(...parts[0], ...parts[1], 1e-9);
    this.columns.forEach((column, i) => {
      column.bars.forEach((bar, k) => (bar.style.transform = `scaleY(${parts[k][i] / top})`));
      column.element.classList.toggle("alike", alike);
      column.texts.forEach((text, k) => setText(text, inPercent(parts[k][i])));
    });
    this.chartKey.hidden = alike;
    titles.forEach((title, k) => setText(this.keyNames[k], title));
    const spoken = this.layers.map((layer, i) => `${layer.name} ${percent(parts[0][i])}${alike ? "" : ` and ${percent(parts[1][i])}`}`);
    this.chart.setAttribute("aria-label", `Normalised weights: ${spoken.join(", ")}`);
  }

  #build(presets) {
    this.rows = this.layers.map((layer) => {
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
        element("b", { text: layer.name }),
        element("small", { text: layerSize(layer) }),
      );
      const cell = element("div", { class: "slider-cell" }, input, out);
      const row = element("div", { class: "slider-row" }, ...canvases, name, cell, value);
      return { canvases, input, value, out, element: row };
    });
    this.sliders.style.setProperty("--rows", String(Math.ceil(this.layers.length / 2)));
    this.sliders.replaceChildren(...this.rows.map((row) => row.element));
    this.columns = this.layers.map((layer) => {
      const texts = SIDES.map((side) => element("span", { class: `column-text ${side}` }));
      const bars = SIDES.map((side) => element("span", { class: `column-bar ${side}` }));
      const shape = element("span", { class: "column-shape" }, ...bars);
      const column = element(
        "div",
        { class: "column" },
        element("span", { class: "column-texts" }, ...texts),
        shape,
        // Room for a few letters: the last part of the name tells the layers apart.
        element("span", { class: "column-name", text: layer.name.split(".").at(-1), title: layer.name }),
      );
      return { texts, bars, element: column };
    });
    this.chart.replaceChildren(...this.columns.map((column) => column.element));
    this.presets = Object.entries(presets).map(([title, weights]) => {
      const button = element("button", { type: "button", class: "chip", text: title, onclick: () => this.actions.preset(weights) });
      return { button, values: this.layers.map((layer) => weights[layer.name] ?? 0) };
    });
    this.presetRow.replaceChildren(...this.presets.map((preset) => preset.button));
  }
}
