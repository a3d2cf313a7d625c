/** Studies: run directories and their reports, two side by side. */

import { $, h } from "./dom.js";
import { state, subscribe } from "./state.js";

/** @type {string[]} reports of the one or two chosen studies, the last chosen last */
let chosen = [];

function render() {
  const studies = state.session?.studies ?? [];
  chosen = studies.slice(0, 1).map((study) => study.report);
  const item = ({ name, report }) =>
    h(
      "label",
      { class: "study-item" },
      h("input", {
        type: "checkbox",
        value: report,
        on: { change: ({ target }) => choose(studies, report, target.checked) },
      }),
      h("span", { class: "name" }, name),
    );
  const hint = studies.length
    ? "Choose one, or two to compare."
    : "No study is open. Start the viewer with run directories: microcalc app runs/first";
  $("studies").replaceChildren(
    h(
      "section",
      { class: "panel study-list", "aria-label": "Studies" },
      h("h2", {}, "Studies"),
      h("p", { class: "hint" }, hint),
      ...studies.map(item),
    ),
    h("div", { class: "reports", id: "reports" }),
  );
  show(studies);
}

/** At most two: a third takes the place of the first. */
function choose(studies, report, on) {
  chosen = chosen.filter((other) => other !== report);
  if (on) chosen = [...chosen, report].slice(-2);
  show(studies);
}

function show(studies) {
  for (const box of $("studies").querySelectorAll("input")) box.checked = chosen.includes(box.value);
  const frames = chosen.map((src) => {
    const { name } = studies.find((study) => study.report === src);
    return h("iframe", { class: "report", title: `Report of ${name}`, src, sandbox: "" });
  });
  $("reports").replaceChildren(...frames);
}

/** Wire up the page. */
export function setUpStudies() {
  subscribe(["session"], render);
}
