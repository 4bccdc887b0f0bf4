/** Framework: the paper's table as live maps, and all named methods at all layers. */

import { DepthSlider } from "../../controls/depth-slider.js";
import { context2d, element, setText } from "../../controls/dom.js";
import { LayerPicker } from "../../controls/layer-picker.js";
import { formula } from "../../controls/method-picker.js";
import { Segmented } from "../../controls/segmented.js";
import { Tabs } from "../../controls/tabs.js";
import { HOW_OPTIONS } from "../../controls/weights.js";
import { LEVELS } from "../../core/colors.js";
import { number, percent } from "../../core/format.js";
import { shares } from "../../core/maths.js";
import { weightsOf } from "../../core/mixing.js";
import { whenChanged } from "../../core/redraw.js";
import { paintBar } from "../../panels/legend.js";
import { markFilling } from "../../panels/linked-panels.js";
import { AllMethods } from "./all-methods.js";
import { Matrix } from "./matrix.js";
import { Preview, REFERENCE } from "./preview.js";

/** @import { Layer, Method } from "../../core/payload.js" */
/** @import { View } from "../../core/view.js" */
/** @import { Frame, Mode, ModeHost } from "../mode.js" */

const TABS = [
  { name: "table", title: "Table", hint: "Every cell of the framework at one layer, or mixed over the layers" },
  { name: "layers", title: "All methods by layer", hint: "Every named method at every layer" },
];
const SOURCES = [
  { name: "layer", title: "One layer", hint: "All cells at the same layer" },
  { name: "mix", title: "Mixed", hint: "All layers mixed, with the weights of Mix layers" },
];
/** The cell previewed first. */
const FIRST = "normgrad";
/** Longer side of the photo behind the maps. */
const PHOTO = 640;
/** Room for the heading, toolbar and column heads above the cells, for a name and the gaps between rows. */
const ABOVE = 258;
const PER_ROW = 28;
const ROW_HEAD = 160;
const ASIDE = 384;
const GAP = 32;
/** Room above and below the choice between one layer and the mix. */
const AWAY = 16;
const BETWEEN = 10;
/** Below this a cell has no room for its name. */
const SMALLEST = 98;
const LARGEST = 176;
/** Highest preview as a share of the window; on a phone both previews stay in view above the cells. */
const PREVIEW = 0.36;
const TABLET_PREVIEW = 0.22;
const PHONE_PREVIEW = 0.16;
const WIDE = 900;
const PHONE = 640;

/** What the colours of a cell mean, for cells without and with a sign. */
const KEYS = [
  { signed: false, text: "Norm, filter norm: each cell from its own minimum to its maximum." },
  { signed: true, text: "Sum, max: each cell around 0, up to its own 99th percentile." },
];
const MIXED_KEY = "Each cell from its own minimum to its maximum.";

