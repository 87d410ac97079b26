"use strict";
// The page also works without this script. It adds the filter, and opens folded parts for a link or for printing.
const form = document.getElementById("filter");
const claims = [...document.querySelectorAll("details.judged")];

function matches(part, wanted) {
  return (!wanted.cell || part.dataset.cell === wanted.cell)
    && (!wanted.verdict || (wanted.verdict === "surprise" ? part.querySelector("strong") : part.dataset.verdict === wanted.verdict));
}

function filter() {
  const wanted = Object.fromEntries(new FormData(form));
  const words = wanted.text.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const claim of claims) {
    let cells = 0;
    for (const part of claim.querySelectorAll("[data-cell]")) {
      part.hidden = !matches(part, wanted);
      cells += !part.hidden;
    }
    claim.hidden = !cells || (wanted.experiment && claim.dataset.experiment !== wanted.experiment)
      || !words.every((word) => claim.dataset.text.includes(word));
    shown += !claim.hidden;
  }
  form.querySelector("output").value = `${shown} of ${claims.length} claims`;
}

function unfold() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.matches("details")) {
    if (target.hidden) { form.reset(); filter(); }
    target.open = true;
    target.scrollIntoView();
    target.querySelector("summary").focus();
  }
}

form.addEventListener("input", filter);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(filter));
form.hidden = false;
filter();

addEventListener("hashchange", unfold);
unfold();

let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const part of folded) part.open = true;
});
addEventListener("afterprint", () => { for (const part of folded) part.open = false; });
