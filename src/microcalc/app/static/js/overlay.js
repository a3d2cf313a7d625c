/** Marks, heat map and ruler over a picture: an SVG that moves with OpenSeadragon. */

import { svg } from "./dom.js";

const SIGNS = { accepted: " ✓", rejected: " ✗" };
const PADDING_MM = 1;
const CALCIFICATION_MM = 0.35;
const CALCIFICATIONS_FROM = 6; // screen pixels a millimetre: below, circles would cover the picture

export class Overlay {
  /** @param {OpenSeadragon.Viewer} viewer @param {(number: number) => void} onPick */
  constructor(viewer, onPick) {
    this.viewer = viewer;
    this.heat = svg("image", { preserveAspectRatio: "none", "data-heat": "" });
    this.shapes = svg("g", { "data-marks": "" });
    this.arc = svg("polyline", { class: "arc" });
    this.moving = svg("g", {}, this.heat, this.shapes, this.arc);
    this.tags = svg("g");
    this.measure = svg("g");
    this.root = svg("svg", { class: "overlay", "aria-hidden": "true" }, this.moving, this.tags, this.measure);
    this.tagged = [];
    /** Lengths that are kept, and the first point of one that is being measured. */
    this.rulers = [];
    this.rulerStart = null;
    this.cross = false;
    this.image = null;
    viewer.canvas.append(this.root);
    viewer.addHandler("canvas-click", ({ quick, originalEvent: { clientX, clientY } }) => {
      // by place, as OpenSeadragon captures the pointer and so is the target of every click
      const mark = quick && document.elementFromPoint(clientX, clientY)?.closest("[data-number]");
      if (mark && this.root.contains(mark)) onPick(Number(mark.dataset.number));
    });
    viewer.addHandler("update-viewport", () => this.place());
    viewer.addHandler("resize", () => requestAnimationFrame(() => this.place()));
  }

  /** Start with another image. @param {object|null} image ImageEntry */
  open(image) {
    this.image = image;
    this.rulerStart = null;
    this.setHeat(null);
    this.setArc(null);
    this.setFindings([], null, true);
  }

  /** Millimetres a pixel, [down, across]; without a pixel size, one. */
  get size() {
    return this.image?.pixel_size_mm ?? [1, 1];
  }

  /**
   * Draw findings.
   * @param {object[]} findings those to show
   * @param {number|null} selected
   * @param {boolean} visible
   */
  setFindings(findings, selected, visible) {
    this.shapes.replaceChildren();
    this.tags.replaceChildren();
    this.tagged = [];
    this.calcifications = svg("g");
    if (!visible || !this.image) return;
    for (const finding of findings) {
      const kind = [finding.review?.verdict, finding.number === selected && "selected"].filter(Boolean).join(" ");
      const box = this.frame(finding);
      const mark = svg(
        "g",
        { class: `mark ${kind}`, "data-number": finding.number },
        svg("rect", { class: "halo", ...box }),
        svg("rect", { class: "box", ...box }),
      );
      this.shapes.append(mark);
      this.addCalcifications(finding);
      this.addTag(finding, kind, box);
    }
    for (const cluster of this.image.truth ?? []) {
      const box = this.frame(cluster, 2 * PADDING_MM); // around a mark of the same place
      this.shapes.append(svg("rect", { class: "halo", ...box }), svg("rect", { class: "truth", ...box }));
    }
    this.shapes.append(this.calcifications);
    this.place();
  }

  /** Where a finding of another view may be in this one, or none. @param {{points_px: number[][]}|null} arc */
  setArc(arc) {
    this.arc.setAttribute("points", (arc?.points_px ?? []).map(([x, y]) => `${x + 0.5},${y + 0.5}`).join(" "));
  }

  /** A box with its padding. */
  frame({ box_px: [left, top, right, bottom] }, padding = PADDING_MM) {
    const [dy, dx] = this.size.map((mm) => padding / mm);
    return { x: left - dx, y: top - dy, rx: dx, width: right - left + 1 + 2 * dx, height: bottom - top + 1 + 2 * dy };
  }

