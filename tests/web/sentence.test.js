/** The sentence under the maps. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Content } from "../../saliency_core/viewer/web/core/payload.js";
import { placeText, sentence, sharesOn } from "../../saliency_core/viewer/web/core/sentence.js";

const MAP = { state: /** @type {const} */ ("map"), signed: false, atInput: false };
const GRAD_CAM = { ...MAP, name: "grad_cam", title: "Grad-CAM" };
const NORMGRAD = { ...MAP, name: "normgrad", title: "NormGrad" };
const LINEAR = { ...MAP, name: "linear_approx", title: "Linear approximation", signed: true };
const RISE = { ...MAP, name: "rise", title: "RISE", atInput: true };
const FACTS = { place: "stage 5 of 8", energy: 0.049, label: "espresso", area: 0.24 };

/**
 * @param {number | null} normgrad
 * @param {number | null} gradCam
 */
const both = (normgrad, gradCam) => [{ ...NORMGRAD, share: normgrad }, { ...GRAD_CAM, share: gradCam }];

/** @param {Partial<Parameters<typeof sentence>[0]>} facts */
const said = (facts) => sentence({ ...FACTS, methods: both(0.71, 0.22), ...facts });

test("Grad-CAM is said to have lost the object where its map is no stronger there and little of the gradient is left", () => {
  assert.equal(
    said({}),
    "At stage 5 of 8, Grad-CAM’s averaging leaves only 4.9% of the gradient’s energy. " +
      "22% of the Grad-CAM map lies in the box around the espresso (24% of the input), less than chance would give: it has lost the object. " +
      "71% of the NormGrad map lies there, 3.0 times what chance would give.",
  );
  assert.match(said({ energy: 0.6 }), /At stage 5 of 8, Grad-CAM’s averaging leaves 60% of .*, less than chance would give\. 71%/);
});

test("Grad-CAM is not said to have lost an object that its map shows", () => {
  assert.match(said({ methods: both(0.7, 0.6) }), /60% of the Grad-CAM map lies in the box around the espresso \(24% of the input\), 2\.5 times what chance would give\. 70%/);
  assert.match(said({ methods: both(0.7, 0.32) }), /, 1\.3 times what chance would give\. 70%/);
  assert.match(said({ methods: both(0.7, 0.26) }), /, about what chance would give: it has lost the object\. 70%/);
});

test("at the last layer averaging loses nothing", () => {
  assert.match(said({ energy: 1, place: "stage 8 of 8", methods: both(0.4, 0.8) }), /^At stage 8 of 8, the gradient is the same at every location, so Grad-CAM’s averaging loses nothing\. 80% .*, 3\.3 times what chance would give\. 40%/);
  assert.match(said({ energy: 0.997 }), /is nearly the same at every location/);
});

test("without a known box nothing is said of objects", () => {
  assert.equal(said({ area: null, methods: both(null, null) }), "At stage 5 of 8, Grad-CAM’s averaging leaves only 4.9% of the gradient’s energy.");
});

test("what Grad-CAM’s averaging does is said only where Grad-CAM is shown", () => {
  const methods = [{ ...NORMGRAD, share: null }, { ...LINEAR, share: null }];
  for (const energy of [0.049, 0.97, 1, null]) assert.equal(said({ area: null, energy, methods }), "");
  assert.doesNotMatch(said({ methods: methods.map((method) => ({ ...method, share: 0.5 })) }), /averaging/);
});

test("without a gradient no map is praised or blamed", () => {
  const constant = /** @type {const} */ ("constant");
  const methods = both(null, null).map((method) => ({ ...method, state: constant }));
  assert.equal(
    said({ energy: null, methods }),
    "At stage 5 of 8, the gradient is zero everywhere: the class score does not react to changes here. The Grad-CAM map shows nothing. The NormGrad map shows nothing.",
  );
});

test("of a signed map the positive part is counted, and its lack is said", () => {
  assert.match(said({ methods: [{ ...LINEAR, share: 0.5 }, { ...GRAD_CAM, share: 0.2 }] }), /50% of the positive part of the Linear approximation map lies there, 2\.1 times what chance would give\.$/);
  assert.match(said({ methods: [{ ...LINEAR, share: null }, { ...GRAD_CAM, share: 0.2 }] }), /The Linear approximation map has no positive values\.$/);
});

test("methods other than Grad-CAM are compared by their shares, each at its own place", () => {
  assert.equal(
    said({ methods: [{ ...NORMGRAD, share: 0.71 }, { ...RISE, share: 0.5 }] }),
    "71% of the NormGrad map at stage 5 of 8 and 50% of the RISE map at the input lie in the box around the espresso, which covers 24% of the input.",
  );
  assert.match(said({ methods: [{ ...NORMGRAD, share: 0.71 }, { ...NORMGRAD, share: 0.71 }] }), /^71% of the NormGrad map at stage 5 of 8 lies in the box around/);
  const missing = { ...RISE, state: /** @type {const} */ ("missing"), share: null };
  assert.equal(said({ methods: [missing, missing] }), "");
  assert.match(said({ methods: [missing, { ...GRAD_CAM, share: 0.22 }] }), /lost the object\.$/);
});

test("a layer is called by its stage, another one by its name", () => {
  assert.deepEqual([placeText("blocks.4", 5, 8), placeText("blocks.4.0", null, 8), placeText("input", null, 8)], ["stage 5 of 8", "blocks.4.0", "the input"]);
});

test("shares are taken inside the boxes of the explained class alone", () => {
  const layers = [{ name: "a", height: 2, width: 2 }];
  const maps = {
    some: { input: null, offsets: [0], reasons: [null] },
    flat: { input: null, offsets: [4], reasons: ["constant"] },
    none: { input: null, offsets: [null], reasons: ["no map"] },
  };
  const values = Float32Array.of(1, -3, 1, 0, 2, 2, 2, 2);
  const half = { index: 1, label: "left", box: [0, 0, 0.5, 1] };
  const on = (/** @type {any[]} */ objects) => sharesOn(new Content({ layers, maps, objects, target: 1 }, values), 0, ["some", "flat", "none", "unknown"]);
  const { area, maps: found } = on([half, { ...half, index: 2, box: [0.5, 0, 1, 1] }]);
  assert.equal(area, 0.5);
  assert.deepEqual(found.map(({ state }) => state), ["map", "constant", "missing", "missing"]);
  assert.ok(/** @type {number} */ (found[0].share) > 0.9);
  assert.equal(on([{ ...half, index: 2 }]).area, null);
  assert.equal(on([{ ...half, box: [0, 0, 0.95, 1] }]).area, null);
  assert.equal(on([{ ...half, box: [0, 0, 0.95, 1] }]).maps[0].share, null);
});
