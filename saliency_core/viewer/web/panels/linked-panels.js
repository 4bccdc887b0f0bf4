/** Panels of one photo: a shared zoom, a shared cursor, and one line that reads all values. */

import { element, setText } from "../controls/dom.js";
import { number } from "../core/format.js";
import { whenChanged } from "../core/redraw.js";
import { listen } from "./pointer.js";
import { Stage, Zoom } from "./stage.js";

/** @import { ModeHost } from "../modes/mode.js" */
/** @import { Panel } from "./panel.js" */

/** Greatest width / height of a stage, and where the window is filled: there its height is given. */
const FLATTEST_STAGE = 1.7;
const FLATTEST_FILLING = 2.2;

/** @typedef {{photo: any, photoUrl: string, box: [number, number, number, number], aspect: number}} StageInputs */

/**
 * Marks a viewer that is to fill its window, as in lecture mode; returns how much must stay in sight beside the stages
 * then, in pixels, else null.
 *
 * @param {HTMLElement} root
 */
export function markFilling(root) {
  const beside = Number.parseFloat(getComputedStyle(root).getPropertyValue("--page-beside-stage"));
  root.classList.toggle("filling", !Number.isNaN(beside));
  return Number.isNaN(beside) ? null : beside;
}

export class LinkedPanels {
  /**
   * @param {ModeHost} viewer
   * @param {Panel[]} panels
   * @param {number} height the highest stage as a share of the window, so that the controls below stay in sight
   */
  constructor(viewer, panels, height) {
    this.viewer = viewer;
    this.panels = panels;
    this.height = height;
    const touch = matchMedia("(hover: none)").matches;
    this.hint = `${touch ? "Tap" : "Hover over"} a map to read ${panels.length === 1 ? "its" : panels.length === 2 ? "both" : "all"} values.`;
    /** @type {string[]} */
    this.names = panels.map(() => "");
    /** @type {number[] | null} */
    this.cursor = null;
    /**
     * The photo, null until it is loaded.
     *
     * @type {HTMLImageElement | null}
     */
    this.photo = null;
    const image = panels[0].photo;
    image.addEventListener("load", () => {
      this.photo = image;
      viewer.schedule();
    });
    this.stage = new Stage({ width: 1, height: 1 }, [0, 0, 1, 1], 1);
    this.zoom = new Zoom(this.stage);
    this.lay = whenChanged((/** @type {StageInputs} */ inputs) => this.#lay(inputs));
    this.readout = this.#buildReadout();
    for (const panel of panels) listen(panel.stage, this.#stageActions());
  }

  /** The toolbar's zoom acts on all panels. */
  get zoomActions() {
    return {
      zoom: (/** @type {number} */ factor) => this.#moveZoom(() => this.zoom.by(factor, this.#zoomCentre()), true),
      reset: () => this.#moveZoom(() => this.zoom.reset(), true),
      toBox: () => this.#moveZoom(() => this.zoom.toBox(), true),
    };
  }

  /** Places the photo on the stages if the photo, its input region or the available size is new. */
  setStage() {
    const { meta, photoUrl } = this.viewer.payload;
    const room = this.panels[0].stage.clientWidth / this.#highestStage();
    const flattest = this.viewer.root.classList.contains("filling") ? FLATTEST_FILLING : FLATTEST_STAGE;
    const aspect = Math.min(Math.max(Math.ceil(20 * room) / 20, 1), flattest);
    this.lay({ photo: meta.photo, photoUrl, box: meta.box, aspect });
  }

  /**
   * Writes the values under the cursor.
   *
   * @param {string[]} names what the values read are called
   */
  read(names = this.names) {
    this.names = names;
    const { position, values, element: line } = this.readout;
    const at = this.cursor;
    const scene = at && this.#scenePoint(at);
    line.classList.toggle("reading", at !== null);
    this.panels.forEach((panel, i) => {
      const value = at && panel.valueAt(at);
      panel.point(scene, value);
      if (!at) return;
      setText(values[i].name, names[i]);
      setText(values[i].value, value === null ? "no value" : number(value));
      values[i].chip.style.background = value === null ? "transparent" : panel.colorOf(value);
    });
    setText(position, at ? this.viewer.payload.content.positionText(at) : this.hint);
  }

  /** In pixels: what the window leaves if the page around says how much must stay in sight beside the stages. */
  #highestStage() {
    const beside = markFilling(this.viewer.root);
    return beside === null ? this.height * window.innerHeight : Math.max(window.innerHeight - beside, 1);
  }

  /** @param {StageInputs} inputs */
  #lay({ photo, photoUrl, box, aspect }) {
    this.stage = new Stage(photo, box, aspect);
    this.zoom.stage = this.stage;
    if (this.panels[0].photo.src !== photoUrl) this.photo = null;
    for (const panel of this.panels) panel.setStage(this.stage, photoUrl, photo.name);
    this.#moveZoom(() => this.zoom.reset(), false);
    this.cursor = null;
    this.read();
    this.viewer.schedule(); // for what a mode draws on the stage, such as boxes
  }

  #buildReadout() {
    const position = element("span", { class: "readout-position", text: this.hint });
    const values = this.panels.map(() => ({ chip: element("i", {}), name: element("span", {}), value: element("b", {}) }));
    const parts = values.map(({ chip, name, value }) => element("span", { class: "readout-value" }, chip, name, value));
    return { position, values, element: element("div", { class: "readout", "data-testid": "readout" }, position, ...parts) };
  }

  /** @returns {import("./pointer.js").PointerActions} */
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
      reset: () => this.#moveZoom(() => zoom.reset(), true),
      point: (at) => this.#point(this.#boxPoint(zoom.sceneAt(at))),
      step: (difference) => this.#step(difference),
      leave: () => this.#point(null),
    };
  }

  /**
   * @param {() => void} move
   * @param {boolean} animated
   */
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

  /** @param {number[]} scene */
  #boxPoint(scene) {
    const [left, top, right, bottom] = this.stage.box;
    return [(scene[0] - left) / (right - left), (scene[1] - top) / (bottom - top)];
  }

  /** @param {number[]} box */
  #scenePoint(box) {
    const [left, top, right, bottom] = this.stage.box;
    return [left + box[0] * (right - left), top + box[1] * (bottom - top)];
  }

  /** @param {number[]} difference */
  #step(difference) {
    const from = this.cursor ?? [0.5, 0.5];
    const to = this.cursor ? from.map((value, axis) => Math.min(Math.max(value + difference[axis], 0), 1 - 1e-6)) : from;
    this.#point(to);
    this.viewer.speak(() => this.readout.element.innerText);
  }

  /**
   * Moves the cursor of all panels to a point of the input region, or removes it.
   *
   * @param {number[] | null} box
   */
  #point(box) {
    this.cursor = box;
    this.read();
  }
}
