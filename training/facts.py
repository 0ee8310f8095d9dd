"""What an evaluation groups scans by: shielding, cover, declared goods, scanner."""

from __future__ import annotations

from functools import cache
from typing import Any

from leadline.datasets.materials import catalogue
from leadline.datasets.scan import Declaration, Scanner
from leadline.datasets.simulator.goods import goods
from leadline.datasets.simulator.simulate import Sample

LEAD_G_CM3 = 11.35


def facts(sample: Sample) -> dict[str, Any]:
    """The facts of a simulated scan, as arguments of `rows.Row`."""
    truth, cat = sample.truth, catalogue()
    watched = truth.families[[cat.names.index(name) for name in cat.watched]].sum(0)
    found: dict[str, Any] = {
        "family": truth.boxes[0][0] if truth.boxes else "",
        "goods": declared_goods(sample.scan.declaration),
        "scanner": scanner_words(sample.scan.scanner, sample.machine.detector),
    }
    total = float(watched.sum())
    if total > 0:
        others = truth.families.sum(0) - watched
        lead = truth.families[cat.names.index("lead")]
        found["cover"] = float((others * watched).sum()) / total
        found["shield_mm"] = 10 * float((lead * watched).sum()) / total / LEAD_G_CM3
    return found


def declared_goods(declaration: Declaration | None) -> str:
    """The declared goods in few words: their name in the simulator, else the description, else the HS heading."""
    if declaration is None:
        return "nothing declared"
    names = _goods_by_papers()
    words = " ".join((declaration.description or "").split())
    if words in names:
        return names[words]
    if declaration.hs_code and declaration.hs_code in names:
        return names[declaration.hs_code]
    return words or f"HS {(declaration.hs_code or '')[:4]}"


def scanner_words(scanner: Scanner, detector: str = "") -> str:
    """The scanner in words, such as `6 MV / 4 MV` or `160 kV dual-layer`."""
    layers = " dual-layer" if detector == "dual_layer" else ""
    if not scanner.high:
        return "unknown"
    if layers or scanner.low in (None, scanner.high):
        return f"{scanner.high}{layers}"
    return f"{scanner.high} / {scanner.low}"


@cache
def _goods_by_papers() -> dict[str, str]:
    """Goods by what their papers say: descriptions, and codes that only one of them has."""
    found: dict[str, str] = {}
    codes: dict[str, list[str]] = {}
    for entry in goods().values():
        found |= {" ".join(words.split()): entry.name for words in entry.words}
        codes.setdefault(entry.hs, []).append(entry.name)
    return {code: names[0] for code, names in codes.items() if len(names) == 1} | found
