/** Small helpers to make elements. Text always goes in as text, never as markup. */

/** Make an element. `onclick` and `onchange` take handlers; of the attributes, false and null are left out. */
export const h = (tag, attributes = {}, ...children) => made(document.createElement(tag), attributes, children);

/** Make an SVG element. */
export const svg = (tag, attributes = {}, ...children) =>
  made(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

function made(element, { onclick = null, onchange = null, ...attributes }, children) {
  Object.assign(element, { onclick, onchange }).append(...children);
  for (const [name, value] of Object.entries(attributes))
    if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  return element;
}

/** A copy of a <template> of index.html: its root, and its parts by their data-part. */
export function copy(id) {
  const root = $(id).content.firstElementChild.cloneNode(true);
  const parts = [...root.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]);
  return { root, ...Object.fromEntries(parts) };
}

export const $ = (id) => document.getElementById(id);

/** Say something to screen readers. */
export function announce(text) {
  const live = $("live");
  live.textContent = live.textContent === text ? `${text}\u00a0` : text;
}

/** A line of text with a colour: kind is `error`, `warning` or `info`. */
export const message = (kind, text) =>
  h("p", { class: `message ${kind}`, role: kind === "error" ? "alert" : null }, text);

/** Call `action` once, `delay` ms after the last call. */
export function debounced(action, delay) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, delay);
  };
}

/** A number of things: "1 mark", "2 marks". */
export const counted = (number, thing) => `${number} ${thing}${number === 1 ? "" : "s"}`;

export const percent = (value) => `${Math.round(value * 1000) / 10} %`;
export const probability = (value) => value.toFixed(2);
export const stillness = matchMedia("(prefers-reduced-motion: reduce)");
