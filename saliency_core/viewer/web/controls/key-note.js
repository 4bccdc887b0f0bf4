/** The note on the page's own keys: what the arrows do, and which method each digit means. */

import { element, iconButton } from "./dom.js";
import { METHOD_KEYS } from "./keys.js";
import { shared, whenChanged } from "../core/redraw.js";

/** @import { Payload } from "../core/payload.js" */
/** @import { Keys } from "../modes/mode.js" */

const CROSS = '<path d="M6 6l8 8M14 6l-8 8"/>';
/** Where the browser remembers that the note was hidden. */
const DISMISSED = "normgrad-key-note";

/** A window that is not a phone's. */
const KEYBOARD = "(hover: hover) and (min-width: 641px)";

/** What the arrows walk through. */
const WALKS = { layers: "One layer back or on", weights: "One layer alone, then the next" };

/** Keys and what they do; `state` is what else is to be said of a method. @typedef {{keys: string[], text: string, state: string}} Line */

/** @typedef {{heading: string, lines: Line[]}} Group */

export class KeyNote {
  constructor() {
    /** @type {Group[]} */
    this.groups = [];
    this.body = element("div", { class: "key-groups" });
    this.write = whenChanged((/** @type {{groups: Group[]}} */ { groups }) => this.body.replaceChildren(...groups.map(written)));
    const close = iconButton("Hide the keys", CROSS, () => this.#dismiss(), { "data-testid": "key-note-close" });
    this.element = element(
      "aside",
      { class: "key-note", popover: "manual", "aria-label": "Keys", "data-testid": "key-note" },
      this.body,
      close,
    );
  }

  get shown() {
    return this.element.matches(":popover-open");
  }

  /** What the note says, for screen readers. */
  get text() {
    const line = (/** @type {Line} */ { keys, text, state }) => `${keys.join(" ")}: ${[text, state].filter(Boolean).join(", ")}`;
    return this.groups.map(({ heading, lines }) => [heading, ...lines.map(line)].join(". ")).join(". ");
  }

  /**
   * "offer" shows the note unless somebody has hidden it before, or has no room or keyboard for it.
   *
   * @param {"offer" | "toggle" | "hide"} what
   */
  show(what) {
    const on = what === "toggle" ? !this.shown : what === "offer" && !dismissed() && matchMedia(KEYBOARD).matches;
    this.element.togglePopover(on);
  }

  /**
   * @param {Keys} keys
   * @param {Payload} payload
   */
  draw(keys, payload) {
    this.groups = shared(this.groups, groupsOf(keys, payload));
    this.write({ groups: this.groups });
  }

  #dismiss() {
    this.show("hide");
    try {
      localStorage.setItem(DISMISSED, "1");
    } catch {
      // A frame without storage offers the note again.
    }
  }
}

function dismissed() {
  try {
    return localStorage.getItem(DISMISSED) !== null;
  } catch {
    return false;
  }
}

/**
 * @param {Keys} keys
 * @param {Payload} payload
 * @returns {Group[]}
 */
function groupsOf({ walk, methods, shown, place, other }, payload) {
  const digits = METHOD_KEYS.flatMap((name, i) => {
    if (!methods.includes(name)) return [];
    const { title, unavailable } = payload.method(name);
    return [{ keys: [String(i + 1)], text: title, state: unavailable ? "not available" : shown.includes(name) ? "shown" : "" }];
  });
  const page = [
    ...(walk === null ? [] : [{ keys: ["←", "→"], text: WALKS[walk], state: "" }]),
    ...(other === "" ? [] : [{ keys: ["Shift", "1–9"], text: `Method ${other}`, state: "" }]),
    { keys: ["?"], text: "Show or hide these keys", state: "" },
  ];
  return [
    { heading: "Keys", lines: page },
    { heading: `Method ${place}`, lines: digits },
  ].filter(({ lines }) => lines.length > 0);
}

/** @param {Group} group */
function written({ heading, lines }) {
  const entries = lines.map(({ keys, text, state }) =>
    element(
      "div",
      { "data-state": state },
      element("dt", {}, ...keys.map((key) => element("kbd", { text: key }))),
      element("dd", { text }, state === "not available" ? element("small", { text: state }) : null),
    ),
  );
  return element("section", {}, element("h2", { text: heading }), element("dl", {}, ...entries));
}
