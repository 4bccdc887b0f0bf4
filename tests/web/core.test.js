/** Numbers, colours, weights, the view and the rule of redrawing. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseColors, cssColor, paintLevels, position, quantise, scaleOf, sharedScale } from "../../saliency_core/viewer/web/core/colors.js";
import { depthEnds, layerSize, layerTitle, number, percent, rho, shortNames, stepText, weightTexts } from "../../saliency_core/viewer/web/core/format.js";
import { extent, logarithm, mixProduct, mixSum, normalise, shares } from "../../saliency_core/viewer/web/core/maths.js";
import { partsOf } from "../../saliency_core/viewer/web/core/mixing.js";
import { Content } from "../../saliency_core/viewer/web/core/payload.js";
import { shared, whenChanged } from "../../saliency_core/viewer/web/core/redraw.js";
import { carryWeights, completeView, completeWeights } from "../../saliency_core/viewer/web/core/view.js";

test("numbers are written with three digits, powers of ten beyond, and a true minus", () => {
  const written = { 0: "0", 1: "1", "-2.5": "−2.5", 0.00123456: "0.00123", 9999: "10000", 12345: "1.23 × 10⁴", "-0.00012": "−1.2 × 10⁻⁴" };
  for (const [value, text] of Object.entries(written)) assert.equal(number(Number(value)), text);
});

test("shares, weights, correlations and sizes are written for reading", () => {
  assert.deepEqual([0, 0.00003, 0.0004, 0.0994, 0.0996, 1].map(percent), ["0%", "<0.01%", "0.04%", "9.9%", "10%", "100%"]);
  assert.deepEqual(weightTexts([1, 0.5]), ["1.00", "0.50"]);
  assert.deepEqual(weightTexts([0.125, 0.25, 1]), ["0.125", "0.250", "1.000"]);
  assert.deepEqual(weightTexts([0.12345, 0]), ["0.1235", "0.0000"]);
  assert.equal(layerTitle({ name: "blocks.4", stage: 5, channels: 1, height: 1, width: 1 }), "Stage 5");
  assert.equal(layerTitle({ name: "conv_head", stage: null, channels: 1, height: 1, width: 1 }), "conv_head");
  assert.deepEqual([-0.001, 0.5, -0.25].map(rho), ["0.00", "0.50", "−0.25"]);
  assert.equal(stepText(0.00254), "0.0025");
  assert.equal(layerSize({ height: 7, width: 14 }), "7 × 14");
});

test("the ends of the depth are called textures and objects for trained networks whose resolution falls alone", () => {
  const layers = (/** @type {number[]} */ ...sides) => sides.map((side, i) => ({ name: "x", stage: i + 1, channels: 1, height: side, width: side }));
  const added = { name: "input", stage: null, channels: 3, height: 64, width: 64 };
  const learned = ["edges and textures", "whole objects"];
  const plain = ["towards the input", "towards the output"];
  assert.deepEqual(depthEnds(layers(16, 8, 8, 4), false), learned);
  assert.deepEqual(depthEnds(layers(16, 8, 8, 4), true), plain);
  assert.deepEqual(depthEnds([added, ...layers(14, 14, 14)], false), plain);
  assert.deepEqual(depthEnds(layers(16, 4, 8), false), plain);
  assert.deepEqual(depthEnds([{ ...added, name: "a" }, { ...added, name: "b", height: 1 }], false), plain);
});

test("short names of layers differ from each other", () => {
  assert.deepEqual(shortNames(["blocks.0", "blocks.11", "bn2"]), ["0", "11", "bn2"]);
  assert.deepEqual(shortNames(["features.1.0", "features.1.1", "features.3.0"]), ["1.0", "1.1", "3.0"]);
  assert.deepEqual(shortNames(["layers.0.blocks.1", "layers.1.blocks.1"]), ["0.1", "1.1"]);
  assert.deepEqual(shortNames(["a.act", "b.act"]), ["a.act", "b.act"]);
  assert.deepEqual(shortNames(["layers.0.act", "stem.act"]), ["layers.0.act", "stem.act"]);
});

test("a constant map is normalised to zeros, others to [0, 1]", () => {
  assert.deepEqual([...normalise(Float32Array.of(3, 3))], [0, 0]);
  assert.deepEqual([...normalise(Float32Array.of(-1, 0, 1))], [0, 0.5, 1]);
  assert.deepEqual(extent(Float32Array.of(2, -1, 0)), { low: -1, high: 2 });
});

test("a product is zero where a layer that counts is zero, and a layer without weight does not count", () => {
  const maps = [Float32Array.of(0, 1, 0.25), Float32Array.of(1, 1, 1)];
  const out = new Float32Array(3);
  mixProduct(maps.map(logarithm), [0.5, 0.5], out);
  assert.deepEqual([...out].map((value) => Math.round(1e4 * value) / 1e4), [0, 1, 0.5]);
  mixProduct(maps.map(logarithm), [0, 1], out);
  assert.deepEqual([...out], [1, 1, 1]);
  mixSum([maps[0], null], [1, 0], out);
  assert.deepEqual([...out], [0, 1, 0.25]);
});

