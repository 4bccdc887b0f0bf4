/** One panel: its head, photo with its map, caption, colour bar. */

import { context2d, element, setText } from "../controls/dom.js";
import { cssColor, paint, scaleOf } from "../core/colors.js";
import { number, percent } from "../core/format.js";
import { extent, SIZE } from "../core/maths.js";
import { Legend } from "./legend.js";
import { cover } from "./stage.js";
import { weightsMark } from "./weights-mark.js";

/** @import { Scale } from "../core/colors.js" */
/** @import { Note } from "../modes/mode.js" */
/** @import { Meanings } from "./legend.js" */
/** @import { Stage } from "./stage.js" */

/** The cursor that all maps share. */
export const CROSSHAIR =
  '<svg viewBox="-12 -12 24 24" width="24" height="24"><g fill="none" stroke-linecap="round">' +
  '<path class="halo" d="M-10 0H-4M4 0H10M0-10V-4M0 4V10"/><path class="line" d="M-10 0H-4M4 0H10M0-10V-4M0 4V10"/></g></svg>';

/** A map that takes up less of a shared scale than this is nearly of one colour: the colour bar says why. */
const LITTLE = 0.25;

/** Values that differ by less than this share of the largest still get all colours: the colour bar says so. */
const ALIKE = 0.2;

/** The part of a page on which one map is drawn. */
export class Panel {
  /**
   * @param {string} side
   * @param {{element: HTMLElement, sheet: HTMLElement | null}} head what stands above the map
   */
  constructor(side, head) {
    this.values = new Float32Array(SIZE * SIZE);
    /** @type {Scale | null} */
    this.extent = null;
    /**
     * The scale that the map has by itself.
     *
     * @type {Scale | null}
     */
    this.ownScale = null;
    this.diverging = false;
    /** @type {Scale | null} */
    this.scale = null;
    /** @type {Uint32Array | null} */
    this.table = null;
    /** @type {Note | null} */
    this.note = null;
    this.photo = element("img", { class: "photo", alt: "", draggable: "false", decoding: "async" });
    this.veil = element("div", { class: "veil" });
    this.photoFrame = element("div", { class: "photo-frame" }, this.photo, this.veil);
    this.canvas = element("canvas", { class: "map", width: SIZE, height: SIZE, role: "img", "data-testid": `map-${side}` });
    this.context = context2d(this.canvas, { willReadFrequently: true }); // only ever written as raw pixels
    this.image = this.context.createImageData(SIZE, SIZE);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.outline = element("div", { class: "outline" });
    this.cursor = element("div", { class: "cursor", "aria-hidden": "true", hidden: true });
    this.cursor.innerHTML = CROSSHAIR;
    this.scene = element("div", { class: "scene" }, this.photoFrame, this.canvas, this.outline, this.cursor);
    this.noteText = element("p", { class: "note", "data-testid": `note-${side}`, hidden: true });
    this.stage = element(
      "div",
      { class: "stage", tabindex: "0", role: "group", "data-testid": `stage-${side}` },
      this.scene,
      this.noteText,
      weightsMark(),
    );
    this.caption = element("p", { class: "caption", "data-testid": `caption-${side}` });
    this.legend = new Legend(side);
    this.element = element(
      "section",
      { class: "panel", "aria-label": `${side} map` },
      head.element,
      this.stage,
      this.caption,
      this.legend.element,
      head.sheet,
    );
  }

  /**
   * Lays photo and map on the stage.
   *
   * @param {Stage} stage
   * @param {string} photoUrl
   * @param {string} photoName
   */
  setStage(stage, photoUrl, photoName) {
    this.stage.style.setProperty("--aspect", String(stage.aspect));
    if (this.photo.src !== photoUrl) this.photo.src = photoUrl;
    this.photo.alt = `Photo ${photoName}`;
    cover(this.photoFrame, stage.photo);
    cover(this.canvas, stage.box);
    cover(this.outline, stage.box);
    const [left, top, right, bottom] = stage.photo;
    const within = (/** @type {number} */ value, /** @type {number} */ from, /** @type {number} */ to) => (value - from) / (to - from);
    cover(this.veil, [
      within(stage.box[0], left, right),
      within(stage.box[1], top, bottom),
      within(stage.box[2], left, right),
      within(stage.box[3], top, bottom),
    ]);
    this.veil.hidden = this.outline.hidden = !stage.surrounded;
  }