/** @implements {Mode} */
export class Framework {
  /** @param {ModeHost} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    this.chosen = FIRST;
    this.photo = new Image();
    const choose = (/** @type {Partial<View>} */ change) => {
      viewer.set(change);
      viewer.settle();
    };
    this.tabs = new Tabs("What is shown", "framework-tabs", TABS, (tab) => choose({ tab }));
    this.picker = new LayerPicker(viewer);
    this.lead = element("div", { class: "framework-lead" }, this.tabs.element, this.picker.element);
    this.source = new Segmented("What the cells show", "table-source", SOURCES, (name) => choose({ mixed: name === "mix" }));
    this.how = new Segmented("How the layers are mixed", "how", HOW_OPTIONS, (how) => choose({ how }));
    this.depth = new DepthSlider("Depth: layer shown in all cells", viewer);
    this.layer = "";
    const touch = matchMedia("(hover: none)").matches;
    this.hint = touch ? "Tap a cell to preview it." : "Hover over a cell to preview it and read all cells; click it to open it on Compare.";
    this.matrix = new Matrix(viewer, {
      point: () => this.#readPoint(),
      select: (cell) => {
        this.chosen = cell.method.name;
        viewer.schedule();
      },
      open: (cell) => viewer.open(cell.method.name, this.layer),
    });
    this.preview = new Preview(() => viewer.open(this.chosen, this.layer));
    this.allMethods = new AllMethods(viewer);
    this.spreadPhoto = whenChanged((/** @type {PhotoInputs} */ inputs) => this.#loadPhoto(inputs));
    this.drawWeights = whenChanged((/** @type {WeightInputs} */ inputs) => drawWeights(this.bars, inputs));
    this.describe = whenChanged((/** @type {{method: Method}} */ { method }) => describe(this.detail, method));

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
      element("p", { class: "hint", text: "The weights are those of Mix layers." }),
    );
    this.choice = element("div", { class: "table-source" }, this.source.element, this.caption);
    this.controls = element("div", { class: "table-controls" }, this.choice, this.ofLayer, this.ofMix);
    this.detail = buildDetail();
    this.colorKeys = KEYS.map((key) => buildKey(key));
    this.drawKeys = whenChanged((/** @type {KeyInputs} */ inputs) => drawKeys(this.colorKeys, inputs));
    this.top = element("div", { class: "table-top" }, this.controls, this.preview.element);
    this.table = element(
      "section",
      { class: "table", role: "tabpanel", "aria-label": TABS[0].title, "data-testid": "framework-table" },
      this.matrix.element,
      this.top,
      element("aside", { class: "table-aside" }, this.detail.element, buildGuide(this.colorKeys)),
    );
    this.element = element("div", { class: "framework" }, this.table, this.allMethods.element);
  }

  take() {
    const { meta, photoUrl } = this.viewer.payload;
    this.spreadPhoto({ url: photoUrl, box: meta.box, name: meta.photo.name });
    this.resize();
  }

  /** Makes the cells as large as possible with all of them in the window. */
  resize() {
    const { root, payload } = this.viewer;
    markFilling(root);
    const aspect = aspectOf(payload.meta.box);
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
    const preview = Math.round(window.innerHeight * (width > WIDE ? PREVIEW : width > PHONE ? TABLET_PREVIEW : PHONE_PREVIEW));
    style.setProperty("--preview-height", `${preview}px`);
    // On small screens the first line of controls scrolls away, depth and previews stay.
    const away = this.choice.offsetHeight + AWAY;
    style.setProperty("--controls-top", `${header - away}px`);
    style.setProperty("--heads-top", `${header - away + this.top.offsetHeight}px`);
  }

  /** @param {Frame} frame */
  draw(frame) {
    const { payload, view } = frame;
    const { layers, classText } = payload.content;
    this.layer = view.layer;
    const layer = layers[this.depth.set(layers, view.layer, payload.meta.random)];
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
    setText(this.caption, [shown, classText, payload.meta.state].filter(Boolean).join(" · "));
    if (view.tab === "layers") this.allMethods.draw(frame);
    else this.#drawTable(frame, view.mixed ? shown : layer.name);
  }

  /**
   * @param {Frame} frame
   * @param {string} where
   */
  #drawTable(frame, where) {
    const { table } = frame.payload.meta;
    const method = frame.payload.method(this.chosen);
    const notes = [this.chosen, REFERENCE].map((name) => this.viewer.absence(name));
    this.matrix.draw(frame);
    this.matrix.mark(this.chosen);
    this.preview.draw(frame, method, notes, { where, ...cellWords(table, method) });
    this.describe({ method });
    this.drawKeys({ colors: frame.colors, mixed: frame.view.mixed });
    this.#readPoint();
  }

  /** @param {Frame} frame */
  keys({ payload, view }) {
    const table = view.tab === "table";
    return {
      walk: table && !view.mixed ? /** @type {const} */ ("layers") : null,
      methods: table ? payload.meta.table.cells.flat() : [],
      shown: [this.chosen],
      place: "in the preview",
      other: "",
    };
  }

  /** @param {string} method */
  chooseMethod(method) {
    this.chosen = method;
    this.viewer.schedule();
    const title = this.viewer.payload.method(method).title;
    this.viewer.speak(() => `Preview: ${title}, ${this.announcement()}`);
  }

  announcement() {
    return this.caption.textContent ?? "";
  }

  /**
   * The input region as one picture, behind all cells and both previews.
   *
   * @param {PhotoInputs} inputs
   */
  #loadPhoto({ url, box, name }) {
    this.viewer.root.style.removeProperty("--cell-photo");
    this.photo = new Image();
    const { photo } = this;
    photo.addEventListener("load", () => {
      if (photo !== this.photo) return;
      const region = cropped(photo, box);
      this.viewer.root.style.setProperty("--cell-photo", `url(${region})`);
      this.preview.setPhoto(region, aspectOf(box), name);
    });
    photo.src = url;
  }

  /** Writes the values of both previews at the cursor. */
  #readPoint() {
    const { cursor } = this.matrix;
    const values = this.preview.point(cursor);
    const { payload } = this.viewer;
    const names = [this.chosen, REFERENCE].map((name) => payload.method(name).title);
    const read = values.map((value, i) => `${names[i]} ${value === null ? "no value" : number(value)}`);
    setText(this.detail.value, cursor ? [payload.content.positionText(cursor), ...read].join(" · ") : this.hint);
  }
}

