/** Point: boxes on the photo, and for every map whether its maximum lies on them and how much of it lies inside. */

import { element, setText } from "../../controls/dom.js";
import { LayerPicker } from "../../controls/layer-picker.js";
import { classText, layerSize, percent } from "../../core/format.js";
import { resize, SIZE } from "../../core/maths.js";
import { mixInto } from "../../core/mixing.js";
import { shared, whenChanged } from "../../core/redraw.js";
import { TOLERANCE } from "../../core/scores.js";
import { BoxEditor } from "../../panels/box-editor.js";
import { LinkedPanels } from "../../panels/linked-panels.js";
import { MaximumMark } from "../../panels/maximum-mark.js";
import { Panel } from "../../panels/panel.js";
import { ScoreTable } from "./score-table.js";
import { boxesOf, Maps, Mixes, rowsOf, scoreAt, sorted, targetOf } from "./scoring.js";

/** @import { Content, Method } from "../../core/payload.js" */
/** @import { Box } from "../../core/scores.js" */
/** @import { View } from "../../core/view.js" */
/** @import { Frame, Mode, ModeHost } from "../mode.js" */
/** @import { Row, Score, Target } from "./scoring.js" */

const STAGE_HEIGHT = 0.56;

/** How long a frame may mix maps, in milliseconds. */
const MIXING = 8;

/** Boxes that cover more of the input than this leave hardly any place to miss. */
const WHOLE = 0.9;

const KEYS_HINT = "Tab goes to a box; arrows move it, Shift and arrows resize it, Delete removes it.";

