/** Mix: every layer's map weighted into one. */

import { SIZE, mixProduct, mixSum, normalise, resize } from "./maths.js";
import { logarithmsOf, normalisedMaps, partsOf, weightsOf } from "./mixing.js";
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
      SIDES.map((side) => payload.emptyLayers(view[side])),
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
    const { payload, view } = this.viewer;
    const method = payload.method(view[side]);
    if (method.maps.input) {
      const map = payload.map(method.name, 0);
      if (map.reason) return map.reason;
      normalise(resize(map.values, map.height, map.width, SIZE, out));
      return null;
    }
    const { parts, reason } = partsOf(payload, method.name, view);
    if (reason) return reason;
    const { maps, logarithms } = this.#prepare(method.name, view.how);
    if (view.how === "product") mixProduct(logarithms, parts, out);
    else mixSum(maps, parts, out);
    return null;
  }

  /** What the caption says between method and class. */
  caption(side) {
    const { payload, view } = this.viewer;
    if (payload.method(view[side]).maps?.input) return "input, nothing to mix";
    const empty = payload.emptyLayers(view[side]);
    const count = weightsOf(payload, view).filter((weight, i) => weight > 0 && !empty[i]).length;
    return count === 0 ? "no layers" : `${view.how} of ${count} ${count === 1 ? "layer" : "layers"}`;
  }

  /** Mixed maps are shares of 1 whatever the method's sign. */
  signed() {
    return false;
  }

  drawThumbnails(draw) {
    this.weights.drawThumbnails(draw);
  }

  /** A method's maps at drawing size, normalised, and for products their logarithms; kept for the methods shown. */
  #prepare(method, how) {
    const { payload, view } = this.viewer;
    const identity = payload.meta.keys.maps;
    for (const [name, entry] of this.prepared) {
      if (entry.identity !== identity || (name !== view.left && name !== view.right)) this.prepared.delete(name);
    }
    let entry = this.prepared.get(method);
    if (!entry) {
      entry = { identity, maps: normalisedMaps(payload, method, SIZE), logarithms: null };
      this.prepared.set(method, entry);
    }
    if (how === "product") entry.logarithms ??= logarithmsOf(entry.maps);
    return entry;
  }
}
