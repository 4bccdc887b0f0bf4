/** Mix: every layer's map weighted into one. */

import { LayerPicker } from "../controls/layer-picker.js";
import { Weights } from "../controls/weights.js";
import { mixProduct, mixSum, resize, SIZE } from "../core/maths.js";
import { logarithmsOf, normalisedMaps, partsOf, weightsOf } from "../core/mixing.js";
import { whenChanged } from "../core/redraw.js";
import { SIDES } from "../core/view.js";
import { TwoPanels } from "./two-panels.js";

/** @import { Content } from "../core/payload.js" */
/** @import { View } from "../core/view.js" */
/** @import { Frame, ModeHost } from "./mode.js" */

export class Mix extends TwoPanels {
  /** @param {ModeHost} viewer */
  constructor(viewer) {
    super(viewer, variant(viewer));
  }
}

/**
 * @param {ModeHost} viewer
 * @returns {import("./two-panels.js").Variant}
 */
function variant(viewer) {
  const setAll = (/** @type {Partial<View>} */ change) => {
    viewer.set(change);
    viewer.settle();
  };
  const picker = new LayerPicker(viewer);
  const weights = new Weights({
    drag: (layer, weight) => viewer.set((view) => ({ weights: { ...view.weights, [layer]: weight } })),
    settle: () => viewer.settle(),
    how: (how) => setAll({ how }),
    preset: (preset) => setAll({ weights: preset }),
    reset: () => setAll({ how: "product", weights: {} }),
  }, picker.element);
  const prepared = SIDES.map(() => new Prepared());
  /** The weights before the arrow keys chose single layers. @type {Record<string, number>} */
  let mixed = {};
  return {
    stageHeight: 0.4,
    element: weights.element,
    normalised: (method) => !method.maps?.input,
    inputs: ({ how, weights }) => ({ how, weights }),
    compute: (side, inputs, out) => compute(prepared[side], inputs, out),
    caption,
    drawThumbnails: (draw) => weights.drawThumbnails(draw),
    walk(step) {
      viewer.set((view) => {
        const names = viewer.payload.content.layers.map(({ name }) => name);
        if (singleLayer(names, view.weights) < 0) mixed = view.weights;
        return { weights: nextLayer(names, view.weights, mixed, step) };
      });
      viewer.settle();
    },
    refresh({ payload, view }) {
      picker.set(payload, view);
      weights.setLayers(payload.content.layers, payload.meta.presets);
      weights.setWeights(
        view.weights,
        view.how,
        SIDES.map((side) => leftOut(payload.content, view[side])),
        SIDES.map((side) => payload.method(view[side]).title),
      );
    },
  };
}

/**
 * For every layer: why a method has no map to mix there, null where it has one.
 *
 * @param {Content} content
 * @param {string} method
 */
function leftOut(content, method) {
  return content.layers.map((_, i) => {
    const map = content.map(method, i);
    return map === null || map.reason === null ? null : map.values ? "constant" : "no map here";
  });
}

/**
 * The index of the only layer with a weight; -1 if there are several.
 *
 * @param {string[]} names
 * @param {Record<string, number>} weights
 */
function singleLayer(names, weights) {
  const weighted = names.filter((name) => weights[name] > 0);
  return weighted.length === 1 ? names.indexOf(weighted[0]) : -1;
}

/**
 * All the weight on the next layer; before the first and behind the last, the layers mixed as they were.
 *
 * @param {string[]} names
 * @param {Record<string, number>} weights
 * @param {Record<string, number>} mixed
 * @param {number} step
 */
function nextLayer(names, weights, mixed, step) {
  const from = singleLayer(names, weights);
  const next = from < 0 && step < 0 ? names.length - 1 : from + step;
  return next in names ? Object.fromEntries(names.map((name, i) => [name, i === next ? 1 : 0])) : mixed;
}

/** A method's maps at drawing size, normalised, and for products their logarithms. */
class Prepared {
  constructor() {
    this.maps = whenChanged((/** @type {{content: Content, method: string}} */ { content, method }) => normalisedMaps(content, method, SIZE));
    this.logarithms = whenChanged((/** @type {{maps: (Float32Array | null)[]}} */ { maps }) => logarithmsOf(maps));
  }
}

/**
 * @param {Prepared} prepared
 * @param {{content: Content, method: string, how: string, weights: Record<string, number>}} inputs
 * @param {Float32Array} out
 */
function compute(prepared, { content, method, how, weights }, out) {
  if (content.maps[method].input) {
    const map = content.map(method, 0);
    if (!map?.values || map.reason) return map?.reason ?? "";
    resize(map.values, map.height, map.width, SIZE, out);
    return null;
  }
  const { parts, reason } = partsOf(content, method, weights);
  if (parts === null) return reason;
  const maps = prepared.maps({ content, method });
  if (how === "product") mixProduct(prepared.logarithms({ maps }), parts, out);
  else mixSum(maps, parts, out);
  return null;
}

/**
 * @param {Frame} frame
 * @param {string} method
 */
function caption({ payload, view }, method) {
  if (payload.method(method).maps?.input) return "input, nothing to mix";
  const { content } = payload;
  const empty = content.emptyLayers(method);
  const count = weightsOf(content.layers, view.weights).filter((weight, i) => weight > 0 && !empty[i]).length;
  return count === 0 ? "no layers" : `${view.how} of ${count} ${count === 1 ? "layer" : "layers"}`;
}
