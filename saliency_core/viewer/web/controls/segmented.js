/** A segmented control: native radio buttons, so arrow keys and screen readers work. */

import { element, setText } from "./dom.js";

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
    this.options = options;
    this.labels = options.map((option, i) =>
      element("label", { title: option.hint ?? null }, this.inputs[i], element("span", { text: option.title })),
    );
    this.reason = element("p", { class: "visually-hidden", id: `${group}-reason` });
    this.element = element(
      "fieldset",
      { class: "segmented", "data-testid": name, "aria-label": label, "aria-describedby": `${group}-reason` },
      ...this.labels,
      this.reason,
    );
  }

  /**
   * Switches an option off, and says why; null switches it on again.
   *
   * @param {string} name
   * @param {string | null} reason
   */
  disable(name, reason) {
    const i = this.options.findIndex((option) => option.name === name);
    this.inputs[i].disabled = reason !== null;
    this.labels[i].title = reason ?? this.options[i].hint ?? "";
    setText(this.reason, reason ?? "");
  }

  /** @param {string} value */
  set(value) {
    for (const input of this.inputs) input.checked = input.value === value;
  }
}
