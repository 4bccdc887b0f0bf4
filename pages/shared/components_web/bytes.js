/** How the sizes of files are written. */

const UNITS = /** @type {const} */ ([
  [1e6, "MB"],
  [1e3, "kB"],
]);

/**
 * In two digits below ten, else in whole units: 1.9 MB, 24 MB, 310 kB.
 *
 * @param {number} bytes
 */
export function fileSize(bytes) {
  for (const [unit, name] of UNITS) {
    if (bytes >= unit) return `${bytes < 9.95 * unit ? (bytes / unit).toFixed(1).replace(/\.0$/, "") : Math.round(bytes / unit)} ${name}`;
  }
  return `${bytes} bytes`;
}