/** @implements {Mode} */
export class Point {
  /** @param {ModeHost} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    this.fixedScale = true;
    this.title = element("h2", {});
    this.verdict = element("span", { class: "verdict-chip", "data-testid": "verdict" }, element("i", { class: "score-sign" }), element("span", {}));
    this.panel = new Panel("point", { element: element("header", {}, this.title, this.verdict), sheet: null });
    this.linked = new LinkedPanels(viewer, [this.panel], STAGE_HEIGHT);
    this.mark = new MaximumMark(this.panel.scene);
    this.editor = new BoxEditor(this.panel.scene, { change: (boxes) => viewer.set({ boxes }), settle: () => viewer.settle() });
    this.empty = element("p", { class: "draw-hint", "aria-hidden": "true", text: matchMedia("(hover: none)").matches ? "Add a box around the object" : "Drag to draw a box around the object" });
    this.panel.stage.append(this.empty);
    this.panel.stage.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.target !== this.panel.stage) return;
      event.preventDefault();
      this.#add();
    });
    this.picker = new LayerPicker(viewer);
    this.table = new ScoreTable({ pick: (method, column) => this.#pick(method, column), sort: (column) => this.#sort(column) }, () => viewer.schedule());
    const choose = (/** @type {Partial<View>} */ change) => {
      viewer.set(change);
      viewer.settle();
    };
    this.add = element("button", { type: "button", class: "chip", "data-testid": "add-box", text: "Add box", onclick: () => this.#add() });
    this.clear = element("button", { type: "button", class: "chip plain", "data-testid": "clear-boxes", text: "Remove all", onclick: () => choose({ boxes: [] }) });
    this.known = element("button", { type: "button", class: "chip plain", "data-testid": "object-boxes", onclick: () => choose({ boxes: "objects" }) });
    this.finding = element("p", { class: "finding", "data-testid": "point-finding" });
    this.cells = element("input", { type: "checkbox", "data-testid": "cells", onchange: () => choose({ cells: this.cells.checked }) });
    this.switch = element("label", { class: "switch" }, this.cells, element("span", { text: "Show all framework cells" }));
    this.prepare = whenChanged((/** @type {{content: Content, inputSize: number[]}} */ { content, inputSize }) => new Maps(content, inputSize));
    this.mix = whenChanged((/** @type {{maps: Maps, weights: Record<string, number>, how: string}} */ { maps, weights, how }) => new Mixes(maps, weights, how));
    this.aim = whenChanged(targetOf);
    this.rows = whenChanged(rowsOf);
    this.sorted = whenChanged(sorted);
    this.drawMap = whenChanged((/** @type {MapInputs} */ inputs) => drawMap(this.panel, inputs));
    /** @type {Method[]} */
    this.methods = [];
    /** @type {import("./score-table.js").RowShape[]} */
    this.shape = [];
    /** @type {Content | null} */
    this.drawn = null;
    this.element = element(
      "div",
      { class: "point" },
      element(
        "div",
        { class: "point-photo" },
        this.panel.element,
        this.linked.readout.element,
        this.finding,
        element("div", { class: "box-controls" }, this.add, this.known, this.clear),
        element("p", { class: "hint keys-hint", text: KEYS_HINT }),
      ),
      element(
        "section",
        { class: "point-table card", "aria-label": TABLE, "data-testid": "point-table" },
        element("header", { class: "table-head" }, element("h2", { text: TABLE }), element("span", { class: "space" }), this.switch, this.picker.element),
        element("p", { class: "table-words", text: SUMMARY }),
        this.table.element,
        legend(),
      ),
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
    const { content, meta } = payload;
    const { layers } = content;
    const listed = [...payload.methods.values()].filter((method) => method.maps !== null && (view.cells || !method.plainCell || method.name === view.left));
    this.methods = shared(this.methods, listed);
    this.shape = shared(this.shape, listed.map(({ name, title, maps }) => ({ method: name, title, whole: maps?.input !== null })));
    const maps = this.prepare({ content, inputSize: meta.inputSize });
    const mixes = this.mix({ maps, weights: view.weights, how: view.how });
    const boxes = boxesOf(content, view.boxes);
    const target = this.aim({ content, size: maps.size, boxes });
    // Mixes take longer than a frame: the table is drawn before them, and again with each that is ready.
    const wanted = this.methods;
    if (mixes.make(wanted, this.drawn === content ? MIXING : 0)) this.viewer.schedule();
    this.drawn = content;
    const rows = this.rows({ methods: wanted, maps, mixes, made: mixes.known.size, target });
    const column = view.mixed ? layers.length : content.layerIndex(view.layer);
    const ordered = this.sorted({ rows, sort: view.sort, content });
    this.table.draw(ordered, layers, this.shape, target.cover.area);
    this.table.mark(view.left, column, view.sort);
    this.#drawMap(frame, colors(payload.method(view.left).signed && !(view.mixed && !payload.method(view.left).maps?.input)));
    const row = rows.find(({ method }) => method.name === view.left);
    this.#describe(frame, row, column, target);
    const [width, height] = content.photo.original;
    const { stage } = this.linked;
    const score = row && scoreAt(row, column);
    this.mark.draw({ point: score?.point ?? null, state: score?.state === "hit" || score?.state === "miss" ? score.state : "open", width, height, stage });
    this.editor.draw({ boxes, width, height, most: mostBoxes(meta), stage });
    this.#drawControls(frame, boxes);
    this.linked.read([payload.method(view.left).title]);
  }

  /** @param {Frame} frame */
  keys({ payload, view }) {
    return { walk: view.mixed ? null : /** @type {const} */ ("layers"), methods: [...payload.methods.keys()], shown: [view.left], place: "on the photo", other: "" };
  }

  /** @param {string} method */
  chooseMethod(method) {
    this.viewer.set({ left: method });
    this.viewer.settle(this.viewer.payload.method(method).maps === null);
  }

  announcement() {
    return `${this.title.textContent}. ${this.finding.textContent}`;
  }

  /** Adds a box in the middle of what the network sees, or around the cursor. */
  #add() {
    const { content } = this.viewer.payload;
    const [width, height] = content.photo.original;
    const [left, top, right, bottom] = content.region;
    const room = [Math.max(left, 0), Math.max(top, 0), Math.min(right, width), Math.min(bottom, height)];
    const at = this.linked.cursor ?? [0.5, 0.5];
    this.editor.add([left + at[0] * (right - left), top + at[1] * (bottom - top)], room);
  }

  /**
   * @param {string} method
   * @param {number} column
   */
  #pick(method, column) {
    const layer = this.viewer.payload.content.layers[column];
    this.viewer.set({ left: method, mixed: layer === undefined, ...(layer && { layer: layer.name }) });
    this.viewer.settle();
  }

  /** @param {string} column */
  #sort(column) {
    this.viewer.set(({ sort }) => ({ sort: sort === column ? "method" : column }));
    this.viewer.settle();
  }

  /**
   * @param {Frame} frame
   * @param {import("../../core/colors.js").Colors} colors
   */
  #drawMap({ payload, view }, colors) {
    const note = this.viewer.absence(view.left);
    const { content } = payload;
    const mixed = view.mixed ? { weights: view.weights, how: view.how } : { weights: null, how: "" };
    this.drawMap({ content, method: view.left, layer: content.layerIndex(view.layer), ...mixed, kind: note?.kind, text: note?.text, colors });
  }

  /**
   * @param {Frame} frame
   * @param {Row | undefined} row of the method shown
   * @param {number} column
   * @param {Target} target
   */
  #describe({ payload, view }, row, column, target) {
    const { content, meta } = payload;
    const method = payload.method(view.left);
    const layer = content.layers[column];
    const place = row?.whole ? "the input" : (layer?.name ?? `${view.how} of the layers`);
    const score = row && scoreAt(row, column);
    const state = score?.state === "hit" || score?.state === "miss" ? score.state : "";
    setText(this.title, `${method.shortTitle} · ${place}`);
    this.title.title = `${method.title}, ${place}`;
    this.verdict.hidden = state === "";
    this.verdict.dataset.state = state;
    setText(/** @type {Node} */ (this.verdict.lastChild), state === "hit" ? "Hit" : "Miss");
    const size = row?.whole || layer === undefined ? "" : layerSize(layer);
    const words = [classText(content.label, content.probability), size, meta.state];
    this.panel.describe(words.filter(Boolean).join(" · "), [method.dark, method.bright]);
    this.panel.element.setAttribute("aria-label", `${method.title}, ${place}`);
    setText(this.finding, score === undefined ? "" : findingOf(score, target, boxesOf(content, view.boxes).length));
  }

  /**
   * @param {Frame} frame
   * @param {readonly Box[]} boxes
   */
  #drawControls({ payload, view }, boxes) {
    const { content } = payload;
    this.picker.set(payload, view);
    this.cells.checked = view.cells;
    this.switch.hidden = ![...payload.methods.values()].some((method) => method.plainCell && method.maps !== null);
    this.add.disabled = this.editor.full;
    this.clear.hidden = boxes.length === 0;
    const count = content.targetPixels.length;
    this.known.hidden = view.boxes === "objects" || count === 0;
    setText(this.known, count === 1 ? "The object’s own box" : "The objects’ own boxes");
    this.empty.hidden = boxes.length > 0;
  }
}

