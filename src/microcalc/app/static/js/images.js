/** The list of open images with its filter and order, what can be done to the open one, and missing pixel sizes. */

import * as api from "./api.js";
import { $, copy, counted, message } from "./dom.js";
import { isBusy, scan, showError, stop } from "./jobs.js";
import { currentImage, dropImage, imageOf, isBlind, marksOf, openImage, placeOf, probabilitiesOf, putImage, readingOf, state, subscribe, update } from "./state.js";

const rows = new Map();

const SHOWN = {
  all: () => true,
  unread: ({ id }) => !readingOf(id).read,
  read: ({ id }) => readingOf(id).read,
  marked: (image) => !isBlind(image.id) && marksOf(image) > 0,
  unmarked: (image) => !isBlind(image.id) && marksOf(image) === 0,
};
const byText = (text) => (one, other) => text(one).localeCompare(text(other), "en", { numeric: true });
const highest = (image) => (isBlind(image.id) ? 0 : (probabilitiesOf(image)?.[0] ?? 0));
const ORDERS = {
  opened: () => 0,
  name: byText(({ name }) => name),
  patient: byText(({ patient, name, laterality, view }) => [patient ?? name, view, laterality].join(" ")),
  probability: (one, other) => highest(other) - highest(one),
  unread: (one, other) => readingOf(one.id).read - readingOf(other.id).read,
};

/** The images of the list, as it is filtered and ordered now. */
export function listedImages() {
  const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const isNamed = (image) => words.every((word) => textOf(image).includes(word));
  return state.images.filter((image) => isNamed(image) && SHOWN[$("show").value](image)).sort(ORDERS[$("sort").value]);
}

const textOf = ({ name, patient, laterality, view }) => [name, patient, laterality, view].join(" ").toLowerCase();

function renderList() {
  for (const { id, name } of state.images) if (!rows.has(id)) rows.set(id, makeRow(id, name));
  for (const id of rows.keys()) if (!imageOf(id)) rows.delete(id);
  const listed = listedImages();
  for (const image of listed) fillRow(rows.get(image.id), image);
  const wanted = listed.map((image) => rows.get(image.id).root);
  const list = $("image-list");
  if (wanted.some((root, place) => list.children[place] !== root) || list.children.length !== wanted.length)
    list.replaceChildren(...wanted);
  if (rows.has(state.current)) list.setAttribute("aria-activedescendant", `image-${state.current}`);
  $("list-tools").hidden = state.images.length < 2;
  $("none-listed").hidden = !state.images.length || listed.length > 0;
}

function makeRow(id, name) {
  const row = copy("image-row");
  row.root.id = `image-${id}`;
  row.picture.src = api.thumbnailUrl(id);
  row.name.textContent = row.name.title = name;
  row.root.onclick = () => {
    openImage(id);
    update({ pane: "picture" });
  };
  return row;
}

function fillRow(row, image) {
  const current = image.id === state.current;
  const { text, kind } = stateText(image);
  const key = `${current} ${text} ${kind} ${image.laterality} ${image.view}`;
  if (row.key === key) return;
  row.key = key;
  row.root.classList.toggle("current", current);
  row.root.setAttribute("aria-selected", current);
  row.sub.textContent = text;
  row.sub.className = `image-sub ${kind}`;
  row.place.textContent = placeOf(image);
}

const STATES = {
  needs_pixel_size: ["needs its pixel size", "bad"],
  ready: ["not scanned", ""],
  queued: ["waiting", ""],
  scanning: ["scanning", ""],
  stopped: ["stopped", ""],
  failed: ["could not be scanned", "bad"],
};

function stateText(image) {
  const marks = marksOf(image);
  const [text, kind] = STATES[image.state] ?? (marks ? [counted(marks, "mark"), "marks"] : ["no mark", ""]);
  if (readingOf(image.id).read) return { text: `read, ${text}`, kind };
  if (isBlind(image.id) && image.state === "scanned") return { text: "not read", kind: "" };
  return { text: image.progress?.stage ?? text, kind };
}

