/** Framework: the paper's table as live maps, and all named methods at all layers. */

import { DepthSlider } from "../../controls/depth-slider.js";
import { context2d, element, setText } from "../../controls/dom.js";
import { LayerPicker } from "../../controls/layer-picker.js";
import { formula } from "../../controls/method-picker.js";
import { Segmented } from "../../controls/segmented.js";
import { Tabs } from "../../controls/tabs.js";
import { HOW_OPTIONS } from "../../controls/weights.js";
import { number, percent } from "../../core/format.js";
import { shares } from "../../core/maths.js";
import { weightsOf } from "../../core/mixing.js";
import { whenChanged } from "../../core/redraw.js";
import { AllMethods } from "./all-methods.js";
import { Matrix } from "./matrix.js";

/** @import { Layer } from "../../core/payload.js" */
/** @import { View } from "../../core/view.js" */
/** @import { Cell } from "./matrix.js" */
/** @import { Frame, Mode, ModeHost } from "../mode.js" */

const TABS = [
  { name: "table", title: "Table", hint: "Every cell of the framework at one layer, or mixed over the layers" },
  { name: "layers", title: "All methods by layer", hint: "Every named method at every layer" },
];
const SOURCES = [
  { name: "layer", title: "One layer", hint: "All cells at the same layer" },
  { name: "mix", title: "Mixed", hint: "All layers mixed, with the weights of the page Mix layers" },
];
/** The photo's size in a cell: twice a cell's on screen, for dense screens. */
const PHOTO = 320;
/** Room for the heading, toolbar and column heads above the cells, for a caption and the gaps between rows. */
const ABOVE = 226;
const PER_ROW = 26;
const ROW_HEAD = 136;
const ASIDE = 280;
const GAP = 32;
const BETWEEN = 10;
/** Below this a cell has no room for its name. */
const SMALLEST = 106;
const LARGEST = 176;
const WIDE = 900;
const PHONE = 640;

/** @implements {Mode} */
export class Framework {
  /** @param {ModeHost} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    /** @type {Cell | null} */
    this.cell = null;
    this.photo = new Image();
    const choose = (/** @type {Partial<View>} */ change) => {
      viewer.set(change);
      viewer.settle();
    };
    this.tabs = new Tabs("What is shown", "framework-tabs", TABS, (tab) => choose({ tab }));
    this.lead = this.tabs.element;
    this.source = new Segmented("What the cells show", "table-source", SOURCES, (name) => choose({ mixed: name === "mix" }));
    this.how = new Segmented("How the layers are mixed", "how", HOW_OPTIONS, (how) => choose({ how }));
    this.picker = new LayerPicker(viewer);
    this.depth = new DepthSlider("Depth: layer shown in all cells", viewer);
    this.layer = "";
    this.matrix = new Matrix(viewer, {
      point: () => this.#describePoint(),
      select: (cell) => this.#select(cell),
      open: (cell) => viewer.open(cell.method.name, this.layer),
    });
    this.allMethods = new AllMethods((method, layer) => viewer.open(method, layer));
    this.spreadPhoto = whenChanged((/** @type {{url: string, box: number[]}} */ { url, box }) => this.#loadPhoto(url, box));
    this.drawWeights = whenChanged((/** @type {WeightInputs} */ inputs) => drawWeights(this.bars, inputs));
    this.describe = whenChanged((/** @type {{cell: Cell | null, reason: string | null}} */ { cell, reason }) =>
      describe(this.detail, cell, reason),
    );

    this.caption = element("p", { class: "caption", "data-testid": "framework-caption" });
    this.bars = element("div", { class: "weight-bars", role: "img" });
    this.ofLayer = element(
      "div",
      { class: "of-layer" },
      this.depth.element,
    );
    this.ofMix = element(
      "div",
      { class: "of-mix" },
      this.how.element,
      this.bars,
      element("p", { class: "hint", text: "The weights are those of the page Mix layers." }),
    );
    this.controls = element("div", { class: "table-controls" }, element("div", { class: "source-line" }, this.source.element, this.picker.element), this.ofLayer, this.ofMix, this.caption);
    this.detail = buildDetail();
    this.table = element(
      "section",
      { class: "table", role: "tabpanel", "aria-label": TABS[0].title, "data-testid": "framework-table" },
      this.matrix.element,
      this.controls,
      this.detail.element,
    );
    this.element = element("div", { class: "framework" }, this.table, this.allMethods.element);
  }

  take() {
    const { meta, photoUrl } = this.viewer.payload;
    this.spreadPhoto({ url: photoUrl, box: meta.box });
    this.resize();
  }

  /** Makes the cells as large as possible with all of them in the window. */
  resize() {
    const { root, payload } = this.viewer;
    const [left, top, right, bottom] = payload.meta.box;
    const aspect = (right - left) / (bottom - top);
    const width = root.clientWidth;
    const columns = payload.meta.table.aggregates.length;
    const rows = payload.meta.table.extracts.length;
    const beside = width > WIDE ? ROW_HEAD + ASIDE + GAP : width > PHONE ? ROW_HEAD : 0;
    const across = (width - beside - (columns - (beside > 0 ? 0 : 1)) * BETWEEN) / columns;
    const down = width > WIDE ? Math.min(Math.max((window.innerHeight - ABOVE) / rows - PER_ROW, SMALLEST), LARGEST) : Infinity;
    const cell = Math.floor(Math.min(across, down * aspect));
    const { style } = this.element;
    style.setProperty("--cell", `${cell}px`);
    style.setProperty("--cell-aspect", String(aspect));
    // What sticks to the top must stay clear of the page's own header.
    const header = this.viewer.headerHeight();
    style.setProperty("--top", `${header}px`);
    style.setProperty("--heads-top", `${header + this.controls.offsetHeight}px`);
  }

