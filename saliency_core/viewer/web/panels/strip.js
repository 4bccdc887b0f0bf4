/** Depth: the slider, and below it every layer × two or more maps, with a figure of the layer. */

import { DepthSlider } from "../controls/depth-slider.js";
import { element, setText } from "../controls/dom.js";
import { layerSize } from "../core/format.js";
import { whenChanged } from "../core/redraw.js";
import { THUMBNAIL } from "./thumbnails.js";

/** @import { Layer } from "../core/payload.js" */

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
    this.build = whenChanged((/** @type {{layers: Layer[]}} */ { layers }) => this.#build(layers));
    this.slider = new DepthSlider(label, viewer);
    this.scroller = element("div", { class: "strip-scroll", tabindex: "-1" });
    this.element = element(
      "section",
      { class: "depth card", "aria-label": "Depth" },
      element(
        "div",
        { class: "depth-line" },
        element("span", { class: "row-label", text: "Depth" }),
        this.slider.track,
        this.slider.output,
      ),
      this.scroller,
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
   * Writes the rows' names.
   *
   * @param {string[]} titles
   */
  setMethods(titles) {
    titles.forEach((title, row) => {
      setText(this.labels[row], title);
      this.cells.forEach((cell, i) => cell.buttons[row].setAttribute("aria-label", `Show ${this.layers[i].name} (${title})`));
    });
  }

  /**
   * Marks the current column and, on a narrow page, scrolls it into the strip.
   *
   * @param {string} name
   */
  setLayer(name) {
    const index = this.slider.set(this.layers, name);
    this.cells.forEach((cell, i) => {
      for (const node of cell.all) node.classList.toggle("current", i === index);
      for (const button of cell.buttons) button.setAttribute("aria-pressed", String(i === index));
    });
    const cell = this.cells[index].buttons[0];
    const { scrollWidth, clientWidth } = this.scroller;
    if (scrollWidth > clientWidth) this.scroller.scrollLeft = cell.offsetLeft + cell.offsetWidth / 2 - clientWidth / 2;
  }

  /**
   * Calls draw(canvas, layer index, row) for every thumbnail.
   *
   * @param {(canvas: HTMLCanvasElement, layer: number, row: number) => void} draw
   */
  drawThumbnails(draw) {
    this.cells.forEach((cell, i) => this.sides.forEach((_, row) => draw(cell.canvases[row], i, row)));
  }

  /** @param {Layer[]} layers */
  #build(layers) {
    this.element.style.setProperty("--layers", String(layers.length));
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
      const name = element(
        "span",
        { class: "layer-name" },
        element("b", { text: layer.name }),
        element("small", { text: layerSize(layer) }),
      );
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
        element("span", { class: "row-label" }),
        ...this.cells.map((cell) => cell.name),
        ...this.labels.flatMap((label, row) => [label, ...this.cells.map((cell) => cell.buttons[row])]),
        element("span", { class: "row-label", text: this.figure }),
        ...this.cells.map((cell) => cell.meter),
        ...(this.chart ? [this.chart, ...this.cells.map((cell) => cell.chart)] : []),
      ),
    );
  }
}
