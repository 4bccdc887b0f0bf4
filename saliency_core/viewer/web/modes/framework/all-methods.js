/** All named methods at all layers, as thumbnails. */

import { element, setText } from "./dom.js";
import { layerSize } from "./format.js";
import { extent, resize } from "./maths.js";
import { paint, scaleOf } from "./colors.js";
import { THUMBNAIL } from "./thumbnail.js";

/** `viewer` gives payload and view; `open(method, layer)` is called on a click. */
export class Catalogue {
  constructor(viewer, open) {
    this.viewer = viewer;
    this.open = open;
    this.thumbnails = [];
    this.key = null;
    this.image = new ImageData(THUMBNAIL, THUMBNAIL);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.values = new Float32Array(THUMBNAIL * THUMBNAIL);
    this.place = element("div", { class: "catalogue-scroll" });
    this.missing = element("p", { class: "hint" });
    this.element = element(
      "section",
      { class: "catalogue", role: "tabpanel", "aria-label": "All methods by layer", "data-testid": "catalogue" },
      this.place,
      this.missing,
    );
  }

  /** Forgets what is drawn: the maps are new. */
  take() {
    this.key = null;
  }

  /** Draws all thumbnails, unless they are drawn already. */
  draw(table, diverging) {
    const { payload, view } = this.viewer;
    const key = `${payload.meta.keys.maps} ${view.colormap}`;
    if (key === this.key) return;
    this.key = key;
    this.#build();
    for (const { name, layer, canvas, button, label } of this.thumbnails) {
      const map = payload.map(name, layer);
      canvas.hidden = map.reason !== null;
      button.title = map.reason ?? "";
      button.setAttribute("aria-label", map.reason ? `${label}: ${map.reason}` : `${label}: open beside Grad-CAM`);
      if (map.reason) continue;
      resize(map.values, map.height, map.width, THUMBNAIL, this.values);
      paint(this.values, scaleOf([extent(this.values)], diverging), table, this.pixels);
      canvas.getContext("2d", { willReadFrequently: true }).putImageData(this.image, 0, 0);
    }
  }

  #build() {
    const { payload } = this.viewer;
    const { layers } = payload.meta;
    const named = [...payload.methods.values()].filter((method) => !method.plainCell);
    const shown = named.filter((method) => method.maps !== null);
    const missing = named.filter((method) => method.maps === null && method.unavailable === null);
    const identity = JSON.stringify([layers.map((layer) => [layer.name, layer.height, layer.width]), shown.map((method) => method.name)]);
    const text = missing.map((method) => method.title).join(", ");
    setText(this.missing, text && `Not computed yet: ${text}. Choose one on the page Compare and it appears here.`);
    if (identity === this.identity) return;
    this.identity = identity;
    this.thumbnails = [];
    const heads = layers.map((layer) =>
      element("span", { class: "layer-name" }, element("b", { text: layer.name }), element("small", { text: layerSize(layer) })),
    );
    const lines = [element("span", { class: "catalogue-corner" }), ...heads];
    let family = null;
    for (const method of shown) {
      if (method.family !== family) lines.push(element("h3", { class: "catalogue-family", text: method.family }));
      family = method.family;
      lines.push(element("span", { class: "row-label", text: method.title }), ...this.#thumbnails(method, layers));
    }
    this.place.replaceChildren(element("div", { class: "catalogue-grid" }, ...lines));
  }

  #thumbnails(method, layers) {
    const input = method.maps.input !== null;
    const buttons = (input ? layers.slice(0, 1) : layers).map((layer, i) => {
      const canvas = element("canvas", { class: "map", width: THUMBNAIL, height: THUMBNAIL, "aria-hidden": "true" });
      const where = input ? "input" : layer.name;
      const button = element(
        "button",
        {
          type: "button",
          class: "thumb",
          "data-testid": `thumb-${method.name}-${where}`,
          onclick: () => this.open(method.name, layer.name),
        },
        element("span", { class: "thumb-photo" }, canvas),
      );
      this.thumbnails.push({ name: method.name, layer: i, canvas, button, label: `${method.title} at ${where}` });
      return button;
    });
    return input ? [...buttons, element("span", { class: "catalogue-remark", text: "one map, of the input itself" })] : buttons;
  }
}
