// The page: holds queue, viewer and panel together; live updates; keys.

import { $, ask, el, setCsrf, toast } from "./dom.js";
import { addUser, prepareSearch, search, showUsers, supervise } from "./pages.js";
import { askFound, askOverride, percent, showDecision, showHistory, showKeys, showMore, showVerdict } from "./panel.js";
import { Queue } from "./queue.js";
import { Viewer, readMaps } from "./viewer.js";
import { language, setLanguage, t } from "./words.js";

const state = { detail: null, person: null, view: "station", events: null, opening: 0, otherHeat: false, live: null };
const queue = new Queue((id) => open(id));
let viewer = null;

// --- the scan ---------------------------------------------------------------------------------------------------

async function open(id, keep = false) {
  const turn = ++state.opening;
  if (!keep) show("station");
  queue.current = id;
  queue.render();
  try {
    const detail = await ask(`/api/scans/${id}`);
    if (turn !== state.opening) return;
    const same = state.detail?.summary.id === id && state.detail.summary.state === detail.summary.state;
    state.detail = detail;
    panel();
    if (same) return;
    $("empty").hidden = detail.summary.state === "screened";
    $("empty").textContent = detail.summary.state === "screened" ? "" : `${detail.summary.name}: ${detail.summary.error ?? t(detail.summary.state)}`;
    if (detail.summary.state !== "screened") { viewer?.clear(); return; }
    const [pixels, maps] = await Promise.all([ask(`/api/scans/${id}/pixels`, { raw: true }), ask(`/api/scans/${id}/maps`, { raw: true })]);
    const [values, planes] = await Promise.all([pixels.arrayBuffer(), maps.arrayBuffer()]);
    if (turn !== state.opening) return;
    const { rows, columns, scanner } = detail.summary;
    viewer?.show({
      values: new Uint16Array(values), scale: Number(pixels.headers.get("X-Leadline-Scale")), rows, columns, scanner, pixel_mm: detail.maps.pixel_mm,
      maps: readMaps(planes, detail.maps), regions: detail.line.regions, opaque: detail.line.quality.unpenetrated,
    });
    $("stage").dataset.scan = id;
    if (!detail.summary.decision) ask(`/api/scans/${id}/opened`, { method: "POST" }).catch(() => {});
  } catch (error) {
    if (turn === state.opening && error.status !== 401) toast(error.message);
  }
}

function panel() {
  showVerdict(state.detail);
  showDecision(state.detail, actions);
  showMore(state.detail, actions);
}

const actions = {
  open,
  async decide(decision) {
    const scan = state.detail?.summary;
    if (!scan || (scan.state !== "screened" && scan.state !== "failed")) return;
    const json = { decision };
    if (scan.verdict && scan.verdict !== decision) {
      const answer = await askOverride(scan.verdict, decision);
      if (!answer) return;
      Object.assign(json, answer);
    }
    await entered(ask(`/api/scans/${scan.id}/decision`, { method: "POST", json }));
  },
  async result(found) {
    const scan = state.detail?.summary;
    if (scan?.decision !== "inspect" || scan.result) return;
    const answer = found ? await askFound(state.detail.maps?.families ?? []) : {};
    if (answer) await entered(ask(`/api/scans/${scan.id}/result`, { method: "POST", json: { found, ...answer } }));
  },
  look(box) {
    const [x0, y0, x1, y1] = box, zoom = Math.min(8, 0.5 * Math.min($("stage").clientWidth / (x1 - x0), $("stage").clientHeight / (y1 - y0)));
    viewer.place = { zoom, x: (x0 + x1) / 2 - $("stage").clientWidth / zoom / 2, y: (y0 + y1) / 2 - $("stage").clientHeight / zoom / 2 };
    viewer.fitted = false;
    viewer.draw();
  },
};

async function entered(request) {
  try {
    const summary = await request;
    queue.put(summary, false);
    queue.render();
    if (state.detail?.summary.id !== summary.id) return;
    state.detail.summary = summary;
    showDecision(state.detail, actions);
    showHistory(summary.id);
    $("decision").focus({ preventScroll: true });
  } catch (error) { toast(error.message); }
}

// --- live updates -----------------------------------------------------------------------------------------------

