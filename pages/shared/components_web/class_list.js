/** The most likely classes: one button each, with its probability as a number and a bar (or its rank); and a search of all. */

import { Combobox } from "./combobox.js";
import { ask, UNREACHABLE } from "./server.js";

function row(entry, choose) {
  const element = document.createElement("button");
  element.type = "button";
  element.title = entry.label;
  element.dataset.index = entry.index;
  element.dataset.testid = "class";
  const bar = document.createElement("span");
  bar.className = "bar";
  bar.style.width = `${100 * entry.probability}%`;
  const label = document.createElement("span");
  label.className = "label";
  label.textContent = entry.label;
  const share = document.createElement("span");
  share.className = "share";
  share.textContent = entry.share;
  const letter = document.createElement("span");
  letter.className = "letter";
  element.append(bar, letter, " ", label, " ", share);
  element.addEventListener("click", () => choose(entry.index));
  return element;
}

/** Marks the class that is chosen, and those with a letter. */
function mark(list, classes) {
  classes.forEach((entry, i) => {
    const row = list.children[i];
    const letter = row.querySelector(".letter");
    letter.textContent = entry.letter;
    letter.hidden = !entry.letter;
    row.setAttribute("aria-pressed", String(entry.selected));
  });
}

/** The search of all classes: what is chosen appears in the list above, so the field is empty for the next one. */
function makeSearch(parent, list) {
  const box = new Combobox({
    label: "Search all classes",
    placeholder: "",
    find: (query, signal) => ask("models/classes", { model: list.model, q: query }, { signal, token: list.token }),
    row: ({ title }) => [title],
    onchoose: (option) => {
      list.choose(Number(option.name));
      box.input.value = "";
    },
    popup: true,
    clears: true,
    failed: UNREACHABLE,
    testid: "class-search",
  });
  parent.append(box.input, box.list, box.note);
  return box;
}

export default function classes({ data, parentElement, setTriggerValue }) {
  const list = parentElement.querySelector(".list");
  list.choose = (index) => {
    for (const row of list.children) row.setAttribute("aria-pressed", String(Number(row.dataset.index) === index));
    setTriggerValue("chosen", index);
  };
  [list.model, list.token] = [data.model, data.token];
  list.box ??= makeSearch(parentElement.querySelector(".all"), list);
  list.box.input.placeholder = data.placeholder;
  list.box.input.parentElement.hidden = data.placeholder === ""; // the list has them all
  const content = JSON.stringify(data.classes.map(({ index, label, share }) => [index, label, share]));
  if (list.dataset.content !== content) {
    list.dataset.content = content;
    list.replaceChildren(...data.classes.map((entry) => row(entry, (index) => list.choose(index))));
  }
  mark(list, data.classes);
}