test("weights without a sum have no shares", () => {
  assert.deepEqual(shares([1, 3]), [0.25, 0.75]);
  assert.deepEqual(shares([0, 0]), [0, 0]);
});

test("a mix says why there is none", () => {
  const layers = [{ name: "a", height: 1, width: 1 }, { name: "b", height: 1, width: 1 }];
  const record = { input: null, offsets: [0, 1], reasons: ["constant", null] };
  const content = new Content({ layers, maps: { m: record } }, Float32Array.of(0, 1));
  assert.match(partsOf(content, "m", { a: 0, b: 0 }).reason ?? "", /All weights are zero/);
  assert.match(partsOf(content, "m", { a: 1, b: 0 }).reason ?? "", /nothing to mix at the layers that have a weight/);
  assert.deepEqual(partsOf(content, "m", { a: 1, b: 0.5 }), { parts: [0, 1], reason: null });
});

test("a map's scale has its own ends, a diverging one is symmetric about zero, a shared one spans all", () => {
  assert.deepEqual(scaleOf(Float32Array.of(2, -1, 3), false), { low: -1, high: 3 });
  assert.deepEqual(scaleOf(Float32Array.of(0.5, -1, -3), true), { low: -3, high: 3 });
  assert.deepEqual(sharedScale([{ low: 0, high: 1 }, { low: -2, high: 0.5 }]), { low: -2, high: 1 });
  assert.equal(position(5, { low: 0, high: 4 }), 1);
  assert.equal(position(5, { low: 4, high: 4 }), 0);
});

test("single values far from the others do not flatten a diverging map", () => {
  const values = Float32Array.from({ length: 1000 }, (_, i) => (i % 2 ? -1 : 1) * (i + 1));
  values[7] = 1e6;
  assert.deepEqual(scaleOf(values, true), { low: -991, high: 991 });
  const sparse = new Float32Array(1000);
  sparse[3] = -5;
  assert.deepEqual(scaleOf(sparse, true), { low: -5, high: 5 }, "all but one are zero");
});

test("faded colours are those of the table, with an opacity of their position on the scale", () => {
  const table = Uint32Array.from({ length: 256 }, (_, i) => (0xff000000 | i) >>> 0);
  const colormaps = new Map([
    ["plain", { table, diverging: false, faded: false }],
    ["signed", { table, diverging: true, faded: false }],
  ]);
  const alphas = (/** @type {Uint32Array} */ pixels) => [...pixels].map((pixel) => pixel >>> 24);
  const faded = chooseColors({ colormaps, name: "plain", faded: true });
  assert.deepEqual(alphas(faded(false).table), alphas(table).map((_, i) => i));
  assert.deepEqual(alphas(faded(true).table), alphas(table).map((_, i) => Math.round(Math.abs(2 * i - 255))));
  for (const signed of [false, true]) {
    assert.deepEqual([...faded(signed).table].map((pixel) => pixel & 0xffffff), [...table].map((pixel) => pixel & 0xffffff));
    assert.equal(faded(signed).diverging, signed);
    assert.equal(chooseColors({ colormaps, name: "plain", faded: false })(signed).table, table);
  }
});

test("colouring in two steps uses the same levels as a single value's colour", () => {
  const table = Uint32Array.from({ length: 256 }, (_, i) => i);
  const levels = new Uint8Array(5);
  quantise(Float32Array.of(-9, 0, 0.5, 1, 9), { low: 0, high: 1 }, levels);
  assert.deepEqual([...levels], [0, 0, 128, 255, 255]);
  const pixels = new Uint32Array(5);
  paintLevels(levels, table, pixels);
  assert.deepEqual([...pixels], [0, 0, 128, 255, 255]);
  assert.equal(cssColor(0.5, { low: 0, high: 1 }, table), "rgb(128 0 0)");
});

const META = {
  schema: [
    { name: "left", kind: "method", default: "normgrad" },
    { name: "layer", kind: "layer", default: null },
    { name: "weights", kind: "weights", default: [] },
    { name: "how", kind: "choice", choices: ["product", "sum"], default: "product" },
    { name: "opacity", kind: "number", low: 0, high: 1, default: 0.6 },
    { name: "mixed", kind: "flag", default: false },
    { name: "layers", kind: "layers", most: 2, default: [] },
  ],
  allLayers: [
    { name: "input", stage: null },
    { name: "a", stage: 1 },
    { name: "a.conv", stage: null },
    { name: "b", stage: 2 },
    { name: "b.conv", stage: null },
  ],
  methods: [{ name: "normgrad" }, { name: "grad_cam" }],
  layers: [{ name: "a" }, { name: "b" }],
  defaults: { left: "grad_cam", layer: "b" },
};

