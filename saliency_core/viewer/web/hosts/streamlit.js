/** Streamlit's component: everything that depends on Streamlit or Arrow. The default export is called on every rerun. */

import { listenToKeys } from "../controls/keys.js";
import { Viewer } from "../viewer.js";
import { latest, subscribe } from "./streamlit-channel.js";

/** Height of the page's own header, below which sticky parts must stay. */
function headerHeight() {
  return /** @type {HTMLElement | null} */ (document.querySelector("[data-testid=stHeader]"))?.offsetHeight ?? 0;
}

/** Whether the page is one for a projector, whose keys are worth a note; a small frame has no room for it. */
function presenting() {
  const root = document.documentElement;
  return root.hasAttribute("data-present") && !root.hasAttribute("data-embed");
}

/**
 * Arrow tables as typed arrays, decoded when asked for.
 *
 * @param {any} data
 * @returns {import("../core/payload.js").Delivery}
 */
function decode(data) {
  const column = (/** @type {string} */ name) => data[name].getChildAt(0);
  return {
    meta: data.meta,
    maps: () => column("maps").toArray(),
    luts: () => column("luts").toArray(),
    photo: () => column("photo").get(0),
  };
}

/**
 * Mounts once per parent element, then only updates. Returns the clean-up for unmounting.
 *
 * @param {{data: any, parentElement: any, setStateValue: Function, setTriggerValue: Function}} component
 */
export default function mount({ data, parentElement, setStateValue, setTriggerValue }) {
  const root = parentElement.querySelector("[data-testid=normgrad-viewer]");
  if (!parentElement.normgrad) {
    const viewer = new Viewer(root);
    const unsubscribe = subscribe((key) => key === parentElement.normgrad.key && viewer.setUpdates(latest(key)));
    const ignoreKeys = listenToKeys(viewer); // which lecture mode sends
    // Whoever makes files of what is shown asks for it here: the server hears of changes a moment later.
    const onView = (/** @type {Event} */ event) => /** @type {CustomEvent} */ (event).detail.take(structuredClone(viewer.view), viewer.modeName);
    window.addEventListener("normgrad-view", onView);
    const disconnect = () => {
      unsubscribe();
      ignoreKeys();
      window.removeEventListener("normgrad-view", onView);
    };
    parentElement.normgrad = { viewer, disconnect };
  }
  const { viewer, disconnect } = parentElement.normgrad;
  const begins = viewer.revision === null;
  parentElement.normgrad.key = data.meta.key;
  viewer.update(decode(data), latest(data.meta.key), {
    offline: false,
    report: (/** @type {object} */ view) => setStateValue("view", view),
    open: (/** @type {object} */ request) => setTriggerValue("open", request),
    compute: () => setTriggerValue("compute", true),
    request: (/** @type {object} */ wanted) => setTriggerValue("request", wanted),
    headerHeight,
  });
  if (begins && presenting()) viewer.showKeys("offer");
  return () => {
    disconnect();
    viewer.destroy();
    delete parentElement.normgrad;
  };
}
