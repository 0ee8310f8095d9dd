"""The evidence report of one scan: everything collected once, then as a page or as PDF."""

from __future__ import annotations

import base64
import html
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from leadline.datasets.declarations import describe
from leadline.datasets.formats import read_scan
from leadline.datasets.scan import Declaration
from leadline.inference import reasons
from leadline.inference.ledger import Row
from leadline.inference.lettering import Picture
from leadline.inference.station import chinese, pictures
from leadline.inference.station.pdf import Document
from leadline.inference.station.service import Station
from leadline.inference.station.words import word

COLOUR = {"clear": "#207a4a", "inspect": "#b3261e", "rescan": "#8a6100"}
SIGN = {"clear": "●", "inspect": "▲", "rescan": "■"}
STYLE = """
body{font:15px/1.45 system-ui,"Noto Sans CJK SC","Microsoft YaHei",sans-serif;color:#16191d;background:#fff;
max-width:60rem;margin:1.5rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.05rem;margin:1.6rem 0 .4rem;border-bottom:1px solid #c8ced6}
.verdict{color:#fff;padding:.7rem 1rem;border-radius:.4rem;margin:.8rem 0;display:flex;justify-content:space-between;
align-items:baseline;gap:1rem;flex-wrap:wrap;print-color-adjust:exact;-webkit-print-color-adjust:exact}
.verdict strong{font-size:1.5rem}table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:.2rem .6rem .2rem 0;border-bottom:1px solid #e4e8ec;
overflow-wrap:anywhere}
th{font-weight:600;color:#3d4650}td.n{font-variant-numeric:tabular-nums}code{font-size:.8rem}
figure{margin:.8rem 0;break-inside:avoid}img{max-width:100%;display:block;border:1px solid #c8ced6}
figcaption{color:#3d4650;font-size:.9rem}section{break-inside:avoid-page}
@page{size:A4;margin:14mm}@media print{body{max-width:none;margin:0;padding:0;font-size:10.5pt}}
"""


