/** The framework's table: one live map per cell, extracts down, aggregates across. */

import { context2d, element, setText } from "../../controls/dom.js";
import { formula } from "../../controls/method-picker.js";
import { paintLevels, quantise, scaleOf } from "../../core/colors.js";
import { number } from "../../core/format.js";
import { extent, resize, resizedAt, SIZE } from "../../core/maths.js";
import { mixInto } from "../../core/mixing.js";
import { whenChanged } from "../../core/redraw.js";
import { CROSSHAIR } from "../../panels/panel.js";
import { weightsMark } from "../../panels/weights-mark.js";

/** @import { Content, Method } from "../../core/payload.js" */
/** @import { Frame, ModeHost } from "../mode.js" */

/** Side of a cell's canvas in pixels. */
const CELL = 160;

const STEP = 1 / 28;
/** Below this the cursor would lie under a cell's value at its foot. */
const LOW = 0.6;
/** @type {Record<string, number[]>} */
const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

/**
 * A cell of the table; `described` is its name for screen readers, `own` whether its method has its own name.
 *
 * @typedef {object} Cell
 * @property {number} row
 * @property {number} column
 * @property {Method} method
 * @property {boolean} own
 * @property {string} described
 * @property {string | null} reason why there is nothing to see
 * @property {HTMLCanvasElement} canvas
 * @property {CanvasRenderingContext2D} context
 * @property {HTMLElement} note
 * @property {HTMLElement} cursor
 * @property {HTMLButtonElement} button
 * @property {HTMLElement} value
 */

/**
 * What a cell shows: indices into the table of colours of maps with or without a sign, or why there is nothing.
 *
 * @typedef {{levels: Uint8Array, signed: boolean, low: number, high: number, reason: null} | {levels: null, reason: string}} Drawing
 */

/** @typedef {{values: (Float32Array | null)[], reasons: (string | null)[]}} Mixture */

/**
 * While reading, for the cell pointed at or focused, and on a click of the mouse or Enter.
 *
 * @typedef {object} MatrixActions
 * @property {(point: number[] | null) => void} point
 * @property {(cell: Cell) => void} select
 * @property {(cell: Cell) => void} open
 */

export class Matrix {
  /**
   * @param {ModeHost} viewer
   * @param {MatrixActions} actions
   */
  constructor(viewer, actions) {
    this.viewer = viewer;
    this.actions = actions;
    /** @type {Cell[]} */
    this.cells = [];
    this.columns = 0;
    /** @type {number[] | null} */
    this.cursor = null;
    /** What the cells show now: read under the cursor. */
    this.shown = { content: /** @type {Content | null} */ (null), layer: 0, mixture: /** @type {Mixture | null} */ (null) };
    const image = new ImageData(CELL, CELL);
    this.build = whenChanged((/** @type {{table: any}} */ { table }) => this.#build(table));
    // Per layer, so that going back to one costs nothing. There are endlessly many mixes: only the newest is kept.
    this.layerDrawings = whenChanged(() => /** @type {Map<number, Drawing[]>} */ (new Map()));
    this.mix = whenChanged(mixCells);
    this.mixDrawings = whenChanged(quantiseMixture);
    this.paint = whenChanged((/** @type {PaintInputs} */ inputs) => paintCells(image, inputs));
    this.element = element("div", { class: "matrix", role: "grid", "aria-label": "Extract by aggregate" });
    this.#listen();
  }

  /**
   * Draws all cells at the view's layer, or mixed over the layers.
   *
   * @param {Frame} frame
   */
  draw({ payload, view, colors }) {
    const { content } = payload;
    this.build({ table: payload.meta.table });
    const { cells } = this;
    const layer = content.layerIndex(view.layer);
    const mixture = view.mixed ? this.mix({ content, cells, weights: view.weights, how: view.how }) : null;
    this.shown = { content, layer, mixture };
    const drawings = mixture ? this.mixDrawings({ mixture }) : this.#drawingsAt(content, layer);
    this.paint({ cells, drawings, colors });
    this.read();
  }

  /**
   * @param {Content} content
   * @param {number} layer
   */
  #drawingsAt(content, layer) {
    const { cells } = this;
    const kept = this.layerDrawings({ content, cells });
    const drawings = kept.get(layer) ?? quantiseLayer(content, cells, layer);
    kept.set(layer, drawings);
    return drawings;
  }

  /** Writes every cell's value at the cursor. */
  read() {
    const { cursor } = this;
    this.element.classList.toggle("reading", cursor !== null);
    if (cursor) {
      this.element.style.setProperty("--u", String(cursor[0]));
      this.element.style.setProperty("--v", String(cursor[1]));
      this.element.classList.toggle("reading-low", cursor[1] > LOW);
    }
    for (const cell of this.cells) {
      const value = cursor && this.valueOf(cell);
      setText(cell.value, value === null ? "" : number(value));
    }
  }

