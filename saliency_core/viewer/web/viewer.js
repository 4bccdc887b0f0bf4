/** The viewer: connects a mode, the toolbar and a host. It uses only their interfaces. */

import { element, setText } from "./controls/dom.js";
import { KeyNote } from "./controls/key-note.js";
import { METHOD_KEYS } from "./controls/keys.js";
import { Toolbar } from "./controls/toolbar.js";
import { chooseColors } from "./core/colors.js";
import { Payload } from "./core/payload.js";
import { whenChanged } from "./core/redraw.js";
import { carryWeights, completeView } from "./core/view.js";
import { MODES } from "./modes/registry.js";
import { MARKED, RANDOM_WEIGHTS } from "./panels/weights-mark.js";

/** @import { Delivery } from "./core/payload.js" */
/** @import { View } from "./core/view.js" */
/** @import { ClassRequest, Mode, Note, Updates } from "./modes/mode.js" */

const REPORT_MILLISECONDS = 200;
const SPEAK_MILLISECONDS = 600;
const MAX_TIMINGS = 500;

/**
 * What a host offers the viewer: it takes the view (with the revision it belongs to as `rev`), requests to open a
 * method on Compare, to compute the maps that are missing and those of the mode "classes", and knows how high the page's own header is.
 *
 * @typedef {object} Host
 * @property {boolean} offline whether nothing can be computed: what is not here, such as another class, is not offered then
 * @property {(view: object) => void} report
 * @property {(request: {method: string, layer: string}) => void} open
 * @property {() => void} compute
 * @property {(wanted: ClassRequest) => void} request
 * @property {() => number} headerHeight
 */

/** One viewer on one root element. update() comes first, and destroy() last. */
export class Viewer {
  /** @param {any} root */
  constructor(root) {
    this.root = root;
    this.payload = new Payload();
    /** @type {View} */
    this.view = /** @type {any} */ (null);
    /** @type {Updates} */
    this.updates = { pending: {}, correlations: null, asked: null };
    /** @type {number | null} */
    this.revision = null;
    /** @type {Host} */
    this.host = /** @type {any} */ (null);
    this.reported = "";
    /** @type {string | null} */
    this.modeName = null;
    /** @type {Mode} */
    this.mode = /** @type {any} */ (null);
    this.frame = 0;
    /** @type {number | null} */
    this.firstEvent = null;
    this.timings = { latency: /** @type {number[]} */ ([]), draw: /** @type {number[]} */ ([]) };
    this.sent = 0;
    this.chooseColors = whenChanged(chooseColors);
    this.toolbar = this.#toolbar();
    this.body = element("div", {});
    this.speech = element("p", { class: "visually-hidden", role: "status", "aria-live": "polite" });
    this.keyNote = new KeyNote();
    root.replaceChildren(this.toolbar.element, this.body, this.keyNote.element, this.speech);
    root.addEventListener("input", () => (this.firstEvent ??= performance.now()), { capture: true });
    this.observer = new ResizeObserver(() => this.payload.meta && this.mode.resize());
    this.observer.observe(root);
    // For measurements and tests: the current view, and how long frames took.
    root.normgradViewer = {
      view: () => structuredClone(this.view),
      stats: () => ({ ...structuredClone(this.timings), decoded: { ...this.payload.decoded }, sent: this.sent }),
    };
  }

