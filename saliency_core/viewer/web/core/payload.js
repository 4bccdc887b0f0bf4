/** What Python sent, decoded once per content. */

import { packTable, LEVELS } from "./colors.js";
import { classText } from "./format.js";
import { shared, whenChanged } from "./redraw.js";

/** @import { Colors } from "./colors.js" */

/**
 * What a host hands over: the JSON, and how to get at the numbers and the photo, called only when they are new.
 *
 * @typedef {object} Delivery
 * @property {any} meta
 * @property {() => Float32Array} maps
 * @property {() => Uint8Array} luts
 * @property {() => Uint8Array} photo
 */

/**
 * @typedef {object} Layer
 * @property {string} name
 * @property {number} channels
 * @property {number} height
 * @property {number} width
 * @property {number | null} stage the number of the network's stage that it ends, from 1; null for any other layer
 */

/**
 * A layer that can be shown.
 *
 * @typedef {Layer & {kind: "convolution" | "linear layer" | ""}} LayerChoice
 */

/**
 * A raw map. `reason` says why there is nothing to see; without values there is no map at all.
 *
 * @typedef {object} RawMap
 * @property {Float32Array | null} values
 * @property {number} height
 * @property {number} width
 * @property {string | null} reason
 */

/**
 * Where a method's maps are: one of the input, or one per layer.
 *
 * @typedef {object} MapRecord
 * @property {{offset: number, height: number, width: number, reason: string | null} | null} input
 * @property {(number | null)[]} [offsets]
 * @property {(string | null)[]} [reasons]
 */

/**
 * A method as pickers and descriptions show it; `unavailable` says why this network has none.
 *
 * @typedef {object} Method
 * @property {string} name
 * @property {string} title
 * @property {string} shortTitle
 * @property {string} summary
 * @property {string} family
 * @property {boolean} signed
 * @property {string} bright what a bright location means, or the positive end of a map with a sign
 * @property {string} dark what the negative end means, empty without a sign
 * @property {string} unit what the values measure; equal ones can share a colour scale
 * @property {string} formula
 * @property {string} reference
 * @property {string} url
 * @property {string | null} cost
 * @property {string} costText
 * @property {number} passes how many passes it takes beside the shared one
 * @property {string} needs
 * @property {string | null} domain
 * @property {string} cell
 * @property {boolean} plainCell
 * @property {boolean} atInput whether it explains the input alone, so that its map is the same at every depth
 * @property {boolean} classSpecific whether its map depends on the class
 * @property {string | null} unavailable
 * @property {MapRecord | null} maps
 */

/** Photo, classes and maps of one explanation. Another explanation is another object. */
export class Content {
  /**
   * @param {any} meta
   * @param {Float32Array} values
   */
  constructor(meta, values) {
    this.values = values;
    /** @type {Layer[]} */
    this.layers = meta.layers;
    /** @type {(number | null)[]} */
    this.energy = meta.energy;
    this.photo = meta.photo;
    /** @type {[number, number, number, number]} */
    this.box = meta.box;
    /**
     * The input region in the pixels of the photo itself, which may be larger than the one shown.
     *
     * @type {[number, number, number, number]}
     */
    this.region = meta.region;
    /**
     * The objects on the photo whose location is known: their boxes as fractions of the input region, clipped to it, and
     * in the photo's own pixels.
     *
     * @type {{index: number, label: string, box: [number, number, number, number], pixels: [number, number, number, number]}[]}
     */
    this.objects = meta.objects;
    /** @type {number} */
    this.target = meta.target;
    /** @type {string} */
    this.label = meta.label;
    /**
     * Null where the network has no classes.
     *
     * @type {number | null}
     */
    this.probability = meta.probability;
    /**
     * The same after the meta step; null without a step.
     *
     * @type {number | null}
     */
    this.probabilityAfter = meta.probability_after;
    /** @type {Record<string, MapRecord>} */
    this.maps = meta.maps;
    this.comparison = meta.comparison;
  }

  /**
   * The raw map of a method at a layer; a method that explains the input has one map for every layer. Null: the
   * method's maps are not here.
   *
   * @param {string} method
   * @param {number} layer
   * @returns {RawMap | null}
   */
  map(method, layer) {
    const record = this.maps[method];
    return record ? this.at(record, layer) : null;
  }

