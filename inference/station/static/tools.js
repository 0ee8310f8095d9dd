// The viewer's tools: views, switches, zoom, window and level by sliders, and the line of what is under the pointer.

import { $, el } from "./dom.js";
import { percent } from "./panel.js";
import { Viewer } from "./viewer.js";
import { language, t } from "./words.js";

export const TOGGLES = ["inverse", "edge", "heat", "boxes", "ruler"];

/** The viewer, null until it is ready and where the browser cannot draw it. */
export let viewer = null;
let otherHeat = false;

/** The GPU is set up after the page was drawn for the first time: it takes longer than all the rest. */
export const ready = new Promise((done) => requestAnimationFrame(() => setTimeout(() => {
  try {
    viewer = new Viewer($("stage"), $("picture"), $("marks"), told);
  } catch (error) {
    $("empty").textContent = error.message;
  }
  done();
})));

export function toggle(name) {
  if (!viewer) return;
  const on = !viewer.options[name];
  $(name).setAttribute("aria-pressed", String(on));
  viewer.set(name, on);
}

export function mode(number) {
  if (!viewer) return;
  const coloured = number >= 2;
  if (coloured !== viewer.options.mode >= 2) { // a heat map over colours hides them: each keeps its own setting
    [otherHeat, viewer.options.heat] = [viewer.options.heat, otherHeat];
    $("heat").setAttribute("aria-pressed", String(viewer.options.heat));
  }
  viewer.set("mode", number);
  for (const button of document.querySelectorAll("[data-mode]")) {
    const on = Number(button.dataset.mode) === number;
    button.setAttribute("aria-checked", String(on));
    button.tabIndex = on ? 0 : -1;
  }
}

export function reset() {
  if (!viewer?.data) return;
  viewer.autoWindow();
  viewer.fit();
}

/** Bring a region of the scan to the middle. */
export function look([x0, y0, x1, y1]) {
  if (!viewer) return;
  const { clientWidth: w, clientHeight: h } = $("stage"), zoom = Math.min(8, 0.5 * Math.min(w / (x1 - x0), h / (y1 - y0)));
  viewer.place = { zoom, x: (x0 + x1) / 2 - w / zoom / 2, y: (y0 + y1) / 2 - h / zoom / 2 };
  viewer.fitted = false;
  viewer.draw();
}

/** Let the buttons and sliders work. */
export function prepareTools() {
  for (const name of TOGGLES) $(name).addEventListener("click", () => toggle(name));
  for (const button of document.querySelectorAll("[data-mode]")) button.addEventListener("click", () => mode(Number(button.dataset.mode)));
  document.querySelector("[role=radiogroup]").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: 3, ArrowUp: 3 }[event.key];
    if (!step || !viewer) return;
    event.preventDefault();
    mode((viewer.options.mode + step) % 4);
    document.querySelector(`[data-mode="${viewer.options.mode}"]`).focus();
  });
  $("zoom-in").addEventListener("click", () => viewer?.zoomBy(1.25));
  $("zoom-out").addEventListener("click", () => viewer?.zoomBy(0.8));
  $("zoom-one").addEventListener("click", () => viewer?.zoomTo(1));
  $("reset").addEventListener("click", reset);
  for (const name of ["window", "level"]) $(name).addEventListener("input", () => viewer?.setSpan(Number($("window").value), Number($("level").value)));
}

let under = null, scan = null;

/** The viewer tells what is under the pointer, and that its view has changed. */
function told(kind, what) {
  if (kind === "pointer") under = what;
  else if (scan !== viewer.data) under = null; // what was under the pointer belonged to another scan
  scan = viewer.data;
  readout(under);
  if (kind === "pointer") return;
  $("window").value = viewer.span.width;
  $("level").value = viewer.span.level;
  $("window").setAttribute("aria-valuetext", viewer.span.width.toFixed(2));
  $("level").setAttribute("aria-valuetext", viewer.span.level.toFixed(2));
  $("zoom-one").textContent = viewer.data ? `${Math.round(100 * viewer.place.zoom)} %` : "1:1";
  const { mode: shown } = viewer.options, legend = $("legend"), key = `${shown}${language()}${viewer.data?.maps?.heaviest}${Boolean(viewer.data)}`;
  if (legend.dataset.key === key) return;
  legend.dataset.key = key;
  legend.replaceChildren(...(!viewer.data || shown < 2 ? [] : shown === 2
    ? [el("span", {}, t("light_goods")), el("i", { class: "ramp-ratio" }), el("span", {}, t("heavy_goods"))]
    : [el("span", {}, "0"), el("i", { class: "ramp-areal" }), el("span", {}, `${viewer.data.maps.heaviest.toFixed(0)} g/cm²`)]));
}

function readout(at) {
  const box = $("readout");
  const hint = !at && !viewer.line && Boolean(viewer.data);
  box.classList.toggle("hint", hint);
  if (!at) { box.textContent = viewer.line ? `${t("ruler")} ${viewer.length()}` : hint ? t("hint") : ""; return; }
  const number = (v) => (v >= 0.1 ? v.toFixed(3) : v.toPrecision(3));
  const parts = [`x ${at.column}, y ${at.row}`, `${t("high")} ${number(at.high)}`, `${t("low")} ${number(at.low)}`];
  if (at.high > 2e-5 && at.high < 0.95 && at.low > 2e-5) parts.push(`${t("ratio")} ${(Math.log(at.low) / Math.log(at.high)).toFixed(2)}`);
  if (at.goods !== undefined) {
    parts.push(`${t("goods_here")} ${at.goods.toPrecision(3)} g/cm²`);
    if (at.threat > 0.05) parts.push(`${t("watched_here")} ${at.threat.toPrecision(2)} g/cm²`);
    if (at.high > 0.93) parts.push(t("air"));
    else if (at.high < 2e-4) parts.push(t("no_penetration"));
    else if (at.probability > 0.2) parts.push(`${t(at.family)} ${percent(at.probability)}`);
  }
  if (viewer.line) parts.push(`${t("ruler")} ${viewer.length()}`);
  box.textContent = parts.join(" · ");
}
