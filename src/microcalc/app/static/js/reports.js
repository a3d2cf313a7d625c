/** Reports of studies and of evaluations, two side by side. */

import { $, h } from "./dom.js";
import { state, subscribe } from "./state.js";

/** @type {string[]} addresses of the one or two chosen reports, the last chosen last */
let chosen = [];
const root = document.documentElement;

function render() {
  const reports = state.session?.reports ?? [];
  chosen = reports.slice(0, 1).map(({ report }) => report);
  const item = ({ name, report }) =>
    h(
      "label",
      { class: "study-item" },
      h("input", { type: "checkbox", value: report, onchange: ({ target }) => choose(reports, report, target.checked) }),
      h("span", { class: "name" }, name),
    );
  const hint = reports.length
    ? "Choose one, or two to compare."
    : "No report is open. Start the viewer with run directories, or scans that were evaluated: microcalc app runs/first found";
  $("reports").replaceChildren(
    h(
      "section",
      { class: "panel study-list", "aria-label": "Reports" },
      h("h2", {}, "Reports"),
      h("p", { class: "hint" }, hint),
      ...reports.map(item),
    ),
    h("div", { class: "reports", id: "frames" }),
  );
  show(reports);
}

/** At most two: a third takes the place of the first. */
function choose(reports, report, on) {
  chosen = chosen.filter((other) => other !== report);
  if (on) chosen = [...chosen, report].slice(-2);
  show(reports);
}

function show(reports) {
  for (const box of $("reports").querySelectorAll("input")) box.checked = chosen.includes(box.value);
  const frames = chosen.map((src) => {
    const { name } = reports.find(({ report }) => report === src);
    return h("iframe", { class: "report", title: `Report: ${name}`, src: `${src}?theme=${root.dataset.theme}`, sandbox: "" });
  });
  $("frames").replaceChildren(...frames);
}

/** Wire up the page. */
export function setUpReports() {
  new MutationObserver(() => show(state.session?.reports ?? [])).observe(root, { attributeFilter: ["data-theme"] });
  subscribe(["session"], render);
}
