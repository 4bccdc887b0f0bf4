/** The mark on every picture of a network with random weights; it is shown where the viewer has their class. */

import { element } from "../controls/dom.js";

export const RANDOM_WEIGHTS = "random weights";

/** The class of a viewer whose network has random weights. */
export const MARKED = "random-weights";

export function weightsMark() {
  return element("span", { class: "weights-mark", "data-testid": "random-weights", text: RANDOM_WEIGHTS });
}
