/** Framework: the paper's table as live maps, and all named methods at all layers. */

import { element, Segmented, setText } from "./dom.js";
import { DepthSlider } from "./depth.js";
import { number, percent } from "./format.js";
import { shares } from "./maths.js";
import { weightsOf } from "./mixing.js";
import { formula } from "./methods.js";
import { Matrix } from "./matrix.js";
import { Catalogue } from "./catalogue.js";
import { HOW_OPTIONS } from "./weights.js";

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

/** The body of the viewer in the mode "framework". `viewer` gives payload, view, set(), settle(), open(), … */
export class Framework {
  constructor(viewer) {
    this.viewer = viewer;
    this.cell = null;
    this.photo = new Image();
    this.photo.addEventListener("load", () => this.#spreadPhoto());
    const chooseAll = (change) => {
      viewer.set(change);
      viewer.settle();
    };
    this.tabs = new Tabs("What is shown", "framework-tabs", TABS, (name) => this.#showTab(name));
    this.lead = this.tabs.element;
    this.source = new Segmented("What the cells show", "table-source", SOURCES, (name) => chooseAll({ mixed: name === "mix" }));
    this.how = new Segmented("How the layers are mixed", "how", HOW_OPTIONS, (how) => chooseAll({ how }));
    this.depth = new DepthSlider("Depth: layer shown in all cells", viewer);
    this.matrix = new Matrix(viewer, {
      point: (box) => this.#describe(box),
      select: (cell) => this.#select(cell),
      open: (cell) => viewer.open(cell.method.name, viewer.view.layer),
    });
    this.catalogue = new Catalogue(viewer, (method, layer) => viewer.open(method, layer));
    this.#build();
  }

  /** Takes over a payload of which parts are new. */
  take(changed) {
    const { payload } = this.viewer;
    if (changed.photo) {
      this.photo.src = payload.photoUrl;
      this.viewer.root.style.removeProperty("--cell-photo");
    }
    if (changed.photo || changed.maps) {
      this.matrix.take(payload.meta.table);
      this.catalogue.take();
      // Another box may have come with the maps; a new photo comes when it is loaded.
      if (!changed.photo && this.photo.complete) this.#spreadPhoto();
    }
    this.resize();
  }

  /** Makes the cells as large as the window has room for all of them at once. */
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
    const header = document.querySelector("[data-testid=stHeader]")?.offsetHeight ?? 0;
    style.setProperty("--top", `${header}px`);
    style.setProperty("--heads-top", `${header + this.controls.offsetHeight}px`);
  }

  /** Draws what the view asks for; unchanged parts cost nothing. */
  draw(table, diverging) {
    const { payload, view } = this.viewer;
    const { layers, label, probability, state } = payload.meta;
    const layer = layers[this.depth.set(layers, view.layer)];
    this.element.style.setProperty("--layers", String(layers.length));
    this.source.set(view.mixed ? "mix" : "layer");
    this.how.set(view.how);
    this.ofLayer.hidden = view.mixed;
    this.ofMix.hidden = !view.mixed;
    if (view.mixed) this.#drawWeights();
    const shown = view.mixed ? `${view.how} of ${this.#counted()}` : `${layer.channels} channels`;
    setText(this.caption, [shown, `${label} ${percent(probability)}`, state].filter(Boolean).join(" · "));
    if (this.tabs.chosen === "table") this.matrix.draw(table, diverging);
    else this.catalogue.draw(table, diverging);
    this.#select(this.cell);
    this.#describe(this.matrix.cursor);
  }

  /** What a screen reader is told once things have come to rest. */
  spoken() {
    return this.caption.textContent;
  }

  #build() {
    this.caption = element("p", { class: "caption", "data-testid": "framework-caption" });
    this.bars = element("div", { class: "weight-bars", role: "img" });
    this.ofLayer = element(
      "div",
      { class: "of-layer" },
      element("div", { class: "depth-line" }, element("span", { class: "row-label", text: "Depth" }), this.depth.track, this.depth.output),
    );
    this.ofMix = element(
      "div",
      { class: "of-mix" },
      this.how.element,
      this.bars,
      element("p", { class: "hint", text: "The weights are those of the page Mix layers." }),
    );
    this.controls = element("div", { class: "table-controls" }, this.source.element, this.ofLayer, this.ofMix, this.caption);
    this.detail = {
      title: element("h3", {}),
      place: element("p", { class: "detail-cell" }),
      formula: element("div", { class: "detail-formula" }),
      text: element("p", {}),
      value: element("p", { class: "detail-value" }),
      hint: element("p", { class: "hint" }),
    };
    this.detail.element = element("aside", { class: "detail", "data-testid": "cell-detail" }, ...Object.values(this.detail));
    this.table = element(
      "section",
      { class: "table", role: "tabpanel", "aria-label": TABS[0].title, "data-testid": "framework-table" },
      this.matrix.element,
      this.controls,
      this.detail.element,
    );
    this.element = element("div", { class: "framework" }, this.table, this.catalogue.element);
    this.#showTab(TABS[0].name);
    this.#select(null);
  }

