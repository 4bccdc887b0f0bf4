/** Why Grad-CAM fails: three methods at every layer, and below each layer what averaging leaves of the gradient. */

import { element, setText } from "../controls/dom.js";
import { classText, layerSize, percent } from "../core/format.js";
import { energyInside, resize, SIZE } from "../core/maths.js";
import { whenChanged } from "../core/redraw.js";
import { LinkedPanels } from "../panels/linked-panels.js";
import { Panel } from "../panels/panel.js";
import { cover } from "../panels/stage.js";
import { Strip } from "../panels/strip.js";
import { ThumbnailPainter } from "../panels/thumbnails.js";

/** @import { Content, Layer, Method, RawMap } from "../core/payload.js" */
/** @import { Frame, Mode, ModeHost } from "./mode.js" */

/** Every explanation has them: they come from the same pass. */
const METHODS = ["grad_cam", "linear_approx", "normgrad"];
const STAGE_HEIGHT = 0.3;
const FIGURE = "Energy kept";

/** The size at which the energy inside the box is summed, as in saliency_core.energy_inside. */
const MEASURED = 224;

/** Heights of the chart's grid lines and their names. */
const GRID = [1, 0.5, 0];

/** @typedef {(number | null)[]} Line one share per layer, null where a map has no positive value */

/**
 * The shares of the methods' energy inside the boxes, and the boxes' share of the area.
 *
 * @typedef {{lines: Line[], area: number}} Inside
 */

/** @implements {Mode} */
export class Why {
  /** @param {ModeHost} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    this.fixedScale = true;
    this.heads = METHODS.map((method) => new Head(method));
    this.panels = METHODS.map((method, i) => new Panel(method, { element: this.heads[i].element, sheet: null }));
    this.linked = new LinkedPanels(viewer, this.panels, STAGE_HEIGHT);
    this.chance = element("small", {});
    const chart = element(
      "span",
      { class: "row-label chart-label" },
      element("span", { text: "Energy inside the box" }),
      this.chance,
      element("span", { class: "ticks", "aria-hidden": "true" }, ...GRID.map(tick)),
    );
    const note = [
      element("strong", { text: FIGURE }),
      ": the share of the gradient’s energy that is left after averaging over all locations. At 100% averaging loses nothing.",
    ];
    this.strip = new Strip(viewer, { sides: METHODS, label: "Depth: layer shown in all panels", figure: FIGURE, note, chart });
    const painter = new ThumbnailPainter();
    this.drawPanels = this.panels.map((panel) => whenChanged((inputs) => drawPanel(panel, inputs)));
    this.drawThumbnails = whenChanged((inputs) => drawThumbnails(this.strip, painter, inputs));
    this.inside = whenChanged((/** @type {{content: Content}} */ { content }) => insideOf(content));
    this.drawChart = whenChanged((/** @type {ChartInputs} */ inputs) => drawChart(inputs));
    this.outline = whenChanged((/** @type {any} */ { content, stage }) => outline(this.panels, content, stage));
    this.element = element(
      "div",
      { class: "why" },
      element("div", { class: "panels" }, ...this.panels.map((panel) => panel.element)),
      this.linked.readout.element,
      this.strip.element,
    );
  }

  get zoomActions() {
    return this.linked.zoomActions;
  }

  take() {
    this.linked.setStage();
  }

  resize() {
    this.linked.setStage();
    this.viewer.schedule();
  }

  /** @param {Frame} frame */
  draw(frame) {
    const { payload, view, colors } = frame;
    const { content } = payload;
    const layer = content.layerIndex(view.layer);
    const inside = this.inside({ content });
    const titles = METHODS.map((name) => payload.method(name).title);
    this.outline({ content, stage: this.linked.stage });
    METHODS.forEach((method, i) => this.drawPanels[i]({ content, method, layer, colors: colors(payload.method(method).signed) }));
    this.#describe(frame, layer, inside);
    this.#drawStrip(frame, titles, inside);
    this.drawThumbnails({ content, methods: payload.methods, photo: this.linked.photo, colors });
    this.linked.read(titles);
  }

  keys() {
    return { walk: /** @type {const} */ ("layers"), methods: [], shown: [], place: "", other: "" };
  }

  announcement() {
    return this.panels.map((panel, i) => `${this.heads[i].element.innerText}, ${panel.canvas.getAttribute("aria-label")}`).join(". ");
  }

  /**
   * Writes the texts around the maps.
   *
   * @param {Frame} frame
   * @param {number} index
   * @param {Inside | null} inside
   */
  #describe({ payload }, index, inside) {
    const { content, meta } = payload;
    const layer = content.layers[index];
    METHODS.forEach((name, i) => {
      const { title, dark, bright } = payload.method(name);
      const words = [classText(content.label, content.probability), `${layer.name} · ${layerSize(layer)}`, meta.state];
      this.panels[i].describe(words.filter(Boolean).join(" · "), [dark, bright]);
      this.panels[i].element.setAttribute("aria-label", title);
      this.heads[i].set(title, inside && shareText(inside.lines[i][index]));
    });
  }

  /**
   * @param {Frame} frame
   * @param {string[]} titles
   * @param {Inside | null} inside
   */
  #drawStrip({ payload, view }, titles, inside) {
    const { layers, energy } = payload.content;
    const figure = (/** @type {number | null} */ share) => ({ text: share === null ? "no gradient" : percent(share), share: share ?? 0 });
    this.strip.setLayers(layers, energy.map(figure));
    this.strip.setMethods(titles);
    this.strip.setView(payload, view);
    this.element.classList.toggle("boxed", inside !== null);
    if (inside === null) return;
    setText(this.chance, `Dashed: the box’s share of the area, ${percent(inside.area)}`);
    this.drawChart({ cells: this.strip.cells, inside, layers, methods: payload.methods });
  }
}

