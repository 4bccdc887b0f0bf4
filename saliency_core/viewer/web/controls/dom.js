/** Small helpers that build native controls. */

/** An element; `on…` attributes are listeners, `text` is its text, null and false attributes are left out. */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === false) continue;
    if (name === "text") node.textContent = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** A 20 px line icon. `path` is written in this code, never taken from data. */
export function icon(path) {
  const node = element("span", { class: "icon", "aria-hidden": "true" });
  node.innerHTML = `<svg viewBox="0 0 20 20" width="20" height="20" fill="none" stroke="currentColor"
    stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round">${path}</svg>`;
  return node;
}

/** A quiet square button with an icon. */
export function iconButton(label, path, onclick, attributes = {}) {
  return element("button", { type: "button", class: "icon-button", "aria-label": label, title: label, onclick, ...attributes }, icon(path));
}

/** A range input whose filled part follows its value. */
export function rangeInput(attributes) {
  const input = element("input", { type: "range", class: "range", ...attributes });
  input.addEventListener("input", () => fillRange(input));
  fillRange(input);
  return input;
}

/** Sets a range input's value without an event. */
export function setRange(input, value) {
  input.value = String(value);
  fillRange(input);
}

function fillRange(input) {
  const low = Number(input.min);
  const span = Number(input.max) - low || 1;
  input.style.setProperty("--fill", String((Number(input.value) - low) / span));
}

/** A <select>; options with a family are grouped under it, and those with a reason cannot be chosen. */
export function select(attributes, options) {
  const node = element("select", attributes);
  const groups = new Map();
  for (const option of options) {
    const reason = option.reason ?? null;
    const entry = element("option", { value: option.name, text: option.title, title: reason, disabled: reason !== null });
    if (!option.family) {
      node.append(entry);
      continue;
    }
    if (!groups.has(option.family)) {
      groups.set(option.family, element("optgroup", { label: option.family }));
      node.append(groups.get(option.family));
    }
    groups.get(option.family).append(entry);
  }
  return node;
}

/** A segmented control: native radio buttons, so arrow keys and screen readers work. */
export class Segmented {
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

  set(value) {
    for (const input of this.inputs) input.checked = input.value === value;
  }
}

/** Sets text only where it changed, so that a drag does not touch the layout. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
