/** The viewer: joins panels, controls and Streamlit. The default export is called on every rerun. */

import { scaleOf } from "./colors.js";
import { number, percent } from "./format.js";
import { element, setText } from "./dom.js";
import { Payload } from "./payload.js";
import { completeView, SIDES } from "./view.js";
import { Stage, Zoom } from "./stage.js";
import { Panel } from "./panel.js";
import { listen } from "./pointer.js";
import { ThumbnailPainter } from "./thumbnail.js";
import { Toolbar } from "./toolbar.js";
import { Compare } from "./compare.js";
import { Mix } from "./mix.js";

const REPORT_MILLISECONDS = 200;
const SPEAK_MILLISECONDS = 600;
const KEPT_TIMINGS = 500;
/** Highest stage as a share of the window, so that the controls below stay in sight. */
const STAGE_HEIGHT = { compare: 0.5, mix: 0.4 };
const FLATTEST_STAGE = 1.7;
const READOUT_HINT = "Point at a map to read both values.";

/** One viewer on one root element, from mount to unmount. */
class Viewer {
  constructor(root) {
    this.root = root;
    this.payload = new Payload();
    this.view = null;
    this.revision = null;
    this.report = null;
    this.reported = "";
    this.mode = null;
    this.zoom = new Zoom();
    this.cursor = null;
    this.keys = { left: null, right: null };
    this.tableName = null;
    this.thumbnailKey = null;
    this.frame = 0;
    this.firstEvent = null;
    this.timings = { latency: [], draw: [] };
    this.sent = 0;
    this.painter = new ThumbnailPainter();
    this.#build();
    this.observer = new ResizeObserver(() => this.payload.meta && this.#setStage(false));
    this.observer.observe(root);
    // For measurements and tests: the current view, and how long frames took.
    root.normgradViewer = {
      view: () => structuredClone(this.view),
      stats: () => ({ ...structuredClone(this.timings), decoded: { ...this.payload.decoded }, sent: this.sent }),
    };
  }

  /** Takes what a rerun brought; `report(view)` sends a view to Python. */
  update(data, report) {
    this.report = report;
    const changed = this.payload.take(data);
    const { meta } = this.payload;
    if (this.view === null || changed.revision) {
      clearTimeout(this.reportTimer);
      this.revision = meta.revision;
      this.view = completeView(meta.view, meta);
      this.reported = JSON.stringify(this.#message());
    } else if (changed.maps) {
      this.view = completeView(this.view, meta);
    }
    if (this.mode?.name !== meta.mode) this.#setMode(meta.mode);
    this.#setStage(changed.photo);
    if (changed.photo) this.photoReady = false;
    if (changed.photo || changed.maps) {
      this.keys = { left: null, right: null };
      this.thumbnailKey = null;
    }
    for (const panel of this.panels) panel.setMethods(meta.methods);
    this.toolbar.setColormaps(meta.colormaps);
    this.root.setAttribute("role", "group");
    this.root.setAttribute("aria-label", `${meta.photo.name} explained by ${meta.model}: ${meta.label}`);
    this.#draw();
  }

  /** Changes the view; drawn in the next frame, told to Python by settle(). */
  set(change) {
    this.view = completeView({ ...this.view, ...change }, this.payload.meta);
    this.#schedule();
  }

  /** A change is final (a release, a click): report the view unless another change follows at once. */
  settle() {
    clearTimeout(this.reportTimer);
    this.reportTimer = setTimeout(() => {
      const message = this.#message();
      const text = JSON.stringify(message);
      if (text === this.reported) return;
      this.reported = text;
      this.sent += 1;
      this.report(message);
    }, REPORT_MILLISECONDS);
    this.#speak(() => this.panels.map((panel) => panel.canvas.getAttribute("aria-label")).join(". "));
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

  #build() {
    this.toolbar = new Toolbar({
      opacity: (opacity) => this.set({ opacity }),
      settle: () => this.settle(),
      colormap: (colormap) => this.#choose({ colormap }),
      scale: (scale) => this.#choose({ scale }),
      zoom: (factor) => this.#moveZoom(() => this.zoom.by(factor, this.#zoomCentre()), true),
      rest: () => this.#moveZoom(() => this.zoom.rest(), true),
      toBox: () => this.#moveZoom(() => this.zoom.toBox(), true),
      peek: (on) => this.root.classList.toggle("peeking", on),
    });
    this.panels = SIDES.map((side) => new Panel(side, (method) => this.#choose({ [side]: method })));
    this.panels[0].photo.addEventListener("load", () => {
      this.photoReady = true;
      this.thumbnailKey = null;
      this.#schedule();
    });
    this.readout = {
      position: element("span", { class: "readout-position", text: READOUT_HINT }),
      values: SIDES.map(() => ({ chip: element("i", {}), name: element("span", {}), value: element("b", {}) })),
    };
    this.readout.element = element(
      "div",
      { class: "readout", "data-testid": "readout" },
      this.readout.position,
      ...this.readout.values.map((entry) => element("span", { class: "readout-value" }, entry.chip, entry.name, entry.value)),
    );
    this.speech = element("p", { class: "spoken", role: "status", "aria-live": "polite" });
    this.below = element("div", { class: "below" });
    for (const panel of this.panels) listen(panel.stage, this.#stageActions());
    this.root.replaceChildren(
      this.toolbar.element,
      element("div", { class: "panels" }, ...this.panels.map((panel) => panel.element)),
      this.readout.element,
      this.below,
      this.speech,
    );
    this.root.addEventListener("input", () => this.#startTiming(), { capture: true });
  }

  #stageActions() {
    const viewer = this;
    return {
      get pannable() {
        return viewer.zoom.pannable;
      },
      get zoomed() {
        return viewer.zoom.zoomed;
      },
      zoom: (factor, at) => this.#moveZoom(() => this.zoom.by(factor, at ?? this.#zoomCentre()), at === undefined),
      pan: (difference) => this.#moveZoom(() => this.zoom.pan(difference), false),
      rest: () => this.#moveZoom(() => this.zoom.rest(), true),
      point: (at) => this.#point(this.#boxPoint(this.zoom.sceneAt(at))),
      step: (difference) => this.#step(difference),
      leave: () => this.#point(null),
    };
  }

  #choose(change) {
    this.set(change);
    this.settle();
  }

  #setMode(name) {
    this.mode = name === "mix" ? new Mix(this) : new Compare(this);
    this.mode.name = name;
    this.root.dataset.mode = name;
    this.below.replaceChildren(this.mode.element);
    this.thumbnailKey = null;
  }

  /** Lays the photo on the stages, if it, its box or the room for them is new. */
  #setStage(newPhoto) {
    const { meta, photoUrl } = this.payload;
    const room = this.panels[0].stage.clientWidth / (STAGE_HEIGHT[meta.mode] * window.innerHeight);
    const narrowest = Math.min(Math.max(Math.ceil(20 * room) / 20, 1), FLATTEST_STAGE);
    const geometry = JSON.stringify([meta.photo, meta.box, narrowest]);
    if (!newPhoto && geometry === this.geometry) return;
    this.geometry = geometry;
    this.stage = new Stage(meta.photo, meta.box, narrowest);
    for (const panel of this.panels) panel.setStage(this.stage, photoUrl, meta.photo.name);
    this.#moveZoom(() => this.zoom.rest(this.stage), false);
    this.#point(null);
  }

  #moveZoom(move, animated) {
    move();
    const { style } = this.root;
    this.root.classList.toggle("animated", animated);
    this.root.classList.toggle("zoomed", this.zoom.zoomed);
    this.root.classList.toggle("pannable", this.zoom.pannable);
    style.setProperty("--zoom", String(this.zoom.scale));
    style.setProperty("--shift-x", `${100 * this.zoom.shift[0]}%`);
    style.setProperty("--shift-y", `${100 * this.zoom.shift[1]}%`);
  }

  /** Where buttons and keys zoom: at the cursor if there is one. */
  #zoomCentre() {
    if (!this.cursor) return [0.5, 0.5];
    const scene = this.#scenePoint(this.cursor);
    return scene.map((value, axis) => this.zoom.shift[axis] + this.zoom.scale * value);
  }

