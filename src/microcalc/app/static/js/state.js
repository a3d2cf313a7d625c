/** What the page knows, in one place. Parts of the page subscribe to the names that they show. */

export const state = {
  session: null,
  /** @type {object[]} ImageEntry of the contract, in the order of arrival */
  images: [],
  /** @type {Object<string, object>} findings of each scanned image */
  findings: {},
  /** @type {{key: number, name: string, part: number, error: string|null, cancel: Function}[]} */
  uploads: [],
  /** @type {Object<string, object>} by image, where the finding selected last may be in it */
  arcs: {},
  current: null,
  selected: null,
  /** @type {number|null} set by the reader; null: the operating point that the findings name */
  threshold: null,
  invert: false,
  /** how many times the loupe enlarges; 0 without it */
  loupe: 0,
  showMarks: true,
  /** @type {"ruler"|"draw"|null} what a click on the picture does */
  tool: null,
  /** @type {number|null} index of the chosen cluster among those that the reader has drawn */
  drawn: null,
  /** @type {Object<string, object>} work of the reader on each image, see EMPTY */
  readings: {},
  blind: Boolean(localStorage.getItem("microcalc-blind")),
  heatOpacity: 0.5,
  /** @type {Object<string, {center: number, width: number, sigmoid: boolean}>} windows that the reader has set */
  windows: {},
  page: "read",
  pane: "images",
  /** @type {string|null} why the server does not answer */
  offline: null,
};

const subscribers = [];
let changed = new Set();

/** Call `action` after any of `names` has changed; once now, too. */
export function subscribe(names, action) {
  subscribers.push({ names, action });
  action();
}

/** Change some of the state; subscribers hear of it once, before the next paint. */
export function update(changes) {
  Object.assign(state, changes);
  if (changed.size === 0) queueMicrotask(tellSubscribers);
  for (const name of Object.keys(changes)) changed.add(name);
}

function tellSubscribers() {
  const names = changed;
  changed = new Set();
  for (const { names: wanted, action } of subscribers) if (wanted.some((name) => names.has(name))) action();
}

/** An image on which nobody has worked. */
const EMPTY = { read: false, clusters_px: [], rulers_px: [], seconds: 0, marks_shown: false };

export const readingOf = (id) => state.readings[id] ?? EMPTY;

/** Whether the marks of an image are hidden, as the reader has not read it. */
export const isBlind = (id) => state.blind && !readingOf(id).read;

export const imageOf = (id) => state.images.find((image) => image.id === id) ?? null;
export const currentImage = () => imageOf(state.current);

/** The place of each image in the list: uploads end in another order than they were dropped in. */
const places = new Map();
let lastPlace = 0;

/** A place after all that were taken. */
export const takePlace = () => ++lastPlace;

/** Put ImageEntries in, or in place of their older selves. @param {object[]} entries @param {number} [place] */
export function putImages(entries, place) {
  const images = new Map(state.images.map((image) => [image.id, image]));
  const readings = { ...state.readings };
  for (const entry of entries) {
    if (!images.has(entry.id)) places.set(entry.id, place ?? takePlace());
    images.set(entry.id, entry);
    if (entry.reading) readings[entry.id] ??= entry.reading; // later ones are this page's own
  }
  const sorted = [...images.values()].sort((one, other) => places.get(one.id) - places.get(other.id));
  update({ images: sorted, readings });
}

export const putImage = (entry, place) => putImages([entry], place);

export function dropImage(id) {
  const images = state.images.filter((image) => image.id !== id);
  const current = state.current === id ? (images[0]?.id ?? null) : state.current;
  update({ images, current, selected: state.current === id ? null : state.selected });
}

/** Leave out findings that no longer hold. */
export function forgetFindings(id) {
  const { [id]: _, ...findings } = state.findings;
  update({ findings });
}

/** Show an image in the picture. */
export const openImage = (id) => state.current !== id && update({ current: id, selected: null, drawn: null });

/** Side and view, as far as they are known. */
export const placeOf = ({ laterality, view }) => [laterality, view].filter(Boolean).join(" ");

/** The grey window of an image: the reader's, else that of the file. */
export function windowOf(image) {
  const { center, width, sigmoid = false } = state.windows[image.id] ?? image.window;
  return { center, width, invert: state.invert, sigmoid };
}

/** The probability from which findings of an image are shown. */
export const thresholdOf = (id) => pointOf(imageOf(id));
const pointOf = (image) => state.threshold ?? image?.operating_point ?? state.session?.operating_point ?? 0.5;

/** Probabilities of the findings that the reader has not rejected; null where the image has not been scanned. */
export const probabilitiesOf = (image) =>
  state.findings[image.id]?.findings
    .filter(({ review }) => review.verdict !== "rejected")
    .map(({ probability }) => probability) ?? image.probabilities;

/** How many of these are shown. */
export const marksOf = (image) =>
  probabilitiesOf(image)?.filter((probability) => probability >= pointOf(image)).length ?? null;

/** Findings of an image that are shown: those at or above the threshold. */
export const shownFindings = (id) =>
  isBlind(id) ? [] : (state.findings[id]?.findings ?? []).filter((finding) => finding.probability >= thresholdOf(id));
