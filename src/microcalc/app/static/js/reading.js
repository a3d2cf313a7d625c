/** The reader's work on each image: what was drawn and measured, whether it is read. The server keeps it; undo. */

import * as api from "./api.js";
import { $, announce, copy, counted, message } from "./dom.js";
import { listedImages } from "./images.js";
import { lengthOf } from "./overlay.js";
import { currentImage, imageOf, isBlind, openImage, readingOf, state, subscribe, update } from "./state.js";

const STEPS_KEPT = 100;

/** @type {{key: string|null, back: () => void}[]} how to undo each step, the last one last */
const steps = [];
/** What has been seen of images since the page was opened, until they are read: seconds, and whether with marks. */
const seen = new Map();
let writing = Promise.resolve();
let trouble = "";

/** Remember how to undo a step; one after another with the same key are undone together. */
export function remember(back, key = null) {
  if (key && steps.at(-1)?.key === key) return;
  steps.push({ key, back });
  if (steps.length > STEPS_KEPT) steps.shift();
  $("undo").disabled = false;
}

export function undo() {
  steps.pop()?.back();
  $("undo").disabled = !steps.length;
}

/** Change the work on an image, and have the server keep it. */
export function change(id, changes, key = null) {
  const { read, clusters_px, rulers_px } = readingOf(id);
  remember(() => {
    openImage(id);
    put(id, { read, clusters_px, rulers_px });
  }, key);
  put(id, changes);
}

function put(id, changes) {
  update({ readings: { ...state.readings, [id]: { ...readingOf(id), ...look(id), ...changes } } });
  writing = writing.then(async () => {
    try {
      await api.putReading(id, readingOf(id));
      trouble = "";
    } catch (error) {
      trouble = `Not saved: ${error.message}`;
    }
    render();
  });
}

let watched = null;
let since = performance.now();

/** Add the time since the last call to the image that was on the screen. */
function keepTime() {
  const now = performance.now();
  if (watched && imageOf(watched)) {
    const seconds = (now - since) / 1000;
    const { read, ...before } = { ...readingOf(watched), ...seen.get(watched) };
    const isMarked = state.showMarks && !isBlind(watched) && imageOf(watched).state === "scanned";
    seen.set(watched, {
      seconds: read ? before.seconds : before.seconds + seconds,
      marks_shown: before.marks_shown || isMarked,
    });
  }
  watched = state.page === "read" && document.visibilityState === "visible" ? state.current : null;
  since = now;
}

/** How long an image was looked at until it was read, and whether marks were on it. */
function look(id) {
  keepTime();
  const { seconds, marks_shown } = seen.get(id) ?? readingOf(id);
  return { seconds: Math.round(100 * seconds) / 100, marks_shown };
}

export function markRead() {
  const { read } = readingOf(state.current);
  change(state.current, { read: !read });
  announce(verdict(state.current));
}

/** Open the next image that is not read, from the open one on. */
export function openNextUnread() {
  const ids = listedImages().map((image) => image.id);
  const after = ids.indexOf(state.current) + 1;
  const next = [...ids.slice(after), ...ids.slice(0, after)].find((id) => !readingOf(id).read);
  if (next) openImage(next);
  announce(next ? imageOf(next).name : "All images are read.");
}

/** What a read image is: normal without an accepted finding and a drawn cluster. */
function verdict(id) {
  const accepted = (state.findings[id]?.findings ?? []).filter((finding) => finding.review.verdict === "accepted");
  const clusters = accepted.length + readingOf(id).clusters_px.length;
  return `${readingOf(id).read ? "Read" : "Mark as read"}: ${clusters ? counted(clusters, "cluster") : "normal"}`;
}

function render() {
  const image = currentImage();
  $("mark-read").disabled = !image;
  $("mark-read").setAttribute("aria-pressed", Boolean(image && readingOf(image.id).read));
  $("mark-read-text").textContent = image ? verdict(image.id) : "Mark as read";
  $("reading-trouble").replaceChildren(...(trouble ? [message("error", trouble)] : []));
  const read = state.images.filter(({ id }) => readingOf(id).read).length;
  $("progress").hidden = !state.images.length;
  $("progress-text").textContent = `${read} of ${state.images.length} read`;
  Object.assign($("progress-bar"), { max: state.images.length || 1, value: read });
}

function renderDrawn() {
  const image = currentImage();
  const { clusters_px: clusters, rulers_px: rulers } = readingOf(image?.id);
  $("drawn").replaceChildren(
    ...clusters.map((box, index) => {
      const text = `Missed cluster ${letter(index)}`;
      const row = drawnRow(text, "clusters_px", index);
      row.name.textContent = `${text}: ${sizeOf(image, box)}`;
      row.name.setAttribute("aria-current", state.drawn === index);
      row.name.onclick = () => update({ drawn: index });
      return row.root;
    }),
    ...rulers.map((ruler, index) => {
      const row = drawnRow(`Length ${index + 1}: ${lengthOf(image, ruler)}`, "rulers_px", index);
      row.name.disabled = true;
      return row.root;
    }),
  );
}

function drawnRow(text, list, index) {
  const row = copy("drawn-row");
  row.name.textContent = text;
  row.remove.setAttribute("aria-label", `Delete ${text}`);
  row.remove.onclick = () => removeDrawn(list, index);
  return row;
}

/** Delete a drawn cluster, or a length. */
export function removeDrawn(list, index) {
  update({ drawn: null });
  change(state.current, { [list]: readingOf(state.current)[list].filter((_, other) => other !== index) });
}

export const letter = (index) => String.fromCharCode(65 + (index % 26));

function sizeOf(image, [left, top, right, bottom]) {
  const [down, across] = image.pixel_size_mm ?? [1, 1];
  const sides = [(right - left + 1) * across, (bottom - top + 1) * down];
  return image.pixel_size_mm ? `${sides.map((side) => side.toFixed(1)).join(" × ")} mm` : `${sides.join(" × ")} pixels`;
}

/** Wire up the buttons of the reading, and count the time. */
export function setUpReading() {
  $("mark-read").onclick = markRead;
  $("undo").onclick = undo;
  $("next-unread").onclick = openNextUnread;
  $("blind").checked = state.blind;
  $("blind").onchange = ({ target }) => {
    localStorage.setItem("microcalc-blind", target.checked ? "1" : "");
    update({ blind: target.checked });
  };
  subscribe(["images", "current", "readings", "findings"], render);
  subscribe(["current", "readings", "drawn"], renderDrawn);
  subscribe(["current", "page", "showMarks", "images"], keepTime);
  document.addEventListener("visibilitychange", keepTime);
}
