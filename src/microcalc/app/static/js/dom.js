/** Small helpers to make elements. Text always goes in as text, never as markup. */

/**
 * Make an element.
 * @param {string} tag
 * @param {Object<string, any>} [props] `on` maps events to handlers, `class` and attributes as in markup; false and
 *   null leave out.
 * @param {...(Node|string|null|undefined|false)} children
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  setProps(element, props);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function setProps(element, props) {
  for (const [key, value] of Object.entries(props)) {
    if (key === "on") for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    else if (key === "value" || key === "checked" || key === "disabled") element[key] = value;
    else if (value !== false && value !== null && value !== undefined)
      element.setAttribute(key, value === true ? "" : value);
  }
}

/** A copy of a <template> of index.html: its root, and its parts by their data-part. */
export function copy(id) {
  const root = $(id).content.firstElementChild.cloneNode(true);
  const parts = [...root.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]);
  return { root, ...Object.fromEntries(parts) };
}

const SVG = "http://www.w3.org/2000/svg";

/** Make an SVG element. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes))
    if (value !== null && value !== undefined) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** One of the icons of index.html, hidden from screen readers. */
export const icon = (name) => svg("svg", { class: "icon", "aria-hidden": "true" }, svg("use", { href: `#i-${name}` }));

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
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...given), delay);
  };
}

/** A number of things: "1 mark", "2 marks". */
export const counted = (number, thing) => `${number} ${thing}${number === 1 ? "" : "s"}`;

export const percent = (value) => `${Math.round(value * 1000) / 10} %`;
export const probability = (value) => value.toFixed(2);
export const stillness = matchMedia("(prefers-reduced-motion: reduce)");
