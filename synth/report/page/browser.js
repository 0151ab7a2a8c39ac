"use strict";
// The browser of rows. Whatever a model wrote goes into the page as text nodes, never as markup.
(() => {
  const PAGE = 20, MOST_VALUES = 100;
  const rows = JSON.parse(document.getElementById("data").textContent);
  const runs = Number(document.body.dataset.runs);
  const letter = (run) => run < 26 ? "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[run] : String(run + 1);
  const [list, search, fate, column, value, values, sort, found, further] =
    ["list", "search", "fate", "column", "value", "values", "sort", "found", "further"].map((id) => document.getElementById(id));
  const words = new Map(rows.map((row) => [row, JSON.stringify([row.id, row.why, row.detail,
    ...row.turns.map((turn) => turn[1]), row.end, ...row.columns, ...row.more]).toLowerCase()]));
  let shown = PAGE;

  // What rows can be filtered and sorted by: the columns of the strategy, and what every row has.
  const fields = new Map(rows.map((row) => [row, new Map([
    ["finish_reason", row.end], ["tokens generated", row.tokens === null ? "" : String(row.tokens)], ...row.columns])]));
  const names = [...new Set(rows.flatMap((row) => [...fields.get(row).keys()]))];
  const field = (row, name) => fields.get(row).get(name) ?? "";
  const ENDS = { length: "cut by max_tokens", repetition: "cut in a loop" };

  const passes = (text, asked) => {
    const [, sign, bound] = asked.match(/^(<=|>=|<|>|=)?\s*(.*)$/);
    const [left, right] = [Number(text), Number(bound)];
    const numbers = text !== "" && bound !== "" && !isNaN(left) && !isNaN(right);
    if (sign && sign !== "=") return numbers && { "<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right }[sign];
    if (numbers) return left === right;
    return sign ? text === bound : text.toLowerCase().includes(bound.toLowerCase());
  };

  // Numbers by their size, then texts, then what has no value.
  const compare = (one, other) => {
    if (one === "" || other === "") return (one === "") - (other === "");
    const [left, right] = [Number(one), Number(other)];
    return isNaN(left) || isNaN(right) ? isNaN(left) - isNaN(right) || one.localeCompare(other) : left - right;
  };

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
    if (ENDS[row.end]) head.append(element("span", "chip cut", ENDS[row.end]));
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
    const more = element("details", "", element("summary", "", "details"), pairs([...detail, ...long, ["finish_reason", row.end], ...row.more], query));
    return element("article", row.kept ? "row" : "row rejected", head, body, more);
  };

  const groups = (chosen) => {
    if (runs < 2) return chosen.map((row) => [row]);
    const byId = new Map();
    for (const row of chosen) byId.set(row.id, [...(byId.get(row.id) || []), row]);
    const found = [...byId.values()];
    return sort.value ? found : found.sort((one, other) => other.length - one.length);
  };

  const draw = () => {
    const query = search.value.trim().toLowerCase();
    // In the rows' JSON a quotation mark and a line's end are written with a backslash.
    const needle = JSON.stringify(query).slice(1, -1);
    const chosen = rows.filter((row) => (fate.value === "" || (fate.value === "kept" ? row.kept : row.why === fate.value.slice(1)))
      && words.get(row).includes(needle)
      && (!column.value || !value.value.trim() || passes(field(row, column.value), value.value.trim())));
    if (sort.value) {
      const [down, name] = [sort.value[0] === "-", sort.value.slice(1)];
      const bare = (row) => field(row, name) === "";
      chosen.sort((one, other) => bare(one) - bare(other) || (down ? -1 : 1) * compare(field(one, name), field(other, name)));
    }
    const all = groups(chosen);
    list.replaceChildren(...all.slice(0, shown).map((group) => runs > 1
      ? element("div", "pair", ...[...Array(runs).keys()].map((run) => {
          const cards = group.filter((row) => row.run === run).map((row) => card(row, query));
          return element("div", "", ...(cards.length ? cards : [element("p", "none", "not among these rows")]));
        }))
      : card(group[0], query)));
    const of = chosen.length < rows.length ? " of " + rows.length.toLocaleString("en") : "";
    found.textContent = chosen.length.toLocaleString("en") + of + (rows.length === 1 ? " row" : " rows");
    further.hidden = all.length <= shown;
  };

  const reasons = [...new Set(rows.filter((row) => !row.kept).map((row) => row.why))].sort();
  const fill = (select, options) => { for (const [value, text] of options) select.add(new Option(text, value)); };
  fill(fate, [["", "all rows"], ["kept", "kept"], ...reasons.map((why) => ["=" + why, why])]);
  fill(column, [["", "any column"], ...names.map((name) => [name, name])]);
  fill(sort, [["", "kept first"], ...names.flatMap((name) => [["+" + name, name + " ↑"], ["-" + name, name + " ↓"]])]);
  const again = () => { shown = PAGE; draw(); };
  for (const input of [search, value]) input.addEventListener("input", again);
  for (const select of [fate, sort]) select.addEventListener("change", again);
  column.addEventListener("change", () => {
    const all = column.value ? [...new Set(rows.map((row) => field(row, column.value)))].filter((one) => one !== "") : [];
    values.replaceChildren(...all.sort(compare).slice(0, MOST_VALUES).map((one) => new Option(one, one)));
    value.value = "";
    value.hidden = !column.value;
    again();
  });
  further.addEventListener("click", () => { shown += PAGE; draw(); });
  document.querySelector(".controls").hidden = false;
  draw();
})();
