/** Studies: run directories, their reports and figures, two side by side, and the patches they got wrong. */

import * as api from "./api.js";
import { $, h, message, probability } from "./dom.js";
import { state, subscribe } from "./state.js";

const SETS = [
  ["cross_validation", "Cross-validation"],
  ["test", "Test"],
  ["external", "External"],
];
const FIGURES = [
  ["auc", "AUC"],
  ["accuracy", "Accuracy"],
  ["sensitivity", "Sensitivity"],
  ["specificity", "Specificity"],
];
const PATCH_SETS = [
  ["own", "Cross-validation"],
  ["test", "Test"],
  ["external", "External"],
];
const MOST_SHOWN = 200;

/** @type {string[]} ids of the one or two chosen studies */
let chosen = [];
const patches = {};
const filter = { set: "own", label: "", low: 0, high: 1 };

const studies = () => state.session?.studies ?? [];

function render() {
  const list = h(
    "section",
    { class: "panel study-list", "aria-label": "Studies" },
    h("h2", {}, "Studies"),
    ...(studies().length
      ? [h("p", { class: "hint" }, "Choose one, or two to compare."), ...studies().map(item)]
      : [empty()]),
  );
  $("studies").replaceChildren(list, h("div", { class: "study-main", id: "study-main" }));
  if (!chosen.length && studies().length) chosen = [studies()[0].id];
  mark();
  renderMain();
}

const empty = () =>
  h(
    "p",
    { class: "muted" },
    "No study is open. Start the viewer with run directories: ",
    h("code", {}, "microcalc app runs/first"),
  );

const item = (study) =>
  h(
    "label",
    { class: "study-item" },
    h("input", {
      type: "checkbox",
      value: study.id,
      on: { change: (event) => choose(study.id, event.target.checked) },
    }),
    h("span", { class: "name" }, study.name),
  );

/** At most two: a third takes the place of the first. */
function choose(id, on) {
  chosen = on ? [...chosen.filter((other) => other !== id), id].slice(-2) : chosen.filter((other) => other !== id);
  mark();
  renderMain();
}

function mark() {
  for (const box of $("studies").querySelectorAll(".study-item input")) box.checked = chosen.includes(box.value);
}

const chosenStudies = () => chosen.map((id) => studies().find((study) => study.id === id)).filter(Boolean);

function renderMain() {
  const shown = chosenStudies();
  if (!shown.length) {
    $("study-main").replaceChildren();
    return;
  }
  const columns = shown.length === 2 ? "side-by-side two" : "side-by-side";
  $("study-main").replaceChildren(
    h(
      "section",
      { class: "study-part" },
      h("h2", {}, "Main figures"),
      h("p", { class: "hint" }, "Each with its 95 % interval."),
      h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": "Main figures" }, table(shown)),
    ),
    h(
      "section",
      { class: "study-part" },
      h("h2", {}, "Reports"),
      h(
        "div",
        { class: columns },
        ...shown.map((study) =>
          h("iframe", { class: "report", title: `Report of ${study.name}`, src: api.reportUrl(study.id), sandbox: "" }),
        ),
      ),
    ),
    h("section", { class: "study-part", id: "wrong" }),
  );
  renderWrong();
}

function table(shown) {
  const sets = SETS.filter(([key]) => shown.some((study) => study.metrics[key]));
  const rows = sets.flatMap(([key, name]) =>
    FIGURES.map(([figure, label], index) =>
      h(
        "tr",
        {},
        index === 0 && h("th", { scope: "rowgroup", rowspan: FIGURES.length }, name),
        h("th", { scope: "row" }, label),
        ...shown.map((study) => cell(study.metrics[key], figure)),
      ),
    ),
  );
  return h(
    "table",
    { class: "study-table" },
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        h("th", { scope: "col" }, "Set"),
        h("th", { scope: "col" }, "Figure"),
        ...shown.map((study) => h("th", { scope: "col" }, study.name)),
      ),
    ),
    h("tbody", {}, ...rows),
  );
}

function cell(metrics, figure) {
  const value = metrics?.[figure];
  if (value === null || value === undefined) return h("td", {}, "–");
  const interval = metrics[`${figure}_ci95`];
  return h(
    "td",
    {},
    value.toFixed(3),
    interval && h("span", { class: "ci" }, ` ${interval[0].toFixed(3)} to ${interval[1].toFixed(3)}`),
  );
}

function renderWrong() {
  const section = $("wrong");
  const select = (label, name, options) =>
    h(
      "label",
      {},
      label,
      h(
        "select",
        {
          on: {
            change: (event) => {
              filter[name] = event.target.value;
              fillWrong();
            },
          },
        },
        ...options.map(([value, text]) => h("option", { value, selected: filter[name] === value }, text)),
      ),
    );
  const number = (label, name) =>
    h(
      "label",
      {},
      label,
      h("input", {
        type: "number",
        min: 0,
        max: 1,
        step: 0.05,
        value: String(filter[name]),
        on: {
          input: (event) => {
            filter[name] = Number(event.target.value);
            fillWrong();
          },
        },
      }),
    );
  section.replaceChildren(
    h("h2", {}, "Wrongly classified patches"),
    h(
      "div",
      { class: "filters" },
      select("Set", "set", PATCH_SETS),
      select("Label", "label", [
        ["", "both"],
        ["0", "normal"],
        ["1", "cluster"],
      ]),
      number("Probability from", "low"),
      number("to", "high"),
      h("p", { id: "wrong-count", class: "muted", role: "status" }),
    ),
    h("div", { id: "wrong-patches", class: chosenStudies().length === 2 ? "side-by-side two" : "side-by-side" }),
  );
  fillWrong();
}

async function fillWrong() {
  const shown = chosenStudies();
  const set = filter.set;
  const lists = await Promise.all(shown.map((study) => wrongPatches(study, set)));
  if (set !== filter.set || shown.map((study) => study.id).join() !== chosen.join()) return;
  const kept = lists.map((list) => (list instanceof Error ? list : list.filter(wanted)));
  $("wrong-count").textContent = kept.map((list, index) => `${shown[index].name}: ${list.length ?? "–"}`).join(" · ");
  $("wrong-patches").replaceChildren(
    ...kept.map((list, index) =>
      h(
        "div",
        { class: "study-part" },
        shown.length === 2 && h("h3", {}, shown[index].name),
        list instanceof Error
          ? message("error", list.message)
          : list.length
            ? h("div", { class: "patches" }, ...list.slice(0, MOST_SHOWN).map(figure))
            : h("p", { class: "muted" }, "None."),
      ),
    ),
  );
}

const wanted = (patch) =>
  (filter.label === "" || patch.label === Number(filter.label)) &&
  patch.probability >= filter.low &&
  patch.probability <= filter.high;

/** Fetched once for each study and set; an error takes the list's place. */
function wrongPatches(study, set) {
  patches[`${study.id} ${set}`] ??= api.getWrongPatches(study.id, set).catch((error) => error);
  return patches[`${study.id} ${set}`];
}

const figure = (patch) =>
  h(
    "figure",
    {},
    patch.picture
      ? h("img", { src: patch.picture, loading: "lazy", alt: `Patch ${patch.file}, and its Grad-CAM` })
      : null,
    h(
      "figcaption",
      {},
      h("span", { class: "name", title: patch.file }, patch.file.split("/").pop()),
      h(
        "span",
        {},
        `${patch.label ? "cluster" : "normal"}, probability `,
        h("strong", { class: "number" }, probability(patch.probability)),
      ),
    ),
  );

/** Wire up the page. */
export function setUpStudies() {
  subscribe(["session"], render);
}
