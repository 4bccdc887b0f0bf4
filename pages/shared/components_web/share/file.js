/**
 * One kind of file: what can be chosen, what will be in it, how it looks, and the buttons that save or copy it.
 *
 * @typedef {import("./options.js").Option} Option
 * @typedef {{
 *   name: string, title: string, lead: string, holds: string[], photo: string, options: Option[], action: string,
 *   copy: "" | "picture" | "text", preview: Record<string, string> | null,
 * }} Kind
 * @typedef {import("../server.js").Made} Made
 */

import { element } from "../../../../saliency_core/viewer/web/controls/dom.js";
import { fileSize } from "../bytes.js";
import { copyPicture, copyText } from "../clipboard.js";
import { make } from "../server.js";
import { control } from "./options.js";

const PAUSE_MILLISECONDS = 350;
const CONFIRMATION_MILLISECONDS = 1800;
const MAX_LINES = 400;
const PNG = "image/png";
const NO_VIEW = "There is nothing on this page yet of which a file could be made. Close this dialog, wait until the maps are there, and try again.";
const NO_PICTURE = "This browser does not let the page copy pictures. Download it instead.";
const NO_TEXT = "This browser does not let the page copy. Select the text and copy it with the keyboard.";

export class FileSection {
  /**
   * @param {Kind} kind
   * @param {Record<string, string>} chosen option -> value, kept by the dialog
   * @param {{ token: string, order: () => object | null }} given
   */
  constructor(kind, chosen, given) {
    this.kind = kind;
    this.chosen = chosen;
    this.given = given;
    /** @type {Made | null} */
    this.made = null;
    this.work = new AbortController();
    this.urls = /** @type {string[]} */ ([]);
    for (const option of kind.options) {
      // What was chosen on another page may not exist on this one.
      const known = option.choices?.some(({ name }) => name === chosen[option.name]) ?? true;
      if (!known || chosen[option.name] === undefined) chosen[option.name] = option.first ?? "";
    }
    this.stage = element("div", { class: "stage", "data-testid": "share-preview" });
    this.status = element("p", { class: "quiet status", role: "status", "data-testid": "share-status" });
    this.save = element("button", { type: "button", class: kind.copy === "text" ? "plain" : "primary", "data-testid": "share-download", onclick: () => this.#save() });
    this.copy = element("button", { type: "button", class: kind.copy === "text" ? "primary" : "plain", text: "Copy", hidden: !kind.copy, "data-testid": "share-copy", onclick: () => this.#copy() });
    this.stop = element("button", { type: "button", class: "plain", text: "Cancel", hidden: true, "data-testid": "share-cancel", onclick: () => this.close() });
    const options = kind.options.map((option) => control(option, chosen[option.name], (value) => this.#choose(option.name, value, !option.choices)));
    this.element = element(
      "div",
      { class: "section" },
      element("h3", { text: kind.title }),
      element("p", { class: "lead", text: kind.lead }),
      options.length ? element("div", { class: "option-rows" }, ...options) : null,
      this.stage,
      kind.photo ? element("p", { class: "photo", "data-testid": "share-photo", text: kind.photo }) : null,
      element("div", { class: "footer" }, this.status, this.stop, this.copy, this.save),
    );
    this.#rest();
  }

  /** What is quick to make is made when it is looked at, so that it can be seen, and how large it is. */
  show() {
    if (!this.made && !this.busy && !this.kind.action) this.#make();
  }

  /** The work goes on while another section is looked at. */
  hide() {}

  /** Ends what is under way. */
  close() {
    clearTimeout(this.timer);
    this.work.abort();
    if (this.busy) this.#rest();
  }

  /**
   * @param {string} name
   * @param {string} value
   * @param {boolean} typing
   */
  #choose(name, value, typing) {
    this.chosen[name] = value;
    this.close();
    this.made = null;
    if (this.kind.action) this.#rest();
    else this.timer = setTimeout(() => this.#make(), typing ? PAUSE_MILLISECONDS : 0);
  }

  /** Nothing is made yet. */
  #rest() {
    this.busy = false;
    this.#show(this.#contents());
    this.status.textContent = "";
    this.#ready();
  }

  #contents() {
    return element("ul", { class: "holds" }, ...this.kind.holds.map((text) => element("li", { text })));
  }

  #ready() {
    const waits = this.kind.action !== "" && this.made === null;
    this.save.textContent = waits ? this.kind.action : "Download";
    this.save.disabled = this.busy || (this.made === null && !waits);
    this.copy.disabled = this.busy || this.made === null;
    this.stop.hidden = !(this.busy && this.kind.action);
    this.element.toggleAttribute("aria-busy", this.busy);
  }

  async #make() {
    this.work.abort();
    this.work = new AbortController();
    const { signal } = this.work;
    this.busy = true;
    const bar = element("progress", { max: 1, "aria-label": "Making the file" });
    const words = element("p", { class: "quiet", text: "Making the file…" });
    this.#wait(element("div", { class: "waiting" }, bar, words));
    this.status.textContent = "";
    this.#ready();
    const onprogress = (/** @type {number} */ share, /** @type {string} */ text) => {
      if (share > 0) bar.value = share;
      words.textContent = text || "Making the file…";
    };
    const made = await this.#ask(this.chosen, signal, onprogress);
    const seen = made.error === undefined && !signal.aborted ? await this.#look(made, signal) : null;
    if (signal.aborted) return;
    this.busy = false;
    if (made.error !== undefined) this.#fail(made.error);
    else {
      this.made = made;
      this.status.textContent = `${made.name} · ${fileSize(made.blob.size)}`;
      this.status.title = made.name;
      this.#show(seen ?? this.#contents());
      this.#ready();
    }
  }

  /**
   * @param {Record<string, string>} options
   * @param {AbortSignal} signal
   * @param {(share: number, words: string) => void} [onprogress]
   * @returns {Promise<Made | { error: string }>}
   */
  async #ask(options, signal, onprogress = () => {}) {
    const order = this.given.order();
    if (!order) return { error: NO_VIEW };
    return make({ ...order, kind: this.kind.name, options }, { token: this.given.token, signal, onprogress });
  }

  /**
   * How a file looks; null where a browser has no picture of it.
   *
   * @param {Made} made
   * @param {AbortSignal} signal
   */
  async #look({ blob }, signal) {
    if (blob.type.startsWith("text/") && !blob.type.startsWith("text/html")) {
      const lines = (await blob.text()).replace(/^\uFEFF/, "").trimEnd().split(/\r?\n/);
      const rest = lines.length > MAX_LINES ? `\n… and ${lines.length - MAX_LINES} more lines` : "";
      return element("pre", { tabindex: "0", role: "region", "aria-label": this.kind.title, text: lines.slice(0, MAX_LINES).join("\n") + rest });
    }
    let picture = blob;
    if (!blob.type.startsWith("image/")) {
      if (!this.kind.preview) return null;
      const found = await this.#ask({ ...this.chosen, ...this.kind.preview }, signal);
      if (found.error !== undefined) return null;
      picture = found.blob;
    }
    const image = element("img", { alt: this.kind.title, "data-testid": "share-picture" });
    image.src = URL.createObjectURL(picture);
    await image.decode().catch(() => undefined);
    this.urls.push(image.src);
    return image;
  }

