/** Classes: one method's maps for two classes at one layer, their signed difference, and how alike they are. */

import { element } from "../../controls/dom.js";
import { MethodHead } from "../../controls/method-picker.js";
import { Segmented } from "../../controls/segmented.js";
import { scaleOf } from "../../core/colors.js";
import { classText, rho, stepText } from "../../core/format.js";
import { extent, normalise, resize, SIZE } from "../../core/maths.js";
import { whenChanged } from "../../core/redraw.js";
import { LinkedPanels } from "../../panels/linked-panels.js";
import { Panel } from "../../panels/panel.js";
import { Strip } from "../../panels/strip.js";
import { ThumbnailPainter } from "../../panels/thumbnails.js";
import { ClassPicker } from "./class-picker.js";
import { Dial } from "./dial.js";
import { figureAfterStep, mapAfterStep, probabilityAfterStep, sizesOf } from "./meta-steps.js";
import { SensitivityTable } from "./sensitivity-table.js";
import { StepCard } from "./step-card.js";

/** @import { Colors } from "../../core/colors.js" */
/** @import { Content, RawMap } from "../../core/payload.js" */
/** @import { View } from "../../core/view.js" */
/** @import { Figure, Frame, Mode, ModeHost, Note } from "../mode.js" */
/** @import { Sweep } from "./meta-steps.js" */

const CLASS_SIDES = ["first", "second"];
const CLASS_LETTERS = ["A", "B"];
const PANEL_NAMES = [...CLASS_SIDES, "difference"];
const STAGE_HEIGHT = 0.31;
const INVISIBLE = 1 / 510; // half a level of a colour table
const SHARES = { low: 0, high: 1 };
const SIGNED_SHARES = { low: -1, high: 1 };

/** @type {Note} */
const WAITING = { kind: "waiting", text: "Computing the meta steps…" };

/** What the third panel shows: the two classes, or one of them after and before the meta step. */
const DIFFERENCE_OPTIONS = [
  { name: "classes", title: "A − B", hint: "Class A’s map minus class B’s" },
  { name: "first", title: "A: change", hint: "Class A’s map after the meta step minus the one without it" },
  { name: "second", title: "B: change", hint: "Class B’s map after the meta step minus the one without it" },
];

