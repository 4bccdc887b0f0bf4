/** Two panels side by side: what Compare and Mix have in common. */

import { scaleOf } from "./colors.js";
import { number, percent } from "./format.js";
import { element, setText } from "./dom.js";
import { SIDES } from "./view.js";
import { Stage, Zoom } from "./stage.js";
import { Panel } from "./panel.js";
import { listen } from "./pointer.js";
import { ThumbnailPainter } from "./thumbnail.js";
import { Compare } from "./compare.js";
import { Mix } from "./mix.js";

/** Highest stage as a share of the window, so that the controls below stay in sight. */
const STAGE_HEIGHT = { compare: 0.5, mix: 0.4 };
const FLATTEST_STAGE = 1.7;
const READOUT_HINT = "Point at a map to read both values.";

/** The body of the viewer in the modes "compare" and "mix". `viewer` gives payload, view, set(), settle(), … */
export class Pair {
  constructor(viewer, name) {
    this.viewer = viewer;
    this.name = name;
    this.zoom = new Zoom();
    this.cursor = null;
    this.keys = { left: null, right: null };
    this.painter = new ThumbnailPainter();
    this.mode = name === "mix" ? new Mix(viewer) : new Compare(viewer);
    this.#build();
  }

  /** The toolbar's zoom acts on both panels. */
  get zoomActions() {
    return {
      zoom: (factor) => this.#moveZoom(() => this.zoom.by(factor, this.#zoomCentre()), true),
      rest: () => this.#moveZoom(() => this.zoom.rest(), true),
      toBox: () => this.#moveZoom(() => this.zoom.toBox(), true),
    };
  }

  /** Takes over a payload of which parts are new. */
  take(changed) {
    this.#setStage(changed.photo);
    if (changed.photo) this.photoReady = false;
    if (changed.photo || changed.maps) {
      this.keys = { left: null, right: null };
      this.thumbnailKey = null;
    }
    for (const panel of this.panels) panel.setMethods(this.viewer.payload.methods);
  }

  resize() {
    this.#setStage(false);
  }

  /** Draws what the view asks for; unchanged parts cost nothing. */
  draw(table, diverging) {
    const { viewer, mode } = this;
    const { payload, view } = viewer;
    this.#drawMaps(table, diverging);
    mode.refresh();
    const { label, probability } = payload.meta;
    SIDES.forEach((side, i) => {
      const method = payload.method(view[side]);
      const caption = method.maps ? mode.caption(side) : method.unavailable ? "not available" : "no map yet";
      this.panels[i].setMethod(method);
      this.panels[i].describe(`${method.title} · ${caption} · ${label} ${percent(probability)}`, mode.signed(side));
    });
    this.#drawThumbnails(table, diverging);
    this.#read();
  }

  /** What a screen reader is told once things have come to rest. */
  spoken() {
    return this.panels.map((panel) => panel.canvas.getAttribute("aria-label")).join(". ");
  }

  #build() {
    const { viewer } = this;
    this.panels = SIDES.map((side) => new Panel(side, (method) => this.#chooseMethod(side, method), () => viewer.payload.methods));
    this.panels[0].photo.addEventListener("load", () => {
      this.photoReady = true;
      this.thumbnailKey = null;
      viewer.schedule();
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
    for (const panel of this.panels) listen(panel.stage, this.#stageActions());
    this.element = element(
      "div",
      { class: "pair" },
      element("div", { class: "panels" }, ...this.panels.map((panel) => panel.element)),
      this.readout.element,
      this.mode.element,
    );
  }

  /** A method whose maps are not here is asked for at once. */
  #chooseMethod(side, method) {
    this.viewer.set({ [side]: method });
    this.viewer.settle(this.viewer.payload.method(method).maps === null);
  }

  #stageActions() {
    const pair = this;
    return {
      get pannable() {
        return pair.zoom.pannable;
      },
      get zoomed() {
        return pair.zoom.zoomed;
      },
      zoom: (factor, at) => this.#moveZoom(() => this.zoom.by(factor, at ?? this.#zoomCentre()), at === undefined),
      pan: (difference) => this.#moveZoom(() => this.zoom.pan(difference), false),
      rest: () => this.#moveZoom(() => this.zoom.rest(), true),
      point: (at) => this.#point(this.#boxPoint(this.zoom.sceneAt(at))),
      step: (difference) => this.#step(difference),
      leave: () => this.#point(null),
    };
  }

  /** Lays the photo on the stages, if it, its box or the room for them is new. */
  #setStage(newPhoto) {
    const { meta, photoUrl } = this.viewer.payload;
    const room = this.panels[0].stage.clientWidth / (STAGE_HEIGHT[this.name] * window.innerHeight);
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
    const { root } = this.viewer;
    root.classList.toggle("animated", animated);
    root.classList.toggle("zoomed", this.zoom.zoomed);
    root.classList.toggle("pannable", this.zoom.pannable);
    root.style.setProperty("--zoom", String(this.zoom.scale));
    root.style.setProperty("--shift-x", `${100 * this.zoom.shift[0]}%`);
    root.style.setProperty("--shift-y", `${100 * this.zoom.shift[1]}%`);
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
    this.viewer.speak(() => this.readout.element.innerText);
  }

  /** Moves the cursor of both panels to a point of the box, or removes it. */
  #point(box) {
    this.cursor = box;
    this.#read();
  }

  #read() {
    const { position, values, element: line } = this.readout;
    const { payload, view } = this.viewer;
    const box = this.cursor;
    const scene = box && this.#scenePoint(box);
    line.classList.toggle("reading", box !== null);
    this.panels.forEach((panel, i) => {
      const value = box && panel.valueAt(box);
      panel.point(scene, value);
      if (!box) return;
      setText(values[i].name, payload.method(view[SIDES[i]]).title);
      setText(values[i].value, value === null ? "no value" : number(value));
      values[i].chip.style.background = value === null ? "transparent" : panel.colorOf(value);
    });
    setText(position, box ? payload.positionText(box) : READOUT_HINT);
  }

  #drawMaps(table, diverging) {
    const { viewer, mode } = this;
    const { payload, view } = viewer;
    let fresh = false;
    SIDES.forEach((side, i) => {
      const absence = viewer.absence(view[side]);
      const key = absence ? `${absence.kind} ${absence.text}` : `${payload.meta.keys.maps} ${mode.key(side)}`;
      if (key === this.keys[side]) return;
      this.keys[side] = key;
      const panel = this.panels[i];
      const reason = absence ? null : mode.compute(side, panel.values);
      panel.measure(absence ?? (reason && { kind: "empty", text: reason }));
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
    const { viewer, mode } = this;
    const { payload, view } = viewer;
    const states = SIDES.map((side) => viewer.absence(view[side])?.kind ?? "map");
    const key = [payload.meta.keys.maps, view.left, view.right, ...states, view.colormap, this.photoReady].join();
    if (key === this.thumbnailKey) return;
    this.thumbnailKey = key;
    const photo = this.photoReady ? this.panels[0].photo : null;
    mode.drawThumbnails((canvas, layer, side) => {
      canvas.dataset.state = states[SIDES.indexOf(side)];
      this.painter.draw(canvas, photo, payload.meta.box, payload.map(view[side], layer), table, diverging);
    });
  }
}
