// The panel on the right: verdict, reasons, decision, regions, record.

import { $, ask, el, lamp, toast } from "./dom.js";
import { language, t } from "./words.js";

export const OVERRIDES = ["explained_by_documents", "known_shipper", "looks_harmless", "looks_suspicious", "intelligence",
  "random_check", "image_artefact", "poor_image", "other"];
const CHOICES = [["clear", "C"], ["inspect", "I"], ["rescan", "R"]];

export const percent = (p) => (p > 0.99 && p < 1 ? "> 99 %" : p > 0 && p < 0.01 ? "< 1 %" : `${Math.round(100 * p)} %`);

export function mass(range) {
  if (!range || range.includes(null)) return "–";
  const [low, high] = range.map((kg) => (kg >= 1000 ? [round(kg / 1000), "t"] : kg >= 1 ? [round(kg), "kg"] : [round(1000 * kg), "g"]));
  if (low.join() === high.join()) return t("about", low.join(" "));
  return (low[1] === high[1] ? low[0] : low.join(" ")) + t("to") + high.join(" ");
}

const round = (value) => Number(value.toPrecision(2)).toString();

export const when = (seconds) => new Date(1000 * seconds).toLocaleString(language() === "zh" ? "zh-CN" : "en-GB");

export function showVerdict(detail) {
  const { summary: s, line, maps } = detail, word = s.verdict ?? s.state;
  const energies = [...new Set([maps?.high, maps?.low])].filter(Boolean).join(" / ");
  $("verdict").replaceChildren(
    el("div", { class: `banner is-${s.verdict ?? "none"}`, "data-verdict": word }, lamp(s.verdict), el("strong", {}, t(word)),
      line ? el("span", { class: "odds" }, el("b", { id: "score" }, s.score.toFixed(3)), el("small", {}, `${t("threshold")} ${s.threshold.toFixed(3)}`)) : null),
    line ? gauge(s.score, s.threshold) : el("p", { class: "facts" }, s.error ?? ""),
    el("p", { class: "facts" }, el("b", {}, s.container ?? s.name), s.container ? ` · ${s.name}` : "", el("br"),
      `${t("declared")}: `, el("b", {}, detail.declared[language()]), el("br"),
      `${t("arrived")} ${when(s.arrived)}`, line ? ` · ${s.columns} × ${s.rows}` : "", energies ? ` · ${energies}` : ""),
    line ? el("h3", {}, t("why")) : "",
    el("ul", { class: "reasons", id: "reasons" }, detail.reasons[language()].map((text) => el("li", {}, text))),
  );
}

/** Score against threshold on a scale from 0 to 1. */
function gauge(score, threshold) {
  const x = (v) => 4 + 292 * v, colour = score >= threshold ? "var(--inspect)" : "var(--dim)";
  return el("div", { class: "gauge", role: "img", "aria-label": `${t("score_of")} ${score.toFixed(3)}, ${t("threshold")} ${threshold.toFixed(3)}` },
    el("svg", { viewBox: "0 0 300 16", preserveAspectRatio: "none" },
      el("rect", { x: 4, y: 4, width: 292, height: 8, rx: 4, fill: "var(--raised)" }),
      el("rect", { x: 4, y: 4, width: Math.max(3, 292 * score), height: 8, rx: 4, fill: colour }),
      el("path", { d: `M${x(threshold)} 0v16`, stroke: "var(--ink)", "stroke-width": 2 })),
    el("small", {}, t("score_of")));
}

export function showDecision(detail, actions) {
  const s = detail.summary, box = $("decision");
  if (s.state !== "screened" && s.state !== "failed") return box.replaceChildren();
  const choices = el("div", { class: "choices", role: "group", "aria-label": t("decide") }, CHOICES.map(([word, key]) =>
    el("button", { type: "button", class: `is-${word}${s.verdict === word && !s.decision ? " suggested" : ""}`, "data-decide": word,
      "aria-pressed": String(s.decision === word), "aria-keyshortcuts": key, onclick: () => actions.decide(word) }, lamp(word), el("span", {}, t(word)), el("kbd", {}, key))));
  const told = s.decision && el("p", { class: "decided", id: "decided" }, `${t("decided")}: `, el("b", {}, t(s.decision)), ` ${t("by")} ${t(s.decided_by)}, ${when(s.decided_at)}`,
    s.override ? ` · ${t(s.override)}` : "", s.note ? ` · ${s.note}` : "");
  const next = s.decision && el("button", { type: "button", id: "next", "aria-keyshortcuts": "J", onclick: actions.next }, `${t("next")} `, el("kbd", {}, "J"));
  box.replaceChildren(choices, told ? el("div", { class: "told" }, told, next) : "", s.decision === "inspect" ? resultForm(s, actions) : "");
}

