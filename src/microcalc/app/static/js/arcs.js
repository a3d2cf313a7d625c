/** Arcs: where the selected finding may be in the other pictures of its breast. */

import * as api from "./api.js";
import { imageOf, state, subscribe, update } from "./state.js";

let asked = "";

/** Ask for the arcs of each finding that is selected; those of the last one stay until then. */
export function setUpArcs() {
  subscribe(["current", "selected"], async () => {
    const { current, selected } = state;
    const key = `${current} ${selected}`;
    if (selected === null || key === asked || imageOf(current)?.kind !== "mammogram") return;
    asked = key;
    const arcs = await api.getArcs(current, selected).catch(() => []);
    if (key === asked) update({ arcs: Object.fromEntries(arcs.map((arc) => [arc.image, arc])) });
  });
}
