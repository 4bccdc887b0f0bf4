/** Compare: two methods at one layer. */

import { SIZE, resize } from "./maths.js";
import { element } from "./dom.js";
import { layerSize, percent } from "./format.js";
import { Strip } from "./strip.js";
import { SIDES } from "./view.js";

const FIGURE = "Energy kept";

/** What the panels show and the controls below them. `viewer` gives payload, view, set() and settle(). */
export class Compare {
  constructor(viewer) {
    this.viewer = viewer;
    const note = [
      element("strong", { text: FIGURE }),
      " is the share of the gradient’s energy that survives Grad-CAM’s averaging over places, ",
      element("span", { class: "formula", text: "H·W·‖ḡ‖² / Σ‖gᵤ‖²" }),
      ": at 100 % averaging loses nothing, near 0 % Grad-CAM throws nearly all of the gradient away.",
    ];
    this.strip = new Strip(viewer, { sides: SIDES, label: "Depth: layer shown in both panels", figure: FIGURE, note });
    this.element = this.strip.element;
  }

  /** Brings the controls up to the payload and the view. */
  refresh() {
    const { payload, view } = this.viewer;
    const { layers } = payload.meta;
    const energy = (share) => ({ text: share === null ? "no gradient" : percent(share), share: share ?? 0 });
    this.strip.setLayers(layers, layers.map((layer) => energy(layer.energy)));
    this.strip.setMethods([payload.method(view.left).title, payload.method(view.right).title]);
    this.strip.setLayer(view.layer);
  }

  /** Identity of a panel's map: equal keys need no new computation. */
  key(side) {
    const { view } = this.viewer;
    return `compare ${view[side]} ${view.layer}`;
  }

  /** Computes a panel's map into `out`; returns why there is none, or null. */
  compute(side, out) {
    const { payload, view } = this.viewer;
    const map = payload.map(view[side], this.#index());
    if (map.reason) return map.reason;
    resize(map.values, map.height, map.width, SIZE, out);
    return null;
  }

  /** What the caption says between method and class. */
  caption(side) {
    const { input } = this.viewer.payload.method(this.viewer.view[side]).maps ?? {};
    if (input) return `input · ${layerSize(input)}`;
    const layer = this.viewer.payload.meta.layers[this.#index()];
    return `${layer.name} · ${layerSize(layer)} × ${layer.channels} ch`;
  }

  signed(side) {
    return this.viewer.payload.method(this.viewer.view[side]).signed;
  }

  drawThumbnails(draw) {
    this.strip.drawThumbnails(draw);
  }

  #index() {
    const { payload, view } = this.viewer;
    return payload.meta.layers.findIndex((layer) => layer.name === view.layer);
  }
}
