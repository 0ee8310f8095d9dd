// The scan on the screen: what is shown, where, with which window; the GPU draws it, marks lie above.

import { listen } from "./gestures.js";
import { Gpu, OPAQUE } from "./gpu.js";
import { paintMarks } from "./marks.js";
import { language } from "./words.js";

export class Viewer {
  constructor(stage, picture, marks, told) {
    this.stage = stage;
    this.picture = picture;
    this.marks = marks;
    this.told = told; // called after each change of the view, and with what is under the pointer
    this.data = null;
    this.options = { mode: 0, inverse: false, edge: false, heat: true, boxes: true, ruler: false };
    this.span = { width: 5, level: 2.4 };
    this.place = { x: 0, y: 0, zoom: 1 };
    this.line = null;
    this.gpu = new Gpu(picture, () => { if (this.data) this.gpu.upload(this.data); this.draw(); });
    new ResizeObserver(() => this.resized()).observe(stage);
    listen(this, stage, (x, y) => this.told("pointer", x === undefined ? null : this.at(x, y)));
  }

  /** Show a scan: `values` Uint16Array (rows, columns, 2), `maps` null or the model's maps. */
  show(scan) {
    this.data = scan;
    this.line = null;
    this.gpu.upload(scan);
    this.autoWindow();
    this.fit();
  }

  clear() {
    this.data = this.line = null;
    this.draw();
  }

  /** Window and level from the scan itself: from the open beam to nearly the darkest of what is penetrated, but not so
   *  far that a few dense things leave the rest pale. */
  autoWindow() {
    const { values, scale, scanner } = this.data, goods = [], step = 2 * Math.max(1, Math.floor(values.length / 80000));
    for (let i = 0; i < values.length; i += step) {
      const t = (values[i] * scale) / 65535;
      if (t < 0.95 && t > OPAQUE[scanner]) goods.push(-Math.log(t));
    }
    goods.sort((a, b) => a - b);
    const part = (share) => goods[Math.floor(share * (goods.length - 1))];
    const most = scanner === "container" ? Infinity : 4 * part(0.5) + 0.4; // a container's walls lie before all of its goods
    const top = goods.length ? Math.max(0.5, Math.min(part(0.985) + 0.2, most)) : 5;
    this.span = { width: top + 0.05, level: (top - 0.05) / 2 };
  }

  fit() {
    if (!this.data) return;
    const { columns, rows } = this.data, { clientWidth: w, clientHeight: h } = this.stage;
    const zoom = Math.min(w / columns, h / rows) * 0.985;
    this.place = { zoom, x: columns / 2 - w / zoom / 2, y: rows / 2 - h / zoom / 2 };
    this.fitted = true;
    this.draw();
  }

  zoomBy(factor, x = this.stage.clientWidth / 2, y = this.stage.clientHeight / 2) {
    this.zoomTo(this.place.zoom * factor, x, y);
  }

  zoomTo(zoom, x = this.stage.clientWidth / 2, y = this.stage.clientHeight / 2) {
    const p = this.place;
    const next = Math.min(40, Math.max(0.02, zoom));
    p.x += x / p.zoom - x / next;
    p.y += y / p.zoom - y / next;
    p.zoom = next;
    this.fitted = false;
    this.draw();
  }

  pan(dx, dy) {
    const p = this.place, { columns, rows } = this.data ?? { columns: 0, rows: 0 };
    const w = this.stage.clientWidth / p.zoom, h = this.stage.clientHeight / p.zoom;
    p.x = Math.min(columns - 0.2 * w, Math.max(-0.8 * w, p.x - dx / p.zoom));
    p.y = Math.min(rows - 0.2 * h, Math.max(-0.8 * h, p.y - dy / p.zoom));
    this.fitted = false;
    this.draw();
  }

  setSpan(width, level) {
    this.span = { width: Math.min(12, Math.max(0.1, width)), level: Math.min(11, Math.max(-0.5, level)) };
    this.draw();
  }

  set(name, value) {
    this.options[name] = value;
    if (name === "ruler" && !value) this.line = null;
    this.draw();
  }

  resized() {
    if (this.fitted) this.fit(); else this.draw();
  }

  draw() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => { this.asked = false; this.paint(); });
  }

  paint() {
    const { stage, place, options, span } = this;
    const ratio = window.devicePixelRatio || 1, w = Math.round(stage.clientWidth * ratio), h = Math.round(stage.clientHeight * ratio);
    for (const canvas of [this.picture, this.marks]) if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; this.marked = ""; }
    this.gpu.paint(this.data, place, span, options, ratio);
    const key = [place.x, place.y, place.zoom, options.boxes, this.line, language(), this.gpu.serial, Boolean(this.data)].join(); // a window changes no mark
    if (key !== this.marked) paintMarks({ ...this, length: this.length() }, ratio);
    this.marked = key;
    this.told("view");
  }

  /** The ruler's length in words. */
  length() {
    if (!this.line || !this.data) return "";
    const [x0, y0, x1, y1] = this.line, pixels = Math.hypot(x1 - x0, y1 - y0), mm = this.data.pixel_mm;
    if (!mm) return `${pixels.toFixed(0)} px`;
    return pixels * mm >= 1000 ? `${((pixels * mm) / 1000).toFixed(2)} m` : `${(pixels * mm).toFixed(0)} mm`;
  }

  /** What is at a point of the scan, or null outside of it. */
  at(x, y) {
    const { data } = this;
    if (!data) return null;
    const column = Math.floor(x), row = Math.floor(y);
    if (column < 0 || row < 0 || column >= data.columns || row >= data.rows) return null;
    const i = 2 * (row * data.columns + column), unit = data.scale / 65535;
    const found = { column, row, high: data.values[i] * unit, low: data.values[i + 1] * unit };
    const { maps } = data;
    if (maps) {
      const cell = Math.min(maps.rows - 1, Math.floor(row / maps.stride)) * maps.columns + Math.min(maps.columns - 1, Math.floor(column / maps.stride));
      found.goods = maps.goods[cell];
      found.threat = maps.threat[cell];
      let best = -1;
      maps.evidence.forEach((plane, f) => { if (best < 0 || plane[cell] > maps.evidence[best][cell]) best = f; });
      found.family = maps.families[best];
      found.probability = maps.evidence[best][cell] / 255;
    }
    return found;
  }
}

/** The maps of /api/scans/{id}/maps by their description. */
export function readMaps(buffer, about) {
  const { rows, columns, families } = about, count = rows * columns, watched = new Uint8Array(count);
  const evidence = families.map((_, f) => new Uint8Array(buffer, f * count, count));
  for (const name of about.watched) {
    const plane = evidence[families.indexOf(name)];
    for (let i = 0; i < count; i++) if (plane[i] > watched[i]) watched[i] = plane[i];
  }
  const areal = new Float32Array(buffer.slice(families.length * count));
  const goods = areal.subarray(0, count), threat = areal.subarray(count);
  let heaviest = 1;
  for (const value of goods) if (value > heaviest) heaviest = value;
  return { ...about, evidence, watched, goods, threat, heaviest };
}
