/** Scans and heat maps: started here, and followed until they end. */

import * as api from "./api.js";
import { announce, counted } from "./dom.js";
import { imageOf, putImage, shownFindings, state, update } from "./state.js";

const EVERY_MS = 250;
const WAITING_ASKED = 2;
let following = false;

export const isBusy = (image) => image.state === "queued" || image.state === "scanning" || image.heatmap === "drawing";

/** Start the scan of an image that has its pixel size. */
export function scan(id) {
  const { [id]: _, ...others } = state.findings;
  update({ findings: others });
  return change(id, () => api.startScan(id));
}
export const stop = (id) => change(id, () => api.stopScan(id));
export const drawHeatMap = (id) => change(id, () => api.drawHeatMap(id));

async function change(id, request) {
  try {
    putImage(await request());
  } catch (error) {
    const image = imageOf(id);
    if (image) putImage({ ...image, error: error.message });
  }
  follow();
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
    if (entry.state === "scanned" && !state.findings[id]) await loadFindings(id);
  } catch (error) {
    if (error.status === 404) update({ images: state.images.filter((image) => image.id !== id) });
    else update({ offline: error.message });
  }
}

/** Fetch the findings of a scanned image. */
export async function loadFindings(id) {
  const image = imageOf(id);
  try {
    const result = await api.getFindings(id);
    update({ findings: { ...state.findings, [id]: result } });
    const marked = shownFindings(id).length;
    announce(`${image?.name ?? "Image"}: ${counted(marked, "finding")} at or above the threshold.`);
  } catch (error) {
    if (image) putImage({ ...image, error: error.message });
  }
}
