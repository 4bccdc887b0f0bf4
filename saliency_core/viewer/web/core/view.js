/** The view: everything the user has chosen. Its fields come from Python's schema; this module is generic over them. */

import { shared } from "./redraw.js";

/** @import { Box } from "./scores.js" */

/**
 * A view, complete and valid. The fields are those of saliency_core/viewer/schema.py.
 *
 * @typedef {object} View
 * @property {string} left
 * @property {string} right
 * @property {string} layer
 * @property {string[]} layers explained beside the stages of the network
 * @property {Record<string, number>} weights
 * @property {"product" | "sum"} how
 * @property {number} opacity
 * @property {string} colormap
 * @property {boolean} fade
 * @property {"panel" | "shared"} scale
 * @property {"table" | "layers"} tab
 * @property {boolean} mixed
 * @property {"classes" | "first" | "second"} difference
 * @property {"after" | "before" | "change"} figures
 * @property {boolean} cells
 * @property {"objects" | Box[]} boxes
 * @property {string} sort
 * @property {boolean} modified
 * @property {number} epsilon
 */

/**
 * One row of the schema.
 *
 * @typedef {object} Field
 * @property {string} name
 * @property {string} kind
 * @property {unknown} default
 * @property {string[]} [choices]
 * @property {number} [low]
 * @property {number} [high]
 * @property {number} [most]
 * @property {string[]} [others]
 */

/** The two panels, in reading order. */
export const SIDES = /** @type {const} */ (["left", "right"]);

/**
 * Weights for every layer: missing ones 0, none at all 1, scaled down if one exceeds the sliders' end at 1.
 *
 * @param {any} given
 * @param {string[]} layers
 * @returns {Record<string, number>}
 */
export function completeWeights(given, layers) {
  const weights = layers.map((layer) => given?.[layer]);
  const known = weights.map((weight) => Number.isFinite(weight) && weight >= 0);
  const values = weights.map((weight, i) => (known[i] ? weight : known.includes(true) ? 0 : 1));
  const highest = Math.max(1, ...values);
  return Object.fromEntries(layers.map((layer, i) => [layer, values[i] / highest]));
}

/**
 * The same weights for other layers: a new one gets that of the others where they all have the same, else 0.
 *
 * @param {Record<string, number>} weights
 * @param {string[]} layers
 */
export function carryWeights(weights, layers) {
  const kept = layers.filter((layer) => layer in weights).map((layer) => weights[layer]);
  const fresh = kept.length > 0 && kept.every((weight) => weight === kept[0]) ? kept[0] : 0;
  return Object.fromEntries(layers.map((layer) => [layer, weights[layer] ?? fresh]));
}

/**
 * Those of the names that are layers of the network beside its stages, input to output.
 *
 * @param {any} given
 * @param {any} meta
 * @param {number} most
 */
function extraLayers(given, meta, most) {
  if (!Array.isArray(given)) return undefined;
  const all = /** @type {{name: string, stage: number | null}[]} */ (meta.allLayers ?? []);
  return all.filter(({ name, stage }) => stage === null && given.includes(name)).map(({ name }) => name).slice(0, most);
}

/**
 * Those of the boxes that lie on the photo, clipped to it.
 *
 * @param {any} given
 * @param {any} meta
 * @param {number} most
 */
function boxesOn(given, meta, most) {
  if (given === "objects") return given;
  if (!Array.isArray(given)) return undefined;
  const [width, height] = meta.photo.original;
  return given
    .filter((box) => Array.isArray(box) && box.length === 4 && box.every(Number.isFinite))
    .map(([left, top, right, bottom]) => [Math.max(left, 0), Math.max(top, 0), Math.min(right, width), Math.min(bottom, height)])
    .filter(([left, top, right, bottom]) => left < right && top < bottom)
    .slice(0, most);
}

/**
 * Kind (as in Python's schema) -> the value that something given means, undefined if it cannot be used.
 *
 * @type {Record<string, (given: any, field: Field, meta: any) => unknown>}
 */
const KINDS = {
  choice: (given, field) => (field.choices?.includes(given) ? given : undefined),
  flag: (given) => (typeof given === "boolean" ? given : undefined),
  number: (given, { low = -Infinity, high = Infinity }) => (Number.isFinite(given) ? Math.min(Math.max(given, low), high) : undefined),
  method: (given, _, meta) => named(meta.methods, given),
  layer: (given, _, meta) => named(meta.layers, given),
  column: (given, { others = [] }, meta) => (others.includes(given) ? given : named(meta.layers, given)),
  boxes: (given, { most = 0 }, meta) => boxesOn(given, meta, most),
  layers: (given, { most = 0 }, meta) => extraLayers(given, meta, most),
  weights: (given, _, meta) => completeWeights(given, meta.layers.map((/** @type {{name: string}} */ layer) => layer.name)),
};

/**
 * @param {{name: string}[]} entries
 * @param {string} name
 */
function named(entries, name) {
  return entries.some((entry) => entry.name === name) ? name : undefined;
}

/**
 * A complete, valid view: fields that `given` leaves out, or whose values cannot be used, get the default. Values equal to those of
 * the view `before` keep their identity.
 *
 * @param {Partial<View>} given
 * @param {any} meta
 * @param {View | null} [before]
 * @returns {View}
 */
export function completeView(given, meta, before = null) {
  const fields = /** @type {Field[]} */ (meta.schema).map((field) => {
    const read = KINDS[field.kind];
    const known = read(/** @type {any} */ (given)[field.name], field, meta);
    return [field.name, known === undefined ? (meta.defaults[field.name] ?? field.default) : known];
  });
  return shared(before, Object.fromEntries(fields));
}
