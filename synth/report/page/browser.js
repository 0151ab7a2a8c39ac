"use strict";
// The browser of rows. Whatever a model wrote goes into the page as text nodes, never as markup.
(() => {
  const PAGE = 20;
  const rows = JSON.parse(document.getElementById("data").textContent);
  const runs = Number(document.body.dataset.runs);
  const letter = (run) => run < 26 ? "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[run] : String(run + 1);
  const [list, search, fate, found, further] =
    ["list", "search", "fate", "found", "further"].map((id) => document.getElementById(id));
  const words = new Map(rows.map((row) => [row, JSON.stringify([row.id, row.why, row.detail,
    ...row.turns.map((turn) => turn[1]), ...row.columns, ...row.more]).toLowerCase()]));
  let shown = PAGE;

  const element = (name, className, ...inside) => {
    const made = document.createElement(name);
    made.className = className;
    made.append(...inside);
    return made;
  };

  const marked = (text, query) => {
    const parts = document.createDocumentFragment();
    const plain = text.toLowerCase();
    // Some letters change their length in lower case: no marks then, rather than wrong ones.
    let from = 0, at = query && plain.length === text.length ? plain.indexOf(query) : -1;
    for (; at >= 0; at = plain.indexOf(query, from)) {
      parts.append(text.slice(from, at), element("mark", "", text.slice(at, at + query.length)));
      from = at + query.length;
    }
    parts.append(text.slice(from));
    return parts;
  };

  const pairs = (names, query) => element("dl", "more", ...names.filter((pair) => pair[1]).map(([name, value]) =>
    element("div", "", element("dt", "", name), element("dd", "", marked(value, query)))));

  const card = (row, query) => {
    const head = element("header", "", ...(runs > 1 ? [element("b", "badge " + letter(row.run), letter(row.run))] : []),
      element("b", "id", "#", marked(row.id, query)));
    if (!row.kept) head.append(element("span", "chip lost", marked(row.why, query)));
    for (const [name, value] of row.columns) {
      if (value.length <= 24) head.append(element("span", "chip", name + " ", element("b", "", marked(value, query))));
    }
    const body = element("div", "turns");
    for (const [role, text] of row.turns) {
      const kind = role === "user" || role === "assistant" ? role : "other";
      const said = element("p", "", marked(text, query));
      said.dir = "auto";
      body.append(element("div", "turn " + kind, element("b", "role", role), said));
    }
    const long = row.columns.filter((pair) => pair[1].length > 24);
    const detail = row.detail ? [["why", row.detail]] : [];
    const more = element("details", "", element("summary", "", "details"), pairs([...detail, ...long, ...row.more], query));
    return element("article", row.kept ? "row" : "row rejected", head, body, more);
  };

  const groups = (chosen) => {
    if (runs < 2) return chosen.map((row) => [row]);
    const byId = new Map();
    for (const row of chosen) byId.set(row.id, [...(byId.get(row.id) || []), row]);
    return [...byId.values()].sort((one, other) => other.length - one.length);
  };

  const draw = () => {
    const query = search.value.trim().toLowerCase();
    // In the rows' JSON a quotation mark and a line's end are written with a backslash.
    const needle = JSON.stringify(query).slice(1, -1);
    const chosen = rows.filter((row) => (fate.value === "" || (fate.value === "kept" ? row.kept : row.why === fate.value.slice(1)))
      && words.get(row).includes(needle));
    const all = groups(chosen);
    list.replaceChildren(...all.slice(0, shown).map((group) => runs > 1
      ? element("div", "pair", ...[...Array(runs).keys()].map((run) => {
          const cards = group.filter((row) => row.run === run).map((row) => card(row, query));
          return element("div", "", ...(cards.length ? cards : [element("p", "none", "not among these rows")]));
        }))
      : card(group[0], query)));
    found.textContent = chosen.length.toLocaleString("en") + (chosen.length === 1 ? " row" : " rows");
    further.hidden = all.length <= shown;
  };

  const option = (value, text) => { const made = new Option(text, value); fate.add(made); };
  option("", "all rows");
  option("kept", "kept");
  for (const why of [...new Set(rows.filter((row) => !row.kept).map((row) => row.why))].sort()) option("=" + why, why);
  search.addEventListener("input", () => { shown = PAGE; draw(); });
  fate.addEventListener("change", () => { shown = PAGE; draw(); });
  further.addEventListener("click", () => { shown += PAGE; draw(); });
  document.querySelector(".controls").hidden = false;
  draw();
})();
