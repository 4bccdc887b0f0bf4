/** Where photo and input region lie on a stage, zoom, and the sizes of a meta step. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { epsilonAt, figureAfterStep, mapAfterStep, positionOf } from "../../saliency_core/viewer/web/modes/classes/meta-steps.js";
import { Content } from "../../saliency_core/viewer/web/core/payload.js";
import { Stage, Zoom } from "../../saliency_core/viewer/web/panels/stage.js";

/** @type {[{width: number, height: number}, [number, number, number, number]][]} */
const LAYOUTS = [
  [{ width: 400, height: 300 }, [50, 0, 350, 300]],
  [{ width: 2000, height: 300 }, [850, 0, 1150, 300]],
  [{ width: 300, height: 900 }, [0, 300, 300, 600]],
  [{ width: 300, height: 200 }, [0, -50, 300, 250]], // padded: the region reaches beyond the photo
];

test("the input region lies on the stage as a whole, in its own proportions, and the stage keeps its own", () => {
  for (const [photo, box] of LAYOUTS) {
    for (const given of [1, 1.7]) {
      const stage = new Stage(photo, box, given);
      const [left, top, right, bottom] = stage.box;
      assert.ok(left >= -1e-9 && top >= -1e-9 && right <= 1 + 1e-9 && bottom <= 1 + 1e-9);
      const aspect = ((right - left) * stage.aspect) / (bottom - top);
      assert.ok(Math.abs(aspect - (box[2] - box[0]) / (box[3] - box[1])) < 1e-9);
      assert.equal(stage.aspect, given);
    }
  }
});

test("zooming keeps the point under the pointer, and never leaves the scene", () => {
  for (const [photo, box] of LAYOUTS) {
    const zoom = new Zoom(new Stage(photo, box, 1));
    zoom.toBox();
    const at = [0.4, 0.6];
    const before = zoom.sceneAt(at);
    zoom.by(1.5, at);
    const after = zoom.sceneAt(at);
    assert.ok(Math.hypot(after[0] - before[0], after[1] - before[1]) < 1e-9);
    zoom.by(1e6, at);
    assert.equal(zoom.scale, 16);
    zoom.pan([99, -99]);
    const { all } = zoom.stage;
    assert.ok(zoom.sceneAt([0, 0])[0] >= all[0] - 1e-9 && zoom.sceneAt([1, 1])[1] <= all[3] + 1e-9);
    zoom.reset();
    assert.deepEqual([zoom.scale, zoom.shift, zoom.zoomed], [1, [0, 0], false]);
  }
});

test("a position among the computed sizes and its size are inverse to each other", () => {
  const sizes = [0, 0.001, 0.01, 0.1];
  assert.deepEqual(sizes.map((size) => positionOf(sizes, size)), [0, 1, 2, 3]);
  assert.ok(Math.abs(positionOf(sizes, Math.sqrt(0.001 * 0.01)) - 1.5) < 1e-9);
  for (const at of [0, 0.3, 1, 1.25, 2.9, 3]) assert.ok(Math.abs(positionOf(sizes, epsilonAt(sizes, at)) - at) < 1e-9);
  assert.equal(positionOf(sizes, 5), 3);
  assert.equal(positionOf([0], 0.1), 0);
});

test("maps and figures between two sizes lie between theirs", () => {
  const layers = [{ name: "a", height: 1, width: 2 }];
  const record = (/** @type {number} */ offset) => ({ input: null, offsets: [offset], reasons: [null] });
  const content = new Content({ layers, maps: {} }, Float32Array.of(0, 1, 1, 3));
  const steps = [{ epsilon: 0, maps: [record(0), record(0)] }, { epsilon: 0.01, maps: [record(2), record(2)] }];
  const sweep = { method: "m", ascend: false, complete: true, authors: 0.0025, steps };
  assert.deepEqual([...(mapAfterStep(content, sweep, 0, 0, 0.005).values ?? [])], [0.5, 2]);
  assert.deepEqual([...(mapAfterStep(content, sweep, 1, 0, 0.01).values ?? [])], [1, 3]);
  const figures = [{ value: 1, reason: "" }, { value: 0, reason: "" }];
  assert.deepEqual(figureAfterStep([0, 0.01], figures, 0.0025), { value: 0.75, reason: "", interpolated: true });
  assert.deepEqual(figureAfterStep([0, 0.01], figures, 0), figures[0]);
  const undefinedAfter = { value: null, reason: "constant" };
  assert.equal(figureAfterStep([0, 0.01], [figures[0], undefinedAfter], 0.005), undefinedAfter);
});
