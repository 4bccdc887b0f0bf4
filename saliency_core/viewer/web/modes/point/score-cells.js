/**
 * What the cells of the table of scores show, on one canvas below it: text and shapes in hundreds of elements, all other
 * with every move of a box, would take a browser longer than a frame.
 */

import { context2d, element } from "../../controls/dom.js";
import { percent } from "../../core/format.js";

/** @import { Row, Score } from "./scoring.js" */

/** The colours of a theme, as `color` of elements that have these classes. */
const COLORS = /** @type {const} */ (["ink", "muted", "cell", "hit", "miss", "hit-bar", "miss-bar", "star"]);

const SIGN = 9;
const PADDING = 6;
const NUMBER = 21;
const STAR = 4.5;
const ROUND = 5;

/** Words for a score that has no number. @type {Partial<Record<Score["state"], string>>} */
const WORDS = { constant: "constant", none: "no map", waiting: "…", open: "" };

/** @typedef {Record<typeof COLORS[number] | "family" | "size", string>} Palette */

/** Where the cells are, in CSS pixels: the columns from left to right, the rows from the first on. @typedef {{top: number, row: number, height: number, columns: {left: number, width: number}[], scale: number}} Places */

/** @typedef {{rows: Row[], places: Places, palette: Palette, area: number}} PaintInputs */

export class ScoreCells {
  constructor() {
    this.canvas = element("canvas", { class: "score-cells", "aria-hidden": "true" });
    this.probes = COLORS.map((name) => element("i", { class: `score-color ${name}`, hidden: true }));
    this.elements = [...this.probes, this.canvas];
    this.context = context2d(this.canvas);
  }

  /**
   * The theme's colours as they are now.
   *
   * @returns {Palette}
   */
  palette() {
    const { fontFamily, fontSize } = getComputedStyle(this.canvas);
    const colors = COLORS.map((name, i) => [name, getComputedStyle(this.probes[i]).color]);
    return { ...Object.fromEntries(colors), family: fontFamily, size: fontSize };
  }

  /** @param {PaintInputs} inputs */
  paint({ rows, places, palette, area }) {
    const { canvas, context } = this;
    const { top, row: step, height, columns, scale } = places;
    const last = columns[columns.length - 1];
    const size = [last.left + last.width, step * rows.length];
    const pixels = size.map((side) => Math.ceil(side * scale));
    if (canvas.width !== pixels[0] || canvas.height !== pixels[1]) {
      [canvas.width, canvas.height] = pixels;
      canvas.style.width = `${size[0]}px`;
      canvas.style.height = `${size[1]}px`;
    }
    canvas.style.top = `${top}px`;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, size[0], size[1]);
    /** @type {Record<string, Path2D>} */
    const paths = Object.fromEntries(["cell", "hit-bar", "miss-bar", "chance", "hit", "miss", "star"].map((name) => [name, new Path2D()]));
    /** @type {Record<"plain" | "quiet" | "best" | "words", [string, number, number][]>} */
    const texts = { plain: [], quiet: [], best: [], words: [] };
    rows.forEach((row, i) => {
      const y = i * step + (step - height) / 2;
      const cells = row.whole ? [{ left: columns[0].left, width: size[0] - columns[0].left }] : columns;
      cells.forEach(({ left, width }, j) => addCell(paths, texts, row.scores[j], j === row.best, [left, y, width, height], area));
    });
    for (const name of /** @type {const} */ (["cell", "hit-bar", "miss-bar", "hit", "star"])) {
      context.fillStyle = palette[name];
      context.fill(paths[name]);
    }
    context.strokeStyle = palette.miss;
    context.lineWidth = 1.8;
    context.lineCap = "round";
    context.stroke(paths.miss);
    context.lineWidth = 1;
    context.lineCap = "butt";
    context.setLineDash([3, 2]);
    context.stroke(paths.chance);
    context.setLineDash([]);
    context.textBaseline = "middle";
    const write = (/** @type {[string, number, number][]} */ list, /** @type {string} */ font, /** @type {string} */ color) => {
      context.font = font;
      context.fillStyle = color;
      for (const [text, x, y] of list) context.fillText(text, x, y);
    };
    write(texts.plain, `400 ${palette.size} ${palette.family}`, palette.ink);
    write(texts.quiet, `400 ${palette.size} ${palette.family}`, palette.muted);
    write(texts.best, `650 ${palette.size} ${palette.family}`, palette.ink);
    write(texts.words, `400 11px ${palette.family}`, palette.muted);
  }
}

/**
 * Adds what a cell shows: a bar for the share and a dashed line where it would be if the map did not care for the boxes, a
 * sign for hit or miss, the number, and a star where it is the best.
 *
 * @param {Record<string, Path2D>} paths
 * @param {Record<"plain" | "quiet" | "best" | "words", [string, number, number][]>} texts
 * @param {Score} score
 * @param {boolean} best
 * @param {[number, number, number, number]} place left, top, width and height
 * @param {number} area
 */
function addCell(paths, texts, { state, share }, best, [left, top, width, height], area) {
  paths.cell.roundRect(left, top, width, height, ROUND);
  const middle = top + height / 2;
  const words = WORDS[state];
  if (words !== undefined) {
    texts.words.push([words, left + PADDING, middle + 0.5]);
    return;
  }
  const filled = width * (share ?? 0);
  const round = Math.min(ROUND, filled / 2);
  paths[`${state}-bar`].roundRect(left, top, filled, height, [round, width - filled < ROUND ? round : 0, width - filled < ROUND ? round : 0, round]);
  paths.chance.moveTo(left + width * area, top);
  paths.chance.lineTo(left + width * area, top + height);
  const centre = left + PADDING + SIGN / 2;
  if (state === "hit") {
    paths.hit.moveTo(centre + SIGN / 2, middle);
    paths.hit.arc(centre, middle, SIGN / 2, 0, 2 * Math.PI);
  } else {
    const arm = SIGN / 2 - 1;
    paths.miss.moveTo(centre - arm, middle - arm);
    paths.miss.lineTo(centre + arm, middle + arm);
    paths.miss.moveTo(centre + arm, middle - arm);
    paths.miss.lineTo(centre - arm, middle + arm);
  }
  const text = share === null ? "–" : percent(share).slice(0, -1);
  texts[best ? "best" : state === "hit" ? "plain" : "quiet"].push([text, left + NUMBER, middle + 0.5]);
  if (best) addStar(paths.star, left + width - STAR - 3, top + STAR + 3);
}

/**
 * @param {Path2D} path
 * @param {number} x
 * @param {number} y
 */
function addStar(path, x, y) {
  for (let i = 0; i < 10; i++) {
    const angle = (i * Math.PI) / 5 - Math.PI / 2;
    const radius = i % 2 === 0 ? STAR : 0.42 * STAR;
    const point = /** @type {const} */ ([x + radius * Math.cos(angle), y + radius * Math.sin(angle)]);
    if (i === 0) path.moveTo(...point);
    else path.lineTo(...point);
  }
  path.closePath();
}
