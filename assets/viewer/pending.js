/** News of methods whose maps are not here yet. They come apart from the maps, which then need not come again. */

export const PENDING_EVENT = "normgrad-pending";

const news = (globalThis.normgradPending ??= {});

/** Method name -> what is happening, for the viewer with this key. */
export function pendingOf(key) {
  return news[key] ?? {};
}

/** Takes news and lets the viewer with this key know. */
export function setPending(key, pending) {
  news[key] = pending;
  window.dispatchEvent(new CustomEvent(PENDING_EVENT, { detail: key }));
}
