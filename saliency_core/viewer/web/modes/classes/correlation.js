/** What a rank correlation of two classes' maps means: in words, as a position, as a colour. */

/** @import { Figure } from "../mode.js" */

/**
 * The words from the highest correlation down. Near 0 and below 0 the map depends on the class: neither is a failure.
 */
export const BANDS = /** @type {[number, string][]} */ ([
  [0.995, "The same map for both classes."],
  [0.9, "Nearly the same map for both classes."],
  [0.7, "Largely the same map for both classes."],
  [0.4, "The maps agree in part; elsewhere the class decides."],
  [0.1, "The maps have little in common: they depend on the class."],
  [-0.1, "Unrelated maps: they depend on the class."],
  [-0.5, "Partly opposite maps: they depend on the class."],
  [-Infinity, "Opposite maps: the method points to different locations for the two classes."],
]);

/** What the colours of the table mean. */
export const COLOURS = "Blue: same map for both classes. No colour: unrelated. Orange: opposite locations. No colour and orange both depend on the class.";
export const CHANGE_COLOURS = "Blue: the step makes the two maps more alike. No colour: no change. Orange: it makes them differ more.";

/** From this size on figures are written in white, and colours are as strong as that needs. */
const STRONG = 0.7;
const STRENGTH_FOR_WHITE = 82;

/** @param {number} value */
export function meaningOf(value) {
  return (BANDS.find(([from]) => value >= from) ?? BANDS[BANDS.length - 1])[1];
}

/**
 * The position on a scale from +1 on the left to −1 on the right, as a share of its length.
 *
 * @param {number} value
 */
export function dialPosition(value) {
  return (1 - Math.min(Math.max(value, -1), 1)) / 2;
}

/**
 * The colour of a correlation, or of its change: its sign, and its strength in percent.
 *
 * @param {number} value
 * @returns {{sign: "same" | "opposite", strength: number, strong: boolean}}
 */
export function tintOf(value) {
  const size = Math.min(Math.abs(value), 1);
  const strong = size >= STRONG;
  const share = strong ? STRENGTH_FOR_WHITE + ((100 - STRENGTH_FOR_WHITE) * (size - STRONG)) / (1 - STRONG) : 100 * size;
  return { sign: value < 0 ? "opposite" : "same", strength: Math.round(share), strong };
}

/**
 * The change of a figure by the step, or why there is none.
 *
 * @param {Figure} before
 * @param {Figure} after
 * @returns {Figure}
 */
export function changeOf(before, after) {
  if (before.value === null) return { value: null, reason: `Undefined before the step. ${before.reason}` };
  if (after.value === null) return { value: null, reason: `Undefined after the step. ${after.reason}` };
  return { value: after.value - before.value, reason: "" };
}
