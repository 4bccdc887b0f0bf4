/** Class against class: one method's maps for two classes at one layer, and their signed difference. */

import { SIZE, extent, normalise, resize } from "./maths.js";
import { scaleOf } from "./colors.js";
import { element, rangeInput, Segmented, setRange, setText } from "./dom.js";
import { layerSize, percent, rho, stepText } from "./format.js";
import { LinkedPanels } from "./linked.js";
import { MethodHead } from "./methods.js";
import { Panel } from "./panel.js";
import { figuresOf } from "./pending.js";
import { Strip } from "./strip.js";
import { ThumbnailPainter } from "./thumbnail.js";

const CLASS_SIDES = ["first", "second"];
const CLASS_LETTERS = ["A", "B"];
const CLASS_STAGE_HEIGHT = 0.42;
const NOTHING = 1 / 510; // half a level of a colour table: what nobody can see
const SHARES = { low: 0, high: 1 };
const DIFFERENCES = { low: -1, high: 1 };
const WAITING = { kind: "waiting", text: "Taking the meta steps." };

/** What the third panel shows: the two classes, or one of them before and after the meta step. */
const SUBTRACTIONS = [
  { name: "classes", title: "A − B", hint: "The first class’s map minus the second’s" },
  { name: "first", title: "A: before − after", hint: "The first class’s map before the meta step minus the one after it" },
  { name: "second", title: "B: before − after", hint: "The second class’s map before the meta step minus the one after it" },
];

/** What a rank correlation means, from the highest down. */
const WORDS = [
  [0.995, "the same map for both classes"],
  [0.9, "nearly the same map for both classes"],
  [0.7, "much the same map for both classes"],
  [0.4, "the maps agree in part"],
  [0.1, "the maps have little in common"],
  [-0.1, "the maps have nothing in common"],
  [-0.5, "the maps disagree: where one is high the other tends to be low"],
  [-Infinity, "the maps contradict each other: where one is high the other is low"],
];

/** The body of the viewer in the mode "classes". `viewer` gives payload, view, set(), settle(), … */
export class Classes {
  constructor(viewer) {
    this.viewer = viewer;
    this.fixedScale = true;
    this.subtraction = "classes";
    this.before = new Float32Array(SIZE * SIZE);
    this.painter = new ThumbnailPainter();
    this.#build();
  }

  get zoomActions() {
    return this.linked.zoomActions;
  }

  /** Takes over a payload of which parts are new. */
  take(changed) {
    this.linked.setStage(changed.photo);
    if (changed.photo) this.photoReady = false;
    if (changed.photo || changed.maps) this.key = this.thumbnailKey = null;
    this.head.setMethods(this.viewer.payload.methods);
    this.#setSteps();
  }

  resize() {
    this.linked.setStage(false);
  }