  /**
   * The same for a record of where maps are.
   *
   * @param {MapRecord} record
   * @param {number} layer
   * @returns {RawMap}
   */
  at(record, layer) {
    const { offsets = [], reasons = [] } = record;
    const at = record.input ?? { ...this.layers[layer], offset: offsets[layer], reason: reasons[layer] };
    const { offset, height, width, reason } = at;
    const values = offset === null ? null : this.values.subarray(offset, offset + height * width);
    return { values, height, width, reason };
  }

  /**
   * For every layer: whether a method shows nothing there.
   *
   * @param {string} method
   */
  emptyLayers(method) {
    return this.layers.map((_, i) => (this.map(method, i)?.reason ?? null) !== null);
  }

  /** The explained class with its probability, before and after a meta step if there was one. */
  get classText() {
    return classText(this.label, this.probability, this.probabilityAfter);
  }

  /** The boxes of the objects that are of the explained class. */
  get targetBoxes() {
    return this.objects.filter((object) => object.index === this.target).map((object) => object.box);
  }

  /** The same in the photo's own pixels, with what the network does not see. */
  get targetPixels() {
    return this.objects.filter((object) => object.index === this.target).map((object) => object.pixels);
  }

  /** @param {string} name */
  layerIndex(name) {
    return this.layers.findIndex((layer) => layer.name === name);
  }

  /**
   * A point of the input region ([0, 1]²) in the photo's own pixels, as text.
   *
   * @param {number[]} point
   */
  positionText([u, v]) {
    const [left, top, right, bottom] = this.box;
    const { original, width, height } = this.photo;
    const x = ((left + u * (right - left)) * original[0]) / width;
    const y = ((top + v * (bottom - top)) * original[1]) / height;
    return `x ${Math.floor(x)} · y ${Math.floor(y)} px`;
  }
}

/** Holds what has been decoded; take() decodes only what is new, and what is not keeps its identity. */
export class Payload {
  constructor() {
    /** @type {any} */
    this.meta = null;
    /** @type {Content} */
    this.content = /** @type {any} */ (null);
    /** @type {Map<string, Method>} */
    this.methods = new Map();
    /** @type {Map<string, Colors>} */
    this.colormaps = new Map();
    /** @type {string} */
    this.photoUrl = "";
    this.decoded = { photo: 0, maps: 0 };
    this.mergeMethods = whenChanged(mergeMethods);
  }

  /** @param {Delivery} delivery */
  take(delivery) {
    const before = this.meta;
    const meta = shared(before, delivery.meta);
    this.meta = meta;
    this.methods = this.mergeMethods({ methods: meta.methods, maps: meta.maps, unavailable: meta.unavailable });
    if (before?.keys.photo !== meta.keys.photo) this.#takePhoto(delivery.photo());
    if (before?.keys.maps !== meta.keys.maps) {
      this.content = new Content(meta, delivery.maps());
      this.colormaps = unpackColormaps(meta.colormaps, delivery.luts());
      this.decoded.maps += 1;
    }
  }

  /**
   * @param {string} name
   * @returns {Method}
   */
  method(name) {
    return /** @type {Method} */ (this.methods.get(name));
  }

  release() {
    if (this.photoUrl) URL.revokeObjectURL(this.photoUrl);
  }

  /** @param {Uint8Array} jpeg */
  #takePhoto(jpeg) {
    this.release();
    this.photoUrl = URL.createObjectURL(new Blob([/** @type {any} */ (jpeg)], { type: "image/jpeg" }));
    this.decoded.photo += 1;
  }
}

/**
 * @param {{methods: any[], maps: Record<string, MapRecord>, unavailable: Record<string, string>}} inputs
 * @returns {Map<string, Method>}
 */
function mergeMethods({ methods, maps, unavailable }) {
  return new Map(
    methods.map(({ name, ...facts }) => [
      name,
      { name, ...facts, maps: maps[name] ?? null, unavailable: unavailable[name] ?? null },
    ]),
  );
}

/**
 * Name -> the colours of a colour map.
 *
 * @param {{name: string, kind: string}[]} colormaps
 * @param {Uint8Array} luts
 * @returns {Map<string, Colors>}
 */
export function unpackColormaps(colormaps, luts) {
  return new Map(
    colormaps.map(({ name, kind }, i) => {
      const table = packTable(luts.subarray(3 * LEVELS * i, 3 * LEVELS * (i + 1)));
      return [name, { table, diverging: kind === "diverging", faded: false }];
    }),
  );
}
