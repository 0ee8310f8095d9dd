// The queue: who waits, the newest alarm first.

import { $, el, lamp } from "./dom.js";
import { t } from "./words.js";

const RANK = { inspect: 0, rescan: 1, failed: 2, working: 3, queued: 3, clear: 4 };

export class Queue {
  constructor(open) {
    this.scans = new Map();
    this.cards = new Map();
    this.open = open;
    this.current = null;
    this.skew = 0; // the server's clock against this one, seconds
    setInterval(() => this.times(), 1000);
  }

  put(scan, live) {
    const before = this.scans.get(scan.id);
    if (before && before.change >= scan.change) return;
    scan.fresh = live && scan.verdict === "inspect" && !scan.decision && before?.verdict !== "inspect";
    if (live && scan.judged && !before?.judged) this.skew = Math.max(this.skew, scan.judged - Date.now() / 1000);
    this.scans.set(scan.id, scan);
  }

  /** Those shown, in their order. */
  list() {
    const openOnly = $("open-only").checked;
    const rank = (s) => (s.decision ? 10 : 0) + RANK[s.verdict ?? s.state];
    return [...this.scans.values()].filter((s) => !openOnly || !s.decision || s.id === this.current)
      .sort((a, b) => rank(a) - rank(b) || b.arrived - a.arrived).slice(0, 300);
  }

  render() {
    if ($("queue").querySelector(":active")) { // a card that moves between press and release loses the click: the list stands still
      clearTimeout(this.later);
      this.later = setTimeout(() => this.render(), 50);
      return;
    }
    const list = this.list(), waiting = [...this.scans.values()].filter((s) => s.state === "queued" || s.state === "working").length;
    $("waiting").textContent = waiting ? t("waiting_n", waiting) : "";
    const focused = document.activeElement?.dataset?.scan;
    $("queue").replaceChildren(...list.map((scan) => this.card(scan)));
    for (const id of this.cards.keys()) if (!this.scans.has(id)) this.cards.delete(id);
    if (focused) this.cards.get(focused)?.item.firstChild.focus({ preventScroll: true });
    this.times();
  }

  card(scan) {
    const key = `${scan.change} ${document.documentElement.lang} ${scan.id === this.current}`;
    const kept = this.cards.get(scan.id);
    if (kept?.key === key) return kept.item;
    const word = scan.verdict ?? scan.state, goods = scan.description ?? (scan.hs_code ? `HS ${scan.hs_code}` : t("nothing_declared"));
    const item = el("li", {}, el("button", { type: "button", class: `card${scan.fresh ? " new" : ""}`, "data-scan": scan.id, "data-state": word,
      "aria-current": String(scan.id === this.current), title: scan.container ? scan.name : null, onclick: () => this.open(scan.id) },
    lamp(scan.verdict), el("span", { class: "what" }, scan.container ?? scan.name),
    el("span", { class: "score" }, scan.score === null ? "" : scan.score.toFixed(2)),
    el("span", { class: "goods" }, el("b", { class: `is-${scan.verdict ?? "none"}` }, t(word)), ` · ${goods}`), el("span", { class: "time" })));
    scan.fresh = false;
    this.cards.set(scan.id, { key, item });
    return item;
  }

  times() {
    const now = Date.now() / 1000 + this.skew;
    for (const [id, { item }] of this.cards) {
      const scan = this.scans.get(id), label = item.querySelector(".time");
      if (!scan || !label) continue;
      const text = scan.decision ? t(scan.decision) : duration(Math.max(0, now - scan.arrived));
      if (label.textContent !== text) label.textContent = text;
    }
  }

  /** The scan a step away from the current one. */
  beside(step) {
    const list = this.list(), at = list.findIndex((s) => s.id === this.current);
    if (step > 0 && list[at]?.decision) { // decided: it has gone to the end, the work is at the beginning
      const open = list.find((s) => !s.decision);
      if (open) return open.id;
    }
    return list[at < 0 ? 0 : Math.min(list.length - 1, Math.max(0, at + step))]?.id;
  }
}

function duration(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 86400 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86400)} d`;
}
