/** Arithmetic on maps: resizing, normalising and mixing. Pure functions on Float32Arrays, no DOM. */

/** Side of a drawn map in pixels. */
export const SIZE = 448;

/** Stands for log 0: small enough that any weight makes exp() return 0, finite so that nothing becomes NaN. */
const LOG_ZERO = -1e30;

/**
 * For each of `target` positions: the two source cells it lies between and the second one's weight.
 *
 * @param {number} source
 * @param {number} target
 */
function interpolation(source, target) {
  const first = new Int32Array(target);
  const second = new Int32Array(target);
  const weight = new Float32Array(target);
  const scale = source / target;
  for (let i = 0; i < target; i++) {
    const position = Math.max((i + 0.5) * scale - 0.5, 0);
    first[i] = Math.min(Math.floor(position), source - 1);
    second[i] = Math.min(first[i] + 1, source - 1);
    weight[i] = position - first[i];
  }
  return { first, second, weight };
}

/**
 * Bilinear resize of a height × width map to size × size (or `across` wide), sampled as torch does with
 * align_corners=False.
 *
 * @param {Float32Array} values
 * @param {number} height
 * @param {number} width
 * @param {number} size
 * @param {Float32Array} [out]
 * @param {number} [across]
 */
export function resize(values, height, width, size, out = undefined, across = size) {
  const found = out ?? new Float32Array(size * across);
  const rows = interpolation(height, size);
  const columns = interpolation(width, across);
  const line = new Float32Array(width);
  for (let y = 0, at = 0; y < size; y++) {
    const top = rows.first[y] * width;
    const bottom = rows.second[y] * width;
    const down = rows.weight[y];
    for (let x = 0; x < width; x++) line[x] = values[top + x] * (1 - down) + values[bottom + x] * down;
    for (let x = 0; x < across; x++, at++) {
      const right = columns.weight[x];
      found[at] = line[columns.first[x]] * (1 - right) + line[columns.second[x]] * right;
    }
  }
  return found;
}

/**
 * The one value that resize() would write at pixel (x, y).
 *
 * @param {Float32Array} values
 * @param {number} height
 * @param {number} width
 * @param {number} size
 * @param {number} x
 * @param {number} y
 */
export function resizedAt(values, height, width, size, x, y) {
  const between = (/** @type {number} */ source, /** @type {number} */ pixel) => {
    const position = Math.max(((pixel + 0.5) * source) / size - 0.5, 0);
    const first = Math.min(Math.floor(position), source - 1);
    return [first, Math.min(first + 1, source - 1), position - first];
  };
  const [top, bottom, down] = between(height, y);
  const [left, right, across] = between(width, x);
  const line = (/** @type {number} */ column) => values[top * width + column] * (1 - down) + values[bottom * width + column] * down;
  return line(left) * (1 - across) + line(right) * across;
}

/**
 * Smallest and largest value.
 *
 * @param {Float32Array} values
 */
export function extent(values) {
  let low = Infinity;
  let high = -Infinity;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return { low, high };
}

/**
 * The smallest absolute value that at least a share of the map does not exceed: a percentile without interpolation.
 *
 * A selection by radix: without their signs, floats are in the order of their bits read as integers. Two passes of
 * counting, over the upper and the lower half of the bits, take a fifth of the time of sorting.
 *
 * @param {Float32Array} values
 * @param {number} share in (0, 1]
 */
export function absolutePercentile(values, share) {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const upper = new Uint32Array(1 << 15);
  for (let i = 0; i < bits.length; i++) upper[(bits[i] & 0x7fffffff) >>> 16] += 1;
  const [half, left] = countTo(upper, Math.ceil(share * bits.length));
  const lower = new Uint32Array(1 << 16);
  for (let i = 0; i < bits.length; i++) if ((bits[i] & 0x7fffffff) >>> 16 === half) lower[bits[i] & 0xffff] += 1;
  const [rest] = countTo(lower, left);
  return new Float32Array(Uint32Array.of((half << 16) | rest).buffer)[0];
}

