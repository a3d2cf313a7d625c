/** The panel on the right: list, threshold, detail, review, downloads. */

import * as api from "./api.js";
import { $, copy, counted, debounced, h, message, probability, svg } from "./dom.js";
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
  list.replaceChildren(...findings.map(row));
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
  const { root, button, ...parts } = copy("finding-row");
  const verdict = finding.review.verdict ?? "";
  const below = finding.probability < thresholdOf(state.current);
  const count = finding.calcifications_px.length;
  const extent = count ? `${counted(count, "calcification")}, ${finding.extent_mm.toFixed(1)} mm` : "whole patch";
  const words = [`Finding ${finding.number}`, `probability ${probability(finding.probability)}`, extent];
  button.className = `finding ${verdict} ${below ? "below" : ""}`;
  button.dataset.number = finding.number;
  button.setAttribute("aria-label", [...words, below && "below the threshold", verdict].filter(Boolean).join(", "));
  button.setAttribute("aria-current", finding.number === state.selected);
  button.onclick = () => select(finding.number);
  parts.number.textContent = finding.number;
  parts.probability.textContent = probability(finding.probability);
  parts.extent.textContent = extent;
  for (const name of ["accepted", "rejected"]) parts[name].toggleAttribute("hidden", name !== verdict);
  return root;
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
  const { root, title, near } = copy("detail-of-finding");
  title.textContent = `Finding ${finding.number}`;
  root.append(reviewForm(state.current, finding));
  $("detail").replaceChildren(root);
  try {
    const detail = await api.getFinding(state.current, finding.number);
    if (shown === key) near.replaceChildren(detailOf(detail));
  } catch (error) {
    if (shown === key) near.replaceChildren(message("error", error.message));
  }
}

function detailOf(detail) {
  const near = copy("near");
  near.patch.src = detail.patch;
  near.gradcam.src = detail.gradcam;
  for (const [column, line] of detail.calcifications_patch)
    near.points.append(svg("circle", { cx: column + 0.5, cy: line + 0.5, r: 1.8 }));
  near.showGradcam.onchange = ({ target }) => near.gradcam.toggleAttribute("hidden", !target.checked);
  near.showPoints.onchange = ({ target }) => near.points.toggleAttribute("hidden", !target.checked);
  near.votes.append(...detail.votes.map((vote, index) => bar(index, vote)));
  return near.root;
}

function bar(expert, value) {
  const vote = copy("vote");
  vote.name.textContent = expert;
  vote.fill.style.width = `${100 * value}%`;
  vote.value.textContent = probability(value);
  return vote.root;
}

function reviewForm(id, finding) {
  let verdict = finding.review.verdict;
  const { root, saved, note, ...buttons } = copy("review-form");
  note.value = finding.review.note;
  const show = () => {
    for (const [name, button] of Object.entries(buttons)) button.setAttribute("aria-pressed", name === verdict);
  };
  let order = 0;
  let sent = note.value;
  const say = (text, kind = "") => {
    saved.className = `saved ${kind}`;
    saved.textContent = text;
  };
  const write = async () => {
    const mine = ++order;
    sent = note.value;
    say("Saving …");
    try {
      await api.putReview(id, finding.number, { verdict, note: note.value });
      if (mine === order) say("Saved.");
      keep(id, finding.number, { verdict, note: note.value });
    } catch (error) {
      say(`Not saved: ${error.message}`, "error");
    }
  };
  const writeChange = () => note.value !== sent && write();
  const writeSoon = debounced(writeChange, SAVE_NOTE_AFTER_MS);
  for (const [name, button] of Object.entries(buttons))
    button.onclick = () => {
      verdict = verdict === name ? null : name;
      show();
      write();
    };
  note.oninput = () => {
    say(note.value === sent ? "" : "Not saved yet.");
    writeSoon();
  };
  note.onchange = writeChange;
  show();
  return root;
}

function keep(id, number, review) {
  const result = state.findings[id];
  const findings = result.findings.map((finding) => (finding.number === number ? { ...finding, review } : finding));
  update({ findings: { ...state.findings, [id]: { ...result, findings } } });
}

const DOWNLOADS = {
  overlay: (image) => api.download(api.overlayUrl(image.id)),
  dicom: (image) => api.download(api.dicomUrl(image.id)),
  csv: () => api.download("/api/findings.csv"),
  review: () => api.download("/api/review.json"),
  save: async () => `Saved in ${(await api.save()).folder}`,
};

function renderDownloads() {
  const image = currentImage();
  const scanned = image?.state === "scanned";
  const any = state.images.some((one) => one.state === "scanned");
  const possible = { overlay: scanned, dicom: scanned && image.dicom, csv: any, review: any, save: any };
  for (const button of document.querySelectorAll("[data-download]")) {
    button.disabled = !possible[button.dataset.download];
    button.nextElementSibling.textContent = "";
  }
  $("save").hidden = !state.session?.save;
}

async function download({ target: button }) {
  const note = button.nextElementSibling;
  button.disabled = true;
  note.className = "saved";
  note.textContent = "Preparing …";
  try {
    note.textContent = (await DOWNLOADS[button.dataset.download](currentImage())) ?? "";
  } catch (error) {
    note.className = "saved error";
    note.textContent = error.message;
  }
  button.disabled = false;
}

/** Wire up the panel. */
export function setUpFindings() {
  $("threshold").addEventListener("input", () => update({ threshold: Number($("threshold").value) }));
  $("threshold-reset").addEventListener("click", () => update({ threshold: null }));
  subscribe(["findings", "current", "images", "selected", "threshold"], renderList);
  subscribe(["findings", "current", "selected"], renderDetail);
  for (const button of document.querySelectorAll("[data-download]")) button.onclick = download;
  let drawn = "";
  subscribe(["images", "current", "session"], () => {
    // not on every poll: a download's note must stay
    const key = JSON.stringify([state.current, state.session?.save, state.images.map((image) => image.state)]);
    if (key !== drawn) renderDownloads();
    drawn = key;
  });
}