  /** @param {HTMLElement} content */
  #show(content) {
    const used = content instanceof HTMLImageElement ? content.src : "";
    for (const url of this.urls) if (url !== used) URL.revokeObjectURL(url);
    this.urls = this.urls.filter((url) => url === used);
    this.stage.classList.remove("stale");
    this.stage.replaceChildren(content);
  }

  /**
   * Lays a note over what was there before, so that nothing jumps while the next is made.
   *
   * @param {HTMLElement} note
   */
  #wait(note) {
    this.stage.querySelector(".waiting")?.remove();
    this.stage.classList.add("stale");
    this.stage.append(note);
  }

  /** @param {string} sentence */
  #fail(sentence) {
    this.made = null;
    const again = element("button", { type: "button", class: "plain", text: "Try again", onclick: () => this.#make() });
    this.#show(element("div", { class: "failed" }, element("p", { class: "error", role: "alert", "data-testid": "share-error", text: sentence }), again));
    this.status.textContent = "";
    this.#ready();
  }

  #save() {
    if (this.made === null) {
      this.#make();
      return;
    }
    const link = element("a", { href: URL.createObjectURL(this.made.blob), download: this.made.name });
    this.element.append(link); // Firefox follows only links that are in the page
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }

  async #copy() {
    if (this.made === null) return;
    const { blob } = this.made;
    const picture = this.kind.copy === "picture";
    const done = picture ? await copyPicture(() => this.#png(blob)) : await copyText(await blob.text(), this.element);
    this.copy.textContent = done ? "Copied" : "Not copied";
    if (!done) this.status.textContent = picture ? NO_PICTURE : NO_TEXT;
    clearTimeout(this.confirmation);
    this.confirmation = setTimeout(() => {
      this.copy.textContent = "Copy";
    }, CONFIRMATION_MILLISECONDS);
  }

  /**
   * The picture as the clipboard takes it, made once more where the file is of another format.
   *
   * @param {Blob} blob
   */
  async #png(blob) {
    if (blob.type === PNG) return blob;
    const found = await this.#ask({ ...this.chosen, ...this.kind.preview }, this.work.signal);
    if (found.error !== undefined) throw new Error(found.error);
    return found.blob;
  }
}
