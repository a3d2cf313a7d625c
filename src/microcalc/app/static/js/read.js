/** The open picture: its tools, sliders, marks and heat map. */

import { heatMapUrl } from "./api.js";
import { $, announce, percent, probability } from "./dom.js";
import { drawInTheMiddle, setUpDrawing } from "./drawing.js";
import { waitingFor } from "./images.js";
import { drawHeatMap } from "./jobs.js";
import { setUpLoupe, turnLoupe } from "./loupe.js";
import { lengthOf } from "./overlay.js";
import { change } from "./reading.js";
import { currentImage, isBlind, placeOf, readingOf, shownFindings, state, subscribe, thresholdOf, update, windowOf } from "./state.js";
import { Picture } from "./viewer.js";
import { recolour, setUpWindowing } from "./windowing.js";

const TOOL_NOTES = {
  ruler: () => measured || "Ruler: click two points, or press Enter at the cross in the middle.",
  draw: () => "Draw a box around a missed cluster, or press Enter at the cross in the middle.",
};

/** @type {Picture} */
let picture;
let opened = null;
let trouble = "";
/** The length that was measured last, while the ruler is on. */
let measured = "";

function render() {
  const image = currentImage();
  const changed = (image?.id ?? null) !== opened;
  if (changed) {
    opened = image?.id ?? null;
    trouble = "";
    picture.open(image?.tiles ? image : null, image ? windowOf(image) : null);
    update({ tool: null });
  } else picture.image = picture.overlay.image = image;
  const parts = image && [image.name, placeOf(image), sizeText(image), `${image.columns} × ${image.rows}`];
  $("picture-name").textContent = $("picture-name").title = parts?.filter(Boolean).join(" · ") ?? "No image open";
  $("welcome").hidden = Boolean(image);
  for (const id of Object.keys(tools)) $(id).disabled = !image;
  renderHeat(image);
  renderNote();
}

const sizeText = ({ pixel_size_mm: size }) =>
  size ? `${size[1]}${size[0] === size[1] ? "" : ` × ${size[0]}`} mm a pixel` : "pixel size not known";

function renderNote() {
  const image = currentImage();
  const note = $("stage-note");
  const text = trouble || TOOL_NOTES[state.tool]?.() || (image ? waitingFor(image) : "");
  note.classList.toggle("error", Boolean(trouble));
  if (note.textContent !== text) note.textContent = text;
}

function renderHeat(image) {
  const [ready, drawing] = ["ready", "drawing"].map((one) => image?.heatmap === one);
  $("heat").disabled = !ready;
  $("draw-heat").disabled = !image || ready || drawing || image.state !== "scanned" || image.kind !== "mammogram";
  const offer = image?.heatmap === "failed" ? "Heat map failed: try again" : "Draw heat map";
  $("draw-heat").textContent = drawing ? "Drawing …" : offer;
  $("draw-heat").hidden = ready;
  const isShown = ready && !isBlind(image.id);
  picture.overlay.setHeat(isShown ? heatMapUrl(image) : null, state.heatOpacity);
  $("heat-legend").hidden = !isShown || state.heatOpacity === 0;
}

function drawMarks() {
  const all = state.findings[state.current]?.findings ?? [];
  const shown = isBlind(state.current) ? [] : all.filter(
    (finding) => finding.probability >= thresholdOf(state.current) || finding.number === state.selected,
  );
  picture.overlay.setFindings(shown, state.selected, state.showMarks && !isBlind(state.current));
  picture.overlay.setArc(state.showMarks && !isBlind(state.current) ? state.arcs[state.current] : null);
  $("marks").setAttribute("aria-pressed", state.showMarks);
}

function setTool() {
  $("ruler").setAttribute("aria-pressed", state.tool === "ruler");
  $("draw").setAttribute("aria-pressed", state.tool === "draw");
  $("osd").classList.toggle("measuring", state.tool === "ruler");
  $("osd").classList.toggle("drawing", state.tool === "draw");
  picture.overlay.cross = state.tool !== null;
  picture.overlay.rulerStart = null;
  measured = "";
  picture.overlay.drawRuler();
  renderNote();
}

