/** Two panels side by side: what Compare and Mix have in common. */

import { element } from "../controls/dom.js";
import { MethodHead } from "../controls/method-picker.js";
import { scaleOf } from "../core/colors.js";
import { whenChanged } from "../core/redraw.js";
import { SIDES } from "../core/view.js";
import { LinkedPanels } from "../panels/linked-panels.js";
import { Panel } from "../panels/panel.js";
import { ThumbnailPainter } from "../panels/thumbnails.js";

/** @import { Scale } from "../core/colors.js" */
/** @import { View } from "../core/view.js" */
/** @import { Frame, Mode, ModeHost } from "./mode.js" */

/**
 * The differences between Compare and Mix.
 *
 * @typedef {object} Variant
 * @property {number} stageHeight highest stage as a share of the window, so that the controls below stay in view
 * @property {HTMLElement} element the controls below the panels
 * @property {(frame: Frame) => void} refresh brings the controls up to the frame
 * @property {(view: View) => Record<string, unknown>} inputs what a panel's map depends on, beside content and method
 * @property {(side: number, inputs: any, out: Float32Array) => string | null} compute a panel's map into `out`; returns
 *   why there is none, or null
 * @property {(frame: Frame, method: string) => string} caption what a caption says between method and class
 * @property {boolean} alwaysShares whether the maps are shares of 1 whatever the method's sign
 * @property {(draw: (canvas: HTMLCanvasElement, layer: number, side: number) => void) => void} drawThumbnails
 */

/** @implements {Mode} */
export class TwoPanels {
  /**
   * @param {ModeHost} viewer
   * @param {Variant} variant
   */
  constructor(viewer, variant) {
    this.viewer = viewer;
    this.variant = variant;
    this.heads = SIDES.map((side) => new MethodHead(side, `Method on the ${side}`, (method) => this.#choose(side, method)));
    this.panels = SIDES.map((side, i) => new Panel(side, this.heads[i]));
    this.linked = new LinkedPanels(viewer, this.panels, {
      height: variant.stageHeight,
      hint: "Hover over a map to read both values.",
    });
    const painter = new ThumbnailPainter();
    this.measure = this.panels.map((panel, side) => whenChanged((inputs) => measure(panel, variant, side, inputs)));
    this.paint = this.panels.map((panel) => whenChanged((inputs) => paintPanel(panel, inputs)));
    this.drawThumbnails = whenChanged((inputs) => drawThumbnails(painter, variant, inputs));
    this.element = element(
      "div",
      { class: "pair" },
      element("div", { class: "panels" }, ...this.panels.map((panel) => panel.element)),
      this.linked.readout.element,
      variant.element,
    );
  }

  /** The toolbar's zoom acts on both panels. */
  get zoomActions() {
    return this.linked.zoomActions;
  }

  take() {
    this.linked.setStage();
    for (const head of this.heads) head.setMethods(this.viewer.payload.methods);
  }

  resize() {
    this.linked.setStage();
  }

  /** @param {Frame} frame */
  draw(frame) {
    const { variant } = this;
    const { payload, view, table, diverging } = frame;
    const { content } = payload;
    const notes = SIDES.map((side) => this.viewer.absence(view[side]));
    const more = variant.inputs(view);
    // A new object whenever a panel has new values.
    const drawn = SIDES.map((side, i) => {
      const inputs = { content, method: view[side], ...more, kind: notes[i]?.kind, text: notes[i]?.text };
      return this.measure[i](inputs);
    });
    const scales = scalesOf(drawn.map(({ extent }) => extent), view.scale, diverging);
    this.paint.forEach((paint, i) => {
      paint({ drawn: drawn[i], low: scales[i]?.low, high: scales[i]?.high, table });
    });
    variant.refresh(frame);
    SIDES.forEach((side, i) => {
      const method = payload.method(view[side]);
      const caption = method.maps ? variant.caption(frame, method.name) : method.unavailable ? "not available" : "no map yet";
      this.heads[i].setMethod(method);
      const words = [method.title, caption, content.classText, payload.meta.state];
      this.panels[i].describe(words.filter(Boolean).join(" · "), method.signed && !variant.alwaysShares);
    });
    const [left, right] = notes.map((note) => note?.kind ?? "map");
    this.drawThumbnails({ content, left: view.left, right: view.right, leftState: left, rightState: right, photo: this.linked.photo, table, diverging });
    this.linked.read(SIDES.map((side) => payload.method(view[side]).title));
  }

  announcement() {
    return this.panels.map((panel) => panel.canvas.getAttribute("aria-label")).join(". ");
  }

  /**
   * A method whose maps are not here is asked for at once.
   *
   * @param {"left" | "right"} side
   * @param {string} method
   */
  #choose(side, method) {
    this.viewer.set({ [side]: method });
    this.viewer.settle(this.viewer.payload.method(method).maps === null);
  }
}

/**
 * Computes a panel's map, or notes why there is none.
 *
 * @param {Panel} panel
 * @param {Variant} variant
 * @param {number} side
 * @param {any} inputs
 */
function measure(panel, variant, side, { kind, text, ...inputs }) {
  if (kind !== undefined) panel.measure({ kind, text });
  else {
    const reason = variant.compute(side, inputs, panel.values);
    panel.measure(reason === null ? null : { kind: "empty", text: reason });
  }
  return { extent: panel.extent };
}

/**
 * @param {Panel} panel
 * @param {any} inputs `drawn` is another object whenever the values are others
 */
function paintPanel(panel, { low, high, table }) {
  panel.draw(low === undefined ? null : { low, high }, table);
}

/**
 * The colour scale of each panel: its own, or one for both.
 *
 * @param {(Scale | null)[]} extents
 * @param {string} choice
 * @param {boolean} diverging
 */
function scalesOf(extents, choice, diverging) {
  const present = /** @type {Scale[]} */ (extents.filter((extent) => extent !== null));
  return extents.map((extent) => extent && scaleOf(choice === "shared" ? present : [extent], diverging));
}

/**
 * @param {ThumbnailPainter} painter
 * @param {Variant} variant
 * @param {any} inputs
 */
function drawThumbnails(painter, variant, { content, left, right, leftState, rightState, photo, table, diverging }) {
  const methods = [left, right];
  const states = [leftState, rightState];
  variant.drawThumbnails((canvas, layer, side) => {
    canvas.dataset.state = states[side];
    painter.draw(canvas, photo, content.box, content.map(methods[side], layer), table, diverging);
  });
}
