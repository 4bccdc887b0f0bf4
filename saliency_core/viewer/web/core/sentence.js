/** One sentence or two on what the maps at a layer show, from this photo's numbers. Pure functions, no DOM. */

import { percent } from "./format.js";
import { energyInside, resize } from "./maths.js";

/** @import { Content, Method } from "./payload.js" */

export const GRAD_CAM = "grad_cam";

/** Side to which maps are resized before their shares are taken: that of saliency_core.energy_inside. */
const SIDE = 224;

/** From this share of the energy on, averaging loses nothing worth mentioning. */
const ALL = 0.995;

/** Below this share, averaging loses most of the gradient; below the next one, all but a little. */
const HALF = 0.5;
const LITTLE = 0.25;

/** Up to this mean value inside the box over that outside, a map is on the object no more than by chance. */
const CHANCE = 1.25;

/** A box that covers more of the input than this leaves hardly any place that is not the object. */
const WHOLE = 0.9;

/**
 * How much of a method's map lies on the object explained.
 *
 * @typedef {object} MapShare
 * @property {"missing" | "constant" | "map"} state
 * @property {number | null} share of the map's positive part inside the boxes; null if it has none, or no box is known
 */

/**
 * The share of the input that boxes cover.
 *
 * @param {[number, number, number, number][]} boxes
 */
function coverage(boxes) {
  return energyInside(new Float32Array(SIDE * SIDE).fill(1), SIDE, boxes) ?? 0;
}

/**
 * The boxes of the objects of the explained class; none if they cover nearly all of the input, for then every map lies
 * inside.
 *
 * @param {Content} content
 */
export function boxesTellingApart(content) {
  const boxes = content.targetBoxes;
  return coverage(boxes) <= WHOLE ? boxes : [];
}

/**
 * The maps' shares on the objects of the explained class, and the share of the input that their boxes cover: null
 * without boxes that tell maps apart.
 *
 * @param {Content} content
 * @param {number} layer
 * @param {readonly string[]} methods
 * @returns {{area: number | null, maps: MapShare[]}}
 */
export function sharesOn(content, layer, methods) {
  const boxes = boxesTellingApart(content);
  const area = coverage(boxes) || null;
  const maps = methods.map((name) => {
    const map = content.map(name, layer);
    if (!map?.values) return { state: /** @type {const} */ ("missing"), share: null };
    if (map.reason) return { state: /** @type {const} */ ("constant"), share: null };
    const share = area === null ? null : energyInside(resize(map.values, map.height, map.width, SIDE), SIDE, boxes);
    return { state: /** @type {const} */ ("map"), share };
  });
  return { area, maps };
}

/**
 * A layer as the middle of a sentence has it. `stage` counts from 1; null for a layer that is none of the stages.
 *
 * @param {string} name
 * @param {number | null} stage
 * @param {number} stages
 */
export function placeText(name, stage, stages) {
  if (stage !== null) return `stage ${stage} of ${stages}`;
  return name === "input" ? "the input" : name;
}

/**
 * What happened at a layer: how much of the gradient Grad-CAM's averaging leaves, and how much of each map lies on the
 * object. It speaks of objects only if the box of one of the explained class is known. Of averaging only if Grad-CAM is
 * among the methods; else it may be empty.
 *
 * @param {object} facts
 * @param {string} facts.place see placeText
 * @param {number | null} facts.energy the share of the gradient's energy that is left; null where the gradient is zero
 * @param {string} facts.label of the explained class
 * @param {number | null} facts.area see sharesOn
 * @param {(Pick<Method, "name" | "title" | "signed"> & MapShare & {atInput: boolean})[]} facts.methods those shown
 */
export function sentence({ place, energy, label, area, methods }) {
  const shown = methods.filter((method, i) => methods.findIndex(({ name }) => name === method.name) === i);
  const gradCam = shown.find(({ name }) => name === GRAD_CAM);
  const others = shown.filter(({ name }) => name !== GRAD_CAM);
  if (gradCam === undefined) return area === null ? "" : onObject(others, label, area, place);
  if (area === null) return energyText(place, energy);
  const after = gradCamOnObject(gradCam, label, area, energy);
  const rest = others.map((method) => alsoOnObject(method, area)).join(" ");
  return [energyText(place, energy), after, rest].filter(Boolean).join(" ");
}

/**
 * @param {string} place
 * @param {number | null} energy
 */
function energyText(place, energy) {
  if (energy === null) return `At ${place}, the gradient is zero everywhere: the class score does not react to changes here.`;
  if (energy >= ALL) return `At ${place}, the gradient is ${energy < 0.9999 ? "nearly " : ""}the same at every location, so Grad-CAM’s averaging loses nothing.`;
  const left = `${energy < LITTLE ? "only " : ""}${percent(energy)} of the gradient’s energy`;
  return `At ${place}, Grad-CAM’s averaging leaves ${left}.`;
}

/**
 * @param {{title: string} & MapShare} method
 * @param {string} label
 * @param {number} area
 * @param {number | null} energy
 */
function gradCamOnObject({ title, state, share }, label, area, energy) {
  if (state === "missing") return "";
  if (state === "constant" || share === null) return `The ${title} map shows nothing.`;
  const text = `${percent(share)} of the ${title} map lies in the box around the ${label} (${percent(area)} of the input), ${besideChance(share, area)}`;
  const lost = contrastOf(share, area) <= CHANCE && energy !== null && energy < HALF;
  return `${text}${lost ? ": it has lost the object" : ""}.`;
}

/**
 * Another method's share, after Grad-CAM's has named the box.
 *
 * @param {{title: string, signed: boolean} & MapShare} method
 * @param {number} area
 */
function alsoOnObject({ title, signed, state, share }, area) {
  if (state === "missing") return "";
  if (state === "constant") return `The ${title} map shows nothing.`;
  if (share === null) return `The ${title} map has no positive values.`;
  return `${partOf(title, signed, share)} lies there, ${besideChance(share, area)}.`;
}

/**
 * The shares of methods without Grad-CAM among them; empty if none has one.
 *
 * @param {({title: string, signed: boolean, atInput: boolean} & MapShare)[]} methods
 * @param {string} label
 * @param {number} area
 * @param {string} place
 */
function onObject(methods, label, area, place) {
  const parts = methods.flatMap(({ title, signed, share, atInput }) =>
    share === null ? [] : [`${partOf(title, signed, share)} at ${atInput ? "the input" : place}`],
  );
  if (parts.length === 0) return "";
  return `${parts.join(" and ")} ${parts.length === 1 ? "lies" : "lie"} in the box around the ${label}, which covers ${percent(area)} of the input.`;
}

/**
 * @param {string} title
 * @param {boolean} signed
 * @param {number} share
 */
function partOf(title, signed, share) {
  return `${percent(share)} of ${signed ? "the positive part of " : ""}the ${title} map`;
}

/**
 * A share beside that of a map which is the same everywhere.
 *
 * @param {number} share
 * @param {number} area
 */
function besideChance(share, area) {
  if (share < area) return "less than chance would give";
  if (contrastOf(share, area) <= CHANCE) return "about what chance would give";
  return `${(share / area).toFixed(1)} times what chance would give`;
}

/**
 * Mean value inside over mean value outside.
 *
 * @param {number} share
 * @param {number} area
 */
function contrastOf(share, area) {
  return share >= 1 ? Infinity : share / area / ((1 - share) / (1 - area));
}
