/** The view: everything a person has chosen, as it is stored in the address. */

/** The two panels, in reading order. */
export const SIDES = ["left", "right"];

const HOWS = ["product", "sum"];
const SCALES = ["panel", "shared"];

/** The wished name if it exists, else the default. */
function choice(wish, names, fallback) {
  return names.includes(wish) ? wish : fallback;
}

/** Weights for every layer: missing ones 0, none at all 1, scaled down if one exceeds the sliders' end at 1. */
function completeWeights(wish, names) {
  const known = names.filter((name) => Number.isFinite(wish?.[name]) && wish[name] >= 0);
  const values = names.map((name) => (known.length === 0 ? 1 : known.includes(name) ? wish[name] : 0));
  const top = Math.max(1, ...values);
  return Object.fromEntries(names.map((name, i) => [name, values[i] / top]));
}

/** A full, valid view: what `wish` leaves open or asks in vain is filled from the payload's defaults. */
export function completeView(wish, meta) {
  const methods = meta.methods.map((method) => method.name);
  const layers = meta.layers.map((layer) => layer.name);
  const opacity = Number.isFinite(wish.opacity) ? Math.min(Math.max(wish.opacity, 0), 1) : meta.defaults.opacity;
  return {
    left: choice(wish.left, methods, meta.defaults.left),
    right: choice(wish.right, methods, meta.defaults.right),
    layer: choice(wish.layer, layers, meta.defaults.layer),
    weights: completeWeights(wish.weights, layers),
    how: choice(wish.how, HOWS, HOWS[0]),
    opacity,
    colormap: choice(wish.colormap, meta.colormaps.map((colormap) => colormap.name), meta.defaults.colormap),
    scale: choice(wish.scale, SCALES, SCALES[0]),
    mixed: wish.mixed === true,
    epsilon: Number.isFinite(wish.epsilon) && wish.epsilon >= 0 ? wish.epsilon : 0,
  };
}
