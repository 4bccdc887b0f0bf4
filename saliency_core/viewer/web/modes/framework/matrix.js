/** The framework's table: one live map per cell, extracts down, aggregates across. */

import { extent, resize, resizedAt, SIZE } from "./maths.js";
import { paintLevels, quantise, scaleOf } from "./colors.js";
import { mixInto } from "./mixing.js";
import { number } from "./format.js";
import { element, setText } from "./dom.js";
import { formula } from "./methods.js";
import { CROSSHAIR } from "./panel.js";

/** Side of a cell's canvas in pixels. */
export const CELL = 160;

const STEP = 1 / 28;
const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

/**
 * `viewer` gives payload and view; `actions` has point(box point or null), select(cell or null) and
 * open(cell): while reading, for the cell pointed at or focused, and on a click or Enter. A cell is
 * {row, column, method, extract, aggregate}.
 */
export class Matrix {
  constructor(viewer, actions) {
    this.viewer = viewer;
    this.actions = actions;
    this.cells = [];
    this.cursor = null;
    this.levels = new Map();
    this.image = new ImageData(CELL, CELL);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.mixture = null;
    this.element = element("div", { class: "matrix", role: "grid", "aria-label": "Extract by aggregate" });
    this.#listen();
  }

  /** Takes over a new payload; the table is rebuilt only when it is another one. */
  take(table) {
    this.levels.clear();
    this.mixture = null;
    this.key = null;
    const identity = JSON.stringify(table);
    if (identity === this.identity) return;
    this.identity = identity;
    this.#build(table);
  }

  /** Draws all cells at the view's layer, or mixed over the layers; nothing if they are drawn already. */
  draw(table, diverging) {
    const { payload, view } = this.viewer;
    const subject = view.mixed ? `mix ${view.how} ${Object.values(view.weights).join()}` : view.layer;
    const key = `${payload.meta.keys.maps} ${subject} ${view.colormap}`;
    if (key === this.key) return;
    this.key = key;
    const drawn = this.#levels(subject, diverging);
    this.cells.forEach((cell, i) => {
      const { levels, reason, low, high } = drawn[i];
      cell.reason = reason;
      cell.canvas.hidden = cell.cursor.hidden = reason !== null;
      cell.note.hidden = reason === null;
      if (levels) {
        paintLevels(levels, table, this.pixels);
        cell.context.putImageData(this.image, 0, 0);
      }
      const state = reason ?? `from ${number(low)} to ${number(high)}`;
      cell.button.setAttribute("aria-label", `${cell.words}: ${state}. Opens it beside Grad-CAM.`);
    });
    this.read();
  }

  /** Writes every cell's value at the cursor. */
  read() {
    const { cursor } = this;
    this.element.classList.toggle("reading", cursor !== null);
    if (cursor) {
      this.element.style.setProperty("--u", String(cursor[0]));
      this.element.style.setProperty("--v", String(cursor[1]));
    }
    for (const cell of this.cells) {
      const value = cursor && this.valueOf(cell);
      setText(cell.value, value === null ? "" : number(value));
    }
  }

  /** A cell's value at the cursor, null where there is nothing to read. */
  valueOf(cell) {
    if (this.cursor === null) return null;
    const [u, v] = this.cursor;
    const { payload, view } = this.viewer;
    if (view.mixed) {
      const values = cell.reason === null ? this.mixture?.values[this.cells.indexOf(cell)] : null;
      return values ? values[Math.floor(v * CELL) * CELL + Math.floor(u * CELL)] : null;
    }
    const map = payload.map(cell.method.name, this.#layer());
    if (!map?.values) return null;
    // At the panels' resolution: the same place has the same value on every page.
    return resizedAt(map.values, map.height, map.width, SIZE, Math.floor(u * SIZE), Math.floor(v * SIZE));
  }

  #layer() {
    const { payload, view } = this.viewer;
    return payload.meta.layers.findIndex((layer) => layer.name === view.layer);
  }

