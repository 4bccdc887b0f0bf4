/** A method's layers mixed into one map, as the view's weights ask. */

import { logarithm, mixProduct, mixSum, normalise, resize, shares } from "./maths.js";

/** The weights as they are set, in the order of the layers. */
export function weightsOf(payload, view) {
  return payload.meta.layers.map((layer) => view.weights[layer.name]);
}

/** {parts, reason}: each layer's share in the mix of a method's maps, or why there is no mix. */
export function partsOf(payload, methodName, view) {
  const wanted = weightsOf(payload, view);
  if (wanted.every((weight) => weight === 0)) {
    return { parts: null, reason: "All weights are zero. Raise at least one layer’s weight to see a map." };
  }
  const empty = payload.emptyLayers(methodName);
  const parts = shares(wanted.map((weight, i) => (empty[i] ? 0 : weight)));
  if (parts.some((part) => part > 0)) return { parts, reason: null };
  const reason = "Every layer that has a weight is constant for this method. Raise another layer’s weight to see a map.";
  return { parts: null, reason };
}

/** A method's maps resized to size × size and normalised, null where there is nothing to see. */
export function normalisedMaps(payload, methodName, size) {
  return payload.emptyLayers(methodName).map((empty, i) => {
    if (empty) return null;
    const map = payload.map(methodName, i);
    return normalise(resize(map.values, map.height, map.width, size));
  });
}

/** The maps' logarithms, for products. */
export function logarithmsOf(maps) {
  return maps.map((map) => map && logarithm(map));
}

/** The mixed map of a method, computed from scratch into `out`; returns why there is none, or null. */
export function mixInto(payload, methodName, view, size, out) {
  const { parts, reason } = partsOf(payload, methodName, view);
  if (reason) return reason;
  const maps = normalisedMaps(payload, methodName, size);
  if (view.how === "product") mixProduct(logarithmsOf(maps), parts, out);
  else mixSum(maps, parts, out);
  return null;
}
