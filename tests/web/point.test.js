/** The table of scores: which layer is the best, what counts as a hit or a miss, and the order of the rows. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Content } from "../../saliency_core/viewer/web/core/payload.js";
import { TOLERANCE } from "../../saliency_core/viewer/web/core/scores.js";
import { completeView } from "../../saliency_core/viewer/web/core/view.js";
import { boxesOf, Maps, Mixes, rowsOf, scoreAt, sorted, targetOf } from "../../saliency_core/viewer/web/modes/point/scoring.js";

const INPUT = [3, 32, 32];

/** A photo of 64 × 64 pixels, all of it seen, with an object in its left half; two layers and a map of the input. */
function scene() {
  const layers = ["early", "late"].map((name, i) => ({ name, channels: 1, height: 2, width: 2, stage: i + 1 }));
  const maps = [[0, 1, 0, 1], [3, 1, 1, 1], [1, 0, 0, 0], [2, 2, 2, 2], [0, 0, 1, 0]];
  const at = (/** @type {number} */ i, /** @type {string | null} */ reason = null) => ({ offset: 4 * i, height: 2, width: 2, reason });
  const meta = {
    layers,
    target: 7,
    region: [0, 0, 64, 64],
    photo: { original: [64, 64], width: 64, height: 64 },
    objects: [{ index: 7, label: "cat", box: [0, 0, 0.5, 1], pixels: [0, 0, 32, 64] }],
    maps: {
      sure: { input: null, offsets: [0, 4], reasons: [null, null] },
      flat: { input: null, offsets: [8, 12], reasons: [null, "The map is constant."] },
      here: { input: at(4) },
    },
  };
  const content = new Content(meta, Float32Array.from(maps.flat()));
  const methods = /** @type {any[]} */ (Object.entries(meta.maps).map(([name, record]) => ({ name, title: name, shortTitle: name, maps: record })));
  return { content, methods };
}

/** @param {"objects" | [number, number, number, number][]} boxes */
function scored(boxes, weights = { early: 1, late: 1 }) {
  const { content, methods } = scene();
  const maps = new Maps(content, INPUT);
  const mixes = new Mixes(maps, weights, "sum");
  mixes.make(methods, 1000);
  const target = targetOf({ content, size: maps.size, boxes: boxesOf(content, boxes) });
  return { content, rows: rowsOf({ methods, maps, mixes, made: mixes.known.size, target }) };
}

test("the known box counts until others are drawn; a constant map is a miss, a map of the input stands for every layer", () => {
  const [sure, flat, here] = scored("objects").rows;
  assert.deepEqual(sure.scores.map(({ state }) => state), ["miss", "hit", "hit"], "of equal places the first counts");
  assert.deepEqual([sure.best, sure.hits, sure.maps], [1, 1, 2]);
  assert.deepEqual(flat.scores.map(({ state }) => state), ["hit", "constant", "hit"]);
  assert.deepEqual([flat.best, flat.hits, flat.maps], [-1, 1, 2], "a layer alone is not the best");
  assert.equal(here.scores.length, 1);
  assert.equal(scoreAt(here, 0), scoreAt(here, 2));
});

test("boxes that no pixel of the network shows leave nothing to hit, and no box at all leaves the maxima", () => {
  for (const boxes of [[], [[64, 0, 70, 9]]]) {
    const [sure] = scored(/** @type {any} */ (boxes)).rows;
    assert.deepEqual(sure.scores.map(({ state, share }) => [state, share]), [["open", null], ["open", null], ["open", null]]);
    assert.notEqual(sure.scores[0].point, null);
  }
});

test("a maximum hits up to the tolerance beside a box, which is a disc and not a square", () => {
  const [sure] = scored([[0, 0, 1, 1]]).rows; // its maximum at the layer "late" is the corner
  const [x, y] = /** @type {[number, number]} */ (sure.scores[1].point);
  const beside = (/** @type {number} */ across, /** @type {number} */ down) => /** @type {[number, number, number, number]} */ ([x + across, y + down, x + across + 1, y + down + 1]);
  const states = [[TOLERANCE - 1, 0], [TOLERANCE, 0], [11, 10], [11, 11]].map(([across, down]) => scored([beside(across, down)]).rows[0].scores[1].state);
  assert.deepEqual(states, ["hit", "miss", "hit", "miss"]);
});

test("rows are sorted by the share in a column or by hits, and stay as they are for a column that is not there", () => {
  const { content, rows } = scored("objects");
  const names = (/** @type {string} */ sort) => sorted({ rows, sort, content }).map(({ method }) => method.name);
  assert.deepEqual(names("method"), ["sure", "flat", "here"]);
  assert.deepEqual(names("early"), ["flat", "here", "sure"]);
  assert.deepEqual(names("hits")[0], "here");
  assert.equal(sorted({ rows, sort: "gone", content }), rows);
});

test("a layer without weight is not in the mix, and without any weight there is none", () => {
  const alone = scored("objects", { early: 0, late: 1 }).rows[0];
  assert.equal(alone.scores[2].state, "hit");
  assert.equal(scored("objects", { early: 0, late: 0 }).rows[0].scores[2].state, "none");
});

test("boxes of a view are clipped to the photo, and those beside it are left out", () => {
  const schema = [{ name: "boxes", kind: "boxes", default: "objects", most: 2 }];
  const meta = { schema, photo: { original: [64, 48] }, defaults: {} };
  const read = (/** @type {any} */ boxes) => completeView({ boxes }, meta).boxes;
  assert.deepEqual(read([[-5, 3, 20, 60], [70, 0, 80, 5], [1, 2, 3]]), [[0, 3, 20, 48]]);
  assert.deepEqual(read(Array(5).fill([0, 0, 1, 1])).length, 2);
  assert.deepEqual([read("objects"), read("all"), read(null), read([])], ["objects", "objects", "objects", []]);
});
