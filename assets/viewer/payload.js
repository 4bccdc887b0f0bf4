/** What Python sent, decoded once per content. */

import { packTable, LEVELS } from "./colors.js";

/** Holds the decoded photo, maps and colour tables; `take` decodes only what changed. */
export class Payload {
  constructor() {
    this.meta = null;
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
    if (changed.photo) this.#takePhoto(data.photo.getChildAt(0).get(0));
    if (changed.maps) this.#takeMaps(data.maps.getChildAt(0).toArray(), data.luts.getChildAt(0).toArray());
    return changed;
  }

  /** The raw map of a method at a layer: {values, height, width, reason}; `reason` says why a constant map is one. */
  map(methodName, layerIndex) {
    const method = this.method(methodName);
    const { height, width } = this.meta.layers[layerIndex];
    const start = method.offsets[layerIndex];
    return { values: this.values.subarray(start, start + height * width), height, width, reason: method.constant[layerIndex] };
  }

  method(name) {
    return this.meta.methods.find((method) => method.name === name);
  }

  colormap(name) {
    return this.meta.colormaps.find((colormap) => colormap.name === name);
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
