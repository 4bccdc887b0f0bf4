/** All named methods at all layers, as thumbnails. */

import { context2d, element, setText } from "../../controls/dom.js";
import { paint, scaleOf } from "../../core/colors.js";
import { layerSize } from "../../core/format.js";
import { resize } from "../../core/maths.js";
import { shared, whenChanged } from "../../core/redraw.js";
import { THUMBNAIL } from "../../panels/thumbnails.js";
import { weightsMark } from "../../panels/weights-mark.js";

/** @import { Content, Layer, Method } from "../../core/payload.js" */
/** @import { Frame, ModeHost } from "../mode.js" */

/**
 * @typedef {object} Thumbnail
 * @property {string} method
 * @property {boolean} signed
 * @property {number} layer
 * @property {HTMLCanvasElement} canvas
 * @property {HTMLElement} note
 * @property {HTMLButtonElement} button
 * @property {string} label
 */

/** A row: a method, and what stands in place of its maps where there are none. @typedef {{method: Method, absent: string | null}} Row */

export class AllMethods {
  /** @param {ModeHost} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    /** @type {Thumbnail[]} */
    this.thumbnails = [];
    /** @type {Row[]} */
    this.rows = [];
    const image = new ImageData(THUMBNAIL, THUMBNAIL);
    this.build = whenChanged((/** @type {{layers: Layer[], rows: Row[]}} */ inputs) => this.#build(inputs));
    this.paint = whenChanged((/** @type {PaintInputs} */ inputs) => paintThumbnails(image, inputs));
    this.listReasons = whenChanged((/** @type {{content: Content, rows: Row[]}} */ inputs) => listReasons(this.reasons, inputs));
    this.missing = element("p", { class: "hint" });
    this.button = element("button", {
      type: "button",
      class: "chip",
      "data-testid": "compute-missing",
      text: "Compute the missing rows",
      onclick: () => viewer.compute(),
    });
    this.offer = element("div", { class: "all-methods-offer" }, weightsMark(), this.button, this.missing);
    // The heads stick to the page's top, which they could not inside of what scrolls sideways: they follow it instead.
    this.heads = element("div", { class: "all-methods-grid all-methods-heads" });
    this.scroller = element("div", { class: "all-methods-scroll" });
    this.scroller.addEventListener("scroll", () => (this.heads.scrollLeft = this.scroller.scrollLeft), { passive: true });
    this.reasons = element("dl", { class: "all-methods-reasons", "data-testid": "constant-maps" });
    this.element = element(
      "section",
      { class: "all-methods", role: "tabpanel", "aria-label": "All methods by layer", "data-testid": "all-methods" },
      this.offer,
      this.heads,
      this.scroller,
      element("div", { class: "all-methods-constant" }, element("h2", { text: "Constant maps" }), this.reasons),
    );
  }

  /** @param {Frame} frame */
  draw({ payload, updates, colors }) {
    const { content } = payload;
    const named = [...payload.methods.values()].filter((method) => !method.plainCell);
    this.button.hidden = this.missing.hidden = this.viewer.offline;
    this.#drawOffer(named.filter((method) => method.maps === null && method.unavailable === null), updates.pending);
    this.rows = shared(this.rows, named.map((method) => ({ method, absent: absenceOf(method, updates.pending) })));
    const { rows } = this;
    this.build({ layers: content.layers, rows });
    this.paint({ content, thumbnails: this.thumbnails, colors });
    this.listReasons({ content, rows });
  }

