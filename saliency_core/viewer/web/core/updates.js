/** News that comes apart from the maps, which then need not come again: methods under way, and figures. */

export const PENDING_EVENT = "normgrad-pending";

const news = (globalThis.normgradPending ??= {});

/** Method name -> what is happening, for the viewer with this key. */
export function pendingOf(key) {
  return news[key]?.pending ?? {};
}

/** The figures for the maps with this identity, null until they are here. */
export function figuresOf(key, maps) {
  const figures = news[key]?.figures;
  return figures?.maps === maps ? figures : null;
}

/** Takes news and lets the viewer with this key know. */
export function setNews(key, pending, figures) {
  news[key] = { pending, figures };
  window.dispatchEvent(new CustomEvent(PENDING_EVENT, { detail: key }));
}
