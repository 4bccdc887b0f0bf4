/** Geometry of a stage (the viewport onto the photo) and the zoom that all stages share. */

/** @typedef {[number, number, number, number]} Rectangle left, top, right, bottom */
/** @typedef {[number, number]} Point */

const CLOSEST = 16;

const clamp = (/** @type {number} */ value, /** @type {number} */ low, /** @type {number} */ high) => Math.min(Math.max(value, low), high);

/**
 * Shortens one axis of `all` to at most `length` around the middle of [from, to], never cutting into it.
 *
 * @param {Point} all
 * @param {number} from
 * @param {number} to
 * @param {number} length
 * @returns {Point}
 */
function shorten(all, from, to, length) {
  const size = Math.max(length, to - from);
  const start = clamp((from + to - size) / 2, all[0], all[1] - size);
  return [start, start + size];
}

/**
 * Where the photo and the box (the input region) lie on the stage.
 *
 * The stage has the same proportions for every photo. It shows as much of the photo around the box as fits: the
 * surroundings are cut, the box never. What is cut is reached by zooming out or dragging.
 */
export class Stage {
  /**
   * @param {{width: number, height: number}} photo
   * @param {Rectangle} box
   * @param {number} aspect width / height of the stage
   */
  constructor(photo, box, aspect) {
    /** @type {Rectangle} */
    const all = [Math.min(0, box[0]), Math.min(0, box[1]), Math.max(photo.width, box[2]), Math.max(photo.height, box[3])];
    /** @type {Point} */
    let across = [all[0], all[2]];
    /** @type {Point} */
    let down = [all[1], all[3]];
    const ratio = (all[2] - all[0]) / (all[3] - all[1]);
    if (ratio > aspect) across = shorten(across, box[0], box[2], (all[3] - all[1]) * aspect);
    if (ratio < aspect) down = shorten(down, box[1], box[3], (all[2] - all[0]) / aspect);
    const width = across[1] - across[0];
    const height = down[1] - down[0];
    this.aspect = aspect;
    // In stage widths per photo pixel, so that everything below is a fraction of the stage whatever its size on screen.
    this.unit = Math.min(1 / width, 1 / (this.aspect * height));
    this.origin = [
      (1 - width * this.unit) / 2 - across[0] * this.unit,
      (1 / this.aspect - height * this.unit) / 2 - down[0] * this.unit,
    ];
    this.photo = this.locate([0, 0, photo.width, photo.height]);
    this.box = this.locate(box);
    this.all = this.locate(all);
    this.surrounded = box[0] > 0.5 || box[1] > 0.5 || box[2] < photo.width - 0.5 || box[3] < photo.height - 0.5;
  }

  /**
   * A rectangle in photo pixels as fractions of the stage.
   *
   * @param {Rectangle} rectangle
   * @returns {Rectangle}
   */
  locate(rectangle) {
    const [x, y] = this.origin;
    return [
      x + rectangle[0] * this.unit,
      (y + rectangle[1] * this.unit) * this.aspect,
      x + rectangle[2] * this.unit,
      (y + rectangle[3] * this.unit) * this.aspect,
    ];
  }
}

/**
 * Writes a rectangle in fractions of the stage as an absolutely positioned element's style.
 *
 * @param {HTMLElement} node
 * @param {Rectangle} rectangle
 */
export function cover(node, [left, top, right, bottom]) {
  node.style.left = `${100 * left}%`;
  node.style.top = `${100 * top}%`;
  node.style.width = `${100 * (right - left)}%`;
  node.style.height = `${100 * (bottom - top)}%`;
}

/** Scale and shift of the scene on the stage: on screen = shift + scale × at rest, in fractions of the stage. */
export class Zoom {
  /** @param {Stage} stage */
  constructor(stage) {
    this.stage = stage;
    this.scale = 1;
    this.shift = [0, 0];
  }

  /** Back to the resting view. */
  reset() {
    this.scale = 1;
    this.shift = [0, 0];
  }

  get zoomed() {
    return Math.abs(this.scale - 1) > 1e-3;
  }

  /** Whether a part of the scene lies beyond the stage, so that dragging has something to show. */
  get pannable() {
    const all = this.stage.all;
    return this.scale * (all[2] - all[0]) > 1.001 || this.scale * (all[3] - all[1]) > 1.001;
  }

  /**
   * Zooms by a factor and keeps the scene's point under `at` (fractions of the stage) where it is.
   *
   * @param {number} factor
   * @param {number[]} at
   */
  by(factor, at = [0.5, 0.5]) {
    const all = this.stage.all;
    const farthest = Math.min(1, 1 / (all[2] - all[0]), 1 / (all[3] - all[1]));
    const scale = clamp(this.scale * factor, farthest, CLOSEST);
    this.#settle(scale, [0, 1].map((axis) => at[axis] - ((at[axis] - this.shift[axis]) * scale) / this.scale));
  }

  /**
   * Moves the scene by a difference in fractions of the stage.
   *
   * @param {number[]} difference
   */
  pan(difference) {
    this.#settle(this.scale, [this.shift[0] + difference[0], this.shift[1] + difference[1]]);
  }

  /** Fills the stage with the box. */
  toBox() {
    const [left, top, right, bottom] = this.stage.box;
    const scale = Math.min(1 / (right - left), 1 / (bottom - top));
    this.#settle(scale, [0.5 - (scale * (left + right)) / 2, 0.5 - (scale * (top + bottom)) / 2]);
  }

  /**
   * The scene's point that is seen at a point of the stage.
   *
   * @param {number[]} at
   * @returns {Point}
   */
  sceneAt(at) {
    return [(at[0] - this.shift[0]) / this.scale, (at[1] - this.shift[1]) / this.scale];
  }

  /**
   * Takes a scale and a shift, keeping the scene's edges outside the stage or, where it is smaller, its middle inside.
   *
   * @param {number} scale
   * @param {number[]} shift
   */
  #settle(scale, shift) {
    const all = this.stage.all;
    this.scale = scale;
    this.shift = [0, 1].map((axis) => {
      const [from, to] = [scale * all[axis], scale * all[axis + 2]];
      return to - from >= 1 ? clamp(shift[axis], 1 - to, -from) : (1 - from - to) / 2;
    });
    // A stage at rest is centred on the box; leave rounding errors out of it.
    if (!this.zoomed) this.scale = 1;
  }
}
