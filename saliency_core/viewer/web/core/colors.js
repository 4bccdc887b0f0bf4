/** From values to pixels: colour tables and colour scales. */

/** @typedef {{low: number, high: number}} Scale the values of a colour table's two ends */

/** Number of entries of a colour table. */
export const LEVELS = 256;

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
 * The two ends of a colour scale over one or several extents; a diverging one is symmetric about 0.
 *
 * @param {Scale[]} extents
 * @param {boolean} diverging
 * @returns {Scale}
 */
export function scaleOf(extents, diverging) {
  const low = Math.min(...extents.map((extent) => extent.low));
  const high = Math.max(...extents.map((extent) => extent.high));
  if (!diverging) return { low, high };
  const reach = Math.max(Math.abs(low), Math.abs(high));
  return { low: -reach, high: reach };
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
