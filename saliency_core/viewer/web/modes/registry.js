/** The modes, by the names that Python knows them by. A new mode is one more entry. */

import { Compare } from "./compare.js";
import { Mix } from "./mix.js";
import { Framework } from "./framework/framework.js";
import { Classes } from "./classes/classes.js";
import { Why } from "./why.js";
import { Point } from "./point/point.js";

/** @type {Record<string, import("./mode.js").ModeClass>} */
export const MODES = {
  compare: Compare,
  mix: Mix,
  framework: Framework,
  classes: Classes,
  why: Why,
  point: Point,
};
