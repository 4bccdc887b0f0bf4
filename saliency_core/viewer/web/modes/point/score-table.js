/** Every method at every layer: whether the map's maximum hits a box, and the share of the map's energy inside. */

import { element, setText } from "../../controls/dom.js";
import { layerSize, percent } from "../../core/format.js";
import { shared, whenChanged } from "../../core/redraw.js";
import { ScoreCells } from "./score-cells.js";
import { MIX, scoreAt } from "./scoring.js";

/** @import { Layer } from "../../core/payload.js" */
/** @import { Row, Score } from "./scoring.js" */

/** @typedef {{method: string, title: string, whole: boolean}} RowShape */

/** @typedef {{layers: Layer[], methods: RowShape[]}} Shape the columns and the rows */

/** @typedef {{line: HTMLElement, name: HTMLElement, cells: HTMLButtonElement[], hits: HTMLElement}} Line */

/** @typedef {{rows: Row[], layers: Layer[]}} ScoreInputs */

/** @import { Palette, PaintInputs, Places } from "./score-cells.js" */

/**
 * What the table tells: a map was picked, by its method and the number of its column, and a column to sort by.
 *
 * @typedef {{pick: (method: string, column: number) => void, sort: (column: string) => void}} TableActions
 */

/** How long nothing changes before the cells are described, in milliseconds. */
const QUIET = 200;

/** Around the × of a size, which would not fit into a column with whole spaces. */
const HAIR_SPACE = "\u200a";

