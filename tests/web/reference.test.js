/** The browser's arithmetic against saliency_core's: tests/test_web.py exports the cases and runs this. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { METHOD_KEYS } from "../../saliency_core/viewer/web/controls/keys.js";
import { packTable, paint, scaleOf } from "../../saliency_core/viewer/web/core/colors.js";
import { percent } from "../../saliency_core/viewer/web/core/format.js";
import { absolutePercentile, energyInside, normalise, resize, resizedAt } from "../../saliency_core/viewer/web/core/maths.js";
import { mixInto } from "../../saliency_core/viewer/web/core/mixing.js";
import { Content } from "../../saliency_core/viewer/web/core/payload.js";
import { Cover, distanceTo, pointInPhoto, ScoredMap } from "../../saliency_core/viewer/web/core/scores.js";
import { completeView } from "../../saliency_core/viewer/web/core/view.js";
import { targetOf } from "../../saliency_core/viewer/web/modes/point/scoring.js";
import { MODES } from "../../saliency_core/viewer/web/modes/registry.js";

const path = process.env.VIEWER_REFERENCE;
const skip = path ? false : "run by pytest tests/test_web.py, which exports the cases";
const cases = path ? JSON.parse(readFileSync(path, "utf8")) : { resized: [], mixed: [], painted: [], reaches: [], inside: [], scored: [], percents: [] };

/**
 * @param {Float32Array} found
 * @param {number[]} expected
 * @param {number} tolerance
 */
function assertClose(found, expected, tolerance) {
  assert.equal(found.length, expected.length);
  const worst = expected.reduce((most, value, i) => Math.max(most, Math.abs(value - found[i])), 0);
  assert.ok(worst <= tolerance, `differs by up to ${worst}`);
}

test("shares are written as on the app's pages", { skip }, () => {
  assert.ok(cases.percents.length > 0);
  for (const [share, text] of cases.percents) assert.equal(percent(share), text);
});

test("the energy inside boxes is that of saliency_core", { skip }, () => {
  assert.ok(cases.inside.length > 0);
  for (const { values, size, boxes, share } of cases.inside) {
    const found = energyInside(Float32Array.from(values), size, boxes);
    if (share === null) assert.equal(found, null);
    else assert.ok(Math.abs(/** @type {number} */ (found) - share) < 1e-6);
  }
});

test("maxima, distances and shares are those of a slow definition: ties, boxes that overlap, are cut off or are not seen", { skip }, () => {
  assert.ok(cases.scored.length > 0);
  for (const { values, height, width, size, photo, region, boxes, place, point, distance, share } of cases.scored) {
    const content = /** @type {any} */ ({ region, photo: { original: photo } });
    const target = targetOf({ content, size, boxes });
    const map = new ScoredMap(Float32Array.from(values), height, width, new Cover([[0, 0, 1, 1]], size));
    assert.deepEqual(map.place, place);
    assert.deepEqual(pointInPhoto(map.place, size, region), point);
    const found = distanceTo(/** @type {[number, number]} */ (point), target.boxes);
    if (distance === null) assert.deepEqual([target.boxes, found], [[], Infinity]);
    else {
      assert.ok(Math.abs(found - distance) < 1e-9);
      const inside = map.share(target.cover);
      if (share === null) assert.equal(inside, null);
      else assert.ok(Math.abs(/** @type {number} */ (inside) - share) < 1e-6);
    }
  }
});

test("maps are resized and normalised as by saliency_core", { skip }, () => {
  assert.ok(cases.resized.length > 0);
  for (const { values, height, width, size, resized, normalised } of cases.resized) {
    const map = Float32Array.from(values);
    const found = resize(map, height, width, size);
    assertClose(found, resized, 1e-5);
    for (const [x, y] of [[0, 0], [size - 1, 0], [1, size - 1], [size >> 1, size >> 1]]) {
      assert.ok(Math.abs(resizedAt(map, height, width, size, x, y) - found[y * size + x]) < 1e-5);
    }
    assertClose(normalise(found), normalised, 1e-4);
  }
});

test("layers are mixed as by saliency_core.combine", { skip }, () => {
  assert.ok(cases.mixed.length > 0);
  for (const { layers, values, weights, how, size, mixed } of cases.mixed) {
    const offsets = [];
    let end = 0;
    for (const layer of layers) {
      offsets.push(end);
      end += layer.height * layer.width;
    }
    const record = { input: null, offsets, reasons: layers.map((/** @type {any} */ layer) => layer.reason) };
    const content = new Content({ layers, maps: { normgrad: record } }, Float32Array.from(values));
    const out = new Float32Array(size * size);
    assert.equal(mixInto({ content, method: "normgrad", weights, how, size }, out), null);
    assertClose(out, mixed, 2e-5);
  }
});

test("values are coloured as by saliency_core.render", { skip }, () => {
  assert.ok(cases.painted.length > 0);
  for (const { values, table, diverging, pixels } of cases.painted) {
    const found = new Uint32Array(values.length);
    paint(Float32Array.from(values), scaleOf(Float32Array.from(values), diverging), packTable(Uint8Array.from(table)), found);
    const channels = [...found].flatMap((pixel) => [pixel & 255, (pixel >> 8) & 255, (pixel >> 16) & 255]);
    assert.deepEqual(channels, pixels);
  }
});

test("a signed map's scale reaches to the 99th percentile of its absolute values", { skip }, () => {
  assert.ok(cases.reaches.length > 0);
  for (const { values, reach } of cases.reaches) {
    assert.equal(absolutePercentile(Float32Array.from(values), 0.99), reach);
    assert.deepEqual(scaleOf(Float32Array.from(values), true), { low: -reach, high: reach });
  }
});

test("every digit means a method that each explanation has at once", { skip }, () => {
  assert.deepEqual(METHOD_KEYS.filter((name) => !cases["at once"].includes(name)), []);
  assert.equal(new Set(METHOD_KEYS).size, 9);
});

test("the modes are those that Python knows", { skip }, () => {
  assert.deepEqual(Object.keys(MODES), cases.modes);
});

test("every field of Python's schema is understood: its default and another value", { skip }, () => {
  const { described, defaults, given, layers, methods } = cases.view;
  const names = (/** @type {string[]} */ list) => list.map((name) => ({ name }));
  const allLayers = given.layers.map((/** @type {string} */ name) => ({ name, stage: null }));
  const meta = { schema: described, photo: { original: [100, 100] }, layers: names(layers), allLayers, methods: names(methods), defaults: { layer: layers[0] } };
  const weights = Object.fromEntries(layers.map((/** @type {string} */ layer) => [layer, 1]));
  assert.deepEqual(completeView({}, meta), { ...defaults, layer: layers[0], weights });
  assert.deepEqual(completeView(given, meta), given);
});
