/** The previewed cell beside Grad-CAM: two large maps of the input region, with their colour bars. */

import { element, setText } from "../../controls/dom.js";
import { scaleOf } from "../../core/colors.js";
import { resize, SIZE } from "../../core/maths.js";
import { mixInto } from "../../core/mixing.js";
import { whenChanged } from "../../core/redraw.js";
import { Panel } from "../../panels/panel.js";
import { Stage } from "../../panels/stage.js";

/** @import { Content, Method } from "../../core/payload.js" */
/** @import { Frame, Note } from "../mode.js" */

/** The method that every cell is compared with. */
export const REFERENCE = "grad_cam";
const NAMES = ["preview", "reference"];
/** Below any input region's width / height, so that a stage has the region's own shape. */
const NARROWEST = 0.1;

export class Preview {
  /** @param {() => void} open called to see both maps on Compare */
  constructor(open) {
    this.titles = NAMES.map(() => element("h3", {}));
    this.details = NAMES.map(() => element("small", {}));
    this.panels = NAMES.map((name, i) => {
      const head = element("header", {}, this.titles[i], this.details[i]);
      return new Panel(name, { element: head, sheet: null });
    });
    // Maps to look at: the table's cells are what the keyboard reaches.
    for (const { stage } of this.panels) for (const name of ["tabindex", "role"]) stage.removeAttribute(name);
    this.measure = this.panels.map((panel) => whenChanged((/** @type {MapInputs} */ inputs) => measure(panel, inputs)));
    this.paint = this.panels.map((panel) => whenChanged((/** @type {PaintInputs} */ inputs) => paintPanel(panel, inputs)));
    this.open = element("button", {
      type: "button",
      class: "chip preview-open",
      "data-testid": "preview-open",
      text: "Open on Compare",
      onclick: open,
    });
    this.element = element("div", { class: "previews", "data-testid": "previews" }, ...this.panels.map((panel) => panel.element), this.open);
  }

  /**
   * Shows the input region behind the maps.
   *
   * @param {string} url
   * @param {number} aspect its width / height
   * @param {string} name
   */
  setPhoto(url, aspect, name) {
    const stage = new Stage({ width: aspect, height: 1 }, [0, 0, aspect, 1], NARROWEST);
    for (const panel of this.panels) panel.setStage(stage, url, name);
  }

  /**
   * @param {Frame} frame
   * @param {Method} method of the previewed cell
   * @param {(Note | null)[]} notes why one of the two has no map
   * @param {{where: string, cell: string}} words the layer, or how the layers are mixed, and the cell
   */
  draw({ payload, view, table, diverging }, method, notes, { where, cell }) {
    const { content } = payload;
    const { mixed, how, weights } = view;
    const layer = mixed ? 0 : content.layerIndex(view.layer);
    const mix = mixed ? { how, weights } : { how: null, weights: null };
    const methods = [method, payload.method(REFERENCE)];
    methods.forEach(({ name, title, signed }, i) => {
      const drawn = this.measure[i]({ content, method: name, layer, ...mix, kind: notes[i]?.kind, text: notes[i]?.text });
      this.paint[i]({ drawn, table, diverging });
      setText(this.titles[i], title);
      setText(this.details[i], i === 0 ? cell : "for comparison");
      this.panels[i].describe(`${title} · ${where} · ${content.label}`, signed && !mixed);
      this.panels[i].stage.removeAttribute("aria-label"); // it names keys of stages that can be zoomed
    });
  }

  /**
   * Marks a point of the input region on both maps; returns their values there.
   *
   * @param {number[] | null} point
   */
  point(point) {
    return this.panels.map((panel) => {
      const value = point && panel.valueAt(point);
      panel.point(point, value);
      return value;
    });
  }
}

/**
 * @typedef {object} MapInputs
 * @property {Content} content
 * @property {string} method
 * @property {number} layer
 * @property {string | null} how null: not mixed
 * @property {Record<string, number> | null} weights
 * @property {Note["kind"] | undefined} kind of the note that replaces the map
 * @property {string | undefined} text
 */

/**
 * Computes a panel's map, or notes why there is none; returns another object whenever it does.
 *
 * @param {Panel} panel
 * @param {MapInputs} inputs
 */
function measure(panel, { content, method, layer, how, weights, kind, text }) {
  if (kind !== undefined) panel.measure({ kind, text: text ?? "" });
  else {
    const reason =
      how !== null && weights !== null
        ? mixInto({ content, method, weights, how, size: SIZE }, panel.values)
        : mapInto(content, method, layer, panel.values);
    panel.measure(reason === null ? null : { kind: "empty", text: reason });
  }
  return { extent: panel.extent };
}

/**
 * @param {Content} content
 * @param {string} method
 * @param {number} layer
 * @param {Float32Array} out
 */
function mapInto(content, method, layer, out) {
  const map = content.map(method, layer);
  if (!map?.values || map.reason !== null) return map?.reason ?? "Not computed.";
  resize(map.values, map.height, map.width, SIZE, out);
  return null;
}

/** @typedef {{drawn: {extent: import("../../core/colors.js").Scale | null}, table: Uint32Array, diverging: boolean}} PaintInputs */

/**
 * @param {Panel} panel
 * @param {PaintInputs} inputs
 */
function paintPanel(panel, { drawn, table, diverging }) {
  panel.draw(drawn.extent && scaleOf([drawn.extent], diverging), table);
}