/** The first click starts a length, the second one keeps it with the image. */
function rulerPoint(column, row) {
  const point = [column, row].map((place) => Math.round(10 * place) / 10);
  const { rulerStart: start } = picture.overlay;
  picture.overlay.rulerStart = start ? null : point;
  measured = start ? lengthOf(currentImage(), [start, point]) : "";
  if (start) change(state.current, { rulers_px: [...readingOf(state.current).rulers_px, [start, point]] });
  picture.overlay.drawRuler();
  renderNote();
  if (measured) announce(`Ruler: ${measured}`);
}

/** What the tool does in the middle of the view, for the keyboard. */
export function useToolInTheMiddle() {
  if (!picture.shown) return;
  if (state.tool === "draw") drawInTheMiddle();
  if (state.tool !== "ruler") return;
  const { x, y } = picture.shown.viewportToImageCoordinates(picture.viewer.viewport.getCenter(true));
  rulerPoint(x, y);
}

const turn = (tool) => update({ tool: state.tool === tool ? null : tool });

/** Select a finding of the open image and go there. */
export function select(number) {
  const finding = state.findings[state.current]?.findings.find((one) => one.number === number);
  if (!finding) return;
  update({ selected: number });
  if (currentImage()?.kind === "mammogram") picture.goTo(finding.box_px);
}

/** The next finding at or above the threshold. */
export function selectNext() {
  const shown = shownFindings(state.current);
  if (!shown.length) return;
  const at = shown.findIndex((finding) => finding.number === state.selected);
  const next = shown[(at + 1) % shown.length];
  select(next.number);
  announce(`Finding ${next.number}, probability ${probability(next.probability)}`);
}

/** What the buttons of the toolbar do, by their ids. */
export const tools = {
  "zoom-in": () => picture.zoomBy(1.4),
  "zoom-out": () => picture.zoomBy(1 / 1.4),
  fit: () => picture.home(),
  "true-pixels": () => picture.truePixels(),
  "loupe-tool": turnLoupe,
  invert: () => update({ invert: !state.invert }),
  ruler: () => turn("ruler"),
  draw: () => turn("draw"),
  marks: () => update({ showMarks: !state.showMarks }),
};
export const leaveTool = () => update(state.tool ? { tool: null } : { drawn: null });

/** The picture of this page. */
export const openPicture = () => picture;

/** Wire up picture, tools and sliders. */
export function setUpRead() {
  picture = new Picture($("osd"), {
    label: "Picture. Arrow keys move it, plus and minus zoom, 0 fits it.",
    scale: $("scale"),
    onPick: (number) => state.tool || select(number),
    onError: (text) => {
      trouble = text;
      renderNote();
    },
    onShown: () => {
      trouble = "";
      renderNote();
      $("osd").dataset.shown = picture.key;
      recolour();
    },
  });
  picture.viewer.addHandler("canvas-click", (event) => {
    if (state.tool !== "ruler" || !event.quick || !picture.shown) return;
    const { x, y } = picture.shown.viewerElementToImageCoordinates(event.position);
    rulerPoint(x, y);
  });
  for (const [id, action] of Object.entries(tools)) $(id).onclick = action;
  $("draw-heat").onclick = () => drawHeatMap(state.current);
  $("heat").oninput = () => update({ heatOpacity: Number($("heat").value) / 100 });
  subscribe(["images", "current"], render);
  subscribe(["heatOpacity", "readings", "blind"], () => {
    $("heat-value").textContent = percent(state.heatOpacity);
    renderHeat(currentImage());
  });
  subscribe(["findings", "current", "selected", "threshold", "showMarks", "readings", "blind"], drawMarks);
  subscribe(["invert"], () => $("invert").setAttribute("aria-pressed", state.invert));
  subscribe(["tool"], setTool);
  subscribe(["readings", "current"], () => {
    picture.overlay.rulers = readingOf(state.current).rulers_px;
    picture.overlay.drawRuler();
  });
  setUpDrawing(picture);
  setUpWindowing(picture);
  setUpLoupe(picture);
}
