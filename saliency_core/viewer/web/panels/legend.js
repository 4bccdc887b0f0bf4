/** A colour bar: the numbers at its ends, what they mean, and a mark for the value under the cursor. */

import { context2d, element, setText } from "../controls/dom.js";
import { LEVELS, position } from "../core/colors.js";
import { number } from "../core/format.js";
import { whenChanged } from "../core/redraw.js";

/** @import { Scale } from "../core/colors.js" */

/** A line without words. */
const EMPTY = "\u00a0";

/** Words for a scale's two ends; a map without a sign has none for its low end. @typedef {[string, string]} Meanings */

export class Legend {
  /** @param {string} name */
  constructor(name) {
    /** @type {Scale | null} */
    this.scale = null;
    this.low = element("b", { class: "bound low" });
    this.high = element("b", { class: "bound high" });
    this.lowMeaning = element("span", { class: "meaning low" });
    this.remark = element("small", { class: "remark" });
    this.highMeaning = element("span", { class: "meaning high" });
    this.bar = element("canvas", { class: "bar-colors", width: LEVELS, height: 1, "aria-hidden": "true" });
    this.zero = element("span", { class: "bar-zero", hidden: true, title: "0" });
    this.marker = element("span", { class: "bar-marker", hidden: true });
    this.paint = whenChanged((/** @type {{table: Uint32Array}} */ { table }) => paintBar(this.bar, table));
    this.element = element(
      "div",
      { class: "legend", "data-testid": `colorbar-${name}` },
      this.low,
      element("div", { class: "bar" }, this.bar, this.zero, this.marker),
      this.high,
      this.lowMeaning,
      this.remark,
      this.highMeaning,
    );
  }

  /**
   * @param {Scale | null} scale null hides the bar and removes its numbers, their room stays
   * @param {Uint32Array} table
   * @param {string} remark what else is to be known about the scale
   */
  draw(scale, table, remark) {
    this.scale = scale;
    this.element.classList.toggle("empty", scale === null);
    this.paint({ table });
    setText(this.low, scale === null ? EMPTY : number(scale.low));
    setText(this.high, scale === null ? EMPTY : number(scale.high));
    if (scale === null) return;
    setText(this.remark, remark);
    this.remark.title = remark;
    this.zero.hidden = scale.low >= 0 || scale.high <= 0;
    this.zero.style.left = `${100 * position(0, scale)}%`;
  }

  /** @param {Meanings} meanings */
  describe([low, high]) {
    this.element.classList.toggle("signed", low !== "");
    for (const [node, meaning] of /** @type {[HTMLElement, string][]} */ ([[this.lowMeaning, low], [this.highMeaning, high]])) {
      setText(node, meaning);
      node.title = meaning;
    }
  }

  /**
   * Marks a value, or none.
   *
   * @param {number | null} value
   */
  mark(value) {
    this.marker.hidden = value === null;
    if (value !== null && this.scale) this.marker.style.left = `${100 * position(value, this.scale)}%`;
  }
}

/**
 * Paints a colour table on a canvas of LEVELS × 1 pixels.
 *
 * @param {HTMLCanvasElement} bar
 * @param {Uint32Array} table
 */
export function paintBar(bar, table) {
  const image = new ImageData(LEVELS, 1);
  new Uint32Array(image.data.buffer).set(table);
  context2d(bar).putImageData(image, 0, 0);
}