/** Open the image so many places further in the list, at most its last or first one. */
export function step(by) {
  const listed = listedImages();
  const at = listed.findIndex(({ id }) => id === state.current);
  const next = listed[Math.min(Math.max(at + by, 0), listed.length - 1)];
  if (!next) return;
  openImage(next.id);
  rows.get(next.id).root.scrollIntoView({ block: "nearest" });
}

const STEPS = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity };

function onListKey(event) {
  if (!STEPS[event.key] || state.drawn !== null) return; // then the arrows are those of the drawn cluster
  event.preventDefault();
  event.stopPropagation(); // else it moves the picture, too
  step(STEPS[event.key]);
}

/** What can be done to the open image. */
function renderActions() {
  const image = currentImage();
  $("image-actions").hidden = !image;
  if (!image) return;
  const isScanning = image.state === "queued" || image.state === "scanning";
  $("scan").hidden = !image.kind || !["stopped", "ready", "failed"].includes(image.state);
  $("stop").hidden = $("scan-progress").hidden = !isScanning;
  $("resize").hidden = isScanning || !image.pixel_size_given;
  if (image.progress?.total && image.state === "scanning")
    Object.assign($("scan-progress"), { max: image.progress.total, value: image.progress.done });
  else $("scan-progress").removeAttribute("value");
  if ($("image-problem").textContent !== (image.error ?? ""))
    $("image-problem").replaceChildren(...(image.error ? [message("error", image.error)] : []));
}

async function close() {
  const { current: id } = state;
  try {
    await api.forgetImage(id);
    dropImage(id);
  } catch (error) {
    showError(id, error);
  }
}

const unsized = () => state.images.filter((image) => image.state === "needs_pixel_size");
let asked = "";
/** The size that was given last: the next file often has the same. */
let lastSize = "";
let resizing = null;

function renderPixelSize() {
  const resized = imageOf(resizing);
  const images = resized ? [resized] : unsized();
  const target = images.find((image) => image.id === state.current) ?? images[0];
  const question = target ? `${target.id} ${images.length} ${resizing}` : "";
  if (question === asked) return;
  asked = question;
  const typed = $("pixel-size-mm")?.value || lastSize;
  $("pixel-size").replaceChildren(...(target ? [pixelSizeForm(target, images, typed)] : []));
}

function pixelSizeForm(target, images, typed) {
  const form = copy("pixel-size-form");
  form.name.textContent = ` of ${target.name}`;
  form.input.value = typed;
  form.same.hidden = images.length < 2;
  form.count.textContent = images.length;
  form.root.onsubmit = async (event) => {
    event.preventDefault();
    const chosen = form.all.checked && !resizing ? unsized() : [target];
    lastSize = form.input.value;
    try {
      for (const image of chosen) {
        putImage(await api.patchImage(image.id, { pixel_size_mm: Number(lastSize) }));
        resizing = null;
        await scan(image.id);
      }
    } catch (error) {
      form.problem.replaceChildren(message("error", error.message));
    }
  };
  return form.root;
}

/** Wire up the list. */
export function setUpImages() {
  $("scan").onclick = () => scan(state.current);
  $("stop").onclick = () => stop(state.current);
  $("close").onclick = close;
  $("resize").onclick = () => {
    resizing = state.current;
    renderPixelSize();
    $("pixel-size-mm").focus();
  };
  $("image-list").addEventListener("keydown", onListKey);
  $("filter").addEventListener("input", renderList);
  for (const id of ["show", "sort"]) $(id).addEventListener("change", renderList);
  subscribe(["images", "current", "findings", "readings", "blind", "threshold"], renderList);
  subscribe(["images", "current"], renderActions);
  subscribe(["images", "current"], renderPixelSize);
}

/** For the note on the picture: what the open image waits for. */
export function waitingFor(image) {
  if (image.state === "needs_pixel_size") return "Give its pixel size, and it is scanned.";
  if (image.state === "queued") return "Waiting for its scan.";
  if (image.state === "scanning") return `Scanning: ${image.progress?.stage ?? "…"}`;
  return isBusy(image) ? "Drawing the heat map." : "";
}