/** @implements {Mode} */
export class Classes {
  /** @param {ModeHost} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    this.fixedScale = true;
    /** The classes that are chosen, also while their maps are being computed. @type {number[]} */
    this.asked = [];
    this.head = new MethodHead("left", "Method", (method) => this.#show({ left: method }));
    this.presets = element("div", { class: "chips presets", role: "group", "aria-label": "Pairs of classes", "data-testid": "presets" });
    this.offer = whenChanged((/** @type {{presets: [string, number, number][]}} */ { presets }) => this.#offer(presets));
    this.pickers = CLASS_LETTERS.map((letter, i) => new ClassPicker(letter, (index) => this.#choose(i, index)));
    this.difference = new Segmented("Difference", "subtraction", DIFFERENCE_OPTIONS, (difference) => {
      viewer.set({ difference });
      viewer.settle();
    });
    this.differenceName = element("h2", { class: "class-name" }, element("span", { class: "letter", text: "A − B" }), "Difference");
    const heads = [...this.pickers.map((picker) => [picker.element]), [this.differenceName, this.difference.element]];
    this.panels = PANEL_NAMES.map((name, i) => new Panel(name, { element: element("header", {}, ...heads[i]), sheet: null }));
    this.linked = new LinkedPanels(viewer, this.panels, STAGE_HEIGHT);
    this.dial = new Dial();
    const note = [
      element("strong", { text: "ρ" }),
      " is Spearman’s rank correlation of both classes’ maps. At 1 the map is the same whatever class is asked for; " +
        "near 0 and below, the class decides it.",
    ];
    this.strip = new Strip(viewer, { sides: CLASS_SIDES, label: "Depth: layer shown in all panels", figure: "ρ", note });
    this.steps = new StepCard(viewer);
    this.table = new SensitivityTable(
      viewer,
      (left, layer) => this.#show({ left, layer }),
      () => this.element.scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" }),
    );
    const painter = new ThumbnailPainter();
    const before = new Float32Array(SIZE * SIZE);
    this.drawMaps = whenChanged((/** @type {MapInputs} */ inputs) => drawMaps(this.panels, before, inputs));
    this.drawPreview = whenChanged((/** @type {PreviewInputs} */ { photo, content, opacity, faded }) => {
      this.table.preview.draw(this.panels, photo, content.box, opacity, faded);
    });
    this.drawThumbnails = whenChanged((/** @type {ThumbnailInputs} */ inputs) => drawThumbnails(this.strip, painter, inputs));
    this.element = element(
      "div",
      { class: "trio" },
      element("div", { class: "trio-head" }, this.head.element, this.presets, this.head.sheet),
      element("div", { class: "panels" }, ...this.panels.map((panel) => panel.element)),
      this.linked.readout.element,
      this.dial.element,
      this.strip.element,
      this.steps.element,
      this.table.element,
    );
  }

  get zoomActions() {
    return this.linked.zoomActions;
  }

  take() {
    this.linked.setStage();
    this.head.setMethods(this.viewer.payload.methods);
    this.offer({ presets: this.viewer.payload.content.comparison.presets });
    this.presets.hidden = this.viewer.offline;
  }

  resize() {
    this.linked.setStage();
  }

  /** @param {Frame} frame */
  draw(frame) {
    const { payload, view, updates, colors } = frame;
    const { content } = payload;
    const { epsilon, left: method } = view;
    const asked = updates.asked?.classes ?? [content.target, content.comparison.target];
    const difference = shownDifference(content, view);
    const layer = content.layerIndex(view.layer);
    const note = this.viewer.absence(method) ?? (mapOf(content, method, 0, layer, epsilon) === null ? WAITING : null);
    const { signed } = payload.method(method);
    this.head.setMethod(payload.method(method));
    const { classes } = content.comparison;
    this.pickers.forEach((picker, i) => {
      if (classes === null) picker.fix([content, content.comparison][i].label);
      else picker.set(classes, asked[i]);
    });
    this.#markPreset(asked);
    const coming = [content.target, content.comparison.target].map((index, i) => {
      // The maps may still be those of another network, with fewer classes.
      const name = classes?.[asked[i]]?.[0] ?? "the class";
      return index === asked[i] ? "" : `Explaining ${name}…`;
    });
    const maps = this.drawMaps({
      content,
      method,
      layer,
      epsilon,
      difference,
      kind: note?.kind,
      text: note?.text,
      first: coming[0],
      second: coming[1],
      signed,
      colors,
    });
    this.steps.set(content, updates.asked, epsilon);
    this.#describe(frame, difference);
    const figure = coming.some(Boolean) ? null : figureAt(frame, layer);
    this.dial.set(figure);
    this.#drawFigures(frame);
    this.drawThumbnails({ content, method, epsilon, photo: this.linked.photo, colors: colors(signed) });
    const title = DIFFERENCE_OPTIONS.find((option) => option.name === difference)?.title ?? "";
    this.linked.read([...CLASS_LETTERS, title]);
    this.table.draw(frame);
    this.table.preview.describe(`${payload.method(method).title} at ${view.layer}`, this.dial.text, [
      content.label,
      content.comparison.label,
      title,
    ]);
    this.drawPreview({ maps, content, photo: this.linked.photo, opacity: view.opacity, faded: view.fade });
  }

  /** @param {Frame} frame */
  keys({ payload, view }) {
    const methods = [...payload.methods.keys()];
    return { walk: /** @type {const} */ ("layers"), methods, shown: [view.left], place: "for both classes", other: "" };
  }

  /** @param {string} method */
  chooseMethod(method) {
    this.#show({ left: method });
  }

  announcement() {
    return [...this.panels.map((panel) => panel.canvas.getAttribute("aria-label")), this.dial.text].join(". ");
  }

  /**
   * Shows a method, a layer or both. A method whose maps are not here, or not after the steps, is asked for at once.
   *
   * @param {Partial<View>} change
   */
  #show(change) {
    const { payload } = this.viewer;
    this.viewer.set(change);
    const missing = change.left !== undefined && payload.method(change.left).maps === null;
    this.viewer.settle(missing || payload.content.comparison.sweep !== null);
  }

  /**
   * Asks for another class A (position 0) or B (1); the two change places if it is the other.
   *
   * @param {number} position
   * @param {number} index
   */
  #choose(position, index) {
    const [first, second] = this.asked;
    const other = position === 0 ? second : first;
    const pair = position === 0 ? [index, second] : [first, index];
    this.viewer.request({ classes: index === other ? [second, first] : [pair[0], pair[1]] });
  }

  /** @param {[string, number, number][]} presets */
  #offer(presets) {
    this.presets.replaceChildren(
      ...presets.map(([title, first, second]) => {
        const onclick = () => this.viewer.request({ classes: [first, second] });
        return element("button", { type: "button", class: "chip", text: title, "data-pair": `${first} ${second}`, onclick });
      }),
    );
  }

