// The picture on the GPU: the scan's 16-bit values and the model's maps as textures, drawn in two passes.

import { PLACE, TONE, VERTEX } from "./shader.js";
import { t } from "./words.js";

const RATIO = { parcel: [1.15, 2.3], container: [1.0, 1.16] };
const THIN = { parcel: 0.03, container: 0.09 }; // attenuation below which the ratio is noise and stays grey
export const OPAQUE = { parcel: 5e-4, container: 2e-4 };
const INPUTS = ["scan", "smoothed", "evidence", "areal"], BETWEEN = ["measured", "told"];
const PLACE_VALUES = ["view", "size", "cells", "range", "place", "scale", "cell", "heaviest", "opaque", "thin"];
const TONE_VALUES = ["width", "level", "edges", "inverse", "heat", "marked", "height", "mode", "apart"];

export class Gpu {
  /** Throws an error with words for people where the browser has no WebGL2. */
  constructor(canvas, lost) {
    this.canvas = canvas;
    this.gl = canvas.getContext("webgl2", { antialias: false, preserveDrawingBuffer: true, alpha: true, premultipliedAlpha: true });
    if (!this.gl) throw new Error(t("no_webgl"));
    this.build();
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => { this.build(); lost(); });
  }

  build() {
    const gl = this.gl;
    gl.bindVertexArray(gl.createVertexArray());
    this.place = this.program(PLACE, [...INPUTS, ...PLACE_VALUES]);
    INPUTS.forEach((name, unit) => gl.uniform1i(this.place.at[name], unit));
    this.tone = this.program(TONE, [...BETWEEN, ...TONE_VALUES]);
    BETWEEN.forEach((name, i) => gl.uniform1i(this.tone.at[name], INPUTS.length + i));
    this.textures = [...INPUTS, ...BETWEEN].map(() => gl.createTexture());
    this.frame = gl.createFramebuffer();
    this.drawn = "";
  }

  program(fragment, names) {
    const gl = this.gl, program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) throw new Error(gl.getProgramInfoLog(program));
    gl.useProgram(program);
    return { program, at: Object.fromEntries(names.map((name) => [name, gl.getUniformLocation(program, name)])) };
  }

  texture(unit, internal, width, height, format, type, values, filter) {
    const gl = this.gl;
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(gl.TEXTURE_2D, this.textures[unit]);
    for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, name, filter);
    for (const name of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, name, gl.CLAMP_TO_EDGE);
    gl.texImage2D(gl.TEXTURE_2D, 0, internal, width, height, 0, format, type, values);
  }

  upload(data) {
    const { gl } = this, most = gl.getParameter(gl.MAX_TEXTURE_SIZE), { maps } = data;
    let { values, columns, rows } = data;
    let shrink = 1;
    while (columns / shrink > most || rows / shrink > most) shrink *= 2;
    if (shrink > 1) [values, columns, rows] = averaged(values, columns, rows, shrink, Uint16Array, 1);
    this.shrink = shrink;
    this.cell = data.scanner === "container" ? 4 : 2;
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    this.texture(0, gl.RG16UI, columns, rows, gl.RG_INTEGER, gl.UNSIGNED_SHORT, values, gl.NEAREST);
    const [cells, wide, high] = averaged(values, columns, rows, this.cell, Float32Array, data.scale / 65535);
    this.texture(1, gl.RG16F, wide, high, gl.RG, gl.FLOAT, cells, gl.LINEAR);
    if (maps) {
      this.texture(2, gl.R8, maps.columns, maps.rows, gl.RED, gl.UNSIGNED_BYTE, maps.watched, gl.LINEAR);
      const both = new Float32Array(maps.rows * maps.columns * 2);
      for (let i = 0; i < maps.goods.length; i++) { both[2 * i] = maps.goods[i]; both[2 * i + 1] = maps.threat[i]; }
      this.texture(3, gl.RG16F, maps.columns, maps.rows, gl.RG, gl.FLOAT, both, gl.LINEAR);
    }
    this.drawn = "";
    this.serial = (this.serial ?? 0) + 1;
  }

  /** Draw a scan, or nothing: `place` of the upper left corner and zoom, in screen pixels; window `span`; `options`. */
  paint(data, place, span, options, ratio) {
    const { gl } = this, { width: w, height: h } = this.canvas;
    if (!w || !h) return; // not on the screen
    gl.viewport(0, 0, w, h);
    if (!data) {
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT);
      this.drawn = "";
      return;
    }
    const key = [place.x, place.y, place.zoom, w, h].join();
    if (key !== this.drawn) this.paintPlace(data, place, w, h, ratio);
    this.drawn = key;
    const { at, program } = this.tone;
    gl.useProgram(program);
    gl.uniform1f(at.width, span.width);
    gl.uniform1f(at.level, span.level);
    gl.uniform1f(at.edges, options.edge ? 1.6 : 0);
    gl.uniform1f(at.inverse, options.inverse ? 1 : 0);
    gl.uniform1f(at.heat, options.heat && data.maps ? 1 : 0);
    gl.uniform1f(at.marked, options.boxes && data.opaque.length ? 1 : 0);
    gl.uniform1f(at.height, h);
    gl.uniform1i(at.mode, options.mode === 3 && !data.maps ? 0 : options.mode);
    gl.uniform1i(at.apart, Math.max(1, Math.round(place.zoom * ratio)));
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  paintPlace(data, place, w, h, ratio) {
    const { gl, shrink: s } = this, { maps, scanner } = data, { at, program } = this.place, first = INPUTS.length;
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.frame);
    if (this.between !== `${w},${h}` || !this.drawn) {
      this.between = `${w},${h}`;
      this.texture(first, gl.RGBA16UI, w, h, gl.RGBA_INTEGER, gl.UNSIGNED_SHORT, null, gl.NEAREST);
      this.texture(first + 1, gl.RGBA8, w, h, gl.RGBA, gl.UNSIGNED_BYTE, null, gl.NEAREST);
      BETWEEN.forEach((_, i) => gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0 + i, gl.TEXTURE_2D, this.textures[first + i], 0));
      gl.drawBuffers([gl.COLOR_ATTACHMENT0, gl.COLOR_ATTACHMENT1]);
    }
    gl.useProgram(program);
    gl.uniform2f(at.view, w, h);
    gl.uniform2f(at.size, Math.floor(data.columns / s), Math.floor(data.rows / s));
    gl.uniform3f(at.place, place.x / s, place.y / s, place.zoom * ratio * s);
    gl.uniform2f(at.cells, maps ? (maps.columns * maps.stride) / s : 1, maps ? (maps.rows * maps.stride) / s : 1);
    gl.uniform2f(at.range, ...RATIO[scanner]);
    gl.uniform1f(at.scale, data.scale);
    gl.uniform1f(at.cell, this.cell);
    gl.uniform1f(at.heaviest, maps ? maps.heaviest : 1);
    gl.uniform1f(at.opaque, OPAQUE[scanner]);
    gl.uniform1f(at.thin, THIN[scanner]);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
  }
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
