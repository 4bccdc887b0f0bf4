/** Meta steps of several sizes: where a size lies among the computed ones, and maps and figures between two of them. */

/** @import { Content, MapRecord, RawMap } from "../../core/payload.js" */
/** @import { Figure } from "../mode.js" */

/**
 * Explanations of both classes after a meta step, for several sizes in rising order.
 *
 * @typedef {object} Sweep
 * @property {string} method the only one whose maps there are
 * @property {boolean} ascend
 * @property {boolean} complete
 * @property {{epsilon: number, maps: MapRecord[], probabilities: number[]}[]} steps the probabilities are those of both
 *   classes, each after the step for it
 */

/** A position closer to a size than this share of the gap to the next counts as the size itself. */
const NEAR = 1e-6;

/**
 * Where a size lies among the computed ones: 0 is the first, 1 the second, 1.5 halfway (in log ε) to the third.
 *
 * @param {number[]} sizes
 * @param {number} epsilon
 */
export function positionOf(sizes, epsilon) {
  const next = sizes.findIndex((size) => size >= epsilon * (1 - 1e-9));
  if (next <= 0) return next < 0 ? sizes.length - 1 : 0;
  const [low, high] = [sizes[next - 1], sizes[next]];
  const part = low === 0 ? epsilon / high : Math.log(epsilon / low) / Math.log(high / low);
  return next - 1 + Math.min(Math.max(part, 0), 1);
}

/**
 * The size at a position; the inverse of positionOf().
 *
 * @param {number[]} sizes
 * @param {number} position
 */
export function epsilonAt(sizes, position) {
  const index = Math.min(Math.floor(position), sizes.length - 1);
  const part = position - index;
  if (part === 0) return sizes[index];
  const [low, high] = [sizes[index], sizes[index + 1]];
  return low === 0 ? part * high : low * (high / low) ** part;
}

/** @param {Sweep} sweep */
export function sizesOf(sweep) {
  return sweep.steps.map((step) => step.epsilon);
}

/**
 * A class's map at a layer after a step, linear between two computed sizes.
 *
 * @param {Content} content
 * @param {Sweep} sweep
 * @param {number} which 0 for the first class, 1 for the second
 * @param {number} layer
 * @param {number} epsilon
 * @returns {RawMap}
 */
export function mapAfterStep(content, sweep, which, layer, epsilon) {
  const { index, part } = split(sizesOf(sweep), epsilon);
  const from = content.at(sweep.steps[index].maps[which], layer);
  if (part < NEAR) return from;
  const to = content.at(sweep.steps[index + 1].maps[which], layer);
  if (from.values === null || to.values === null) return from;
  const after = to.values;
  const values = from.values.map((value, i) => value + part * (after[i] - value));
  return { ...from, values, reason: from.reason && to.reason };
}

/**
 * A class's probability after a step, linear between two computed sizes.
 *
 * @param {Sweep} sweep
 * @param {number} which
 * @param {number} epsilon
 */
export function probabilityAfterStep(sweep, which, epsilon) {
  const { index, part } = split(sizesOf(sweep), epsilon);
  const from = sweep.steps[index].probabilities[which];
  return part < NEAR ? from : from + part * (sweep.steps[index + 1].probabilities[which] - from);
}

/**
 * A figure after a step, linear between two computed sizes.
 *
 * @param {number[]} sizes
 * @param {Figure[]} figures one per size
 * @param {number} epsilon
 * @returns {Figure}
 */
export function figureAfterStep(sizes, figures, epsilon) {
  const { index, part } = split(sizes, epsilon);
  const from = figures[index];
  if (part < NEAR) return from;
  const to = figures[index + 1];
  if (from.value === null || to.value === null) return from.value === null ? from : to;
  return { value: from.value + part * (to.value - from.value), reason: "", interpolated: true };
}

/**
 * @param {number[]} sizes
 * @param {number} epsilon
 */
function split(sizes, epsilon) {
  const position = positionOf(sizes, epsilon);
  const index = Math.floor(position);
  return { index, part: position - index };
}
