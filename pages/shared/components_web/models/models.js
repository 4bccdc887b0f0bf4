/**
 * The model on the screen as a card, and the dialog in which another one is chosen: the catalogue with its search, what
 * is known of the marked model, and the form for a network of one's own.
 *
 * @typedef {import("./details.js").Details} Details
 * @typedef {{
 *   card: { name: string, title: string, facts: string, state: string, kind: string },
 *   own: Details[], token: string, limit: number, labels: number, full: string,
 * }} Data
 */

import { element } from "../../../../saliency_core/viewer/web/controls/dom.js";
import { Combobox } from "../combobox.js";
import { modal } from "../dialog.js";
import { DetailsPane } from "./details.js";
import { OwnForm } from "./own.js";
import { ask, UNREACHABLE } from "../server.js";

const PAUSE_MILLISECONDS = 90;
const CATALOGUE = "Choose a model";
const OWN = "Your own network";
const FACTS = /** @type {const} */ (["parameters", "top1", "weights"]);

class Models {
  /**
   * @param {HTMLElement} parent
   * @param {(trigger: string, value: string) => void} tell
   */
  constructor(parent, tell) {
    this.tell = tell;
    /** @type {Data | null} */
    this.data = null;
    /** What the server has said of a model, by name; asked again whenever the dialog opens. @type {Map<string, Details>} */
    this.known = new Map();
    this.marked = "";
    /** The row of which details are shown, maybe with other weights. */
    this.row = "";
    this.card = element("div", { class: "card", "data-testid": "model-card" });
    this.heading = element("h2", { id: "models-heading", tabindex: "-1" });
    this.details = new DetailsPane({
      onchoose: (name) => this.#choose(name),
      onremove: (name) => {
        this.tell("removed", name);
        this.dialog.close();
      },
      onvariant: (name, pause) => this.#look({ name, title: this.details.details?.title ?? name }, pause, this.row),
    });
    this.box = new Combobox({
      label: "Search the models",
      placeholder: "Search all models: resnet, vit small, dino, …",
      find: (query, signal) => this.#find(query, signal),
      row: (option) => this.#row(option),
      onfilled: () => this.#complete(),
      onactive: (option, clicked) => {
        if (option) this.#look(option, clicked ? 0 : PAUSE_MILLISECONDS, option.name);
        else this.#lookAway();
        this.dialog.classList.toggle("looking", clicked); // where there is room for one of the two
      },
      onchoose: (option) => option.problem || this.#choose((this.row === option.name && this.details.name) || option.name),
      failed: UNREACHABLE,
      testid: "model-search",
    });
    this.own = new OwnForm({
      rules: () => /** @type {Data} */ (this.data),
      onadded: (name) => this.#choose(name),
    });
    this.near = element("p", { class: "near", "data-testid": "near-names" });
    this.back = element("button", { type: "button", class: "plain back", text: "All models", onclick: () => this.#back() });
    this.catalogue = element(
      "div",
      { class: "catalogue" },
      element(
        "div",
        { class: "choices" },
        this.box.input,
        this.box.note,
        this.near,
        element("div", { class: "columns", "aria-hidden": "true" }, ...["Model", "Parameters", "Top-1", "Weights"].map((text) => element("span", { text }))),
        this.box.list,
        element("button", { type: "button", class: "plain wide", text: "Use your own network…", "data-testid": "own-network", onclick: () => this.#form() }),
      ),
      this.details.element,
    );
    this.dialog = modal(
      { class: "models", "data-testid": "models-dialog" },
      { heading: this.heading, before: this.back, testid: "close-models" },
      this.catalogue,
      this.own.element,
    );
    this.dialog.addEventListener("close", () => {
      this.own.close();
      this.rest?.abort();
    });
    parent.append(this.card, this.dialog);
  }

  /** @param {Data} data */
  take(data) {
    const before = this.data;
    this.data = data;
    this.details.current = data.card.name;
    if (JSON.stringify(before?.card) === JSON.stringify(data.card)) return;
    const focused = /** @type {ShadowRoot} */ (this.card.getRootNode()).activeElement?.classList.contains("change");
    const { title, facts, state, kind } = data.card;
    const change = element("button", { type: "button", class: "plain change", text: "Change model", "aria-haspopup": "dialog", "data-testid": "change-model", onclick: () => this.open() });
    this.card.replaceChildren(
      element("p", { class: "title", title, text: title }),
      element("p", { class: "facts-line", text: facts }),
      element("p", { class: "state", "data-kind": kind, text: state }),
      change,
    );
    if (focused) change.focus({ preventScroll: true });
  }

  open() {
    this.known.clear();
    this.box.input.value = "";
    this.marked = "";
    this.box.select(this.data?.card.name ?? "");
    this.#list();
    this.dialog.showModal();
    // On a phone the keyboard would cover what there is to read.
    if (matchMedia("(pointer: coarse)").matches) this.heading.focus();
    else this.box.input.focus();
    this.box.search();
    this.#look({ name: this.data?.card.name ?? "", title: this.data?.card.title ?? "" }, 0, this.data?.card.name ?? "");
  }

  #list() {
    this.heading.textContent = CATALOGUE;
    this.own.close();
    this.catalogue.hidden = false;
    this.dialog.classList.remove("looking", "form");
  }

  #form() {
    this.heading.textContent = OWN;
    this.catalogue.hidden = true;
    this.dialog.classList.add("form");
    this.own.open();
  }

  #back() {
    const form = !this.own.element.hidden;
    this.#list();
    if (form) this.box.input.focus();
  }

  /** @param {string} name */
  #choose(name) {
    if (!name) return;
    this.tell("chosen", name);
    this.dialog.close();
  }