  /**
   * Takes what the host brings: a payload, often one of which little is new, and the newest updates.
   *
   * @param {Delivery} delivery
   * @param {Updates} updates
   * @param {Host} host
   */
  update(delivery, updates, host) {
    this.host = host;
    this.updates = updates;
    this.payload.take(delivery);
    const { meta } = this.payload;
    if (this.revision !== meta.revision) {
      clearTimeout(this.reportTimer);
      this.revision = meta.revision;
      this.view = completeView(meta.view, meta, this.view);
      this.reported = JSON.stringify(this.#message());
    } else {
      // Methods and layers may be others.
      const weights = carryWeights(this.view.weights, this.payload.content.layers.map((layer) => layer.name));
      this.view = completeView({ ...this.view, weights }, meta, this.view);
    }
    if (this.modeName !== meta.mode) this.#setMode(meta.mode);
    this.mode.take();
    this.toolbar.setColormaps(meta.colormaps);
    this.root.setAttribute("role", "group");
    this.root.setAttribute(
      "aria-label",
      `${meta.photo.name} explained by ${meta.model}${meta.random ? ` with ${RANDOM_WEIGHTS}` : ""}: ${meta.label}`,
    );
    this.root.classList.toggle(MARKED, meta.random);
    const [, height, width] = meta.inputSize;
    this.root.style.setProperty("--input-aspect", String(width / height));
    this.#draw();
  }

  /** @param {Updates} updates */
  setUpdates(updates) {
    this.updates = updates;
    this.schedule();
  }

  /** @param {Partial<View> | ((view: View) => Partial<View>)} change */
  set(change) {
    const changed = typeof change === "function" ? change(this.view) : change;
    this.view = completeView({ ...this.view, ...changed }, this.payload.meta, this.view);
    this.schedule();
  }

  settle(atOnce = false) {
    clearTimeout(this.reportTimer);
    if (atOnce) this.#report();
    else this.reportTimer = setTimeout(() => this.#report(), REPORT_MILLISECONDS);
    this.speak(() => this.mode.announcement());
  }

  /**
   * @param {string} method
   * @param {string} layer
   */
  open(method, layer) {
    clearTimeout(this.reportTimer);
    this.#report();
    this.host.open({ method, layer });
  }

  compute() {
    this.host.compute();
  }

  /** @param {ClassRequest} wanted */
  request(wanted) {
    clearTimeout(this.reportTimer);
    this.#report();
    this.host.request(wanted);
  }

  /**
   * @param {string} name
   * @returns {Note | null}
   */
  absence(name) {
    const { title, maps, unavailable, costText } = this.payload.method(name);
    if (maps) return null;
    if (unavailable) return { kind: "unavailable", text: unavailable };
    return { kind: "waiting", text: this.updates.pending[name] ?? `Computing ${title}: ${costText}.` };
  }

  /** @param {() => string} text */
  speak(text) {
    clearTimeout(this.speakTimer);
    this.speakTimer = setTimeout(() => setText(this.speech, text()), SPEAK_MILLISECONDS);
  }

  schedule() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.#draw();
    });
  }

  /**
   * Goes on to the next layer or back, where the mode shows layers.
   *
   * @param {number} step 1 from input to output, else -1
   */
  walk(step) {
    const { walk } = this.mode.keys(this.#frame());
    if (walk === "layers") this.moveDepth(step);
    else if (walk !== null) this.mode.walk?.(step);
  }

  /**
   * Shows the method of a key, on the other side with Shift where the mode has two.
   *
   * @param {number} digit 1 to 9
   * @param {boolean} shift
   */
  choose(digit, shift) {
    const { methods } = this.mode.keys(this.#frame());
    const name = METHOD_KEYS[digit - 1];
    if (!methods.includes(name)) return;
    const { title, unavailable } = this.payload.method(name);
    if (unavailable) this.speak(() => `${title} is not available. ${unavailable}`);
    else this.mode.chooseMethod?.(name, shift);
  }

  /** @param {"offer" | "toggle" | "hide"} what */
  showKeys(what) {
    this.keyNote.show(what);
    if (this.keyNote.shown) this.speak(() => this.keyNote.text);
  }

  /**
   * Moves through the layers, from input to output, as the depth slider does.
   *
   * @param {number} difference
   */
  moveDepth(difference) {
    const { layers } = this.payload.content;
    const index = this.payload.content.layerIndex(this.view.layer) + difference;
    if (index < 0 || index >= layers.length) return;
    this.set({ layer: layers[index].name });
    this.settle();
  }

  headerHeight() {
    return this.host.headerHeight();
  }

  get offline() {
    return this.host.offline;
  }

  destroy() {
    clearTimeout(this.reportTimer);
    clearTimeout(this.speakTimer);
    cancelAnimationFrame(this.frame);
    this.observer.disconnect();
    this.payload.release();
    this.root.replaceChildren();
    delete this.root.normgradViewer;
  }

  #message() {
    return { rev: this.revision, ...this.view };
  }

  #report() {
    const message = this.#message();
    const text = JSON.stringify(message);
    if (text === this.reported) return;
    this.reported = text;
    this.sent += 1;
    this.host.report(message);
  }

  #toolbar() {
    const choose = (/** @type {Partial<View>} */ change) => {
      this.set(change);
      this.settle();
    };
    return new Toolbar({
      opacity: (/** @type {number} */ opacity) => this.set({ opacity }),
      settle: () => this.settle(),
      colormap: (/** @type {string} */ colormap) => choose({ colormap }),
      fade: (/** @type {boolean} */ fade) => choose({ fade }),
      scale: (/** @type {"panel" | "shared"} */ scale) => choose({ scale }),
      zoom: (/** @type {number} */ factor) => this.mode.zoomActions?.zoom(factor),
      reset: () => this.mode.zoomActions?.reset(),
      toBox: () => this.mode.zoomActions?.toBox(),
      peek: (/** @type {boolean} */ on) => this.root.classList.toggle("peeking", on),
    });
  }

  /** @param {string} name */
  #setMode(name) {
    this.modeName = name;
    this.mode = new MODES[name](this);
    this.root.dataset.mode = name;
    this.toolbar.setMode(this.mode);
    this.body.replaceChildren(this.mode.element);
  }

  #draw() {
    const begun = performance.now();
    const frame = this.#frame();
    const { payload, view } = frame;
    this.root.style.setProperty("--map-opacity", String(view.opacity));
    this.root.classList.toggle("faded", view.fade);
    this.toolbar.set(view, this.mode.sharingObstacle?.(frame) ?? null);
    this.mode.draw(frame);
    this.keyNote.draw(this.mode.keys(frame), payload);
    this.#endTiming(begun);
  }

  /** @returns {import("./modes/mode.js").Frame} */
  #frame() {
    const { payload, view, updates } = this;
    const colors = this.chooseColors({ colormaps: payload.colormaps, name: view.colormap, faded: view.fade });
    return { payload, view, updates, colors };
  }

  /** @param {number} begun */
  #endTiming(begun) {
    const now = performance.now();
    const { latency, draw } = this.timings;
    draw.push(now - begun);
    if (draw.length > MAX_TIMINGS) draw.shift();
    if (this.firstEvent === null) return;
    latency.push(now - this.firstEvent);
    if (latency.length > MAX_TIMINGS) latency.shift();
    this.firstEvent = null;
  }
}
