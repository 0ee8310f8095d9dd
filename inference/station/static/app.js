// The page: holds queue, viewer and panel together; live updates; keys.

import { $, RETRY_MS, ask, setCsrf, toast } from "./dom.js";
import { addUser, prepareSearch, search, searchAlike, showUsers, supervise } from "./pages.js";
import { askFound, askOverride, askPapers, showDecision, showHistory, showKeys, showMore, showVerdict } from "./panel.js";
import { Queue } from "./queue.js";
import { look, mode, prepareTools, ready, reset, toggle, viewer } from "./tools.js";
import { readMaps } from "./viewer.js";
import { language, setLanguage, t } from "./words.js";

const state = { detail: null, picture: null, person: null, view: "station", events: null, opening: 0, live: null };
const queue = new Queue((id) => open(id));

// --- the scan ---------------------------------------------------------------------------------------------------

async function open(id, keep = false) {
  const turn = ++state.opening;
  if (!keep) show("station");
  queue.current = id;
  if (state.picture?.id !== id) state.picture = null; // what is on its way for another scan comes too late
  queue.render();
  try {
    const detail = await ask(`/api/scans/${id}`);
    if (turn !== state.opening) return;
    state.detail = detail;
    panel();
    await picture(detail);
  } catch (error) {
    if (turn === state.opening && error.status !== 401) failed(id, turn, error);
  }
}

/** Bring a scan's picture onto the stage. A scan that is opened again while its picture is on its way waits for the same one. */
function picture(detail) {
  const { id, state: stands } = detail.summary;
  if (state.picture?.id === id && state.picture.stands === stands) return state.picture.done;
  const mine = state.picture = { id, stands };
  mine.done = draw(detail, () => state.picture === mine).catch((error) => {
    if (state.picture === mine) state.picture = null; // the next opening asks anew
    throw error;
  });
  return mine.done;
}

async function draw(detail, wanted) {
  const { id, name, state: stands, error, decision, rows, columns, scanner } = detail.summary;
  say(stands === "screened" ? "" : `${name}: ${error ?? t(stands)}`);
  if (stands !== "screened") return;
  const [pixels, maps] = await Promise.all([ask(`/api/scans/${id}/pixels`, { raw: true }), ask(`/api/scans/${id}/maps`, { raw: true }), ready]);
  if (!wanted()) return;
  say(viewer ? "" : t("no_webgl")); // verdict and decision work without the picture
  viewer?.show({
    values: new Uint16Array(pixels.bytes), scale: Number(pixels.headers.get("X-Leadline-Scale")), rows, columns, scanner, pixel_mm: detail.maps.pixel_mm,
    maps: readMaps(maps.bytes, detail.maps), regions: detail.line.regions, opaque: detail.line.quality.unpenetrated,
  });
  $("stage").dataset.scan = id;
  if (!decision) ask(`/api/scans/${id}/opened`, { method: "POST" }).catch(() => {});
}

/** Words in place of the picture: never one scan's picture beside another one's verdict. */
function say(text) {
  viewer?.clear();
  delete $("stage").dataset.scan;
  $("empty").hidden = !text;
  $("empty").textContent = text;
  delete $("empty").dataset.t; // another language must not bring back what stood here first
}

/** A scan could not be fetched: that is said, nothing of another scan stays beside it, and what may pass is tried again. */
function failed(id, turn, error) {
  const told = t("not_shown", queue.scans.get(id)?.name ?? id, error.message) + (error.passing ? ` · ${t("retrying")}` : "");
  if (state.detail?.summary.id !== id) {
    state.detail = null;
    for (const part of ["verdict", "decision", "more"]) $(part).replaceChildren();
  }
  if ($("stage").dataset.scan === id) toast(told);
  else {
    state.picture = null;
    say(told);
  }
  if (error.passing) setTimeout(() => { if (turn === state.opening) open(id, true); }, RETRY_MS);
}

function panel() {
  showVerdict(state.detail);
  showDecision(state.detail, actions);
  showMore(state.detail, actions);
}

/** The scan on the screen; none while another one that was asked for is on its way, so that no key decides the wrong one. */
const shown = () => (state.detail?.summary.id === queue.current ? state.detail.summary : null);