  /**
   * @param {string} query
   * @param {AbortSignal} signal
   */
  async #find(query, signal) {
    const found = await ask("models/list", { q: query }, { signal });
    const own = (this.data?.own ?? []).filter(({ title, name }) => query.toLowerCase().split(/\s+/).every((word) => `${title} ${name}`.toLowerCase().includes(word)));
    if (own.length) found.groups.unshift({ title: "Yours", options: own });
    for (const details of own) this.known.set(details.name, details);
    if (own.length && found.near) found.note = "";
    this.#offer(found.groups.length ? [] : (found.near ?? []));
    return found;
  }

  /**
   * Names like the one that nothing was found for, to search for instead.
   *
   * @param {{ name: string, title: string }[]} near
   */
  #offer(near) {
    const search = (/** @type {string} */ name) => {
      this.box.input.value = name;
      this.box.input.focus();
      this.box.search();
    };
    const buttons = near.map(({ name, title }) => element("button", { type: "button", class: "plain", title: name, text: title, onclick: () => search(name) }));
    this.near.replaceChildren(...(buttons.length ? ["Similar names:", ...buttons] : []));
  }

  /** @param {any} option */
  #row({ name, title, sub, facts, problem }) {
    const cells = FACTS.map((fact) => element("span", { class: fact }));
    this.#fillCells(cells, this.known.get(name)?.facts ?? facts);
    return [element("span", { class: problem ? "title problem" : "title", title: name }, element("span", { text: title }), sub ? element("small", { text: sub }) : null), ...cells];
  }

  /**
   * @param {Iterable<Element>} cells one for each of FACTS
   * @param {Details["facts"]} facts
   */
  #fillCells(cells, facts) {
    for (const [index, cell] of [...cells].entries()) {
      cell.textContent = facts[FACTS[index]];
      if (FACTS[index] === "top1") {
        cell.toggleAttribute("data-none", facts.no_top1 !== "");
        if (facts.no_top1) cell.setAttribute("title", facts.no_top1);
      }
    }
  }

  /** Asks for the facts of all rows that came without them, one after the other, until others are searched for. */
  async #complete() {
    this.rest?.abort();
    this.rest = new AbortController();
    const { signal } = this.rest;
    for (const option of this.box.options) {
      if (signal.aborted || !this.dialog.open) return;
      if (option.facts?.parameters) continue;
      const details = await this.#details(option.name, signal).catch(() => null);
      if (!details || signal.aborted) continue;
      const row = [...this.box.list.querySelectorAll("[role=option]")].find((node) => /** @type {HTMLElement} */ (node).dataset.name === option.name);
      if (row) this.#fillCells(row.querySelectorAll(".parameters, .top1, .weights"), details.facts);
    }
  }

  /**
   * @param {string} name
   * @param {AbortSignal} [signal]
   * @returns {Promise<Details>}
   */
  async #details(name, signal) {
    const kept = this.known.get(name);
    if (kept) return kept;
    const found = await ask("models/details", { name }, { signal, token: this.data?.token });
    if (found.error) throw new Error(found.error);
    this.known.set(name, found);
    return found;
  }

  /**
   * Shows what is known of a model, once the marker rests on it.
   *
   * @param {{ name: string, title: string }} option
   * @param {number} pause
   * @param {string} row the row that stands for it
   */
  #look({ name, title }, pause, row) {
    if (!name || name === this.marked) return;
    this.marked = name;
    clearTimeout(this.timer);
    const show = (/** @type {Details} */ found) => {
      this.row = row;
      this.details.show(found);
    };
    const kept = this.known.get(name) ?? this.data?.own.find((each) => each.name === name);
    if (kept) {
      show(kept);
      return;
    }
    this.timer = setTimeout(async () => {
      if (this.details.details?.title !== title) this.details.wait(title);
      try {
        const found = await this.#details(name);
        if (this.marked === name) show(found);
      } catch (error) {
        if (this.marked === name) this.details.fail(error instanceof Error && error.message ? error.message : UNREACHABLE);
      }
    }, pause);
  }

  /** There is no row to show details of. */
  #lookAway() {
    clearTimeout(this.timer);
    this.marked = this.row = "";
    this.details.clear();
  }
}

/** @param {{ data: Data, parentElement: any, setTriggerValue: (trigger: string, value: string) => void }} given */
export default function models({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  root.models ??= new Models(root, setTriggerValue);
  root.models.take(data);
}
