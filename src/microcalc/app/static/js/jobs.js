/** Scans and heat maps: started here, and followed until they end. */

import * as api from "./api.js";
import { announce, counted } from "./dom.js";
import { forgetFindings, imageOf, isBlind, putImage, shownFindings, state, update } from "./state.js";

const EVERY_MS = 250;
const WAITING_ASKED = 2;
let following = false;

export const isBusy = (image) => image.state === "queued" || image.state === "scanning" || image.heatmap === "drawing";

/** Start the scan of an image that has its pixel size. */
export function scan(id) {
  forgetFindings(id);
  return change(id, () => api.startScan(id));
}
export const stop = (id) => change(id, () => api.stopScan(id));
export const drawHeatMap = (id) => change(id, () => api.drawHeatMap(id));

async function change(id, request) {
  try {
    putImage(await request());
  } catch (error) {
    showError(id, error);
  }
  follow();
}

/** Show an error with an image, if it is still open. */
export function showError(id, { message: error }) {
  if (imageOf(id)) putImage({ ...imageOf(id), error });
}

/** Ask about busy images until none is busy. Of those that wait in the queue only the first are asked. */
export async function follow() {
  if (following) return;
  following = true;
  try {
    for (let busy = state.images.filter(isBusy); busy.length; busy = state.images.filter(isBusy)) {
      const waiting = busy.filter((image) => image.state === "queued").slice(0, WAITING_ASKED);
      const working = busy.filter((image) => image.state !== "queued");
      await Promise.all([...working, ...waiting].map((image) => ask(image.id)));
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    }
  } finally {
    following = false;
  }
}

async function ask(id) {
  try {
    const entry = await api.getImage(id);
    putImage(entry);
    update({ offline: null });
  } catch (error) {
    if (error.status === 404) update({ images: state.images.filter((image) => image.id !== id) });
    else update({ offline: error.message });
  }
}

const loading = new Set();

/** Fetch the findings of an image, unless they are here or have not been made. */
export async function needFindings(id) {
  if (!id || imageOf(id)?.state !== "scanned" || state.findings[id] || loading.has(id)) return;
  loading.add(id);
  try {
    const result = await api.getFindings(id);
    update({ findings: { ...state.findings, [id]: result } });
    const { name } = imageOf(id);
    if (!isBlind(id)) announce(`${name}: ${counted(shownFindings(id).length, "finding")} at or above the threshold.`);
  } catch (error) {
    showError(id, error);
  } finally {
    loading.delete(id);
  }
}
