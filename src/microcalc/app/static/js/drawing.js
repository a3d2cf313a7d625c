/** Clusters that the reader draws on the open picture: boxes to draw, move, resize and delete, by hand or by key. */

import { announce, svg } from "./dom.js";
import { change, letter, removeDrawn } from "./reading.js";
import { currentImage, readingOf, state, subscribe, update } from "./state.js";

const SIDE_MM = 10; // of a box that a click or Enter puts
const SMALLEST_MM = 1;
const HANDLE = 6; // screen pixels
const STEP_MM = 0.5;

/** @type {import("./viewer.js").Picture} */
let picture;
let layer;
/** The box under the hand: {index, box, fixed: the corner that stays, or null where all of it moves, from} */
let drag = null;

const boxes = () => readingOf(state.current).clusters_px;
const millimetre = () => [...(currentImage().pixel_size_mm ?? [0.085, 0.085])].reverse(); // across, down

/** Whole pixels of the image, inside it, at least a millimetre a side. */
function fitted([left, top, right, bottom]) {
  const { columns, rows } = currentImage();
  const least = millimetre().map((mm) => Math.ceil(SMALLEST_MM / mm));
  const side = (low, high, smallest, end) => {
    const length = Math.min(Math.max(Math.round(high - low), smallest), end - 1);
    const first = Math.min(Math.max(Math.round(low), 0), end - 1 - length);
    return [first, first + length];
  };
  const [x0, x1] = side(left, right, least[0], columns);
  const [y0, y1] = side(top, bottom, least[1], rows);
  return [x0, y0, x1, y1];
}

function around([column, row]) {
  const [dx, dy] = millimetre().map((mm) => SIDE_MM / 2 / mm);
  return [column - dx, row - dy, column + dx, row + dy];
}

function put(index, box, key = null) {
  const clusters = boxes().slice();
  clusters[index] = fitted(box);
  change(state.current, { clusters_px: clusters }, key);
  update({ drawn: index, tool: state.tool === "draw" ? null : state.tool });
}

/** Put a box in the middle of the view, for the keyboard. */
export function drawInTheMiddle() {
  const { x, y } = picture.shown.viewportToImageCoordinates(picture.viewer.viewport.getCenter(true));
  put(boxes().length, around([x, y]));
  announce(`Cluster ${letter(boxes().length - 1)}. Arrow keys move it, with Shift they resize it, Delete deletes it.`);
}

/** Move the chosen box by steps, or its lower right corner. */
export function nudge(right, down, resize) {
  const [left, top, end, bottom] = boxes()[state.drawn];
  const [dx, dy] = millimetre().map((mm) => Math.max(Math.round(STEP_MM / mm), 1));
  const moved = resize ? [left, top] : [left + right * dx, top + down * dy];
  put(state.drawn, [...moved, end + right * dx, bottom + down * dy], `nudge ${state.current} ${state.drawn}`);
}

export const removeChosen = () => removeDrawn("clusters_px", state.drawn);

function pixelAt({ clientX, clientY }) {
  const { left, top } = picture.viewer.canvas.getBoundingClientRect();
  const at = new OpenSeadragon.Point(clientX - left, clientY - top);
  const { x, y } = picture.shown.viewerElementToImageCoordinates(at);
  return [x, y];
}

function begin(event, index, box, fixed) {
  event.stopPropagation(); // the picture stays where it is
  event.preventDefault();
  const hand = new AbortController();
  const { signal } = hand;
  drag = { index, box, whole: box, fixed, from: pixelAt(event), hand };
  picture.viewer.canvas.focus({ preventScroll: true });
  update({ drawn: index });
  addEventListener("pointermove", move, { signal });
  addEventListener("pointerup", end, { signal });
  addEventListener("pointercancel", stop, { signal });
}

function move(event) {
  const [x, y] = pixelAt(event);
  const [fromX, fromY] = drag.from;
  const [left, top, right, bottom] = drag.whole ?? [];
  if (drag.fixed) {
    const [fixedX, fixedY] = drag.fixed;
    drag.box = [Math.min(x, fixedX), Math.min(y, fixedY), Math.max(x, fixedX), Math.max(y, fixedY)];
  } else drag.box = [left + x - fromX, top + y - fromY, right + x - fromX, bottom + y - fromY];
  draw();
}

function end() {
  const { index, box, whole, fixed } = drag;
  stop();
  const [dx, dy] = millimetre().map((mm) => SMALLEST_MM / mm);
  const isClick = !whole && !(box && box[2] - box[0] > dx && box[3] - box[1] > dy);
  if (isClick) put(index, around(fixed));
  else if (box !== whole) put(index, box);
}

function stop() {
  drag.hand.abort();
  drag = null;
  draw();
}

/** Draw all boxes where the picture is now. */
function draw() {
  layer.replaceChildren();
  if (!currentImage() || !picture.shown) return;
  const all = boxes().slice();
  if (drag?.box) all[drag.index] = drag.box;
  layer.append(...all.map((box, index) => shape(box, index)));
}

function shape(box, index) {
  const [left, top, right, bottom] = box;
  const [x0, y0] = picture.overlay.toScreen(left, top);
  const [x1, y1] = picture.overlay.toScreen(right + 1, bottom + 1);
  const name = svg("text", { x: x0 + 4.5, y: y0 - 6.5 });
  name.textContent = letter(index);
  const label = svg("g", { class: "tag" }, svg("rect", { x: x0, y: y0 - 20, width: 18, height: 18, rx: 3 }), name);
  const area = { x: x0, y: y0, width: Math.max(x1 - x0, 1), height: Math.max(y1 - y0, 1) };
  const body = svg("rect", { class: "body", ...area });
  const isChosen = index === state.drawn;
  body.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    if (isChosen) begin(event, index, box, null);
    else update({ drawn: index });
  });
  const kind = isChosen ? "drawn selected" : "drawn";
  const group = svg("g", { class: kind, "data-drawn": index }, svg("rect", { class: "halo", ...area }), body, label);
  for (const [x, fixedX] of isChosen ? [[x0, right], [x1, left]] : [])
    for (const [y, fixedY] of [[y0, bottom], [y1, top]]) {
      const handle = svg("circle", { class: "handle", cx: x, cy: y, r: HANDLE });
      handle.addEventListener("pointerdown", (event) => begin(event, index, box, [fixedX, fixedY]));
      group.append(handle);
    }
  return group;
}

/** Wire up drawing on a picture. */
export function setUpDrawing(shown) {
  picture = shown;
  layer = svg("g");
  const { root } = picture.overlay;
  root.append(layer);
  root.addEventListener("pointerdown", (event) => {
    if (state.tool !== "draw" || event.button !== 0 || !picture.shown) return;
    const at = pixelAt(event);
    begin(event, boxes().length, null, at);
  });
  picture.viewer.addHandler("update-viewport", draw);
  subscribe(["readings", "current", "drawn"], draw);
}
