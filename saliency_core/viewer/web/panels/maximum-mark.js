/** The place where a map is greatest: a cross, and around it the disc of the pointing game's tolerance. */

import { element } from "../controls/dom.js";
import { TOLERANCE } from "../core/scores.js";
import { whenChanged } from "../core/redraw.js";
import { cover } from "./stage.js";

/** @import { Stage } from "./stage.js" */

const CROSS =
  '<svg viewBox="-10 -10 20 20" width="20" height="20"><g fill="none" stroke-linecap="round">' +
  '<path class="halo" d="M-7 0H7M0-7V7"/><path class="line" d="M-7 0H7M0-7V7"/></g></svg>';

/** @typedef {{point: readonly [number, number] | null, state: "hit" | "miss" | "open", width: number, height: number, stage: Stage}} MarkInputs */

export class MaximumMark {
  /** @param {HTMLElement} scene of a panel */
  constructor(scene) {
    this.ring = element("div", { class: "maximum-ring" });
    this.cross = element("div", { class: "maximum-cross" });
    this.cross.innerHTML = CROSS;
    this.element = element("div", { class: "maximum-mark", "aria-hidden": "true", "data-testid": "maximum" }, this.ring, this.cross);
    scene.append(this.element);
    this.draw = whenChanged((/** @type {MarkInputs} */ inputs) => this.#draw(inputs));
  }

  /** @param {MarkInputs} inputs */
  #draw({ point, state, width, height, stage }) {
    this.element.hidden = point === null;
    if (point === null) return;
    cover(this.element, stage.photo);
    this.element.dataset.state = state;
    const [x, y] = point.map((value) => value + 0.5);
    const edges = /** @type {const} */ ([x - TOLERANCE, y - TOLERANCE, x + TOLERANCE, y + TOLERANCE]);
    cover(this.ring, [edges[0] / width, edges[1] / height, edges[2] / width, edges[3] / height]);
    this.cross.style.left = `${(100 * x) / width}%`;
    this.cross.style.top = `${(100 * y) / height}%`;
  }
}
