/** The grey window: sliders, presets, right-drag. The page recolours the tiles at once; exact ones come at rest. */

import { $, debounced, svg } from "./dom.js";
import { currentImage, state, subscribe, update, windowOf } from "./state.js";

const RELOAD_AFTER_MS = 90;
const LEVELS = 64; // of the table that recolours tiles of 8 bits
const NARROWEST = 0.01;
const WHOLE = { center: 0.5, width: 1 };
const PRESETS = {
  linear: (image) => image.window,
  file: () => WHOLE,
  sigmoid: (image) => ({ ...image.window, sigmoid: true }),
};

/** @type {import("./viewer.js").Picture} */
let picture;
const curves = ["R", "G", "B"].map((channel) => svg(`feFunc${channel}`, { type: "table" }));

function setWindow(chosen, preset = "own") {
  const center = Math.min(Math.max(chosen.center, 0), 1);
  const width = Math.min(Math.max(chosen.width, NARROWEST), 1);
  $("preset").value = preset;
  update({ windows: { ...state.windows, [state.current]: { ...chosen, center, width } } });
}

const reload = debounced(() => currentImage() && picture.setWindow(windowOf(currentImage())), RELOAD_AFTER_MS);

/** Brightness from 0 to 1 of a grey in a window, and the grey of a brightness. */
function brightness(grey, { center, width, invert, sigmoid }) {
  const along = (grey - center) / width;
  const shown = sigmoid ? 1 / (1 + Math.exp(-4 * along)) : Math.min(Math.max(along + 0.5, 0), 1);
  return invert ? 1 - shown : shown;
}

function greyOf(shown, { center, width, invert, sigmoid }) {
  const plain = invert ? 1 - shown : shown;
  const within = Math.min(Math.max(plain, 0.002), 0.998);
  return center + width * (sigmoid ? Math.log(within / (1 - within)) / 4 : plain - 0.5);
}

/** Recolour the tiles that are shown, as far as they are of another window than the wanted one. */
export function recolour() {
  const image = currentImage();
  const { canvas } = picture.viewer.drawer;
  const wanted = image && windowOf(image);
  const shown = picture.shownWindow;
  if (!shown || JSON.stringify(wanted) === JSON.stringify(shown)) {
    canvas.style.filter = "";
    return;
  }
  const table = Array.from({ length: LEVELS }, (_, step) => brightness(greyOf(step / (LEVELS - 1), shown), wanted).toFixed(3));
  for (const curve of curves) curve.setAttribute("tableValues", table.join(" "));
  canvas.style.filter = "url(#recolour)";
}

function show() {
  const image = currentImage();
  for (const id of ["width", "level", "preset"]) $(id).disabled = !image;
  if (!image) return;
  const { center, width } = windowOf(image);
  $("width").value = width * 100;
  $("level").value = center * 100;
  const [black, white] = image.file_values ?? [];
  const say = (part, value) =>
    `${Math.round(100 * part)} %${image.file_values ? ` · ${Math.round(value).toLocaleString("en")}` : ""}`;
  $("width-value").textContent = say(width, width * Math.abs(white - black));
  $("level-value").textContent = say(center, black + center * (white - black));
  if (!state.windows[image.id]) $("preset").value = "linear";
  recolour();
  reload();
}

function dragWith(event) {
  if (event.button !== 2 || !currentImage()) return;
  event.stopPropagation();
  event.preventDefault();
  const start = windowOf(currentImage());
  const { width, height } = picture.viewer.canvas.getBoundingClientRect();
  const hand = new AbortController();
  const { signal } = hand;
  const move = ({ clientX, clientY }) =>
    setWindow({
      center: start.center + (clientY - event.clientY) / height,
      width: start.width + (clientX - event.clientX) / width,
      sigmoid: start.sigmoid,
    });
  addEventListener("pointermove", move, { signal });
  for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => hand.abort(), { signal });
}

/** Wire up sliders, presets and the right button on a picture. */
export function setUpWindowing(shown) {
  picture = shown;
  const transfer = svg("feComponentTransfer", {}, ...curves);
  const filter = svg("filter", { id: "recolour", "color-interpolation-filters": "sRGB" }, transfer);
  document.body.append(svg("svg", { class: "visually-hidden", "aria-hidden": "true" }, filter));
  for (const id of ["width", "level"])
    $(id).addEventListener("input", () => {
      const { sigmoid } = windowOf(currentImage());
      setWindow({ center: Number($("level").value) / 100, width: Number($("width").value) / 100, sigmoid });
    });
  $("preset").addEventListener("change", ({ target }) => setWindow(PRESETS[target.value](currentImage()), target.value));
  const { canvas } = picture.viewer;
  canvas.addEventListener("pointerdown", dragWith, { capture: true });
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  subscribe(["current", "windows", "invert"], show);
}
