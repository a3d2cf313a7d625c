// Runs before the first paint, so that a dark page does not flash white. Not a module for that reason.
"use strict";
(() => {
  let kept = null;
  try {
    kept = localStorage.getItem("microcalc-theme");
  } catch {
    /* private mode: follow the system */
  }
  const dark = kept ? kept === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
