/** A segmented control: native radio buttons, so arrow keys and screen readers work. */

import { element } from "./dom.js";

export class Segmented {
  /**
   * @param {string} label
   * @param {string} name
   * @param {{name: string, title: string, hint?: string}[]} options
   * @param {(name: any) => void} onchoose
   */
  constructor(label, name, options, onchoose) {
    const group = `${name}-${Math.random().toString(36).slice(2)}`;
    this.inputs = options.map((option) =>
      element("input", { type: "radio", name: group, value: option.name, onchange: () => onchoose(option.name) }),
    );
    this.element = element(
      "fieldset",
      { class: "segmented", "data-testid": name, "aria-label": label },
      ...options.map((option, i) =>
        element("label", { title: option.hint ?? null }, this.inputs[i], element("span", { text: option.title })),
      ),
    );
  }

  /** @param {string} value */
  set(value) {
    for (const input of this.inputs) input.checked = input.value === value;
  }
}
