/** Two panels side by side: what Compare and Mix have in common. */

import { scaleOf } from "./colors.js";
import { percent } from "./format.js";
import { element } from "./dom.js";
import { SIDES } from "./view.js";
import { LinkedPanels } from "./linked.js";
import { MethodHead } from "./methods.js";
import { Panel } from "./panel.js";
import { ThumbnailPainter } from "./thumbnail.js";
import { Compare } from "./compare.js";
import { Mix } from "./mix.js";

/** Highest stage as a share of the window, so that the controls below stay in sight. */
const STAGE_HEIGHT = { compare: 0.5, mix: 0.4 };
const READOUT_HINT = "Point at a map to read both values.";

/** The body of the viewer in the modes "compare" and "mix". `viewer` gives payload, view, set(), settle(), … */
export class Pair {
  constructor(viewer, name) {
    this.viewer = viewer;
    this.name = name;
    this.keys = { left: null, right: null };
    this.painter = new ThumbnailPainter();
    this.mode = name === "mix" ? new Mix(viewer) : new Compare(viewer);
    this.#build();
  }

  /** The toolbar's zoom acts on both panels. */
  get zoomActions() {
    return this.linked.zoomActions;
  }

  /** Takes over a payload of which parts are new. */
  take(changed) {
    this.linked.setStage(changed.photo);
    if (changed.photo) this.photoReady = false;
    if (changed.photo || changed.maps) {
      this.keys = { left: null, right: null };
      this.thumbnailKey = null;
    }
    for (const head of this.heads) head.setMethods(this.viewer.payload.methods);
  }

  resize() {
    this.linked.setStage(false);
  }

  /** Draws what the view asks for; unchanged parts cost nothing. */
  draw(table, diverging) {
    const { viewer, mode } = this;
    const { payload, view } = viewer;
    this.#drawMaps(table, diverging);
    mode.refresh();
    const { label, probability, state } = payload.meta;
    SIDES.forEach((side, i) => {
      const method = payload.method(view[side]);
      const caption = method.maps ? mode.caption(side) : method.unavailable ? "not available" : "no map yet";
      this.heads[i].setMethod(method);
      const words = [method.title, caption, `${label} ${percent(probability)}`, state];
      this.panels[i].describe(words.filter(Boolean).join(" · "), mode.signed(side));
    });
    this.#drawThumbnails(table, diverging);
    this.linked.read();
  }

  /** What a screen reader is told once things have come to rest. */
  spoken() {
    return this.panels.map((panel) => panel.canvas.getAttribute("aria-label")).join(". ");
  }

  #build() {
    const { viewer } = this;
    this.heads = SIDES.map(
      (side) => new MethodHead(side, `Method on the ${side}`, (method) => this.#chooseMethod(side, method), () => viewer.payload.methods),
    );
    this.panels = SIDES.map((side, i) => new Panel(side, this.heads[i]));
    this.linked = new LinkedPanels(viewer, this.panels, {
      height: STAGE_HEIGHT[this.name],
      hint: READOUT_HINT,
      names: () => SIDES.map((side) => viewer.payload.method(viewer.view[side]).title),
    });
    this.panels[0].photo.addEventListener("load", () => {
      this.photoReady = true;
      this.thumbnailKey = null;
      viewer.schedule();
    });
    this.element = element(
      "div",
      { class: "pair" },
      element("div", { class: "panels" }, ...this.panels.map((panel) => panel.element)),
      this.linked.readout.element,
      this.mode.element,
    );
  }

  /** A method whose maps are not here is asked for at once. */
  #chooseMethod(side, method) {
    this.viewer.set({ [side]: method });
    this.viewer.settle(this.viewer.payload.method(method).maps === null);
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
