// The other views: search, the supervisor's figures, users.

import { $, ask, el, lamp, toast } from "./dom.js";
import { when } from "./panel.js";
import { t } from "./words.js";

const WORDS = ["clear", "inspect", "rescan"];
const ROLES = ["machine", "operator", "supervisor", "admin"];

function options(select, words, first) {
  const chosen = select.value;
  select.replaceChildren(...(first ? [el("option", { value: "" }, t(first))] : []), ...words.map((word) => el("option", { value: word }, t(word))));
  select.value = words.includes(chosen) ? chosen : first ? "" : words[0];
}

export function prepareSearch() {
  options($("search-verdict"), WORDS, "any");
  options($("search-decision"), [...WORDS, "undecided"], "any");
  options($("user-role"), ROLES.slice(), null);
}

export async function search(open) {
  const query = new URLSearchParams({ text: $("search-text").value, limit: "200" });
  const verdict = $("search-verdict").value, decision = $("search-decision").value;
  if (verdict) query.set("verdict", verdict);
  if (decision === "undecided") query.set("open_only", "true"); else if (decision) query.set("decision", decision);
  const day = (id) => $(id).value && new Date(`${$(id).value}T00:00:00`).getTime() / 1000;
  if (day("search-since")) query.set("since", day("search-since"));
  if (day("search-until")) query.set("until", day("search-until") + 86400);
  const page = await ask(`/api/scans?${query}`);
  $("search-count").textContent = t("hits", page.total);
  table(page.scans.map((scan) => ({ scan })), open);
}

/** The scans that the network sees alike, in place of the search's hits. */
export async function searchAlike(scan, open) {
  const found = await ask(`/api/scans/${scan.id}/similar?limit=50`);
  $("search-count").textContent = t("alike", scan.container ?? scan.name);
  table(found, open);
}

function table(found, open) {
  const heads = ["verdict", "container", "declared", "score", "arrived", "decision", "file", found[0]?.distance === undefined ? "" : "distance"];
  $("search-table").replaceChildren(
    el("thead", {}, el("tr", {}, heads.map((key) => (key ? el("th", { scope: "col", class: key === "score" || key === "distance" ? "n" : null }, t(key)) : el("td", {}))))),
    el("tbody", {}, found.map(({ scan: s, distance }) => el("tr", {}, el("td", { class: "tight" }, lamp(s.verdict), t(s.verdict ?? s.state)),
      el("td", {}, el("button", { type: "button", class: "link", "data-open": s.id, onclick: () => open(s.id) }, s.container ?? s.name)),
      el("td", {}, s.description ?? "", s.hs_code ? ` HS ${s.hs_code}` : ""), el("td", { class: "n" }, s.score === null ? "" : s.score.toFixed(3)),
      el("td", { class: "tight" }, when(s.arrived)), el("td", {}, s.decision ? t(s.decision) : "", s.result ? ` · ${t(s.result)}` : ""), el("td", { class: "file" }, s.container ? s.name : ""),
      distance !== undefined ? el("td", { class: "n" }, distance.toFixed(3)) : el("td", { class: "n" }, s.verdict
        ? el("button", { type: "button", class: "link", "data-alike": s.id, "aria-label": t("alike", s.container ?? s.name), onclick: () => searchAlike(s, open).catch((error) => toast(error.message)) }, t("like_this")) : "")))));
}

const share = (a, b) => (b ? `${Math.round((100 * a) / b)} %` : "–");
const figure = (value) => (value === null ? "–" : Number(value.toPrecision(3)).toString());

export async function supervise() {
  const view = await ask("/api/overview"), box = $("overview");
  if (!view.periods.length) return box.replaceChildren(el("p", {}, t("no_scans")));
  const sum = (key) => view.periods.reduce((total, p) => total + p[key], 0);
  const times = view.periods.filter((p) => p.seconds !== null), last = times.at(-1);
  const inspectedAlarms = sum("false_alarms") + sum("found");
  const tile = (value, key, warn) => el("div", { class: `tile${warn ? " warn" : ""}` }, el("b", {}, value), el("span", {}, t(key)));
  const charts = [["agreement", (p) => (p.decided ? (100 * p.agreed) / p.decided : null), "%"], ["alarms", (p) => (100 * p.alarms) / p.scans, "%"],
    ["false_alarms", (p) => (p.false_alarms + p.found ? (100 * p.false_alarms) / (p.false_alarms + p.found) : null), "%"], ["per_scan", (p) => p.seconds, "s"],
    ["mean_score", (p) => p.mean_score, ""], ["noise", (p) => (p.noise === null ? null : 100 * p.noise), "%"],
    ["unpenetrated", (p) => (p.unpenetrated === null ? null : 100 * p.unpenetrated), "%"], ["novelty", (p) => p.novelty, ""]];
  box.replaceChildren(
    el("div", { class: "tiles" }, tile(String(sum("scans")), "scans"), tile(String(sum("alarms")), "alarms"), tile(share(sum("agreed"), sum("decided")), "agreement"),
      tile(share(sum("false_alarms"), inspectedAlarms), "false_alarms"), tile(String(sum("found")), "found_n"), tile(last ? `${last.seconds} s` : "–", "per_scan")),
    el("h3", {}, t("drift")), drift(view.drift),
    el("div", { class: "charts" }, charts.map(([key, value, unit]) => chart(t(key), view.periods.map((p) => [p.start, value(p)]), unit, view.period_s))),
    Object.keys(view.overrides).length ? el("section", {}, el("h3", {}, t("overrides")), el("table", {}, Object.entries(view.overrides).sort((a, b) => b[1] - a[1])
      .map(([key, n]) => el("tr", {}, el("th", { scope: "row" }, t(key)), el("td", { class: "n" }, String(n)))))) : "",
    el("p", { class: "row" }, el("button", { type: "button", id: "check-ledger", onclick: checkLedger }, t("ledger_check")),
      el("a", { href: "/api/labels.csv", download: "labels.csv" }, t("labels"))),
    el("p", { id: "ledger-state", role: "status", class: "facts" }));
}

