// What is drawn above the picture: boxes, the ruler, the scale bar.

import { t } from "./words.js";

const COLOURS = { antimony: "#ff9600", rare_earth_oxide: "#00c8f0", rare_earth_magnet: "#eb50eb" };
const GROUND = "#000d", SHADOW = "#000b", OPAQUE = "#ffd700", RULER = "#ffd24a";

/** Draw all marks of a viewer's state on its second canvas; `ratio`: device pixels a CSS pixel. */
export function paintMarks({ marks, stage, data, place, options, line, length }, ratio) {
  const c = marks.getContext("2d"), { clientWidth: wide, clientHeight: high } = stage;
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.clearRect(0, 0, wide, high);
  if (!data) return;
  const X = (x) => (x - place.x) * place.zoom, Y = (y) => (y - place.y) * place.zoom;
  c.font = "600 13px system-ui, sans-serif";
  c.textBaseline = "middle";
  const taken = []; // rectangles of the labels so far
  if (options.boxes) {
    c.setLineDash([7, 5]);
    for (const { box: [x0, y0, x1, y1] } of data.opaque) {
      frame(c, X(x0), Y(y0), X(x1) - X(x0), Y(y1) - Y(y0), OPAQUE);
      label(c, t("no_penetration"), X(x0), Y(y1) + 3, OPAQUE, wide, taken, 21);
    }
    c.setLineDash([]);
    data.regions.forEach((region, i) => {
      const [x0, y0, x1, y1] = region.box, colour = COLOURS[region.family] ?? "#5ae65a", top = Y(y0);
      frame(c, X(x0), top, X(x1) - X(x0), Y(y1) - top, colour);
      label(c, `${i + 1} ${t(region.family)} ${Math.round(100 * region.probability)} %`, X(x0), top > 22 ? top - 21 : Math.max(2, top + 3), colour, wide, taken, -21);
    });
  }
  scale(c, data, place, high);
  if (line) {
    const [x0, y0, x1, y1] = line;
    for (const [thick, colour] of [[4, SHADOW], [2, RULER]]) {
      c.lineWidth = thick;
      c.strokeStyle = colour;
      c.beginPath();
      c.moveTo(X(x0), Y(y0));
      c.lineTo(X(x1), Y(y1));
      c.stroke();
    }
    label(c, length, X(x1) + 8, Y(y1) - 10, RULER, wide);
  }
}

function frame(c, x, y, w, h, colour) {
  for (const [thick, shade] of [[4, SHADOW], [2, colour]]) {
    c.lineWidth = thick;
    c.strokeStyle = shade;
    c.strokeRect(x, y, w, h);
  }
}

/** A line of text on its ground, moved by `step` until it hides none of the labels `taken`. */
function label(c, text, x, y, colour, most, taken = [], step = 0) {
  const long = c.measureText(text).width + 10, left = Math.max(2, Math.min(x, most - long - 2));
  const hides = ([l, r, v]) => left < r && l < left + long && Math.abs(v - y) < 19;
  for (let tries = 0; step && tries < 6 && taken.some(hides); tries++) y += step;
  taken.push([left, left + long, y]);
  c.fillStyle = GROUND;
  c.fillRect(left, y, long, 19);
  c.fillStyle = colour;
  c.fillText(text, left + 5, y + 10);
}

/** A scale bar of a round length in the lower left corner. */
function scale(c, data, place, high) {
  if (!data.pixel_mm) return;
  const wanted = (110 / place.zoom) * data.pixel_mm, power = 10 ** Math.floor(Math.log10(wanted));
  const millimetres = power * [5, 2, 1].find((n) => n * power <= wanted), long = (millimetres / data.pixel_mm) * place.zoom;
  const y = high - 16, text = millimetres >= 1000 ? `${millimetres / 1000} m` : `${millimetres} mm`;
  c.fillStyle = SHADOW;
  c.fillRect(8, y - 18, Math.max(long, c.measureText(text).width) + 16, 28);
  c.fillStyle = "#e9edf1";
  c.fillText(text, 16, y - 8);
  c.fillRect(16, y + 2, long, 3);
}
