/** The one rule of redrawing: something is done again exactly when one of its inputs is another value. */

/**
 * Makes a function lazy: as long as all inputs are identical to the last ones, it returns its last result.
 *
 * The function depends on its inputs alone (write it outside of any class, so that it cannot see more): what it does
 * not declare it cannot show, hence what it shows is never stale. Inputs are compared by identity, which shared()
 * keeps for data that arrives again.
 *
 * @template {Record<string, unknown>} Inputs
 * @template Result
 * @param {(inputs: Inputs) => Result} compute
 * @returns {(inputs: Inputs) => Result}
 */
export function whenChanged(compute) {
  /** @type {Inputs | null} */
  let last = null;
  /** @type {Result} */
  let result;
  return (inputs) => {
    if (last === null || !sameValues(last, inputs)) {
      result = compute(inputs);
      last = inputs;
    }
    return result;
  };
}

/**
 * Whether two objects have the same keys with identical values.
 *
 * @param {Record<string, unknown>} one
 * @param {Record<string, unknown>} other
 */
function sameValues(one, other) {
  const keys = Object.keys(one);
  return keys.length === Object.keys(other).length && keys.every((key) => key in other && Object.is(one[key], other[key]));
}

/**
 * JSON data in which every part that equals the corresponding part of `before` is that part itself.
 *
 * @template T
 * @param {unknown} before
 * @param {T} after
 * @returns {T}
 */
export function shared(before, after) {
  if (Object.is(before, after) || before === null || after === null) return after;
  if (typeof before !== "object" || typeof after !== "object" || Array.isArray(before) !== Array.isArray(after)) return after;
  const old = /** @type {Record<string, unknown>} */ (before);
  const entries = Object.entries(/** @type {object} */ (after)).map(([key, value]) => [key, shared(old[key], value)]);
  const result = Array.isArray(after) ? entries.map(([, value]) => value) : Object.fromEntries(entries);
  return sameValues(old, result) ? /** @type {T} */ (before) : result;
}
