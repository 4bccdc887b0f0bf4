/** What Streamlit's two components share: updates sent separately from the maps, which need not be sent again. */

/**
 * @typedef {import("../modes/mode.js").Updates} Updates
 */

const EVENT = "normgrad-updates";

/** The two components are two scripts; what they share lies on the window, by the viewers' keys. */
const shared = /** @type {{normgradUpdates?: Record<string, Updates>}} */ (globalThis);
shared.normgradUpdates ??= {};
const store = shared.normgradUpdates;

/**
 * Passes updates to the viewer with this key, now or once it exists.
 *
 * @param {string} key
 * @param {Updates} updates
 */
export function publish(key, updates) {
  store[key] = updates;
  window.dispatchEvent(new CustomEvent(EVENT, { detail: key }));
}

/**
 * The newest updates for the viewer with this key.
 *
 * @param {string} key
 * @returns {Updates}
 */
export function latest(key) {
  return store[key] ?? { pending: {}, correlations: null, asked: null };
}

/**
 * Calls `listener(key)` whenever there are updates; returns what ends it.
 *
 * @param {(key: string) => void} listener
 */
export function subscribe(listener) {
  const heard = (/** @type {Event} */ event) => listener(/** @type {CustomEvent} */ (event).detail);
  window.addEventListener(EVENT, heard);
  return () => window.removeEventListener(EVENT, heard);
}
