/** The slider through the layers. */

import { element, rangeInput, setRange, setText } from "./dom.js";
import { depthEnds, layerSize, layerTitle, stageCount } from "../core/format.js";

/** @import { Layer } from "../core/payload.js" */

export class DepthSlider {
  /**
   * @param {string} label
   * @param {import("../modes/mode.js").ModeHost} viewer
   * @param {HTMLElement | null} tools stands beside the slider
   */
  constructor(label, viewer, tools = null) {
    /** @type {Layer[]} */
    this.layers = [];
    this.input = rangeInput({
      min: 0,
      max: 1,
      step: 1,
      "aria-label": label,
      "data-testid": "depth",
      oninput: () => viewer.set({ layer: this.layers[Number(this.input.value)].name }),
      onchange: () => viewer.settle(),
    });
    this.title = element("b", {});
    this.name = element("small", {});
    this.from = element("span", { class: "depth-from", "aria-hidden": "true" });
    this.to = element("span", { class: "depth-to", "aria-hidden": "true" });
    this.element = element(
      "div",
      { class: "depth-line" },
      element("span", { class: "row-label depth-label", text: "Depth" }),
      this.from,
      element("output", { class: "depth-name", "data-testid": "depth-name" }, this.title, this.name),
      this.to,
      tools && element("div", { class: "depth-tools" }, tools),
      element("div", { class: "depth-track" }, this.input),
    );
  }

  /**
   * Shows a layer; returns its index.
   *
   * @param {Layer[]} layers
   * @param {string} name
   * @param {boolean} random whether the network's weights are random
   */
  set(layers, name, random) {
    this.layers = layers;
    const [from, to] = depthEnds(layers, random);
    setText(this.from, from);
    setText(this.to, to);
    this.element.style.setProperty("--layers", String(layers.length));
    this.input.max = String(layers.length - 1);
    const index = layers.findIndex((layer) => layer.name === name);
    setRange(this.input, index);
    const layer = layers[index];
    const title = layer.stage === null ? name : `${layerTitle(layer)} of ${stageCount(layers)}`;
    const details = [layer.stage === null ? "" : name, layerSize(layer)].filter(Boolean).join(" · ");
    this.input.setAttribute("aria-valuetext", `${title}, ${details}`);
    setText(this.title, title);
    setText(this.name, ` ${details}`);
    return index;
  }
}
