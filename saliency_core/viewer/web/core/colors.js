/** From values to pixels: colour tables and colour scales. */

import { absolutePercentile, extent } from "./maths.js";

/** @typedef {{low: number, high: number}} Scale the values of a colour table's two ends */

/**
 * The colours of one kind of map: a table of 256 pixels, whether its middle stands for zero, and whether the opacity follows the
 * value.
 *
 * @typedef {{table: Uint32Array, diverging: boolean, faded: boolean}} Colors
 */

/** Number of entries of a colour table. */
export const LEVELS = 256;

/** Share of a signed map's values, by size, that its colours distinguish; larger ones take the colour of an end. */
const SIGNED_SHARE = 0.99;

/**
 * An RGB table of 256 × 3 bytes as 256 opaque pixels of a (little-endian) ImageData.
 *
 * @param {Uint8Array} rgb
 */
export function packTable(rgb) {
  const table = new Uint32Array(LEVELS);
  for (let i = 0; i < LEVELS; i++) {
    table[i] = (255 << 24) | (rgb[3 * i + 2] << 16) | (rgb[3 * i + 1] << 8) | rgb[3 * i];
  }
  return table;
}

/**
 * The same colours with opacity that follows the value: none at the low end (of diverging ones: at zero), all at the ends.
 *
 * @param {Colors} colors
 * @returns {Colors}
 */
function fade({ table, diverging }) {
  const pixels = table.map((pixel, i) => {
    const share = i / (LEVELS - 1);
    const alpha = Math.round(255 * (diverging ? Math.abs(2 * share - 1) : share));
    return (alpha << 24) | (pixel & 0xffffff);
  });
  return { table: pixels, diverging, faded: true };
}

/**
 * The colours that a view asks for: of maps with a sign the diverging ones, of others those of the colour map chosen.
 *
 * @param {{colormaps: Map<string, Colors>, name: string, faded: boolean}} choice
 * @returns {(signed: boolean) => Colors}
 */
export function chooseColors({ colormaps, name, faded }) {
  const diverging = [...colormaps.values()].find((colors) => colors.diverging);
  const [plain, signed] = [colormaps.get(name), diverging].map((colors) => {
    const found = /** @type {Colors} */ (colors);
    return faded ? fade(found) : found;
  });
  return (isSigned) => (isSigned ? signed : plain);
}

/**
 * The two ends of a map's own colour scale: its smallest and its largest value, or for diverging colours plus and minus
 * the 99th percentile of its absolute values (the largest one where that is 0), so that 0 is in the middle.
 *
 * @param {Float32Array} values
 * @param {boolean} diverging
 * @returns {Scale}
 */
export function scaleOf(values, diverging) {
  const { low, high } = extent(values);
  if (!diverging) return { low, high };
  const reach = absolutePercentile(values, SIGNED_SHARE) || Math.max(-low, high);
  return { low: -reach, high: reach };
}

/**
 * One scale for several maps, from the scales of each.
 *
 * @param {Scale[]} scales
 * @returns {Scale}
 */
export function sharedScale(scales) {
  return { low: Math.min(...scales.map(({ low }) => low)), high: Math.max(...scales.map(({ high }) => high)) };
}

/**
 * Colours every value: table index = round half up of 255 × its position on the scale.
 *
 * @param {Float32Array} values
 * @param {Scale} scale
 * @param {Uint32Array} table
 * @param {Uint32Array} pixels
 */
export function paint(values, scale, table, pixels) {
  const low = scale.low;
  const factor = factorOf(scale);
  for (let i = 0; i < values.length; i++) {
    const level = ((values[i] - low) * factor + 0.5) | 0;
    pixels[i] = table[Math.min(Math.max(level, 0), 255)];
  }
}

/**
 * The same in two steps, for maps that are drawn again and again: first the table's indices, …
 *
 * @param {Float32Array} values
 * @param {Scale} scale
 * @param {Uint8Array} levels
 */
export function quantise(values, scale, levels) {
  const low = scale.low;
  const factor = factorOf(scale);
  for (let i = 0; i < values.length; i++) {
    const level = ((values[i] - low) * factor + 0.5) | 0;
    levels[i] = Math.min(Math.max(level, 0), 255);
  }
}

/**
 * … then the colours.
 *
 * @param {Uint8Array} levels
 * @param {Uint32Array} table
 * @param {Uint32Array} pixels
 */
export function paintLevels(levels, table, pixels) {
  for (let i = 0; i < levels.length; i++) pixels[i] = table[levels[i]];
}

/**
 * @param {Scale} scale
 */
function factorOf(scale) {
  return scale.high > scale.low ? (LEVELS - 1) / (scale.high - scale.low) : 0;
}

/**
 * Position of a value on a scale, clamped to [0, 1].
 *
 * @param {number} value
 * @param {Scale} scale
 */
export function position(value, scale) {
  if (scale.high <= scale.low) return 0;
  return Math.min(Math.max((value - scale.low) / (scale.high - scale.low), 0), 1);
}

/**
 * CSS colour of a value.
 *
 * @param {number} value
 * @param {Scale} scale
 * @param {Uint32Array} table
 */
export function cssColor(value, scale, table) {
  const pixel = table[Math.floor(position(value, scale) * (LEVELS - 1) + 0.5)];
  return `rgb(${pixel & 255} ${(pixel >> 8) & 255} ${(pixel >> 16) & 255})`;
}
