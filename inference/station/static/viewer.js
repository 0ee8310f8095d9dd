// The scan on the screen: 16-bit values as a texture, drawn by the GPU; marks on a second canvas above.

import { FRAGMENT, VERTEX } from "./shader.js";
import { t } from "./words.js";

const RATIO = { parcel: [1.15, 2.3], container: [1.0, 1.16] };
const THIN = { parcel: 0.03, container: 0.09 }; // attenuation below which the ratio is noise and stays grey
const OPAQUE = { parcel: 5e-4, container: 2e-4 };
const COLOURS = { antimony: "#ff9600", rare_earth_oxide: "#00c8f0", rare_earth_magnet: "#eb50eb" };
const UNIFORMS = ["scan", "smoothed", "evidence", "areal", "view", "size", "cells", "range", "place", "scale", "width", "level",
  "edges", "inverse", "heat", "heaviest", "opaque", "thin", "mode"];

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
    this.gl = picture.getContext("webgl2", { antialias: false, preserveDrawingBuffer: true, alpha: true, premultipliedAlpha: true });
    if (!this.gl) throw new Error(t("no_webgl"));
    this.build();
    picture.addEventListener("webglcontextlost", (event) => event.preventDefault());
    picture.addEventListener("webglcontextrestored", () => { this.build(); if (this.data) this.upload(); this.draw(); });
    new ResizeObserver(() => this.resized()).observe(stage);
    this.listen();
  }

  build() {
    const gl = this.gl, program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) throw new Error(gl.getProgramInfoLog(program));
    gl.useProgram(program);
    gl.bindVertexArray(gl.createVertexArray());
    this.at = Object.fromEntries(UNIFORMS.map((name) => [name, gl.getUniformLocation(program, name)]));
    this.textures = ["scan", "smoothed", "evidence", "areal"].map((name, unit) => {
      gl.uniform1i(this.at[name], unit);
      return gl.createTexture();
    });
  }

  /** Show a scan: `values` Uint16Array (rows, columns, 2), `maps` null or the model's maps. */
  show(scan) {
    this.data = scan;
    this.line = null;
    this.upload();
    this.autoWindow();
    this.fit();
  }

  clear() {
    this.data = null;
    this.draw();
  }

  upload() {
    const { gl, data } = this;
    const most = gl.getParameter(gl.MAX_TEXTURE_SIZE);
    let { values, columns, rows } = data;
    let shrink = 1;
    while (columns / shrink > most || rows / shrink > most) shrink *= 2;
    if (shrink > 1) [values, columns, rows] = averaged(values, columns, rows, shrink, Uint16Array, 1);
    this.shrink = shrink;
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    this.texture(0, gl.RG16UI, columns, rows, gl.RG_INTEGER, gl.UNSIGNED_SHORT, values, gl.NEAREST);
    const [cells, wide, high] = averaged(values, columns, rows, data.scanner === "container" ? 4 : 2, Float32Array, data.scale / 65535);
    this.texture(1, gl.RG16F, wide, high, gl.RG, gl.FLOAT, cells, gl.LINEAR);
    const { maps } = data;
    if (maps) {
      this.texture(2, gl.R8, maps.columns, maps.rows, gl.RED, gl.UNSIGNED_BYTE, maps.watched, gl.LINEAR);
      const both = new Float32Array(maps.rows * maps.columns * 2);
      for (let i = 0; i < maps.goods.length; i++) { both[2 * i] = maps.goods[i]; both[2 * i + 1] = maps.threat[i]; }
      this.texture(3, gl.RG16F, maps.columns, maps.rows, gl.RG, gl.FLOAT, both, gl.LINEAR);
    }
  }

  texture(unit, internal, width, height, format, type, values, filter) {
    const gl = this.gl;
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(gl.TEXTURE_2D, this.textures[unit]);
    for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, name, filter);
    for (const name of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, name, gl.CLAMP_TO_EDGE);
    gl.texImage2D(gl.TEXTURE_2D, 0, internal, width, height, 0, format, type, values);
  }

  /** Window and level from the scan itself: from open beam to all but the darkest hundredth. */
  autoWindow() {
    const { values, scale } = this.data, found = [], step = 2 * Math.max(1, Math.floor(values.length / 40000));
    for (let i = 0; i < values.length; i += step) found.push(Math.min(7.5, -Math.log(Math.max((values[i] * scale) / 65535, 5e-4))));
    found.sort((a, b) => a - b);
    const top = Math.max(0.8, found[Math.floor(0.985 * (found.length - 1))] + 0.2);
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
    const { gl, stage, data, options, place, span } = this;
    const ratio = window.devicePixelRatio || 1, w = Math.round(stage.clientWidth * ratio), h = Math.round(stage.clientHeight * ratio);
    for (const canvas of [this.picture, this.marks]) if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
    gl.viewport(0, 0, w, h);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    if (data) {
      const s = this.shrink, { maps } = data;
      gl.uniform2f(this.at.view, w, h);
      gl.uniform2f(this.at.size, Math.floor(data.columns / s), Math.floor(data.rows / s));
      gl.uniform3f(this.at.place, place.x / s, place.y / s, place.zoom * ratio * s);
      gl.uniform2f(this.at.cells, maps ? (maps.columns * maps.stride) / s : 1, maps ? (maps.rows * maps.stride) / s : 1);
      gl.uniform2f(this.at.range, ...RATIO[data.scanner]);
      gl.uniform1f(this.at.scale, data.scale);
      gl.uniform1f(this.at.width, span.width);
      gl.uniform1f(this.at.level, span.level);
      gl.uniform1f(this.at.edges, options.edge ? 1.6 : 0);
      gl.uniform1f(this.at.inverse, options.inverse ? 1 : 0);
      gl.uniform1f(this.at.heat, options.heat && maps ? 1 : 0);
      gl.uniform1f(this.at.heaviest, maps ? maps.heaviest : 1);
      gl.uniform1f(this.at.opaque, options.boxes && data.opaque.length ? OPAQUE[data.scanner] : 0);
      gl.uniform1f(this.at.thin, THIN[data.scanner]);
      gl.uniform1i(this.at.mode, options.mode === 3 && !maps ? 0 : options.mode);
      gl.drawArrays(gl.TRIANGLES, 0, 3);
    }
    this.paintMarks(ratio);
    this.told("view");
  }

  paintMarks(ratio) {
    const c = this.marks.getContext("2d"), { data, place, options } = this;
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, this.stage.clientWidth, this.stage.clientHeight);
    if (!data) return;
    const X = (x) => (x - place.x) * place.zoom, Y = (y) => (y - place.y) * place.zoom;
    c.font = "600 13px system-ui, sans-serif";
    c.textBaseline = "middle";
    if (options.boxes) {
      c.setLineDash([7, 5]);
      for (const { box: [x0, y0, x1, y1] } of data.opaque) {
        c.lineWidth = 4; c.strokeStyle = "#000b"; c.strokeRect(X(x0), Y(y0), X(x1) - X(x0), Y(y1) - Y(y0));
        c.lineWidth = 2; c.strokeStyle = "#ffd700"; c.strokeRect(X(x0), Y(y0), X(x1) - X(x0), Y(y1) - Y(y0));
        const long = c.measureText(t("no_penetration")).width + 10;
        c.fillStyle = "#000d"; c.fillRect(X(x0), Y(y1) + 3, long, 19);
        c.fillStyle = "#ffd700"; c.fillText(t("no_penetration"), X(x0) + 5, Y(y1) + 13);
      }
      c.setLineDash([]);
      data.regions.forEach((region, i) => {
        const [x0, y0, x1, y1] = region.box, colour = COLOURS[region.family] ?? "#5ae65a";
        const left = X(x0), top = Y(y0), wide = X(x1) - left, high = Y(y1) - top;
        c.lineWidth = 4; c.strokeStyle = "#000b"; c.strokeRect(left, top, wide, high);
        c.lineWidth = 2; c.strokeStyle = colour; c.strokeRect(left, top, wide, high);
        const text = `${i + 1} ${t(region.family)} ${Math.round(100 * region.probability)} %`;
        const long = c.measureText(text).width + 10, y = top > 22 ? top - 21 : Math.max(2, top + 3);
        const x = Math.max(2, Math.min(left, this.stage.clientWidth - long - 2));
        c.fillStyle = "#000d"; c.fillRect(x, y, long, 19);
        c.fillStyle = colour; c.fillText(text, x + 5, y + 10);
      });
    }
    this.paintScale(c);
    if (this.line) {
      const [x0, y0, x1, y1] = this.line;
      c.lineWidth = 4; c.strokeStyle = "#000b"; stroke(c, X(x0), Y(y0), X(x1), Y(y1));
      c.lineWidth = 2; c.strokeStyle = "#ffd24a"; stroke(c, X(x0), Y(y0), X(x1), Y(y1));
      const text = this.length(), long = c.measureText(text).width + 10;
      c.fillStyle = "#000d"; c.fillRect(X(x1) + 8, Y(y1) - 10, long, 20);
      c.fillStyle = "#ffd24a"; c.fillText(text, X(x1) + 13, Y(y1));
    }
  }

  /** A scale bar of a round length in the lower left corner. */
  paintScale(c) {
    const { data, place } = this;
    if (!data.pixel_mm) return;
    const wanted = (110 / place.zoom) * data.pixel_mm, power = 10 ** Math.floor(Math.log10(wanted));
    const millimetres = power * [5, 2, 1].find((n) => n * power <= wanted), long = (millimetres / data.pixel_mm) * place.zoom;
    const y = this.stage.clientHeight - 16, text = millimetres >= 1000 ? `${millimetres / 1000} m` : `${millimetres} mm`;
    c.fillStyle = "#000b"; c.fillRect(8, y - 18, Math.max(long, c.measureText(text).width) + 16, 28);
    c.fillStyle = "#e9edf1"; c.fillText(text, 16, y - 8); c.fillRect(16, y + 2, long, 3);
  }

  /** The ruler's length in words. */
  length() {
    if (!this.line) return "";
    const [x0, y0, x1, y1] = this.line, pixels = Math.hypot(x1 - x0, y1 - y0), mm = this.data.pixel_mm;
    if (!mm) return `${pixels.toFixed(0)} px`;
    return pixels * mm >= 1000 ? `${((pixels * mm) / 1000).toFixed(2)} m` : `${(pixels * mm).toFixed(0)} mm`;
  }

  /** What is at a point of the scan, or null outside of it. */
  at_(x, y) {
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

  listen() {
    const { stage } = this;
    const spot = (event) => {
      const box = stage.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    const scanned = ([x, y]) => [this.place.x + x / this.place.zoom, this.place.y + y / this.place.zoom];
    let held = null;
    stage.addEventListener("contextmenu", (event) => event.preventDefault());
    stage.addEventListener("pointerdown", (event) => {
      if (!this.data) return;
      stage.setPointerCapture(event.pointerId);
      const pans = event.button !== 0 || event.shiftKey;
      held = { kind: pans ? "pan" : this.options.ruler ? "ruler" : "window", at: spot(event) };
      if (held.kind === "ruler") { const p = scanned(held.at); this.line = [...p, ...p]; }
    });
    stage.addEventListener("pointermove", (event) => {
      const now = spot(event);
      if (held) {
        const dx = now[0] - held.at[0], dy = now[1] - held.at[1];
        if (held.kind === "pan") this.pan(dx, dy);
        else if (held.kind === "window") this.setSpan(this.span.width * Math.exp(dx / 220), this.span.level + (dy * this.span.width) / 350);
        else { this.line.splice(2, 2, ...scanned(now)); this.draw(); }
        if (held.kind !== "ruler") held.at = now;
      }
      this.told("pointer", this.at_(...scanned(now)));
    });
    for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, () => { held = null; });
    stage.addEventListener("pointerleave", () => this.told("pointer", null));
    stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomBy(Math.exp(-event.deltaY / 400), ...spot(event));
    }, { passive: false });
    stage.addEventListener("dblclick", () => this.fit());
    stage.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (!step || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      event.stopPropagation();
      if (event.shiftKey) this.setSpan(this.span.width * Math.exp(-0.12 * step[0]), this.span.level - 0.04 * this.span.width * step[1]);
      else this.pan(70 * step[0], 70 * step[1]);
    });
  }
}

function stroke(c, x0, y0, x1, y1) {
  c.beginPath();
  c.moveTo(x0, y0);
  c.lineTo(x1, y1);
  c.stroke();
}

/** Means over cells of n × n pixels, two channels interleaved. Averages of transmission, not of its logarithm. */
function averaged(values, columns, rows, n, Kind, factor) {
  const wide = Math.max(1, Math.floor(columns / n)), high = Math.max(1, Math.floor(rows / n)), out = new Kind(wide * high * 2);
  const unit = factor / (n * n), sums = new Float64Array(2 * wide);
  for (let y = 0; y < high; y++) {
    sums.fill(0);
    for (let dy = 0; dy < n; dy++) {
      let i = 2 * (y * n + dy) * columns;
      for (let x = 0; x < wide; x++) for (let dx = 0; dx < n; dx++) { sums[2 * x] += values[i++]; sums[2 * x + 1] += values[i++]; }
    }
    for (let x = 0; x < 2 * wide; x++) out[2 * y * wide + x] = sums[x] * unit;
  }
  return [out, wide, high];
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
