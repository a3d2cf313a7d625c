/** The panel on the right: list, threshold, detail, review, downloads. */

import * as api from "./api.js";
import { $, counted, debounced, h, icon, message, probability, svg } from "./dom.js";
import { select } from "./read.js";
import { currentImage, shownFindings, state, subscribe, thresholdOf, update } from "./state.js";

const SAVE_NOTE_AFTER_MS = 600;

function renderList() {
  const result = state.findings[state.current];
  const findings = result?.findings ?? [];
  const above = shownFindings(state.current).length;
  $("findings-count").textContent = result ? `${above} of ${findings.length} at or above` : "";
  $("threshold-value").textContent = probability(thresholdOf(state.current));
  $("threshold").value = thresholdOf(state.current);
  $("findings-message").replaceChildren(...words(result));
  const focused = document.activeElement?.closest?.(".finding")?.dataset.number;
  const list = $("findings");
  list.replaceChildren(...findings.map((finding) => h("li", {}, row(finding))));
  if (focused) list.querySelector(`[data-number="${focused}"]`)?.focus();
}

function words(result) {
  const image = currentImage();
  if (!image) return ["Open an image to see its findings."];
  const lines = image.warnings.map((text) => message("warning", text));
  if (image.truth) lines.unshift(message("info", `Truth, in green: ${counted(image.truth.length, "cluster")}.`));
  if (!result)
    lines.push(image.state === "failed" ? message("error", image.error) : h("p", {}, "Not scanned yet."));
  else if (!result.findings.length) lines.push(h("p", {}, "The scan found no candidate in this image."));
  return lines;
}

function row(finding) {
  const verdict = finding.review?.verdict ?? "";
  const below = finding.probability < thresholdOf(state.current);
  const selected = finding.number === state.selected;
  const extent = finding.calcifications_px?.length
    ? `${finding.calcifications_px.length} calcifications, ${finding.extent_mm.toFixed(1)} mm`
    : "whole patch";
  return h(
    "button",
    {
      class: `finding ${verdict} ${below ? "below" : ""}`,
      "data-number": finding.number,
      "aria-label": [
        `Finding ${finding.number}`,
        `probability ${probability(finding.probability)}`,
        extent,
        below && "below the threshold",
        verdict,
      ]
        .filter(Boolean)
        .join(", "),
      "aria-current": selected ? "true" : "false",
      on: { click: () => select(finding.number) },
    },
    h("span", { class: "tagged" }, String(finding.number)),
    h("span", { class: "p number" }, probability(finding.probability)),
    h("small", {}, extent),
    verdict ? h("span", { class: `verdict ${verdict}` }, icon(verdict === "accepted" ? "check" : "cross")) : null,
  );
}

let shown = "";

async function renderDetail() {
  const finding = state.findings[state.current]?.findings.find((one) => one.number === state.selected);
  const key = finding ? `${state.current} ${finding.number}` : "";
  if (key === shown) return;
  shown = key;
  if (!finding) {
    $("detail").replaceChildren();
    return;
  }
  const body = h("div", {}, h("p", { class: "muted" }, "Loading …"));
  $("detail").replaceChildren(
    h("div", { class: "detail" }, h("h3", {}, `Finding ${finding.number}`), body, reviewForm(state.current, finding)),
  );
  try {
    const detail = await api.getFinding(state.current, finding.number);
    if (shown === key) body.replaceChildren(...detailOf(detail));
  } catch (error) {
    if (shown === key) body.replaceChildren(message("error", error.message));
  }
}

function detailOf(detail) {
  const gradcam = h("img", { src: detail.gradcam, alt: "Grad-CAM: where the networks look", class: "gradcam" });
  const points = svg(
    "svg",
    { viewBox: "0 0 60 60", "aria-hidden": "true" },
    ...detail.calcifications_patch.map(([column, line]) => svg("circle", { cx: column + 0.5, cy: line + 0.5, r: 1.8 })),
  );
  const toggle = (text, target, on) => {
    target.toggleAttribute("hidden", !on);
    return h(
      "label",
      {},
      h("input", {
        type: "checkbox",
        checked: on,
        on: { change: (event) => target.toggleAttribute("hidden", !event.target.checked) },
      }),
      text,
    );
  };
  return [
    h(
      "div",
      { class: "detail-top" },
      h(
        "div",
        { class: "patch" },
        h("img", { src: detail.patch, alt: "Patch of 60 by 60 pixels of 85 µm" }),
        gradcam,
        points,
      ),
      h(
        "div",
        { class: "votes" },
        h("strong", {}, "Votes"),
        ...detail.votes.map((vote, index) => bar(String(index), vote)),
      ),
    ),
    h(
      "div",
      { class: "row patch-options" },
      toggle("Grad-CAM", gradcam, true),
      toggle("Calcifications", points, true),
      h("span", { class: "hint" }, "5.1 × 5.1 mm"),
    ),
  ];
}

