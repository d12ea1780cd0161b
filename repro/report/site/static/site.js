// Filters and sorts the board. Without it the board is complete, in the order of the suite.
(() => {
  "use strict";
  const form = document.querySelector(".filters");
  const body = document.querySelector(".board tbody");
  if (!form || !body) return;
  const rows = [...body.rows];
  const count = form.querySelector(".count");
  const words = ["title", "family", "verdict"];

  const shows = (row, query) => {
    const data = row.dataset;
    const found = [data.verdict, ...data.found.split(" ")];
    return query.q.every((word) => data.title.includes(word))
      && (!query.family || data.family === query.family)
      && (!query.verdict || found.includes(query.verdict));
  };

  const compare = (key) => (one, two) => {
    const a = one.dataset[key], b = two.dataset[key];
    const order = one.dataset.order - two.dataset.order;
    if (key === "order") return order;
    if (words.includes(key)) return a.localeCompare(b) || order;
    // Largest first; a paper without the number comes last.
    return (b || "-1") - (a || "-1") || order;
  };

  const update = () => {
    const query = {
      q: form.elements.q.value.toLowerCase().split(/\s+/).filter(Boolean),
      family: form.elements.family.value,
      verdict: form.elements.verdict.value,
    };
    let shown = 0;
    for (const row of rows) {
      row.hidden = !shows(row, query);
      if (!row.hidden) shown += 1;
    }
    body.append(...[...rows].sort(compare(form.elements.sort.value)));
    count.textContent = `${shown} of ${rows.length} papers`;
  };

  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  update();
})();
