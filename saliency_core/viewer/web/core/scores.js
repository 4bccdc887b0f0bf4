/** Whether a map points at the objects, and how much of its energy lies on them. Pure functions, no DOM. */

/** How many pixels of the photo a maximum may lie beside an object: the tolerance of the pointing game. */
export const TOLERANCE = 15;

/** @typedef {[number, number, number, number]} Box left, top, right, bottom */

/** The network's input, to whose pixels maps are resized. @typedef {{rows: number, columns: number}} Size */

/** Where a map is greatest: a pixel of the network's input, counted from 0. @typedef {[row: number, column: number]} Place */

/**
 * For each of `target` pixels along one axis: the cells between whose centres it lies, and the weight of the second one.
 *
 * @param {number} source
 * @param {number} target
 */
function between(source, target) {
  const first = new Int32Array(target);
  const second = new Int32Array(target);
  const weight = new Float64Array(target);
  for (let i = 0; i < target; i++) {
    const position = Math.max(((i + 0.5) * source) / target - 0.5, 0);
    first[i] = Math.min(Math.floor(position), source - 1);
    second[i] = Math.min(first[i] + 1, source - 1);
    weight[i] = position - first[i];
  }
  return { first, second, weight };
}

/**
 * The pixels along one axis where a resized map can be greatest: between two centres of cells its values lie on a line, so
 * the greatest is at the first or the last of the pixels there.
 *
 * @param {number} source
 * @param {number} target
 */
function candidates(source, target) {
  const { first, second, weight } = between(source, target);
  const kept = [...first.keys()].filter((i) => i === 0 || i === target - 1 || first[i - 1] !== first[i] || first[i] !== first[i + 1]);
  const of = (/** @type {{[i: number]: number}} */ values) => kept.map((i) => values[i]);
  return { pixel: kept, first: of(first), second: of(second), weight: of(weight) };
}

/**
 * Where a map is greatest once it is resized (bilinear, align_corners=False), without resizing it: the first place in row
 * order where several are equal. As saliency_core.metrics.pointing.maximum.
 *
 * @param {Float32Array} values height × width
 * @param {number} height
 * @param {number} width
 * @param {Size} size
 * @returns {Place}
 */
export function maximum(values, height, width, { rows, columns }) {
  const down = candidates(height, rows);
  const across = candidates(width, columns);
  const line = new Float64Array(width);
  /** @type {Place} */
  let place = [0, 0];
  let most = -Infinity;
  for (let i = 0; i < down.pixel.length; i++) {
    const top = down.first[i] * width;
    const bottom = down.second[i] * width;
    const lower = down.weight[i];
    // a + w (b - a) is exactly a where a = b: places that are equal stay so.
    for (let x = 0; x < width; x++) line[x] = values[top + x] + lower * (values[bottom + x] - values[top + x]);
    for (let j = 0; j < across.pixel.length; j++) {
      const left = line[across.first[j]];
      const value = left + across.weight[j] * (line[across.second[j]] - left);
      if (value > most) {
        most = value;
        place = [down.pixel[i], across.pixel[j]];
      }
    }
  }
  return place;
}

/**
 * The photo's pixel (x, y) in which the centre of a pixel of the input lies.
 *
 * @param {Place} place
 * @param {Size} size
 * @param {Box} region what the network sees, in the photo's pixels
 * @returns {[number, number]}
 */
export function pointInPhoto([row, column], { rows, columns }, [left, top, right, bottom]) {
  return [
    Math.floor(left + ((column + 0.5) / columns) * (right - left)),
    Math.floor(top + ((row + 0.5) / rows) * (bottom - top)),
  ];
}

/**
 * A box of which the network sees something: its edges as far as they lie on the photo, and the pixels that are seen, from
 * the first column and row to one past the last.
 *
 * @typedef {{edges: Box, pixels: Box}} SeenBox
 */

/**
 * What of boxes the network sees. A box has the pixels from that with its left edge to that in which its right edge ends,
 * and likewise down.
 *
 * @param {readonly Box[]} boxes in the photo's pixels
 * @param {Box} region what the network sees
 * @param {readonly [number, number]} photo width and height
 * @returns {SeenBox[]}
 */
