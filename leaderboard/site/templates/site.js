"use strict";

/* Filters and sorting of the index and of lists. Their state is the address behind #, so that it can be passed on. */

const form = document.getElementById("site-filters");
const tables = [...document.querySelectorAll("table.ranked")];
const sets = [...document.querySelectorAll(".rank-set")];
const OF_SET = ["data", "target", "threat", "protocol"];

function readAddress() {
  return new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
}

function writeAddress(state) {
  const text = state.toString();
  history.replaceState(null, "", text ? `#${text}` : location.pathname.split("/").pop() || "./");
}

/* A name that nobody has any more, in an old link, filters nothing: better all than an empty page. */
function choose(select, value) {
  const known = [...select.options].some((option) => option.value === value);
  select.value = known ? value : "";
}

function wanted() {
  return Object.fromEntries([...form.elements].filter((one) => one.name).map((one) => [one.name, one.value]));
}

function fits(row, want) {
  const attack = row.dataset.attack;
  const shown = want.attack === "*" ? attack !== "" : attack === want.attack;
  const family = want.family === "" || row.dataset.family === want.family;
  const state = want.state === "" || row.dataset.state.split("|").includes(want.state);
  return shown && family && state;
}

function filterSets() {
  const want = wanted();
  let shown = 0;
  for (const set of sets) {
    const here = OF_SET.every((name) => want[name] === "" || set.dataset[name] === want[name]);
    const rows = [...set.querySelectorAll("tbody tr")];
    for (const row of rows) row.hidden = !fits(row, want);
    for (const table of set.querySelectorAll("table")) table.classList.toggle("by-attack", want.attack !== "");
    const plain = want.attack === "" && want.family === "" && want.state === "";
    set.hidden = !here || !(rows.some((row) => !row.hidden) || (plain && rows.length === 0));
    shown += set.hidden ? 0 : 1;
  }
  document.getElementById("site-count").textContent = `${shown} of ${sets.length} rankings`;
  document.getElementById("none-left").hidden = shown > 0;
}

function valueOf(row, column) {
  const cell = row.cells[column];
  return cell.dataset.v ?? cell.textContent.trim();
}

/* What has no value stays last in both directions; equal values stay in the order of the file. */
function sortRows(table, column, descending) {
  const keyed = [...table.tBodies[0].rows].map((row) => [valueOf(row, column), Number(row.dataset.place), row]);
  keyed.sort(([a, i], [b, j]) => {
    if (a === "" || b === "") return (a === "") - (b === "") || i - j;
    return (descending ? compare(b, a) : compare(a, b)) || i - j;
  });
  table.tBodies[0].append(...keyed.map(([, , row]) => row));
}

function sortTables(key, descending) {
  for (const table of tables) {
    const heads = [...table.tHead.rows[0].cells];
    const column = heads.findIndex((head) => head.dataset.key === key);
    heads.forEach((head, i) => {
      if (head.dataset.key) head.setAttribute("aria-sort", i !== column ? "none" : descending ? "descending" : "ascending");
    });
    if (column >= 0) sortRows(table, column, descending);
    else [...table.tBodies[0].rows].sort((a, b) => a.dataset.place - b.dataset.place).forEach((row) => table.tBodies[0].append(row));
  }
}

function pressed(head) {
  const state = readAddress();
  state.set("sort", head.dataset.key);
  if (head.getAttribute("aria-sort") === "ascending") state.set("order", "descending");
  else state.delete("order");
  writeAddress(state);
  sortTables(state.get("sort"), state.get("order") === "descending");
}

function makePressable(table) {
  [...table.tBodies[0].rows].forEach((row, i) => { row.dataset.place = i; });
  for (const head of table.tHead.rows[0].cells) {
    if (!head.dataset.key) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => pressed(head));
  }
}

function followAddress() {
  const state = readAddress();
  if (form) {
    for (const select of form.querySelectorAll("select")) choose(select, state.get(select.name) ?? "");
    filterSets();
  }
  sortTables(state.get("sort"), state.get("order") === "descending");
}

function filtered() {
  const state = readAddress();
  for (const [name, value] of Object.entries(wanted())) {
    if (value === "") state.delete(name);
    else state.set(name, value);
  }
  writeAddress(state);
  filterSets();
}

async function copyLink(button) {
  const said = button.textContent;
  try {
    await navigator.clipboard.writeText(location.href);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Copy it from the address bar";
  }
  setTimeout(() => { button.textContent = said; }, 2000);
}

const current = document.querySelector("nav.site [aria-current]");
if (current) current.closest("ul").scrollLeft = current.offsetLeft - 40; // a phone shows a part of the list only
tables.forEach(makePressable);
if (form) {
  form.addEventListener("input", filtered);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => { filtered(); followAddress(); }));
  const copy = document.getElementById("copy-link");
  copy.addEventListener("click", () => copyLink(copy));
}
addEventListener("hashchange", followAddress);
followAddress();