  /**
   * A cell's value at the cursor, null where there is nothing to read.
   *
   * @param {Cell} cell
   */
  valueOf(cell) {
    const { content, layer, mixture } = this.shown;
    if (this.cursor === null || content === null) return null;
    const [u, v] = this.cursor;
    if (mixture) {
      const values = mixture.values[this.cells.indexOf(cell)];
      return values ? values[Math.floor(v * CELL) * CELL + Math.floor(u * CELL)] : null;
    }
    const map = content.map(cell.method.name, layer);
    if (!map?.values) return null;
    // At the panels' resolution: a location has the same value on every page.
    return resizedAt(map.values, map.height, map.width, SIZE, Math.floor(u * SIZE), Math.floor(v * SIZE));
  }

  /** @param {any} table */
  #build(table) {
    const head = (/** @type {any} */ entry, /** @type {string} */ role, /** @type {string} */ testId) =>
      element(
        "div",
        { class: `${role}-head`, role: role === "row" ? "rowheader" : "columnheader", "data-testid": testId },
        element("b", { text: entry.title }),
        formula(entry.formula, "head-formula"),
        element("small", { class: "head-summary", text: entry.summary }),
      );
    const heads = element(
      "div",
      { class: "matrix-row matrix-heads", role: "row" },
      element("div", { class: "corner", role: "columnheader" }, weightsMark(), element("span", { text: "Extract ↓" }), element("span", { text: "Aggregate →" })),
      ...table.aggregates.map((/** @type {any} */ entry) => head(entry, "column", `head-${entry.name}`)),
    );
    this.columns = table.aggregates.length;
    this.cells = [];
    const rows = table.extracts.map((/** @type {any} */ extract, /** @type {number} */ row) =>
      element(
        "div",
        { class: "matrix-row", role: "row" },
        head(extract, "row", `head-${extract.name}`),
        ...table.aggregates.map((/** @type {any} */ aggregate, /** @type {number} */ column) =>
          this.#buildCell(extract, aggregate, row, column, table.cells[row][column]),
        ),
      ),
    );
    this.element.replaceChildren(heads, ...rows);
    this.#focusable(this.cells[0]);
  }

  /**
   * @param {any} extract
   * @param {any} aggregate
   * @param {number} row
   * @param {number} column
   * @param {string} name
   */
  #buildCell(extract, aggregate, row, column, name) {
    const method = this.viewer.payload.method(name);
    const own = !method.plainCell;
    const id = `${extract.name}-${aggregate.name}`;
    const canvas = element("canvas", { class: "map", width: CELL, height: CELL, "aria-hidden": "true", "data-testid": `map-${id}` });
    const context = context2d(canvas, { willReadFrequently: true }); // only ever written as raw pixels
    const note = element("span", { class: "cell-note", text: "constant", "data-testid": `note-${id}`, hidden: true });
    const cursor = element("span", { class: "cell-cursor" });
    cursor.innerHTML = CROSSHAIR;
    const value = element("span", { class: "cell-value", "data-testid": `value-${id}` });
    const button = element(
      "button",
      { type: "button", class: "cell-map", tabindex: "-1", "data-testid": `cell-${id}` },
      canvas,
      note,
      cursor,
      value,
    );
    const title = element("span", { class: "cell-title", text: own ? method.shortTitle : "" });
    const described = `${extract.title}, ${aggregate.title}${own ? `: ${method.title}` : ""}`;
    this.cells.push({ row, column, method, own, described, canvas, context, note, cursor, button, value, reason: null });
    return element("div", { class: own ? "cell named" : "cell", role: "gridcell" }, button, title);
  }

  /**
   * Marks the cell of a method as the one previewed.
   *
   * @param {string} method
   */
  mark(method) {
    for (const cell of this.cells) cell.button.classList.toggle("previewed", cell.method.name === method);
  }

  /**
   * The one cell that the Tab key reaches; arrow keys go on from it.
   *
   * @param {Cell} cell
   */
  #focusable(cell) {
    for (const each of this.cells) each.button.tabIndex = each === cell ? 0 : -1;
  }

  #listen() {
    const cellOf = (/** @type {Event} */ event) => {
      const button = /** @type {Element} */ (event.target).closest(".cell-map");
      return button ? this.cells.find((cell) => cell.button === button) : undefined;
    };
    const point = (/** @type {PointerEvent} */ event, /** @type {Cell} */ cell) => {
      const { left, top, width, height } = cell.button.getBoundingClientRect();
      const inside = (/** @type {number} */ value) => Math.min(Math.max(value, 0), 1 - 1e-6);
      this.#point([inside((event.clientX - left) / width), inside((event.clientY - top) / height)], cell);
    };
    // A finger previews and reads; it opens what it sees with the button of the preview.
    let touched = false;
    this.element.addEventListener("pointerdown", (event) => {
      const cell = cellOf(event);
      touched = event.pointerType !== "mouse";
      if (cell) point(event, cell);
    });
    this.element.addEventListener("pointermove", (event) => {
      const cell = cellOf(event);
      if (cell) point(event, cell);
      else if (event.pointerType === "mouse") this.#point(null, null);
    });
    this.element.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && this.#point(null, null));
    this.element.addEventListener("click", (event) => {
      const cell = cellOf(event);
      if (cell && !touched) this.actions.open(cell);
    });
    this.element.addEventListener("focusin", (event) => {
      const cell = cellOf(event);
      if (!cell) return;
      this.#focusable(cell);
      if (cell.button.matches(":focus-visible")) this.actions.select(cell);
    });
    this.element.addEventListener("keydown", (event) => {
      const cell = cellOf(event);
      if (!cell || event.altKey || event.ctrlKey || event.metaKey) return;
      touched = false;
      if (!this.#press(event, cell)) return;
      event.preventDefault();
    });
  }

  /**
   * Arrow keys move from cell to cell, with Shift they move the cursor; returns whether the key meant something.
   *
   * @param {KeyboardEvent} event
   * @param {Cell} cell
   */
  #press(event, cell) {
    const move = MOVES[event.key];
    if (move && event.shiftKey) {
      const from = this.cursor ?? [0.5, 0.5];
      const inside = (/** @type {number} */ value) => Math.min(Math.max(value, 0), 1 - 1e-6);
      this.#point(this.cursor ? [inside(from[0] + move[1] * STEP), inside(from[1] + move[0] * STEP)] : from, cell);
      this.viewer.speak(() => `${cell.described}: ${cell.value.textContent || "no value"}`);
      return true;
    }
    if (event.key === "Escape") {
      this.#point(null, cell);
      return true;
    }
    const rows = this.cells.length / this.columns;
    /** @type {Record<string, number[]>} */
    const ends = { Home: [cell.row, 0], End: [cell.row, this.columns - 1] };
    const [row, column] = ends[event.key] ?? (move ? [cell.row + move[0], cell.column + move[1]] : [-1, -1]);
    if (row < 0 || column < 0 || row >= rows || column >= this.columns) return Boolean(move);
    this.cells[row * this.columns + column].button.focus();
    return true;
  }

  /**
   * @param {number[] | null} point
   * @param {Cell | null} cell
   */
  #point(point, cell) {
    this.cursor = point;
    this.read();
    if (cell) this.actions.select(cell);
    this.actions.point(point);
  }
}

