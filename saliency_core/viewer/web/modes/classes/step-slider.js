/** The slider over the sizes of a meta step. */

import { element, rangeInput, setRange, setText } from "../../controls/dom.js";
import { stepText } from "../../core/format.js";
import { whenChanged } from "../../core/redraw.js";
import { epsilonAt, positionOf, sizesOf } from "./meta-steps.js";

/** @import { ModeHost } from "../mode.js" */
/** @import { Sweep } from "./meta-steps.js" */

/** @type {Record<string, number>} */
const DIRECTIONS = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 };

export class StepSlider {
  /** @param {ModeHost} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    /** @type {number[]} */
    this.sizes = [0];
    this.setSweep = whenChanged((/** @type {{sweep: Sweep}} */ { sweep }) => this.#setSweep(sweep));
    this.input = rangeInput({
      min: 0,
      max: 1,
      step: "any",
      "aria-label": "Size of the meta step, ε",
      "data-testid": "epsilon",
      oninput: () => viewer.set({ epsilon: epsilonAt(this.sizes, Number(this.input.value)) }),
      onchange: () => this.#choose(Math.round(Number(this.input.value))),
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.#press(event),
    });
    this.name = element("output", { class: "step-name", "data-testid": "epsilon-name" });
    this.ticks = element("div", { class: "step-ticks", "aria-hidden": "true" });
    this.note = element("p", { class: "energy-text", "data-testid": "epsilon-note" });
    this.element = element(
      "section",
      { class: "steps card", "aria-label": "Meta step", "data-testid": "steps", hidden: true },
      element(
        "div",
        { class: "step-line" },
        element("span", { class: "row-label", text: "Meta step" }),
        element("div", { class: "step-track" }, this.input, this.ticks),
        this.name,
      ),
      this.note,
    );
  }

  /**
   * Shows a size; hidden without a sweep.
   *
   * @param {Sweep | null} sweep
   * @param {number} epsilon
   */
  set(sweep, epsilon) {
    this.element.hidden = sweep === null;
    if (sweep === null) return;
    this.setSweep({ sweep });
    setRange(this.input, positionOf(this.sizes, epsilon));
    const text = epsilon > 0 ? `ε = ${stepText(epsilon)}` : "no step";
    setText(this.name, text);
    this.input.setAttribute("aria-valuetext", text);
  }

  /** @param {Sweep} sweep */
  #setSweep(sweep) {
    this.sizes = sizesOf(sweep);
    const last = this.sizes.length - 1;
    this.input.max = String(last);
    this.ticks.replaceChildren(
      ...this.sizes.map((size, i) => {
        const tick = element("span", { text: stepText(size), class: size === sweep.authors ? "authors" : null });
        tick.style.left = `${(100 * i) / last}%`;
        return tick;
      }),
    );
    const direction = sweep.ascend ? "away from the class (what would harm it)" : "of learning the class";
    const computed = sweep.complete
      ? `Computed at the sizes marked; between two of them, while you drag, maps and ρ are interpolated. ${stepText(sweep.authors)} is the authors’ size.`
      : "More sizes are not computed yet.";
    setText(this.note, `One step ${direction}, taken for each class before its map. ${computed}`);
  }

  /**
   * Chooses one of the computed sizes.
   *
   * @param {number} index
   */
  #choose(index) {
    this.viewer.set({ epsilon: epsilonAt(this.sizes, index) });
    this.viewer.settle();
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    const direction = DIRECTIONS[event.key];
    if (direction === undefined) return;
    event.preventDefault();
    const index = Math.round(Number(this.input.value)) + direction;
    this.#choose(Math.min(Math.max(index, 0), this.sizes.length - 1));
  }
}