export function seenBoxes(boxes, region, [width, height]) {
  const within = (/** @type {Box} */ a, /** @type {readonly number[]} */ b) =>
    /** @type {Box} */ ([Math.max(a[0], b[0]), Math.max(a[1], b[1]), Math.min(a[2], b[2]), Math.min(a[3], b[3])]);
  const pixelsOf = (/** @type {Box} */ [left, top, right, bottom]) => /** @type {Box} */ ([Math.floor(left), Math.floor(top), Math.ceil(right), Math.ceil(bottom)]);
  const hasArea = (/** @type {Box} */ [left, top, right, bottom]) => left < right && top < bottom;
  return boxes
    .map((box) => within(box, [0, 0, width, height]))
    .filter(hasArea)
    .map((edges) => ({ edges, pixels: within(pixelsOf(edges), pixelsOf(region)) }))
    .filter(({ pixels }) => hasArea(pixels));
}

/**
 * How far a pixel of the photo is from the nearest one of the boxes, from centre to centre; Infinity without boxes. It
 * hits if it is less than TOLERANCE away.
 *
 * @param {readonly [number, number]} point
 * @param {readonly SeenBox[]} boxes
 */
export function distanceTo([x, y], boxes) {
  const beyond = (/** @type {number} */ at, /** @type {number} */ from, /** @type {number} */ end) => Math.max(from - at, 0, at - (end - 1));
  const squares = boxes.map(({ pixels: [left, top, right, bottom] }) => beyond(x, left, right) ** 2 + beyond(y, top, bottom) ** 2);
  return Math.sqrt(Math.min(Infinity, ...squares));
}

/** The rows from `top` to `bottom` (exclusive) in which the same columns are covered. @typedef {{top: number, bottom: number, spans: [number, number][]}} Band */

/** How much each row and each column of a map contributes to a band of the resized map. @typedef {{from: number, rows: Float64Array, columns: Float64Array}} Part */

/** The pixels of the input that boxes cover, those under several boxes once. */
export class Cover {
  /**
   * @param {readonly Box[]} boxes as fractions of the input; a pixel is covered if its centre is
   * @param {Size} size
   */
  constructor(boxes, size) {
    this.size = size;
    this.bands = bandsOf(boxes, size);
    const width = (/** @type {[number, number][]} */ spans) => spans.reduce((sum, [from, to]) => sum + to - from, 0);
    /** The share of the input that is covered. */
    this.area = this.bands.reduce((sum, { top, bottom, spans }) => sum + (bottom - top) * width(spans), 0) / (size.rows * size.columns);
    /** @type {Map<string, Part[]>} */
    this.parts = new Map();
  }

  /**
   * The same for sums of a map that is not resized yet: bilinear weights are separable.
   *
   * @param {number} height
   * @param {number} width
   */
  weights(height, width) {
    const key = `${height} ${width}`;
    const known = this.parts.get(key);
    if (known) return known;
    const found = this.bands.map(({ top, bottom, spans }) => {
      const rows = added(height, this.size.rows, [[top, bottom]]);
      const from = rows.findIndex((weight) => weight > 0);
      const until = rows.findLastIndex((weight) => weight > 0) + 1;
      return { from, rows: rows.subarray(from, until), columns: added(width, this.size.columns, spans) };
    });
    this.parts.set(key, found);
    return found;
  }
}

/**
 * @param {readonly Box[]} boxes
 * @param {Size} size
 * @returns {Band[]}
 */
function bandsOf(boxes, { rows, columns }) {
  const first = (/** @type {number} */ edge, /** @type {number} */ size) => Math.min(Math.max(Math.ceil(edge * size - 0.5), 0), size);
  const pixels = boxes
    .map((box) => box.map((edge, i) => first(edge, i % 2 === 0 ? columns : rows)))
    .filter(([left, top, right, bottom]) => left < right && top < bottom);
  const edges = [...new Set(pixels.flatMap(([, top, , bottom]) => [top, bottom]))].sort((a, b) => a - b);
  return edges.slice(0, -1).flatMap((top, i) => {
    const spans = united(pixels.filter((box) => box[1] <= top && top < box[3]).map(([left, , right]) => /** @type {[number, number]} */ ([left, right])));
    return spans.length > 0 ? [{ top, bottom: edges[i + 1], spans }] : [];
  });
}

