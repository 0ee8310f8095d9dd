"""The comparison as one HTML file that needs nothing beside it: figures, tables, pictures of the scans."""

from __future__ import annotations

import base64
import html
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

from leadline.datasets.scan import LeadlineError
from leadline.inference.ledger.events import plain
from leadline.inference.ledger.location import private
from leadline.inference.rescore.archives import members
from leadline.inference.rescore.compare import Comparison, Flip
from leadline.inference.rescore.fetch import load
from leadline.inference.rescore.item import Item
from leadline.inference.rescore.names import split_member
from leadline.inference.screening import Settings

WIDTH = 320
"""Of a thumbnail, pixels."""

DARKEST = 1e-3
"""Transmission that is drawn black; the scale is logarithmic."""

MOST_GROUPS = 40

STYLE = """
:root{color-scheme:light dark;--ink:#1c1b1a;--dim:#66625e;--paper:#fff;--line:#d9d5d0;--bad:#b3261e;--good:#2f6f1f}
@media(prefers-color-scheme:dark){:root{
--ink:#ebe8e4;--dim:#a5a09a;--paper:#1b1c1e;--line:#3a3c40;--bad:#ff8a80;--good:#9ccc65}}
body{font:15px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--paper)}
body{max-width:1100px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.dim{color:var(--dim)}code{font-size:.85em;overflow-wrap:anywhere}
article{display:grid;grid-template-columns:340px 1fr;gap:1rem;border-top:1px solid var(--line);padding:1rem 0}
img{width:100%;height:auto;background:#000}.less{color:var(--bad)}.more{color:var(--good)}
@media(max-width:700px){article{grid-template-columns:1fr}}
"""


def write_html(comparison: Comparison, target: Path) -> None:
    """Write the page; it appears whole or not at all, and only its owner may read it.

    Thumbnails are drawn of scans that are still where the ledger says, and still the same content.

    Raises:
        LeadlineError: it cannot be written.
    """
    partial = target.with_name(f".{target.name}.part")
    try:
        with open(partial, "w", encoding="utf-8", opener=private) as stream:
            stream.write(page(comparison))
        partial.replace(target)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise LeadlineError(f"{target}: cannot be written ({error.strerror}); choose another place") from error


def page(found: Comparison) -> str:
    """The page as text."""
    flipped = sum(found.flips.values())
    share = 100 * flipped / found.both if found.both else 0.0
    models = " → ".join(", ".join(h[:12] for h in found.models[side]) for side in ("old", "new"))
    out = [
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">",
        f"<title>leadline: what changed</title><style>{STYLE}</style><h1>What changed</h1>",
        f"<p>{found.both} scans judged by both, {flipped} verdicts differ ({share:.2f} %). "
        f"{found.only_old} only by the old, {found.only_new} only by the new.<br>"
        f"<span class=dim>models {_text(models)}</span></p>",
        _table("Flips", ("old", "new", "scans"), [(o, n, c) for (o, n), c in found.flips.most_common()]),
    ]
    for name, title in (("goods", "By declared goods"), ("scanner", "By scanner"), ("month", "By month")):
        groups = list(found.by.get(name, {}).items())
        rows = [
            (value, counts["scans"], counts["flips"], counts["inspect to clear"], counts["clear to inspect"])
            for value, counts in groups[:MOST_GROUPS]
        ]
        head = (name, "scans", "flips", "inspect → clear", "clear → inspect")
        out.append(_table(title, head, rows))
        if len(groups) > MOST_GROUPS:
            out.append(f"<p class=dim>and {len(groups) - MOST_GROUPS} more</p>")
    out.append(f"<h2>Look at these first ({len(found.first)})</h2>")
    items = where(found.first)
    out += [_article(flip, items.get(flip.path)) for flip in found.first]
    return "\n".join(out) + "</html>\n"


def where(flips: Iterable[Flip]) -> dict[str, Item]:
    """What lies in archives of this machine, by its place; each archive is gone through once.

    Compressed tars are left out: they would have to be read from their beginning.
    """
    wanted: dict[str, set[str]] = defaultdict(set)
    for flip in flips:
        archive, _ = split_member(flip.path)
        if archive.lower().endswith((".tar", ".zip")) and os.path.isfile(archive):
            wanted[archive].add(flip.path)
    found: dict[str, Item] = {}
    for archive, places in wanted.items():
        for item in members(archive, ""):
            if item.place in places:
                found[item.place] = item
                places.remove(item.place)
            if not places:
                break
    return found


def thumbnail(flip: Flip, item: Item | None = None) -> str | None:
    """The scan in grey with the boxes of its verdict, as a `data:` URL.

    Args:
        flip: which scan.
        item: where it lies, if not in a file of its own; see `where`.

    Returns:
        `None` if it is gone, another by now, or lies elsewhere than on this machine.
    """
    try:
        # As pseudo-colour for those that were screened as such; deeper ones stay as they are.
        scan = load(item or Item(flip.path, path=flip.path), Settings(pseudocolour=True))
    except (LeadlineError, ValueError):
        return None
    if scan.sha256 != flip.sha256:
        return None
    rows, columns = scan.shape
    size = (WIDTH, max(1, round(rows * WIDTH / columns)))
    small = cv2.resize(scan.transmission[0], size, interpolation=cv2.INTER_AREA)
    grey = np.clip(1 - np.log(np.clip(small, DARKEST, 1)) / np.log(DARKEST), 0, 1)
    picture = cv2.cvtColor((255 * grey).astype(np.uint8), cv2.COLOR_GRAY2BGR)
    for region in flip.regions:
        x0, y0, x1, y1 = (round(v * WIDTH / columns) for v in region["box"])
        corner = min(x1, size[0] - 1), min(y1, size[1] - 1)  # a box may end where the picture does
        cv2.rectangle(picture, (x0, y0), corner, (0, 200, 255), 1)
    encoded, data = cv2.imencode(".png", picture)
    return f"data:image/png;base64,{base64.b64encode(data.tobytes()).decode()}" if encoded else None


def _article(flip: Flip, item: Item | None) -> str:
    source = thumbnail(flip, item)
    image = (
        f'<img src="{source}" alt="scan">' if source else "<p class=dim>no picture: gone, changed, or out of reach</p>"
    )
    tone = "less" if flip.new == "clear" else "more" if flip.new == "inspect" else "dim"
    score = " → ".join("?" if s is None else f"{s:.3f}" for s in (flip.old_score, flip.new_score))
    return (
        f"<article><div>{image}</div><div><b class={tone}>{_text(flip.old)} → {_text(flip.new)}</b> "
        f"<span class=dim>score {score}</span><br>{_text(flip.goods)} <span class=dim>{_text(flip.scanner)}, "
        f"{_text(flip.month)}</span><p>{_text(' '.join(flip.reasons))}</p>"
        f"<code>{_text(flip.path)}</code><br><code class=dim>{flip.sha256}</code></div></article>"
    )


def _table(title: str, head: Sequence[str], rows: Sequence[tuple[object, ...]]) -> str:
    def line(values: Iterable[object], tag: str) -> str:
        cells = zip(values, numbers, strict=True)
        return "".join(f"<{tag}{' class=n' if number else ''}>{_text(str(v))}</{tag}>" for v, number in cells)

    numbers = [isinstance(value, int) for value in (rows[0] if rows else head)]
    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f"<h2>{_text(title)}</h2><table><tr>{line(head, 'th')}</tr>{body}</table>"


def _text(value: str) -> str:
    """Text from strangers, harmless in HTML and encodable."""
    return html.escape(plain(value, 2000))
