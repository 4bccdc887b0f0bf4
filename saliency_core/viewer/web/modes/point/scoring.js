/** The scores of every method at every layer, and of its layers mixed, for the boxes on the photo. No DOM. */

import { mixInto } from "../../core/mixing.js";
import { Cover, distanceTo, pointInPhoto, ScoredMap, seenBoxes, TOLERANCE } from "../../core/scores.js";

/** @import { Content, Method, RawMap } from "../../core/payload.js" */
/** @import { Box, SeenBox, Size } from "../../core/scores.js" */

/** The column of the layers mixed, where others have the name of a layer. */
export const MIX = "mix";

/** Shares that differ by no more than this are the same but for rounding. */
const ALIKE = 1e-6;

/**
 * The score of one map. `open`: there is no box to hit. Where the map is `constant`, has not been mixed yet (`waiting`) or
 * does not exist (`none`), `reason` says why there is nothing to see.
 *
 * @typedef {object} Score
 * @property {"hit" | "miss" | "open" | "constant" | "none" | "waiting"} state
 * @property {string} reason
 * @property {readonly [number, number] | null} point where the map is greatest, in the photo's pixels
 * @property {number} distance from there to the boxes, in the photo's pixels
 * @property {number | null} share of its energy inside the boxes; null where no value is positive, or no box is known
 */

/**
 * A method's scores: one per layer and that of the mix, or one alone for a method of the input (`whole`). `best` is the
 * layer with the greatest share, -1 if all have the same; `hits` counts the layers that hit, of the `maps` that there are: a
 * constant one has no maximum, which counts as a miss.
 *
 * @typedef {{method: Method, whole: boolean, scores: Score[], best: number, hits: number, maps: number}} Row
 */

/** The boxes that the network sees, and what they cover of its input. @typedef {{boxes: SeenBox[], cover: Cover}} Target */

/** @typedef {{map: ScoredMap | null, constant: boolean, reason: string}} Prepared */

/**
 * The boxes that a view shows: those drawn, or those known of the objects of the explained class.
 *
 * @param {Content} content
 * @param {"objects" | Box[]} boxes
 * @returns {readonly Box[]}
 */
export function boxesOf(content, boxes) {
  return boxes === "objects" ? content.targetPixels : boxes;
}

/**
 * What of the boxes the network sees.
 *
 * @param {{content: Content, size: Size, boxes: readonly Box[]}} inputs
 * @returns {Target}
 */
export function targetOf({ content, size, boxes }) {
  const [left, top, right, bottom] = content.region;
  const seen = seenBoxes(boxes, content.region, content.photo.original);
  const fractions = seen.map(
    ({ edges }) => /** @type {Box} */ (edges.map((edge, i) => (i % 2 === 0 ? (edge - left) / (right - left) : (edge - top) / (bottom - top)))),
  );
  return { boxes: seen, cover: new Cover(fractions, size) };
}

/** The maps of one explanation, prepared once each: what depends on the boxes is little after that. */
export class Maps {
  /**
   * @param {Content} content
   * @param {number[]} inputSize channels, rows, columns
   */
  constructor(content, [, rows, columns]) {
    this.content = content;
    this.size = { rows, columns };
    this.everything = new Cover([[0, 0, 1, 1]], this.size);
    /** @type {Map<string, Prepared[]>} */
    this.known = new Map();
  }

  /**
   * The maps of a method: one for every layer, or the one of the input.
   *
   * @param {Method} method
   */
  of({ name, maps }) {
    const known = this.known.get(name);
    if (known) return known;
    const { content } = this;
    const layers = maps?.input ? content.layers.slice(0, 1) : content.layers;
    const found = layers.map((_, i) => this.#prepared(/** @type {RawMap} */ (content.map(name, i))));
    this.known.set(name, found);
    return found;
  }

  /**
   * @param {RawMap} map
   * @returns {Prepared}
   */
  #prepared({ values, height, width, reason }) {
    if (values === null || reason !== null) return { map: null, constant: values !== null, reason: reason ?? "" };
    return { map: new ScoredMap(values, height, width, this.everything), constant: false, reason: "" };
  }
}

/** The mixes of one explanation's maps for the same weights: they take longer, so that they are made one after another. */
export class Mixes {
  /**
   * @param {Maps} maps
   * @param {Record<string, number>} weights
   * @param {string} how
   */
  constructor(maps, weights, how) {
    this.maps = maps;
    this.weights = weights;
    this.how = how;
    /** @type {Map<string, Prepared>} */
    this.known = new Map();
  }

