/** Keys, and the dialog that lists them. */

import { $, h } from "./dom.js";
import { nudge, removeChosen } from "./drawing.js";
import { toggleVerdict } from "./findings.js";
import { activePicture } from "./hanging.js";
import { step } from "./images.js";
import { leaveTool, openPicture, selectNext, tools, useToolInTheMiddle } from "./read.js";
import { markRead, openNextUnread, undo } from "./reading.js";
import { state } from "./state.js";

const STEP = 0.15;
const ZOOM = 1.4;

const KEYS = [
  { keys: ["←", "→", "↑", "↓"], does: "move the picture" },
  { keys: ["+", "-"], does: "zoom in, zoom out" },
  { keys: ["0"], does: "fit the whole image, as a double click" },
  { keys: ["1"], does: "one pixel of the image on each pixel of the screen" },
  { keys: ["l"], does: "loupe: two times, four times, off" },
  { keys: ["i"], does: "invert the greys" },
  { keys: ["Space"], does: "next finding at or above the threshold" },
  { keys: ["h"], does: "hide or show the marks" },
  { keys: ["PgUp", "PgDn"], does: "image before, next image in the list" },
  { keys: ["a", "x"], does: "accept, reject the chosen finding" },
  { keys: ["m"], does: "mark the image as read" },
  { keys: ["n"], does: "next image that is not read" },
  { keys: ["d"], does: "draw a missed cluster; Enter puts it at the cross" },
  { keys: ["←", "→", "↑", "↓"], does: "move the drawn cluster that is chosen; with Shift resize it" },
  { keys: ["Del"], does: "delete it" },
  { keys: ["u"], does: "undo, as Ctrl + Z" },
  { keys: ["r"], does: "ruler on or off; Enter puts a point at the cross" },
  { keys: ["Esc"], does: "leave the tool, or the drawn cluster" },
  { keys: ["?"], does: "this list" },
];

const MOVES = {
  ArrowLeft: (picture) => picture.panBy(-STEP, 0),
  ArrowRight: (picture) => picture.panBy(STEP, 0),
  ArrowUp: (picture) => picture.panBy(0, -STEP),
  ArrowDown: (picture) => picture.panBy(0, STEP),
  "+": (picture) => picture.zoomBy(ZOOM),
  "=": (picture) => picture.zoomBy(ZOOM),
  "-": (picture) => picture.zoomBy(1 / ZOOM),
  0: (picture) => picture.home(),
};
const EVERYWHERE = { i: tools.invert, h: tools.marks };
const READING = {
  1: tools["true-pixels"],
  l: tools["loupe-tool"],
  r: tools.ruler,
  d: tools.draw,
  " ": selectNext,
  Enter: useToolInTheMiddle,
  Escape: leaveTool,
  a: () => toggleVerdict("accepted"),
  x: () => toggleVerdict("rejected"),
  m: markRead,
  n: openNextUnread,
  u: undo,
  PageUp: () => step(-1),
  PageDown: () => step(1),
};
const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** The keys of a drawn cluster, while one is chosen. */
function drawnAction({ key, shiftKey }) {
  if (state.page !== "read" || state.drawn === null) return null;
  if (key === "Delete" || key === "Backspace") return removeChosen;
  return DIRECTIONS[key] && (() => nudge(...DIRECTIONS[key], shiftKey));
}

/** Whether an element needs this key for itself. */
function takes(element, key) {
  if (element.closest("dialog, textarea, select, input:not([type=range]):not([type=checkbox])")) return true;
  if (element.closest("[role=tab], input[type=range]"))
    return key.startsWith("Arrow") || key === " " || key === "Enter";
  if (element.closest(".finding")) return key === "Enter";
  return (key === " " || key === "Enter") && Boolean(element.closest("button, a, summary, label, input"));
}

function onKey(event) {
  const isUndo = event.ctrlKey && event.key === "z";
  if (takes(event.target, event.key) && !(isUndo && event.target.matches("select"))) return;
  if (isUndo) return undo();
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "?") return showKeys();
  if (state.page === "reports" || !state.current) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const picture = state.page === "read" ? openPicture() : activePicture();
  const action = drawnAction(event) ?? EVERYWHERE[key] ?? (state.page === "read" ? READING[key] : null) ?? MOVES[key];
  if (!action) return;
  event.preventDefault();
  if (picture) action(picture);
}

const showKeys = () => $("keys").showModal();

/** Wire up the keys. */
export function setUpKeys() {
  $("key-list").append(
    ...KEYS.flatMap(({ keys, does }) => [h("dt", {}, ...keys.map((key) => h("kbd", {}, key))), h("dd", {}, does)]),
  );
  $("help").onclick = showKeys;
  $("keys-close").onclick = () => $("keys").close();
  addEventListener("keydown", onKey);
}