/** @typedef {{url: string, box: number[], name: string}} PhotoInputs */

/** @param {number[]} box */
function aspectOf([left, top, right, bottom]) {
  return (right - left) / (bottom - top);
}

/**
 * A part of a photo as a JPEG's data URL.
 *
 * @param {HTMLImageElement} photo
 * @param {number[]} box
 */
function cropped(photo, box) {
  const [left, top, right, bottom] = box;
  const aspect = aspectOf(box);
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

/**
 * A cell's name, which is its row's if it has none of its own, and how many numbers it reduces to one.
 *
 * @param {any} table
 * @param {Method} method
 */
function cellWords(table, { name, shortTitle, plainCell }) {
  const row = table.cells.findIndex((/** @type {string[]} */ cells) => cells.includes(name));
  const { title, size } = table.extracts[row];
  const aggregate = table.aggregates[table.cells[row].indexOf(name)].title.toLowerCase();
  return { title: plainCell ? title : shortTitle, cell: `${aggregate} of ${size}` };
}

/** @typedef {ReturnType<typeof buildDetail>} Detail */

/** What there is to say of the previewed cell. */
function buildDetail() {
  const parts = {
    formula: element("div", { class: "detail-formula" }),
    text: element("p", {}),
    value: element("p", { class: "detail-value" }),
  };
  return { ...parts, element: element("div", { class: "detail", "data-testid": "cell-detail" }, ...Object.values(parts)) };
}

/**
 * @param {Detail} detail
 * @param {Method} method
 */
function describe(detail, method) {
  detail.formula.replaceChildren(formula(method.formula, "about-formula"));
  setText(detail.text, method.summary);
}

/** @typedef {{colors: Frame["colors"], mixed: boolean}} KeyInputs */

/** @param {(typeof KEYS)[number]} key */
function buildKey({ signed }) {
  const bar = element("canvas", { class: "bar-colors", width: LEVELS, height: 1, "aria-hidden": "true" });
  const text = element("span", {});
  return { signed, bar, text, element: element("p", { class: "color-key" }, bar, text) };
}

/**
 * @param {ReturnType<typeof buildKey>[]} keys
 * @param {KeyInputs} inputs
 */
function drawKeys(keys, { colors, mixed }) {
  keys.forEach((key, i) => {
    key.element.hidden = key.signed && mixed;
    paintBar(key.bar, colors(key.signed).table);
    setText(key.text, mixed ? MIXED_KEY : KEYS[i].text);
  });
}

/** @param {ReturnType<typeof buildKey>[]} keys */
function buildGuide(keys) {
  return element(
    "div",
    { class: "guide" },
    element("h2", { text: "How to read the table" }),
    element("p", {
      text:
        "Imagine inserting a layer that changes nothing but has weights. Their gradient is a sum over locations. Each row is one way to " +
        "take a location’s share, each column one way to turn it into a number. Named cells are published methods.",
    }),
    ...keys.map((key) => key.element),
  );
}