test("an empty view gets the defaults, those of the explanation before those of the schema", () => {
  const view = completeView({}, META);
  assert.deepEqual(view, { left: "grad_cam", layer: "b", weights: { a: 1, b: 1 }, how: "product", opacity: 0.6, mixed: false, layers: [] });
});

test("what cannot be used gets the default, and numbers are clamped", () => {
  const given = /** @type {any} */ ({ left: "x", layer: 3, weights: "y", how: "mean", opacity: 7, mixed: "1", other: 1 });
  const view = completeView(given, META);
  assert.deepEqual(view, { left: "grad_cam", layer: "b", weights: { a: 1, b: 1 }, how: "product", opacity: 1, mixed: false, layers: [] });
});

test("weights equal to the last ones keep their identity, so that nothing is mixed again", () => {
  const before = completeView({ weights: { a: 1, b: 0.5 } }, META);
  const after = completeView({ ...before, weights: { a: 1, b: 0.5 }, opacity: 0.1 }, META, before);
  assert.equal(after.weights, before.weights);
  assert.notEqual(completeView({ ...before, weights: { a: 1, b: 0.25 } }, META, before).weights, before.weights);
});

test("extra layers are those of the network beside its stages, in its order, and not more than the most", () => {
  const layersOf = (/** @type {any} */ layers) => completeView({ layers }, META).layers;
  assert.deepEqual(layersOf(["a.conv", "input", "a.conv"]), ["input", "a.conv"]);
  assert.deepEqual(layersOf(["b", "nowhere", "b.conv"]), ["b.conv"]);
  assert.deepEqual(layersOf(["input", "a.conv", "b.conv"]), ["input", "a.conv"]);
  for (const nonsense of ["input", 3, null, { input: 1 }]) assert.deepEqual(layersOf(nonsense), []);
  assert.deepEqual(completeView({ layers: ["input"] }, { ...META, allLayers: null }).layers, []);
});

test("a layer that is added gets the weight of the others if they are all equal, else none, and leaves the others theirs", () => {
  assert.deepEqual(carryWeights({ a: 0.5, b: 0.5 }, ["input", "a", "b"]), { input: 0.5, a: 0.5, b: 0.5 });
  assert.deepEqual(carryWeights({ a: 1, b: 0.5 }, ["input", "a", "b"]), { input: 0, a: 1, b: 0.5 });
  assert.deepEqual(carryWeights({ input: 0.2, a: 1, b: 0.5 }, ["a", "b"]), { a: 1, b: 0.5 });
  assert.deepEqual(carryWeights({ x: 1 }, ["a", "b"]), { a: 0, b: 0 });
});

test("weights are completed with zeros, scaled to the sliders, and one if there is none", () => {
  assert.deepEqual(completeWeights({ a: 4, b: 2 }, ["a", "b"]), { a: 1, b: 0.5 });
  assert.deepEqual(completeWeights({ a: 0.5, z: 9 }, ["a", "b"]), { a: 0.5, b: 0 });
  assert.deepEqual(completeWeights({ a: -1, b: Number.NaN }, ["a", "b"]), { a: 1, b: 1 });
  assert.deepEqual(completeWeights({ a: 0, b: 0 }, ["a", "b"]), { a: 0, b: 0 });
});

test("something is done again exactly when an input is another value", () => {
  let times = 0;
  const draw = whenChanged((/** @type {{list: number[], name: string}} */ { list, name }) => `${list.length} ${name} ${++times}`);
  const list = [1];
  assert.equal(draw({ list, name: "a" }), "1 a 1");
  assert.equal(draw({ list, name: "a" }), "1 a 1");
  assert.equal(draw({ list, name: "b" }), "1 b 2");
  assert.equal(draw({ list: [1], name: "b" }), "1 b 3");
});

test("what failed is tried again", () => {
  let times = 0;
  const draw = whenChanged((/** @type {{a: number}} */ _) => {
    if (++times === 1) throw new Error("once");
    return times;
  });
  assert.throws(() => draw({ a: 1 }), /once/);
  assert.equal(draw({ a: 1 }), 2);
});

test("data that arrives again keeps the identity of its equal parts", () => {
  const before = { layers: [{ name: "a" }], box: [0, 1], label: "cat" };
  const after = { layers: [{ name: "a" }], box: [0, 2], label: "cat" };
  const merged = shared(before, after);
  assert.equal(merged.layers, before.layers);
  assert.deepEqual(merged, after);
  assert.equal(shared(before, structuredClone(before)), before);
  assert.deepEqual(shared([1, 2], [1]), [1]);
  assert.deepEqual(shared({ a: 1 }, [1]), [1]);
  assert.equal(shared({ a: 1 }, null), null);
});
