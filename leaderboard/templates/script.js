"use strict";

const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

function compare(a, b) {
  const [x, y] = [Number(a), Number(b)];
  return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
}

function sortKey(body, column) {
  const cell = body.rows[0].cells[column];
  return cell.dataset.v ?? cell.textContent.trim();
}

/* Each row is a tbody of its own. What has no number stays last in both directions. */
function sortTable(table, column, descending) {
  const keyed = [...table.tBodies].map((body) => [sortKey(body, column), body]);
  keyed.sort(([a], [b]) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    return descending ? compare(b, a) : compare(a, b);
  });
  table.append(...keyed.map(([, body]) => body));
}

function makeSortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const descending = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      sortTable(table, column, descending);
    });
  });
}

function filterRows() {
  const words = document.getElementById("filter-text").value.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = $$("[data-filter]").filter((select) => select.value !== "");
  const bodies = [...document.getElementById("table").tBodies];
  for (const body of bodies) {
    const text = body.textContent.toLowerCase();
    body.hidden = !(words.every((word) => text.includes(word)) && wanted.every((s) => body.dataset[s.dataset.filter] === s.value));
  }
  const shown = bodies.filter((body) => !body.hidden).length;
  document.getElementById("filter-count").textContent = `${shown} of ${bodies.length} rows`;
}

function pickMatrix(select) {
  for (const figure of $$(".matrix", document.getElementById(select.dataset.pick))) {
    figure.classList.toggle("off", figure.dataset.matrix !== select.value);
  }
}

function openTarget() {
  const target = document.getElementById(location.hash.slice(1));
  if (!target) return;
  const inner = target.querySelector(":scope > details.fold") ?? target;
  for (let node = inner; node; node = node.parentElement) {
    if (node instanceof HTMLDetailsElement) node.open = true;
  }
  target.scrollIntoView();
}

/* The address always names the section that was opened last, so that it can be passed on. */
function nameInAddress(event) {
  const fold = event.currentTarget.parentElement;
  if (!fold.open) history.replaceState(null, "", `#${fold.parentElement.id}`);
}

/* Paper has no folds. */
function unfoldForPrint() {
  const closed = $$("details.fold:not([open])");
  closed.forEach((fold) => { fold.open = true; });
  addEventListener("afterprint", () => closed.forEach((fold) => { fold.open = false; }), { once: true });
}

/* A spreadsheet runs what begins like a formula: such text gets an apostrophe in front. Numbers are left alone. */
function csvField(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const text = /^\s*[=+\-@]|^[\t\r\n]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n']/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/* One line per figure, in long form; a cell without figures keeps a line for its error. */
function csv(results) {
  const union = (field) => [...new Set(results.rows.flatMap((row) => Object.keys(row[field])))];
  const [budgets, facts, keys] = [union("budget"), union("facts"), union("keys")];
  const timed = keys.filter((role) => results.rows.some((row) => results.provenance[row.keys[role]]?.seconds !== undefined));
  const cell = ["data", "model", "defense", "attack", "access", "seed", "status", "error"];
  const figure = ["metric", "column", "judge", "value", "low", "high", "unit", "direction", "samples", "identities", "reason"];
  const lines = [[...cell, ...figure, ...budgets, ...facts, "notes", ...keys.map((role) => `${role} key`),
    ...timed.map((role) => `${role} seconds`)]];
  for (const row of results.rows) {
    for (const f of row.figures.length ? row.figures : [{}]) {
      lines.push([...cell.map((k) => row[k]), ...figure.map((k) => f[k]), ...budgets.map((k) => row.budget[k]),
        ...facts.map((k) => row.facts[k]), row.notes.join("; "), ...keys.map((k) => row.keys[k]),
        ...timed.map((k) => results.provenance[row.keys[k]]?.seconds)]);
    }
  }
  return lines.map((line) => line.map(csvField).join(",")).join("\r\n") + "\r\n";
}

function fileName(title, suffix) {
  return (title.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 60) || "results") + suffix;
}

function download(kind) {
  const text = document.getElementById("data").textContent;
  const results = JSON.parse(text);
  const blob = kind === "csv"
    ? new Blob(["\ufeff", csv(results)], { type: "text/csv;charset=utf-8" })
    : new Blob([text], { type: "application/json" });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = fileName(results.title, `.${kind}`);
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function addCopy(code) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "copy";
  button.setAttribute("aria-label", `Copy ${code.textContent.slice(0, 12)}`);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "selected";
    }
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  });
  code.after(button);
}

document.documentElement.classList.add("js");
$$("table.sortable").forEach(makeSortable);
$$("[data-pick]").forEach((select) => {
  select.addEventListener("change", () => pickMatrix(select));
  pickMatrix(select);
});
const filters = document.getElementById("filters");
if (filters) { // a page of its own may have no rows
  filters.addEventListener("input", filterRows);
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("reset", () => setTimeout(filterRows));
  filterRows();
}
$$("[data-download]").forEach((button) => button.addEventListener("click", () => download(button.dataset.download)));
$$("[data-open]").forEach((button) => button.addEventListener("click", () => {
  $$(button.dataset.of).forEach((details) => { details.open = button.dataset.open === "true"; });
}));
$$("code.key").forEach(addCopy);
$$("details.fold > summary").forEach((summary) => summary.addEventListener("click", nameInAddress));
addEventListener("beforeprint", unfoldForPrint);
addEventListener("hashchange", openTarget);
/* A link to where the address already points changes nothing, but the fold may have been closed since. */
addEventListener("click", ({ target }) => {
  if (target.closest('a[href^="#"]')?.hash === location.hash) openTarget();
});
openTarget();