/**
 * Where the running sum of counts reaches `rank`, and what is left of it there.
 *
 * @param {Uint32Array} counts
 * @param {number} rank
 */
function countTo(counts, rank) {
  let at = 0;
  let left = rank;
  while (left > counts[at]) left -= counts[at++];
  return [at, left];
}

/**
 * Min-max normalisation to [0, 1], in place. A constant map becomes zeros.
 *
 * @param {Float32Array} values
 */
export function normalise(values) {
  const { low, high } = extent(values);
  const scale = high > low ? 1 / (high - low) : 0;
  for (let i = 0; i < values.length; i++) values[i] = (values[i] - low) * scale;
  return values;
}

/**
 * The share of a map's positive part that lies inside boxes, null for a map without one. A pixel is inside if its centre is.
 *
 * As saliency_core.energy_inside.
 *
 * @param {Float32Array} values size × size
 * @param {number} size
 * @param {[number, number, number, number][]} boxes as fractions of the map
 */
export function energyInside(values, size, boxes) {
  const mask = new Uint8Array(size * size);
  for (const box of boxes) {
    const [left, top, right, bottom] = box.map((edge) => Math.min(Math.max(Math.ceil(edge * size - 0.5), 0), size));
    for (let y = top; y < bottom; y++) mask.fill(1, y * size + left, y * size + right);
  }
  let inside = 0;
  let total = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (!(value > 0)) continue;
    total += value;
    if (mask[i] === 1) inside += value;
  }
  return total > 0 ? inside / total : null;
}

/**
 * Natural logarithm of values in [0, 1], with a finite stand-in for log 0.
 *
 * @param {Float32Array} values
 */
export function logarithm(values) {
  const out = new Float32Array(values.length);
  for (let i = 0; i < values.length; i++) out[i] = values[i] > 0 ? Math.log(values[i]) : LOG_ZERO;
  return out;
}

/**
 * Weights divided by their sum; all zero when the sum is.
 *
 * @param {number[]} weights
 */
export function shares(weights) {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => (total > 0 ? weight / total : 0));
}

/**
 * Σ share × map. Maps whose share is 0 do not count.
 *
 * @param {(Float32Array | null)[]} maps
 * @param {number[]} parts
 * @param {Float32Array} out
 */
function accumulate(maps, parts, out) {
  out.fill(0);
  maps.forEach((map, k) => {
    const part = parts[k];
    if (part === 0 || map === null) return;
    for (let i = 0; i < out.length; i++) out[i] += part * map[i];
  });
  return out;
}

/**
 * Weighted arithmetic mean Σ γ m of maps in [0, 1].
 *
 * @param {(Float32Array | null)[]} maps
 * @param {number[]} parts
 * @param {Float32Array} out
 */
export function mixSum(maps, parts, out) {
  return accumulate(maps, parts, out);
}

/**
 * Weighted geometric mean Π m^γ = exp(Σ γ log m), from the maps' logarithms; 0⁰ = 1.
 *
 * @param {(Float32Array | null)[]} logarithms
 * @param {number[]} parts
 * @param {Float32Array} out
 */
export function mixProduct(logarithms, parts, out) {
  accumulate(logarithms, parts, out);
  for (let i = 0; i < out.length; i++) {
    const power = out[i] * Math.LOG2E; // at most 0, but for rounding
    const whole = power < -SMALLEST_POWER ? -SMALLEST_POWER : (power - 0.5) | 0;
    const f = power - whole; // within ±1/2, where five terms of 2^f leave a relative error of 3e-6
    const terms = 0.05550410866 + f * (0.00961812911 + f * 0.00133335581);
    out[i] = power < -SMALLEST_POWER ? 0 : (1 + f * (0.69314718056 + f * (0.24022650696 + f * terms))) * POWERS[-whole];
  }
  return out;
}

/** 2^-k; Math.exp alone would take a third of a frame. */
const SMALLEST_POWER = 126;
const POWERS = Float64Array.from({ length: SMALLEST_POWER + 1 }, (_, k) => 2 ** -k);