  /** @param {number[]} asked */
  #markPreset(asked) {
    this.asked = asked;
    const pair = asked.join(" ");
    for (const chip of /** @type {Iterable<HTMLElement>} */ (this.presets.children)) {
      chip.setAttribute("aria-pressed", String(chip.dataset.pair === pair));
    }
  }

  /**
   * Writes the texts around the maps.
   *
   * @param {Frame} frame
   * @param {string} difference
   */
  #describe({ payload, view, updates }, difference) {
    const { content } = payload;
    const classes = [content, content.comparison];
    /** @type {Sweep | null} */
    const sweep = content.comparison.sweep;
    const stepped = sweep !== null && view.epsilon > 0;
    const { title, signed, dark, bright } = payload.method(view.left);
    const wanted = (updates.asked?.step ?? null) !== null;
    const step = stepped ? `ε = ${stepText(view.epsilon)}` : wanted && "without a step";
    classes.forEach(({ label, probability }, i) => {
      const after = stepped && sweep !== null ? probabilityAfterStep(sweep, i, view.epsilon) : null;
      const words = [classText(label, probability, after), `${title} · ${view.layer}`, step];
      this.panels[i].describe(words.filter(Boolean).join(" · "), [dark, bright]);
    });
    this.differenceName.hidden = sweep !== null;
    this.difference.element.hidden = sweep === null;
    this.difference.set(difference);
    const which = CLASS_SIDES.indexOf(difference);
    const what = which < 0 ? "A − B" : `${classes[which].label}, after − without the step`;
    this.panels[2].describe(
      `${what} · both maps from ${signed ? "−1" : "0"} to 1`,
      which < 0 ? ["more for B", "more for A"] : ["less after", "more after"],
    );
  }

  /** @param {Frame} frame */
  #drawFigures(frame) {
    const { content } = frame.payload;
    const written = (/** @type {Figure | null} */ figure) => ({
      text: figure === null ? "…" : figure.value === null ? "undefined" : rho(figure.value),
      share: Math.max(figure?.value ?? 0, 0),
    });
    this.strip.setLayers(content.layers, content.layers.map((_, i) => written(figureAt(frame, i))));
    this.strip.setMethods([content.label, content.comparison.label]);
    this.strip.setView(frame.payload, frame.view);
  }
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
  if (correlations === null || correlations.maps !== payload.meta.keys.maps) return null;
  /** @type {Sweep | null} */
  const sweep = payload.content.comparison.sweep;
  if (sweep === null) return correlations.before.find((row) => row.method === view.left)?.figures?.[layer] ?? null;
  const figures = correlations.sweep;
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
 * @property {string} first what happens to class A if its map is not here, else empty
 * @property {string} second
 * @property {boolean} signed
 * @property {Frame["colors"]} colors
 */

/**
 * @param {Panel[]} panels
 * @param {Float32Array} before room for a map before the step
 * @param {MapInputs} inputs
 */
function drawMaps(panels, before, inputs) {
  const { content, method, layer, epsilon, difference, kind, text, first, second, signed, colors } = inputs;
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
      subtract(panels[2], panels[which].values, before, isEmpty(map) && isEmpty(maps[which]));
    }
    const coming = [first, second, first || second];
    coming.forEach((words, i) => words && panels[i].measure({ kind: "waiting", text: words }));
  }
  for (const panel of panels.slice(0, 2)) panel.draw(signed ? SIGNED_SHARES : SHARES, colors(signed).table);
  panels[2].draw(panels[2].ownScale, colors(true).table);
  return {}; // another object whenever the maps are others
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
 * @typedef {object} PreviewInputs
 * @property {object} maps another object whenever the panels show other maps
 * @property {Content} content
 * @property {HTMLImageElement | null} photo
 * @property {number} opacity
 * @property {boolean} faded
 */

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
