/** The curves of insertion or deletion: the probability of the class against the share of the pixels, one for each order. */

import { element, setText } from "../../../saliency_core/viewer/web/controls/dom.js";
import { percent } from "../../../saliency_core/viewer/web/core/format.js";

/** @typedef {"deletion" | "insertion"} Mode */

const SVG = "http://www.w3.org/2000/svg";
/** Ends of the axis of probabilities: the first that no value exceeds. */
const ENDS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1];
const TITLES = { deletion: "Deletion: lower is better", insertion: "Insertion: higher is better" };
const ACROSS = { deletion: "pixels removed", insertion: "pixels restored" };

export class CurveChart {
  /**
   * @param {Mode} mode
   * @param {(step: number) => void} choose
   */
  constructor(mode, choose) {
    this.mode = mode;
    this.steps = 1;
    this.end = 1;
    /** @type {(number | null)[][]} */
    this.values = [];
    this.lines = document.createElementNS(SVG, "svg");
    for (const [name, value] of [["viewBox", "0 0 100 100"], ["preserveAspectRatio", "none"], ["aria-hidden", "true"]]) {
      this.lines.setAttribute(name, value);
    }
    this.cursor = element("div", { class: "chart-cursor" });
    this.dots = element("div", { class: "dots" });
    this.plot = element("div", { class: "plot", "data-testid": `plot-${mode}` }, this.lines, this.cursor, this.dots);
    this.marks = [1, 0.5, 0].map((share) => element("span", { class: "tick", style: `top: ${100 * (1 - share)}%` }));
    const across = element(
      "div",
      { class: "across", "aria-hidden": "true" },
      element("span", { text: "0%" }),
      element("span", { text: ACROSS[mode] }),
      element("span", { text: "100%" }),
    );
    this.title = element("h2", { text: TITLES[mode] });
    this.figure = element("div", { class: "chart-body", role: "img" }, element("div", { class: "ticks", "aria-hidden": "true" }, ...this.marks), this.plot, across);
    this.element = element("section", { class: "chart" }, this.title, this.figure);
    const follow = (/** @type {PointerEvent} */ event) => {
      const { left, width } = this.plot.getBoundingClientRect();
      choose(Math.round(Math.min(Math.max((event.clientX - left) / width, 0), 1) * this.steps));
    };
    this.plot.addEventListener("pointerdown", (event) => {
      this.plot.setPointerCapture(event.pointerId);
      follow(event);
    });
    this.plot.addEventListener("pointermove", (event) => this.plot.hasPointerCapture(event.pointerId) && follow(event));
  }

  /**
   * @param {string[]} titles
   * @param {number} steps
   * @param {string} label of the class
   */
  setOrders(titles, steps, label) {
    this.titles = titles;
    this.steps = steps;
    this.label = label;
    this.values = [];
    this.lines.replaceChildren(
      ...[0, 50, 100].map((y) => line("grid", `0,${y} 100,${y}`)),
      ...titles.map((_, i) => line(`curve order-${i}`, "")).reverse(),
    );
    this.dots.replaceChildren(...titles.map((_, i) => element("i", { class: `dot order-${i}`, hidden: true })).reverse());
    this.setCurves([]);
  }

  /** @param {(number | null)[][]} values for every order and step: the probability; null where it is not there yet */
  setCurves(values) {
    this.values = values;
    const known = values.flat().filter((value) => value !== null);
    const highest = Math.max(...known, 0);
    this.end = ENDS.find((end) => highest <= end) ?? 1;
    this.marks.forEach((mark, i) => setText(mark, percent((this.end * (2 - i)) / 2)));
    values.forEach((curve, order) => {
      const points = curve.flatMap((value, step) => (value === null ? [] : [`${(100 * step) / this.steps},${this.#height(value)}`]));
      this.lines.querySelector(`.curve.order-${order}`)?.setAttribute("points", points.join(" "));
    });
    this.figure.setAttribute("aria-label", `${this.title.textContent}. Probability of ${this.label} against the share of ${ACROSS[this.mode]}.`);
  }

  /**
   * Marks a step on all curves.
   *
   * @param {number} step
   * @param {boolean} shown whether the pictures are of this chart
   */
  mark(step, shown) {
    this.element.classList.toggle("shown", shown);
    const across = `${(100 * step) / this.steps}%`;
    this.cursor.style.left = across;
    for (const [order, curve] of this.values.entries()) {
      const dot = /** @type {HTMLElement | null} */ (this.dots.querySelector(`.order-${order}`));
      const value = curve[step];
      if (dot === null) continue;
      dot.hidden = value === null || value === undefined;
      dot.style.left = across;
      dot.style.top = `${this.#height(value ?? 0)}%`;
    }
  }

  /** @param {number} value */
  #height(value) {
    return 100 * (1 - value / this.end);
  }
}

/**
 * @param {string} name
 * @param {string} points
 */
function line(name, points) {
  const node = document.createElementNS(SVG, "polyline");
  node.setAttribute("class", name);
  node.setAttribute("points", points);
  node.setAttribute("vector-effect", "non-scaling-stroke");
  return node;
}
