/** The most likely classes: one button each, with its probability as a number and a bar. */

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
  const percent = document.createElement("span");
  percent.className = "percent";
  percent.textContent = entry.percent;
  element.append(bar, label, " ", percent);
  element.addEventListener("click", () => choose(entry.index));
  return element;
}

function mark(list, selected) {
  for (const element of list.children) {
    element.setAttribute("aria-pressed", String(Number(element.dataset.index) === selected));
  }
}

export default function classes({ data, parentElement, setTriggerValue }) {
  const list = parentElement.querySelector(".list");
  list.choose = (index) => {
    mark(list, index);
    setTriggerValue("chosen", index);
  };
  const content = JSON.stringify(data.classes);
  if (list.dataset.content !== content) {
    list.dataset.content = content;
    list.replaceChildren(...data.classes.map((entry) => row(entry, (index) => list.choose(index))));
  }
  mark(list, data.selected);
}
