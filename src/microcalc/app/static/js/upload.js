/** Files in: the drop zone, the two pickers, folders, finished scan folders; a few uploads at a time. */

import * as api from "./api.js";
import { $, announce, copy, counted } from "./dom.js";
import { follow, scan } from "./jobs.js";
import { forgetFindings, openImage, putImage, state, subscribe, takePlace, update } from "./state.js";

const AT_ONCE = 3;
const NAMES_SHOWN = 6;
const NO_IMAGE =
  /(^|\/)(\.[^/]*|DICOMDIR|Thumbs\.db)$|\.(txt|csv|json|jsonl|html?|md|pdf|zip|gz|xml|py|ini|log|docx?|xlsx?)$/i;
const MADE_BY_SCAN = /(^|\/)(overlays|heatmaps|dicom)\/[^/]+$/;

let queue = [];
let running = 0;
/** Findings of dropped scan folders, kept until their images are here. */
const scans = [];

/** Take files of a drop or a picker. @param {{file: File, path: string}[]} given */
async function take(given) {
  const folders = given.filter(({ path }) => /(^|\/)findings\.json$/.test(path));
  for (const { file, path } of folders)
    await rememberScan(
      file,
      given.find((other) => other.path === path.replace(/findings\.json$/, "review.json")),
    );
  for (const { file } of given.filter(({ path }) => /(^|\/)truth\.json$/.test(path))) await sendTruth(file);
  const images = given.filter(
    ({ path }) =>
      (given.length === 1 && !folders.length) || (!NO_IMAGE.test(path) && !(folders.length && MADE_BY_SCAN.test(path))),
  );
  images.sort((one, other) => one.path.localeCompare(other.path, "en", { numeric: true }));
  if (!images.length && !folders.length) tell("error", "There is no image among these files.");
  const limit = state.session?.limits.upload_bytes ?? Infinity;
  const batch = { opened: false };
  const fault = ({ size }) => {
    if (size > limit) return `${megabytes(size)} is over the limit of ${megabytes(limit)} a file.`;
    return size ? null : "The file is empty.";
  };
  const uploads = images.map(({ file, path }) => {
    const known = { key: takePlace(), batch, file, name: path.split("/").pop() };
    return { ...known, part: 0, cancel: null, error: fault(file) };
  });
  queue.push(...uploads.filter((upload) => !upload.error));
  update({ uploads: [...state.uploads, ...uploads] });
  if (uploads.length) announce(`${counted(uploads.length, "file")} to open.`);
  else await attachScans();
  pump();
}

const megabytes = (bytes) => `${Math.round(bytes / 1e6).toLocaleString("en")} MB`;

async function rememberScan(findings, review) {
  try {
    const [found, reviewed] = [await findings.text(), (await review?.file.text()) ?? "null"];
    scans.push({ findings: JSON.parse(found), review: JSON.parse(reviewed) });
  } catch {
    tell("error", "findings.json of the scan folder cannot be read.");
  }
}

/** Before its images, which show it from then on. */
async function sendTruth(file) {
  try {
    await api.sendTruth(JSON.parse(await file.text()));
  } catch (error) {
    tell("error", `truth.json: ${error.message}`);
  }
}

function pump() {
  while (running < AT_ONCE && queue.length) {
    running += 1;
    send(queue.shift()).finally(() => {
      running -= 1;
      if (queue.length) pump();
      else if (running === 0) allSent();
    });
  }
}

async function send(upload) {
  const sending = api.upload(upload.file, upload.name, (part) => change(upload, { part }));
  change(upload, { cancel: sending.cancel });
  try {
    const entry = await sending.done;
    update({ uploads: state.uploads.filter((other) => other.key !== upload.key) });
    putImage(entry, upload.key);
    if (!upload.batch.opened) openImage(entry.id);
    upload.batch.opened = true;
    if (entry.state === "ready" && !scans.length) await scan(entry.id);
    follow();
  } catch (error) {
    const text = error.message.replace(`${upload.name}: `, ""); // the card has the name already
    change(upload, { error: text, cancel: null });
    announce(`${upload.name}: ${text}`);
  }
}