function resultForm(s, actions) {
  if (s.result) {
    return el("p", { class: "decided", id: "result" }, el("b", {}, t(s.result)), s.result_family ? `: ${t(s.result_family)}` : "",
      ` · ${t(s.result_by)}, ${when(s.result_at)}`, s.result_note ? ` · ${s.result_note}` : "");
  }
  return el("div", { class: "panel" }, el("h3", {}, t("result")), el("div", { class: "links" },
    el("button", { type: "button", id: "found", onclick: () => actions.result(true) }, `${t("found")} `, el("kbd", {}, "F")),
    el("button", { type: "button", id: "not-found", onclick: () => actions.result(false) }, `${t("not_found")} `, el("kbd", {}, "X"))));
}

export function showMore(detail, actions) {
  const { summary: s, line } = detail, box = $("more");
  if (!line) return box.replaceChildren();
  const regions = line.regions.length ? el("section", { class: "panel" }, el("h3", {}, t("regions")),
    el("table", { class: "regions" }, line.regions.map((r, i) => el("tr", {}, el("td", {}, String(i + 1)), el("td", {}, t(r.family)),
      el("td", { class: "n" }, percent(r.probability)), el("td", {}, mass(r.mass_kg)),
      el("td", {}, el("button", { type: "button", class: "link", onclick: () => actions.look(r.box) }, t("show"))))))) : "";
  const materials = el("section", { class: "panel" }, el("h3", {}, t("materials")), el("div", { class: "bars" },
    line.materials.filter((m) => m.probability >= 0.02).slice(0, 7).map((m) => [el("span", {}, t(m.family)),
      el("meter", { min: 0, max: 1, value: m.probability, "aria-label": `${t(m.family)} ${percent(m.probability)}` }), el("span", { class: "n" }, percent(m.probability))])));
  const path = `/api/scans/${s.id}/report`;
  const record = el("section", { class: "panel" }, el("h3", {}, t("record")), el("div", { class: "links" },
    el("a", { href: `${path}.${language()}.html`, target: "_blank", rel: "noopener", id: "report" }, t("report")),
    el("a", { href: `${path}.${language()}.pdf`, target: "_blank", rel: "noopener" }, t("report_pdf")),
    el("a", { href: `${path}.dcs`, download: "" }, t("report_dicos"))));
  const alike = el("section", { class: "panel" }, el("h3", {}, t("similar"), " ", el("button", { type: "button", class: "link", id: "all-similar", onclick: () => actions.alike(s) }, t("more_alike"))),
    el("div", { class: "similar", id: "similar" }));
  const history = el("section", { class: "panel" }, el("h3", {}, t("history")), el("ul", { class: "history", id: "history" }));
  box.replaceChildren(regions, materials, record, alike, history);
  ask(`/api/scans/${s.id}/similar?limit=6`).then((found) => {
    $("similar")?.replaceChildren(...(found.length ? found.map(({ scan, distance }) => el("button", { type: "button", onclick: () => actions.open(scan.id) },
      el("img", { src: `/api/scans/${scan.id}/thumbnail`, alt: "", loading: "lazy" }), el("span", { class: `is-${scan.verdict}` }, t(scan.verdict)),
      el("span", {}, scan.description ?? scan.container ?? scan.name), el("span", {}, `${t("distance")} ${distance.toFixed(2)}`))) : [el("span", { class: "facts" }, t("no_similar"))]));
  }, (error) => toast(error.message));
  showHistory(s.id);
}