async function listen() {
  const first = await ask("/api/scans?limit=200");
  for (const scan of first.scans) queue.put(scan, false);
  queue.render();
  openFirst();
  const after = Math.max(0, ...first.scans.map((s) => s.change));
  state.events?.close();
  const events = new EventSource(`/api/events?after=${after}`);
  state.events = events;
  const connected = (live) => { state.live = live; $("connection").textContent = t(live ? "connected" : "lost"); $("connection").classList.toggle("lost", !live); };
  events.onopen = () => connected(true);
  events.onerror = () => {
    connected(false);
    if (events.readyState === EventSource.CLOSED) setTimeout(() => start().catch(() => {}), 3000);
  };
  events.addEventListener("login", () => { events.close(); logIn(); });
  let asked = false;
  events.addEventListener("scan", (event) => {
    const scan = JSON.parse(event.data);
    queue.put(scan, true);
    if (scan.id === queue.current && scan.change > (state.detail?.summary.change ?? 0)) open(scan.id, true);
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; queue.render(); openFirst(); });
  });
}

/** With nothing on the screen, the first in the queue comes up by itself. */
function openFirst() {
  if (queue.current) return;
  const scan = queue.list().find((s) => s.state === "screened" && !s.decision);
  if (scan) open(scan.id, true);
}

// --- views ------------------------------------------------------------------------------------------------------

function show(view) {
  state.view = view;
  for (const main of document.querySelectorAll("main")) main.hidden = main.id !== view;
  for (const button of $("tabs").children) {
    if (button.dataset.view === view) button.setAttribute("aria-current", "page"); else button.removeAttribute("aria-current");
  }
  const load = { search: () => search(open), supervise, users: showUsers }[view];
  load?.().catch((error) => toast(error.message));
}

function logIn() {
  state.events?.close();
  $("tabs").hidden = true;
  show("login");
  $("login-name").focus();
}

async function start() {
  try {
    state.person = await ask("/api/session");
  } catch (error) {
    if (error.status === 401) return logIn();
    throw error;
  }
  const { name, role, csrf, login } = state.person;
  setCsrf(csrf);
  $("person").textContent = login ? name : t(name);
  $("logout-button").hidden = !csrf;
  $("tabs").hidden = false;
  $("tabs").querySelector("[data-view=supervise]").hidden = !["supervisor", "admin"].includes(role);
  $("tabs").querySelector("[data-view=users]").hidden = role !== "admin" || !login;
  if (state.view === "login") show("station");
  await listen();
}

function speak(next) {
  setLanguage(next);
  $("language-button").textContent = next === "zh" ? "English" : "中文";
  $("language-button").lang = next === "zh" ? "en" : "zh-CN";
  prepareSearch();
  light(document.documentElement.dataset.theme);
  if (state.live !== null) $("connection").textContent = t(state.live ? "connected" : "lost");
  if (state.person) $("person").textContent = state.person.login ? state.person.name : t(state.person.name);
  queue.render();
  if (state.detail) panel();
  if (state.view !== "station" && state.view !== "login") show(state.view);
  viewer?.draw();
}

function light(theme) {
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
  $("theme-button").textContent = t(theme === "dark" ? "light" : "dark");
}

// --- the viewer's tools -----------------------------------------------------------------------------------------

const TOGGLES = { inverse: "inverse", edge: "edge", heat: "heat", boxes: "boxes", ruler: "ruler" };

function toggle(name) {
  const on = !viewer.options[name];
  $(name).setAttribute("aria-pressed", String(on));
  viewer.set(name, on);
}

function mode(number) {
  const coloured = number >= 2;
  if (coloured !== viewer.options.mode >= 2) { // a heat map over colours hides them: each keeps its own setting
    [state.otherHeat, viewer.options.heat] = [viewer.options.heat, state.otherHeat];
    $("heat").setAttribute("aria-pressed", String(viewer.options.heat));
  }
  viewer.set("mode", number);
  for (const button of document.querySelectorAll("[data-mode]")) {
    const on = Number(button.dataset.mode) === number;
    button.setAttribute("aria-checked", String(on));
    button.tabIndex = on ? 0 : -1;
  }
}

