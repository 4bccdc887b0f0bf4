/** The slider through the layers. */

import { element, rangeInput, setRange, setText } from "./dom.js";
import { layerSize } from "../core/format.js";

export class DepthSlider {
  /**
   * @param {string} label
   * @param {import("../modes/mode.js").ModeHost} viewer
   */
  constructor(label, viewer) {
    /** @type {import("../core/payload.js").Layer[]} */
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
    this.track = element("div", { class: "depth-track" }, this.input);
    this.output = element("output", { class: "depth-name", "data-testid": "depth-name" });
  }

  /**
   * Shows a layer; returns its index.
   *
   * @param {import("../core/payload.js").Layer[]} layers
   * @param {string} name
   */
  set(layers, name) {
    this.layers = layers;
    this.input.max = String(layers.length - 1);
    const index = layers.findIndex((layer) => layer.name === name);
    setRange(this.input, index);
    const text = `${name} · ${layerSize(layers[index])}`;
    this.input.setAttribute("aria-valuetext", `${text}, ${index + 1} of ${layers.length}`);
    setText(this.output, text);
    return index;
  }
}
