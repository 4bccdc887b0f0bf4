/** Depth: the scrubber, and below it every layer × both methods with the energy that survives averaging. */

import { DepthSlider } from "./depth.js";
import { element, setText } from "./dom.js";
import { layerSize, percent } from "./format.js";
import { THUMBNAIL } from "./thumbnail.js";
import { SIDES } from "./view.js";

/** `actions` has scrub(layer name), choose(layer name) and settle(): while dragging, on a click, on release. */
export class Strip {
  constructor(actions) {
    this.actions = actions;
    this.layers = [];
    this.cells = [];
    this.slider = new DepthSlider("Depth: layer shown in both panels", actions);
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
      element(
        "p",
        { class: "energy-text" },
        element("strong", { text: "Energy kept" }),
        " is the share of the gradient’s energy that survives Grad-CAM’s averaging over places, ",
        element("span", { class: "formula", text: "H·W·‖ḡ‖² / Σ‖gᵤ‖²" }),
        ": at 100 % averaging loses nothing, near 0 % Grad-CAM throws nearly all of the gradient away.",
      ),
    );
  }

  /** Rebuilds the columns when the layers differ; new numbers are written into the same cells. */
  setLayers(layers) {
    const identity = JSON.stringify(layers.map((layer) => [layer.name, layer.height, layer.width]));
    this.layers = layers;
    if (identity !== this.identity) this.#build();
    this.identity = identity;
    layers.forEach((layer, i) => {
      const { meter, fill, share } = this.cells[i];
      const text = layer.energy === null ? "no gradient" : percent(layer.energy);
      setText(share, text);
      fill.style.transform = `scaleX(${layer.energy ?? 0})`;
      meter.setAttribute("aria-label", `Energy kept at ${layer.name}: ${text}`);
    });
  }

  /** Writes the rows' names. */
  setMethods(titles) {
    SIDES.forEach((side, row) => {
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
    this.cells.forEach((cell, i) => SIDES.forEach((side, row) => draw(cell.canvases[row], i, side)));
  }

  #build() {
    this.element.style.setProperty("--layers", String(this.layers.length));
    this.labels = SIDES.map(() => element("span", { class: "row-label" }));
    this.cells = this.layers.map((layer) => {
      const canvases = SIDES.map(() => element("canvas", { width: THUMBNAIL, height: THUMBNAIL, "aria-hidden": "true" }));
      const onclick = () => this.actions.choose(layer.name);
      const buttons = SIDES.map((side, row) =>
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
        element("span", { class: "row-label", text: "Energy kept" }),
        ...this.cells.map((cell) => cell.meter),
      ),
    );
  }
}
