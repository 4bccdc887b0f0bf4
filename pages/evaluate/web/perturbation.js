/**
 * Insertion and deletion: the photo with the pixels removed or restored along the curves, for every order of them.
 *
 * Pictures and orders come once; the curves, which fill while they are computed, come with a second component.
 *
 * @typedef {object} Order
 * @property {string} title
 * @property {string} caption
 *
 * @typedef {object} Meta
 * @property {string} key
 * @property {string} signature another one whenever pictures or orders are others
 * @property {Order[]} orders the two maps, then the random order
 * @property {string} label of the class
 * @property {string} replaced what stands in place of a removed pixel, in words
 * @property {number} steps
 * @property {number} height
 * @property {number} width
 *
 * @typedef {{deletion: (number | null)[], insertion: (number | null)[]}} Curves
 *
 * @typedef {object} Delivery
 * @property {Meta} meta
 * @property {Uint8Array} levels for every order and pixel: the step in which it is changed
 * @property {Uint8Array} photo RGB
 * @property {Uint8Array} baseline RGB
 */

import { context2d, element, rangeInput, setRange, setText } from "../../../saliency_core/viewer/web/controls/dom.js";
import { Segmented } from "../../../saliency_core/viewer/web/controls/segmented.js";
import { percent } from "../../../saliency_core/viewer/web/core/format.js";
import { latest, subscribe } from "../../../saliency_core/viewer/web/hosts/streamlit-channel.js";
import { CurveChart } from "./curve-chart.js";

const MODES = /** @type {const} */ (["deletion", "insertion"]);

/** @typedef {"deletion" | "insertion"} Mode */

/** What was shown last, the step as a share of all: other curves, which take a while, begin there. */
const last = { mode: /** @type {Mode} */ ("deletion"), share: 0.2 };

class Perturbation {
  /** @param {HTMLElement} root */
  constructor(root) {
    /** @type {Delivery | null} */
    this.delivery = null;
    this.mode = last.mode;
    this.step = 0;
    this.frame = 0;
    /** @type {Curves[]} */
    this.curves = [];
    this.modes = new Segmented("What is done with the pixels", "perturbation-mode", [
      { name: "deletion", title: "Remove pixels", hint: "From the photo, those that the map marks most first" },
      { name: "insertion", title: "Restore pixels", hint: "From a photo without any, those that the map marks most first" },
    ], (/** @type {string} */ mode) => this.#show(/** @type {Mode} */ (mode), this.step));
    this.slider = rangeInput({ min: 0, step: 1, "aria-label": "Share of the pixels", "data-testid": "perturbation-step" });
    this.slider.addEventListener("input", () => this.#show(this.mode, Number(this.slider.value)));
    this.words = element("output", { class: "words", "data-testid": "perturbation-share" });
    this.pictures = element("div", { class: "pictures" });
    this.charts = MODES.map((mode) => new CurveChart(mode, (step) => this.#show(mode, step)));
    root.append(
      element("div", { class: "controls" }, this.modes.element, this.slider, this.words),
      element("div", { class: "body" }, this.pictures, element("div", { class: "charts" }, ...this.charts.map((chart) => chart.element))),
    );
  }

  /** @param {Delivery} delivery */
  take(delivery) {
    if (this.delivery?.meta.signature === delivery.meta.signature) return;
    const { steps, orders, height, width } = delivery.meta;
    const begins = this.delivery?.meta.steps !== steps;
    this.delivery = delivery;
    this.slider.max = String(steps);
    if (begins) this.step = Math.round(last.share * steps);
    this.panels = orders.map(({ title, caption }, i) => {
      const canvas = element("canvas", { class: "picture", width, height, role: "img", "data-testid": `map-perturbed-${i}` });
      const value = element("p", { class: "value", "data-testid": `perturbed-value-${i}` });
      const name = element("h2", { class: "name" }, element("i", { class: `swatch order-${i}` }), element("span", { text: title }));
      return { canvas, context: context2d(canvas), value, element: element("section", { class: "order", "aria-label": title }, name, element("p", { class: "caption", text: caption, title: caption }), canvas, value) };
    });
    this.pictures.replaceChildren(...this.panels.map((panel) => panel.element));
    for (const chart of this.charts) chart.setOrders(orders.map(({ title }) => title), steps, delivery.meta.label);
    this.#show(this.mode, this.step);
  }

  /** @param {Curves[]} curves */
  takeCurves(curves) {
    this.curves = curves;
    this.charts.forEach((chart, i) => chart.setCurves(curves.map((each) => each[MODES[i]])));
    this.#describe();
  }

  /**
   * @param {Mode} mode
   * @param {number} step
   */
  #show(mode, step) {
    this.mode = last.mode = mode;
    this.step = step;
    if (this.delivery !== null) last.share = step / this.delivery.meta.steps;
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.#draw();
    });
  }

  #draw() {
    const { delivery, panels, mode, step } = this;
    if (delivery === null || panels === undefined) return;
    this.modes.set(mode);
    setRange(this.slider, step);
    panels.forEach(({ context }, i) => paint(context, delivery, i, mode, step));
    this.#describe();
  }

