/** Mix: every layer's map weighted into one. */

import { SIZE, logarithm, mixProduct, mixSum, normalise, resize, shares } from "./maths.js";
import { SIDES } from "./view.js";
import { Weights } from "./weights.js";

/** What the panels show and the controls below them. `viewer` gives payload, view, set() and settle(). */
export class Mix {
  constructor(viewer) {
    this.viewer = viewer;
    this.prepared = new Map();
    const setAll = (change) => {
      viewer.set(change);
      viewer.settle();
    };
    this.weights = new Weights({
      drag: (layer, weight) => viewer.set({ weights: { ...viewer.view.weights, [layer]: weight } }),
      settle: () => viewer.settle(),
      how: (how) => setAll({ how }),
      preset: (weights) => setAll({ weights }),
      reset: () => setAll({ how: "product", weights: {} }),
    });
    this.element = this.weights.element;
  }

  /** Brings the controls up to the payload and the view. */
  refresh() {
    const { payload, view } = this.viewer;
    this.weights.setLayers(payload.meta.layers, payload.meta.presets);
    this.weights.setWeights(
      view.weights,
      view.how,
      SIDES.map((side) => this.#constant(side)),
      SIDES.map((side) => payload.method(view[side]).title),
    );
  }

  /** Identity of a panel's map: equal keys need no new computation. */
  key(side) {
    const { view } = this.viewer;
    return `mix ${view[side]} ${view.how} ${Object.values(view.weights).join()}`;
  }

  /** Computes a panel's map into `out`; returns why there is none, or null. */
  compute(side, out) {
    const { view } = this.viewer;
    const wanted = this.#weights();
    if (wanted.every((weight) => weight === 0)) return "All weights are zero. Raise at least one layer’s weight to see a map.";
    const constant = this.#constant(side);
    const parts = shares(wanted.map((weight, i) => (constant[i] ? 0 : weight)));
    if (parts.every((part) => part === 0)) {
      return "Every layer that has a weight is constant for this method. Raise another layer’s weight to see a map.";
    }
    const { maps, logarithms } = this.#prepare(view[side], constant, view.how);
    if (view.how === "product") mixProduct(logarithms, parts, out);
    else mixSum(maps, parts, out);
    return null;
  }

  /** What the caption says between method and class. */
  caption(side) {
    const constant = this.#constant(side);
    const count = this.#weights().filter((weight, i) => weight > 0 && !constant[i]).length;
    return count === 0 ? "no layers" : `${this.viewer.view.how} of ${count} ${count === 1 ? "layer" : "layers"}`;
  }

  /** Mixed maps are shares of 1 whatever the method's sign. */
  signed() {
    return false;
  }

  drawThumbnails(draw) {
    this.weights.drawThumbnails(draw);
  }

  #weights() {
    const { payload, view } = this.viewer;
    return payload.meta.layers.map((layer) => view.weights[layer.name]);
  }

  #constant(side) {
    const { payload, view } = this.viewer;
    return payload.method(view[side]).constant.map((reason) => reason !== null);
  }

  /** A method's maps at drawing size, normalised, and for products their logarithms; kept for the methods shown. */
  #prepare(method, constant, how) {
    const { payload, view } = this.viewer;
    const identity = payload.meta.keys.maps;
    for (const [name, entry] of this.prepared) {
      if (entry.identity !== identity || (name !== view.left && name !== view.right)) this.prepared.delete(name);
    }
    let entry = this.prepared.get(method);
    if (!entry) {
      const maps = constant.map((isConstant, i) => {
        if (isConstant) return null;
        const map = payload.map(method, i);
        return normalise(resize(map.values, map.height, map.width, SIZE));
      });
      entry = { identity, maps, logarithms: null };
      this.prepared.set(method, entry);
    }
    if (how === "product") entry.logarithms ??= entry.maps.map((map) => map && logarithm(map));
    return entry;
  }
}