  /** @param {Frame} frame */
  draw(frame) {
    const { payload, view } = frame;
    const { layers, label, probability } = payload.content;
    this.layer = view.layer;
    const layer = layers[this.depth.set(layers, view.layer)];
    this.element.style.setProperty("--layers", String(layers.length));
    this.picker.set(payload, view);
    this.tabs.set(view.tab);
    this.table.hidden = view.tab !== "table";
    this.allMethods.element.hidden = view.tab === "table";
    this.source.set(view.mixed ? "mix" : "layer");
    this.how.set(view.how);
    this.ofLayer.hidden = view.mixed;
    this.ofMix.hidden = !view.mixed;
    if (view.mixed) this.drawWeights({ layers, weights: view.weights });
    const count = weightsOf(layers, view.weights).filter((weight) => weight > 0).length;
    const shown = view.mixed ? `${view.how} of ${count} ${count === 1 ? "layer" : "layers"}` : `${layer.channels} channels`;
    setText(this.caption, [shown, `${label} ${percent(probability)}`, payload.meta.state].filter(Boolean).join(" · "));
    if (view.tab === "table") this.matrix.draw(frame);
    else this.allMethods.draw(frame);
    this.#select(this.cell);
    this.#describePoint();
  }

  announcement() {
    return this.caption.textContent ?? "";
  }

  /**
   * The input region as one small picture, shared by all cells as a background.
   *
   * @param {string} url
   * @param {number[]} box
   */
  #loadPhoto(url, box) {
    this.viewer.root.style.removeProperty("--cell-photo");
    this.photo = new Image();
    const { photo } = this;
    photo.addEventListener("load", () => {
      if (photo === this.photo) this.viewer.root.style.setProperty("--cell-photo", `url(${cropped(photo, box)})`);
    });
    photo.src = url;
  }

  /** @param {Cell | null} cell */
  #select(cell) {
    this.cell = cell;
    this.describe({ cell, reason: cell?.reason ?? null });
  }

  #describePoint() {
    const { cursor } = this.matrix;
    const value = this.cell ? this.matrix.valueOf(this.cell) : null;
    const where = cursor ? this.viewer.payload.content.positionText(cursor) : "";
    setText(this.detail.value, value === null ? where : `${where}: ${number(value)}`);
  }
}

/**
 * A part of a photo as a small JPEG's data URL.
 *
 * @param {HTMLImageElement} photo
 * @param {number[]} box
 */
function cropped(photo, [left, top, right, bottom]) {
  const aspect = (right - left) / (bottom - top);
  const canvas = element("canvas", { width: Math.round(PHOTO * Math.min(aspect, 1)), height: Math.round(PHOTO / Math.max(aspect, 1)) });
  const context = context2d(canvas);
  context.imageSmoothingQuality = "high";
  context.drawImage(photo, left, top, right - left, bottom - top, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", 0.9);
}

/** @typedef {{layers: Layer[], weights: Record<string, number>}} WeightInputs */

/**
 * @param {HTMLElement} bars
 * @param {WeightInputs} inputs
 */
function drawWeights(bars, { layers, weights }) {
  const parts = shares(weightsOf(layers, weights));
  const top = Math.max(...parts, 1e-9);
  bars.replaceChildren(
    ...parts.map((part, i) => {
      const fill = element("i", {});
      fill.style.transform = `scaleY(${part / top})`;
      return element("span", { class: "weight-bar", title: `${layers[i].name}: ${percent(part)}` }, fill);
    }),
  );
  const spoken = layers.map((layer, i) => `${layer.name} ${percent(parts[i])}`);
  bars.setAttribute("aria-label", `Normalised weights: ${spoken.join(", ")}`);
}

/** @typedef {ReturnType<typeof buildDetail>} Detail */

/** The description of the cell pointed at. */
function buildDetail() {
  const parts = {
    title: element("h3", {}),
    cell: element("p", { class: "detail-cell" }),
    formula: element("div", { class: "detail-formula" }),
    text: element("p", {}),
    value: element("p", { class: "detail-value" }),
    hint: element("p", { class: "hint" }),
  };
  return { ...parts, element: element("aside", { class: "detail", "data-testid": "cell-detail" }, ...Object.values(parts)) };
}

/**
 * @param {Detail} detail
 * @param {Cell | null} cell
 * @param {string | null} reason
 */
function describe(detail, cell, reason) {
  detail.element.classList.toggle("resting", cell === null);
  if (cell === null) {
    setText(detail.title, "How to read the table");
    setText(detail.cell, "");
    detail.formula.replaceChildren();
    setText(
      detail.text,
      "Insert an identity layer with weights after the layer shown. The gradient of its weights is a sum over locations. " +
        "Extract takes the share of one location; aggregate reduces that share to one number. Cells that are known methods carry their names.",
    );
    setText(detail.hint, "Hover over a cell to read all cells at one location; click it to open it beside Grad-CAM.");
  } else {
    setText(detail.title, cell.method.title);
    setText(detail.cell, cell.own ? cell.method.cell : "");
    detail.formula.replaceChildren(formula(cell.method.formula, "about-formula"));
    setText(detail.text, reason ?? cell.method.summary);
    const touch = matchMedia("(hover: none)").matches;
    setText(detail.hint, `${touch ? "Tap again" : "Click or press Enter"} to open it beside Grad-CAM.`);
  }
}