@dataclass(frozen=True)
class Case:
    """All that a report tells.

    Attributes:
        row: the scan's row of the database.
        line: its verdict.
        maps: shape and families of its maps.
        history: its rows of the ledger.
        head: rows of the ledger, hash of the last.
        shown: pictures by name: marked, grey, ratio.
    """

    row: dict[str, Any]
    line: dict[str, Any]
    maps: dict[str, Any]
    history: list[Row]
    head: tuple[int, str]
    shown: dict[str, Picture]

    @classmethod
    def collect(cls, station: Station, row: dict[str, Any]) -> Case:
        """Read all that is known of a judged scan.

        Raises:
            LeadlineError: its file cannot be read any more.
        """
        scan = read_scan(station.files.original(row["id"]), scanner=row["kind_given"])
        line, maps, kind = json.loads(row["line"]), json.loads(row["maps"]), row["scanner"]
        evidence, _ = pictures.read_maps((station.files.place(row["id"]) / "maps.bin").read_bytes(), maps)
        shown = {"marked": pictures.marked(scan, kind, evidence, maps, line), "grey": pictures.grey(scan, kind)}
        if scan.fidelity != "single":
            shown["ratio"] = pictures.ratio(scan, kind)
        history = station.record.history(row["id"], row["sha256"])
        return cls(row, line, maps, history, station.record.ledger.head(), shown)

    def facts(self, language: str) -> list[tuple[str, str]]:
        """What was scanned and declared, as heading and value."""
        r, m = self.row, self.maps
        declaration = Declaration(r["hs_code"], r["description"])
        words = describe(declaration)
        energies = " / ".join(e for e in dict.fromkeys((m["high"], m["low"])) if e)
        size = f"{r['columns']} × {r['rows']} {word('pixels', language)}"
        if m["pixel_mm"]:
            size += f", {r['columns'] * m['pixel_mm'] / 1000:.2f} m × {r['rows'] * m['pixel_mm'] / 1000:.2f} m"
        return [
            (word("file", language), r["name"]),
            (word("container_number", language), r["container"] or word("unknown", language)),
            (word("declared", language), chinese.declared(declaration, words) if language == "zh" else words),
            (word("arrived", language), moment(r["arrived"])),
            (word("source", language), r["source"]),
            (word("scanner", language), f"{word(r['scanner'], language)} {energies}".strip()),
            (word("size", language), size),
        ]

    def reasons(self, language: str) -> list[str]:
        """Why the verdict is what it is."""
        said: list[str] = self.line["reasons"]
        return [chinese.translate(s) for s in said] if language == "zh" else said

    def regions(self, language: str) -> list[list[str]]:
        """A row for each region: number, family, probability, mass, box."""
        rows = []
        for number, region in enumerate(self.line["regions"], 1):
            mass = region["mass_kg"]
            told = reasons.mass_range(tuple(mass)) if mass and None not in mass else "–"
            rows.append(
                [
                    str(number),
                    title(region["family"], language),
                    reasons.percent(region["probability"] or 0.0),
                    told.replace(" to ", "–") if language == "zh" else told,
                    ", ".join(map(str, region["box"])),
                ]
            )
        return rows

    def quality(self, language: str) -> list[tuple[str, str]]:
        """Figures of image quality."""
        found = []
        for key, value in self.line["quality"].items():
            if isinstance(value, bool):
                found.append((word(key, language), word("yes" if value else "no", language)))
            elif isinstance(value, int | float):
                share = key.endswith(("fraction", "goods", "noise"))
                found.append((word(key, language), reasons.percent(value) if share else f"{value:.3g}"))
            elif key == "fidelity":
                found.append((word(key, language), word(str(value), language)))
        return found

    def decisions(self, language: str) -> list[str]:
        """What people decided and found, one sentence each."""
        said = []
        for row in self.history:
            if row.kind == "decision":
                words = f"{row.at[:19].replace('T', ' ')} · {row.who}: {word(str(row.body['decision']), language)}"
                if row.body.get("override"):
                    words += f" ({word('override', language)}: {word(str(row.body['override']), language)})"
                note = row.body.get("note")
            elif row.kind == "result":
                words = f"{row.at[:19].replace('T', ' ')} · {row.who}: {word('result', language)}: "
                words += word(str(row.body["result"]), language)
                if row.body.get("result_family"):
                    words += f", {title(str(row.body['result_family']), language)}"
                note = row.body.get("result_note")
            else:
                continue
            said.append(words + (f" – {note}" if note else ""))
        return said or [word("undecided", language)]

    def provenance(self, language: str) -> list[tuple[str, str]]:
        """Where everything comes from, with hashes."""
        model = self.line["model"]
        return [
            (word("scan_hash", language), self.row["sha256"]),
            (word("model", language), f"{model['name']} {model['version']}"),
            (word("model_hash", language), model["sha256"]),
            (word("provider", language), f"{self.line['provider']}, {self.line['elapsed_ms']:.0f} ms"),
            (word("ledger_head", language), f"{self.head[0]}, {self.head[1]}"),
            (word("made", language), moment(datetime.now(UTC).timestamp())),
        ]