  /** Draws what the view asks for; unchanged parts cost nothing. */
  draw(table, diverging) {
    const { payload, view } = this.viewer;
    const method = payload.method(view.left);
    const layer = payload.meta.layers[this.#layer()];
    this.head.setMethod(method);
    this.#drawMaps(table, diverging);
    this.#describe(layer);
    this.#drawFigures();
    this.#drawThumbnails(table, diverging);
    this.linked.read();
  }

  /** What a screen reader is told once things have come to rest. */
  spoken() {
    return [...this.panels.map((panel) => panel.canvas.getAttribute("aria-label")), this.verdict.innerText].join(". ");
  }

  #build() {
    const { viewer } = this;
    this.head = new MethodHead("left", "Method", (left) => this.#chooseMethod(left), () => viewer.payload.methods);
    this.names = [...CLASS_SIDES, "difference"].map(() => element("h3", { class: "class-name" }));
    this.subtractions = new Segmented("Difference", "subtraction", SUBTRACTIONS, (name) => {
      this.subtraction = name;
      viewer.schedule();
    });
    this.panels = [...CLASS_SIDES, "difference"].map(
      (side, i) => {
        const choice = side === "difference" ? this.subtractions.element : null;
        return new Panel(side, { element: element("header", {}, this.names[i], choice), sheet: null });
      },
    );
    this.panels[0].photo.addEventListener("load", () => {
      this.photoReady = true;
      this.thumbnailKey = null;
      viewer.schedule();
    });
    this.linked = new LinkedPanels(viewer, this.panels, {
      height: CLASS_STAGE_HEIGHT,
      hint: "Point at a map to read all values.",
      names: () => ["A", "B", SUBTRACTIONS.find(({ name }) => name === this.#shown).title],
    });
    this.rho = element("b", { "data-testid": "rho" });
    this.words = element("span", { "data-testid": "rho-words" });
    this.verdict = element("p", { class: "verdict" }, this.rho, this.words);
    const note = [
      element("strong", { text: "ρ" }),
      " is Spearman’s rank correlation of both classes’ maps: near 1 the map is the same whatever class is asked for, " +
        "near 0 the class decides it.",
    ];
    this.strip = new Strip(viewer, { sides: CLASS_SIDES, label: "Depth: layer shown in all panels", figure: "ρ", note });
    this.#buildSteps();
    this.element = element(
      "div",
      { class: "trio" },
      element("div", { class: "trio-head" }, this.head.element, this.head.sheet),
      element("div", { class: "panels" }, ...this.panels.map((panel) => panel.element)),
      element("div", { class: "verdict-line" }, this.verdict, this.linked.readout.element),
      this.steps,
      this.strip.element,
    );
  }

  #buildSteps() {
    this.stepInput = rangeInput({
      min: 0,
      max: 1,
      step: "any",
      "aria-label": "Size of the meta step, ε",
      "data-testid": "epsilon",
      oninput: () => this.viewer.set({ epsilon: this.#epsilonAt(Number(this.stepInput.value)) }),
      onchange: () => this.#restStep(),
      onkeydown: (event) => this.#walkSteps(event),
    });
    this.stepName = element("output", { class: "step-name", "data-testid": "epsilon-name" });
    this.stepTicks = element("div", { class: "step-ticks", "aria-hidden": "true" });
    this.stepNote = element("p", { class: "energy-text", "data-testid": "epsilon-note" });
    this.steps = element(
      "section",
      { class: "steps card", "aria-label": "Meta step", "data-testid": "steps", hidden: true },
      element(
        "div",
        { class: "step-line" },
        element("span", { class: "row-label", text: "Meta step" }),
        element("div", { class: "step-track" }, this.stepInput, this.stepTicks),
        this.stepName,
      ),
      this.stepNote,
    );
  }

  /** A method whose maps are not here, or not after the steps, is asked for at once. */
  #chooseMethod(left) {
    const { viewer } = this;
    viewer.set({ left });
    viewer.settle(viewer.payload.method(left).maps === null || viewer.payload.meta.contrast.ladder !== null);
  }

  // -- meta steps: a ladder of computed ones, and the way from one to the next ------------------------------------

  get #ladder() {
    return this.viewer.payload.meta.contrast.ladder;
  }

  /** What the third panel shows; without a step there is no before and after. */
  get #shown() {
    return this.#ladder === null ? "classes" : this.subtraction;
  }

  #setSteps() {
    const ladder = this.#ladder;
    this.steps.hidden = ladder === null;
    if (ladder === null) return;
    const sizes = ladder.steps.map((step) => step.lr);
    const identity = JSON.stringify([sizes, ladder.ascend, ladder.complete]);
    if (identity === this.stepIdentity) return;
    this.stepIdentity = identity;
    this.stepInput.max = String(sizes.length - 1);
    this.stepTicks.replaceChildren(
      ...sizes.map((size, i) => {
        const tick = element("span", { text: stepText(size), class: size === ladder.authors ? "authors" : null });
        tick.style.left = `${(100 * i) / (sizes.length - 1)}%`;
        return tick;
      }),
    );
    const way = ladder.ascend ? "away from the class (what would harm it)" : "of learning the class";
    const computed = ladder.complete
      ? `Computed at the sizes marked; between two of them, while you drag, maps and ρ are interpolated. ${stepText(ladder.authors)} is the authors’ size.`
      : "More sizes are not computed yet.";
    setText(this.stepNote, `One step ${way}, taken for each class before its map. ${computed}`);
  }

