/** Classes: one method's maps for two classes at one layer, and their signed difference. */

import { element, setText } from "../../controls/dom.js";
import { MethodHead } from "../../controls/method-picker.js";
import { Segmented } from "../../controls/segmented.js";
import { scaleOf } from "../../core/colors.js";
import { layerSize, percent, rho, stepText } from "../../core/format.js";
import { extent, normalise, resize, SIZE } from "../../core/maths.js";
import { whenChanged } from "../../core/redraw.js";
import { LinkedPanels } from "../../panels/linked-panels.js";
import { Panel } from "../../panels/panel.js";
import { Strip } from "../../panels/strip.js";
import { ThumbnailPainter } from "../../panels/thumbnails.js";
import { figureAfterStep, mapAfterStep, sizesOf } from "./meta-steps.js";
import { StepSlider } from "./step-slider.js";

/** @import { Colors } from "../../core/colors.js" */
/** @import { Content, RawMap } from "../../core/payload.js" */
/** @import { View } from "../../core/view.js" */
/** @import { Figure, Frame, Mode, ModeHost, Note } from "../mode.js" */
/** @import { Sweep } from "./meta-steps.js" */

const CLASS_SIDES = ["first", "second"];
const CLASS_LETTERS = ["A", "B"];
const PANEL_NAMES = [...CLASS_SIDES, "difference"];
const STAGE_HEIGHT = 0.42;
const INVISIBLE = 1 / 510; // half a level of a colour table
const SHARES = { low: 0, high: 1 };
const SIGNED_SHARES = { low: -1, high: 1 };

/** @type {Note} */
const WAITING = { kind: "waiting", text: "Taking the meta steps." };

/** What the third panel shows: the two classes, or one of them before and after the meta step. */
const DIFFERENCE_OPTIONS = [
  { name: "classes", title: "A − B", hint: "The first class’s map minus the second’s" },
  { name: "first", title: "A: before − after", hint: "The first class’s map before the meta step minus the one after it" },
  { name: "second", title: "B: before − after", hint: "The second class’s map before the meta step minus the one after it" },
];

/** What a rank correlation means, from the highest down. */
const MEANINGS = /** @type {[number, string][]} */ ([
  [0.995, "the same map for both classes"],
  [0.9, "nearly the same map for both classes"],
  [0.7, "largely the same map for both classes"],
  [0.4, "the maps agree in part"],
  [0.1, "the maps have little in common"],
  [-0.1, "the maps have nothing in common"],
  [-0.5, "the maps disagree: where one is high the other tends to be low"],
  [-Infinity, "opposite maps: the method points to different locations for the two classes"],
]);

