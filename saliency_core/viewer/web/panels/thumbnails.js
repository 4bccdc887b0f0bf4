/** Small pictures of a map on its photo. */

import { context2d } from "../controls/dom.js";
import { paint, scaleOf } from "../core/colors.js";
import { resize } from "../core/maths.js";

/** Side of a thumbnail's canvas in pixels. */
export const THUMBNAIL = 128;

const OPACITY = 0.75;
/** Where only the highest values have it, a map needs more. */
const FADED_OPACITY = 0.95;

/**
 * Draws the input region of the photo over a thumbnail, in grey where the colour belongs to the map.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {HTMLImageElement} photo
 * @param {number[]} box the input region in its pixels
 * @param {boolean} grey
 */
export function drawPhoto(context, photo, [left, top, right, bottom], grey) {
  const { width, height } = context.canvas;
  context.filter = grey ? "grayscale(1)" : "none";
  context.drawImage(photo, left, top, right - left, bottom - top, 0, 0, width, height);
  context.filter = "none";
}

/** Draws thumbnails: the input region of the photo, and the map over it on its own scale. */
export class ThumbnailPainter {
  constructor() {
    this.image = new ImageData(THUMBNAIL, THUMBNAIL);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.values = new Float32Array(THUMBNAIL * THUMBNAIL);
    this.scratch = document.createElement("canvas");
    this.scratch.width = this.scratch.height = THUMBNAIL;
  }

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {HTMLImageElement | null} photo loaded, or null
   * @param {number[]} box the input region in its pixels
   * @param {import("../core/payload.js").RawMap | null} map null draws the photo alone
   * @param {import("../core/colors.js").Colors} colors
   */
  draw(canvas, photo, box, map, { table, diverging, faded }) {
    const context = context2d(canvas);
    context.clearRect(0, 0, THUMBNAIL, THUMBNAIL);
    context.globalAlpha = 1;
    if (photo) drawPhoto(context, photo, box, faded);
    if (!map?.values || map.reason) return;
    resize(map.values, map.height, map.width, THUMBNAIL, this.values);
    paint(this.values, scaleOf(this.values, diverging), table, this.pixels);
    context2d(this.scratch).putImageData(this.image, 0, 0);
    context.globalAlpha = faded ? FADED_OPACITY : OPACITY;
    context.drawImage(this.scratch, 0, 0);
  }
}