/** @typedef {{cells: Cell[], drawings: Drawing[], colors: Frame["colors"]}} PaintInputs */

/**
 * @param {ImageData} image
 * @param {PaintInputs} inputs
 */
function paintCells(image, { cells, drawings, colors }) {
  const pixels = new Uint32Array(image.data.buffer);
  cells.forEach((cell, i) => {
    const drawing = drawings[i];
    cell.reason = drawing.reason;
    cell.canvas.hidden = cell.cursor.hidden = drawing.levels === null;
    cell.note.hidden = drawing.levels !== null;
    if (drawing.levels) {
      paintLevels(drawing.levels, colors(drawing.signed).table, pixels);
      cell.context.putImageData(image, 0, 0);
    }
    const state = drawing.levels === null ? drawing.reason : `from ${number(drawing.low)} to ${number(drawing.high)}`;
    cell.button.setAttribute("aria-label", `${cell.described}: ${state}. Opens it beside Grad-CAM.`);
  });
}

/**
 * @param {Content} content
 * @param {Cell[]} cells
 * @param {number} layer
 * @returns {Drawing[]}
 */
function quantiseLayer(content, cells, layer) {
  const values = new Float32Array(CELL * CELL);
  return cells.map((cell) => {
    const map = content.map(cell.method.name, layer);
    if (!map?.values || map.reason) return { levels: null, reason: map?.reason ?? "Not computed." };
    return drawingOf(resize(map.values, map.height, map.width, CELL, values), cell.method.signed);
  });
}

/**
 * @param {{content: Content, cells: Cell[], weights: Record<string, number>, how: string}} inputs
 * @returns {Mixture}
 */
function mixCells({ content, cells, weights, how }) {
  const planes = cells.map(() => new Float32Array(CELL * CELL));
  const reasons = cells.map((cell, i) => mixInto({ content, method: cell.method.name, weights, how, size: CELL }, planes[i]));
  return { values: planes.map((plane, i) => (reasons[i] === null ? plane : null)), reasons };
}

/**
 * Mixed maps lie between 0 and 1, also those of methods with a sign.
 *
 * @param {{mixture: Mixture}} inputs
 * @returns {Drawing[]}
 */
function quantiseMixture({ mixture }) {
  return mixture.values.map((values, i) =>
    values ? drawingOf(values, false) : { levels: null, reason: mixture.reasons[i] ?? "" },
  );
}

/**
 * @param {Float32Array} values
 * @param {boolean} signed
 * @returns {Drawing}
 */
function drawingOf(values, signed) {
  const { low, high } = extent(values);
  const levels = new Uint8Array(values.length);
  quantise(values, scaleOf(values, signed), levels);
  return { levels, signed, low, high, reason: null };
}