  #showTab(name) {
    this.tabs.set(name);
    this.table.hidden = name !== "table";
    this.catalogue.element.hidden = name === "table";
    if (this.viewer.view) this.viewer.schedule();
  }

  /** The box's part of the photo as one small picture, shared by all cells as a background. */
  #spreadPhoto() {
    const { payload, root } = this.viewer;
    const [left, top, right, bottom] = payload.meta.box;
    const aspect = (right - left) / (bottom - top);
    const canvas = element("canvas", { width: Math.round(PHOTO * Math.min(aspect, 1)), height: Math.round(PHOTO / Math.max(aspect, 1)) });
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(this.photo, left, top, right - left, bottom - top, 0, 0, canvas.width, canvas.height);
    root.style.setProperty("--cell-photo", `url(${canvas.toDataURL("image/jpeg", 0.9)})`);
  }

  #counted() {
    const count = weightsOf(this.viewer.payload, this.viewer.view).filter((weight) => weight > 0).length;
    return `${count} ${count === 1 ? "layer" : "layers"}`;
  }

  #drawWeights() {
    const { payload, view } = this.viewer;
    const parts = shares(weightsOf(payload, view));
    const key = parts.join();
    if (key === this.weightsKey) return;
    this.weightsKey = key;
    const top = Math.max(...parts, 1e-9);
    this.bars.replaceChildren(
      ...parts.map((part, i) => {
        const bar = element("span", { class: "weight-bar", title: `${payload.meta.layers[i].name}: ${percent(part)}` }, element("i", {}));
        bar.firstChild.style.transform = `scaleY(${part / top})`;
        return bar;
      }),
    );
    const spoken = payload.meta.layers.map((layer, i) => `${layer.name} ${percent(parts[i])}`);
    this.bars.setAttribute("aria-label", `Normalised weights: ${spoken.join(", ")}`);
  }

  #select(cell) {
    this.cell = cell;
    const described = cell ? `${cell.words} ${cell.reason}` : "";
    if (described === this.described) return;
    this.described = described;
    const { title, place, formula: sign, text, hint } = this.detail;
    this.detail.element.classList.toggle("resting", cell === null);
    if (cell === null) {
      setText(title, "How to read the table");
      setText(place, "");
      sign.replaceChildren();
      setText(
        text,
        "Put an identity layer with weights behind the layer looked at. The gradient of its weights is a sum over places. " +
          "Extract takes one place’s share of it, aggregate makes that share one number. Known methods are cells: they carry their names.",
      );
      setText(hint, "Point at a cell to read all of them at one place; click it to open it beside Grad-CAM.");
    } else {
      setText(title, cell.method.title);
      setText(place, cell.own ? cell.method.cell : "");
      sign.replaceChildren(formula(cell.method.formula, "about-formula"));
      setText(text, cell.reason ?? cell.method.summary);
      setText(hint, matchMedia("(hover: none)").matches ? "Tap again to open it beside Grad-CAM." : "Click or press Enter to open it beside Grad-CAM.");
    }
  }

  #describe(box) {
    const value = box && this.cell ? this.matrix.valueOf(this.cell) : null;
    const place = box ? this.viewer.payload.positionText(box) : "";
    setText(this.detail.value, value === null ? place : `${place}: ${number(value)}`);
  }
}

/** A list of tabs; arrow keys go from one to the next. */
class Tabs {
  constructor(label, testId, options, onchoose) {
    this.options = options;
    this.buttons = options.map(({ name, title, hint }) =>
      element("button", { type: "button", role: "tab", class: "tab", title: hint, text: title, "data-testid": `tab-${name}`, onclick: () => onchoose(name) }),
    );
    this.element = element("div", { class: "tabs", role: "tablist", "aria-label": label, "data-testid": testId }, ...this.buttons);
    this.element.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      const index = options.findIndex((option) => option.name === this.chosen);
      const next = (index + step + options.length) % options.length;
      onchoose(options[next].name);
      this.buttons[next].focus();
      event.preventDefault();
    });
  }

  set(name) {
    this.chosen = name;
    this.buttons.forEach((button, i) => {
      const chosen = this.options[i].name === name;
      button.setAttribute("aria-selected", String(chosen));
      button.tabIndex = chosen ? 0 : -1;
    });
  }
}
