/** CC and MLO of both sides in the usual hanging: right breast on the left of the screen, chest walls together. */

import * as api from "./api.js";
import { $, copy, h } from "./dom.js";
import { needFindings } from "./jobs.js";
import { remember } from "./reading.js";
import { currentImage, imageOf, isBlind, placeOf, putImage, shownFindings, state, subscribe, update, windowOf } from "./state.js";
import { Picture } from "./viewer.js";

const VIEWS = ["CC", "MLO"];
const PLACES = VIEWS.flatMap((view) => [["R", view], ["L", view]]);
/** The study, and below it an older one, where the reader has chosen one. */
const SLOTS = [false, true].flatMap((older) =>
  PLACES.map(([laterality, view]) => ({ laterality, view, older, name: `${laterality} ${view}${older ? ", older" : ""}` })),
);

let linked = false;
let study = "";
let olderStudy = "";
let active = null;
/** @type {Object<string, string>} the image that the reader has chosen where a place has several */
const chosen = {};
const forms = new Map();

const mammograms = () => state.images.filter((image) => image.kind === "mammogram");
const isPlaced = (image) => image.laterality && VIEWS.includes(image.view);
const studies = () => [...new Set(mammograms().map((image) => image.study))].filter(Boolean);
function candidates(slot) {
  const wanted = slot.older ? olderStudy : study;
  return mammograms().filter(
    (image) => image.laterality === slot.laterality && image.view === slot.view && (!wanted || image.study === wanted),
  );
}

function buildSlot(slot) {
  const { root, name, osd, ...parts } = copy("slot");
  Object.assign(slot, parts);
  root.classList.add(slot.laterality === "R" ? "of-right" : "of-left");
  root.setAttribute("aria-label", slot.name);
  name.textContent = slot.name;
  slot.empty.textContent = `No ${slot.name} view`;
  slot.choice.setAttribute("aria-label", `Image shown as ${slot.name}`);
  slot.choice.onchange = () => {
    chosen[slot.name] = slot.choice.value;
    fill();
  };
  // The picture needs its place on the page to know its size: it is made when this page is first shown.
  slot.make = () => {
    slot.picture = new Picture(osd, {
      label: `${slot.name}. Arrow keys move it, plus and minus zoom, 0 fits it.`,
      onPick: (number) => openFinding(slot, number),
      onError: (text) => (slot.caption.textContent = text),
    });
    const { viewer } = slot.picture;
    const arrangeSoon = () => requestAnimationFrame(() => arrange(slot));
    viewer.addHandler("update-viewport", () => linked && active === slot && follow(slot));
    viewer.addHandler("resize", arrangeSoon);
    viewer.world.addHandler("add-item", arrangeSoon);
  };
  for (const event of ["pointerdown", "wheel", "focusin"])
    root.addEventListener(event, () => (active = slot), { capture: true, passive: true });
  slot.root = root;
  return root;
}

/** Select a mark, which draws its arcs in the other pictures; open it when it is selected already. */
function openFinding(slot, number) {
  const { id } = slot.image;
  if (state.current !== id || state.selected !== number) update({ current: id, selected: number });
  else update({ page: "read", pane: "picture" });
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
  fillBar(); // first, as it forgets studies that are closed
  $("wall").classList.toggle("with-older", Boolean(olderStudy));
  for (const slot of SLOTS) {
    slot.root.hidden = slot.older && !olderStudy;
    if (slot.root.hidden) continue;
    if (!slot.picture) slot.make();
    const images = candidates(slot);
    const image = images.find((one) => one.id === chosen[slot.name]) ?? images[0] ?? null;
    if (image?.id !== slot.image?.id) slot.picture.open(image, image && windowOf(image));
    else if (image) {
      slot.picture.image = slot.picture.overlay.image = image;
      slot.picture.setWindow(windowOf(image));
    }
    slot.image = image;
    needFindings(image?.id);
    const shown = state.showMarks && !isBlind(image?.id);
    const arc = shown ? state.arcs[image?.id] : null;
    const from = arc && `${arc.distance_mm.toFixed(0)} mm from the ${arc.origin}`;
    slot.caption.textContent = [from, image?.name].filter(Boolean).join(" · ");
    slot.picture.overlay.setArc(arc);
    slot.empty.hidden = Boolean(image);
    slot.choice.hidden = images.length < 2;
    slot.choice.replaceChildren(
      ...images.map((one) => h("option", { value: one.id, selected: one.id === image.id }, one.name)),
    );
    const selected = image?.id === state.current ? state.selected : null;
    slot.picture.overlay.setFindings(shownFindings(image?.id), selected, shown);
  }
}

function fillBar() {
  const keys = studies();
  if (!keys.includes(study)) study = "";
  $("study-choice").hidden = keys.length < 2;
  if (!keys.includes(olderStudy)) olderStudy = "";
  $("older-choice").hidden = keys.length < 2;
  for (const [id, none, chosenKey] of [["hanging-study", "all", study], ["older-study", "none", olderStudy]])
    $(id).replaceChildren(
      h("option", { value: "" }, none),
      ...keys.map((key, index) => h("option", { value: key, selected: key === chosenKey }, `Study ${index + 1}`)),
    );
  $("hanging-marks").checked = state.showMarks;
  const lost = mammograms().filter((image) => !isPlaced(image));
  $("unplaced").hidden = !lost.length;
  for (const { id, name } of lost) if (!forms.has(id)) forms.set(id, placeForm(id, name));
  for (const [id, form] of forms) {
    const image = lost.find((one) => one.id === id);
    if (!image) {
      form.root.remove();
      forms.delete(id);
    } else for (const part of ["laterality", "view"]) form[part].value = image[part] ?? "";
  }
}

function placeForm(id, name) {
  const form = copy("place");
  form.name.textContent = name;
  for (const [part, label] of [["laterality", "Side"], ["view", "View"]]) {
    form[part].setAttribute("aria-label", `${label} of ${name}`);
    form[part].onchange = ({ target }) => {
      const before = imageOf(id)[part];
      remember(() => place(id, { [part]: before }, form.problem));
      place(id, { [part]: target.value || null }, form.problem);
    };
  }
  $("unplaced").append(form.root);
  return form;
}

let placing = Promise.resolve();

/** One change after another, so that no older answer comes last. */
function place(id, changes, problem) {
  placing = placing.then(async () => {
    try {
      const image = await api.patchImage(id, changes);
      putImage(image);
      study = image.study ?? "";
      chosen[placeOf(image)] = id; // so that the reader sees it where it now belongs
      problem.hidden = true;
    } catch (error) {
      problem.hidden = false;
      problem.textContent = error.message;
    }
  });
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
    if (slot === source || slot.root.hidden || !slot.image || !slot.picture?.shown) continue;
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
  $("wall").append(...SLOTS.map(buildSlot));
  $("link-zoom").onchange = ({ target }) => {
    linked = target.checked;
    if (linked) follow(active ?? SLOTS.find((slot) => slot.image));
  };
  $("hanging-marks").onchange = ({ target }) => update({ showMarks: target.checked });
  $("fit-all").onclick = () => SLOTS.forEach((slot) => slot.picture?.home(undefined, true));
  $("hanging-study").onchange = ({ target }) => {
    study = target.value;
    fill();
  };
  $("older-study").onchange = ({ target }) => {
    olderStudy = target.value;
    fill();
  };
  subscribe(["page"], () => {
    study = currentImage()?.study ?? ""; // another patient's views belong beside it only where the reader wants them
  });
  subscribe(["page", "images", "findings", "threshold", "showMarks", "readings", "blind", "invert", "windows", "arcs", "current", "selected"], fill);
}