  /** Where a size lies among the computed ones: 0 is the first, 1 the second, 1.5 halfway (in log ε) to the third. */
  #position(epsilon) {
    const sizes = this.#ladder.steps.map((step) => step.lr);
    const next = sizes.findIndex((size) => size >= epsilon * (1 - 1e-9));
    if (next <= 0) return next < 0 ? sizes.length - 1 : 0;
    const [low, high] = [sizes[next - 1], sizes[next]];
    const part = low === 0 ? epsilon / high : Math.log(epsilon / low) / Math.log(high / low);
    return next - 1 + Math.min(Math.max(part, 0), 1);
  }

  #epsilonAt(position) {
    const sizes = this.#ladder.steps.map((step) => step.lr);
    const index = Math.min(Math.floor(position), sizes.length - 1);
    const part = position - index;
    if (part === 0) return sizes[index];
    const [low, high] = [sizes[index], sizes[index + 1]];
    return low === 0 ? part * high : low * (high / low) ** part;
  }

  /** On release: the nearest size that was computed. */
  #restStep() {
    this.viewer.set({ epsilon: this.#epsilonAt(Math.round(Number(this.stepInput.value))) });
    this.viewer.settle();
  }

  #walkSteps(event) {
    const way = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (way === undefined) return;
    event.preventDefault();
    const last = this.#ladder.steps.length - 1;
    const position = Math.min(Math.max(Math.round(Number(this.stepInput.value)) + way, 0), last);
    this.viewer.set({ epsilon: this.#epsilonAt(position) });
    this.viewer.settle();
  }

  // -- maps -------------------------------------------------------------------------------------------------------

  #layer() {
    const { payload, view } = this.viewer;
    return payload.meta.layers.findIndex((layer) => layer.name === view.layer);
  }

  /** A class's map at a layer after a step, as Payload.at gives it; null while it is not here. */
  #map(which, layer, epsilon = this.viewer.view.epsilon) {
    const { payload, view } = this.viewer;
    const ladder = this.#ladder;
    if (ladder === null) {
      const method = payload.method(view.left);
      const maps = which === 0 ? method.maps : method.others;
      return maps && payload.at(maps, layer);
    }
    if (ladder.method !== view.left) return null;
    const position = this.#position(epsilon);
    const index = Math.floor(position);
    const part = position - index;
    const from = payload.at(ladder.steps[index].maps[which], layer);
    if (part < 1e-6) return from;
    const to = payload.at(ladder.steps[index + 1].maps[which], layer);
    if (from.values === null || to.values === null) return from;
    const values = from.values.map((value, i) => value + part * (to.values[i] - value));
    return { ...from, values, reason: from.reason && to.reason };
  }

  #drawMaps(table, diverging) {
    const { viewer, panels } = this;
    const { payload, view } = viewer;
    const absence = viewer.absence(view.left) ?? (this.#map(0, this.#layer()) === null ? WAITING : null);
    const subject = absence ? `${absence.kind} ${absence.text}` : `${view.left} ${view.layer} ${view.epsilon}`;
    const key = `${payload.meta.keys.maps} ${subject} ${view.colormap} ${this.#shown}`;
    if (key === this.key) return;
    this.key = key;
    const [first, second, difference] = panels;
    if (absence) for (const panel of panels) panel.measure(absence);
    else {
      const reasons = CLASS_SIDES.map((side, which) => this.#fill(panels[which], this.#map(which, this.#layer())));
      this.#subtract(reasons);
    }
    const plain = scaleOf([SHARES], diverging);
    first.draw(plain, table);
    second.draw(plain, table);
    const signedTable = this.#signedTable(table, diverging);
    difference.draw(DIFFERENCES, signedTable);
    if (this.tableName !== view.colormap) {
      first.drawBar(table);
      second.drawBar(table);
      difference.drawBar(signedTable);
    }
    this.tableName = view.colormap;
  }

  /** Fills a class's panel with its map in [0, 1], zeros where there is nothing to see; returns why, or null. */
  #fill(panel, map) {
    if (map.reason) {
      panel.values.fill(0);
      panel.measure({ kind: "empty", text: map.reason });
      return map.reason;
    }
    normalise(resize(map.values, map.height, map.width, SIZE, panel.values));
    panel.measure(null);
    return null;
  }

  #subtract(reasons) {
    const [first, second, difference] = this.panels;
    const { values } = difference;
    let [from, what, empty] = [first.values, second.values, reasons.every(Boolean)];
    if (this.#shown !== "classes") {
      const which = CLASS_SIDES.indexOf(this.#shown);
      const map = this.#map(which, this.#layer(), 0);
      if (map.reason) this.before.fill(0);
      else normalise(resize(map.values, map.height, map.width, SIZE, this.before));
      [from, what, empty] = [this.before, this.panels[which].values, Boolean(map.reason && reasons[which])];
    }
    if (empty) {
      difference.measure({ kind: "empty", text: "Neither of the two maps shows anything here, so there is no difference." });
      return;
    }
    for (let i = 0; i < values.length; i++) values[i] = from[i] - what[i];
    const { low, high } = extent(values);
    const same = Math.max(-low, high) < NOTHING;
    difference.measure(same ? { kind: "empty", text: "No difference: the two maps are the same here." } : null);
  }

  /** The colours of the difference: a diverging table, the view's own if it is one. */
  #signedTable(table, diverging) {
    const { payload } = this.viewer;
    if (diverging) return table;
    return payload.tables.get(payload.meta.colormaps.find((colormap) => colormap.kind === "diverging").name);
  }

  #describe(layer) {
    const { payload, view } = this.viewer;
    const { meta } = payload;
    const classes = [meta, meta.contrast];
    const method = payload.method(view.left);
    const step = this.#ladder && (view.epsilon > 0 ? `after a step of ε = ${stepText(view.epsilon)}` : "before the step");
    classes.forEach(({ label, probability }, i) => {
      this.names[i].replaceChildren(element("span", { class: "letter", text: CLASS_LETTERS[i] }), ` ${label}`);
      const words = [`${label} ${percent(probability)}`, method.title, `${layer.name} · ${layerSize(layer)}`, step];
      this.panels[i].describe(words.filter(Boolean).join(" · "), false);
    });
    this.names[2].hidden = this.#ladder !== null;
    this.subtractions.element.hidden = this.#ladder === null;
    this.subtractions.set(this.#shown);
    this.names[2].replaceChildren(element("span", { class: "letter", text: "A − B" }), " difference");
    const which = CLASS_SIDES.indexOf(this.#shown);
    const what = which < 0 ? classes.map(({ label }) => label).join(" − ") : `${classes[which].label}, before − after`;
    const ends = which < 0 ? ["more for B", "more for A"] : ["more after", "more before"];
    this.panels[2].describe(`${what} · both maps from 0 to 1`, true, ends);
  }

  // -- figures ----------------------------------------------------------------------------------------------------

  /** ρ at a layer: {value, reason, about}; null while it is not known. `about`: it is interpolated. */
  #figure(layer) {
    const { payload, view } = this.viewer;
    const figures = figuresOf(payload.meta.key, payload.meta.keys.maps);
    if (figures === null) return null;
    const ladder = this.#ladder;
    if (ladder === null) return figures.plain[view.left]?.[layer] ?? null;
    if (ladder.method !== view.left || !figures.ladder) return null;
    const position = this.#position(view.epsilon);
    const index = Math.floor(position);
    const part = position - index;
    const from = figures.ladder[index][layer];
    if (part < 1e-6) return from;
    const to = figures.ladder[index + 1][layer];
    if (from.value === null || to.value === null) return from.value === null ? from : to;
    return { value: from.value + part * (to.value - from.value), reason: "", about: true };
  }

  #drawFigures() {
    const { payload, view } = this.viewer;
    const { layers } = payload.meta;
    const figures = layers.map((_, i) => this.#figure(i));
    const here = figures[this.#layer()];
    const value = here?.value ?? null;
    setText(this.rho, here === null ? "ρ …" : value === null ? "ρ undefined" : `ρ ${here.about ? "≈" : "="} ${rho(value)}`);
    setText(this.words, here === null ? "" : value === null ? here.reason : WORDS.find(([from]) => value >= from)[1]);
    this.verdict.dataset.state = here === null ? "waiting" : value === null ? "undefined" : "known";
    const written = (figure) => ({
      text: figure === null ? "…" : figure.value === null ? "undefined" : rho(figure.value),
      share: Math.max(figure?.value ?? 0, 0),
    });
    this.strip.setLayers(layers, figures.map(written));
    this.strip.setMethods([payload.meta.label, payload.meta.contrast.label]);
    this.strip.setLayer(view.layer);
    if (this.#ladder === null) return;
    setRange(this.stepInput, this.#position(view.epsilon));
    const text = view.epsilon > 0 ? `ε = ${stepText(view.epsilon)}` : "no step";
    setText(this.stepName, text);
    this.stepInput.setAttribute("aria-valuetext", text);
  }

  #drawThumbnails(table, diverging) {
    const { payload, view } = this.viewer;
    const here = [0, 1].map((which) => this.#map(which, 0) !== null);
    const key = [payload.meta.keys.maps, view.left, view.epsilon, ...here, view.colormap, this.photoReady].join();
    if (key === this.thumbnailKey) return;
    this.thumbnailKey = key;
    const photo = this.photoReady ? this.panels[0].photo : null;
    this.strip.drawThumbnails((canvas, layer, side) => {
      const map = this.#map(CLASS_SIDES.indexOf(side), layer);
      canvas.dataset.state = map === null ? "waiting" : "map";
      this.painter.draw(canvas, photo, payload.meta.box, map, table, diverging);
    });
  }
}
