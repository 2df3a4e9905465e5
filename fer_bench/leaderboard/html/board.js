"use strict";
(() => {
  const { sections, palette } = JSON.parse(document.getElementById("board-data").textContent);
  const html = document.documentElement;

  function element(name, text, attributes = {}) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    Object.assign(made, attributes);
    return made;
  }

  // Cells: plain, or {v: to sort by, t: text, b: bold, d: details, n: on a pointer}
  const valueOf = (cell) => (cell !== null && typeof cell === "object" ? cell.v : cell);
  const textOf = (cell) => {
    if (cell === null || cell === undefined || cell === "") return "-";
    return String(typeof cell === "object" ? cell.t : cell);
  };

  function show(section) {
    return (cell) => {
      const value = cell.getValue();
      const opens = value !== null && typeof value === "object" && value.d;
      const shown = element(opens ? "button" : "span", textOf(value));
      if (opens) {
        shown.type = "button";
        shown.className = "open";
        shown.addEventListener("click", () => openDetails(section, value.d));
      }
      if (value && value.b) shown.classList.add("best");
      shown.title = (value && value.n) || (textOf(value).length > 40 ? textOf(value) : "");
      return shown;
    };
  }

  function compare(one, other, _a, _b, _column, direction) {
    const [a, b] = [valueOf(one), valueOf(other)];
    const [lacksA, lacksB] = [a, b].map((v) => v === null || v === undefined || v === "");
    if (lacksA || lacksB) return lacksA && lacksB ? 0 : (lacksA ? 1 : -1) * (direction === "asc" ? 1 : -1);
    return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en");
  }

  function plainTitle(title) {
    return element("span", title).innerHTML; // escaped: the library takes titles as HTML
  }

  function columnOf(section, column) {
    const isNumber = column.kind === "number";
    return {
      title: plainTitle(column.title),
      field: column.field,
      headerTooltip: column.tip ? plainTitle(column.tip) : false,
      formatter: show(section),
      sorter: compare,
      headerSortStartingDir: isNumber ? "desc" : "asc",
      headerFilter: isNumber ? "number" : "input",
      headerFilterPlaceholder: isNumber ? "from" : "contains",
      headerFilterParams: { elementAttributes: { "aria-label": `filter ${column.title}` } },
      headerFilterFunc: isNumber
        ? (wanted, cell) => wanted === "" || wanted === null || (valueOf(cell) ?? -Infinity) >= Number(wanted)
        : (wanted, cell) => textOf(cell).toLowerCase().includes(String(wanted).toLowerCase()),
      hozAlign: isNumber ? "right" : "left",
      minWidth: 90,
      maxWidth: 420,
    };
  }

  function buildTable(place) {
    if (place.dataset.built) return;
    place.dataset.built = "1";
    const { columns, rows } = sections[place.dataset.section].tables[place.dataset.table];
    const made = columns.map((column) => columnOf(place.dataset.section, column));
    made[0].frozen = true;
    const table = new Tabulator(place, {
      data: rows,
      columns: made,
      layout: "fitDataTable",
      height: rows.length > 16 ? 520 : false,
      renderHorizontal: "basic",
      placeholder: "nothing fits the filters",
      columnHeaderSortMulti: true,
      autoResize: false, // drawing rows anew would take the focus from a number
    });
    table.on("tableBuilt", () => {
      for (const column of table.getColumns()) {
        const title = column.getElement().querySelector(".tabulator-col-title");
        title.tabIndex = 0;
        title.setAttribute("role", "button");
        title.addEventListener("keydown", (event) => {
          if (event.key !== "Enter" && event.key !== " ") return;
          event.preventDefault();
          title.click();
        });
      }
    });
  }

  // Figures
  const colour = (name) => getComputedStyle(html).getPropertyValue(name).trim();

  function config() {
    const [ink, line, soft] = ["--ink", "--line", "--soft"].map(colour);
    return {
      background: "transparent",
      font: "system-ui, sans-serif",
      view: { stroke: null },
      range: { category: palette[dark() ? "dark" : "light"] },
      point: { opacity: 1 },
      axis: { labelColor: ink, titleColor: ink, gridColor: line, domainColor: soft, tickColor: soft, labelFontSize: 12, titleFontSize: 12, labelLimit: 130 },
      legend: { labelColor: ink, titleColor: ink, labelFontSize: 12 },
      text: { fill: ink, color: ink },
      mark: { tooltip: true },
    };
  }

  async function draw(place, spec, onClick) {
    const drawn = await vegaEmbed(place, spec, {
      ast: true,
      config: config(),
      renderer: "svg",
      actions: { export: true, source: false, compiled: false, editor: false },
      loader: { http: false },
      tooltip: { theme: dark() ? "dark" : "light" },
    });
    if (onClick) drawn.view.addEventListener("click", (_event, item) => item && item.datum && onClick(item.datum));
    return drawn;
  }

  function withRows(section, spec) {
    const rows = sections[section].rows;
    return spec.data && spec.data.name ? { ...spec, data: { values: rows[spec.data.name] } } : spec;
  }

  const drawnCharts = new Map();

  async function buildChart(place) {
    const { section, chart } = place.dataset;
    const spec = withRows(section, sections[section].charts[chart]);
    const old = drawnCharts.get(place);
    drawnCharts.set(place, await draw(place, spec, (datum) => datum.d && openDetails(section, datum.d)));
    if (old) old.finalize();
  }

  // Details of a cell
  const dialog = document.getElementById("details");
  const body = document.getElementById("details-body");
  let shownDetails = null;
  let drawnDetails = [];

  function clearDetails() {
    drawnDetails.forEach((drawn) => drawn.finalize());
    drawnDetails = [];
    body.replaceChildren();
  }

  async function drawDetail(place, spec) {
    drawnDetails.push(await draw(place, spec));
  }

  function plainTable(header, rows, name = "") {
    const table = element("table", undefined, { className: name });
    const head = table.createTHead().insertRow();
    header.forEach((text) => head.append(element("th", text, { scope: "col" })));
    const filled = table.createTBody();
    rows.forEach((row) => {
      const line = filled.insertRow();
      row.forEach((text) => line.insertCell().append(text));
    });
    const frame = element("div", undefined, { className: "scroll", tabIndex: 0 });
    frame.append(table);
    return frame;
  }

  function block(title, ...children) {
    const made = element("div", undefined, { className: "block" });
    made.append(element("h3", title), ...children);
    return made;
  }

  function faces(pictures) {
    const frame = element("div", undefined, { className: "faces" });
    for (const { text, picture, row } of pictures) {
      const figure = element("figure");
      figure.append(element("img", undefined, { src: picture, alt: `drawn face: ${text}`, title: row }), element("figcaption", text));
      frame.append(figure);
    }
    return block("The surest wrong answer of each class (drawn faces)", frame);
  }

  function folded(title, child) {
    const made = element("details");
    made.append(element("summary", title), child);
    return made;
  }

  async function openDetails(section, key) {
    shownDetails = [section, key];
    const found = sections[section].details[key];
    const { specs, rows } = sections[section];
    document.getElementById("details-title").textContent = found.title;
    clearDetails();
    const commands = element("pre", found.commands.join("\n"), { tabIndex: 0 });
    body.append(
      plainTable(["", ""], found.facts, "facts"),
      block("Repeat it", commands),
      block("Scores", plainTable(["tested on", "transfer", "UAR, %", "rows", "units", "classes"], found.scores)),
    );
    const targets = Object.keys(found.answers);
    const answers = element("div");
    if (targets.length) {
      const choice = element("select");
      targets.forEach((target) => choice.append(element("option", target, { value: target })));
      choice.addEventListener("change", () => showAnswers(choice.value));
      const label = element("label", "Tested on ");
      label.append(choice);
      body.append(block("Answers", label, answers));
    }
    const mine = rows.learning.filter((row) => row.method === found.method && row.source === found.source);
    const [uar, loss] = [element("div"), element("div")];
    if (mine.length) {
      const pair = element("div", undefined, { className: "figures" });
      pair.append(uar, loss);
      body.append(block("Learning curves", pair));
    }
    const header = ["record, below the store", "fold", "seed", "epoch", "validation UAR, %", "test UAR, %", "version", "commit"];
    body.append(
      block("Runs", plainTable(header, found.runs)),
      folded("Settings", plainTable(["setting", "value"], [...found.varied.map(([n, v]) => [n, `${v} (varied)`]), ...found.settings])),
    );
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;

    async function showAnswers(target) {
      const { classes, counts, wrong } = found.answers[target];
      const cells = counts.flatMap((line, i) => {
        const total = line.reduce((sum, n) => sum + n, 0);
        return line.map((n, j) => ({ truth: classes[i], answer: classes[j], n, share: total ? n / total : 0 }));
      });
      const curve = rows.curves.filter((row) => row.method === found.method && row.source === found.source && row.target === target);
      const pair = element("div", undefined, { className: "figures" });
      const [left, right] = [element("div"), element("div")];
      pair.append(left, right);
      answers.replaceChildren(
        pair,
        element("h4", "Worst mistakes by class"),
        plainTable(["class", "rows", "wrong", "recall, %", "commonest wrong answers"], wrong),
      );
      if (found.answers[target].pictures) answers.append(faces(found.answers[target].pictures));
      await drawDetail(left, { ...specs.confusion, height: 32 * classes.length, data: { values: cells } });
      if (curve.length) await drawDetail(right, { ...specs.curve, data: { values: curve } });
    }
    if (targets.length) await showAnswers(targets[0]);
    if (mine.length) {
      const values = { values: mine };
      await drawDetail(uar, { ...specs.learning, data: values });
      await drawDetail(loss, { ...specs.loss, data: values });
    }
  }

  document.getElementById("details-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => { shownDetails = null; clearDetails(); });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

  // Colours: the system's, or the reader's choice
  const choice = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (choice.value === "auto" ? system.matches : choice.value === "dark");

  function paint() {
    html.dataset.theme = dark() ? "dark" : "light";
  }

  async function repaint() {
    paint();
    await Promise.all([...drawnCharts.keys()].map(buildChart));
    if (shownDetails) await openDetails(...shownDetails);
  }

  try { choice.value = localStorage.getItem("fer-bench-theme") || "auto"; } catch { /* no storage */ }
  choice.addEventListener("change", () => {
    try { localStorage.setItem("fer-bench-theme", choice.value); } catch { /* no storage */ }
    repaint();
  });
  system.addEventListener("change", repaint);

  paint();
  for (const fold of document.querySelectorAll("section details")) {
    fold.addEventListener("toggle", () => fold.open && fold.querySelectorAll(".table").forEach(buildTable));
  }
  for (const place of document.querySelectorAll("section .table")) if (!place.closest("details")) buildTable(place);
  Promise.all([...document.querySelectorAll(".chart")].map(buildChart)).then(() => { html.dataset.ready = "1"; });
})();