function bar(name, value) {
  const fill = h("i");
  fill.style.width = `${100 * value}%`;
  return h(
    "div",
    { class: "vote" },
    h("span", {}, h("span", { class: "visually-hidden" }, "Expert "), name),
    h("div", { class: "meter", "aria-hidden": "true" }, fill),
    h("span", { class: "number" }, probability(value)),
  );
}

function reviewForm(id, finding) {
  let verdict = finding.review?.verdict ?? null;
  const saved = h("p", { class: "saved", role: "status" });
  const note = h("textarea", { id: "note", value: finding.review?.note ?? "", maxlength: 4000 });
  const buttons = ["accepted", "rejected"].map((name) =>
    h(
      "button",
      { class: "button", "data-verdict": name },
      icon(name === "accepted" ? "check" : "cross"),
      name === "accepted" ? "Accept" : "Reject",
    ),
  );
  const show = () =>
    buttons.forEach((button) => button.setAttribute("aria-pressed", button.dataset.verdict === verdict));
  let order = 0;
  let sent = note.value;
  const write = async () => {
    const mine = ++order;
    sent = note.value;
    saved.className = "saved";
    saved.textContent = "Saving …";
    try {
      await api.putReview(id, finding.number, { verdict, note: note.value });
      if (mine === order) saved.textContent = "Saved.";
      keep(id, finding.number, { verdict, note: note.value });
    } catch (error) {
      saved.className = "saved error";
      saved.textContent = `Not saved: ${error.message}`;
    }
  };
  const writeSoon = debounced(() => note.value !== sent && write(), SAVE_NOTE_AFTER_MS);
  for (const button of buttons) {
    button.addEventListener("click", () => {
      verdict = verdict === button.dataset.verdict ? null : button.dataset.verdict;
      show();
      write();
    });
  }
  note.addEventListener("input", () => {
    saved.textContent = note.value === sent ? "" : "Not saved yet.";
    writeSoon();
  });
  note.addEventListener("change", () => note.value !== sent && write());
  show();
  return h(
    "div",
    { class: "review" },
    h("div", { class: "row tight", role: "group", "aria-label": "Review" }, buttons),
    h("label", { for: "note" }, "Note"),
    note,
    saved,
  );
}

function keep(id, number, review) {
  const result = state.findings[id];
  const findings = result.findings.map((finding) => (finding.number === number ? { ...finding, review } : finding));
  update({ findings: { ...state.findings, [id]: { ...result, findings } } });
}

function renderDownloads() {
  const image = currentImage();
  const scanned = image?.state === "scanned";
  const any = state.images.some((one) => one.state === "scanned");
  $("download-list").replaceChildren(
    fileButton(
      "Picture with its marks (PNG)",
      scanned,
      () => api.download(api.overlayUrl(image.id)),
      "overlay",
    ),
    fileButton(
      "DICOM objects (zip)",
      scanned && image.dicom,
      () => api.download(api.dicomUrl(image.id)),
      "dicom",
    ),
    fileButton("Findings of all images (CSV)", any, () => api.download("/api/findings.csv"), "csv"),
    fileButton("Reviews (JSON)", any, () => api.download("/api/review.json"), "review"),
    ...(state.session?.save
      ? [
          fileButton(
            "Save all in the server's folder",
            any,
            async () => `Saved in ${(await api.save()).folder}`,
            "save",
          ),
        ]
      : []),
  );
}

function fileButton(text, possible, action, name) {
  const note = h("span", { class: "saved", role: "status" });
  const button = h("button", { class: "button", disabled: !possible, "data-download": name }, text);
  button.addEventListener("click", async () => {
    button.disabled = true;
    note.className = "saved";
    note.textContent = "Preparing …";
    try {
      note.textContent = (await action()) ?? "";
    } catch (error) {
      note.className = "saved error";
      note.textContent = error.message;
    } finally {
      button.disabled = false;
    }
  });
  return h("div", { class: "row tight" }, button, note);
}

/** Wire up the panel. */
export function setUpFindings() {
  $("threshold").addEventListener("input", () => update({ threshold: Number($("threshold").value) }));
  $("threshold-reset").addEventListener("click", () => update({ threshold: null }));
  subscribe(["findings", "current", "images", "selected", "threshold"], renderList);
  subscribe(["findings", "current", "selected"], renderDetail);
  let drawn = "";
  subscribe(["images", "current", "session"], () => {
    // not on every poll: a download's note must stay
    const key = JSON.stringify([state.current, state.session?.save, state.images.map((image) => image.state)]);
    if (key !== drawn) renderDownloads();
    drawn = key;
  });
}
