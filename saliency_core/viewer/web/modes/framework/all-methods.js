/** All named methods at all layers, as thumbnails. */

import { context2d, element, setText } from "../../controls/dom.js";
import { paint, scaleOf } from "../../core/colors.js";
import { layerSize } from "../../core/format.js";
import { resize } from "../../core/maths.js";
import { shared, whenChanged } from "../../core/redraw.js";
import { THUMBNAIL } from "../../panels/thumbnails.js";

/** @import { Content, Layer, Method } from "../../core/payload.js" */
/** @import { Frame } from "../mode.js" */

/**
 * @typedef {object} Thumbnail
 * @property {string} method
 * @property {boolean} signed
 * @property {number} layer
 * @property {HTMLCanvasElement} canvas
 * @property {HTMLButtonElement} button
 * @property {string} label
 */

export class AllMethods {
  /** @param {(method: string, layer: string) => void} open called on a click */
  constructor(open) {
    this.open = open;
    /** @type {Thumbnail[]} */
    this.thumbnails = [];
    /** @type {Method[]} */
    this.shown = [];
    const image = new ImageData(THUMBNAIL, THUMBNAIL);
    this.build = whenChanged((/** @type {{layers: Layer[], methods: Method[]}} */ inputs) => this.#build(inputs));
    this.paint = whenChanged((/** @type {PaintInputs} */ inputs) => paintThumbnails(image, inputs));
    this.scroller = element("div", { class: "all-methods-scroll" });
    this.missing = element("p", { class: "hint" });
    this.element = element(
      "section",
      { class: "all-methods", role: "tabpanel", "aria-label": "All methods by layer", "data-testid": "all-methods" },
      this.scroller,
      this.missing,
    );
  }

  /** @param {Frame} frame */
  draw({ payload, colors }) {
    const named = [...payload.methods.values()].filter((method) => !method.plainCell);
    const missing = named.filter((method) => method.maps === null && method.unavailable === null);
    const text = missing.map((method) => method.title).join(", ");
    setText(this.missing, text && `Not computed yet: ${text}. Choose one on the page Compare and it appears here.`);
    this.shown = shared(this.shown, named.filter((method) => method.maps !== null));
    this.build({ layers: payload.content.layers, methods: this.shown });
    this.paint({ content: payload.content, thumbnails: this.thumbnails, colors });
  }

  /** @param {{layers: Layer[], methods: Method[]}} inputs */
  #build({ layers, methods }) {
    this.thumbnails = [];
    const heads = layers.map((layer) =>
      element("span", { class: "layer-name" }, element("b", { text: layer.name }), element("small", { text: layerSize(layer) })),
    );
    const lines = [element("span", { class: "all-methods-corner" }), ...heads];
    let family = "";
    for (const method of methods) {
      if (method.family !== family) lines.push(element("h3", { class: "all-methods-family", text: method.family }));
      family = method.family;
      lines.push(element("span", { class: "row-label", text: method.title }), ...this.#thumbnails(method, layers));
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
      const where = input ? "input" : layer.name;
      const button = element(
        "button",
        {
          type: "button",
          class: "thumb",
          "data-testid": `thumb-${method.name}-${where}`,
          onclick: () => this.open(method.name, layer.name),
        },
        element("span", { class: "thumb-photo" }, canvas),
      );
      this.thumbnails.push({ method: method.name, signed: method.signed, layer: i, canvas, button, label: `${method.title} at ${where}` });
      return button;
    });
    const remark = element("span", { class: "all-methods-remark", text: "one map, of the input itself" });
    return input ? [...buttons, remark] : buttons;
  }
}

/** @typedef {{content: Content, thumbnails: Thumbnail[], colors: Frame["colors"]}} PaintInputs */

/**
 * @param {ImageData} image
 * @param {PaintInputs} inputs
 */
function paintThumbnails(image, { content, thumbnails, colors }) {
  const pixels = new Uint32Array(image.data.buffer);
  const values = new Float32Array(THUMBNAIL * THUMBNAIL);
  for (const { method, signed, layer, canvas, button, label } of thumbnails) {
    const map = content.map(method, layer);
    const reason = map?.reason ?? null;
    canvas.hidden = reason !== null;
    button.title = reason ?? "";
    button.setAttribute("aria-label", reason === null ? `${label}: open beside Grad-CAM` : `${label}: ${reason}`);
    if (!map?.values || reason !== null) continue;
    resize(map.values, map.height, map.width, THUMBNAIL, values);
    const { table, diverging } = colors(signed);
    paint(values, scaleOf(values, diverging), table, pixels);
    context2d(canvas, { willReadFrequently: true }).putImageData(image, 0, 0);
  }
}
