// The description of the HTTP interface as a page that needs nothing from outside.

import { $, ask, el } from "./dom.js";

const about = await ask("/api/openapi.json");
$("about").textContent = `${about.info.title} ${about.info.version}. ${about.info.description}`;

/** A schema in short words. */
function kind(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.enum) return schema.enum.join(" | ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.anyOf) return schema.anyOf.map(kind).join(" or ");
  if (schema.type === "array") return `list of ${kind(schema.items)}`;
  return schema.format === "binary" || schema.contentMediaType ? "file" : schema.type ?? "any";
}

function fields(schema) {
  const named = schema?.$ref ? about.components.schemas[schema.$ref.split("/").at(-1)] : schema;
  return Object.entries(named?.properties ?? {}).map(([name, inner]) =>
    el("tr", {}, el("td", {}, el("code", {}, name)), el("td", {}, kind(inner)), el("td", {}, named.required?.includes(name) ? "needed" : ""), el("td", {}, inner.description ?? "")));
}

for (const [path, methods] of Object.entries(about.paths)) {
  for (const [method, operation] of Object.entries(methods)) {
    const body = Object.entries(operation.requestBody?.content ?? {})[0];
    const good = Object.entries(operation.responses).filter(([status]) => status < "300");
    $("operations").append(el("section", { class: "panel" }, el("h3", {}, `${method.toUpperCase()} ${path}`), el("p", { class: "facts" }, operation.description ?? operation.summary ?? ""),
      el("table", {}, (operation.parameters ?? []).map((p) => el("tr", {}, el("td", {}, el("code", {}, p.name)), el("td", {}, kind(p.schema)), el("td", {}, `${p.in}${p.required ? ", needed" : ""}`), el("td", {}, p.description ?? p.schema.description ?? ""))),
        body ? fields(body[1].schema) : []),
      el("p", { class: "facts" }, body ? `Sends ${body[0]}. ` : "", good.map(([status, r]) => `${status}: ${Object.entries(r.content ?? {}).map(([type, c]) => `${type} ${kind(c.schema)}`).join(", ") || r.description}. `))));
  }
}
