/** The form for a network of one's own: a checkpoint, the architecture that it fits, and the names of its classes. */

import { element } from "../../../../saliency_core/viewer/web/controls/dom.js";
import { fileSize } from "../bytes.js";
import { Combobox } from "../combobox.js";
import { ask, send, UNREACHABLE } from "../server.js";

/** @typedef {{ name: string, title: string }} Fitting */

const FORMATS = ".safetensors,.pth,.pt";

/**
 * A file's bytes in base64, as text that may stand in JSON.
 *
 * @param {File} file
 * @returns {Promise<string>}
 */
function encoded(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).split(",")[1] ?? "");
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

export class OwnForm {
  /**
   * @param {{
   *   rules: () => { token: string, limit: number, labels: number, full: string },
   *   onadded: (name: string) => void,
   * }} given
   */
  constructor(given) {
    this.given = given;
    this.sending = new AbortController();
    this.upload = "";
    this.architecture = "";
    /** The networks of the first list that the checkpoint fits. @type {Fitting[]} */
    this.fits = [];
    this.titles = "";
    this.file = element("input", { type: "file", id: "checkpoint", accept: FORMATS, "data-testid": "checkpoint", onchange: () => this.#send() });
    this.fileNote = element("p", { class: "quiet", role: "status", "data-testid": "checkpoint-note" });
    this.bar = element("progress", { max: 1, value: 0, hidden: true, "aria-label": "Sending the checkpoint" });
    this.labels = element("input", { type: "file", id: "labels", accept: ".txt,.json", "data-testid": "labels", onchange: () => this.#named() });
    this.box = new Combobox({
      label: "Architecture",
      placeholder: "Search: resnet50, vit_small, …",
      find: (query, signal) => ask("models/architectures", { q: query }, { signal }),
      row: ({ title, name }) => [element("span", { class: "title", text: title }), element("span", { class: "name", text: name })],
      onchoose: (option) => this.#fits(option.name),
      popup: true,
      failed: UNREACHABLE,
      testid: "architecture",
    });
    this.box.input.addEventListener("input", () => {
      this.architecture = "";
      this.#changed();
    });
    this.guess = element("p", { class: "quiet", "data-testid": "fitting" });
    this.error = element("div", { class: "error", role: "alert", hidden: true, "data-testid": "own-error" });
    this.add = element("button", { type: "button", class: "primary", disabled: true, text: "Add this network", "data-testid": "add-model", onclick: () => this.#add() });
    this.intro = element("p", { class: "quiet" });
    this.element = element(
      "div",
      { class: "own", hidden: true },
      this.intro,
      element("div", { class: "field" }, element("label", { for: "checkpoint", text: "Checkpoint" }), this.#chooser(this.file, "Choose a file"), this.bar, this.fileNote),
      element("div", { class: "field" }, element("span", { class: "label", "aria-hidden": "true", text: "Architecture" }), this.box.input, this.box.list, this.guess),
      element(
        "div",
        { class: "field" },
        element("label", { for: "labels", text: "Names of the classes (optional)" }),
        this.#chooser(this.labels, "Choose a file"),
        element("p", { class: "quiet", text: "A text file with one name per line, a JSON list or object, or a Hugging Face config.json." }),
      ),
      this.error,
      element("div", { class: "buttons" }, this.add),
    );
  }

  /** Shows the form, empty. */
  open() {
    this.#reset();
    const { limit, full } = this.given.rules();
    this.intro.textContent = `Only you can use it, until you close or reload this page: after a reload, upload it again. Up to ${fileSize(limit)}; tensors are read, nothing in the file is executed.`;
    this.#fail(full);
    this.file.disabled = full !== "";
    this.element.hidden = false;
    this.file.focus();
  }

  close() {
    this.sending.abort();
    this.element.hidden = true;
  }

  #reset() {
    this.sending.abort();
    this.upload = this.architecture = this.titles = "";
    this.fits = [];
    this.file.value = this.labels.value = this.box.input.value = "";
    this.bar.hidden = true;
    this.fileNote.textContent = this.guess.textContent = "";
    for (const input of [this.file, this.labels]) this.#name(input);
    this.#fail("");
    this.#ready();
  }

  /**
   * A file input that looks like the other fields: a button, and the file's name.
   *
   * @param {HTMLInputElement} input
   * @param {string} words
   */
  #chooser(input, words) {
    return element("div", { class: "file" }, input, element("span", { class: "button", "aria-hidden": "true", text: words }), element("span", { class: "chosen", text: "No file chosen" }));
  }

  /** @param {HTMLInputElement} input */
  #name(input) {
    const name = /** @type {HTMLElement} */ (input.parentElement?.querySelector(".chosen"));
    name.textContent = input.files?.[0]?.name ?? "No file chosen";
  }

  /**
   * @param {string} sentence
   * @param {Fitting[]} [fits] what the checkpoint fits instead of what was chosen
   */
  #fail(sentence, fits = []) {
    const instead = fits.map(({ name, title }) => element("button", { type: "button", class: "plain", text: `Use ${title} instead`, onclick: () => this.#fits(name) }));
    const fitting = element("div", { class: "instead", hidden: !instead.length }, element("p", { text: `It fits ${fits.map(({ title }) => title).join(" and ")}.` }), ...instead);
    this.error.replaceChildren(fitting, element("p", { text: sentence }));
    this.error.hidden = !sentence;
  }

  /** What the error was about has changed. */
  #changed() {
    this.#fail(this.given.rules().full);
    this.#hint();
    this.#ready();
  }

  #named() {
    this.#name(this.labels);
    this.#changed();
  }

  /** Says what the checkpoint fits, as far as that is of use for the architecture that is chosen. */
  #hint() {
    const chosen = this.fits.find(({ name }) => name === this.architecture);
    let text = "";
    if (!this.upload) text = "";
    else if (chosen) text = `Its tensors fit ${chosen.title}. Choose another architecture if that is wrong.`;
    else if (this.fits.length) text = `Of the networks listed first, its tensors fit ${this.titles}.`;
    else if (!this.architecture) text = "Its tensors fit none of the networks listed first. Choose its architecture.";
    this.guess.textContent = text;
  }

  #ready() {
    this.add.disabled = !(this.upload && this.architecture);
  }

  /** @param {string} name */
  #fits(name) {
    this.architecture = name;
    this.box.input.value = name;
    this.#changed();
  }

  async #send() {
    this.sending.abort();
    this.sending = new AbortController();
    const { signal } = this.sending;
    const { token, limit } = this.given.rules();
    const file = this.file.files?.[0];
    this.#name(this.file);
    this.#fail("");
    this.upload = "";
    this.fileNote.textContent = this.guess.textContent = "";
    this.#ready();
    if (!file) return;
    if (file.size > limit) {
      this.#fail(`${file.name} has ${fileSize(file.size)}; checkpoints may have up to ${fileSize(limit)}.`);
      return;
    }
    this.bar.hidden = false;
    this.bar.value = 0;
    const onprogress = (/** @type {number} */ share) => {
      this.bar.value = share;
      this.fileNote.textContent = share < 1 ? `${fileSize(share * file.size)} of ${fileSize(file.size)} sent` : "Reading the file…";
    };
    const answer = await send("models/upload", { name: file.name }, file, { token, signal, onprogress });
    if (signal.aborted) return;
    this.bar.hidden = true;
    this.fileNote.textContent = answer.note ?? "";
    if (answer.error) {
      this.#fail(answer.error);
      return;
    }
    [this.upload, this.fits, this.titles] = [answer.upload, answer.fits, answer.titles];
    if (this.fits.length && !this.architecture) this.#fits(this.fits[0].name);
    else this.#changed();
  }

  async #add() {
    const { token, labels: most } = this.given.rules();
    const file = this.labels.files?.[0];
    if (file && file.size > most) {
      this.#fail(`${file.name} has ${fileSize(file.size)}; files of names may have up to ${fileSize(most)}.`);
      return;
    }
    const labels = file ? { name: file.name, data: await encoded(file) } : null;
    this.#fail("");
    this.add.disabled = true;
    this.add.textContent = "Reading the checkpoint…";
    const { signal } = this.sending;
    const answer = await send("models/own", {}, { upload: this.upload, architecture: this.architecture, labels }, { token, signal });
    this.add.textContent = "Add this network";
    if (signal.aborted) return;
    this.#ready();
    if (answer.error) this.#fail(answer.error, answer.fits);
    else this.given.onadded(answer.name);
  }
}
