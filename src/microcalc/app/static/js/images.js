/** The list of open images, and the form that asks for a missing pixel size. */

import * as api from "./api.js";
import { $, copy, counted, message } from "./dom.js";
import { isBusy, scan, stop } from "./jobs.js";
import { dropImage, imageOf, openImage, putImage, state, subscribe, update } from "./state.js";

const rows = new Map();

function renderList() {
  for (const { id, name } of state.images) if (!rows.has(id)) rows.set(id, makeRow(id, name));
  for (const id of rows.keys()) if (!imageOf(id)) rows.delete(id);
  for (const image of state.images) fillRow(rows.get(image.id), image);
  const wanted = state.images.map((image) => rows.get(image.id).root);
  const list = $("image-list");
  if (wanted.some((root, place) => list.children[place] !== root) || list.children.length !== wanted.length)
    list.replaceChildren(...wanted); // not on every change: the focus must stay
}

function makeRow(id, name) {
  const row = copy("image-row");
  row.picture.src = api.thumbnailUrl(id);
  row.name.textContent = row.name.title = name;
  row.open.onclick = () => show(id);
  row.again.onclick = () => scan(id);
  row.stop.onclick = () => stop(id);
  row.close.onclick = () => close(id);
  row.resize.onclick = () => {
    resizing = id;
    renderPixelSize();
    $("pixel-size-mm").focus();
  };
  for (const [part, words] of [["again", "Scan"], ["bar", "Scan of"], ["stop", "Stop the scan of"], ["close", "Close"]])
    row[part].setAttribute("aria-label", `${words} ${name}`);
  return row;
}

function show(id) {
  openImage(id);
  update({ pane: "picture" });
}

async function close(id) {
  try {
    await api.forgetImage(id);
    dropImage(id);
  } catch (error) {
    putImage({ ...imageOf(id), error: error.message });
  }
}

function fillRow(row, image) {
  const current = image.id === state.current;
  row.root.classList.toggle("current", current);
  row.open.setAttribute("aria-current", current ? "true" : "false");
  const { text, kind } = stateText(image);
  row.sub.textContent = text;
  row.sub.className = `image-sub ${kind}`;
  row.again.hidden = !image.kind || !["stopped", "ready", "failed"].includes(image.state);
  const scanning = image.state === "queued" || image.state === "scanning";
  row.progress.hidden = !scanning;
  row.resize.parentElement.hidden = scanning || !current || !image.pixel_size_given;
  if (image.progress?.total && image.state === "scanning")
    Object.assign(row.bar, { max: image.progress.total, value: image.progress.done });
  else row.bar.removeAttribute("value");
  row.problem.hidden = !image.error;
  if (row.problem.textContent !== (image.error ?? ""))
    row.problem.replaceChildren(...(image.error ? [message("error", image.error)] : []));
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
  const [text, kind] = STATES[image.state] ?? (image.marks ? [counted(image.marks, "mark"), "marks"] : ["no mark", ""]);
  return { text: image.progress?.stage ?? text, kind };
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
  subscribe(["images", "current"], renderList);
  subscribe(["images", "current"], renderPixelSize);
}

/** For the note on the picture: what the open image waits for. */
export function waitingFor(image) {
  if (image.state === "needs_pixel_size") return "Give its pixel size, and it is scanned.";
  if (image.state === "queued") return "Waiting for its scan.";
  if (image.state === "scanning") return `Scanning: ${image.progress?.stage ?? "…"}`;
  return isBusy(image) ? "Drawing the heat map." : "";
}
