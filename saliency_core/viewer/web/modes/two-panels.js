/** Two panels side by side: what Compare and Mix have in common. */

import { element } from "../controls/dom.js";
import { MethodHead } from "../controls/method-picker.js";
import { sharedScale } from "../core/colors.js";
import { whenChanged } from "../core/redraw.js";
import { SIDES } from "../core/view.js";
import { LinkedPanels } from "../panels/linked-panels.js";
import { ObjectBoxes } from "../panels/object-boxes.js";
import { Panel } from "../panels/panel.js";
import { ThumbnailPainter } from "../panels/thumbnails.js";

/** @import { Colors, Scale } from "../core/colors.js" */
/** @import { Method } from "../core/payload.js" */
/** @import { View } from "../core/view.js" */
/** @import { Frame, Mode, ModeHost } from "./mode.js" */
/** @import { Meanings } from "../panels/legend.js" */

/**
 * The differences between Compare and Mix.
 *
 * @typedef {object} Variant
 * @property {number} stageHeight highest stage as a share of the window, so that the controls below stay in view
 * @property {HTMLElement} [finding] text directly under the panels, about the boxes of objects, which are drawn then
 * @property {HTMLElement} element the controls below the panels
 * @property {(frame: Frame) => void} refresh brings the controls up to the frame
 * @property {(view: View) => Record<string, unknown>} inputs what a panel's map depends on, beside content and method
 * @property {(side: number, inputs: any, out: Float32Array) => string | null} compute a panel's map into `out`; returns
 *   why there is none, or null
 * @property {(frame: Frame, method: string) => string} caption what a caption says between method and class
 * @property {(method: Method) => boolean} normalised whether a method's map is a share of 1, whatever its sign and unit
 * @property {(draw: (canvas: HTMLCanvasElement, layer: number, side: number) => void) => void} drawThumbnails
 * @property {(step: number) => void} [walk] the arrow keys, where they do not move the depth
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
    this.linked = new LinkedPanels(viewer, this.panels, variant.stageHeight);
    this.boxes = variant.finding ? this.panels.map((panel) => new ObjectBoxes(panel.scene)) : [];
    const painter = new ThumbnailPainter();
    this.measure = this.panels.map((panel, side) => whenChanged((inputs) => measure(panel, variant, side, inputs)));
    this.paint = this.panels.map((panel) => whenChanged((inputs) => paintPanel(panel, inputs)));
    this.drawThumbnails = whenChanged((inputs) => drawThumbnails(painter, variant, inputs));
    this.element = element(
      "div",
      { class: "pair" },
      element("div", { class: "panels" }, ...this.panels.map((panel) => panel.element)),
      ...(variant.finding ? [variant.finding] : []),
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
    const { payload, view, colors } = frame;
    const { content } = payload;
    const methods = SIDES.map((side) => payload.method(view[side]));
    const coloring = methods.map((method) => colors(method.signed && !variant.normalised(method)));
    const notes = SIDES.map((side) => this.viewer.absence(view[side]));
    const more = variant.inputs(view);
    // A new object whenever a panel has new values.
    const drawn = SIDES.map((side, i) => {
      const inputs = { content, method: view[side], ...more, kind: notes[i]?.kind, text: notes[i]?.text };
      return this.measure[i]({ ...inputs, diverging: coloring[i].diverging });
    });
    const own = drawn.map(({ scale }) => scale);
    const present = /** @type {Scale[]} */ (own.filter((scale) => scale !== null));
    const shared = view.scale === "shared" && this.sharingObstacle(frame) === null;
    this.paint.forEach((paint, i) => {
      const scale = own[i] && (shared ? sharedScale(present) : own[i]);
      paint({ drawn: drawn[i], low: scale?.low, high: scale?.high, table: coloring[i].table });
    });
    for (const boxes of this.boxes) boxes.draw({ content, stage: this.linked.stage });
    variant.refresh(frame);
    methods.forEach((method, i) => {
      const caption = method.maps ? variant.caption(frame, method.name) : method.unavailable ? "not available" : "no map yet";
      this.heads[i].setMethod(method);
      // After a step for a class, the network itself depends on that class.
      const explained = method.classSpecific || payload.meta.state ? content.classText : "the same for every class";
      const words = [method.title, caption, explained, payload.meta.state];
      this.panels[i].describe(words.filter(Boolean).join(" · "), meaningsOf(method, coloring[i]));
    });
    const [left, right] = notes.map((note) => note?.kind ?? "map");
    const [leftColors, rightColors] = methods.map((method) => colors(method.signed));
    const { photo } = this.linked;
    this.drawThumbnails({ content, left: view.left, right: view.right, leftState: left, rightState: right, photo, leftColors, rightColors });
    this.linked.read(methods.map((method) => method.title));
  }

  /**
   * Why equal colours could not mean equal values in both panels.
   *
   * @param {Frame} frame
   */
  sharingObstacle({ payload, view }) {
    const { normalised } = this.variant;
    const [left, right] = SIDES.map((side) => payload.method(view[side]));
    if (normalised(left) && normalised(right)) return null;
    const measured = (/** @type {Method} */ method) => (normalised(method) ? "a share of 1" : method.unit);
    if (measured(left) !== measured(right)) {
      return `The maps have different units: ${left.title} measures ${measured(left)}, ${right.title} ${measured(right)}.`;
    }
    if (left.signed === right.signed) return null;
    const [signed, plain] = left.signed ? [left, right] : [right, left];
    return `${signed.title} has a sign and ${plain.title} has none, so their colours differ.`;
  }

  /** @param {Frame} frame */
  keys({ payload, view }) {
    return {
      walk: /** @type {"layers" | "weights"} */ (this.variant.walk ? "weights" : "layers"),
      methods: [...payload.methods.keys()],
      shown: [view.right],
      place: "on the right",
      other: "on the left",
    };
  }

  /** @param {number} step */
  walk(step) {
    this.variant.walk?.(step);
  }

  /**
   * @param {string} method
   * @param {boolean} other
   */
  chooseMethod(method, other) {
    this.#choose(other ? "left" : "right", method);
  }

  announcement() {
    const panels = this.panels.map((panel) => panel.canvas.getAttribute("aria-label"));
    const found = this.variant.finding?.textContent;
    return [...panels, ...(found ? [found] : [])].join(". ");
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
 * @returns {{scale: Scale | null}} of the map by itself
 */
function measure(panel, variant, side, { kind, text, diverging, ...inputs }) {
  if (kind !== undefined) panel.measure({ kind, text });
  else {
    const reason = variant.compute(side, inputs, panel.values);
    panel.measure(reason === null ? null : { kind: "empty", text: reason }, diverging);
  }
  return { scale: panel.ownScale };
}

/**
 * @param {Panel} panel
 * @param {any} inputs `drawn` is another object whenever the values are others
 */
function paintPanel(panel, { low, high, table }) {
  panel.draw(low === undefined ? null : { low, high }, table);
}

/**
 * What the ends of a colour bar mean for a method.
 *
 * @param {Method} method
 * @param {Colors} colors
 * @returns {Meanings}
 */
function meaningsOf(method, { diverging }) {
  return [diverging ? method.dark : "", method.bright];
}

/**
 * @param {ThumbnailPainter} painter
 * @param {Variant} variant
 * @param {any} inputs
 */
function drawThumbnails(painter, variant, { content, left, right, leftState, rightState, photo, leftColors, rightColors }) {
  const methods = [left, right];
  const states = [leftState, rightState];
  const colors = [leftColors, rightColors];
  variant.drawThumbnails((canvas, layer, side) => {
    canvas.dataset.state = states[side];
    painter.draw(canvas, photo, content.box, content.map(methods[side], layer), colors[side]);
  });
}
