/** Panels that show one place of one photo: a shared zoom, a shared cursor, and one line that reads all values. */

import { number } from "./format.js";
import { element, setText } from "./dom.js";
import { Stage, Zoom } from "./stage.js";
import { listen } from "./pointer.js";

const FLATTEST_STAGE = 1.7;

/**
 * `viewer` gives root, payload and speak(). `height` is the highest stage as a share of the window, so that the
 * controls below stay in sight; `hint` invites to point; `names()` gives what the values read are called.
 */
export class LinkedPanels {
  constructor(viewer, panels, { height, hint, names }) {
    this.viewer = viewer;
    this.panels = panels;
    this.height = height;
    this.hint = hint;
    this.names = names;
    this.zoom = new Zoom();
    this.cursor = null;
    this.#build();
  }

  /** The toolbar's zoom acts on all panels. */
  get zoomActions() {
    return {
      zoom: (factor) => this.#moveZoom(() => this.zoom.by(factor, this.#zoomCentre()), true),
      rest: () => this.#moveZoom(() => this.zoom.rest(), true),
      toBox: () => this.#moveZoom(() => this.zoom.toBox(), true),
    };
  }

  /** Lays the photo on the stages, if it, its box or the room for them is new. */
  setStage(newPhoto) {
    const { meta, photoUrl } = this.viewer.payload;
    const room = this.panels[0].stage.clientWidth / (this.height * window.innerHeight);
    const narrowest = Math.min(Math.max(Math.ceil(20 * room) / 20, 1), FLATTEST_STAGE);
    const geometry = JSON.stringify([meta.photo, meta.box, narrowest]);
    if (!newPhoto && geometry === this.geometry) return;
    this.geometry = geometry;
    this.stage = new Stage(meta.photo, meta.box, narrowest);
    for (const panel of this.panels) panel.setStage(this.stage, photoUrl, meta.photo.name);
    this.#moveZoom(() => this.zoom.rest(this.stage), false);
    this.#point(null);
  }

  /** Writes what lies under the cursor. */
  read() {
    const { position, values, element: line } = this.readout;
    const box = this.cursor;
    const scene = box && this.#scenePoint(box);
    line.classList.toggle("reading", box !== null);
    const names = box && this.names();
    this.panels.forEach((panel, i) => {
      const value = box && panel.valueAt(box);
      panel.point(scene, value);
      if (!box) return;
      setText(values[i].name, names[i]);
      setText(values[i].value, value === null ? "no value" : number(value));
      values[i].chip.style.background = value === null ? "transparent" : panel.colorOf(value);
    });
    setText(position, box ? this.viewer.payload.positionText(box) : this.hint);
  }

  #build() {
    this.readout = {
      position: element("span", { class: "readout-position", text: this.hint }),
      values: this.panels.map(() => ({ chip: element("i", {}), name: element("span", {}), value: element("b", {}) })),
    };
    this.readout.element = element(
      "div",
      { class: "readout", "data-testid": "readout" },
      this.readout.position,
      ...this.readout.values.map((entry) => element("span", { class: "readout-value" }, entry.chip, entry.name, entry.value)),
    );
    for (const panel of this.panels) listen(panel.stage, this.#stageActions());
  }

  #stageActions() {
    const { zoom } = this;
    return {
      get pannable() {
        return zoom.pannable;
      },
      get zoomed() {
        return zoom.zoomed;
      },
      zoom: (factor, at) => this.#moveZoom(() => zoom.by(factor, at ?? this.#zoomCentre()), at === undefined),
      pan: (difference) => this.#moveZoom(() => zoom.pan(difference), false),
      rest: () => this.#moveZoom(() => zoom.rest(), true),
      point: (at) => this.#point(this.#boxPoint(zoom.sceneAt(at))),
      step: (difference) => this.#step(difference),
      leave: () => this.#point(null),
    };
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

  /** Moves the cursor of all panels to a point of the box, or removes it. */
  #point(box) {
    this.cursor = box;
    this.read();
  }
}
