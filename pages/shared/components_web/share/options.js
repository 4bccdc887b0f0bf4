/** What can be chosen of a kind of file: one of a few, or a line of text. */

import { element } from "../../../../saliency_core/viewer/web/controls/dom.js";

/**
 * @typedef {object} Option
 * @property {string} name
 * @property {string} title
 * @property {{ name: string, title: string, hint: string }[]} [choices] none: a text
 * @property {string} [first] the choice that is made at first
 * @property {number} [most] characters of a text
 * @property {string} [placeholder]
 */

let groups = 0;

/**
 * The control of an option. `onchange` is called with the new value.
 *
 * @param {Option} option
 * @param {string} value
 * @param {(value: string) => void} onchange
 */
export function control(option, value, onchange) {
  groups += 1;
  const id = `share-option-${groups}`;
  if (!option.choices) {
    const input = element("input", { type: "text", id, maxlength: option.most, placeholder: option.placeholder ?? "", "data-testid": `option-${option.name}` });
    input.value = value;
    input.addEventListener("input", () => onchange(input.value));
    return element("div", { class: "option-row" }, element("label", { for: id, text: option.title }), input);
  }
  const chips = option.choices.map(({ name, title, hint }) =>
    element(
      "label",
      { class: "chip", title: hint || null },
      element("input", { type: "radio", name: id, value: name, checked: name === value, "data-testid": `option-${option.name}-${name}`, onchange: () => onchange(name) }),
      element("span", { text: title }),
    ),
  );
  return element(
    "fieldset",
    { class: "option-row", role: "radiogroup", "aria-labelledby": `${id}-title` },
    element("span", { class: "label", id: `${id}-title`, text: option.title }),
    element("div", { class: "chips" }, ...chips),
  );
}
