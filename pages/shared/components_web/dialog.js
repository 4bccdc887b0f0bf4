/** What dialogs have in common: a heading with a button that closes them; Escape and a click beside them do so too. */

import { element, iconButton } from "../../../saliency_core/viewer/web/controls/dom.js";

const CROSS = '<path d="M5 5l10 10M15 5L5 15"/>';

/**
 * A modal dialog, closed. Its keys stay in it: the page's own do nothing meanwhile.
 *
 * @param {Record<string, any>} attributes
 * @param {{ heading: HTMLElement, before?: HTMLElement | null, testid: string }} header
 * @param {HTMLElement[]} children
 */
export function modal(attributes, { heading, before = null, testid }, ...children) {
  const dialog = element(
    "dialog",
    { "aria-labelledby": heading.id, onkeydown: (/** @type {Event} */ event) => event.stopPropagation(), ...attributes },
    element("header", {}, before, heading, iconButton("Close", CROSS, () => dialog.close(), { "data-testid": testid })),
    ...children,
  );
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // beside it
  });
  return dialog;
}