const actions = {
  open,
  async decide(decision) {
    const scan = shown();
    if (scan?.state !== "screened" && scan?.state !== "failed") return;
    const json = { decision };
    if (scan.verdict && scan.verdict !== decision) {
      const answer = await askOverride(scan.verdict, decision);
      if (!answer) return;
      Object.assign(json, answer);
    }
    await entered(ask(`/api/scans/${scan.id}/decision`, { method: "POST", json }));
  },
  async result(found) {
    const scan = shown();
    if (scan?.decision !== "inspect" || scan.result) return;
    const answer = found ? await askFound(state.detail.maps?.families ?? []) : {};
    if (answer) await entered(ask(`/api/scans/${scan.id}/result`, { method: "POST", json: { found, ...answer } }));
  },
  next() {
    const id = queue.beside(1);
    if (id && id !== queue.current) open(id);
  },
  look,
  alike(scan) {
    show("search", false);
    searchAlike(scan, open).catch((error) => toast(error.message));
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

/** What the queue begins with: the newest scans, those that nobody has decided, and every open alarm however old. */
async function firstScans() {
  const lists = ["limit=60", "open_only=true&limit=300", "open_only=true&verdict=inspect&limit=300", "open_only=true&verdict=rescan&limit=100"];
  return (await Promise.all(lists.map((query) => ask(`/api/scans?${query}`)))).flatMap((page) => page.scans);
}

function connected(live) {
  state.live = live;
  $("connection").textContent = t(live ? "connected" : "lost");
  $("connection").classList.toggle("lost", !live);
}

async function listen(scans) {
  for (const scan of scans) queue.put(scan, false);
  queue.render();
  if (queue.current) open(queue.current, true); else openFirst(); // it may have changed, or failed to come, while nobody told
  const after = Math.max(0, ...scans.map((s) => s.change));
  state.events?.close();
  const events = new EventSource(`/api/events?after=${after}`);
  state.events = events;
  events.onopen = () => connected(true);
  events.onerror = () => {
    connected(false);
    if (events.readyState === EventSource.CLOSED) setTimeout(begin, RETRY_MS);
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

function show(view, fill = true) {
  state.view = view;
  for (const main of document.querySelectorAll("main")) main.hidden = main.id !== view;
  for (const button of $("tabs").children) {
    if (button.dataset.view === view) button.setAttribute("aria-current", "page"); else button.removeAttribute("aria-current");
  }
  const load = { search: () => search(open), supervise, users: showUsers }[view];
  if (fill) load?.().catch((error) => toast(error.message));
}

function logIn() {
  state.events?.close();
  $("tabs").hidden = true;
  show("login");
  $("login-name").focus();
}

async function start() {
  let scans;
  try {
    [state.person, scans] = await Promise.all([ask("/api/session"), firstScans()]);
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
  await listen(scans);
}

/** Start, as often as it takes until the station answers. */
function begin() {
  start().catch((error) => {
    if (!error.passing) return toast(error.message);
    connected(false);
    setTimeout(begin, RETRY_MS);
  });
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

// --- keys and files ---------------------------------------------------------------------------------------------

function keys(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || $("dialog").open || state.view === "login") return;
  if (["TEXTAREA", "SELECT"].includes(event.target.tagName) || (event.target.tagName === "INPUT" && !["range", "checkbox", "file"].includes(event.target.type))) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (key === "?") { showKeys(); return; }
  if (state.view !== "station") return;
  const deeds = {
    c: () => actions.decide("clear"), i: () => actions.decide("inspect"), r: () => actions.decide("rescan"),
    j: actions.next, k: () => { const id = queue.beside(-1); if (id) open(id); },
    1: () => mode(0), 2: () => mode(1), 3: () => mode(2), 4: () => mode(3),
    v: () => toggle("inverse"), e: () => toggle("edge"), h: () => toggle("heat"), b: () => toggle("boxes"), m: () => toggle("ruler"),
    "+": () => viewer?.zoomBy(1.25), "=": () => viewer?.zoomBy(1.25), "-": () => viewer?.zoomBy(0.8), 0: reset,
    f: () => actions.result(true), x: () => actions.result(false), p: () => $("report")?.click(),
  };
  if (!(key in deeds)) return;
  event.preventDefault();
  deeds[key]();
}

/** Files that were dropped or chosen: the two of a pair go together; what is declared is asked for. */
async function send(files) {
  const scans = new Map();
  for (const file of files) {
    const stem = file.name.replace(/_(high|low)(\.[^.]+)$/i, "$2");
    scans.set(stem, [...(scans.get(stem) ?? []), file]);
  }
  const papers = await askPapers([...scans.keys()]);
  if (!papers) return;
  const last = (file) => Number(!/_high\./i.test(file.name)); // of a pair the high energy goes first
  for (const [name, parts] of scans) {
    const form = new FormData();
    for (const file of parts.sort((a, b) => last(a) - last(b))) form.append("file", file);
    for (const [key, value] of Object.entries(papers)) if (value) form.append(key, value);
    try {
      const { id } = await ask("/api/scans", { method: "POST", form });
      if (scans.size === 1) open(id, true);
      toast(t("sent", name), false);
    } catch (error) { toast(`${name}: ${error.message}`); }
  }
}

// --- beginning --------------------------------------------------------------------------------------------------

document.documentElement.dataset.theme = localStorage.getItem("theme") ?? "dark";
prepareTools();
$("open-only").addEventListener("change", () => queue.render());
for (const button of $("tabs").children) button.addEventListener("click", () => show(button.dataset.view));
$("language-button").addEventListener("click", () => speak(language() === "zh" ? "en" : "zh"));
$("theme-button").addEventListener("click", () => light(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
$("help-button").addEventListener("click", showKeys);
$("search-form").addEventListener("submit", (event) => { event.preventDefault(); search(open).catch((error) => toast(error.message)); });
$("user-form").addEventListener("submit", addUser);
$("file").addEventListener("change", async (event) => { await send([...event.target.files]); event.target.value = ""; });
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", name === "dragover");
    if (name === "drop" && event.dataTransfer.files.length) send([...event.dataTransfer.files]);
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
begin();