def as_html(case: Case, language: str) -> str:
    """The report as one page that needs nothing else; prints on A4."""
    e, w = html.escape, lambda key: html.escape(word(key, language))
    verdict = case.line["verdict"]

    def table(rows: list[tuple[str, str]]) -> str:
        return "<table>" + "".join(f"<tr><th scope=row>{e(a)}</th><td>{e(b)}</td></tr>" for a, b in rows) + "</table>"

    def grid(head: list[str], rows: list[list[str]]) -> str:
        top = "".join(f"<th scope=col>{w(h)}</th>" for h in head)
        body = "".join("<tr>" + "".join(f"<td class=n>{e(c)}</td>" for c in row) + "</tr>" for row in rows)
        return f"<table><tr>{top}</tr>{body}</table>"

    figures = "".join(
        f'<figure><img alt="{w(name)}" src="data:image/jpeg;base64,{base64.b64encode(pictures.jpeg(p)).decode()}">'
        f"<figcaption>{w(name)}</figcaption></figure>"
        for name, p in case.shown.items()
    )
    history = [
        [str(r.seq), r.at[:19].replace("T", " "), word(r.kind, language), r.who or "–", r.hash] for r in case.history
    ]
    regions = case.regions(language)
    said = "".join(f"<li>{e(s)}</li>" for s in case.reasons(language))
    decided = "".join(f"<li>{e(s)}</li>" for s in case.decisions(language))
    sections = [
        f"<h1>leadline · {w('title')}</h1>",
        f'<div class=verdict style="background:{COLOUR[verdict]}"><strong>{SIGN[verdict]} {w(verdict)}</strong>'
        f"<span>{w('score')} {case.line['score']:.3f} · {w('threshold')} {case.line['threshold']:.3f}</span></div>",
        f"<section><h2>{w('reasons')}</h2><ul>{said}</ul></section>",
        f"<section><h2>{w('case')}</h2>{table(case.facts(language))}</section>",
        f"<section><h2>{w('decision')}</h2><ul>{decided}</ul></section>",
    ]
    if regions:
        head = ["#", "family", "probability", "mass", "box"]
        sections.append(f"<section><h2>{w('regions')}</h2>{grid(head, regions)}</section>")
    materials = [
        (title(m["family"], language), reasons.percent(m["probability"] or 0.0)) for m in case.line["materials"]
    ]
    sections += [
        f"<section><h2>{w('pictures')}</h2>{figures}</section>",
        f"<section><h2>{w('materials')}</h2>{table(materials)}</section>",
        f"<section><h2>{w('quality')}</h2>{table(case.quality(language))}</section>",
        f"<section><h2>{w('history')}</h2>{grid(['#', 'when', 'what', 'who', 'hash'], history)}</section>",
        f"<section><h2>{w('provenance')}</h2>{table(case.provenance(language))}</section>",
    ]
    return (
        f'<!doctype html><html lang="{"zh-CN" if language == "zh" else "en"}"><head><meta charset="utf-8">'
        f"<title>leadline · {e(case.row['container'] or case.row['name'])}</title><style>{STYLE}</style></head>"
        f"<body>{''.join(sections)}</body></html>"
    )


def as_pdf(case: Case, language: str) -> bytes:
    """The report as PDF, A4."""
    verdict = case.line["verdict"]
    paper = Document(f"leadline {case.row['container'] or case.row['name']}")
    paper.heading(f"leadline · {word('title', language)}", 34)
    banner = f"{SIGN[verdict]} {word(verdict, language)}"
    score, threshold = (f"{word(key, language)} {case.line[key]:.3f}" for key in ("score", "threshold"))
    paper.banner(banner, f"{score} · {threshold}", COLOUR[verdict])
    paper.heading(word("reasons", language))
    paper.list(case.reasons(language))
    paper.heading(word("case", language))
    paper.table([list(pair) for pair in case.facts(language)], (0.28, 0.72))
    paper.heading(word("decision", language))
    paper.list(case.decisions(language))
    if regions := case.regions(language):
        paper.heading(word("regions", language))
        head = ["#", *(word(k, language) for k in ("family", "probability", "mass", "box"))]
        paper.table([head, *regions], (0.06, 0.26, 0.16, 0.26, 0.26))
    for name, picture in case.shown.items():
        paper.picture(picture, word(name, language))
    paper.heading(word("materials", language))
    materials = [
        [title(m["family"], language), reasons.percent(m["probability"] or 0.0)] for m in case.line["materials"]
    ]
    paper.table(materials, (0.4, 0.6))
    paper.heading(word("quality", language))
    paper.table([list(pair) for pair in case.quality(language)], (0.6, 0.4))
    paper.heading(word("history", language))
    history = [
        [str(r.seq), r.at[:19].replace("T", " "), word(r.kind, language), r.who or "–", r.hash] for r in case.history
    ]
    paper.table(history, (0.06, 0.2, 0.12, 0.12, 0.5))
    paper.heading(word("provenance", language))
    paper.table([list(pair) for pair in case.provenance(language)], (0.28, 0.72))
    return paper.file()


def moment(at: float) -> str:
    """A time for people, UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def title(family: str, language: str) -> str:
    """A family's name for people."""
    english = reasons.title(family)
    return chinese.family(english) if language == "zh" else english
