/** A method's layers mixed into one map, as the view's weights ask. */

import { logarithm, mixProduct, mixSum, normalise, resize, shares } from "./maths.js";

/** @import { Content, Layer } from "./payload.js" */

/** @typedef {Record<string, number>} Weights layer -> weight */

/**
 * The weights as they are set, in the order of the layers.
 *
 * @param {Layer[]} layers
 * @param {Weights} weights
 */
export function weightsOf(layers, weights) {
  return layers.map((layer) => weights[layer.name]);
}

/**
 * Each layer's share in the mix of a method's maps, or why there is no mix.
 *
 * @param {Content} content
 * @param {string} method
 * @param {Weights} weights
 * @returns {{parts: number[], reason: null} | {parts: null, reason: string}}
 */
export function partsOf(content, method, weights) {
  const wanted = weightsOf(content.layers, weights);
  if (wanted.every((weight) => weight === 0)) {
    return { parts: null, reason: "All weights are zero. Raise at least one layer’s weight to see a map." };
  }
  const empty = content.emptyLayers(method);
  const parts = shares(wanted.map((weight, i) => (empty[i] ? 0 : weight)));
  if (parts.some((part) => part > 0)) return { parts, reason: null };
  const reason = "This method has nothing to mix at the layers that have a weight. Raise another layer’s weight to see a map.";
  return { parts: null, reason };
}

/**
 * A method's maps resized to size × size (or `across` wide) and normalised, null where there is nothing to see.
 *
 * @param {Content} content
 * @param {string} method
 * @param {number} size
 * @param {number} [across]
 */
export function normalisedMaps(content, method, size, across = size) {
  return content.layers.map((_, i) => {
    const map = content.map(method, i);
    return map?.values && map.reason === null ? normalise(resize(map.values, map.height, map.width, size, undefined, across)) : null;
  });
}

/**
 * The maps' logarithms, for products.
 *
 * @param {(Float32Array | null)[]} maps
 */
export function logarithmsOf(maps) {
  return maps.map((map) => map && logarithm(map));
}

/**
 * The mixed map of a method, computed from scratch into `out`; returns why there is none, or null.
 *
 * @param {{content: Content, method: string, weights: Weights, how: string, size: number, across?: number}} inputs
 * @param {Float32Array} out
 */
export function mixInto({ content, method, weights, how, size, across }, out) {
  const { parts, reason } = partsOf(content, method, weights);
  if (parts === null) return reason;
  const maps = normalisedMaps(content, method, size, across);
  if (how === "product") mixProduct(logarithmsOf(maps), parts, out);
  else mixSum(maps, parts, out);
  return null;
}