  /**
   * Announces new values in `this.values`, or, with a note, that there is no map and why.
   *
   * @param {Note | null} note
   * @param {boolean} [diverging] whether the colours of the map diverge from zero
   */
  measure(note, diverging = false) {
    this.note = note;
    this.extent = note ? null : extent(this.values);
    if (this.extent && this.extent.high === this.extent.low) {
      this.note = { kind: "empty", text: "The map has the same value everywhere, so there is nothing to colour." };
      this.extent = null;
    }
    this.ownScale = this.extent && scaleOf(this.values, diverging);
    this.diverging = diverging;
  }

  /**
   * Draws the measured values on a scale, or shows the note instead.
   *
   * @param {Scale | null} scale null for no map
   * @param {Uint32Array} table
   */
  draw(scale, table) {
    this.scale = scale;
    this.table = table;
    this.canvas.hidden = this.note !== null;
    this.noteText.hidden = this.note === null;
    this.legend.draw(this.note ? null : scale, table, this.#remark());
    this.stage.dataset.state = this.note?.kind ?? "map";
    if (this.note) setText(this.noteText, this.note.text);
    if (this.note || scale === null) return;
    paint(this.values, scale, table, this.pixels);
    this.context.putImageData(this.image, 0, 0);
  }

  /** What is to be known about the scale beside its ends. */
  #remark() {
    const { extent: all, ownScale: own, scale } = this;
    if (!all || !own || !scale) return "";
    const share = (own.high - own.low) / (scale.high - scale.low);
    if (share < LITTLE) return `this map takes up ${percent(share)} of the shared scale`;
    const spread = (all.high - all.low) / Math.max(all.high, -all.low);
    if (!this.diverging && spread < ALIKE) return `values differ by ${percent(spread)}`;
    return all.low < own.low || all.high > own.high ? "ends at the 99th percentile" : "";
  }

  /**
   * Writes the texts around the map.
   *
   * @param {string} caption
   * @param {Meanings} meanings of the scale's two ends
   */
  describe(caption, meanings) {
    setText(this.caption, caption);
    this.caption.title = caption;
    this.legend.describe(meanings);
    const state = this.note?.text ?? (this.extent ? `from ${number(this.extent.low)} to ${number(this.extent.high)}` : "");
    this.canvas.setAttribute("aria-label", `${caption}; ${state}`);
    this.stage.setAttribute("aria-label", `${caption}. Arrow keys move the cursor, plus and minus zoom, 0 shows everything.`);
  }

  /**
   * The value at a point of the input region ([0, 1]²), or null where there is none.
   *
   * @param {number[]} point
   */
  valueAt([u, v]) {
    if (this.note || u < 0 || v < 0 || u >= 1 || v >= 1) return null;
    return this.values[Math.floor(v * SIZE) * SIZE + Math.floor(u * SIZE)];
  }

  /**
   * Colour of a value as it is drawn.
   *
   * @param {number} value
   */
  colorOf(value) {
    return this.scale && this.table ? cssColor(value, this.scale, this.table) : "transparent";
  }

  /**
   * Puts the cursor on a point of the stage's scene and marks its value on the colour bar; null removes both.
   *
   * @param {number[] | null} scenePoint
   * @param {number | null} value
   */
  point(scenePoint, value) {
    this.cursor.hidden = scenePoint === null;
    this.legend.mark(value);
    if (scenePoint) {
      this.cursor.style.left = `${100 * scenePoint[0]}%`;
      this.cursor.style.top = `${100 * scenePoint[1]}%`;
    }
  }
}
