/** Copying: the browser's own interface, and where that is missing (on a page without encryption) its old command. */

/**
 * Whether a text is in the clipboard now.
 *
 * @param {string} text
 * @param {Element} room in which a field may stand for a moment: of a modal dialog, nothing outside can be selected
 */
export async function copyText(text, room) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = document.createElement("textarea");
    field.value = text;
    field.style.position = "fixed";
    field.style.opacity = "0";
    room.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

/**
 * Whether a picture is in the clipboard now. Safari wants to be asked at once, with the promise of a picture.
 *
 * @param {() => Promise<Blob>} png
 */
export async function copyPicture(png) {
  try {
    await navigator.clipboard.write([new ClipboardItem({ "image/png": png() })]);
    return true;
  } catch {
    return false;
  }
}
