/**
 * The page's own keys: the arrows walk through the layers, 1 to 9 choose a method, ? shows what the keys mean.
 *
 * A host that wants them calls pressKey() on every keydown, and listenToKeys() once per viewer. Between the two are
 * events on the window, as in Streamlit they belong to two components.
 */

/** Walks through the layers; `detail` is -1 (towards the input) or 1. */
export const DEPTH_EVENT = "normgrad-depth";
/** Chooses a method; `detail` is {digit: 1 to 9, shift: whether for the other panel}. */
export const METHOD_EVENT = "normgrad-method";
/** Shows what the keys mean; `detail` is "offer" (unless it was dismissed before), "toggle" or "hide". */
export const KEYS_EVENT = "normgrad-keys";

/** The methods by their keys, 1 to 9: those that every explanation has, the most asked for first. */
export const METHOD_KEYS = [
  "normgrad",
  "grad_cam",
  "normgrad_selective",
  "normgrad_conv3x3",
  "linear_approx",
  "gradient",
  "layer_cam",
  "grad_cam_plus_plus",
  "hires_cam",
];

const TYPING =
  "select, textarea, [contenteditable=''], [contenteditable=true], [role=textbox], [role=combobox], [role=listbox], " +
  "input:not([type=range], [type=checkbox], [type=radio], [type=button])";
const OWN_ARROWS = `${TYPING}, input, [role=tab], [role=slider], [role=grid], [role=application], [tabindex='0']:not([data-testid=stMain])`;
const ABOVE = "dialog[open], :popover-open:not([data-testid=key-note]), [data-baseweb=popover]";

/**
 * What a pointer or a key was used on, within shadow roots too.
 *
 * @param {Event} event
 * @param {string} selector
 */
function within(event, selector) {
  const target = event.composedPath()[0];
  return target instanceof Element && target.closest(selector) !== null;
}

/**
 * Whether a key is typed into a field, or has a meaning of its own with a modifier: then it is not the page's.
 *
 * @param {KeyboardEvent} event
 */
export function isTyping(event) {
  return event.defaultPrevented || event.isComposing || event.ctrlKey || event.metaKey || event.altKey || within(event, TYPING);
}

/** Whether something lies open above the page, which the keys are for as long as it does. */
export function somethingOpen() {
  const roots = [document, ...[...document.querySelectorAll("*")].map((each) => each.shadowRoot)];
  return roots.some((root) => root?.querySelector(ABOVE));
}

/**
 * The digit of a key, 0 if it has none; by its place on the keyboard where Shift or the layout make it another character.
 *
 * @param {KeyboardEvent} event
 */
function digitOf({ key, code }) {
  const found = /^[1-9]$/.test(key) ? key : /^Digit([1-9])$/.exec(code)?.[1];
  return Number(found ?? 0);
}

/**
 * Sends a key on to the viewer if it means something there; returns whether it did.
 *
 * @param {KeyboardEvent} event
 */
export function pressKey(event) {
  if (isTyping(event)) return false;
  const found = meaningOf(event);
  if (found === null || somethingOpen()) return false;
  window.dispatchEvent(found);
  event.preventDefault();
  return true;
}

/** @param {KeyboardEvent} event */
function meaningOf(event) {
  const { key, shiftKey, repeat } = event;
  if (key === "?") return repeat ? null : new CustomEvent(KEYS_EVENT, { detail: "toggle" });
  if (key === "ArrowLeft" || key === "ArrowRight") {
    return shiftKey || within(event, OWN_ARROWS) ? null : new CustomEvent(DEPTH_EVENT, { detail: key === "ArrowRight" ? 1 : -1 });
  }
  const digit = digitOf(event);
  return digit === 0 || repeat ? null : new CustomEvent(METHOD_EVENT, { detail: { digit, shift: shiftKey } });
}

/**
 * What a viewer does for the keys.
 *
 * @typedef {object} KeyTarget
 * @property {(step: number) => void} walk
 * @property {(digit: number, shift: boolean) => void} choose
 * @property {(what: "offer" | "toggle" | "hide") => void} showKeys
 */

/**
 * Makes a viewer follow the keys; returns what ends it.
 *
 * @param {KeyTarget} viewer
 */
export function listenToKeys(viewer) {
  const ended = new AbortController();
  const on = (/** @type {string} */ name, /** @type {(detail: any) => void} */ take) =>
    window.addEventListener(name, (event) => take(/** @type {CustomEvent} */ (event).detail), { signal: ended.signal });
  on(DEPTH_EVENT, (step) => viewer.walk(step));
  on(METHOD_EVENT, ({ digit, shift }) => viewer.choose(digit, shift));
  on(KEYS_EVENT, (what) => viewer.showKeys(what));
  return () => ended.abort();
}
