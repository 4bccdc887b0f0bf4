/** The slider through the layers. */

import { element, rangeInput, setRange, setText } from "./dom.js";
import { layerSize, layerTitle, stageCount } from "../core/format.js";

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
    this.element = element(
      "div",
      { class: "depth-line" },
      element("span", { class: "row-label depth-label", text: "Depth" }),
      element("span", { class: "depth-from", text: "edges and textures", "aria-hidden": "true" }),
      element("output", { class: "depth-name", "data-testid": "depth-name" }, this.title, this.name),
      element("span", { class: "depth-to", text: "whole objects", "aria-hidden": "true" }),
      tools && element("div", { class: "depth-tools" }, tools),
      element("div", { class: "depth-track" }, this.input),
    );
  }

  /**
   * Shows a layer; returns its index.
   *
   * @param {Layer[]} layers
   * @param {string} name
   */
  set(layers, name) {
    this.layers = layers;
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
