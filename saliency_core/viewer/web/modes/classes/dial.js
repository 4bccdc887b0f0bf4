/** The correlation of two maps on a scale from "same map" over "unrelated" to "opposite locations". */

import { element, setText } from "../../controls/dom.js";
import { rho } from "../../core/format.js";
import { dialPosition, meaningOf } from "./correlation.js";

/** @import { Figure } from "../mode.js" */

const ENDS = /** @type {[string, string][]} */ ([
  ["+1", "same map"],
  ["0", "unrelated"],
  ["−1", "opposite locations"],
]);

export class Dial {
  constructor() {
    this.value = element("b", { "data-testid": "rho" });
    this.words = element("span", { "data-testid": "rho-words" });
    this.needle = element("i", { class: "dial-needle" });
    const ends = ENDS.map(([number, name]) => element("span", {}, element("b", { text: number }), ` ${name}`));
    this.element = element(
      "div",
      { class: "verdict", "data-testid": "verdict" },
      element("p", { class: "verdict-words" }, this.value, this.words),
      element(
        "div",
        { class: "dial", "aria-hidden": "true" },
        element("div", { class: "dial-track" }, this.needle),
        element("div", { class: "dial-ends" }, ...ends),
      ),
    );
  }

  /**
   * Shows a correlation, why there is none, or that it is not known yet.
   *
   * @param {Figure | null} figure
   */
  set(figure) {
    const value = figure?.value ?? null;
    setText(this.value, figure === null ? "ρ …" : value === null ? "ρ undefined" : `ρ ${figure.interpolated ? "≈" : "="} ${rho(value)}`);
    setText(this.words, figure === null ? "" : value === null ? figure.reason : meaningOf(value));
    this.element.dataset.state = figure === null ? "waiting" : value === null ? "undefined" : "known";
    this.needle.hidden = value === null;
    if (value !== null) this.needle.style.left = `${100 * dialPosition(value)}%`;
  }

  get text() {
    return `${this.value.textContent}. ${this.words.textContent}`;
  }
}
