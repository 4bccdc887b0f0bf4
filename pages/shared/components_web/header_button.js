/** A button of the page's header: an icon with words where there is room. The menu of a narrow window has them too. */

import { element, icon } from "../../../saliency_core/viewer/web/controls/dom.js";

/**
 * The words are the last child.
 *
 * @param {string} path of the icon
 * @param {string} words
 * @param {() => void} onclick
 * @param {Record<string, any>} [attributes]
 */
export function headerButton(path, words, onclick, attributes = {}) {
  return element("button", { type: "button", class: "header-button", onclick, ...attributes }, icon(path), element("span", { class: "words", text: words }));
}