export class ScoreTable {
  /**
   * @param {TableActions} actions
   * @param {() => void} schedule draw again in the next frame
   */
  constructor(actions, schedule) {
    this.actions = actions;
    /** @type {Map<string, Line>} */
    this.lines = new Map();
    /** @type {Map<string, HTMLElement>} */
    this.heads = new Map();
    /** @type {HTMLElement[]} */
    this.sums = [];
    this.body = element("tbody", {});
    this.table = element("table", { class: "scores" });
    this.cells = new ScoreCells();
    this.frame = element("div", { class: "scores-frame" }, ...this.cells.elements, this.table);
    this.element = element(
      "div",
      { class: "scores-scroll", tabindex: "0", role: "region", "aria-label": "Scores of every method at every layer" },
      this.frame,
    );
    /** @type {Places | null} */
    this.places = null;
    /** @type {Palette | null} */
    this.palette = null;
    new ResizeObserver(() => {
      this.places = null;
      schedule();
    }).observe(this.table);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", schedule);
    this.build = whenChanged((/** @type {Shape} */ inputs) => this.#build(inputs));
    this.write = whenChanged((/** @type {ScoreInputs} */ inputs) => this.#write(inputs));
    this.paint = whenChanged((/** @type {PaintInputs} */ inputs) => this.cells.paint(inputs));
    this.order = whenChanged((/** @type {{rows: Row[]}} */ { rows }) => this.body.replaceChildren(...rows.map(({ method }) => this.#line(method.name).line)));
  }

  /**
   * @param {Row[]} rows in their order
   * @param {Layer[]} layers
   * @param {RowShape[]} methods the rows as they come unsorted
   * @param {number} area the share of the input that the boxes cover
   */
  draw(rows, layers, methods, area) {
    this.build({ layers, methods });
    this.write({ rows, layers });
    const drawn = [...this.body.children];
    if (rows.some(({ method }, i) => drawn[i] !== this.#line(method.name).line)) this.order({ rows });
    this.places ??= this.#measured();
    this.palette = shared(this.palette, this.cells.palette());
    if (this.places !== null) this.paint({ rows, places: this.places, palette: this.palette, area });
  }

  /**
   * Where the cells are; null while there is none on the screen.
   *
   * @returns {Places | null}
   */
  #measured() {
    const [first] = this.lines.values();
    if (first === undefined || this.table.offsetWidth === 0) return null;
    const { top } = this.table.getBoundingClientRect();
    const heads = [...this.heads.entries()].filter(([name]) => name !== "method" && name !== "hits");
    const columns = heads.map(([, head]) => ({ left: head.offsetLeft + 1, width: head.offsetWidth - 2 }));
    const body = this.body.getBoundingClientRect();
    const height = first.cells[0].offsetHeight;
    return { top: body.top - top, row: body.height / this.lines.size, height, columns, scale: Math.max(window.devicePixelRatio, 1) };
  }

  /**
   * Marks the map that is shown large, and the column that decides the order.
   *
   * @param {string} method
   * @param {number} column
   * @param {string} sort
   */
  mark(method, column, sort) {
    for (const [name, { line, cells }] of this.lines) {
      cells.forEach((cell, i) => cell.setAttribute("aria-pressed", String(name === method && (cells.length === 1 || i === column))));
      line.toggleAttribute("data-chosen", name === method);
    }
    for (const [name, head] of this.heads) {
      if (name === sort && name !== "method") head.setAttribute("aria-sort", "descending");
      else head.removeAttribute("aria-sort");
    }
  }

  /** @param {string} name */
  #line(name) {
    return /** @type {Line} */ (this.lines.get(name));
  }

  /** @param {Shape} inputs */
  #build({ layers, methods }) {
    this.heads.clear();
    const head = (/** @type {string} */ name, /** @type {string} */ title, /** @type {string} */ small, /** @type {string} */ hint) => {
      const button = element(
        "button",
        { type: "button", title: hint, "data-testid": `sort-${name}`, onclick: () => this.actions.sort(name) },
        element("span", { text: title }),
        element("small", { text: small }),
      );
      const cell = element("th", { scope: "col", class: `column-${name === "method" || name === "hits" ? name : "score"}` }, button);
      this.heads.set(name, cell);
      return cell;
    };
    const columns = [...layers.map(({ name }) => name), MIX];
    const heads = [
      head("method", "Method", "by family", "In the order of the families"),
      ...layers.map((layer) => head(layer.name, layer.name, layerSize(layer).replaceAll(" ", HAIR_SPACE), `Sort by the share inside at ${layer.name}`)),
      head(MIX, "Mix", "all layers", "Sort by the share inside of the layers mixed, with the weights of the page Mix layers"),
      head("hits", "Hits", "layers", "Sort by the number of layers that hit"),
    ];
    this.lines = new Map(methods.map((row) => [row.method, this.#row(row, columns)]));
    this.sums = columns.map(() => element("td", {}));
    this.frame.style.setProperty("--columns", String(columns.length));
    this.places = null;
    this.table.replaceChildren(
      element("thead", {}, element("tr", {}, ...heads)),
      this.body,
      element("tfoot", {}, element("tr", {}, element("th", { scope: "row", text: "Methods that hit" }), ...this.sums, element("td", {}))),
    );
  }

  /**
   * @param {RowShape} row
   * @param {string[]} columns
   */
  #row({ method, title, whole }, columns) {
    const cells = columns.map((column, i) =>
      element("button", { type: "button", class: "score", "data-testid": `score-${method}-${column}`, onclick: () => this.actions.pick(method, i) }),
    );
    const hits = element("td", { class: "row-hits" });
    const name = element("th", { scope: "row", title });
    const shown = cells.map((cell, i) => (whole && i > 0 ? null : element("td", { colspan: whole ? columns.length : 1 }, cell)));
    const line = element("tr", { class: whole ? "whole" : null, "data-testid": `scores-${method}` }, name, ...shown, hits);
    return { line, name, cells, hits };
  }

  /** @param {ScoreInputs} inputs */
  #write({ rows, layers }) {
    const columns = [...layers.map(({ name }) => name), "its layers mixed"];
    const sums = columns.map(() => 0);
    const maps = columns.map(() => 0);
    for (const row of rows) {
      const { name, cells, hits } = this.#line(row.method.name);
      setText(name, row.method.shortTitle);
      cells.forEach((_, i) => {
        const score = scoreAt(row, i);
        if (score.state === "hit") sums[i] += 1;
        if (score.state !== "none") maps[i] += 1;
      });
      setText(hits, row.whole ? "" : `${row.hits}/${row.maps}`);
    }
    sums.forEach((sum, i) => setText(this.sums[i], `${sum}/${maps[i]}`));
    clearTimeout(this.describing);
    this.describing = setTimeout(() => this.#describe(rows, columns), QUIET);
  }

  /**
   * Says of every cell what it shows: when nothing moves any more, as it takes longer than a frame has.
   *
   * @param {Row[]} rows
   * @param {string[]} columns
   */
  #describe(rows, columns) {
    for (const row of rows) {
      this.#line(row.method.name).cells.forEach((cell, i) => {
        if (row.whole && i > 0) return;
        const text = described(scoreAt(row, i), i === row.best, `${row.method.title}, ${row.whole ? "the input" : columns[i]}`);
        if (cell.title === text) return;
        cell.title = text;
        cell.setAttribute("aria-label", text);
      });
    }
  }
}

/**
 * @param {Score} score
 * @param {boolean} best
 * @param {string} where
 */
function described({ state, reason, share }, best, where) {
  if (state !== "hit" && state !== "miss") return [where, reason].filter(Boolean).join(": ");
  const inside = share === null ? "no positive value" : `${percent(share)} of its energy inside`;
  return `${where}: ${state}, ${inside}${best ? ", the method’s best layer" : ""}`;
}