async function checkLedger() {
  try {
    const state = await ask("/api/ledger");
    $("ledger-state").textContent = state.intact ? t("ledger_good", state.rows, state.head) : t("ledger_bad", state.problems.join("; "));
  } catch (error) { toast(error.message); }
}

/** A figure of the drift as in its chart: shares in per cent. */
const shown = (d, value) => (["noise", "unpenetrated", "open_beam"].includes(d.name) ? `${figure(100 * value)} %` : figure(value));

function drift(rows) {
  if (!rows.length) return el("p", { class: "facts" }, t("drift_none"));
  return el("table", {}, el("thead", {}, el("tr", {}, ["figure", "first", "now", "deviations", ""].map((key, i) => el("th", { scope: "col", class: i > 0 && i < 4 ? "n" : null }, key && t(key))))),
    rows.map((d) => el("tr", {}, el("th", { scope: "row" }, t(d.name === "score" ? "mean_score" : d.name)), el("td", { class: "n" }, shown(d, d.first)), el("td", { class: "n" }, shown(d, d.now)),
      el("td", { class: "n" }, d.deviations.toFixed(1)), el("td", { class: d.warning ? "is-inspect" : "is-clear" }, d.warning ? `▲ ${t("drift_warning")}` : `● ${t("steady")}`))));
}

/** A line over time; a table of the same for who cannot see it is in the label. */
function chart(title, points, unit, period) {
  const known = points.filter(([, v]) => v !== null);
  if (!known.length) return "";
  const values = known.map(([, v]) => v), top = Math.max(...values, unit === "%" ? 1 : 1e-9) * 1.1, from = points[0][0], to = Math.max(points.at(-1)[0], from + period);
  const x = (at) => 44 + (346 * (at - from)) / (to - from), y = (v) => 108 - (94 * v) / top;
  const day = (at) => new Date(1000 * at).toISOString().slice(5, 10);
  const label = `${title}: ${known.map(([at, v]) => `${day(at)} ${figure(v)} ${unit}`).join(", ")}`;
  return el("figure", { class: "chart" }, el("figcaption", {}, title, el("span", { class: "key" }, `${figure(values.at(-1))} ${unit}`)),
    el("svg", { viewBox: "0 0 400 128", role: "img", "aria-label": label },
      el("path", { d: "M44 14V108H390", stroke: "var(--line)", fill: "none" }),
      [0, 0.5, 1].map((s) => el("text", { x: 40, y: 112 - 94 * s / 1.1, "text-anchor": "end", "font-size": 11, fill: "var(--dim)" }, figure((top / 1.1) * s))),
      el("polyline", { points: known.map(([at, v]) => `${x(at)},${y(v)}`).join(" "), fill: "none", stroke: "var(--accent)", "stroke-width": 2 }),
      known.map(([at, v]) => el("circle", { cx: x(at), cy: y(v), r: 3, fill: "var(--accent)" })),
      el("text", { x: 44, y: 124, "font-size": 11, fill: "var(--dim)" }, day(from)), el("text", { x: 390, y: 124, "text-anchor": "end", "font-size": 11, fill: "var(--dim)" }, day(points.at(-1)[0]))));
}

export async function showUsers() {
  const users = await ask("/api/users");
  $("user-table").replaceChildren(el("thead", {}, el("tr", {}, ["name", "role", "", ""].map((key) => el("th", { scope: "col" }, key && t(key))))),
    ...users.map((u) => el("tr", {}, el("td", {}, u.name), el("td", {}, t(u.role)), el("td", {}, u.locked ? t("locked") : ""),
      el("td", {}, el("button", { type: "button", "aria-label": `${t("remove")} ${u.name}`, onclick: () => change(() => ask(`/api/users/${u.name}`, { method: "DELETE" })) }, t("remove"))))));
}

async function change(action) {
  try {
    await action();
    $("user-message").textContent = "";
  } catch (error) { $("user-message").textContent = error.message; }
  await showUsers();
}

export function addUser(event) {
  event.preventDefault();
  const json = { name: $("user-name").value, role: $("user-role").value, password: $("user-password").value };
  change(async () => { await ask("/api/users", { method: "POST", json }); event.target.reset(); });
}
