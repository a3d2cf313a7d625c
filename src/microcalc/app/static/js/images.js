/** The list of open images, and the form that asks for a missing pixel size. */

import * as api from "./api.js";
import { $, counted, h, icon, message } from "./dom.js";
import { isBusy, scan, stop } from "./jobs.js";
import { dropImage, openImage, putImage, state, subscribe, update } from "./state.js";

const rows = new Map();

function renderList() {
  const list = $("image-list");
  for (const [id, row] of rows) {
    if (state.images.some((image) => image.id === id)) continue;
    row.root.remove();
    rows.delete(id);
  }
  for (const image of state.images) {
    if (!rows.has(image.id)) {
      rows.set(image.id, makeRow(image.id, image.name));
    }
    fillRow(rows.get(image.id), image);
  }
  state.images.forEach((image, place) => {
    const { root } = rows.get(image.id);
    if (list.children[place] !== root) list.insertBefore(root, list.children[place] ?? null);
  });
}

function makeRow(id, name) {
  const row = {
    picture: h("img", { src: api.thumbnailUrl(id), alt: "", loading: "lazy" }),
    sub: h("span", { class: "image-sub" }),
    again: h("button", { class: "button small", on: { click: () => scan(id) } }, "Scan"),
    bar: h("progress", { "aria-label": `Scan of ${name}` }),
    resize: h(
      "button",
      {
        class: "button small",
        on: {
          click: () => {
            resizing = id;
            renderPixelSize();
            $("pixel-size-mm").focus();
          },
        },
      },
      "Change pixel size",
    ),
    progress: h("div", { class: "image-progress" }),
    problem: h("div", { class: "image-error" }),
  };
  row.open = h(
    "button",
    { class: "image-open", on: { click: () => show(id) } },
    row.picture,
    h("span", { class: "image-text" }, h("span", { class: "name", title: name }, name), row.sub),
  );
  row.progress.append(
    row.bar,
    h(
      "button",
      { class: "button small", "aria-label": `Stop the scan of ${name}`, on: { click: () => stop(id) } },
      "Stop",
    ),
  );
  row.root = h(
    "li",
    { class: "image-item" },
    row.open,
    h(
      "div",
      { class: "image-buttons" },
      row.again,
      h(
        "button",
        { class: "icon-button", "aria-label": `Close ${name}`, on: { click: () => close(id) } },
        icon("trash"),
      ),
    ),
    h("div", { class: "image-resize" }, row.resize),
    row.progress,
    row.problem,
  );
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
    putImage({ ...state.images.find((image) => image.id === id), error: error.message });
  }
}

function fillRow(row, image) {
  const current = image.id === state.current;
  row.root.classList.toggle("current", current);
  row.open.setAttribute("aria-current", current ? "true" : "false");
  const { text, kind } = stateText(image);
  row.sub.textContent = text;
  row.sub.className = `image-sub ${kind}`;
  row.again.hidden = image.state !== "stopped" && image.state !== "ready" && image.state !== "failed";
  row.again.setAttribute("aria-label", `Scan ${image.name}`);
  row.again.hidden ||= !image.kind;
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

function stateText(image) {
  switch (image.state) {
    case "needs_pixel_size":
      return { text: "needs its pixel size", kind: "bad" };
    case "ready":
      return { text: "not scanned", kind: "" };
    case "queued":
      return { text: "waiting", kind: "" };
    case "scanning":
      return { text: image.progress?.stage ?? "scanning", kind: "" };
    case "stopped":
      return { text: "stopped", kind: "" };
    case "failed":
      return { text: "could not be scanned", kind: "bad" };
    default:
      return image.marks
        ? { text: counted(image.marks, "mark"), kind: "marks" }
        : { text: "no mark", kind: "" };
  }
}

const unsized = () => state.images.filter((image) => image.state === "needs_pixel_size");
let asked = "";
/** The size that was given last: the next file often has the same. */
let lastSize = "";
let resizing = null;

function renderPixelSize() {
  const resized = state.images.find((image) => image.id === resizing);
  const images = resized ? [resized] : unsized();
  const target = images.find((image) => image.id === state.current) ?? images[0];
  const question = target ? `${target.id} ${images.length} ${resizing}` : "";
  if (question === asked) return;
  asked = question;
  const typed = $("pixel-size-mm")?.value || lastSize;
  $("pixel-size").replaceChildren(...(target ? [pixelSizeForm(target, images, typed)] : []));
}

function pixelSizeForm(target, images, typed) {
  const problem = h("div", { "aria-live": "assertive" });
  const input = h("input", {
    type: "number",
    id: "pixel-size-mm",
    min: "0.01",
    max: "1",
    step: "any",
    required: true,
    value: typed,
    placeholder: "0.07",
    "aria-describedby": "pixel-size-hint",
  });
  const all = h("input", { type: "checkbox", id: "pixel-size-all", checked: true });
  const submit = async (event) => {
    event.preventDefault();
    const chosen = all.checked && !resizing ? unsized() : [target];
    lastSize = input.value;
    for (const image of chosen) {
      try {
        putImage(await api.patchImage(image.id, { pixel_size_mm: Number(lastSize) }));
        resizing = null;
        await scan(image.id);
      } catch (error) {
        problem.replaceChildren(message("error", error.message));
        return;
      }
    }
  };
  return h(
    "form",
    { class: "card", on: { submit } },
    h("label", { for: "pixel-size-mm" }, h("strong", {}, "Pixel size"), ` of ${target.name}`),
    h("div", { class: "row tight" }, input, h("span", {}, "mm"), h("button", { class: "button primary" }, "Scan")),
    images.length > 1 &&
      h(
        "label",
        { class: "row tight", for: "pixel-size-all" },
        all,
        `Same for all ${images.length} files that do not give it`,
      ),
    h(
      "p",
      { class: "hint", id: "pixel-size-hint" },
      "Not in the file. Digital mammography: usually 0.05 to 0.1 mm. Digitised film: 25.4 divided by the dpi of the " +
        "scanner; 0.045 to 0.05 is common. A wrong size gives wrong findings.",
    ),
    problem,
  );
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
