/** Studies of the DICOMweb server that the viewer was started with: a list below the drop zone. */

import * as api from "./api.js";
import { $, counted, h, message } from "./dom.js";
import { state, subscribe } from "./state.js";

/** Wire up the list. @param {() => Promise<void>} meetOpening takes in the images that the server opens */
export function setUpDicomWeb(meetOpening) {
  const list = h("ul", { class: "server-studies", "aria-label": "Studies of the server" });
  const notes = h("div", {});
  const tryTo = async (button, action) => {
    button.disabled = true;
    try {
      await action();
      notes.replaceChildren();
    } catch (error) {
      notes.replaceChildren(message("error", error.message));
    }
    button.disabled = false;
  };
  const entry = ({ study, patient, name, date, objects }) => {
    const text = [name || patient, date.replace(/(....)(..)(..)/, "$1-$2-$3"), objects && counted(Number(objects), "object")];
    const open = async () => {
      await api.openStudy(study);
      await meetOpening();
    };
    const label = text.filter(Boolean).join(" · ");
    return h(
      "li",
      { class: "row tight" },
      h("button", { class: "button small", "aria-label": `Open ${label}`, onclick: ({ target }) => tryTo(target, open) }, "Open"),
      h("span", {}, label),
    );
  };
  const load = async () => {
    const studies = await api.getStudies();
    list.replaceChildren(...studies.map(entry));
    if (!studies.length) list.replaceChildren(h("li", { class: "hint" }, "It holds no mammograms."));
  };
  const ask = h("button", { class: "button", onclick: () => tryTo(ask, load) }, "List studies");
  const caption = h("span", { class: "hint" });
  $("server").append(h("div", { class: "row tight" }, ask, caption), notes, list);
  subscribe(["session"], () => {
    $("server").hidden = !state.session?.server;
    caption.textContent = state.session?.server ?? "";
  });
}
