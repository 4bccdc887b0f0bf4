/** What Python sent, decoded once per content. */

import { packTable, LEVELS } from "./colors.js";

/** Holds the decoded photo, maps and colour tables; `take` decodes only what changed. */
export class Payload {
  constructor() {
    this.meta = null;
    this.methods = new Map();
    this.values = new Float32Array(0);
    this.tables = new Map();
    this.photoUrl = null;
    this.decoded = { photo: 0, maps: 0 };
  }

  /** Returns which parts are new: {photo, maps, revision}. */
  take(data) {
    const before = this.meta;
    const meta = data.meta;
    const changed = {
      photo: before?.keys.photo !== meta.keys.photo,
      maps: before?.keys.maps !== meta.keys.maps,
      revision: before?.revision !== meta.revision,
    };
    this.meta = meta;
    this.methods = new Map(
      meta.methods.map((method) => [
        method.name,
        {
          ...method,
          maps: meta.maps[method.name] ?? null,
          others: meta.contrast?.maps[method.name] ?? null,
          unavailable: meta.unavailable[method.name] ?? null,
        },
      ]),
    );
    if (changed.photo) this.#takePhoto(data.photo.getChildAt(0).get(0));
    if (changed.maps) this.#takeMaps(data.maps.getChildAt(0).toArray(), data.luts.getChildAt(0).toArray());
    return changed;
  }

  /**
   * The raw map of a method at a layer: {values, height, width, reason}; `reason` says why there is nothing to
   * see, and without values there is no map. A method that explains the input itself has one map for every
   * layer. Null: the method's maps are not here.
   */
  map(methodName, layerIndex) {
    const { maps } = this.method(methodName);
    return maps && this.at(maps, layerIndex);
  }

  /** The same for one record of where a method's maps are. */
  at(maps, layerIndex) {
    const layer = this.meta.layers[layerIndex];
    const at = maps.input ?? { ...layer, offset: maps.offsets[layerIndex], reason: maps.reasons[layerIndex] };
    const { offset, height, width, reason } = at;
    const values = offset === null ? null : this.values.subarray(offset, offset + height * width);
    return { values, height, width, reason };
  }

  /** For every layer: whether a method shows nothing there. */
  emptyLayers(methodName) {
    return this.meta.layers.map((_, i) => (this.map(methodName, i)?.reason ?? null) !== null);
  }

  method(name) {
    return this.methods.get(name);
  }

  colormap(name) {
    return this.meta.colormaps.find((colormap) => colormap.name === name);
  }

  /** A point of the box ([0, 1]²) in the photo's own pixels, as text. */
  positionText([u, v]) {
    const [left, top, right, bottom] = this.meta.box;
    const { original, width, height } = this.meta.photo;
    const x = ((left + u * (right - left)) * original[0]) / width;
    const y = ((top + v * (bottom - top)) * original[1]) / height;
    return `x ${Math.floor(x)} · y ${Math.floor(y)} px`;
  }

  release() {
    if (this.photoUrl) URL.revokeObjectURL(this.photoUrl);
  }

  #takePhoto(jpeg) {
    this.release();
    this.photoUrl = URL.createObjectURL(new Blob([jpeg], { type: "image/jpeg" }));
    this.decoded.photo += 1;
  }

  #takeMaps(values, tables) {
    this.values = values;
    this.tables = new Map(
      this.meta.colormaps.map((colormap, i) => [colormap.name, packTable(tables.subarray(3 * LEVELS * i, 3 * LEVELS * (i + 1)))]),
    );
    this.decoded.maps += 1;
  }
}
