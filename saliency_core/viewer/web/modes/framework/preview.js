/** The previewed cell beside Grad-CAM: two large maps of the input region, with their colour bars. */

import { element, setText } from "../../controls/dom.js";
import { resize, SIZE } from "../../core/maths.js";
import { mixInto } from "../../core/mixing.js";
import { whenChanged } from "../../core/redraw.js";
import { Panel } from "../../panels/panel.js";
import { Stage } from "../../panels/stage.js";

/** @import { Scale } from "../../core/colors.js" */
/** @import { Content, Method } from "../../core/payload.js" */
/** @import { Frame, Note } from "../mode.js" */

/** The method that every cell is compared with. */
export const REFERENCE = "grad_cam";
const NAMES = ["preview", "reference"];

export class Preview {
  /** @param {() => void} open called to see both maps on Compare */
  constructor(open) {
    this.titles = NAMES.map(() => element("h2", {}));
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
    const stage = new Stage({ width: aspect, height: 1 }, [0, 0, aspect, 1], aspect);
    for (const panel of this.panels) panel.setStage(stage, url, name);
  }

  /**
   * @param {Frame} frame
   * @param {Method} method of the previewed cell
   * @param {(Note | null)[]} notes why one of the two has no map
   * @param {{where: string, title: string, cell: string}} words the layer, or how the layers are mixed, and the cell
   */
  draw({ payload, view, colors }, method, notes, { where, title: head, cell }) {
    const { content } = payload;
    const { mixed, how, weights } = view;
    const layer = mixed ? 0 : content.layerIndex(view.layer);
    const mix = mixed ? { how, weights } : { how: null, weights: null };
    const methods = [method, payload.method(REFERENCE)];
    methods.forEach(({ name, title, signed, bright, dark }, i) => {
      const { table, diverging } = colors(signed && !mixed);
      const drawn = this.measure[i]({ content, method: name, layer, ...mix, diverging, kind: notes[i]?.kind, text: notes[i]?.text });
      this.paint[i]({ drawn, table });
      setText(this.titles[i], i === 0 ? head : title);
      setText(this.details[i], i === 0 ? cell : "for comparison");
      this.panels[i].describe(`${title} · ${where} · ${content.label}`, [diverging ? dark : "", bright]);
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
 * @property {boolean} diverging
 * @property {Note["kind"] | undefined} kind of the note that replaces the map
 * @property {string | undefined} text
 */

/**
 * Computes a panel's map, or notes why there is none; returns another object whenever it does.
 *
 * @param {Panel} panel
 * @param {MapInputs} inputs
 */
function measure(panel, { content, method, layer, how, weights, diverging, kind, text }) {
  if (kind !== undefined) panel.measure({ kind, text: text ?? "" });
  else {
    const reason =
      how !== null && weights !== null
        ? mixInto({ content, method, weights, how, size: SIZE }, panel.values)
        : mapInto(content, method, layer, panel.values);
    panel.measure(reason === null ? null : { kind: "empty", text: reason }, diverging);
  }
  return { scale: panel.ownScale };
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

/** @typedef {{drawn: {scale: Scale | null}, table: Uint32Array}} PaintInputs */

/**
 * @param {Panel} panel
 * @param {PaintInputs} inputs
 */
function paintPanel(panel, { drawn, table }) {
  panel.draw(drawn.scale, table);
}
