/** What correlations mean in words and colours, and figures between two sizes of the meta step. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { change } from "../../saliency_core/viewer/web/core/format.js";
import { BANDS, changeOf, dialPosition, meaningOf, tintOf } from "../../saliency_core/viewer/web/modes/classes/correlation.js";
import { probabilityAfterStep } from "../../saliency_core/viewer/web/modes/classes/meta-steps.js";

test("every correlation has words, and low and negative ones say that the class decides", () => {
  for (const [from, words] of BANDS) if (from >= -1) assert.equal(meaningOf(from), words);
  assert.match(meaningOf(1), /^The same map/);
  assert.match(meaningOf(0), /^Unrelated maps: they depend on the class/);
  assert.match(meaningOf(-1), /^Opposite maps: .* different locations/);
  for (const value of [0.39, 0.05, -0.2]) assert.match(meaningOf(value), /depend on the class/);
});

test("the dial runs from the same map on the left to opposite locations on the right", () => {
  assert.deepEqual([1, 0, -1, 1.2].map(dialPosition), [0, 0.5, 1, 0]);
});

test("a colour is as strong as its correlation, and strong enough for white figures where they are white", () => {
  assert.deepEqual(tintOf(0), { sign: "same", strength: 0, strong: false });
  assert.deepEqual(tintOf(0.69), { sign: "same", strength: 69, strong: false });
  assert.deepEqual(tintOf(-0.7), { sign: "opposite", strength: 82, strong: true });
  assert.deepEqual(tintOf(1), { sign: "same", strength: 100, strong: true });
});

test("a change is undefined where one of the figures is, and says which", () => {
  const figure = (/** @type {number | null} */ value, reason = "") => ({ value, reason });
  assert.deepEqual(changeOf(figure(0.75), figure(0.25)), figure(-0.5));
  assert.deepEqual(changeOf(figure(null, "Constant."), figure(0.5)), figure(null, "Undefined before the step. Constant."));
  assert.deepEqual(changeOf(figure(0.5), figure(null, "Constant.")), figure(null, "Undefined after the step. Constant."));
});

test("a probability is written alone, or before and after the step", () => {
  assert.equal(change(0.938, null), "94%");
  assert.equal(change(0.938, 0.991), "94% → 99%");
});

test("between two computed sizes a probability is interpolated", () => {
  const steps = [
    { epsilon: 0, maps: [], probabilities: [0.2, 0.1] },
    { epsilon: 0.01, maps: [], probabilities: [0.6, 0.3] },
  ];
  const sweep = { method: "normgrad", ascend: false, complete: true, steps };
  assert.equal(probabilityAfterStep(sweep, 0, 0.01), 0.6);
  assert.ok(Math.abs(probabilityAfterStep(sweep, 1, 0.005) - 0.2) < 1e-12);
});
