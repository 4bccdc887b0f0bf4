/** Depth: the slider, and below it every layer × two or more maps, with a figure of the layer. */

import { DepthSlider } from "../controls/depth-slider.js";
import { element, icon, setText } from "../controls/dom.js";
import { LayerPicker } from "../controls/layer-picker.js";
import { layerSize, layerTitle } from "../core/format.js";
import { whenChanged } from "../core/redraw.js";
import { THUMBNAIL } from "./thumbnails.js";
import { weightsMark } from "./weights-mark.js";

/** @import { Layer, Payload } from "../core/payload.js" */
/** @import { View } from "../core/view.js" */

const CROSS = '<path d="M6 6l8 8M14 6l-8 8"/>';

/**
 * What a row of maps shows: one map for all layers (`whole`), or for every layer why there is nothing to see, or null.
 *
 * @typedef {object} Row
 * @property {boolean} whole
 * @property {(string | null)[]} reasons
 */

export class Strip {
  /**
   * @param {import("../modes/mode.js").ModeHost} viewer
   * @param {{sides: readonly string[], label: string, figure: string, note: (Node | string)[], chart?: HTMLElement}} options
   *   `sides` names the rows of maps, `label` says what the slider moves, `figure` what the row below the maps has, `note`
   *   explains that; `chart` is the name of one more row, whose cells the mode fills
   */
  constructor(viewer, { sides, label, figure, note, chart }) {
    this.viewer = viewer;
    this.sides = sides;
    this.figure = figure;
    this.chart = chart;
    /** @type {Layer[]} */
    this.layers = [];
    /** @type {any[]} */
    this.cells = [];
    this.labels = sides.map((side) => element("span", { class: "row-label", "data-side": side }));
    this.wholes = sides.map((side) => {
      const canvas = element("canvas", { width: THUMBNAIL, height: THUMBNAIL, "aria-hidden": "true" });
      const text = element("span", { text: "Explains the input: the same at every depth." });
      return { canvas, element: element("span", { class: "thumb whole", "data-testid": `thumb-${side}-whole`, hidden: true }, canvas, text) };
    });
    this.build = whenChanged((/** @type {{layers: Layer[]}} */ { layers }) => this.#build(layers));
    this.picker = new LayerPicker(viewer);
    this.slider = new DepthSlider(label, viewer, this.picker.element);
    this.scroller = element("div", { class: "strip-scroll", tabindex: "-1" });
    this.frame = element("div", { class: "strip-frame" }, this.scroller);
    this.scroller.addEventListener("scroll", () => this.#markEdges(), { passive: true });
    new ResizeObserver(() => this.#markEdges()).observe(this.scroller);
    this.element = element(
      "section",
      { class: "depth card", "aria-label": "Depth" },
      this.slider.element,
      this.frame,
      element("p", { class: "energy-text" }, ...note),
    );
  }

  /**
   * Rebuilds the columns when the layers differ; new figures are written into the same cells.
   *
   * @param {Layer[]} layers
   * @param {{text: string, share: number}[]} figures
   */
  setLayers(layers, figures) {
    this.layers = layers;
    this.build({ layers });
    layers.forEach((layer, i) => {
      const { meter, fill, text: figure } = this.cells[i];
      const { text, share } = figures[i];
      setText(figure, text);
      fill.style.setProperty("--share", String(share));
      meter.setAttribute("aria-label", `${this.figure} at ${layer.name}: ${text}`);
    });
  }

  /**
   * Writes the rows' names, and what is particular about their maps.
   *
   * @param {string[]} titles
   * @param {Row[]} rows
   */
  setMethods(titles, rows = []) {
    titles.forEach((title, row) => {
      const { whole = false, reasons = [] } = rows[row] ?? {};
      setText(this.labels[row], title);
      this.wholes[row].element.hidden = !whole;
      this.cells.forEach((cell, i) => {
        const button = cell.buttons[row];
        const reason = reasons[i] ?? null;
        button.hidden = whole;
        button.title = reason ?? "";
        button.setAttribute("aria-label", `Show ${this.layers[i].name} (${title})${reason === null ? "" : `: ${reason}`}`);
      });
    });
  }

  /**
   * Marks the current column and, where the strip scrolls, brings it into view.
   *
   * @param {Payload} payload
   * @param {View} view
   */
  setView(payload, view) {
    this.picker.set(payload, view);
    const index = this.slider.set(this.layers, view.layer, payload.meta.random);
    this.cells.forEach((cell, i) => {
      for (const node of cell.all) node.classList.toggle("current", i === index);
      for (const button of cell.buttons) button.setAttribute("aria-pressed", String(i === index));
    });
    const cell = this.cells[index].name;
    const { scrollWidth, clientWidth } = this.scroller;
    if (scrollWidth > clientWidth) this.scroller.scrollLeft = cell.offsetLeft + cell.offsetWidth / 2 - clientWidth / 2;
    this.#markEdges();
  }

  /** Marks on which sides there is more to scroll to. */
  #markEdges() {
    const { scrollLeft, scrollWidth, clientWidth } = this.scroller;
    this.frame.classList.toggle("more-left", scrollLeft > 1);
    this.frame.classList.toggle("more-right", scrollLeft + clientWidth < scrollWidth - 1);
  }

  /**
   * Calls draw(canvas, layer index, row) for every thumbnail.
   *
   * @param {(canvas: HTMLCanvasElement, layer: number, row: number) => void} draw
   */
  drawThumbnails(draw) {
    this.sides.forEach((_, row) => {
      const { canvas, element: whole } = this.wholes[row];
      if (whole.hidden) this.cells.forEach((cell, i) => draw(cell.canvases[row], i, row));
      else draw(canvas, 0, row);
    });
  }

  /** @param {Layer[]} layers */
  #build(layers) {
    const added = layers.filter(({ stage }) => stage === null).flatMap(({ name }) => pieces(name));
    this.element.style.setProperty("--layers", String(layers.length));
    this.element.style.setProperty("--piece", String(Math.max(0, ...added.map((piece) => piece.length))));
    this.cells = layers.map((layer) => {
      const canvases = this.sides.map(() => element("canvas", { width: THUMBNAIL, height: THUMBNAIL, "aria-hidden": "true" }));
      const onclick = () => {
        this.viewer.set({ layer: layer.name });
        this.viewer.settle();
      };
      const buttons = this.sides.map((side, row) =>
        element(
          "button",
          { type: "button", class: "thumb", "data-testid": `thumb-${side}-${layer.name}`, onclick },
          canvases[row],
        ),
      );
      const name = this.#head(layer);
      const fill = element("span", { class: "meter-fill" });
      const text = element("span", { class: "meter-text" });
      const meter = element("span", { class: "energy", role: "img" }, text, element("span", { class: "meter" }, fill));
      const chart = element("span", { class: "chart-cell", role: "img" });
      return { canvases, buttons, name, meter, fill, text, chart, all: [name, ...buttons, meter, chart] };
    });
    this.scroller.replaceChildren(
      element(
        "div",
        { class: "strip" },
        element("span", { class: "row-label strip-corner" }, weightsMark()),
        ...this.cells.map((cell) => cell.name),
        ...this.labels.flatMap((label, row) => [label, this.wholes[row].element, ...this.cells.map((cell) => cell.buttons[row])]),
        element("span", { class: "row-label", text: this.figure }),
        ...this.cells.map((cell) => cell.meter),
        ...(this.chart ? [this.chart, ...this.cells.map((cell) => cell.chart)] : []),
      ),
    );
  }

  /**
   * The head of a column: a stage's number above its name; an added layer's name, and a button that removes it.
   *
   * @param {Layer} layer
   */
  #head(layer) {
    const { name, stage } = layer;
    const remove = element(
      "button",
      {
        type: "button",
        class: "remove-layer",
        "aria-label": `Remove ${name}`,
        title: `Remove ${name}`,
        "data-testid": `remove-layer-${name}`,
        onclick: () => this.picker.remove(name),
      },
      icon(CROSS),
    );
    return element(
      "span",
      { class: "layer-name", title: name },
      element("b", {}, ...broken(layerTitle(layer))),
      stage === null ? null : element("small", { class: "own-name" }, ...broken(name)),
      element("small", { text: layerSize(layer) }),
      stage === null && !this.viewer.offline ? remove : null,
    );
  }
}

/**
 * The parts of a name, which may be broken after its dots and underscores.
 *
 * @param {string} name
 */
function pieces(name) {
  return name.split(/(?<=[._])/);
}

/** @param {string} name */
function broken(name) {
  return pieces(name).flatMap((piece) => [piece, element("wbr")]);
}
