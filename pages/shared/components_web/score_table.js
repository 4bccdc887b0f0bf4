/** Scores of maps as a table: a row for every method, a column for every layer; sorted by a column, and a cell can be chosen. */

/** @typedef {{ text: string, interval: string, shade: number, note: string } | null} Score */

function button(text, onclick) {
  const element = document.createElement("button");
  element.type = "button";
  element.append(...[text].flat());
  element.addEventListener("click", onclick);
  return element;
}

function span(className, text) {
  const element = document.createElement("span");
  element.className = className;
  element.textContent = text;
  return element;
}

/** The head of a column: sorts by it, first with the best on top. */
function head(table, column, index) {
  const cell = document.createElement("th");
  cell.scope = "col";
  const sorted = table.sorted?.index === index ? table.sorted : null;
  cell.ariaSort = sorted ? (sorted.reverse ? "ascending" : "descending") : "none";
  const mark = span("mark", sorted ? (sorted.reverse ? "▴" : "▾") : "▾");
  const sort = button([column.title, mark], () => {
    table.sorted = sorted?.reverse ? null : { index, reverse: sorted !== null };
    draw(table);
    table.root.querySelectorAll("thead button")[index]?.focus();
  });
  sort.title = `Sort by ${column.title}`;
  cell.append(sort);
  return cell;
}

/** @param {Score} score */
function body(table, row, column, score) {
  const cell = document.createElement("td");
  if (score === null) {
    cell.append(span("none", "–"));
    cell.title = "Not defined there.";
    return cell;
  }
  cell.style.setProperty("--shade", String(score.shade));
  const choose = button([span("mean", score.text), span("interval", score.interval)], () => {
    table.chosen = [row.name, column.name];
    for (const each of table.root.querySelectorAll("td button")) each.ariaPressed = String(each === choose);
    table.choose(table.chosen);
  });
  choose.dataset.testid = "score";
  choose.ariaPressed = String(table.chosen?.[0] === row.name && table.chosen?.[1] === column.name);
  choose.ariaLabel = `${row.title}, ${column.title}: ${score.text}${score.interval ? `, ${score.interval}` : ""}`;
  choose.title = score.note;
  if (score.best) cell.classList.add("best");
  cell.append(choose);
  return cell;
}

/** The order of the rows: as they came, or by the values of a column; those without a value are last. */
function order(table) {
  const rows = table.rows.map((_, index) => index);
  if (!table.sorted) return rows;
  const { index, reverse } = table.sorted;
  const value = (row) => table.scores[row][index]?.rank ?? Number.NEGATIVE_INFINITY;
  const missing = (row) => Number(table.scores[row][index] === null);
  return rows.sort((a, b) => missing(a) - missing(b) || (value(b) - value(a)) * (reverse ? -1 : 1) || a - b);
}

function draw(table) {
  const grid = document.createElement("table");
  const corner = document.createElement("th");
  corner.scope = "col";
  corner.textContent = "Method";
  const top = document.createElement("tr");
  top.append(corner, ...table.columns.map((column, index) => head(table, column, index)));
  const heads = document.createElement("thead");
  heads.append(top);
  const lines = document.createElement("tbody");
  for (const index of order(table)) {
    const row = table.rows[index];
    const line = document.createElement("tr");
    const name = document.createElement("th");
    name.scope = "row";
    name.textContent = row.title;
    line.append(name, ...table.columns.map((column, each) => body(table, row, column, table.scores[index][each])));
    lines.append(line);
  }
  grid.append(heads, lines);
  grid.ariaLabel = table.label;
  const scrolled = table.root.scrollLeft;
  table.root.replaceChildren(grid);
  table.root.scrollLeft = scrolled;
}

export default function scores({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".scores");
  const table = (root.table ??= { root, sorted: null });
  table.choose = (cell) => setTriggerValue("chosen", cell);
  const content = JSON.stringify(data);
  if (table.content === content) return;
  table.content = content;
  if (JSON.stringify(table.columns) !== JSON.stringify(data.columns)) table.sorted = null;
  Object.assign(table, data);
  draw(table);
}
