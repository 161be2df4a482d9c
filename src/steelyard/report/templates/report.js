"use strict";
(() => {
  const payload = JSON.parse(document.getElementById("payload").textContent);
  const views = {};

  function findRow(key) {
    for (const row of document.querySelectorAll("tr.found")) row.classList.remove("found");
    const row = document.querySelector(`#table-points tr[data-key="${CSS.escape(key)}"]`);
    if (!row) return;
    row.classList.add("found");
    row.scrollIntoView({ block: "center", behavior: "smooth" });
  }

  async function draw(id, spec) {
    const place = document.getElementById(id);
    spec.datasets = { ...spec.datasets, ...payload.data };
    // `ast` makes Vega interpret its formulas, so the page needs no right to evaluate strings.
    const result = await window.vegaEmbed(place, spec, {
      ast: true,
      renderer: "svg",
      tooltip: { theme: "custom" },
      actions: { export: true, source: false, compiled: false, editor: false },
      downloadFileName: id,
    });
    views[id] = result.view;
    result.view.addEventListener("click", (event, item) => {
      if (item && item.datum && item.datum.key) findRow(item.datum.key);
    });
  }

  function signal(id, name, value) {
    if (views[id]) views[id].signal(name, value).runAsync();
  }

  function sortable(table) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const rising = head.getAttribute("aria-sort") !== "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", rising ? "ascending" : "descending");
        const body = table.tBodies[0];
        const rows = [...body.rows].map((row) => [worth(row.cells[column]), row]);
        rows.sort(([a], [b]) => compare(a, b, rising));
        body.append(...rows.map(([, row]) => row));
      });
    });
  }

  function worth(cell) {
    const raw = cell.dataset.raw;
    if (raw === undefined) return cell.textContent.trim() === "—" ? null : cell.textContent.trim() || null;
    return raw !== "" && Number.isFinite(Number(raw)) ? Number(raw) : raw;
  }

  function compare(a, b, rising) {
    // What is not known stays last, whichever way the column runs.
    if (a === null || b === null) return (a === null) - (b === null);
    const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
    return rising ? order : -order;
  }

  document.querySelectorAll("table[data-sortable]").forEach(sortable);
  const only = document.getElementById("only-front");
  if (only) only.addEventListener("change", () => signal("chart-front", "only_front", only.checked));
  const pick = document.getElementById("pick-curve");
  if (pick) {
    pick.addEventListener("change", () => {
      for (const id of Object.keys(views)) if (id.startsWith("chart-curve-")) signal(id, "shown", pick.value);
    });
  }
  (async () => {
    for (const [id, spec] of Object.entries(payload.figures)) await draw(id, spec);
  })();
})();