  /**
   * What it takes to fill the table; the room stays when there is nothing left to compute.
   *
   * @param {Method[]} missing
   * @param {Record<string, string>} pending
   */
  #drawOffer(missing, pending) {
    const open = missing.filter(({ name }) => !(name in pending));
    this.button.disabled = open.length === 0;
    const many = open.filter(({ passes }) => passes > 1);
    const total = many.reduce((sum, { passes }) => sum + passes, 0);
    const costs = [
      open.length > many.length ? `${rowCount(open.length - many.length)} one extra pass each` : "",
      many.length > 0 ? `${rowCount(many.length)} about ${total.toLocaleString("en")} passes in all` : "",
    ];
    const running = missing.length - open.length;
    const text =
      open.length > 0
        ? `${costs.filter(Boolean).join(", ")}.`
        : running > 0
          ? `Computing ${running} ${running === 1 ? "row" : "rows"}.`
          : "Every row that this network allows is here.";
    setText(this.missing, text);
  }

  /** @param {{layers: Layer[], rows: Row[]}} inputs */
  #build({ layers, rows }) {
    this.thumbnails = [];
    const heads = layers.map((layer) =>
      element("span", { class: "layer-name", title: layer.name }, element("b", { text: layer.name }), element("small", { text: layerSize(layer) })),
    );
    this.heads.replaceChildren(element("span", { class: "all-methods-corner" }), ...heads);
    /** @type {HTMLElement[]} */
    const lines = [];
    let family = "";
    for (const { method, absent } of rows) {
      if (method.family !== family) lines.push(element("h2", { class: "all-methods-family", text: method.family }));
      family = method.family;
      lines.push(element("span", { class: "row-label", text: method.title }));
      if (absent === null) lines.push(...this.#thumbnails(method, layers));
      else lines.push(element("p", { class: "all-methods-absent", "data-testid": `absent-${method.name}`, text: absent }));
    }
    this.scroller.replaceChildren(element("div", { class: "all-methods-grid" }, ...lines));
  }

  /**
   * @param {Method} method
   * @param {Layer[]} layers
   */
  #thumbnails(method, layers) {
    const input = Boolean(method.maps?.input);
    const buttons = (input ? layers.slice(0, 1) : layers).map((layer, i) => {
      const canvas = element("canvas", { class: "map", width: THUMBNAIL, height: THUMBNAIL, "aria-hidden": "true" });
      const note = element("span", { class: "thumb-note", hidden: true });
      const where = input ? "input" : layer.name;
      const button = element(
        "button",
        {
          type: "button",
          class: "thumb",
          "data-testid": `thumb-${method.name}-${where}`,
          onclick: () => this.viewer.open(method.name, layer.name),
        },
        element("span", { class: "thumb-photo" }, canvas, note),
      );
      this.thumbnails.push({ method: method.name, signed: method.signed, layer: i, canvas, note, button, label: `${method.title} at ${where}` });
      return button;
    });
    const remark = element("span", { class: "all-methods-remark", text: "one map, of the input itself" });
    return input ? [...buttons, remark] : buttons;
  }
}

/** @param {number} count */
function rowCount(count) {
  return count === 1 ? "1 row takes" : `${count} rows take`;
}

/**
 * What stands in a row without maps: why there are none, what is happening, or what they cost.
 *
 * @param {Method} method
 * @param {Record<string, string>} pending
 */
function absenceOf({ name, maps, unavailable, costText }, pending) {
  if (maps !== null) return null;
  return unavailable ?? pending[name] ?? `Not computed yet: ${costText}.`;
}

/** @typedef {{content: Content, thumbnails: Thumbnail[], colors: Frame["colors"]}} PaintInputs */

/**
 * @param {ImageData} image
 * @param {PaintInputs} inputs
 */
function paintThumbnails(image, { content, thumbnails, colors }) {
  const pixels = new Uint32Array(image.data.buffer);
  const values = new Float32Array(THUMBNAIL * THUMBNAIL);
  for (const { method, signed, layer, canvas, note, button, label } of thumbnails) {
    const map = content.map(method, layer);
    const reason = map?.reason ?? null;
    canvas.hidden = reason !== null;
    note.hidden = reason === null;
    setText(note, map?.values ? "constant" : "no map");
    button.title = reason ?? "";
    button.setAttribute("aria-label", reason === null ? `${label}: open beside Grad-CAM` : `${label}: ${reason}`);
    if (!map?.values || reason !== null) continue;
    resize(map.values, map.height, map.width, THUMBNAIL, values);
    const { table, diverging } = colors(signed);
    paint(values, scaleOf(values, diverging), table, pixels);
    context2d(canvas, { willReadFrequently: true }).putImageData(image, 0, 0);
  }
}

/**
 * Why maps show nothing, in words: each reason once, with the methods and layers.
 *
 * @param {HTMLElement} list
 * @param {{content: Content, rows: Row[]}} inputs
 */
function listReasons(list, { content, rows }) {
  /** @type {Map<string, string[]>} */
  const found = new Map();
  for (const { method } of rows.filter(({ absent }) => absent === null)) {
    /** @type {Map<string, string[]>} */
    const layers = new Map();
    const shown = method.maps?.input ? content.layers.slice(0, 1) : content.layers;
    shown.forEach((layer, i) => {
      const reason = content.map(method.name, i)?.reason ?? null;
      if (reason !== null) layers.set(reason, [...(layers.get(reason) ?? []), method.maps?.input ? "the input" : layer.name]);
    });
    for (const [reason, names] of layers) found.set(reason, [...(found.get(reason) ?? []), `${method.title} at ${names.join(", ")}`]);
  }
  list.replaceChildren(
    ...[...found].flatMap(([reason, where]) => [element("dt", { text: where.join("; ") }), element("dd", { text: reason })]),
  );
  /** @type {HTMLElement} */ (list.parentElement).hidden = found.size === 0;
}
