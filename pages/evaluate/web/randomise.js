/**
 * The maps of two methods beside those of the network whose weights were drawn anew from the output down to a stage.
 *
 * @typedef {{offset: number, height: number, width: number}} Place of a map in the array of all values
 *
 * @typedef {object} Method
 * @property {string} title
 * @property {string} caption
 * @property {boolean} signed
 * @property {string} bright
 * @property {string} dark
 * @property {(Place | null)[]} maps of the trained network, then after each stage; null where there is none
 * @property {(number | null)[]} correlations after each stage
 * @property {(number | null)[]} similarities after each stage
 *
 * @typedef {object} Meta
 * @property {string} key
 * @property {string} signature another one whenever photo or maps are others
 * @property {{name: string, width: number, height: number}} photo
 * @property {[number, number, number, number]} box
 * @property {string[]} stages from the output down
 * @property {boolean} complete whether these are all stages
 * @property {Method[]} methods
 * @property {{name: string, kind: string}[]} colormaps
 * @property {string} colormap
 * @property {boolean} fade
 * @property {number} opacity
 */

import { element, rangeInput, setRange, setText } from "../../../saliency_core/viewer/web/controls/dom.js";
import { chooseColors } from "../../../saliency_core/viewer/web/core/colors.js";
import { rho } from "../../../saliency_core/viewer/web/core/format.js";
import { resize, SIZE } from "../../../saliency_core/viewer/web/core/maths.js";
import { unpackColormaps } from "../../../saliency_core/viewer/web/core/payload.js";
import { Panel } from "../../../saliency_core/viewer/web/panels/panel.js";
import { Stage } from "../../../saliency_core/viewer/web/panels/stage.js";

const TRAINED = "trained network";
const ALL = "all weights drawn anew";
const UNDEFINED = "undefined";

class Randomise {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    this.signature = "";
    this.stage = 0;
    this.frame = 0;
    this.photoUrl = "";
    this.slider = rangeInput({ min: 0, max: 1, step: 1, "aria-label": "Weights drawn anew, from the output down", "data-testid": "randomise-stage" });
    this.slider.addEventListener("input", () => {
      this.stage = Number(this.slider.value);
      this.frame ||= requestAnimationFrame(() => {
        this.frame = 0;
        this.#draw();
      });
    });
    this.words = element("output", { class: "words", "data-testid": "randomise-words" });
    this.ends = element("div", { class: "ends", "aria-hidden": "true" }, element("span", { text: "trained" }), element("span", { text: ALL }));
    this.rows = element("div", { class: "methods" });
    root.append(element("div", { class: "controls" }, element("div", { class: "walk" }, this.slider, this.ends), this.words), this.rows);
  }

  /**
   * @param {Meta} meta
   * @param {Float32Array} values
   * @param {Uint8Array} luts
   * @param {Uint8Array} photo
   */
  take(meta, values, luts, photo) {
    // At the last stage, until another one is chosen: also while stages are still being computed.
    const last = this.meta === undefined || this.stage === this.meta.stages.length;
    this.signature = meta.signature;
    this.meta = meta;
    this.values = values;
    this.colors = chooseColors({ colormaps: unpackColormaps(meta.colormaps, luts), name: meta.colormap, faded: meta.fade });
    this.release();
    this.photoUrl = URL.createObjectURL(new Blob([/** @type {any} */ (photo)], { type: "image/jpeg" }));
    this.root.parentElement?.style.setProperty("--map-opacity", String(meta.opacity));
    this.root.parentElement?.classList.toggle("faded", meta.fade);
    this.slider.max = String(meta.stages.length);
    this.stage = last ? meta.stages.length : Math.min(this.stage, meta.stages.length);
    const stage = new Stage(meta.photo, meta.box, 1);
    this.panels = meta.methods.map((method, i) =>
      ["trained", "randomised"].map((state, column) => {
        const remark = element("p", { class: "figures", "data-testid": `${state}-${i}` });
        const title = column === 0 ? element("h2", { text: method.title }) : remark;
        const panel = new Panel(`${state}-${i}`, { element: element("header", {}, title), sheet: null });
        panel.stage.removeAttribute("tabindex");
        panel.setStage(stage, this.photoUrl, meta.photo.name);
        return { panel, remark };
      }),
    );
    this.rows.replaceChildren(...this.panels.map((pair) => element("div", { class: "panels" }, ...pair.map(({ panel }) => panel.element))));
    this.panels.forEach(([{ panel }], i) => this.#drawMap(panel, meta.methods[i], 0, TRAINED));
    this.#draw();
  }

  #draw() {
    const { meta, panels, stage } = this;
    if (meta === undefined || panels === undefined) return;
    const count = meta.stages.length;
    const what = stage === 0 ? TRAINED : stage === count && meta.complete ? ALL : `drawn anew down to ${meta.stages[stage - 1]}`;
    setRange(this.slider, stage);
    setText(this.words, meta.complete ? `${stage} of ${count} stages: ${what}` : `stage ${stage}: ${what} …`);
    this.slider.setAttribute("aria-valuetext", this.words.textContent ?? "");
    panels.forEach(([, { panel, remark }], i) => {
      const method = meta.methods[i];
      const figure = (/** @type {(number | null)[]} */ values) => {
        const value = stage === 0 ? 1 : values[stage - 1];
        return value === null || value === undefined ? UNDEFINED : rho(value);
      };
      setText(remark, `ρ ${figure(method.correlations)} · SSIM ${figure(method.similarities)}`);
      this.#drawMap(panel, method, stage, stage === 0 ? TRAINED : "drawn anew");
    });
  }

  /**
   * @param {Panel} panel
   * @param {Method} method
   * @param {number} stage
   * @param {string} state of the network
   */
  #drawMap(panel, method, stage, state) {
    const place = method.maps[stage];
    const { table, diverging } = /** @type {NonNullable<typeof this.colors>} */ (this.colors)(method.signed);
    if (place) {
      const { offset, height, width } = place;
      const values = /** @type {Float32Array} */ (this.values).subarray(offset, offset + height * width);
      resize(values, height, width, SIZE, panel.values);
    }
    panel.measure(place ? null : { kind: "empty", text: "There is no map here." }, diverging);
    panel.draw(panel.ownScale, table);
    panel.describe(`${method.caption} · ${state}`, [method.signed ? method.dark : "", method.bright]);
    panel.stage.setAttribute("aria-label", `${method.title}, ${state}`);
  }

  release() {
    if (this.photoUrl) URL.revokeObjectURL(this.photoUrl);
    this.photoUrl = "";
  }

  destroy() {
    cancelAnimationFrame(this.frame);
    this.release();
    this.root.replaceChildren();
  }
}

/** @param {{data: any, parentElement: any}} component */
export default function mount({ data, parentElement }) {
  parentElement.randomise ??= new Randomise(parentElement.querySelector(".randomise"));
  const { meta } = data;
  if (parentElement.randomise.signature !== meta.signature) {
    const column = (/** @type {string} */ name) => data[name].getChildAt(0);
    parentElement.randomise.take(meta, column("maps").toArray(), column("luts").toArray(), column("photo").get(0));
  }
  return () => {
    parentElement.randomise.destroy();
    delete parentElement.randomise;
  };
}
