/** The viewer: joins a mode's body, the toolbar and Streamlit. The default export is called on every rerun. */

import { element, setText } from "./dom.js";
import { Payload } from "./payload.js";
import { completeView } from "./view.js";
import { Toolbar } from "./toolbar.js";
import { PENDING_EVENT, pendingOf } from "./pending.js";
import { Pair } from "./pair.js";
import { Framework } from "./framework.js";
import { Classes } from "./classes.js";

const REPORT_MILLISECONDS = 200;
const SPEAK_MILLISECONDS = 600;
const KEPT_TIMINGS = 500;

/** One viewer on one root element, from mount to unmount. */
class Viewer {
  constructor(root) {
    this.root = root;
    this.payload = new Payload();
    this.view = null;
    this.revision = null;
    this.report = null;
    this.reported = "";
    this.body = null;
    this.frame = 0;
    this.firstEvent = null;
    this.timings = { latency: [], draw: [] };
    this.sent = 0;
    this.#build();
    this.observer = new ResizeObserver(() => this.payload.meta && this.body.resize());
    this.observer.observe(root);
    this.onpending = (event) => event.detail === this.payload.meta?.key && this.schedule();
    window.addEventListener(PENDING_EVENT, this.onpending);
    // For measurements and tests: the current view, and how long frames took.
    root.normgradViewer = {
      view: () => structuredClone(this.view),
      stats: () => ({ ...structuredClone(this.timings), decoded: { ...this.payload.decoded }, sent: this.sent }),
    };
  }

  /** Takes what a rerun brought; `report(view)` sends a view to Python. */
  update(data, report) {
    this.report = report;
    const changed = this.payload.take(data);
    const { meta } = this.payload;
    if (this.view === null || changed.revision) {
      clearTimeout(this.reportTimer);
      this.revision = meta.revision;
      this.view = completeView(meta.view, meta);
      this.reported = JSON.stringify(this.#message());
    } else if (changed.maps) {
      this.view = completeView(this.view, meta);
    }
    if (this.mode !== meta.mode) this.#setMode(meta.mode);
    this.body.take(changed);
    this.toolbar.setColormaps(meta.colormaps);
    this.root.setAttribute("role", "group");
    this.root.setAttribute("aria-label", `${meta.photo.name} explained by ${meta.model}: ${meta.label}`);
    this.#draw();
  }

  /** Changes the view; drawn in the next frame, told to Python by settle(). */
  set(change) {
    this.view = completeView({ ...this.view, ...change }, this.payload.meta);
    this.schedule();
  }

  /** A change is final (a release, a click): report the view, unless another change follows, or at once. */
  settle(atOnce = false) {
    clearTimeout(this.reportTimer);
    const tell = () => {
      const message = this.#message();
      const text = JSON.stringify(message);
      if (text !== this.reported) this.#send(message, text);
    };
    if (atOnce) tell();
    else this.reportTimer = setTimeout(tell, REPORT_MILLISECONDS);
    this.speak(() => this.body.spoken());
  }

  /** Asks for a method at a layer on the page Compare. */
  open(left, layer) {
    clearTimeout(this.reportTimer);
    const message = this.#message();
    // The time tells one wish from the next, also after this page has been left and entered again.
    this.#send({ ...message, open: { left, layer, n: Date.now() } }, JSON.stringify(message));
  }

  /** Why a method has no maps here, as a panel's note; null if it has. */
  absence(name) {
    const { title, maps, unavailable, costText } = this.payload.method(name);
    if (maps) return null;
    if (unavailable) return { kind: "unavailable", text: unavailable };
    return { kind: "waiting", text: pendingOf(this.payload.meta.key)[name] ?? `Computing ${title}: ${costText}.` };
  }

  /** Says something to screen readers once things have come to rest. */
  speak(text) {
    clearTimeout(this.speakTimer);
    this.speakTimer = setTimeout(() => setText(this.speech, text()), SPEAK_MILLISECONDS);
  }

  schedule() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.#draw();
    });
  }

  destroy() {
    clearTimeout(this.reportTimer);
    clearTimeout(this.speakTimer);
    cancelAnimationFrame(this.frame);
    window.removeEventListener(PENDING_EVENT, this.onpending);
    this.observer.disconnect();
    this.payload.release();
    this.root.replaceChildren();
    delete this.root.normgradViewer;
  }

  #message() {
    return { rev: this.revision, ...this.view };
  }

  #send(message, text) {
    this.reported = text;
    this.sent += 1;
    this.report(message);
  }

  #build() {
    this.toolbar = new Toolbar({
      opacity: (opacity) => this.set({ opacity }),
      settle: () => this.settle(),
      colormap: (colormap) => this.#choose({ colormap }),
      scale: (scale) => this.#choose({ scale }),
      zoom: (factor) => this.body.zoomActions.zoom(factor),
      rest: () => this.body.zoomActions.rest(),
      toBox: () => this.body.zoomActions.toBox(),
      peek: (on) => this.root.classList.toggle("peeking", on),
    });
    this.place = element("div", {});
    this.speech = element("p", { class: "spoken", role: "status", "aria-live": "polite" });
    this.root.replaceChildren(this.toolbar.element, this.place, this.speech);
    this.root.addEventListener("input", () => (this.firstEvent ??= performance.now()), { capture: true });
  }

  #choose(change) {
    this.set(change);
    this.settle();
  }

  #setMode(mode) {
    this.mode = mode;
    const bodies = { framework: Framework, classes: Classes };
    this.body = new (bodies[mode] ?? Pair)(this, mode);
    this.root.dataset.mode = mode;
    this.toolbar.setBody(this.body);
    this.place.replaceChildren(this.body.element);
  }

  /** Draws what the view asks for; unchanged parts cost nothing. */
  #draw() {
    const begun = performance.now();
    const { payload, view } = this;
    this.root.style.setProperty("--map-opacity", String(view.opacity));
    this.toolbar.set(view);
    this.body.draw(payload.tables.get(view.colormap), payload.colormap(view.colormap).kind === "diverging");
    this.#endTiming(begun);
  }

  #endTiming(begun) {
    const now = performance.now();
    const { latency, draw } = this.timings;
    draw.push(now - begun);
    if (draw.length > KEPT_TIMINGS) draw.shift();
    if (this.firstEvent === null) return;
    latency.push(now - this.firstEvent);
    if (latency.length > KEPT_TIMINGS) latency.shift();
    this.firstEvent = null;
  }
}

/** Streamlit's entry: mounts once per parent element, then only updates. Returns the clean-up for unmounting. */
export default function mount({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector("[data-testid=normgrad-viewer]");
  parentElement.normgrad ??= new Viewer(root);
  parentElement.normgrad.update(data, (view) => setStateValue("view", view));
  return () => {
    parentElement.normgrad?.destroy();
    delete parentElement.normgrad;
  };
}
