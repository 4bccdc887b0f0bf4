/** The picker of a method, and the popover that describes it. */

import { element, iconButton, select, setText } from "./dom.js";
import { shared, whenChanged } from "../core/redraw.js";

/** @import { Method } from "../core/payload.js" */
/** @typedef {Map<string, Method>} Methods */

const INFO = '<circle cx="10" cy="10" r="7.2"/><path d="M10 9.2v4.3"/><path d="M10 6.4v.1"/>';
const EDGE = 8;
const WIDTH = 400;

/**
 * Options for select(): grouped by family, with the cost where it is not the shared pass, or why not at all.
 *
 * @param {Methods} methods
 */
function methodOptions(methods) {
  return [...methods.values()].map(({ name, title, family, cost, domain, unavailable }) => {
    const remark = unavailable ? (domain ?? "not for this network") : cost;
    return { name, family, title: remark ? `${title} — ${remark}` : title, reason: unavailable };
  });
}

/**
 * One sentence per reason, naming the methods that are disabled for it.
 *
 * @param {Methods} methods
 */
function obstacles(methods) {
  /** @type {Map<string, string[]>} */
  const reasons = new Map();
  for (const { title, unavailable } of methods.values()) {
    if (unavailable) reasons.set(unavailable, [...(reasons.get(unavailable) ?? []), title]);
  }
  return [...reasons].map(([reason, titles]) => ({ titles: titles.join(", "), reason }));
}

/**
 * A formula as MathML; it comes from the registry, never from a user.
 *
 * @param {string} mathml
 * @param {string} className
 */
export function formula(mathml, className) {
  const node = element("span", { class: className });
  node.innerHTML = mathml;
  return node;
}

/** The head of a panel whose method can be chosen: picker, all about the method, one sentence on it. */
export class MethodHead {
  /**
   * @param {string} side
   * @param {string} label
   * @param {(name: string) => void} onmethod called for a choice
   */
  constructor(side, label, onmethod) {
    /** @type {Method | null} */
    this.method = null;
    /** @type {Methods} */
    this.methods = new Map();
    /** @type {unknown} */
    this.options = null;
    this.offer = whenChanged((/** @type {{options: any}} */ { options }) =>
      this.select.replaceChildren(...select({}, options).children),
    );
    this.about = new About(side, () => ({ method: /** @type {Method} */ (this.method), methods: this.methods }));
    this.sheet = this.about.sheet;
    this.select = select(
      { class: "method", "data-testid": `method-${side}`, "aria-label": label, onchange: () => onmethod(this.select.value) },
      [],
    );
    this.title = element("span", { class: "method method-title", "aria-hidden": "true" });
    this.summary = element("p", { class: "summary" });
    this.element = element(
      "header",
      {},
      element("div", { class: "method-wrap" }, this.title, this.select),
      this.about.button,
      this.summary,
    );
  }

  /**
   * Fills the list of methods; rebuilt only when they, or what is possible of them, differ.
   *
   * @param {Methods} methods
   */
  setMethods(methods) {
    this.methods = methods;
    this.options = shared(this.options, methodOptions(methods));
    this.offer({ options: this.options });
    this.select.ariaDescription = obstacles(methods)
      .map(({ titles, reason }) => `Not available: ${titles}. ${reason}`)
      .join(" ");
  }

  /** @param {Method} method */
  setMethod(method) {
    this.method = method;
    this.select.value = method.name;
    setText(this.title, method.title);
    setText(this.summary, method.summary);
  }
}

/** The button beside a method's title, and the sheet it opens. `current()` gives {method, methods}. */
class About {
  /**
   * @param {string} side
   * @param {() => {method: Method, methods: Methods}} current
   */
  constructor(side, current) {
    this.current = current;
    this.sheet = element("div", {
      class: "about",
      popover: "auto",
      role: "dialog",
      "aria-label": "About this method",
      "data-testid": `about-${side}`,
    });
    this.button = iconButton("About this method", INFO, () => this.#open(), {
      class: "icon-button about-button",
      "data-testid": `about-button-${side}`,
      "aria-haspopup": "dialog",
    });
    // The sheet lies above the page and would not move with it.
    const close = () => this.sheet.hidePopover();
    this.sheet.addEventListener("toggle", (event) => {
      if (/** @type {ToggleEvent} */ (event).newState === "open") document.addEventListener("scroll", close, { capture: true, once: true });
      else document.removeEventListener("scroll", close, { capture: true });
    });
  }

  #open() {
    const { method, methods } = this.current();
    this.sheet.replaceChildren(...describe(method), ...describeObstacles(methods));
    this.sheet.togglePopover();
    const { left, bottom } = this.button.getBoundingClientRect();
    const width = Math.min(WIDTH, window.innerWidth - 2 * EDGE);
    this.sheet.style.width = `${width}px`;
    this.sheet.style.left = `${Math.max(EDGE, Math.min(left, window.innerWidth - EDGE - width))}px`;
    this.sheet.style.top = `${Math.max(EDGE, Math.min(bottom + EDGE, window.innerHeight - EDGE - this.sheet.offsetHeight))}px`;
  }
}

/** @param {Method} method */
function describe({ title, summary, formula: mathml, cell, costText, needs, reference, url }) {
  const facts = [
    ["Cost", costText],
    ["Needs", needs],
    ["Cell", cell],
    ["Source", url ? element("a", { href: url, target: "_blank", rel: "noopener", text: reference }) : reference],
  ];
  return [
    element("h3", { text: title }),
    element("p", { text: summary }),
    formula(mathml, "about-formula"),
    element(
      "dl",
      {},
      ...facts.filter(([, fact]) => fact !== "").flatMap(([name, fact]) => [element("dt", { text: name }), element("dd", {}, fact)]),
    ),
  ];
}

/** @param {Methods} methods */
function describeObstacles(methods) {
  const found = obstacles(methods);
  if (found.length === 0) return [];
  const lines = found.map(({ titles, reason }) => element("li", {}, element("b", { text: titles }), ` ${reason}`));
  return [element("h4", { text: "Not available here" }), element("ul", {}, ...lines)];
}
