/** Pointer, wheel and keyboard on a stage: cursor, pan and zoom. Independent of maps. */

const DOUBLE_CLICK_ZOOM = 2.5;
const BUTTON_ZOOM = 1.5;
const COARSE_STEP = 1 / 56;
const FINE_STEP = 1 / 448;

/** @type {Record<string, number[]>} */
const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * What pointer and keys do. Points and differences are fractions of the stage, in step() of the input region.
 *
 * @typedef {object} PointerActions
 * @property {boolean} pannable
 * @property {boolean} zoomed
 * @property {(factor: number, at?: number[]) => void} zoom
 * @property {(difference: number[]) => void} pan
 * @property {() => void} reset
 * @property {(at: number[]) => void} point
 * @property {(difference: number[]) => void} step
 * @property {() => void} leave
 */

/**
 * Listens on one stage.
 *
 * @param {HTMLElement} stage
 * @param {PointerActions} actions
 */
export function listen(stage, actions) {
  /** @type {Map<number, number[]>} */
  const pointers = new Map();
  let panning = false;

  const fraction = (/** @type {MouseEvent} */ event) => {
    const { left, top, width, height } = stage.getBoundingClientRect();
    return [(event.clientX - left) / width, (event.clientY - top) / height];
  };

  stage.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      actions.zoom(Math.exp(-event.deltaY * (event.deltaMode === 0 ? 0.004 : 0.1)), fraction(event));
    },
    { passive: false },
  );

  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    pointers.set(event.pointerId, fraction(event));
    panning = actions.pannable && (event.pointerType === "mouse" || actions.zoomed);
    if (panning || pointers.size > 1) stage.setPointerCapture(event.pointerId);
    stage.classList.toggle("grabbed", panning && event.pointerType === "mouse");
    if (pointers.size === 1) actions.point(fraction(event));
  });

  stage.addEventListener("pointermove", (event) => {
    const at = fraction(event);
    const before = pointers.get(event.pointerId);
    if (!before) {
      if (event.pointerType === "mouse") actions.point(at);
      return;
    }
    if (pointers.size === 2) {
      const [, other] = [...pointers.entries()].filter(([id]) => id !== event.pointerId)[0];
      const distance = (/** @type {number[]} */ point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
      actions.pan([(at[0] - before[0]) / 2, (at[1] - before[1]) / 2]);
      if (distance(before) > 0.01) actions.zoom(distance(at) / distance(before), [(at[0] + other[0]) / 2, (at[1] + other[1]) / 2]);
    } else if (panning) {
      actions.pan([at[0] - before[0], at[1] - before[1]]);
    }
    if (pointers.size === 1) actions.point(at);
    pointers.set(event.pointerId, at);
  });

  const release = (/** @type {PointerEvent} */ event) => {
    pointers.delete(event.pointerId);
    if (pointers.size === 0) panning = false;
    stage.classList.remove("grabbed");
  };
  stage.addEventListener("pointerup", release);
  stage.addEventListener("pointercancel", release);
  stage.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse" && !pointers.has(event.pointerId)) actions.leave();
  });

  stage.addEventListener("dblclick", (event) => {
    if (actions.zoomed) actions.reset();
    else actions.zoom(DOUBLE_CLICK_ZOOM, fraction(event));
  });

  stage.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const direction = DIRECTIONS[event.key];
    const step = event.shiftKey ? FINE_STEP : COARSE_STEP;
    if (direction) actions.step([direction[0] * step, direction[1] * step]);
    else if (event.key === "+" || event.key === "=") actions.zoom(BUTTON_ZOOM);
    else if (event.key === "-" || event.key === "_") actions.zoom(1 / BUTTON_ZOOM);
    else if (event.key === "0") actions.reset();
    else if (event.key === "Escape") actions.leave();
    else return;
    event.preventDefault();
  });
}
