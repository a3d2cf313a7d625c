/** CC and MLO of both sides in the usual hanging: right breast on the left of the screen, chest walls together. */

import * as api from "./api.js";
import { $, h, message } from "./dom.js";
import { putImage, shownFindings, state, subscribe, update, windowOf } from "./state.js";
import { Picture } from "./viewer.js";

const SLOTS = [
  ["R", "CC"],
  ["L", "CC"],
  ["R", "MLO"],
  ["L", "MLO"],
].map(([laterality, view]) => ({ laterality, view, name: `${laterality} ${view}` }));
const VIEWS = ["CC", "MLO"];

let linked = false;
let study = "";
let active = null;
/** @type {Object<string, string>} the image that the reader has chosen where a place has several */
const chosen = {};
const problems = {};

const mammograms = () => state.images.filter((image) => image.kind === "mammogram");
const isPlaced = (image) => image.laterality && VIEWS.includes(image.view);
const studies = () => [
  ...new Set(
    mammograms()
      .map((image) => image.study)
      .filter(Boolean),
  ),
];
const candidates = (slot) =>
  mammograms().filter(
    (image) => image.laterality === slot.laterality && image.view === slot.view && (!study || image.study === study),
  );

function build() {
  const bar = h(
    "div",
    { class: "page-bar" },
    h(
      "label",
      {},
      h("input", {
        type: "checkbox",
        id: "link-zoom",
        on: {
          change: (event) => {
            linked = event.target.checked;
            if (linked) follow(active ?? SLOTS.find((slot) => slot.image));
          },
        },
      }),
      "Link zoom",
    ),
    h(
      "label",
      {},
      h("input", {
        type: "checkbox",
        id: "hanging-marks",
        checked: true,
        on: { change: (event) => update({ showMarks: event.target.checked }) },
      }),
      "Show marks",
    ),
    h(
      "button",
      { class: "button small", on: { click: () => SLOTS.forEach((slot) => slot.picture.home(undefined, true)) } },
      "Fit all",
    ),
    h(
      "label",
      { id: "study-choice" },
      "Study",
      h("select", {
        id: "hanging-study",
        on: {
          change: (event) => {
            study = event.target.value;
            fill();
          },
        },
      }),
    ),
    h("div", { class: "unplaced", id: "unplaced" }),
  );
  const wall = h("div", { class: "wall" }, ...SLOTS.map(buildSlot));
  $("hanging").append(bar, wall);
}

function buildSlot(slot) {
  const osd = h("div", { class: "osd" });
  slot.caption = h("span", {});
  slot.empty = h("p", { class: "slot-empty" }, `No ${slot.name} view`);
  slot.choice = h("select", {
    "aria-label": `Image shown as ${slot.name}`,
    hidden: true,
    on: {
      change: (event) => {
        chosen[slot.name] = event.target.value;
        fill();
      },
    },
  });
  const element = h(
    "div",
    { class: `slot of-${slot.laterality === "R" ? "right" : "left"}`, role: "group", "aria-label": slot.name },
    h("div", { class: "slot-label" }, h("b", {}, slot.name), slot.caption, slot.choice),
    osd,
    slot.empty,
  );
  // The picture needs its place on the page to know its size: it is made when this page is first shown.
  slot.make = () => {
    slot.picture = new Picture(osd, {
      label: `${slot.name}. Arrow keys move it, plus and minus zoom, 0 fits it.`,
      onPick: (number) => openFinding(slot, number),
      onError: (text) => {
        slot.caption.textContent = text;
      },
    });
    slot.picture.viewer.addHandler("update-viewport", () => linked && active === slot && follow(slot));
    slot.picture.viewer.world.addHandler("add-item", () => requestAnimationFrame(() => arrange(slot)));
    slot.picture.viewer.addHandler("resize", () => requestAnimationFrame(() => arrange(slot)));
  };
  for (const event of ["pointerdown", "wheel", "focusin"])
    element.addEventListener(
      event,
      () => {
        active = slot;
      },
      { capture: true, passive: true },
    );
  return element;
}

function openFinding(slot, number) {
  update({ page: "read", pane: "picture", current: slot.image.id, selected: number });
}

/** Right breast: chest wall on the right of its place; left breast: on the left. */
function arrange(slot) {
  if (!slot.image || !slot.picture.shown) return;
  const wanted = slot.laterality === "R" ? "right" : "left";
  slot.picture.viewer.viewport.setFlip(Boolean(slot.image.chest_wall) && slot.image.chest_wall !== wanted);
  slot.picture.home(true, true);
}