function told(kind, what) {
  if (kind === "pointer") return readout(what);
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
  if (!at) { box.textContent = viewer.line ? viewer.length() : ""; return; }
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

function keys(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || $("dialog").open || state.view === "login") return;
  if (["TEXTAREA", "SELECT"].includes(event.target.tagName) || (event.target.tagName === "INPUT" && !["range", "checkbox", "file"].includes(event.target.type))) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (key === "?") { showKeys(); return; }
  if (state.view !== "station") return;
  const deeds = {
    c: () => actions.decide("clear"), i: () => actions.decide("inspect"), r: () => actions.decide("rescan"),
    j: () => { const id = queue.beside(1); if (id) open(id); }, k: () => { const id = queue.beside(-1); if (id) open(id); },
    1: () => mode(0), 2: () => mode(1), 3: () => mode(2), 4: () => mode(3),
    v: () => toggle("inverse"), e: () => toggle("edge"), h: () => toggle("heat"), b: () => toggle("boxes"), m: () => toggle("ruler"),
    "+": () => viewer.zoomBy(1.25), "=": () => viewer.zoomBy(1.25), "-": () => viewer.zoomBy(0.8), 0: () => { viewer.autoWindow(); viewer.fit(); },
    f: () => actions.result(true), x: () => actions.result(false), p: () => $("report")?.click(),
  };
  if (!(key in deeds)) return;
  event.preventDefault();
  deeds[key]();
}

async function send(files) {
  const groups = [...files];
  const pairs = new Map();
  for (const file of groups) {
    const stem = file.name.replace(/_(high|low)(\.[^.]+)$/i, "$2");
    pairs.set(stem, [...(pairs.get(stem) ?? []), file]);
  }
  for (const [name, parts] of pairs) {
    const form = new FormData();
    for (const file of parts.sort((a, b) => (/_high\./i.test(a.name) ? -1 : /_high\./i.test(b.name) ? 1 : 0))) form.append("file", file);
    try {
      const { id } = await ask("/api/scans", { method: "POST", form });
      if (parts === [...pairs.values()][0]) queue.current = id;
      toast(t("sent", name));
    } catch (error) { toast(`${name}: ${error.message}`); }
  }
}

// --- beginning --------------------------------------------------------------------------------------------------

document.documentElement.dataset.theme = localStorage.getItem("theme") ?? "dark";
try {
  viewer = new Viewer($("stage"), $("picture"), $("marks"), told);
} catch (error) {
  $("empty").textContent = error.message;
}
for (const name of Object.keys(TOGGLES)) $(name).addEventListener("click", () => toggle(name));
for (const button of document.querySelectorAll("[data-mode]")) button.addEventListener("click", () => mode(Number(button.dataset.mode)));
document.querySelector("[role=radiogroup]").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: 3, ArrowUp: 3 }[event.key];
  if (!step) return;
  event.preventDefault();
  mode((viewer.options.mode + step) % 4);
  document.querySelector(`[data-mode="${viewer.options.mode}"]`).focus();
});
$("zoom-in").addEventListener("click", () => viewer.zoomBy(1.25));
$("zoom-out").addEventListener("click", () => viewer.zoomBy(0.8));
$("zoom-one").addEventListener("click", () => viewer.zoomTo(1));
$("reset").addEventListener("click", () => { if (viewer.data) { viewer.autoWindow(); viewer.fit(); } });
for (const name of ["window", "level"]) $(name).addEventListener("input", () => viewer.setSpan(Number($("window").value), Number($("level").value)));
$("open-only").addEventListener("change", () => queue.render());
for (const button of $("tabs").children) button.addEventListener("click", () => show(button.dataset.view));
$("language-button").addEventListener("click", () => speak(language() === "zh" ? "en" : "zh"));
$("theme-button").addEventListener("click", () => light(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
$("help-button").addEventListener("click", showKeys);
$("search-form").addEventListener("submit", (event) => { event.preventDefault(); search(open).catch((error) => toast(error.message)); });
$("user-form").addEventListener("submit", addUser);
$("file").addEventListener("change", async (event) => { await send(event.target.files); event.target.value = ""; });
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", name === "dragover");
    if (name === "drop" && event.dataTransfer.files.length) send(event.dataTransfer.files);
  });
}
document.addEventListener("keydown", keys);
document.addEventListener("login-needed", logIn);
$("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await ask("/api/session", { method: "POST", json: { name: $("login-name").value, password: $("login-password").value } });
    $("login-message").textContent = "";
    $("login-password").value = "";
    await start();
  } catch (error) { $("login-message").textContent = error.message; }
});
$("logout-button").addEventListener("click", async () => { await ask("/api/session", { method: "DELETE" }).catch(() => {}); location.reload(); });
speak(localStorage.getItem("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en"));
start().catch((error) => toast(error.message));
