/** Maps that were rounded to whole numbers, as numbers again: the counterpart of saliency_core/viewer/quantised.py. */

/**
 * How the numbers of one map become values again: low + step · number.
 *
 * @typedef {{size: number, low: number, step: number}} Plane
 */

/**
 * The bytes that a text in base64 means.
 *
 * @param {string} text
 */
export function bytesOf(text) {
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < bytes.length; i += 1) bytes[i] = characters.charCodeAt(i);
  return bytes;
}

/**
 * The values of all maps.
 *
 * @param {Uint8Array} bytes the numbers of all maps one after another, little-endian
 * @param {8 | 16} bits
 * @param {Plane[]} planes
 */
export function restored(bytes, bits, planes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  return planes.map(({ size, low, step }) => {
    const values = new Float32Array(size);
    for (let i = 0; i < size; i += 1, at += bits / 8) {
      values[i] = low + step * (bits === 8 ? view.getUint8(at) : view.getUint16(at, true));
    }
    return values;
  });
}

/**
 * Maps one after another in one array.
 *
 * @param {Float32Array[]} maps
 */
export function joined(maps) {
  const values = new Float32Array(maps.reduce((sum, map) => sum + map.length, 0));
  let at = 0;
  for (const map of maps) {
    values.set(map, at);
    at += map.length;
  }
  return values;
}