  /**
   * Makes some of those that are missing, for at most this long; returns whether any still is.
   *
   * @param {Method[]} methods
   * @param {number} milliseconds
   */
  make(methods, milliseconds) {
    const missing = methods.filter(({ name, maps }) => !maps?.input && !this.known.has(name));
    const until = performance.now() + milliseconds;
    while (missing.length > 0 && performance.now() < until) {
      const { name } = /** @type {Method} */ (missing.shift());
      this.known.set(name, this.#mixed(name));
    }
    return missing.length > 0;
  }

  /**
   * @param {string} method
   * @returns {Prepared}
   */
  #mixed(method) {
    const { maps, weights, how } = this;
    const { rows, columns } = maps.size;
    const values = new Float32Array(rows * columns);
    const reason = mixInto({ content: maps.content, method, weights, how, size: rows, across: columns }, values);
    const map = reason === null ? new ScoredMap(values, rows, columns, maps.everything) : null;
    return { map, constant: false, reason: reason ?? "" };
  }
}

/** @type {Score} */
const WAITING = { state: "waiting", reason: "Being mixed.", point: null, distance: Infinity, share: null };

/**
 * @param {Prepared | undefined} prepared
 * @param {Maps} maps
 * @param {Target} target
 * @returns {Score}
 */
function scoreOf(prepared, { content, size }, { boxes, cover }) {
  if (prepared === undefined) return WAITING;
  const { map, constant, reason } = prepared;
  if (map === null) return { state: constant ? "constant" : "none", reason, point: null, distance: Infinity, share: null };
  const point = pointInPhoto(map.place, size, content.region);
  if (boxes.length === 0) return { state: "open", reason: "", point, distance: Infinity, share: null };
  const distance = distanceTo(point, boxes);
  return { state: distance < TOLERANCE ? "hit" : "miss", reason: "", point, distance, share: map.share(cover) };
}

/**
 * The rows of the table, in the order of the methods. `made` is how many mixes there are: they come one by one.
 *
 * @param {{methods: Method[], maps: Maps, mixes: Mixes, made: number, target: Target}} inputs
 * @returns {Row[]}
 */
export function rowsOf({ methods, maps, mixes, target }) {
  return methods.map((method) => {
    const whole = method.maps?.input !== null;
    const scores = maps.of(method).map((each) => scoreOf(each, maps, target));
    const shares = scores.map(({ share }) => share ?? -1);
    const most = Math.max(...shares);
    // Where all are the same, none is the best.
    const best = shares.some((share) => share >= 0 && share < most - ALIKE) ? shares.indexOf(most) : -1;
    const hits = scores.filter(({ state }) => state === "hit").length;
    const count = scores.filter(({ state }) => state !== "none").length;
    if (!whole) scores.push(scoreOf(mixes.known.get(method.name), maps, target));
    return { method, whole, scores, best, hits, maps: count };
  });
}

/**
 * A method's score in a column, counted from 0: the layers, then their mix.
 *
 * @param {Row} row
 * @param {number} column
 */
export function scoreAt({ whole, scores }, column) {
  return scores[whole ? 0 : column];
}

/**
 * The rows from the greatest to the least in a column, those without a number last; as they come where there is none to
 * sort by.
 *
 * @param {{rows: Row[], sort: string, content: Content}} inputs
 */
export function sorted({ rows, sort, content }) {
  const column = sort === MIX ? content.layers.length : content.layerIndex(sort);
  const bestOf = (/** @type {Row} */ { scores }) => Math.max(...scores.map(({ share }) => share ?? -1));
  const keys = (/** @type {Row} */ row) => (sort === "hits" ? [row.hits / Math.max(row.maps, 1), bestOf(row)] : [scoreAt(row, column).share ?? -1]);
  if (sort !== "hits" && column < 0) return rows;
  const keyed = rows.map((row) => ({ row, key: keys(row) }));
  const difference = (/** @type {number[]} */ a, /** @type {number[]} */ b) => a.map((value, i) => b[i] - value).find((each) => each !== 0) ?? 0;
  return keyed.sort((a, b) => difference(a.key, b.key)).map(({ row }) => row);
}
