
"use strict";
(() => {
  const form = document.getElementById("filter");
  const changes = Array.from(document.querySelectorAll("tbody.change"));
  if (!form || changes.length === 0) return;
  const texts = new Map();
  const text = (change) => {
    if (!texts.has(change)) texts.set(change, change.textContent.toLowerCase());
    return texts.get(change);
  };
  const apply = () => {
    const words = form.elements.words.value.toLowerCase().split(/\s+/).filter((word) => word !== "");
    const action = form.elements.action.value;
    const reason = form.elements.reason.value;
    let shown = 0;
    for (const change of changes) {
      const fits = (action === "" || change.dataset.action === action)
        && (reason === "" || change.dataset.reason === reason)
        && words.every((word) => text(change).includes(word));
      change.hidden = !fits;
      if (fits) shown += 1;
    }
    form.elements.count.value = `${shown.toLocaleString("en")} of ${changes.length.toLocaleString("en")} rows shown`;
  };
  const open = (wanted) => {
    for (const change of changes) {
      if (!change.hidden) for (const details of change.querySelectorAll("details")) details.open = wanted;
    }
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(apply, 0));
  form.elements.expand.addEventListener("click", () => open(true));
  form.elements.collapse.addEventListener("click", () => open(false));
  form.hidden = false;
  apply();
})();