/**
 * Intervals that do not overlap and cover the same.
 *
 * @param {[number, number][]} intervals
 */
function united(intervals) {
  /** @type {[number, number][]} */
  const found = [];
  for (const [from, to] of intervals.sort(([a], [b]) => a - b)) {
    const last = found[found.length - 1];
    if (last && from <= last[1]) last[1] = Math.max(last[1], to);
    else found.push([from, to]);
  }
  return found;
}

/**
 * How much each of `source` cells contributes to the sum of the pixels in these spans, of `target` ones.
 *
 * @param {number} source
 * @param {number} target
 * @param {[number, number][]} spans
 */
function added(source, target, spans) {
  const { first, second, weight } = between(source, target);
  const sums = new Float64Array(source);
  for (const [from, to] of spans) {
    for (let i = from; i < to; i++) {
      sums[first[i]] += 1 - weight[i];
      sums[second[i]] += weight[i];
    }
  }
  return sums;
}

/** One map, prepared so that its score for other boxes costs little. */
export class ScoredMap {
  /**
   * @param {Float32Array} values height × width
   * @param {number} height
   * @param {number} width
   * @param {Cover} everything all of the network's input
   */
  constructor(values, height, width, everything) {
    const { size } = everything;
    this.values = values;
    this.height = height;
    this.width = width;
    this.place = maximum(values, height, width, size);
    // The positive part of a resized map is the resized map where it has no negative value. Sums over a large map are
    // looked up.
    const small = 2 * height * width < size.rows * size.columns;
    this.integral = small && values.every((value) => value >= 0) ? null : integralOf(values, height, width, size);
    this.total = this.energy(everything);
  }

  /**
   * The sum of the positive part of the resized map over the pixels covered.
   *
   * @param {Cover} cover
   */
  energy(cover) {
    return this.integral === null ? this.#weighted(cover) : lookedUp(this.integral, cover);
  }

  /**
   * Its share of the whole, null where nothing is positive; as saliency_core.energy_inside at the input's size.
   *
   * @param {Cover} cover
   */
  share(cover) {
    return this.total > 0 ? Math.min(this.energy(cover) / this.total, 1) : null;
  }

  /** @param {Cover} cover */
  #weighted(cover) {
    const { values, height, width } = this;
    let sum = 0;
    for (const { from, rows, columns } of cover.weights(height, width)) {
      for (let y = 0; y < rows.length; y++) {
        const start = (from + y) * width;
        let line = 0;
        for (let x = 0; x < width; x++) line += values[start + x] * columns[x];
        sum += rows[y] * line;
      }
    }
    return sum;
  }
}

/**
 * The sums of the positive part of a resized map over the rectangles from its corner, (rows + 1) × (columns + 1).
 *
 * @param {Float32Array} values
 * @param {number} height
 * @param {number} width
 * @param {Size} size
 */
function integralOf(values, height, width, { rows, columns }) {
  const down = between(height, rows);
  const across = between(width, columns);
  const step = columns + 1;
  const sums = new Float64Array((rows + 1) * step);
  const line = new Float64Array(width);
  for (let y = 0; y < rows; y++) {
    const top = down.first[y] * width;
    const bottom = down.second[y] * width;
    for (let x = 0; x < width; x++) line[x] = values[top + x] + down.weight[y] * (values[bottom + x] - values[top + x]);
    let row = 0;
    for (let x = 0; x < columns; x++) {
      const left = line[across.first[x]];
      row += Math.max(left + across.weight[x] * (line[across.second[x]] - left), 0);
      sums[(y + 1) * step + x + 1] = sums[y * step + x + 1] + row;
    }
  }
  return sums;
}

/**
 * @param {Float64Array} integral
 * @param {Cover} cover
 */
function lookedUp(integral, { bands, size }) {
  let sum = 0;
  for (const { top, bottom, spans } of bands) {
    const [upper, lower] = [top, bottom].map((row) => row * (size.columns + 1));
    for (const [from, to] of spans) sum += integral[lower + to] - integral[lower + from] - integral[upper + to] + integral[upper + from];
  }
  return sum;
}