const TABLE = "Every method at every layer";
const SUMMARY = "Numbers are the percentage of a map’s positive part inside the boxes. Choose one to see its map.";

/** What the signs of the table mean. */
function legend() {
  const line = (/** @type {string} */ state, /** @type {string} */ text) => element("span", {}, element("i", { class: "score-sign", "data-state": state }), text);
  return element(
    "p",
    { class: "score-legend" },
    line("hit", `the maximum lies on a box or less than ${TOLERANCE} px beside it`),
    line("miss", "it lies elsewhere"),
    line("best", "the method’s best layer by share"),
    line("area", "the boxes’ share of what the network sees"),
  );
}

/** @param {any} meta */
function mostBoxes(meta) {
  return meta.schema.find((/** @type {{name: string}} */ field) => field.name === "boxes")?.most ?? 0;
}

/**
 * What the chosen map shows, in words.
 *
 * @param {Score} score
 * @param {Target} target
 * @param {number} drawn how many boxes there are
 */
function findingOf({ state, reason, point, distance, share }, { boxes, cover }, drawn) {
  if (drawn === 0) return "Draw a box around the object: every map is then scored at once.";
  if (boxes.length === 0) return "No box lies in the part of the photo that the network sees, so there is nothing to hit.";
  if (state === "constant") return `Miss: the map has no maximum. ${reason}`;
  if (point === null) return reason;
  const [one, nearest] = boxes.length === 1 ? ["the box", "the box"] : ["a box", "the nearest box"];
  const away = `${distance < 2 * TOLERANCE ? Math.floor(10 * distance) / 10 : Math.round(distance)} px from ${nearest}`;
  const where = `the maximum, at x ${point[0]} · y ${point[1]}, lies`;
  const verdict =
    distance === 0
      ? `Hit: ${where} in ${one}.`
      : state === "hit"
        ? `Hit: ${where} ${away}, within the tolerance of ${TOLERANCE} px.`
        : `Miss: ${where} ${away}.`;
  const all = boxes.length === 1 ? "the box, which covers" : "the boxes, which cover";
  const inside =
    share === null
      ? "The map has no positive value, so no share of it lies anywhere."
      : `${percent(share)} of its positive part lies inside ${all} ${percent(cover.area)} of what the network sees.`;
  const remark = cover.area > WHOLE && share !== null ? " A box that covers nearly everything hardly tells one map from another." : "";
  return `${verdict} ${inside}${remark}`;
}

/** @typedef {{content: Content, method: string, layer: number, weights: Record<string, number> | null, how: string, kind?: import("../mode.js").Note["kind"], text?: string, colors: import("../../core/colors.js").Colors}} MapInputs */

/**
 * @param {Panel} panel
 * @param {MapInputs} inputs
 */
function drawMap(panel, { content, method, layer, weights, how, kind, text, colors }) {
  if (kind !== undefined) panel.measure({ kind, text: text ?? "" });
  else {
    const map = content.map(method, layer);
    const whole = content.maps[method].input !== null;
    const reason = weights !== null && !whole ? mixInto({ content, method, weights, how, size: SIZE }, panel.values) : (map?.reason ?? null);
    if (reason !== null || !map?.values) panel.measure({ kind: "empty", text: reason ?? "" });
    else {
      if (weights === null || whole) resize(map.values, map.height, map.width, SIZE, panel.values);
      panel.measure(null, colors.diverging);
    }
  }
  panel.draw(panel.ownScale, colors.table);
}
