/** A loupe under the pointer, or in the middle of the view for the keyboard: true pixels, two or four times. */

import { tileUrl } from "./api.js";
import { $, announce } from "./dom.js";
import { currentImage, subscribe, update, state, windowOf } from "./state.js";

const SIDE = 220; // screen pixels
const TIMES = { 0: 2, 2: 4, 4: 0 };
const TILES_KEPT = 24;

/** @type {Map<string, HTMLImageElement>} tiles by address, the last used last */
const tiles = new Map();
/** @type {import("./viewer.js").Picture} */
let picture;
/** Where the pointer is over the picture; null where it is elsewhere. */
let pointer = null;

/** Off, two times, four times. */
export function turnLoupe() {
  update({ loupe: TIMES[state.loupe] });
  announce(state.loupe ? `Loupe: ${state.loupe} times` : "Loupe off");
}

function tile(address) {
  let image = tiles.get(address);
  tiles.delete(address);
  if (!image) {
    image = new Image();
    image.onload = draw;
    image.src = address;
  }
  tiles.set(address, image);
  if (tiles.size > TILES_KEPT) tiles.delete(tiles.keys().next().value);
  return image;
}

function draw() {
  const image = currentImage();
  const loupe = $("loupe");
  loupe.hidden = !state.loupe || !image || !picture.shown;
  $("loupe-tool").setAttribute("aria-pressed", state.loupe > 0);
  if (loupe.hidden) return;
  const { x: width, y: height } = picture.viewer.viewport.getContainerSize();
  const at = pointer ?? { x: width / 2, y: height / 2 };
  loupe.style.transform = `translate(${at.x - SIDE / 2}px, ${at.y - SIDE / 2}px)`;
  const { x, y } = picture.shown.viewerElementToImageCoordinates(new OpenSeadragon.Point(at.x, at.y));
  const context = loupe.getContext("2d");
  context.fillRect(0, 0, SIDE, SIDE);
  context.imageSmoothingEnabled = false;
  const { size, levels } = image.tiles;
  const seen = SIDE / 2 / state.loupe; // pixels of the image from the middle to the edge
  for (let row = Math.floor((y - seen) / size); row <= (y + seen) / size; row += 1)
    for (let column = Math.floor((x - seen) / size); column <= (x + seen) / size; column += 1) {
      const isInside = row >= 0 && column >= 0 && row * size < image.rows && column * size < image.columns;
      if (!isInside) continue;
      const part = tile(tileUrl(image.id, levels - 1, column, row, windowOf(image)));
      const place = [column * size - x + seen, row * size - y + seen].map((offset) => offset * state.loupe);
      if (part.complete && part.naturalWidth)
        context.drawImage(part, ...place, part.naturalWidth * state.loupe, part.naturalHeight * state.loupe);
    }
}

/** Wire up the loupe on a picture. */
export function setUpLoupe(shown) {
  picture = shown;
  const { canvas } = picture.viewer;
  canvas.addEventListener("pointermove", ({ clientX, clientY }) => {
    const { left, top } = canvas.getBoundingClientRect();
    pointer = { x: clientX - left, y: clientY - top };
    if (state.loupe) draw();
  });
  canvas.addEventListener("pointerleave", () => {
    pointer = null;
    if (state.loupe) draw();
  });
  picture.viewer.addHandler("update-viewport", () => state.loupe && draw());
  subscribe(["loupe", "current", "windows", "invert"], draw);
}
