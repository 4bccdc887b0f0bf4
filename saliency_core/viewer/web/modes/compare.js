/** Compare: two methods at one layer. */

import { element, setText } from "../controls/dom.js";
import { layerSize, percent, stageCount } from "../core/format.js";
import { resize, SIZE } from "../core/maths.js";
import { whenChanged } from "../core/redraw.js";
import { GRAD_CAM, placeText, sentence, sharesOn } from "../core/sentence.js";
import { SIDES } from "../core/view.js";
import { Strip } from "../panels/strip.js";
import { TwoPanels } from "./two-panels.js";

/** @import { Content } from "../core/payload.js" */
/** @import { Frame, ModeHost } from "./mode.js" */

const FIGURE = "Energy kept";

export class Compare extends TwoPanels {
  /** @param {ModeHost} viewer */
  constructor(viewer) {
    super(viewer, variant(viewer));
  }
}

/**
 * @param {ModeHost} viewer
 * @returns {import("./two-panels.js").Variant}
 */
function variant(viewer) {
  const ofBoxes = element("span", { text: "Where a dashed box marks the object, the share of a map inside is that of its positive part." });
  const note = [
    element("strong", { text: FIGURE }),
    " is the share of the gradient’s energy that survives Grad-CAM’s averaging over locations, ",
    element("span", { class: "formula", text: "H·W·‖ḡ‖² / Σ‖gᵤ‖²" }),
    ": at 100% averaging loses nothing, near 0% Grad-CAM discards nearly all of the gradient. ",
    ofBoxes,
  ];
  const strip = new Strip(viewer, { sides: SIDES, label: "Depth: layer shown in both panels", figure: FIGURE, note });
  const finding = element("p", { class: "finding", "data-testid": "finding" });
  const measure = whenChanged(sharesOfBoth);
  return {
    stageHeight: 0.43,
    finding,
    element: strip.element,
    normalised: () => false,
    inputs: ({ layer }) => ({ layer }),
    compute: (_, inputs, out) => compute(inputs, out),
    caption,
    drawThumbnails: (draw) => strip.drawThumbnails(draw),
    refresh({ payload, view }) {
      const { layers, energy } = payload.content;
      const figure = (/** @type {number | null} */ share) => ({ text: share === null ? "no gradient" : percent(share), share: share ?? 0 });
      strip.setLayers(layers, energy.map(figure));
      const methods = SIDES.map((side) => payload.method(view[side]));
      const layer = payload.content.layerIndex(view.layer);
      const reasons = methods.map(({ name }) => layers.map((_, i) => payload.content.map(name, i)?.reason ?? null));
      strip.setMethods(
        methods.map((method) => method.title),
        methods.map(({ atInput }, row) => ({ whole: atInput, reasons: reasons[row] })),
      );
      strip.setView(payload, view);
      const { area, maps } = measure({ content: payload.content, layer, left: view.left, right: view.right });
      ofBoxes.hidden = area === null;
      // The same for all layers, so that the slider below stays where it is while it is moved.
      finding.hidden = area === null && methods.every(({ name }) => name !== GRAD_CAM);
      setText(
        finding,
        sentence({
          place: placeText(view.layer, layers[layer].stage, stageCount(layers)),
          energy: energy[layer],
          label: payload.content.label,
          area,
          methods: methods.map(({ name, title, signed, atInput }, i) => ({ name, title, signed, atInput, ...maps[i] })),
        }),
      );
    },
  };
}

/** @param {{content: Content, layer: number, left: string, right: string}} inputs */
function sharesOfBoth({ content, layer, left, right }) {
  return sharesOn(content, layer, [left, right]);
}

/**
 * @param {{content: Content, method: string, layer: string}} inputs
 * @param {Float32Array} out
 */
function compute({ content, method, layer }, out) {
  const map = content.map(method, content.layerIndex(layer));
  if (!map?.values || map.reason) return map?.reason ?? "";
  resize(map.values, map.height, map.width, SIZE, out);
  return null;
}

/**
 * @param {Frame} frame
 * @param {string} method
 */
function caption({ payload, view }, method) {
  const input = payload.method(method).maps?.input;
  if (input) return `input · ${layerSize(input)}`;
  const { layers } = payload.content;
  const layer = layers[payload.content.layerIndex(view.layer)];
  return `${layer.name} · ${layerSize(layer)} × ${layer.channels} channels`;
}