/** The head of a panel: the method with its mark in the chart, and the share of its energy inside the box. */
class Head {
  /** @param {string} method */
  constructor(method) {
    this.title = element("span", {});
    this.share = element("b", { "data-testid": `inside-${method}` });
    this.words = element("p", { class: "share" }, this.share, " inside the box");
    this.element = element("header", {}, element("h2", {}, mark(method), this.title), this.words);
  }

  /**
   * @param {string} title
   * @param {string | null} share
   */
  set(title, share) {
    setText(this.title, title);
    this.words.classList.toggle("unknown", share === null);
    setText(this.share, share ?? "");
  }
}

/** @param {string} method */
function mark(method) {
  return element("i", { class: "mark", "data-method": method, "aria-hidden": "true" });
}

/** @param {number | null} share */
function shareText(share) {
  return share === null ? "no value" : percent(share);
}

/**
 * The shares inside the boxes of the explained class; null where none is known.
 *
 * @param {Content} content
 * @returns {Inside | null}
 */
function insideOf(content) {
  const boxes = content.targetBoxes;
  if (boxes.length === 0) return null;
  const values = new Float32Array(MEASURED * MEASURED);
  const area = energyInside(values.fill(1), MEASURED, boxes) ?? 0;
  const lines = METHODS.map((method) =>
    content.layers.map((_, i) => {
      const map = /** @type {RawMap} */ (content.map(method, i));
      if (!map.values) return null;
      return energyInside(resize(map.values, map.height, map.width, MEASURED, values), MEASURED, boxes);
    }),
  );
  return { lines, area };
}

/**
 * @param {Panel} panel
 * @param {any} inputs
 */
function drawPanel(panel, { content, method, layer, colors }) {
  const map = content.map(method, layer);
  if (!map.values || map.reason) panel.measure({ kind: "empty", text: map.reason });
  else {
    resize(map.values, map.height, map.width, SIZE, panel.values);
    panel.measure(null, colors.diverging);
  }
  panel.draw(panel.ownScale, colors.table);
}

/**
 * Draws the boxes of the explained class on every panel.
 *
 * @param {Panel[]} panels
 * @param {Content} content
 * @param {import("../panels/stage.js").Stage} stage
 */
function outline(panels, content, stage) {
  const [left, top, right, bottom] = stage.box;
  const across = (/** @type {number} */ share) => left + share * (right - left);
  const down = (/** @type {number} */ share) => top + share * (bottom - top);
  for (const panel of panels) {
    for (const old of panel.scene.querySelectorAll(".object-box")) old.remove();
    for (const box of content.targetBoxes) {
      const node = element("div", { class: "object-box", "aria-hidden": "true" });
      cover(node, [across(box[0]), down(box[1]), across(box[2]), down(box[3])]);
      panel.outline.after(node);
    }
  }
}

/**
 * @param {Strip} strip
 * @param {ThumbnailPainter} painter
 * @param {any} inputs
 */
function drawThumbnails(strip, painter, { content, methods, photo, colors }) {
  strip.drawThumbnails((canvas, layer, row) => {
    const method = METHODS[row];
    painter.draw(canvas, photo, content.box, content.map(method, layer), colors(methods.get(method).signed));
  });
}

/** @typedef {{cells: any[], inside: Inside, layers: Layer[], methods: Map<string, Method>}} ChartInputs */

/**
 * Draws the piece of the chart that belongs to each layer into its cell: so the columns are those of the maps.
 *
 * @param {ChartInputs} inputs
 */
function drawChart({ cells, inside: { lines, area }, layers, methods }) {
  const end = cells.length;
  const shapes = [
    ...GRID.map((share) => `<path class="grid" d="M0 ${1 - share}H${end}"/>`),
    `<path class="chance" d="M0 ${1 - area}H${end}"/>`,
    ...lines.map((line, i) => `<path data-method="${METHODS[i]}" d="${pathOf(line)}"/>`),
  ].join("");
  cells.forEach(({ chart }, i) => {
    const plot = element("span", { class: "plot" });
    plot.innerHTML = `<svg viewBox="${i} 0 1 1" preserveAspectRatio="none" aria-hidden="true">${shapes}</svg>`;
    const words = lines.map((line, row) => {
      const share = line[i];
      if (share !== null) {
        const dot = mark(METHODS[row]);
        dot.style.top = `${100 * (1 - share)}%`;
        plot.append(dot);
      }
      return `${methods.get(METHODS[row])?.title} ${shareText(share)}`;
    });
    const text = `Energy inside the box at ${layers[i].name}: ${words.join(", ")}`;
    chart.replaceChildren(plot);
    chart.setAttribute("aria-label", text);
    chart.title = text;
  });
}

/** @param {number} share */
function tick(share) {
  const node = element("span", { class: "tick", text: share === 0 ? "0" : percent(share) });
  node.style.top = `${100 * (1 - share)}%`;
  return node;
}

/**
 * A line through the middles of the columns, interrupted where there is no value.
 *
 * @param {Line} line
 */
function pathOf(line) {
  return line
    .map((share, i) => (share === null ? "" : `${i > 0 && line[i - 1] !== null ? "L" : "M"}${i + 0.5} ${1 - share}`))
    .join("");
}
