/** The toolbar: opacity, colours, scale, zoom, and the plain photo. */

import { element, icon, iconButton, rangeInput, select, setRange } from "./dom.js";
import { Segmented } from "./segmented.js";
import { whenChanged } from "../core/redraw.js";

const HOLD_MILLISECONDS = 350;
const BUTTON_FACTOR = 1.5;

const EYE =
  '<path d="M2.5 10S5.5 4.8 10 4.8 17.5 10 17.5 10 14.5 15.2 10 15.2 2.5 10 2.5 10Z"/>' +
  '<circle cx="10" cy="10" r="2.2"/>';
const MINUS = '<path d="M5 10h10"/>';
const PLUS = '<path d="M10 5v10M5 10h10"/>';
const FRAME =
  '<path d="M4 7V4h3M13 4h3v3M16 13v3h-3M7 16H4v-3"/><rect x="7.5" y="7.5" width="5" height="5"/>';
const BACK = '<path d="M4.5 8.5a6 6 0 1 1-.4 3.2"/><path d="M4 4.5v4h4"/>';

const FADE_HINT = "The lower a value, the more of the photo shows through";
const COLORS_HINT = "Colours of maps without a sign; maps with one always run from blue through white to red";
const SCALE_OPTIONS = [
  { name: "panel", title: "Per panel", hint: "Colours run from each map’s own smallest to its largest value" },
  { name: "shared", title: "Shared", hint: "Both maps on one scale: equal colours mean equal values" },
];

/**
 * `actions` has opacity(value) while the slider moves, settle() on its release, fade(on), colormap(name), scale(name),
 * zoom(factor), reset(), toBox() and peek(on).
 */
export class Toolbar {
  /** @param {Record<string, (value?: any) => void>} actions */
  constructor(actions) {
    this.offerColormaps = whenChanged((/** @type {{colormaps: any[]}} */ { colormaps }) =>
      this.colormap.replaceChildren(...select({}, colormaps.filter(({ kind }) => kind !== "diverging")).children),
    );
    this.opacity = rangeInput({
      min: 0,
      max: 1,
      step: 0.01,
      "aria-label": "Opacity of the maps",
      "data-testid": "opacity",
      oninput: () => actions.opacity(Number(this.opacity.value)),
      onchange: () => actions.settle(),
    });
    this.fade = element("input", { type: "checkbox", "data-testid": "fade", onchange: () => actions.fade(this.fade.checked) });
    const onchange = () => actions.colormap(this.colormap.value);
    this.colormap = select({ "aria-label": "Colours", title: COLORS_HINT, "data-testid": "colormap", onchange }, []);
    this.scale = new Segmented("Colour scale", "scale", SCALE_OPTIONS, actions.scale);
    this.peek = element(
      "button",
      {
        type: "button",
        class: "chip peek",
        "aria-pressed": "false",
        "aria-label": "Photo only",
        "data-testid": "peek",
        title: "Hide the maps; press and hold to hide them for a moment",
      },
      icon(EYE),
      element("span", { text: "Photo only" }),
    );
    this.#listenPeek(actions);
    this.lead = element("div", { class: "toolbar-lead" });
    this.scaleField = element(
      "div",
      { class: "field scale" },
      element("span", { class: "field-name", text: "Scale", "aria-hidden": "true" }),
      this.scale.element,
    );
    this.zoom = element(
      "div",
      { class: "button-group", role: "group", "aria-label": "Zoom" },
      iconButton("Zoom out", MINUS, () => actions.zoom(1 / BUTTON_FACTOR), { "data-testid": "zoom-out" }),
      iconButton("Zoom in", PLUS, () => actions.zoom(BUTTON_FACTOR), { "data-testid": "zoom-in" }),
      iconButton("Zoom to what the network sees", FRAME, actions.toBox, { "data-testid": "zoom-box" }),
      iconButton("Reset zoom", BACK, actions.reset, { "data-testid": "zoom-reset" }),
    );
    this.element = element(
      "div",
      { class: "toolbar", role: "group", "aria-label": "Picture" },
      this.lead,
      element("label", { class: "field opacity" }, element("span", { text: "Opacity" }), this.opacity),
      element("label", { class: "field fade", title: FADE_HINT }, this.fade, element("span", { text: "Fade low values" })),
      element(
        "label",
        { class: "field colors" },
        element("span", { class: "field-name", text: "Colours" }),
        element("span", { class: "select-wrap" }, this.colormap),
      ),
      this.scaleField,
      element("span", { class: "space" }),
      element("div", { class: "toolbar-view" }, this.peek, this.zoom),
    );
  }

  /**
   * Offers what a mode can do: its own `lead` comes first; zoom is for panels, scale where it is free.
   *
   * @param {import("../modes/mode.js").Mode} mode
   */
  setMode({ lead, zoomActions, fixedScale }) {
    this.lead.replaceChildren(...(lead ? [lead] : []));
    this.lead.hidden = !lead;
    this.zoom.hidden = !zoomActions;
    this.scaleField.hidden = !zoomActions || fixedScale === true;
  }

  /**
   * Offers the colour maps for maps without a sign.
   *
   * @param {any[]} colormaps
   */
  setColormaps(colormaps) {
    this.offerColormaps({ colormaps });
  }

  /**
   * @param {import("../core/view.js").View} view
   * @param {string | null} sharingObstacle why the panels cannot share a colour scale
   */
  set(view, sharingObstacle) {
    this.fade.checked = view.fade;
    setRange(this.opacity, view.opacity);
    this.opacity.setAttribute("aria-valuetext", `${Math.round(100 * view.opacity)}%`);
    this.colormap.value = view.colormap;
    this.scale.set(sharingObstacle === null ? view.scale : "panel");
    this.scale.disable("shared", sharingObstacle);
  }

  /**
   * A short press toggles the maps; a long one hides them only while it lasts.
   *
   * @param {Record<string, (value?: any) => void>} actions
   */
  #listenPeek(actions) {
    let pressed = 0;
    const set = (/** @type {boolean} */ on) => {
      this.peek.setAttribute("aria-pressed", String(on));
      actions.peek(on);
    };
    const shown = () => this.peek.getAttribute("aria-pressed") === "true";
    this.peek.addEventListener("pointerdown", () => {
      pressed = performance.now();
      if (!shown()) actions.peek(true);
    });
    this.peek.addEventListener("pointerleave", () => actions.peek(shown()));
    this.peek.addEventListener("click", () => {
      const long = pressed > 0 && performance.now() - pressed > HOLD_MILLISECONDS;
      pressed = 0;
      set(long ? shown() : !shown());
    });
  }
}
