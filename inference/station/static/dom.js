// Small helpers: elements made from text, never from HTML; requests with the one error shape.

import { t } from "./words.js";

/** An element: attributes (on... are listeners), then children; strings become text. */
export function el(name, attributes = {}, ...children) {
  const svg = SVG.has(name);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "value") element.value = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const SVG = new Set(["svg", "path", "circle", "rect", "line", "text", "polyline", "g", "title"]);

export const $ = (id) => document.getElementById(id);

/** A lamp: colour and shape both tell the verdict. */
export function lamp(word) {
  const shapes = {
    clear: ["circle", { cx: 12, cy: 12, r: 9 }], inspect: ["path", { d: "M12 2 23 21H1z" }],
    rescan: ["path", { d: "M4 4h16v16H4z" }],
  };
  const [shape, attributes] = shapes[word] ?? ["circle", { cx: 12, cy: 12, r: 8, fill: "none", stroke: "currentColor", "stroke-width": 2.5, "stroke-dasharray": "4 3" }];
  const known = word in shapes;
  const marks = {
    clear: el("path", { d: "M7.5 12.5l3 3 6-6.5", fill: "none", stroke: "var(--panel)", "stroke-width": 2.4 }),
    inspect: el("path", { d: "M12 9v6M12 17v2", stroke: "var(--panel)", "stroke-width": 2.4, fill: "none" }),
    rescan: el("path", { d: "M8 12a4 4 0 1 1 1.5 3M8 17v-3h3", fill: "none", stroke: "var(--panel)", "stroke-width": 2 }),
  };
  return el("svg", { viewBox: "0 0 24 24", class: `lamp is-${known ? word : "none"}`, "aria-hidden": "true", fill: "currentColor" }, el(shape, attributes), marks[word]);
}

let csrf = "";
export const setCsrf = (token) => { csrf = token; };

export class Refusal extends Error {
  constructor(status, body) {
    super([body.message, body.remedy].filter(Boolean).join("; "));
    this.status = status;
    this.code = body.code;
  }

  /** Whether the same request may succeed later: the connection or the station failed, and nobody refused. */
  get passing() { return this.status === 0 || this.status >= 500; }
}

/** Milliseconds before what failed in passing is tried again. */
export const RETRY_MS = 2000;

/** A request; JSON in and out, or `raw` bytes with the answer's headers. Throws `Refusal`, of status 0 where no whole answer came. */
export async function ask(path, { method = "GET", json, form, raw = false } = {}) {
  const headers = {};
  if (csrf && method !== "GET") headers["X-CSRF-Token"] = csrf;
  if (json !== undefined) headers["Content-Type"] = "application/json";
  let response, body;
  try {
    response = await fetch(path, { method, headers, body: json !== undefined ? JSON.stringify(json) : form, cache: "default" });
    if (!response.ok) body = await response.json().catch(() => ({}));
    else if (raw) body = { bytes: await response.arrayBuffer(), headers: response.headers };
    else body = response.status === 204 ? null : await response.json();
  } catch { throw new Refusal(0, { message: t("unreachable"), code: "unreachable" }); }
  if (response.ok) return body;
  if (response.status === 401 && !path.startsWith("/api/session")) document.dispatchEvent(new CustomEvent("login-needed"));
  throw new Refusal(response.status, body.error ?? { message: response.statusText, code: "error" });
}

let timer = 0;
/** A message for some seconds; bad news unless said otherwise. */
export function toast(message, bad = true) {
  $("toast").textContent = message;
  $("toast").classList.toggle("good", !bad);
  $("toast").hidden = false;
  clearTimeout(timer);
  timer = setTimeout(() => { $("toast").hidden = true; }, 7000);
}