/** @implements {Mode} */
export class Classes {
  /** @param {ModeHost} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    this.fixedScale = true;
    this.head = new MethodHead("left", "Method", (method) => this.#choose(method));
    this.names = PANEL_NAMES.map(() => element("h3", { class: "class-name" }));
    this.difference = new Segmented("Difference", "subtraction", DIFFERENCE_OPTIONS, (difference) => {
      viewer.set({ difference });
      viewer.settle();
    });
    this.panels = PANEL_NAMES.map((name, i) => {
      const choice = name === "difference" ? this.difference.element : null;
      return new Panel(name, { element: element("header", {}, this.names[i], choice), sheet: null });
    });
    this.linked = new LinkedPanels(viewer, this.panels, { height: STAGE_HEIGHT, hint: "Hover over a map to read all values." });
    this.rho = element("b", { "data-testid": "rho" });
    this.meaning = element("span", { "data-testid": "rho-words" });
    this.verdict = element("p", { class: "verdict" }, this.rho, this.meaning);
    const note = [
      element("strong", { text: "ρ" }),
      " is Spearman’s rank correlation of both classes’ maps: near 1 the map is the same whatever class is asked for, " +
        "near 0 the class decides it.",
    ];
    this.strip = new Strip(viewer, { sides: CLASS_SIDES, label: "Depth: layer shown in all panels", figure: "ρ", note });
    this.steps = new StepSlider(viewer);
    const painter = new ThumbnailPainter();
    const before = new Float32Array(SIZE * SIZE);
    this.drawMaps = whenChanged((/** @type {MapInputs} */ inputs) => drawMaps(this.panels, before, inputs));
    this.drawThumbnails = whenChanged((/** @type {ThumbnailInputs} */ inputs) => drawThumbnails(this.strip, painter, inputs));
    this.element = element(
      "div",
      { class: "trio" },
      element("div", { class: "trio-head" }, this.head.element, this.head.sheet),
      element("div", { class: "panels" }, ...this.panels.map((panel) => panel.element)),
      element("div", { class: "verdict-line" }, this.verdict, this.linked.readout.element),
      this.steps.element,
      this.strip.element,
    );
  }

  get zoomActions() {
    return this.linked.zoomActions;
  }

  take() {
    this.linked.setStage();
    this.head.setMethods(this.viewer.payload.methods);
  }

  resize() {
    this.linked.setStage();
  }

  /** @param {Frame} frame */
  draw(frame) {
    const { payload, view, colors } = frame;
    const { content } = payload;
    const { epsilon, left: method } = view;
    const difference = shownDifference(content, view);
    const layer = content.layerIndex(view.layer);
    const note = this.viewer.absence(method) ?? (mapOf(content, method, 0, layer, epsilon) === null ? WAITING : null);
    const { signed } = payload.method(method);
    this.head.setMethod(payload.method(method));
    this.drawMaps({ content, method, layer, epsilon, difference, kind: note?.kind, text: note?.text, signed, colors });
    this.steps.set(content.comparison.sweep, epsilon);
    this.#describe(frame, difference);
    this.#drawFigures(frame, layer);
    this.drawThumbnails({ content, method, epsilon, photo: this.linked.photo, colors: colors(signed) });
    const title = DIFFERENCE_OPTIONS.find((option) => option.name === difference)?.title ?? "";
    this.linked.read([...CLASS_LETTERS, title]);
  }

  announcement() {
    return [...this.panels.map((panel) => panel.canvas.getAttribute("aria-label")), this.verdict.innerText].join(". ");
  }

  /**
   * A method whose maps are not here, or not after the steps, is asked for at once.
   *
   * @param {string} left
   */
  #choose(left) {
    const { payload } = this.viewer;
    this.viewer.set({ left });
    this.viewer.settle(payload.method(left).maps === null || payload.content.comparison.sweep !== null);
  }

  /**
   * Writes the texts around the maps.
   *
   * @param {Frame} frame
   * @param {string} difference
   */
  #describe({ payload, view }, difference) {
    const { content } = payload;
    const layer = content.layers[content.layerIndex(view.layer)];
    const classes = [content, content.comparison];
    const { sweep } = content.comparison;
    const { title, signed, dark, bright } = payload.method(view.left);
    const step = sweep && (view.epsilon > 0 ? `after a step of ε = ${stepText(view.epsilon)}` : "before the step");
    classes.forEach(({ label, probability }, i) => {
      this.names[i].replaceChildren(element("span", { class: "letter", text: CLASS_LETTERS[i] }), ` ${label}`);
      const words = [`${label} ${percent(probability)}`, title, `${layer.name} · ${layerSize(layer)}`, step];
      this.panels[i].describe(words.filter(Boolean).join(" · "), [dark, bright]);
    });
    this.names[2].hidden = sweep !== null;
    this.difference.element.hidden = sweep === null;
    this.difference.set(difference);
    this.names[2].replaceChildren(element("span", { class: "letter", text: "A − B" }), " difference");
    const which = CLASS_SIDES.indexOf(difference);
    const what = which < 0 ? classes.map(({ label }) => label).join(" − ") : `${classes[which].label}, before − after`;
    this.panels[2].describe(
      `${what} · both maps from ${signed ? "−1" : "0"} to 1`,
      which < 0 ? ["more for B", "more for A"] : ["more after", "more before"],
    );
  }

  /**
   * @param {Frame} frame
   * @param {number} layer
   */
  #drawFigures(frame, layer) {
    const { content } = frame.payload;
    const figures = content.layers.map((_, i) => figureAt(frame, i));
    const here = figures[layer];
    const value = here?.value ?? null;
    setText(this.rho, here === null ? "ρ …" : value === null ? "ρ undefined" : `ρ ${here.interpolated ? "≈" : "="} ${rho(value)}`);
    setText(this.meaning, here === null ? "" : value === null ? here.reason : meaningOf(value));
    this.verdict.dataset.state = here === null ? "waiting" : value === null ? "undefined" : "known";
    const written = (/** @type {Figure | null} */ figure) => ({
      text: figure === null ? "…" : figure.value === null ? "undefined" : rho(figure.value),
      share: Math.max(figure?.value ?? 0, 0),
    });
    this.strip.setLayers(content.layers, figures.map(written));
    this.strip.setMethods([content.label, content.comparison.label]);
    this.strip.setView(frame.payload, frame.view);
  }
}

/** @param {number} value */
function meaningOf(value) {
  return (MEANINGS.find(([from]) => value >= from) ?? MEANINGS[MEANINGS.length - 1])[1];
}

/**
 * What the third panel shows; without a meta step there is no before and after.
 *
 * @param {Content} content
 * @param {View} view
 */
function shownDifference(content, view) {
  return content.comparison.sweep === null ? "classes" : view.difference;
}

/**
 * A class's map at a layer after a step; null while it is not here.
 *
 * @param {Content} content
 * @param {string} method
 * @param {number} which
 * @param {number} layer
 * @param {number} epsilon
 * @returns {RawMap | null}
 */