/** Join dropped scans to the images; then scan what no scan has answered for. */
async function allSent() {
  if (!scans.length) return;
  await attachScans();
  for (const image of state.images.filter((one) => one.state === "ready")) await scan(image.id);
}

async function attachScans() {
  const missing = [];
  for (const one of scans.splice(0)) {
    try {
      const found = await api.attachScan(one.findings, one.review);
      for (const id of found.attached) {
        forgetFindings(id);
        putImage(await api.getImage(id));
      }
      missing.push(...found.missing);
      if (found.missing.length) scans.push(one);
    } catch (error) {
      tell("error", error.message);
    }
  }
  const rest = missing.length > NAMES_SHOWN ? ` and ${missing.length - NAMES_SHOWN} more` : "";
  const names = missing.slice(0, NAMES_SHOWN).join(", ");
  if (missing.length) tell("info", `Not here, or no longer the image that was scanned: ${names}${rest}. Drop what is missing, too.`);
}

function change(upload, changes) {
  Object.assign(upload, changes);
  update({ uploads: [...state.uploads] });
}

/** A note below the drop zone, with a button to close it. */
export function tell(kind, text) {
  const note = copy("page-note");
  note.text.textContent = text;
  note.text.classList.add(kind);
  if (kind === "error") note.text.setAttribute("role", "alert");
  note.close.onclick = () => note.root.remove();
  $("notes").replaceChildren(note.root);
}

/** All files of a drop, folders walked. */
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean); // not what is no file
  return (await Promise.all(entries.map(walk))).flat();
}

async function walk(entry) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ file, path: entry.fullPath.replace(/^\//, "") }];
  }
  const reader = entry.createReader();
  const children = [];
  for (let part = [null]; part.length;) {
    // a reader hands out at most 100 entries at a time
    part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    children.push(...part);
  }
  return (await Promise.all(children.map(walk))).flat();
}

const cards = new Map();

function render() {
  for (const upload of state.uploads) {
    if (!cards.has(upload.key)) cards.set(upload.key, makeCard(upload));
    const card = cards.get(upload.key);
    card.bar.hidden = Boolean(upload.error);
    card.bar.value = upload.part;
    card.problem.hidden = !upload.error;
    card.problem.textContent = upload.error;
    card.close.setAttribute("aria-label", `${upload.error ? "Close the note on" : "Cancel the upload of"} ${upload.name}`);
  }
  for (const [key, { root }] of cards) {
    if (state.uploads.some((upload) => upload.key === key)) continue;
    root.remove();
    cards.delete(key);
  }
  $("drop").classList.toggle("slim", state.images.length + state.uploads.length > 0);
}

function makeCard(upload) {
  const card = copy("upload");
  card.name.textContent = card.name.title = upload.name;
  card.bar.setAttribute("aria-label", `Upload of ${upload.name}`);
  card.close.onclick = () => {
    queue = queue.filter((other) => other !== upload);
    upload.cancel?.();
    update({ uploads: state.uploads.filter((other) => other !== upload) });
  };
  $("uploads").append(card.root);
  return card;
}

/** Wire up drop zone and pickers. */
export function setUpUploads() {
  const cover = $("drag-cover");
  const withFiles = ({ dataTransfer }) => dataTransfer.types.includes("Files");
  addEventListener("dragover", (event) => {
    if (withFiles(event)) {
      event.preventDefault();
      cover.hidden = false;
    }
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) cover.hidden = true;
  });
  addEventListener("drop", async (event) => {
    cover.hidden = true;
    if (!withFiles(event)) return;
    event.preventDefault();
    await take(await dropped(event.dataTransfer));
  });
  for (const [button, input] of [["pick-files", "file-input"], ["pick-folder", "folder-input"]]) {
    $(button).onclick = () => $(input).click();
    $(input).onchange = async ({ target }) => {
      const given = [...target.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
      target.value = "";
      await take(given);
    };
  }
  subscribe(["uploads", "images"], render);
}