function fill() {
  if (state.page !== "hanging") return;
  for (const slot of SLOTS) {
    if (!slot.picture) slot.make();
    const images = candidates(slot);
    const image = images.find((one) => one.id === chosen[slot.name]) ?? images[0] ?? null;
    if (image?.id !== slot.image?.id) slot.picture.open(image, image && windowOf(image));
    else if (image) {
      slot.picture.image = slot.picture.overlay.image = image;
      slot.picture.setWindow(windowOf(image));
    }
    slot.image = image;
    slot.caption.textContent = image?.name ?? "";
    slot.empty.hidden = Boolean(image);
    slot.choice.hidden = images.length < 2;
    slot.choice.replaceChildren(
      ...images.map((one) => h("option", { value: one.id, selected: one.id === image.id }, one.name)),
    );
    slot.picture.overlay.setFindings(shownFindings(image?.id), null, state.showMarks);
  }
  fillBar();
}

function fillBar() {
  const keys = studies();
  if (!keys.includes(study)) study = "";
  $("study-choice").hidden = keys.length < 2;
  $("hanging-study").replaceChildren(
    h("option", { value: "" }, "all"),
    ...keys.map((key, index) => h("option", { value: key, selected: key === study }, `Study ${index + 1}`)),
  );
  $("hanging-marks").checked = state.showMarks;
  const lost = mammograms().filter((image) => !isPlaced(image));
  const shape = JSON.stringify(lost.map((image) => [image.id, problems[image.id]]));
  if ($("unplaced").dataset.shape === shape) return;
  $("unplaced").dataset.shape = shape;
  $("unplaced").hidden = !lost.length;
  $("unplaced").replaceChildren(
    ...(lost.length
      ? [h("p", { class: "hint" }, "These files do not give side and view:"), ...lost.map(placeForm)]
      : []),
  );
}

function placeForm(image) {
  const choose = (name, label, options) =>
    h(
      "label",
      {},
      label,
      h(
        "select",
        {
          "aria-label": `${label} of ${image.name}`,
          on: { change: (event) => place(image.id, { [name]: event.target.value || null }) },
        },
        h("option", { value: "" }, "–"),
        ...options.map(([value, text]) => h("option", { value, selected: image[name] === value }, text)),
      ),
    );
  return h(
    "div",
    { class: "place" },
    h("span", { class: "name" }, image.name),
    choose("laterality", "Side", [
      ["R", "right"],
      ["L", "left"],
    ]),
    choose(
      "view",
      "View",
      VIEWS.map((view) => [view, view]),
    ),
    problems[image.id] && message("error", problems[image.id]),
  );
}

let placing = Promise.resolve();

/** One change after another, so that no older answer comes last. */
function place(id, changes) {
  placing = placing.then(() => placeNow(id, changes));
}

async function placeNow(id, changes) {
  try {
    putImage(await api.patchImage(id, changes));
    delete problems[id];
  } catch (error) {
    problems[id] = error.message;
    fill();
  }
}

/** Bring the other pictures to the same scale and to the mirrored place, measured in mm from the chest wall. */
function follow(source) {
  if (!source?.picture?.shown) return;
  const { picture, image } = source;
  const [down, across] = spacing(image);
  const centre = picture.shown.viewportToImageCoordinates(picture.viewer.viewport.getCenter(true));
  const fromWall = (image.chest_wall === "right" ? image.columns - centre.x : centre.x) * across;
  const fromMiddle = (centre.y - image.rows / 2) * down;
  const density = picture.shown.viewportToImageZoom(picture.viewer.viewport.getZoom(true)) / across;
  for (const slot of SLOTS) {
    if (slot === source || !slot.image || !slot.picture.shown) continue;
    const [otherDown, otherAcross] = spacing(slot.image);
    const x = slot.image.chest_wall === "right" ? slot.image.columns - fromWall / otherAcross : fromWall / otherAcross;
    const y = slot.image.rows / 2 + fromMiddle / otherDown;
    const { viewport } = slot.picture.viewer;
    viewport.zoomTo(slot.picture.shown.imageToViewportZoom(density * otherAcross), null, true);
    viewport.panTo(slot.picture.shown.imageToViewportCoordinates(x, y), true);
  }
}

const spacing = (image) => image.pixel_size_mm ?? [0.085, 0.085];

/** The picture that keys move. */
export const activePicture = () => (active?.image ? active.picture : null);

/** Wire up the page. */
export function setUpHanging() {
  build();
  subscribe(["page", "images", "findings", "threshold", "showMarks", "invert", "windows"], fill);
}
