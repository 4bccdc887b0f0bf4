/** Compare: two methods at one layer. */

import { SIZE, resize } from "./maths.js";
import { layerSize } from "./format.js";
import { Strip } from "./strip.js";

/** What the panels show and the controls below them. `viewer` gives payload, view, set() and settle(). */
export class Compare {
  constructor(viewer) {
    this.viewer = viewer;
    this.strip = new Strip({
      scrub: (layer) => viewer.set({ layer }),
      choose: (layer) => {
        viewer.set({ layer });
        viewer.settle();
      },
      settle: () => viewer.settle(),
    });
    this.element = this.strip.element;
  }

  /** Brings the controls up to the payload and the view. */
  refresh() {
    const { payload, view } = this.viewer;
    this.strip.setLayers(payload.meta.layers);
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
