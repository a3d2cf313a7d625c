/** Starts the page: parts, tabs, theme, and what the server already holds. */

import * as api from "./api.js";
import { $ } from "./dom.js";
import { setUpArcs } from "./arcs.js";
import { setUpDicomWeb } from "./dicomweb.js";
import { setUpFindings } from "./findings.js";
import { setUpHanging } from "./hanging.js";
import { setUpImages } from "./images.js";
import { follow, needFindings, scan } from "./jobs.js";
import { setUpKeys } from "./keys.js";
import { setUpRead } from "./read.js";
import { setUpReading } from "./reading.js";
import { setUpReports } from "./reports.js";
import { imageOf, openImage, putImages, state, subscribe, update } from "./state.js";
import { setUpUploads, tell } from "./upload.js";

const OPENING_ASKED_MS = 250;

/** Tabs after the ARIA pattern: arrows move between them, one is in the tab order. */
function setUpTabs(list, onChoose) {
  const tabs = [...list.querySelectorAll("[role=tab]")];
  list.addEventListener("click", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (tab) onChoose(tab.getAttribute("aria-controls"));
  });
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = tabs[(tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length];
    next.focus();
    onChoose(next.getAttribute("aria-controls"));
  });
  return (chosen) => {
    for (const tab of tabs) {
      const on = tab.getAttribute("aria-controls") === chosen;
      tab.setAttribute("aria-selected", on);
      tab.tabIndex = on ? 0 : -1;
    }
  };
}

const PAGES = ["read", "hanging", "reports"];
const PANES = { images: "images-panel", picture: "picture", findings: "findings-panel" };
const narrow = matchMedia("(max-width: 720px)");
let navigated = Boolean(location.hash);

/** The part of the address after #, so that Back goes back in the page, and a reload stays. */
const place = () => `#${state.page}${narrow.matches && state.page === "read" ? `/${state.pane}` : ""}`;

function followAddress() {
  const [page, pane] = location.hash.slice(1).split("/");
  update({ page: PAGES.includes(page) ? page : "read", pane: PANES[pane] ? pane : "images" });
}

function setUpNavigation() {
  followAddress();
  history.replaceState(null, "", place());
  addEventListener("popstate", followAddress);
  subscribe(["page", "pane"], () => location.hash !== place() && history.pushState(null, "", place()));
  const markPage = setUpTabs($("tabs"), (page) => {
    navigated = true;
    update({ page });
  });
  subscribe(["page"], () => {
    markPage(state.page);
    for (const page of PAGES) $(page).hidden = page !== state.page;
  });
  const markPane = setUpTabs($("panes"), (id) =>
    update({ pane: Object.keys(PANES).find((name) => PANES[name] === id) }),
  );
  subscribe(["pane"], () => {
    markPane(PANES[state.pane]);
    $("read").dataset.pane = state.pane;
  });
}

/** On a narrow screen the picture needs the room: its sliders start folded. */
const foldSliders = () => {
  $("adjust").open = !narrow.matches;
};

function setUpTheme() {
  const { dataset } = document.documentElement;
  const show = (theme) => {
    dataset.theme = theme;
    $("theme").setAttribute("aria-pressed", theme === "dark");
  };
  $("theme").onclick = () => {
    show(dataset.theme === "dark" ? "light" : "dark");
    localStorage.setItem("microcalc-theme", dataset.theme);
  };
  matchMedia("(prefers-color-scheme: dark)").onchange = ({ matches }) =>
    localStorage.getItem("microcalc-theme") ?? show(matches ? "dark" : "light");
  show(dataset.theme);
}

/** Take in what the server has and what it still opens: of the command line, or a study of its DICOMweb server. */
async function meetOpening(first = null) {
  for (let session = first ?? (await api.getSession()); ; session = await api.getSession()) {
    const images = session.images.filter((one) => !imageOf(one.id));
    putImages(images);
    if (!state.current && images.length) openImage(images[0].id);
    for (const image of images) if (image.state === "ready") await scan(image.id);
    follow();
    if (session.opening) await new Promise((resolve) => setTimeout(resolve, OPENING_ASKED_MS));
    else return session.problems.length && tell("error", `Not opened:\n${session.problems.join("\n")}`);
  }
}

async function loadSession() {
  try {
    const session = await api.getSession();
    update({ session, offline: null });
    if (!navigated && session.reports.length && !session.images.length && !session.opening) update({ page: "reports" });
    await meetOpening(session);
  } catch (error) {
    update({ offline: error.message });
  }
}

setUpTheme();
foldSliders();
narrow.addEventListener("change", foldSliders);
setUpNavigation();
setUpUploads();
setUpImages();
setUpRead();
setUpReading();
setUpFindings();
setUpHanging();
setUpReports();
setUpDicomWeb(meetOpening);
setUpArcs();
setUpKeys();
subscribe(["current", "images"], () => needFindings(state.current));
subscribe(["offline"], () => {
  $("offline").hidden = !state.offline;
  $("offline").textContent = state.offline ?? "";
});
loadSession();
