/** The card of the meta step: off, towards the class or away from it, its size, and what it does to the classes. */

import { element, rangeInput, setRange, setText } from "../../controls/dom.js";
import { Segmented } from "../../controls/segmented.js";
import { classText, stepText } from "../../core/format.js";
import { whenChanged } from "../../core/redraw.js";
import { epsilonAt, positionOf, probabilityAfterStep, sizesOf } from "./meta-steps.js";

/** @import { Content } from "../../core/payload.js" */
/** @import { Asked, ModeHost } from "../mode.js" */
/** @import { Sweep } from "./meta-steps.js" */

/** @type {Record<string, number>} */
const DIRECTIONS = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 };

const CHOICES = [
  { name: "off", title: "Off", hint: "Explain the network as it is" },
  { name: "learn", title: "Learn", hint: "Take one training step towards each class before its map" },
  { name: "unlearn", title: "Unlearn", hint: "Take one step away from each class before its map" },
];
const OFF = "Take one training step towards each class, then explain. Maps that hardly depended on the class often begin to.";
const COMPUTING = "Computing the meta steps…";
const WITHOUT = "without a step";

export class StepCard {
  /** @param {ModeHost} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    /** @type {number[]} */
    this.sizes = [0];
    this.size = 0;
    this.choice = new Segmented("Meta step", "step", CHOICES, (name) => this.#switch(name));
    this.setSizes = whenChanged((/** @type {{sweep: Sweep, paper: number}} */ { sweep, paper }) => this.#setSizes(sweep, paper));
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
    this.direction = element("b", {});
    this.name = element("output", { class: "step-name", "data-testid": "epsilon-name" });
    this.ticks = element("div", { class: "step-ticks", "aria-hidden": "true" });
    this.track = element("div", { class: "step-track" }, this.input, this.ticks);
    this.note = element("p", { class: "step-note", "data-testid": "epsilon-note" });
    this.element = element(
      "section",
      { class: "steps card", "aria-label": "Meta step", "data-testid": "steps" },
      element(
        "div",
        { class: "step-choice" },
        element("span", { class: "row-label", text: "Meta step" }),
        this.choice.element,
        this.direction,
        this.name,
      ),
      element("div", { class: "step-body" }, this.track, this.note),
    );
  }

  /**
   * @param {Content} content
   * @param {Asked | null} asked
   * @param {number} epsilon
   */
  set(content, asked, epsilon) {
    const { sweep, authors } = content.comparison;
    const step = asked?.step ?? null;
    this.size = epsilon;
    this.choice.set(step === null ? "off" : asked?.ascend ? "unlearn" : "learn");
    this.element.hidden = this.viewer.offline && sweep === null;
    this.choice.element.hidden = this.viewer.offline;
    this.direction.hidden = !this.viewer.offline;
    setText(this.direction, asked?.ascend ? "Unlearn" : "Learn");
    this.track.hidden = this.name.hidden = sweep === null || step === null;
    if (sweep === null || step === null) {
      setText(this.note, step === null ? OFF : COMPUTING);
      return;
    }
    this.setSizes({ sweep, paper: authors });
    setRange(this.input, positionOf(this.sizes, epsilon));
    const text = epsilon > 0 ? `ε = ${stepText(epsilon)}` : WITHOUT;
    setText(this.name, text);
    this.input.setAttribute("aria-valuetext", text);
    const shares = content.probability === null ? "" : `${probabilities(content, sweep, epsilon).join(" · ")}. `;
    setText(this.note, `${shares}${this.#remark(sweep)}`);
  }

  /** @param {Sweep} sweep */
  #remark(sweep) {
    return sweep.complete || this.viewer.offline ? "Computed at the marked sizes, interpolated while you drag." : "More sizes are not computed yet.";
  }

  /**
   * @param {Sweep} sweep
   * @param {number} paper
   */
  #setSizes(sweep, paper) {
    this.sizes = sizesOf(sweep);
    const last = this.sizes.length - 1;
    this.input.max = String(last);
    this.ticks.replaceChildren(
      ...this.sizes.map((size, i) => {
        const own = size === paper;
        const tick = element("span", { class: own ? "paper" : null, text: own ? `${stepText(size)} (paper)` : stepText(size) });
        tick.style.left = `${(100 * i) / last}%`;
        return tick;
      }),
    );
  }

  /** @param {string} name */
  #switch(name) {
    const { sweep, authors } = this.viewer.payload.content.comparison;
    const size = sweep && this.size > 0 ? this.size : authors;
    this.viewer.request({ step: name === "off" ? null : size, ascend: name === "unlearn" });
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

/**
 * Each class's probability before and after the step for it.
 *
 * @param {Content} content
 * @param {Sweep} sweep
 * @param {number} epsilon
 */
function probabilities(content, sweep, epsilon) {
  return [content, content.comparison].map(({ label, probability }, which) => {
    const after = epsilon > 0 ? probabilityAfterStep(sweep, which, epsilon) : null;
    return classText(label, probability, after);
  });
}
