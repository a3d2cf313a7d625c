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
  $("no-reports").hidden = reports.length > 0;
  $("some-reports").hidden = !reports.length;
  $("report-list").replaceChildren(...reports.map(item));
  show(reports);
}

/** At most two: a third takes the place of the first. */
function choose(reports, report, on) {
  chosen = chosen.filter((other) => other !== report);
  if (on) chosen = [...chosen, report].slice(-2);
  show(reports);
}

function show(reports) {
  for (const box of $("report-list").querySelectorAll("input")) box.checked = chosen.includes(box.value);
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
