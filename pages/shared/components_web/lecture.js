/**
 * Lecture mode, the page for a projector, and the page embedded in another one; in both the viewer follows the keys.
 *
 * The attributes data-present and data-embed of the page's root element say which it is; the style sheets follow them.
 * The page begins with what its address says (pages/shared/server.py).
 */

import { element, icon } from "../../../saliency_core/viewer/web/controls/dom.js";
import { isTyping, KEYS_EVENT, pressKey, somethingOpen } from "../../../saliency_core/viewer/web/controls/keys.js";
import { headerButton } from "./header_button.js";

const SCREEN = '<path d="M3 4.5h14v9H3zM7 16.5h6M10 13.5v3"/>';
const KEYBOARD = '<rect x="2.5" y="5.5" width="15" height="9" rx="1.5"/><path d="M5.5 8.5h.1M8.5 8.5h.1M11.5 8.5h.1M14.5 8.5h.1M6.5 11.5h7"/>';
const OUT = '<path d="M11.5 4.5h4v4M15.5 4.5l-6 6M8.5 5.5h-4v10h10v-4"/>';
/** What makes of an address that of the whole page. */
const EMBEDDING = ["embed", "embed_options", "present"];

const root = document.documentElement;
const presenting = () => root.hasAttribute("data-present");
const embedded = () => root.hasAttribute("data-embed");

/** Asks the viewer to show what the keys mean: "offer", "toggle" or "hide". */
function showKeys(what) {
  window.dispatchEvent(new CustomEvent(KEYS_EVENT, { detail: what }));
}

/** Writes what a button is for: beside its icon where there is room, else as its name and hint. */
function label(button, words, hint) {
  button.lastChild.textContent = words;
  button.title = hint;
}

/** The address of the whole page with this view. */
function wholePage() {
  const url = new URL(location.href);
  for (const name of EMBEDDING) url.searchParams.delete(name);
  return url.href;
}

/** What an embedded page has in place of its header: one line below the viewer. */
function drawFrame(parent) {
  const keys = headerButton(KEYBOARD, "Keys", () => showKeys("toggle"), { title: "What the keys do. Key: ?", "data-testid": "show-keys" });
  const words = element("span", { class: "words", text: "Open in NormGrad Studio" });
  const title = "Opens this view with all its controls in a new tab";
  const link = element("a", { target: "_blank", rel: "noopener", title, "data-testid": "whole-page" }, icon(OUT), words);
  // The address changes with the view: it is read when the link is about to be used.
  const follow = () => (link.href = wholePage());
  for (const event of ["pointerenter", "pointerdown", "focus", "click"]) link.addEventListener(event, follow);
  follow();
  parent.append(keys, link);
}

class Lecture {
  constructor(parent, send) {
    this.send = send;
    /** What was reported and is not yet confirmed. */
    this.reported = null;
    this.parent = parent;
    if (embedded()) {
      parent.classList.add("frame");
      drawFrame(parent);
      return;
    }
    this.toggle = headerButton(SCREEN, "", () => this.set(!presenting()), { "data-testid": "lecture" });
    parent.append(this.toggle);
    this.observer = new MutationObserver(() => this.draw());
    this.observer.observe(root, { attributeFilter: ["data-present"] });
    this.draw();
  }

  /** Takes what the server knows, unless it has not heard of the last change made here. */
  take(present) {
    if (this.reported === present) this.reported = null;
    if (this.reported === null) root.toggleAttribute("data-present", present);
  }

  set(present) {
    root.toggleAttribute("data-present", present);
    this.reported = present;
    this.send(present);
    showKeys(present && !embedded() ? "offer" : "hide");
  }

  draw() {
    const on = presenting();
    this.toggle.setAttribute("aria-pressed", String(on));
    label(this.toggle, on ? "End lecture mode" : "Lecture mode", on ? "Key: L or Escape" : "Large type, no sidebar. Key: L");
    this.parent.classList.toggle("presenting", on);
  }

  key(event) {
    if (event.key.toLowerCase() === "l" && !event.repeat && !isTyping(event)) this.set(!presenting());
    else if (presenting() && event.key === "Escape" && !event.defaultPrevented && !somethingOpen()) this.set(false);
    else if (presenting() || embedded()) pressKey(event);
  }

  destroy() {
    this.observer?.disconnect();
    this.parent.replaceChildren();
  }
}

/** `data`: whether the session presents, and whether this copy listens to keys. */
export default function lecture({ data, parentElement, setTriggerValue }) {
  if (!parentElement.lecture) {
    const made = new Lecture(parentElement.querySelector(".lecture"), (present) => setTriggerValue("present", present ? "on" : "off"));
    const key = (event) => made.key(event);
    if (data.keys) document.addEventListener("keydown", key);
    parentElement.lecture = made;
    parentElement.unlisten = () => document.removeEventListener("keydown", key);
    made.parent.classList.add(data.keys ? "header" : "menu");
  }
  parentElement.lecture.take(data.present);
  return () => {
    parentElement.unlisten();
    parentElement.lecture.destroy();
    delete parentElement.lecture;
  };
}