export function showHistory(scan) {
  ask(`/api/scans/${scan}/history`).then((rows) => {
    $("history")?.replaceChildren(...rows.map((r) => el("li", {}, `${r.seq} · ${r.at.slice(0, 19).replace("T", " ")} · ${t(r.kind)}`,
      r.body.decision ? `: ${t(r.body.decision)}` : r.body.result ? `: ${t(r.body.result)}` : r.body.verdict ? `: ${t(r.body.verdict)}` : "",
      r.who ? ` · ${t(r.who)} ` : " ", el("code", {}, r.hash.slice(0, 16)))));
  }, () => {});
}

/** Asks why; gives {override, note}, or null if it was cancelled. */
export function askOverride(verdict, decision) {
  const options = OVERRIDES.map((key, i) => el("label", {}, el("input", { type: "radio", name: "override", value: key, required: true }), el("kbd", {}, String(i + 1)), t(key)));
  return askDialog(t("why_otherwise", t(verdict), t(decision)), [el("div", { class: "options" }, options), el("label", {}, t("note"), el("textarea", { name: "note", maxlength: 500 }))],
    t(decision), (form) => ({ override: form.get("override"), note: form.get("note") }));
}

export function askFound(families) {
  return askDialog(t("what_found"), [el("div", { class: "options" }, families.map((key, i) => el("label", {},
    el("input", { type: "radio", name: "family", value: key, required: true }), i < 9 ? el("kbd", {}, String(i + 1)) : "", t(key)))),
  el("label", {}, t("note"), el("textarea", { name: "note", maxlength: 500 }))], t("enter"), (form) => ({ family: form.get("family"), note: form.get("note") }));
}

/** Asks what is declared of files that are sent; gives {container, hs_code, description}, or null. */
export function askPapers(names) {
  const field = (name, key, most) => el("label", {}, t(key), el("input", { name, maxlength: most, autocomplete: "off" }));
  return askDialog(t("papers"), [el("p", { class: "facts" }, names.slice(0, 6).join(", ") + (names.length > 6 ? " …" : "")),
    el("div", { class: "fields" }, field("container", "container_number", 60), field("hs_code", "hs_code", 20), field("description", "goods", 400))],
  t("send"), (form) => Object.fromEntries(form));
}

/** A dialogue with a form; digits choose a radio button, Enter sends, Escape cancels. */
function askDialog(title, children, send, read) {
  const dialog = $("dialog");
  return new Promise((done) => {
    let answer = null;
    const form = el("form", { method: "dialog", onsubmit: (event) => { event.preventDefault(); answer = read(new FormData(form)); dialog.close(); } },
      el("h2", { id: "dialog-title" }, title), children,
      el("div", { class: "buttons" }, el("button", { type: "button", onclick: () => dialog.close() }, t("cancel")), el("button", { type: "submit", class: "main" }, send)));
    form.addEventListener("keydown", (event) => {
      if (event.target.tagName === "TEXTAREA") { if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); form.requestSubmit(); } return; }
      const chosen = /^[1-9]$/.test(event.key) && form.querySelectorAll("input[type=radio]")[Number(event.key) - 1];
      if (chosen) { chosen.checked = true; chosen.focus(); }
    });
    dialog.replaceChildren(form);
    const closed = () => {
      if (dialog.open) return; // the event of an earlier dialogue, which comes after this one was opened
      dialog.removeEventListener("close", closed);
      done(answer);
    };
    dialog.addEventListener("close", closed);
    dialog.showModal();
    form.querySelector("input")?.focus();
  });
}

export function showKeys() {
  const rows = [["C I R", "k_decide"], ["J K", "k_next"], ["1 2 3 4", "k_view"], ["V E H B M", "k_toggle"], ["+ − 0", "k_zoom"], ["Shift ←→↑↓", "k_window"],
    ["←→↑↓", "k_pan"], ["F X", "k_found"], ["P", "k_report"], ["?", "k_help"]];
  const dialog = $("dialog");
  dialog.replaceChildren(el("h2", { id: "dialog-title" }, t("keys_title")), el("dl", {}, rows.map(([keys, words]) =>
    [el("dt", {}, keys.split(" ").map((k) => [el("kbd", {}, k), " "])), el("dd", {}, t(words))])),
  el("div", { class: "buttons" }, el("button", { type: "button", class: "main", onclick: () => dialog.close() }, t("close"))));
  dialog.showModal();
}