function mapOf(content, method, which, layer, epsilon) {
  /** @type {Sweep | null} */
  const sweep = content.comparison.sweep;
  if (sweep) return sweep.method === method ? mapAfterStep(content, sweep, which, layer, epsilon) : null;
  const maps = which === 0 ? content.maps[method] : content.comparison.maps[method];
  return maps ? content.at(maps, layer) : null;
}

/**
 * ρ at a layer; null while it is not known.
 *
 * @param {Frame} frame
 * @param {number} layer
 * @returns {Figure | null}
 */
function figureAt({ payload, view, updates }, layer) {
  const { correlations } = updates;
  if (correlations?.maps !== payload.meta.keys.maps) return null;
  /** @type {Sweep | null} */
  const sweep = payload.content.comparison.sweep;
  if (sweep === null) return correlations?.methods[view.left]?.[layer] ?? null;
  const figures = correlations?.sweep;
  if (sweep.method !== view.left || !figures) return null;
  return figureAfterStep(sizesOf(sweep), figures.map((line) => line[layer]), view.epsilon);
}

/**
 * @typedef {object} MapInputs
 * @property {Content} content
 * @property {string} method
 * @property {number} layer
 * @property {number} epsilon
 * @property {string} difference
 * @property {Note["kind"] | undefined} kind
 * @property {string | undefined} text
 * @property {boolean} signed
 * @property {Frame["colors"]} colors
 */

/**
 * @param {Panel[]} panels
 * @param {Float32Array} before room for a map before the step
 * @param {MapInputs} inputs
 */
function drawMaps(panels, before, inputs) {
  const { content, method, layer, epsilon, difference, kind, text, signed, colors } = inputs;
  if (kind !== undefined) for (const panel of panels) panel.measure({ kind, text: text ?? "" });
  else {
    const maps = CLASS_SIDES.map((_, which) => /** @type {RawMap} */ (mapOf(content, method, which, layer, epsilon)));
    maps.forEach((map, which) => {
      fill(panels[which].values, map, signed);
      panels[which].measure(map.reason === null ? null : { kind: "empty", text: map.reason }, signed);
    });
    const which = CLASS_SIDES.indexOf(difference);
    if (which < 0) subtract(panels[2], panels[0].values, panels[1].values, maps.every(isEmpty));
    else {
      const map = /** @type {RawMap} */ (mapOf(content, method, which, layer, 0));
      fill(before, map, signed);
      subtract(panels[2], before, panels[which].values, isEmpty(map) && isEmpty(maps[which]));
    }
  }
  for (const panel of panels.slice(0, 2)) panel.draw(signed ? SIGNED_SHARES : SHARES, colors(signed).table);
  panels[2].draw(panels[2].ownScale, colors(true).table);
}

/** @param {RawMap} map */
function isEmpty(map) {
  return map.values === null || map.reason !== null;
}

/**
 * A map at drawing size, zeros where there is nothing to see: from 0 to 1, or for one with a sign divided by the reach of its
 * colour scale, so that 0 stays 0.
 *
 * @param {Float32Array} out
 * @param {RawMap} map
 * @param {boolean} signed
 */
function fill(out, map, signed) {
  if (map.values === null || map.reason !== null) {
    out.fill(0);
    return;
  }
  resize(map.values, map.height, map.width, SIZE, out);
  if (!signed) normalise(out);
  else {
    const reach = scaleOf(out, true).high;
    for (let i = 0; i < out.length; i++) out[i] /= reach;
  }
}

/**
 * @param {Panel} panel
 * @param {Float32Array} from
 * @param {Float32Array} what
 * @param {boolean} empty
 */
function subtract(panel, from, what, empty) {
  if (empty) {
    panel.measure({ kind: "empty", text: "Neither of the two maps shows anything here, so there is no difference." });
    return;
  }
  const { values } = panel;
  for (let i = 0; i < values.length; i++) values[i] = from[i] - what[i];
  const { low, high } = extent(values);
  const same = Math.max(-low, high) < INVISIBLE;
  panel.measure(same ? { kind: "empty", text: "No difference: the two maps are the same here." } : null, true);
}

/**
 * @typedef {object} ThumbnailInputs
 * @property {Content} content
 * @property {string} method
 * @property {number} epsilon
 * @property {HTMLImageElement | null} photo
 * @property {Colors} colors
 */

/**
 * @param {Strip} strip
 * @param {ThumbnailPainter} painter
 * @param {ThumbnailInputs} inputs
 */
function drawThumbnails(strip, painter, { content, method, epsilon, photo, colors }) {
  strip.drawThumbnails((canvas, layer, which) => {
    const map = mapOf(content, method, which, layer, epsilon);
    canvas.dataset.state = map === null ? "waiting" : "map";
    painter.draw(canvas, photo, content.box, map, colors);
  });
}