  #describe() {
    const { delivery, panels, mode, step, curves } = this;
    if (delivery === null || panels === undefined) return;
    const { meta } = delivery;
    const share = percent(step / meta.steps);
    const done = mode === "deletion" ? `replaced by ${meta.replaced}` : "restored";
    setText(this.words, `${share} of the pixels ${done}`);
    this.slider.setAttribute("aria-valuetext", this.words.textContent ?? "");
    panels.forEach(({ canvas, value }, i) => {
      const known = curves[i]?.[mode][step];
      setText(value, known === undefined || known === null ? `${meta.label}: …` : `${meta.label} ${percent(known)}`);
      canvas.setAttribute("aria-label", `${meta.orders[i].title}: ${this.words.textContent}; ${value.textContent}`);
    });
    this.charts.forEach((chart, i) => chart.mark(step, MODES[i] === mode));
  }

  destroy() {
    cancelAnimationFrame(this.frame);
  }
}

/**
 * Draws the input with the pixels of the first `step` steps removed, or these alone restored.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Delivery} delivery
 * @param {number} order
 * @param {Mode} mode
 * @param {number} step
 */
function paint(context, { meta, levels, photo, baseline }, order, mode, step) {
  const { width, height } = meta;
  const image = context.createImageData(width, height);
  const begin = order * width * height;
  for (let i = 0; i < width * height; i++) {
    const source = levels[begin + i] < step === (mode === "deletion") ? baseline : photo;
    image.data[4 * i] = source[3 * i];
    image.data[4 * i + 1] = source[3 * i + 1];
    image.data[4 * i + 2] = source[3 * i + 2];
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

/** @param {{data: any, parentElement: any}} component */
export default function mount({ data, parentElement }) {
  const { meta } = data;
  if (!parentElement.perturbation) {
    const view = new Perturbation(parentElement.querySelector(".perturbation"));
    const follow = (/** @type {string} */ key) => view.takeCurves(/** @type {any} */ (latest(key)).curves ?? []);
    const unsubscribe = subscribe((key) => key === parentElement.perturbation.key && follow(key));
    parentElement.perturbation = { view, follow, unsubscribe, key: "" };
  }
  const mounted = parentElement.perturbation;
  mounted.key = meta.key;
  const column = (/** @type {string} */ name) => data[name].getChildAt(0).toArray();
  if (mounted.view.delivery?.meta.signature !== meta.signature) {
    mounted.view.take({ meta, levels: column("levels"), photo: column("photo"), baseline: column("baseline") });
  }
  mounted.follow(meta.key);
  return () => {
    mounted.unsubscribe();
    mounted.view.destroy();
    parentElement.querySelector(".perturbation")?.replaceChildren();
    delete parentElement.perturbation;
  };
}