  addCalcifications(finding) {
    const [down, across] = this.size;
    for (const [column, row] of finding.calcifications_px ?? []) {
      this.calcifications.append(
        svg("ellipse", {
          class: "calc",
          cx: column + 0.5,
          cy: row + 0.5,
          rx: CALCIFICATION_MM / across,
          ry: CALCIFICATION_MM / down,
        }),
      );
    }
  }

  addTag(finding, kind, box) {
    const text = `${finding.number}${SIGNS[finding.review?.verdict] ?? ""}`;
    const width = 8 + 7.5 * text.length;
    const tag = svg("g", { class: `tag ${kind}`, "data-number": finding.number }, svg("rect", { width, height: 18, rx: 3 }));
    const label = svg("text", { x: 4, y: 13.5 });
    label.textContent = text;
    tag.append(label);
    this.tags.append(tag);
    this.tagged.push({ tag, left: box.x, right: box.x + box.width, y: box.y });
  }

  /** Show a heat map at an opacity from 0 to 1, or none. */
  setHeat(url, opacity = 0.5) {
    if (url) {
      if (this.heat.getAttribute("href") !== url) this.heat.setAttribute("href", url);
      this.heat.setAttribute("width", this.image.columns);
      this.heat.setAttribute("height", this.image.rows);
    } else this.heat.removeAttribute("href");
    this.heat.setAttribute("opacity", opacity);
    this.heat.setAttribute("visibility", url && opacity > 0 ? "inherit" : "hidden");
  }

  /** Where a pixel of the image lies on screen, for a viewer that may be flipped. */
  toScreen(column, row) {
    const { viewport } = this.viewer;
    const point = viewport.imageToViewerElementCoordinates(new OpenSeadragon.Point(column, row));
    return viewport.getFlip() ? [viewport.getContainerSize().x - point.x, point.y] : [point.x, point.y];
  }

  /** Move everything to where the picture is now. */
  place() {
    if (!this.image || !this.viewer.world.getItemCount()) return;
    const [x0, y0] = this.toScreen(0, 0);
    const [x1, y1] = this.toScreen(this.image.columns, this.image.rows);
    const [sx, sy] = [(x1 - x0) / this.image.columns, (y1 - y0) / this.image.rows];
    this.moving.setAttribute("transform", `matrix(${sx} 0 0 ${sy} ${x0} ${y0})`);
    this.calcifications?.setAttribute(
      "visibility",
      Math.abs(sx) / this.size[1] >= CALCIFICATIONS_FROM ? "inherit" : "hidden",
    );
    for (const { tag, left, right, y } of this.tagged) {
      const side = sx < 0 ? right : left;
      tag.setAttribute("transform", `translate(${x0 + side * sx} ${y0 + y * sy - 20})`);
    }
    this.drawRuler();
  }

  drawRuler() {
    this.measure.replaceChildren();
    for (const ruler of this.rulers) {
      const [[x1, y1], [x2, y2]] = ruler.map(([column, row]) => this.toScreen(column, row));
      const text = svg("text", { class: "ruler-text", x: (x1 + x2) / 2 + 8, y: (y1 + y2) / 2 - 8 });
      text.textContent = lengthOf(this.image, ruler);
      this.measure.append(svg("line", { class: "ruler-line", x1, y1, x2, y2 }), text);
    }
    for (const [column, row] of [...this.rulers.flat(), ...(this.rulerStart ? [this.rulerStart] : [])]) {
      const [cx, cy] = this.toScreen(column, row);
      this.measure.append(svg("circle", { class: "ruler-end", cx, cy, r: 4 }));
    }
    if (!this.cross) return;
    const { x, y } = this.viewer.viewport.getContainerSize();
    this.measure.append(svg("path", { class: "crosshair", d: `M${x / 2 - 12} ${y / 2}h24M${x / 2} ${y / 2 - 12}v24` }));
  }
}

/** A length in millimetres, or in pixels where the pixel size is not known. */
export function lengthOf(image, [[c0, r0], [c1, r1]]) {
  const [down, across] = image.pixel_size_mm ?? [1, 1];
  const length = Math.hypot((c1 - c0) * across, (r1 - r0) * down);
  return image.pixel_size_mm ? `${length.toFixed(length < 10 ? 2 : 1)} mm` : `${Math.round(length)} pixels`;
}
