/** Small pictures of a map on its photo. */

import { extent, resize } from "./maths.js";
import { paint, scaleOf } from "./colors.js";

/** Side of a thumbnail's canvas in pixels. */
export const THUMBNAIL = 128;

const MAP_OPACITY = 0.78;

/** Draws thumbnails: the box's part of the photo faintly, the map over it on its own scale. */
export class ThumbnailPainter {
  constructor() {
    this.image = new ImageData(THUMBNAIL, THUMBNAIL);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.values = new Float32Array(THUMBNAIL * THUMBNAIL);
    this.scratch = document.createElement("canvas");
    this.scratch.width = this.scratch.height = THUMBNAIL;
  }

  /** `photo` is a loaded image (or null), `box` in its pixels; `map` as Payload.map gives it, null draws the photo. */
  draw(canvas, photo, box, map, table, diverging) {
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, THUMBNAIL, THUMBNAIL);
    context.globalAlpha = 1;
    if (photo) context.drawImage(photo, box[0], box[1], box[2] - box[0], box[3] - box[1], 0, 0, THUMBNAIL, THUMBNAIL);
    if (map === null || map.reason) return;
    resize(map.values, map.height, map.width, THUMBNAIL, this.values);
    paint(this.values, scaleOf([extent(this.values)], diverging), table, this.pixels);
    this.scratch.getContext("2d").putImageData(this.image, 0, 0);
    context.globalAlpha = MAP_OPACITY;
    context.drawImage(this.scratch, 0, 0);
  }
}
