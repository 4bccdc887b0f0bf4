/**
 * The button "Share" and its dialog: addresses of the view, and files made of what is on the screen.
 *
 * The header has the button and the dialog; the menu of a narrow window has a second button that opens the same one.
 *
 * @typedef {import("./file.js").Kind} Kind
 * @typedef {{ element: HTMLElement, show(): void, hide(): void }} Section
 */

import { element, icon } from "../../../../saliency_core/viewer/web/controls/dom.js";
import { modal } from "../dialog.js";
import { headerButton } from "../header_button.js";
import { ask, UNREACHABLE } from "../server.js";
import { FileSection } from "./file.js";
import { LinkSection } from "./link.js";

const OPEN = "normgrad-share";
const HINT = "Link, web page, picture, film, data, Python";
const ICONS = /** @type {Record<string, string>} */ ({
  share: '<path d="M10 12V3.2M6.8 6L10 2.8 13.2 6M6 9H4.2v8h11.6V9H14"/>',
  link: '<path d="M8.5 11.5l3-3M9 6.5l1.6-1.6a3.2 3.2 0 0 1 4.5 4.5L13.5 11M11 13.5l-1.6 1.6a3.2 3.2 0 0 1-4.5-4.5L6.5 9"/>',
  page: '<path d="M3 4.5h14v11H3zM3 7.8h14M5.2 6.2h.1M7.2 6.2h.1"/>',
  picture: '<path d="M3 4h14v12H3zM3 13.5l4-4 3.5 3.5 2-2 4.5 4M13 7.5h.1"/>',
  film: '<path d="M3 4h14v12H3zM6.5 4v12M13.5 4v12M3 8h3.5M3 12h3.5M13.5 8H17M13.5 12H17"/>',
  data: '<path d="M3 4h14v12H3zM3 8h14M3 12h14M8 4v12"/>',
  code: '<path d="M7 6l-4 4 4 4M13 6l4 4-4 4"/>',
});
const STEPS = /** @type {Record<string, number>} */ ({ ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 });

/** What the viewer on the screen shows in this moment; null without one. */
function liveView() {
  /** @type {{ view: object, mode: string } | null} */
  let found = null;
  const take = (/** @type {object} */ view, /** @type {string} */ mode) => {
    found = { view, mode };
  };
  window.dispatchEvent(new CustomEvent("normgrad-view", { detail: { take } }));
  return /** @type {{ view: object, mode: string } | null} */ (found);
}