  /** Per cell {levels, low, high, reason}: a colour table's indices, kept so that scrubbing back costs nothing. */
  #levels(subject, diverging) {
    const { view } = this.viewer;
    const key = `${subject} ${diverging}`;
    let entry = this.levels.get(key);
    if (entry && !(view.mixed && this.mixture?.subject !== subject)) return entry;
    const mixed = view.mixed ? this.#mix(subject) : null;
    const values = new Float32Array(CELL * CELL);
    entry = this.cells.map((cell, i) => {
      const reason = mixed ? mixed.reasons[i] : this.#compute(cell, values);
      if (reason) return { levels: null, reason };
      const plane = mixed ? mixed.values[i] : values;
      const { low, high } = extent(plane);
      const levels = new Uint8Array(plane.length);
      quantise(plane, scaleOf([{ low, high }], diverging), levels);
      return { levels, low, high, reason: null };
    });
    // A mix is one of endlessly many: only the newest is kept.
    if (mixed) for (const old of this.levels.keys()) if (old.startsWith("mix ")) this.levels.delete(old);
    this.levels.set(key, entry);
    return entry;
  }

  #compute(cell, out) {
    const map = this.viewer.payload.map(cell.method.name, this.#layer());
    if (map.reason) return map.reason;
    resize(map.values, map.height, map.width, CELL, out);
    return null;
  }

  #mix(subject) {
    if (this.mixture?.subject === subject) return this.mixture;
    const { payload, view } = this.viewer;
    const values = this.cells.map(() => new Float32Array(CELL * CELL));
    const reasons = this.cells.map((cell, i) => mixInto(payload, cell.method.name, view, CELL, values[i]));
    this.mixture = { subject, values, reasons };
    return this.mixture;
  }

  #build(table) {
    const head = (entry, role, testId) =>
      element(
        "div",
        { class: `${role}-head`, role: role === "row" ? "rowheader" : "columnheader", "data-testid": testId },
        element("b", { text: entry.title }),
        formula(entry.formula, "head-formula"),
        entry.size ? element("small", { text: entry.size }) : null,
      );
    const heads = element(
      "div",
      { class: "matrix-row matrix-heads", role: "row" },
      element("div", { class: "corner", role: "columnheader" }, element("span", { text: "Extract ↓" }), element("span", { text: "Aggregate →" })),
      ...table.aggregates.map((entry) => head(entry, "column", `head-${entry.name}`)),
    );
    this.columns = table.aggregates.length;
    this.cells = [];
    const rows = table.extracts.map((extract, row) =>
      element(
        "div",
        { class: "matrix-row", role: "row" },
        head(extract, "row", `head-${extract.name}`),
        ...table.aggregates.map((aggregate, column) => this.#buildCell(extract, aggregate, row, column, table.cells[row][column])),
      ),
    );
    this.element.replaceChildren(heads, ...rows);
    this.#focusable(this.cells[0]);
  }

  #buildCell(extract, aggregate, row, column, name) {
    const method = this.viewer.payload.method(name);
    const own = !method.plainCell;
    const id = `${extract.name}-${aggregate.name}`;
    const canvas = element("canvas", { class: "map", width: CELL, height: CELL, "aria-hidden": "true", "data-testid": `map-${id}` });
    const context = canvas.getContext("2d", { willReadFrequently: true }); // only ever written as raw pixels
    const note = element("span", { class: "cell-note", text: "constant", "data-testid": `note-${id}`, hidden: true });
    const cursor = element("span", { class: "cell-cursor" });
    cursor.innerHTML = CROSSHAIR;
    const button = element(
      "button",
      { type: "button", class: "cell-map", tabindex: "-1", "data-testid": `cell-${id}` },
      canvas,
      note,
      cursor,
    );
    const value = element("span", { class: "cell-value", "data-testid": `value-${id}` });
    const title = element("span", { class: "cell-title", text: own ? method.title : "" });
    const words = `${extract.title}, ${aggregate.title}${own ? `: ${method.title}` : ""}`;
    this.cells.push({ row, column, method, extract, aggregate, own, words, canvas, context, note, cursor, button, value, reason: null });
    return element("div", { class: own ? "cell named" : "cell", role: "gridcell" }, button, element("span", { class: "cell-caption" }, title, value));
  }

  /** The one cell that the Tab key reaches; arrow keys go on from it. */
  #focusable(cell) {
    for (const each of this.cells) each.button.tabIndex = each === cell ? 0 : -1;
  }

  #listen() {
    const cellOf = (event) => {
      const button = event.target.closest(".cell-map");
      return button ? this.cells.find((cell) => cell.button === button) : undefined;
    };
    const point = (event, cell) => {
      const { left, top, width, height } = cell.button.getBoundingClientRect();
      const inside = (value) => Math.min(Math.max(value, 0), 1 - 1e-6);
      this.#point([inside((event.clientX - left) / width), inside((event.clientY - top) / height)], cell);
    };
    // A finger reads at its first touch of a cell and opens it at the second.
    let touched = null;
    let before = null;
    this.element.addEventListener("pointerdown", (event) => {
      const cell = cellOf(event);
      before = touched;
      touched = event.pointerType === "mouse" ? null : (cell ?? null);
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
      if (!cell || (touched && before !== cell)) return;
      this.actions.open(cell);
    });
    this.element.addEventListener("focusin", (event) => {
      const cell = cellOf(event);
      if (!cell) return;
      this.#focusable(cell);
      if (cell.button.matches(":focus-visible")) this.actions.select(cell);
    });
    this.element.addEventListener("focusout", () => this.cursor === null && this.actions.select(null));
    this.element.addEventListener("keydown", (event) => {
      const cell = cellOf(event);
      if (!cell || event.altKey || event.ctrlKey || event.metaKey) return;
      touched = null;
      if (!this.#press(event, cell)) return;
      event.preventDefault();
    });
  }

  /** Arrow keys move from cell to cell, with Shift they move the cursor; returns whether the key meant something. */
  #press(event, cell) {
    const move = MOVES[event.key];
    if (move && event.shiftKey) {
      const from = this.cursor ?? [0.5, 0.5];
      const inside = (value) => Math.min(Math.max(value, 0), 1 - 1e-6);
      this.#point(this.cursor ? [inside(from[0] + move[1] * STEP), inside(from[1] + move[0] * STEP)] : from, cell);
      this.viewer.speak(() => `${cell.words}: ${cell.value.textContent || "no value"}`);
      return true;
    }
    if (event.key === "Escape") {
      this.#point(null, cell);
      return true;
    }
    const rows = this.cells.length / this.columns;
    const places = { Home: [cell.row, 0], End: [cell.row, this.columns - 1] };
    const [row, column] = places[event.key] ?? (move ? [cell.row + move[0], cell.column + move[1]] : [-1, -1]);
    if (row < 0 || column < 0 || row >= rows || column >= this.columns) return Boolean(move);
    this.cells[row * this.columns + column].button.focus();
    return true;
  }

  #point(box, cell) {
    this.cursor = box;
    this.read();
    this.actions.select(cell);
    this.actions.point(box);
  }
}
