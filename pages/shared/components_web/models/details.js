/** What is known of the model that is marked in the list, its weights to choose from, and the button that takes it. */

import { element } from "../../../../saliency_core/viewer/web/controls/dom.js";

/**
 * @typedef {{
 *   name: string, base: string, title: string, summary: string, kind: "catalogue" | "folder" | "own",
 *   rows: { term: string, text: string, link?: string }[], variants: { name: string, title: string }[],
 *   seed: number | null, action: string, warning: string, problem: string,
 *   facts: { parameters: string, top1: string, weights: string, no_top1: string },
 * }} Details
 */

const RANDOM = "random";
const MAX_SEED = 999_999_999;
const PAUSE_MILLISECONDS = 250;
const WHY_RANDOM = "What would the map look like without training? Weights drawn at random; the seed says which.";

export class DetailsPane {
  /** @param {{ onchoose: (name: string) => void, onremove: (name: string) => void, onvariant: (name: string, pause: number) => void }} actions */
  constructor(actions) {
    this.actions = actions;
    this.element = element("section", { class: "details", "aria-label": "The marked model", "data-testid": "model-details" });
    /** @type {Details | null} */
    this.details = null;
    /** @type {HTMLSelectElement | undefined} */
    this.weights = undefined;
    /** @type {HTMLInputElement | undefined} */
    this.seed = undefined;
    this.description = element("div");
    /** The model that the page shows. */
    this.current = "";
  }

  /** The name of the model with the weights that are chosen. */
  get name() {
    if (!this.details) return "";
    const choice = this.weights?.value ?? this.details.name;
    if (choice !== RANDOM) return choice;
    const seed = Math.min(Math.max(Math.trunc(Number(this.seed?.value)) || 0, 0), MAX_SEED);
    return `${this.details.base}.${RANDOM}${seed ? `-${seed}` : ""}`;
  }

  clear() {
    this.details = null;
    this.element.replaceChildren();
  }

  /** @param {string} title */
  wait(title) {
    this.clear();
    this.element.replaceChildren(element("h3", { text: title }), element("p", { class: "quiet", text: "Looking it up…" }));
  }

  /** @param {string} sentence */
  fail(sentence) {
    this.clear();
    this.element.replaceChildren(element("p", { class: "error", role: "alert", text: sentence }));
  }

  /**
   * Of a network that is shown already, with other weights, the fields stay: one of them may have the focus.
   *
   * @param {Details} details
   */
  show(details) {
    const stays = this.details !== null && this.#offers(details.base);
    this.details = details;
    if (stays) {
      this.#choose(details);
      this.description.replaceChildren(...this.#describe(details));
    } else {
      this.description = element("div", { class: "description" }, ...this.#describe(details));
      this.element.replaceChildren(this.description, ...this.#weights(details), this.#buttons(details));
    }
    this.#follow();
  }

  /**
   * Whether the field for weights has the trained ones of this name.
   *
   * @param {string} base
   */
  #offers(base) {
    return base !== "" && [...(this.weights?.options ?? [])].some((option) => option.value === base);
  }

  /**
   * Marks the weights that the details are of.
   *
   * @param {Details} details
   */
  #choose({ name, seed }) {
    if (!this.weights || !this.seed) return;
    this.weights.value = seed === null ? name : RANDOM;
    if (seed !== null && this.name !== name) this.seed.value = String(seed);
  }

  /** @param {Details} details */
  #describe(details) {
    const facts = element("dl", { class: "facts" });
    for (const { term, text, link } of details.rows) {
      const value = link
        ? element("a", { href: link, target: "_blank", rel: "noreferrer", text })
        : element("span", { text });
      facts.append(element("dt", { text: term }), element("dd", {}, value));
    }
    return [
      element("h3", { text: details.title }),
      element("p", { class: "name", text: details.name }),
      details.summary ? element("p", { class: "summary", text: details.summary }) : null,
      facts,
      details.warning ? element("p", { class: "warning", text: details.warning }) : null,
      details.problem ? element("p", { class: "error", text: details.problem }) : null,
    ].filter((part) => part !== null);
  }

  /** @param {Details} details */
  #weights(details) {
    this.weights = this.seed = undefined;
    if (!details.variants.length && details.seed === null) return [];
    const select = element("select", {
      id: "weights",
      "data-testid": "weights",
      onchange: () => this.#other(0),
    });
    for (const { name, title } of details.variants) select.append(element("option", { value: name, text: title }));
    select.append(element("option", { value: RANDOM, text: "Random weights (untrained)" }));
    const seed = element("input", {
      id: "seed",
      type: "number",
      min: 0,
      max: MAX_SEED,
      step: 1,
      value: String(details.seed ?? 0),
      "data-testid": "seed",
      oninput: () => this.#other(PAUSE_MILLISECONDS),
    });
    [this.weights, this.seed] = [select, seed];
    this.#choose(details);
    this.random = element(
      "div",
      { class: "random" },
      element("p", { class: "quiet", text: WHY_RANDOM }),
      element("label", { for: "seed", text: "Seed" }),
      seed,
    );
    return [element("label", { for: "weights", text: "Weights" }), select, this.random];
  }

  /** @param {Details} details */
  #buttons(details) {
    this.use = element("button", { type: "button", class: "primary", "data-testid": "use-model", onclick: () => this.actions.onchoose(this.name) });
    const remove =
      details.kind === "own"
        ? element("button", { type: "button", class: "plain", "data-testid": "remove-model", text: "Remove", onclick: () => this.actions.onremove(details.name) })
        : null;
    return element("div", { class: "buttons" }, this.use, remove);
  }

  /**
   * Other weights are chosen.
   *
   * @param {number} pause
   */
  #other(pause) {
    this.#follow();
    this.actions.onvariant(this.name, pause);
  }

  #follow() {
    const random = this.weights?.value === RANDOM;
    if (this.random) this.random.hidden = !random;
    if (!this.use || !this.details) return;
    const current = this.name === this.current;
    this.use.textContent = current ? "In use" : random ? "Use random weights" : this.details.action;
    this.use.disabled = current || (this.details.problem !== "" && !random);
  }
}