  #boxPoint(scene) {
    const [left, top, right, bottom] = this.stage.box;
    return [(scene[0] - left) / (right - left), (scene[1] - top) / (bottom - top)];
  }

  #scenePoint(box) {
    const [left, top, right, bottom] = this.stage.box;
    return [left + box[0] * (right - left), top + box[1] * (bottom - top)];
  }

  #step(difference) {
    const from = this.cursor ?? [0.5, 0.5];
    const to = this.cursor ? from.map((value, axis) => Math.min(Math.max(value + difference[axis], 0), 1 - 1e-6)) : from;
    this.#point(to);
    this.#speak(() => this.readout.element.innerText);
  }

  /** Moves the cursor of both panels to a point of the box, or removes it. */
  #point(box) {
    this.cursor = box;
    this.#read();
  }

  #read() {
    const { position, values, element: line } = this.readout;
    const { meta } = this.payload;
    const box = this.cursor;
    const scene = box && this.#scenePoint(box);
    line.classList.toggle("reading", box !== null);
    this.panels.forEach((panel, i) => {
      const value = box && panel.valueAt(box);
      panel.point(scene, value);
      if (!box) return;
      setText(values[i].name, this.payload.method(this.view[SIDES[i]]).title);
      setText(values[i].value, value === null ? "no value" : number(value));
      values[i].chip.style.background = value === null ? "transparent" : panel.colorOf(value);
    });
    if (!box) {
      setText(position, READOUT_HINT);
      return;
    }
    const [left, top, right, bottom] = meta.box;
    const x = ((left + box[0] * (right - left)) * meta.photo.original[0]) / meta.photo.width;
    const y = ((top + box[1] * (bottom - top)) * meta.photo.original[1]) / meta.photo.height;
    setText(position, `x ${Math.floor(x)} · y ${Math.floor(y)} px`);
  }

  /** Says something to screen readers once things have come to rest. */
  #speak(text) {
    clearTimeout(this.speakTimer);
    this.speakTimer = setTimeout(() => setText(this.speech, text()), SPEAK_MILLISECONDS);
  }

  #startTiming() {
    this.firstEvent ??= performance.now();
  }

  #schedule() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.#draw();
    });
  }

  /** Draws what the view asks for; unchanged parts cost nothing. */
  #draw() {
    const begun = performance.now();
    const { payload, view, mode } = this;
    const colormap = payload.colormap(view.colormap);
    const table = payload.tables.get(view.colormap);
    const diverging = colormap.kind === "diverging";
    this.#drawMaps(table, diverging);
    this.root.style.setProperty("--map-opacity", String(view.opacity));
    this.toolbar.set(view);
    mode.refresh();
    SIDES.forEach((side, i) => {
      const method = payload.method(view[side]);
      const { label, probability } = payload.meta;
      this.panels[i].setMethod(method);
      this.panels[i].describe(`${method.title} · ${mode.caption(side)} · ${label} ${percent(probability)}`, mode.signed(side));
    });
    this.#drawThumbnails(table, diverging);
    this.#read();
    this.#endTiming(begun);
  }

  #drawMaps(table, diverging) {
    const { view, mode, payload } = this;
    let fresh = false;
    SIDES.forEach((side, i) => {
      const key = `${payload.meta.keys.maps} ${mode.key(side)}`;
      if (key === this.keys[side]) return;
      this.keys[side] = key;
      this.panels[i].measure(mode.compute(side, this.panels[i].values));
      fresh = true;
    });
    const look = `${view.colormap} ${view.scale}`;
    if (!fresh && look === this.look && payload.meta.keys.maps === this.drawnMaps) return;
    this.look = look;
    this.drawnMaps = payload.meta.keys.maps;
    const extents = this.panels.map((panel) => panel.extent).filter((extent) => extent !== null);
    const shared = view.scale === "shared" && extents.length > 0 ? scaleOf(extents, diverging) : null;
    for (const panel of this.panels) panel.draw(panel.extent && (shared ?? scaleOf([panel.extent], diverging)), table);
    if (this.tableName !== view.colormap) for (const panel of this.panels) panel.drawBar(table);
    this.tableName = view.colormap;
  }

  #drawThumbnails(table, diverging) {
    const { view, payload, mode } = this;
    const key = [payload.meta.keys.maps, view.left, view.right, view.colormap, this.photoReady].join();
    if (key === this.thumbnailKey) return;
    this.thumbnailKey = key;
    const photo = this.photoReady ? this.panels[0].photo : null;
    mode.drawThumbnails((canvas, layer, side) =>
      this.painter.draw(canvas, photo, payload.meta.box, payload.map(view[side], layer), table, diverging),
    );
  }

  #endTiming(begun) {
    const now = performance.now();
    const { latency, draw } = this.timings;
    draw.push(now - begun);
    if (draw.length > KEPT_TIMINGS) draw.shift();
    if (this.firstEvent === null) return;
    latency.push(now - this.firstEvent);
    if (latency.length > KEPT_TIMINGS) latency.shift();
    this.firstEvent = null;
  }
}

/** Streamlit's entry: mounts once per parent element, then only updates. Returns the clean-up for unmounting. */
export default function mount({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector("[data-testid=normgrad-viewer]");
  parentElement.normgrad ??= new Viewer(root);
  parentElement.normgrad.update(data, (view) => setStateValue("view", view));
  return () => {
    parentElement.normgrad?.destroy();
    delete parentElement.normgrad;
  };
}
