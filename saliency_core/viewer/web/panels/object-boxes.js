/** The boxes of the objects that are of the explained class, as thin dashed lines on a photo. */

import { element } from "../controls/dom.js";
import { whenChanged } from "../core/redraw.js";
import { boxesTellingApart } from "../core/sentence.js";
import { cover } from "./stage.js";

/** @import { Content } from "../core/payload.js" */
/** @import { Stage } from "./stage.js" */

export class ObjectBoxes {
  /** @param {HTMLElement} scene of a panel */
  constructor(scene) {
    this.element = element("div", { class: "object-boxes", "aria-hidden": "true" });
    scene.append(this.element);
    this.draw = whenChanged((/** @type {{content: Content, stage: Stage}} */ inputs) => this.#draw(inputs));
  }

  /** @param {{content: Content, stage: Stage}} inputs */
  #draw({ content, stage }) {
    cover(this.element, stage.box);
    const boxes = boxesTellingApart(content).map((box) => {
      const outline = element("div", { class: "object-box" });
      cover(outline, box);
      return outline;
    });
    this.element.replaceChildren(...boxes);
  }
}
