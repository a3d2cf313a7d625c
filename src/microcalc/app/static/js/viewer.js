/** One picture: OpenSeadragon with tiles at the asked window, marks, and a length scale. */

import { tileUrl } from "./api.js";
import { stillness } from "./dom.js";
import { Overlay } from "./overlay.js";

const SCALE_MM = [0.5, 1, 2, 5, 10, 20, 50, 100];
const SCALE_LONGEST = 130; // screen pixels

export class Picture {
  /**
   * @param {HTMLElement} element
   * @param {{label: string, scale?: HTMLElement, onPick: (number: number) => void,
   *   onError: (text: string) => void, onShown?: () => void}} options label: for screen readers; scale: where the
   *   length scale goes; onShown: a picture is complete
   */
  constructor(element, { label, scale = null, onPick, onError, onShown = () => {} }) {
    keepStyleOut();
    this.viewer = OpenSeadragon({
      element,
      drawer: "canvas",
      showNavigationControl: false,
      showNavigator: false,
      keyboardNavEnabled: false,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: false },
      gestureSettingsTouch: { clickToZoom: false, dblClickToZoom: false },
      animationTime: stillness.matches ? 0 : 0.35,
      springStiffness: 8,
      immediateRender: stillness.matches,
      blendTime: 0,
      minZoomImageRatio: 0.6,
      maxZoomPixelRatio: 12,
      visibilityRatio: 0.3,
      constrainDuringPan: false,
      imageLoaderLimit: 6,
      maxTilesPerFrame: 4,
      maxImageCacheCount: 300,
      placeholderFillStyle: "#090b0d",
      silenceMultiImageWarnings: true,
    });
    this.viewer.canvas.setAttribute("role", "group");
    this.viewer.canvas.setAttribute("aria-label", label);
    this.overlay = new Overlay(this.viewer, onPick);
    this.scale = scale;
    this.image = null;
    this.shown = null;
    this.coming = null;
    this.onError = onError;
    this.onShown = onShown;
    this.viewer.addHandler("update-viewport", () => this.drawScale());
    this.viewer.addHandler("canvas-double-click", () => this.home());
    this.viewer.addHandler("tile-load-failed", () => this.onError("A part of the picture could not be loaded."));
  }

  /** Show an image from its first view on; null closes. */
  open(image, window) {
    this.image = image;
    this.overlay.open(image);
    this.coming = null;
    this.shown = this.shownWindow = null;
    this.viewer.world.removeAll();
    if (this.scale) this.scale.hidden = true;
    if (image) this.load(image, window, true);
  }

  /** Show the same image at another window. The old picture stays until the new one is complete. */
  setWindow(window) {
    if (this.image) this.load(this.image, window, false);
  }

  load(image, window, first) {
    const key = JSON.stringify([image.id, window]);
    if (this.key === key && !first) return;
    this.key = key;
    this.viewer.addTiledImage({
      tileSource: tileSource(image, window),
      opacity: first ? 1 : 0,
      preload: !first,
      error: () => this.onError("The picture could not be loaded."),
      success: ({ item }) => {
        const isStale = this.key !== key || this.image?.id !== image.id;
        const unwanted = isStale ? item : this.coming;
        if (unwanted) this.viewer.world.removeItem(unwanted);
        if (isStale) return;
        this.coming = item;
        if (first) this.present(item, window);
        whenLoaded(item, () => {
          if (this.coming === item) this.present(item, window);
          if (this.shown === item) this.onShown();
        });
      },
    });
  }

  present(item, window) {
    this.shownWindow = window;
    const old = this.shown;
    [this.shown, this.coming] = [item, null];
    item.setOpacity(1);
    item.setPreload(false);
    if (old) this.viewer.world.removeItem(old);
    else this.home(true);
  }

  /** The whole image; `flush` puts its chest wall to the edge of the panel. */
  home(immediately = stillness.matches, flush = false) {
    if (!this.shown) return;
    const { viewport } = this.viewer;
    const bounds = this.shown.getBounds();
    if (flush && this.image.chest_wall) {
      const aspect = viewport.getAspectRatio();
      const width = Math.max(bounds.width, bounds.height * aspect);
      const x = this.image.chest_wall === "left" ? bounds.x : bounds.x + bounds.width - width;
      const height = width / aspect;
      viewport.fitBounds(
        new OpenSeadragon.Rect(x, bounds.y + (bounds.height - height) / 2, width, height),
        immediately,
      );
    } else viewport.fitBounds(bounds, immediately);
  }

  /** One pixel of the image on each pixel of the screen. */
  truePixels() {
    if (!this.shown) return;
    this.viewer.viewport.zoomTo(this.shown.imageToViewportZoom(1 / devicePixelRatio), null, stillness.matches);
  }

  zoomBy(factor) {
    this.viewer.viewport.zoomBy(factor, null, stillness.matches);
    this.viewer.viewport.applyConstraints(stillness.matches);
  }

  /** Pan by parts of the view. */
  panBy(right, down) {
    const { viewport } = this.viewer;
    const { width, height } = viewport.getBounds();
    viewport.panBy(
      new OpenSeadragon.Point(right * width * (viewport.getFlip() ? -1 : 1), down * height),
      stillness.matches,
    );
    viewport.applyConstraints(stillness.matches);
  }

  /** Bring a box of the image (left, top, right, bottom) to the middle, with `margin` mm around it. */
  goTo([left, top, right, bottom], margin = 12) {
    if (!this.shown) return;
    const [down, across] = this.image.pixel_size_mm ?? [0.085, 0.085];
    const [dx, dy] = [margin / across, margin / down];
    const box = this.shown.imageToViewportRectangle(left - dx, top - dy, right - left + 2 * dx, bottom - top + 2 * dy);
    this.viewer.viewport.fitBounds(box, stillness.matches);
  }

  drawScale() {
    if (!this.scale) return;
    const spacing = this.image?.pixel_size_mm?.[1];
    this.scale.hidden = !spacing || !this.shown;
    if (this.scale.hidden) return;
    const density = this.shown.viewportToImageZoom(this.viewer.viewport.getZoom(true)) / spacing; // pixels a millimetre
    const mm = SCALE_MM.findLast((length) => length * density <= SCALE_LONGEST) ?? SCALE_MM[0];
    this.scale.querySelector(".scale-bar").style.width = `${mm * density}px`;
    this.scale.querySelector(".scale-text").textContent = `${mm} mm`;
  }
}

function whenLoaded(item, action) {
  const check = ({ fullyLoaded }) => {
    if (!fullyLoaded) return;
    item.removeHandler("fully-loaded-change", check);
    action();
  };
  if (item.getFullyLoaded()) action();
  else item.addHandler("fully-loaded-change", check);
}

const tileSource = (image, window) => ({
  width: image.columns,
  height: image.rows,
  tileSize: image.tiles.size,
  tileOverlap: 0,
  minLevel: 0,
  maxLevel: image.tiles.levels - 1,
  getTileUrl: (level, column, row) => tileUrl(image.id, level, column, row, window),
});

/**
 * OpenSeadragon puts a <style> into the page unless it finds one. The security policy forbids it, so let it find an
 * element of that name that is none.
 */
function keepStyleOut() {
  if (document.querySelector("style[data-openseadragon-mobile-css]")) return;
  const placeholder = document.createElementNS("", "style");
  placeholder.setAttribute("data-openseadragon-mobile-css", "");
  document.body.append(placeholder);
}
