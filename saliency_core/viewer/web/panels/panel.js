/** One panel: its head, photo with its map, caption, colour bar. */

import { SIZE, extent } from "./maths.js";
import { paint, position, cssColor, LEVELS } from "./colors.js";
import { number } from "./format.js";
import { element, setText } from "./dom.js";
import { cover } from "./stage.js";

/** The cursor that all maps share. */
export const CROSSHAIR =
  '<svg viewBox="-12 -12 24 24" width="24" height="24"><g fill="none" stroke-linecap="round">' +
  '<path class="halo" d="M-10 0H-4M4 0H10M0-10V-4M0 4V10"/><path class="line" d="M-10 0H-4M4 0H10M0-10V-4M0 4V10"/></g></svg>';

/** The part of a page on which one map is drawn. `head` is what stands above it: {element, sheet or null}. */
export class Panel {
  constructor(side, head) {
    this.values = new Float32Array(SIZE * SIZE);
    this.extent = { low: 0, high: 0 };
    this.scale = this.extent;
    this.table = null;
    this.note = null;
    this.photo = element("img", { class: "photo", alt: "", draggable: "false", decoding: "async" });
    this.veil = element("div", { class: "veil" });
    this.photoFrame = element("div", { class: "photo-frame" }, this.photo, this.veil);
    this.canvas = element("canvas", { class: "map", width: SIZE, height: SIZE, role: "img", "data-testid": `map-${side}` });
    this.context = this.canvas.getContext("2d", { willReadFrequently: true }); // only ever written as raw pixels
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
    );
    this.caption = element("p", { class: "caption", "data-testid": `caption-${side}` });
    this.low = element("b", { class: "bound low" });
    this.high = element("b", { class: "bound high" });
    this.lowMeaning = element("span", { class: "meaning low" });
    this.highMeaning = element("span", { class: "meaning high" });
    this.bar = element("canvas", { class: "bar-colors", width: LEVELS, height: 1, "aria-hidden": "true" });
    this.marker = element("span", { class: "bar-marker", hidden: true });
    this.zero = element("span", { class: "bar-zero", hidden: true, title: "0" });
    this.legend = element(
      "div",
      { class: "legend", "data-testid": `colorbar-${side}` },
      this.lowMeaning,
      this.low,
      element("div", { class: "bar" }, this.bar, this.zero, this.marker),
      this.high,
      this.highMeaning,
    );
    this.element = element(
      "section",
      { class: "panel", "aria-label": `${side} map` },
      head.element,
      this.stage,
      this.caption,
      this.legend,
      head.sheet,
    );
  }

  /** Lays photo and map on the stage. */
  setStage(stage, photoUrl, photoName) {
    this.stage.style.setProperty("--aspect", String(stage.aspect));
    if (this.photo.src !== photoUrl) this.photo.src = photoUrl;
    this.photo.alt = `Photo ${photoName}`;
    cover(this.photoFrame, stage.photo);
    cover(this.canvas, stage.box);
    cover(this.outline, stage.box);
    const [left, top, right, bottom] = stage.photo;
    const within = (value, from, to) => (value - from) / (to - from);
    cover(this.veil, [
      within(stage.box[0], left, right),
      within(stage.box[1], top, bottom),
      within(stage.box[2], left, right),
      within(stage.box[3], top, bottom),
    ]);
    this.veil.hidden = this.outline.hidden = !stage.surrounded;
  }

  /**
   * Announces new values in `this.values`, or, with a note {text, kind}, that there is no map and why; kind is
   * "empty", "waiting" (it is being computed) or "unavailable".
   */
  measure(note) {
    this.note = note;
    this.extent = note ? null : extent(this.values);
    if (this.extent && this.extent.high === this.extent.low) {
      this.note = { kind: "empty", text: "The map has the same value everywhere, so there is nothing to colour." };
      this.extent = null;
    }
  }

  /** Draws the measured values on a scale, or shows the note instead. */
  draw(scale, table) {
    this.scale = scale;
    this.table = table;
    this.canvas.hidden = this.note !== null;
    this.noteText.hidden = this.note === null;
    this.legend.classList.toggle("empty", this.note !== null);
    this.stage.dataset.state = this.note?.kind ?? "map";
    if (this.note) {
      setText(this.noteText, this.note.text);
      return;
    }
    paint(this.values, scale, table, this.pixels);
    this.context.putImageData(this.image, 0, 0);
    setText(this.low, number(scale.low));
    setText(this.high, number(scale.high));
  }

  /** The words around the map. `signed`: the method's values below 0 mean something; `meanings`: of both ends. */
  describe(caption, signed, meanings = null) {
    setText(this.caption, caption);
    const { low, high } = this.scale ?? { low: 0, high: 0 };
    const highest = high <= 0 ? "less negative" : signed || low < 0 ? "positive" : "high share";
    const [lowMeaning, highMeaning] = meanings ?? [low < 0 ? "negative" : "low share", highest];
    setText(this.lowMeaning, lowMeaning);
    setText(this.highMeaning, highMeaning);
    const state = this.note?.text ?? (this.extent ? `from ${number(this.extent.low)} to ${number(this.extent.high)}` : "");
    this.canvas.setAttribute("aria-label", `${caption}; ${state}`);
    this.stage.setAttribute("aria-label", `${caption}. Arrow keys move the cursor, plus and minus zoom, 0 shows everything.`);
    const crossing = low < 0 && high > 0;
    this.zero.hidden = !crossing;
    if (crossing) this.zero.style.left = `${100 * position(0, this.scale)}%`;
  }

  /** Paints the colour bar; only needed when the colour map changes. */
  drawBar(table) {
    const image = new ImageData(LEVELS, 1);
    new Uint32Array(image.data.buffer).set(table);
    this.bar.getContext("2d").putImageData(image, 0, 0);
  }

  /** The value at a point of the box ([0, 1]²), or null where there is none. */
  valueAt([u, v]) {
    if (this.note || u < 0 || v < 0 || u >= 1 || v >= 1) return null;
    return this.values[Math.floor(v * SIZE) * SIZE + Math.floor(u * SIZE)];
  }

  /** Colour of a value as it is drawn. */
  colorOf(value) {
    return cssColor(value, this.scale, this.table);
  }

  /** Puts the cursor on a point of the stage's scene and marks its value on the colour bar; null removes both. */
  point(scenePoint, value) {
    this.cursor.hidden = scenePoint === null;
    this.marker.hidden = value === null;
    if (scenePoint) {
      this.cursor.style.left = `${100 * scenePoint[0]}%`;
      this.cursor.style.top = `${100 * scenePoint[1]}%`;
    }
    if (value !== null) this.marker.style.left = `${100 * position(value, this.scale)}%`;
  }
}
