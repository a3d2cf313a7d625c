/** The panel on the right: list, threshold, detail, review, downloads. */

import * as api from "./api.js";
import { $, announce, copy, counted, debounced, h, message, probability, svg } from "./dom.js";
import { select } from "./read.js";
import { remember } from "./reading.js";
import { currentImage, isBlind, openImage, putImages, shownFindings, state, subscribe, thresholdOf, update } from "./state.js";

const SAVE_NOTE_AFTER_MS = 600;

function renderList() {
  const result = state.findings[state.current];
  const isHidden = isBlind(state.current);
  const findings = isHidden ? [] : (result?.findings ?? []);
  const above = shownFindings(state.current).length;
  $("findings-count").textContent = result && !isHidden ? `${above} of ${findings.length} at or above` : "";
  $("threshold").value = thresholdOf(state.current);
  if (document.activeElement !== $("threshold-number"))
    $("threshold-number").value = Number(thresholdOf(state.current).toPrecision(4));
  $("threshold-keep").disabled = state.threshold === null;
  $("findings-message").replaceChildren(...words(result));
  const focused = document.activeElement?.closest?.(".finding")?.dataset.number;
  const list = $("findings");
  list.replaceChildren(...findings.map(row));
  if (focused) list.querySelector(`[data-number="${focused}"]`)?.focus();
}

function words(result) {
  const image = currentImage();
  if (!image) return ["Open an image to see its findings."];
  if (isBlind(image.id)) return ["Hidden until you have marked this image as read."];
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
/** The review of the chosen finding. */
let form = null;

const chosenFinding = () => (isBlind(state.current) ? null : findingOf(state.current, state.selected));
const findingOf = (id, number) => state.findings[id]?.findings.find((finding) => finding.number === number);

async function renderDetail() {
  const finding = chosenFinding();
  const key = finding ? `${state.current} ${finding.number}` : "";
  if (key === shown) return form?.show(finding.review);
  shown = key;
  form = null;
  if (!finding) return $("detail").replaceChildren();
  const { root, title, near, ...parts } = copy("detail-of-finding");
  title.textContent = `Finding ${finding.number}`;
  form = reviewForm(parts, state.current, finding.number);
  form.show(finding.review);
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
  for (const { word, value, meaning } of detail.steps.filter((step) => step.word !== "votes"))
    near.votes.append(h("p", { title: meaning }, `${word}: ${value}`));
  return near.root;
}

function bar(expert, value) {
  const vote = copy("vote");
  vote.name.textContent = expert;
  vote.fill.style.width = `${100 * value}%`;
  vote.value.textContent = probability(value);
  return vote.root;
}

/** How to say something below the review, and to show another one. */
function reviewForm({ saved, note, ...buttons }, id, number) {
  let kept = "";
  const say = (text, kind = "") => {
    saved.className = `saved ${kind}`;
    saved.textContent = text;
  };
  const writeChange = () => note.value !== kept && judge(id, number, { note: note.value });
  const writeSoon = debounced(writeChange, SAVE_NOTE_AFTER_MS);
  for (const [name, button] of Object.entries(buttons)) button.onclick = () => toggleVerdict(name);
  note.oninput = () => {
    say(note.value === kept ? "" : "Not saved yet.");
    writeSoon();
  };
  note.onchange = writeChange;
  const show = (review) => {
    for (const [name, button] of Object.entries(buttons)) button.setAttribute("aria-pressed", name === review.verdict);
    if (note.value === kept) note.value = review.note; // else the reader is typing
    kept = review.note;
  };
  return { say, show };
}

/** Accept or reject the chosen finding; once more takes it back. */
export function toggleVerdict(verdict) {
  const finding = chosenFinding();
  if (!finding) return;
  const { current: id, selected: number } = state;
  const before = finding.review;
  const wanted = before.verdict === verdict ? null : verdict;
  remember(() => {
    openImage(id);
    update({ selected: number });
    judge(id, number, { verdict: before.verdict });
  });
  judge(id, number, { verdict: wanted });
  announce(`Finding ${number}: ${wanted ?? "no verdict"}`);
}

let judging = Promise.resolve();

/** Change the review of a finding, and have the server keep it, one change after another. */
function judge(id, number, changes) {
  const review = { ...findingOf(id, number).review, ...changes };
  const { [id]: result, ...others } = state.findings;
  const findings = result.findings.map((finding) => (finding.number === number ? { ...finding, review } : finding));
  update({ findings: { ...others, [id]: { ...result, findings } } });
  const say = (...words) => shown === `${id} ${number}` && form?.say(...words);
  judging = judging.then(async () => {
    say("Saving …");
    try {
      await api.putReview(id, number, review);
      say("Saved.");
    } catch (error) {
      say(`Not saved: ${error.message}`, "error");
    }
  });
}

/** Mark the findings of all images anew, also in the folders of their scans. */
async function keepThreshold() {
  const { folders, images } = await api.putThreshold(state.threshold);
  putImages(images);
  update({ threshold: null });
  return folders.join("; ") || "Kept for this session.";
}

/** Show in a note that something is being done, and then its answer or its error. */
async function noting(note, text, action) {
  note.className = "saved";
  note.textContent = text;
  try {
    note.textContent = (await action()) ?? "";
  } catch (error) {
    note.className = "saved error";
    note.textContent = error.message;
  }
}

const DOWNLOADS = {
  overlay: (image) => api.download(api.overlayUrl(image.id)),
  dicom: (image) => api.download(api.dicomUrl(image.id)),
  csv: () => api.download("/api/findings.csv"),
  review: () => api.download("/api/review.json"),
  send: async (image) => `Stored ${counted((await api.sendResults(image.id)).stored, "object")}.`,
  save: async () => `Saved in ${(await api.save()).folder}`,
};

function renderDownloads() {
  const image = currentImage();
  const scanned = image?.state === "scanned";
  const any = state.images.some((one) => one.state === "scanned");
  const possible = { overlay: scanned, dicom: scanned && image.dicom, csv: any, review: any, save: any };
  possible.send = possible.dicom;
  for (const button of document.querySelectorAll("[data-download]")) {
    button.disabled = !possible[button.dataset.download];
    button.nextElementSibling.textContent = "";
  }
  $("save").hidden = !state.session?.save;
  $("send").hidden = !state.session?.server;
}

async function download({ target: button }) {
  button.disabled = true;
  await noting(button.nextElementSibling, "Preparing …", () => DOWNLOADS[button.dataset.download](currentImage()));
  button.disabled = false;
}

/** Wire up the panel. */
export function setUpFindings() {
  for (const id of ["threshold", "threshold-number"])
    $(id).addEventListener("input", ({ target }) => target.checkValidity() && update({ threshold: Number(target.value) }));
  $("threshold-keep").onclick = () => noting($("threshold-note"), "Marking …", keepThreshold);
  $("threshold-reset").onclick = () => {
    const image = currentImage();
    update({ threshold: image?.scan_point === image?.operating_point ? null : image.scan_point });
  };
  subscribe(["findings", "current", "images", "selected", "threshold", "readings", "blind"], renderList);
  subscribe(["findings", "current", "selected", "readings", "blind"], renderDetail);
  for (const button of document.querySelectorAll("[data-download]")) button.onclick = download;
  let drawn = "";
  subscribe(["images", "current", "session"], () => {
    // not on every poll: a download's note must stay
    const key = JSON.stringify([state.current, state.session?.save, state.images.map((image) => image.state)]);
    if (key !== drawn) renderDownloads();
    drawn = key;
  });
}
