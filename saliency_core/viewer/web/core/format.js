/** Numbers and layer sizes as text. */

const SUPERSCRIPT = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/**
 * @param {number} integer
 */
function superscript(integer) {
  const digits = [...String(Math.abs(integer))].map((digit) => SUPERSCRIPT[Number(digit)]).join("");
  return integer < 0 ? `⁻${digits}` : digits;
}

/**
 * Three significant digits, powers of ten beyond 0.001 … 9999, a true minus sign.
 *
 * @param {number} value
 */
export function number(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  const sign = value < 0 ? "−" : "";
  if (size >= 1e-3 && size < 1e4) return sign + String(Number(size.toPrecision(3)));
  const [digits, power] = size.toExponential(2).split("e");
  return `${sign}${Number(digits)} × 10${superscript(Number(power))}`;
}

/**
 * A share of 1 as a percentage: two significant digits below 10%, whole percents above; tiny shares are never
 * written as 0. The app's pages have the same rule.
 *
 * @param {number} share
 */
export function percent(share) {
  const value = 100 * share;
  if (value > 0 && value < 0.01) return "<0.01%";
  return `${value < 9.95 ? Number(value.toPrecision(2)) : Math.round(value)}%`;
}

/**
 * A probability, or its change by a meta step: "94% → 99%".
 *
 * @param {number} before
 * @param {number | null} after null without a step
 */
export function change(before, after) {
  return after === null ? percent(before) : `${percent(before)} → ${percent(after)}`;
}

/**
 * A class with its probability; the name alone where the network has no classes, so that there is no probability.
 *
 * @param {string} label
 * @param {number | null} before
 * @param {number | null} [after] null without a step
 */
export function classText(label, before, after = null) {
  return before === null ? label : `${label} ${change(before, after)}`;
}

/**
 * Weights with the same number of decimals: two, as their sliders step, or as many as the finest (a preset's) needs,
 * up to four.
 *
 * @param {number[]} values
 */
export function weightTexts(values) {
  const decimals = values.map((value) => String(Number(value.toFixed(4))).split(".")[1]?.length ?? 0);
  return values.map((value) => value.toFixed(Math.max(2, ...decimals)));
}

/**
 * "14 × 14"
 *
 * @param {{height: number, width: number}} layer
 */
export function layerSize(layer) {
  return `${layer.height} × ${layer.width}`;
}

/**
 * What a layer is called first: its stage, or its own name if it is none.
 *
 * @param {import("./payload.js").Layer} layer
 */
export function layerTitle(layer) {
  return layer.stage === null ? layer.name : `Stage ${layer.stage}`;
}

/**
 * Names with room for a few letters: their last parts, or where these are not all different the numbers in them, as in
 * "1.0" for features.1.0; else the names themselves.
 *
 * @param {string[]} names
 */
export function shortNames(names) {
  const parts = names.map((name) => name.split("."));
  const ways = [parts.map((each) => each[each.length - 1]), parts.map((each) => each.filter((part) => /^\d+$/.test(part)).join("."))];
  return ways.find((short) => new Set(short).size === names.length && !short.includes("")) ?? names;
}

/**
 * How many stages these layers end.
 *
 * @param {import("./payload.js").Layer[]} layers
 */
export function stageCount(layers) {
  return layers.filter(({ stage }) => stage !== null).length;
}

/**
 * What the two ends of the depth of a network are called. That early layers show textures and late ones objects is known
 * of trained networks whose resolution falls with depth alone.
 *
 * @param {import("./payload.js").Layer[]} layers
 * @param {boolean} random whether the weights are random
 * @returns {[string, string]}
 */
export function depthEnds(layers, random) {
  const sizes = layers.filter(({ stage }) => stage !== null).map(({ height, width }) => height * width);
  const falls = sizes.every((size, i) => i === 0 || size <= sizes[i - 1]) && sizes[0] > sizes[sizes.length - 1];
  return falls && !random ? ["edges and textures", "whole objects"] : ["towards the input", "towards the output"];
}

/**
 * A correlation with two decimals and a true minus; never a negative zero.
 *
 * @param {number} value
 */
export function rho(value) {
  const text = value.toFixed(2);
  return (text === "-0.00" ? "0.00" : text).replace("-", "−");
}

/**
 * The size of a meta step: two significant digits, written out.
 *
 * @param {number} size
 */
export function stepText(size) {
  return String(Number(size.toPrecision(2)));
}
