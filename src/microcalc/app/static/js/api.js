/** What the server offers, a function each. Every failure is an ApiError whose message can be shown. */

class ApiError extends Error {
  /** @param {string} text @param {number} status 0 where the server did not answer. */
  constructor(text, status) {
    super(text);
    this.status = status;
  }
}

const SILENT = "The server does not answer. Is `microcalc app` still running in its terminal?";

async function answer(method, path, json) {
  const headers = { "X-Microcalc": "1", "Content-Type": "application/json" };
  const response = await fetch(path, { method, headers, body: JSON.stringify(json) }).catch(() => {
    throw new ApiError(SILENT, 0);
  });
  if (!response.ok) throw new ApiError((await response.json()).error, response.status);
  return response;
}

async function value(method, path, json) {
  const response = await answer(method, path, json);
  return response.status === 204 ? null : response.json();
}

const image = (id) => `/api/images/${id}`;

export const getSession = () => value("GET", "/api/session");
export const getImage = (id) => value("GET", image(id));
export const patchImage = (id, changes) => value("PATCH", image(id), changes);
export const forgetImage = (id) => value("DELETE", image(id));
export const startScan = (id) => value("POST", `${image(id)}/scan`);
export const stopScan = (id) => value("DELETE", `${image(id)}/scan`);
export const drawHeatMap = (id) => value("POST", `${image(id)}/heatmap`);
/** The pixel size is there to tell the heat map apart from one of an earlier scan at another size. */
export const heatMapUrl = ({ id, pixel_size_mm: size }) => `${image(id)}/heatmap.png?size=${size}`;
export const thumbnailUrl = (id) => `${image(id)}/thumbnail.jpg`;
export const getFindings = (id) => value("GET", `${image(id)}/findings`);
export const getFinding = (id, number) => value("GET", `${image(id)}/findings/${number}`);
export const getArcs = (id, number) => value("GET", `${image(id)}/findings/${number}/arcs`);
export const putReview = (id, number, review) => value("PUT", `${image(id)}/findings/${number}/review`, review);
export const putReading = (id, reading) => value("PUT", `${image(id)}/reading`, reading);
export const overlayUrl = (id) => `${image(id)}/overlay.png`;
export const dicomUrl = (id) => `${image(id)}/dicom.zip`;
export const getStudies = () => value("GET", "/api/dicomweb");
export const openStudy = (uid) => value("POST", `/api/dicomweb/${encodeURIComponent(uid)}`);
export const sendResults = (id) => value("POST", `${image(id)}/send`);
export const save = () => value("POST", "/api/save", {});
export const putThreshold = (threshold) => value("POST", "/api/threshold", { threshold });
export const sendTruth = (truth) => value("POST", "/api/truth", truth);
export const attachScan = (findings, review) => value("POST", "/api/scan-directory", { findings, review });

/** Address of a tile with a window applied; `window` is {center, width, invert}, in parts of the full grey range. */
export const tileUrl = (id, level, column, row, { center, width, invert, sigmoid }) =>
  `${image(id)}/tiles/${level}/${column}_${row}.jpg?center=${round(center)}&width=${round(width)}` +
  `&invert=${invert ? 1 : 0}&sigmoid=${sigmoid ? 1 : 0}`;

const round = (number) => Number(number.toFixed(4));

/** Fetch a file and hand it to the browser's downloads, under the name that the server gives it. */
export async function download(path) {
  const response = await answer("GET", path);
  const [, name] = /filename\*=utf-8''(.+)/.exec(response.headers.get("Content-Disposition"));
  const url = URL.createObjectURL(await response.blob());
  const link = Object.assign(document.createElement("a"), { href: url, download: decodeURIComponent(name) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/**
 * Send one file.
 * @param {File} file
 * @param {string} name
 * @param {(part: number) => void} onProgress part sent, from 0 to 1
 * @returns {{done: Promise<object>, cancel: () => void}}
 */
export function upload(file, name, onProgress) {
  const request = new XMLHttpRequest();
  const done = new Promise((resolve, reject) => {
    request.open("POST", `/api/images?name=${encodeURIComponent(name)}`);
    request.setRequestHeader("X-Microcalc", "1");
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onload = () =>
      request.status === 201
        ? resolve(JSON.parse(request.responseText))
        : reject(new ApiError(JSON.parse(request.responseText).error, request.status));
    request.onerror = () =>
      reject(new ApiError("The upload broke off. Is `microcalc app` still running, and the file within its size limit?", 0));
    request.onabort = () => reject(new ApiError("Cancelled.", 0));
    request.send(file);
  });
  return { done, cancel: () => request.abort() };
}