class ShareDialog {
  /** @param {HTMLElement} parent */
  constructor(parent) {
    this.token = "";
    this.page = "";
    this.chosen = "link";
    /** Kind -> option -> value, kept from one opening to the next. @type {Record<string, Record<string, string>>} */
    this.options = {};
    this.link = new LinkSection();
    /** @type {Map<string, Section>} */
    this.sections = new Map([["link", this.link]]);
    this.heading = element("h2", { id: "share-heading", tabindex: "-1" });
    this.tabs = element("div", { class: "kinds", role: "tablist", "aria-labelledby": "share-heading", onkeydown: (/** @type {KeyboardEvent} */ event) => this.#key(event) });
    this.panel = element("div", { class: "panel", role: "tabpanel", id: "share-panel", "data-testid": "share-panel" });
    this.dialog = modal(
      { class: "sharing", "data-testid": "share-dialog" },
      { heading: this.heading, testid: "close-share" },
      element("div", { class: "body" }, this.tabs, this.panel),
    );
    this.dialog.addEventListener("close", () => this.#closed());
    this.parent = parent;
    parent.append(this.dialog);
  }

  async open() {
    if (this.dialog.open) return;
    this.reading = new AbortController();
    const { signal } = this.reading;
    this.#title("");
    this.link.say([]);
    this.#fill([]);
    this.dialog.showModal();
    this.#focus();
    const found = await ask("share/list", {}, { signal, token: this.token }).catch(() => ({ error: UNREACHABLE }));
    if (signal.aborted) return;
    this.page = found.page ?? "";
    this.#title(found.subject ?? "");
    this.link.say([...(found.remarks ?? []), ...(found.error ? [found.error] : [])]);
    const inside = this.tabs.contains(/** @type {ShadowRoot} */ (this.dialog.getRootNode()).activeElement);
    this.#fill(found.kinds ?? []);
    if (inside) this.#focus();
  }

  /** @param {string} subject */
  #title(subject) {
    this.heading.replaceChildren("Share", ...(subject ? [element("small", { text: subject })] : []));
  }

  /** @param {Kind[]} kinds */
  #fill(kinds) {
    this.sections = new Map([["link", /** @type {Section} */ (this.link)]]);
    const order = () => {
      const live = liveView();
      return live && { ...live, page: this.page, address: location.href };
    };
    for (const kind of kinds) {
      this.options[kind.name] ??= {};
      this.sections.set(kind.name, new FileSection(kind, this.options[kind.name], { token: this.token, order }));
    }
    const titles = [{ name: "link", title: "Link" }, ...kinds];
    this.tabs.replaceChildren(
      ...titles.map(({ name, title }) =>
        element("button", { type: "button", role: "tab", id: `share-tab-${name}`, "aria-controls": "share-panel", "data-testid": `share-tab-${name}`, onclick: () => this.#choose(name) }, icon(ICONS[name] ?? ICONS.data), element("span", { text: title })),
      ),
    );
    this.#choose(this.sections.has(this.chosen) ? this.chosen : "link", kinds.length > 0);
  }

  /**
   * @param {string} name
   * @param {boolean} [keep] whether it is what a visitor has chosen
   */
  #choose(name, keep = true) {
    this.shown?.hide();
    if (keep) this.chosen = name;
    this.shown = this.sections.get(name);
    for (const tab of this.tabs.querySelectorAll("button")) {
      const selected = tab.id === `share-tab-${name}`;
      tab.setAttribute("aria-selected", String(selected));
      tab.tabIndex = selected ? 0 : -1;
      if (selected) tab.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
    this.panel.setAttribute("aria-labelledby", `share-tab-${name}`);
    this.panel.replaceChildren(/** @type {Section} */ (this.shown).element);
    this.panel.scrollTop = 0;
    this.shown?.show();
  }

  #focus() {
    [...this.tabs.querySelectorAll("button")].find((tab) => tab.tabIndex === 0)?.focus();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const names = [...this.sections.keys()];
    const current = names.findIndex((name) => this.sections.get(name) === this.shown);
    let next = current + STEPS[event.key];
    if (event.key === "Home") next = 0;
    if (event.key === "End") next = names.length - 1;
    if (Number.isNaN(next)) return;
    this.#choose(names[(next + names.length) % names.length]);
    this.#focus();
    event.preventDefault();
  }

  #closed() {
    this.reading?.abort();
    this.shown?.hide();
    for (const section of this.sections.values()) if (section instanceof FileSection) section.close();
  }

  destroy() {
    this.#closed();
    this.parent.replaceChildren();
  }
}

/** `data`: the session's token, and whether this copy has the dialog. @param {{ data: { token: string, dialog: boolean }, parentElement: any }} given */
export default function share({ data, parentElement }) {
  const root = /** @type {HTMLElement} */ (parentElement.querySelector(".root"));
  if (!parentElement.share) {
    const ask = () => window.dispatchEvent(new CustomEvent(OPEN));
    root.append(headerButton(ICONS.share, "Share", ask, { "aria-haspopup": "dialog", title: HINT, "data-testid": "share" }));
    root.classList.add(data.dialog ? "header" : "menu");
    const dialog = data.dialog ? new ShareDialog(root) : null;
    const open = () => dialog?.open();
    window.addEventListener(OPEN, open);
    const present = () => root.classList.toggle("presenting", document.documentElement.hasAttribute("data-present"));
    const observer = new MutationObserver(present);
    observer.observe(document.documentElement, { attributeFilter: ["data-present"] });
    present();
    const end = () => {
      window.removeEventListener(OPEN, open);
      observer.disconnect();
    };
    parentElement.share = { dialog, end };
  }
  if (parentElement.share.dialog) parentElement.share.dialog.token = data.token;
  return () => {
    parentElement.share.end();
    parentElement.share.dialog?.destroy();
    root.replaceChildren();
    delete parentElement.share;
  };
}
