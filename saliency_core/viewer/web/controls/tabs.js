/** A list of tabs; arrow keys go from one to the next. */

import { element } from "./dom.js";

export class Tabs {
  /**
   * @param {string} label
   * @param {string} testId
   * @param {{name: string, title: string, hint: string}[]} options
   * @param {(name: any) => void} onchoose
   */
  constructor(label, testId, options, onchoose) {
    this.options = options;
    this.chosen = options[0].name;
    this.buttons = options.map(({ name, title, hint }) =>
      element("button", {
        type: "button",
        role: "tab",
        class: "tab",
        title: hint,
        text: title,
        "data-testid": `tab-${name}`,
        onclick: () => onchoose(name),
      }),
    );
    this.element = element("div", { class: "tabs", role: "tablist", "aria-label": label, "data-testid": testId }, ...this.buttons);
    this.element.addEventListener("keydown", (event) => {
      const step = /** @type {Record<string, number>} */ ({ ArrowLeft: -1, ArrowRight: 1 })[event.key];
      if (!step) return;
      const index = options.findIndex((option) => option.name === this.chosen);
      const next = (index + step + options.length) % options.length;
      onchoose(options[next].name);
      this.buttons[next].focus();
      event.preventDefault();
    });
  }

  /** @param {string} name */
  set(name) {
    this.chosen = name;
    this.buttons.forEach((button, i) => {
      const chosen = this.options[i].name === name;
      button.setAttribute("aria-selected", String(chosen));
      button.tabIndex = chosen ? 0 : -1;
    });
  }
}
