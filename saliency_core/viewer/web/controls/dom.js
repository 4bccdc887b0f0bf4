/** Small helpers that build native elements. */

/**
 * An element; `on…` attributes are listeners, `text` is its text, null and false attributes are left out.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, any>} [attributes]
 * @param {(Node | string | null)[]} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
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

/**
 * A 20 px line icon. `path` is written in this code, never taken from data.
 *
 * @param {string} path
 */
export function icon(path) {
  const node = element("span", { class: "icon", "aria-hidden": "true" });
  node.innerHTML = `<svg viewBox="0 0 20 20" width="20" height="20" fill="none" stroke="currentColor"
    stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round">${path}</svg>`;
  return node;
}

/**
 * A plain square button with an icon.
 *
 * @param {string} label
 * @param {string} path
 * @param {() => void} onclick
 * @param {Record<string, any>} [attributes]
 */
export function iconButton(label, path, onclick, attributes = {}) {
  return element("button", { type: "button", class: "icon-button", "aria-label": label, title: label, onclick, ...attributes }, icon(path));
}

/**
 * A range input whose filled part follows its value.
 *
 * @param {Record<string, any>} attributes
 */
export function rangeInput(attributes) {
  const input = element("input", { type: "range", class: "range", ...attributes });
  input.addEventListener("input", () => fillRange(input));
  fillRange(input);
  return input;
}

/**
 * Sets a range input's value without an event.
 *
 * @param {HTMLInputElement} input
 * @param {number} value
 */
export function setRange(input, value) {
  input.value = String(value);
  fillRange(input);
}

/** @param {HTMLInputElement} input */
function fillRange(input) {
  const low = Number(input.min);
  const span = Number(input.max) - low || 1;
  input.style.setProperty("--fill", String((Number(input.value) - low) / span));
}

/**
 * One option of a select element: grouped under its family if it has one, disabled if there is a reason.
 *
 * @typedef {{name: string, title: string, family?: string, reason?: string | null}} Option
 */

/**
 * @param {Record<string, any>} attributes
 * @param {Option[]} options
 */
export function select(attributes, options) {
  const node = element("select", attributes);
  /** @type {Map<string, HTMLElement>} */
  const groups = new Map();
  for (const option of options) {
    const reason = option.reason ?? null;
    const entry = element("option", { value: option.name, text: option.title, title: reason, disabled: reason !== null });
    if (!option.family) {
      node.append(entry);
      continue;
    }
    const group = groups.get(option.family) ?? element("optgroup", { label: option.family });
    if (!groups.has(option.family)) node.append(group);
    groups.set(option.family, group);
    group.append(entry);
  }
  return node;
}

/**
 * Sets text only where it changed, so that a drag does not touch the layout.
 *
 * @param {Node} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * A canvas's 2-D context.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {CanvasRenderingContext2DSettings} [settings]
 */
export function context2d(canvas, settings) {
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", settings));
}
