/** Depth: the scrubber, and below it every layer × two maps, with a figure of the layer. */

import { DepthSlider } from "./depth.js";
import { element, setText } from "./dom.js";
import { layerSize } from "./format.js";
import { THUMBNAIL } from "./thumbnail.js";

/**
 * `viewer` gives set() and settle(): while dragging, and on a click or release. `sides` names the two rows of maps,
 * `label` says what the slider moves, `figure` what the last row tells, and `note` is what there is to say about that.
 */
export class Strip {
  constructor(viewer, { sides, label, figure, note }) {
    this.viewer = viewer;
    this.sides = sides;
    this.figure = figure;
    this.layers = [];
    this.cells = [];
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

  /** Rebuilds the columns when the layers differ; new figures {text, share} are written into the same cells. */
  setLayers(layers, figures) {
    const identity = JSON.stringify(layers.map((layer) => [layer.name, layer.height, layer.width]));
    this.layers = layers;
    if (identity !== this.identity) this.#build();
    this.identity = identity;
    layers.forEach((layer, i) => {
      const { meter, fill, share: place } = this.cells[i];
      const { text, share } = figures[i];
      setText(place, text);
      fill.style.transform = `scaleX(${share})`;
      meter.setAttribute("aria-label", `${this.figure} at ${layer.name}: ${text}`);
    });
  }

  /** Writes the rows' names. */
  setMethods(titles) {
    this.sides.forEach((side, row) => {
      setText(this.labels[row], titles[row]);
      this.cells.forEach((cell, i) => cell.buttons[row].setAttribute("aria-label", `Show ${this.layers[i].name} (${titles[row]})`));
    });
  }

  /** Marks the current column and, on a narrow page, scrolls it into the strip. */
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

  /** Calls draw(canvas, layer index, side) for every thumbnail. */
  drawThumbnails(draw) {
    this.cells.forEach((cell, i) => this.sides.forEach((side, row) => draw(cell.canvases[row], i, side)));
  }

  #build() {
    this.element.style.setProperty("--layers", String(this.layers.length));
    this.labels = this.sides.map(() => element("span", { class: "row-label" }));
    this.cells = this.layers.map((layer) => {
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
      const share = element("span", { class: "meter-text" });
      const meter = element("span", { class: "energy", role: "img" }, share, element("span", { class: "meter" }, fill));
      return { canvases, buttons, name, meter, fill, share, all: [name, ...buttons, meter] };
    });
    this.scroller.replaceChildren(
      element(
        "div",
        { class: "strip" },
        element("span", { class: "row-label" }),
        ...this.cells.map((cell) => cell.name),
        this.labels[0],
        ...this.cells.map((cell) => cell.buttons[0]),
        this.labels[1],
        ...this.cells.map((cell) => cell.buttons[1]),
        element("span", { class: "row-label", text: this.figure }),
        ...this.cells.map((cell) => cell.meter),
      ),
    );
  }
}
