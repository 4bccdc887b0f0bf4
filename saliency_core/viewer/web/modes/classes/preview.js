/** The maps of the panels once more, small, beside the table in which one chooses among them. */

import { context2d, element, setText } from "../../controls/dom.js";
import { drawPhoto, THUMBNAIL } from "../../panels/thumbnails.js";
import { weightsMark } from "../../panels/weights-mark.js";

/** @import { Panel } from "../../panels/panel.js" */

const NAMES = ["A", "B", "A − B"];

export class Preview {
  /** @param {() => void} onshow */
  constructor(onshow) {
    this.title = element("b", { class: "preview-title", "data-testid": "preview-title" });
    this.canvases = NAMES.map((name) => element("canvas", { width: THUMBNAIL, height: THUMBNAIL, role: "img", "aria-label": `Map ${name}` }));
    this.names = NAMES.map((text) => element("figcaption", { text }));
    this.words = element("p", { class: "preview-words", "data-testid": "preview-words" });
    this.element = element(
      "aside",
      { class: "preview", "aria-label": "The maps of the chosen cell", "data-testid": "preview" },
      this.title,
      weightsMark(),
      element("div", { class: "preview-maps" }, ...this.canvases.map((canvas, i) => element("figure", {}, canvas, this.names[i]))),
      this.words,
      element("button", { type: "button", class: "chip", "data-testid": "show-above", text: "Show above", onclick: onshow }),
    );
  }

  /**
   * @param {string} title
   * @param {string} words
   * @param {string[]} names
   */
  describe(title, words, names) {
    setText(this.title, title);
    setText(this.words, words);
    this.names.forEach((node, i) => setText(node, names[i]));
  }

  /**
   * Copies what the panels show.
   *
   * @param {Panel[]} panels
   * @param {HTMLImageElement | null} photo
   * @param {number[]} box the input region in its pixels
   * @param {number} opacity
   * @param {boolean} faded
   */
  draw(panels, photo, box, opacity, faded) {
    panels.forEach((panel, i) => {
      const context = context2d(this.canvases[i]);
      context.clearRect(0, 0, THUMBNAIL, THUMBNAIL);
      context.globalAlpha = panel.note?.kind === "waiting" ? 0.4 : 1;
      if (photo) drawPhoto(context, photo, box, faded);
      if (panel.note) return;
      context.globalAlpha = opacity;
      context.drawImage(panel.canvas, 0, 0, THUMBNAIL, THUMBNAIL);
    });
  }
}
