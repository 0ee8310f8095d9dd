"""What honest goods may be made of: from an HS code and a description to material families.

A code is looked up in `data/hs_headings.csv` (the longest prefix wins), words in
`data/declared_words.toml`, and the headings that `materials.toml` gives each family count too.
A declaration only ever explains: what it does not name is not expected.
"""

from __future__ import annotations

import csv
import re
import tomllib
import unicodedata
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from leadline.datasets.materials import Catalogue, catalogue
from leadline.datasets.scan import Declaration, LeadlineError

PACKING = frozenset({"organic"})
"""Families of the packing that goods of every kind come in: cardboard, film, pallets."""

# Ideographs, kana and Hangul are written without spaces: each character is a token of its own.
_TOKEN = re.compile(r"[぀-ヿ㐀-䶿一-鿿가-힯]|[^\W_぀-ヿ㐀-䶿一-鿿가-힯]+|[.,;:()!?、。/&+]")
_LISTING = {
    ",",
    "、",
    "/",
    "&",
    "+",
    "and",
    "or",
    "nor",
    "und",
    "oder",
    "et",
    "ou",
    "y",
    "o",
    "e",
    "и",
    "和",
    "及",
    "与",
    "或",
}
_BREAKS = {".", ";", ":", "(", ")", "!", "?", "。", "but"}
_DENY_NEXT = ("no", "non", "zero", "anti", "无", "無", "非", "免")
_DENY_LIST = (
    *("without", "w/o", "not", "free of", "free from", "excluding", "except"),
    *("sans", "sin", "senza", "sem", "ohne", "kein", "keine", "без", "不含", "不带", "没有", "未含"),
)
_DENY_BEFORE = ("free", "less", "frei", "libre", "フリー")

_Tokens = tuple[str, ...]


def hs_code(text: str) -> str:
    """A Harmonized System code as digits alone.

    Args:
        text: 4 to 10 digits, perhaps with dots and spaces, such as `"3816.00"`.

    Raises:
        LeadlineError: no digits, too few or too many, or a chapter that does not exist (01 to 97 do, 77 is reserved).
    """
    digits = re.sub(r"[.\s]", "", unicodedata.normalize("NFKC", text))
    remedy = "give 4 to 10 digits such as 3816 or 3816.00 (in a spreadsheet, format the column as text)"
    if not re.fullmatch(r"[0-9]+", digits):
        raise LeadlineError(f"HS code {text[:40]!r}: is not made of digits; {remedy}")
    if not 4 <= len(digits) <= 10:
        raise LeadlineError(f"HS code {text[:40]!r}: has {len(digits)} digits; {remedy}")
    if digits[:2] == "77" or not 1 <= int(digits[:2]) <= 97:
        raise LeadlineError(f"HS code {text[:40]!r}: there is no chapter {digits[:2]}; {remedy}")
    return digits


def expected_families(declaration: Declaration | None, cat: Catalogue | None = None) -> npt.NDArray[np.float32]:
    """Families that the declared goods and their packing may honestly contain.

    Args:
        declaration: the goods, or `None`.
        cat: families and their headings; the shipped ones by default.

    Returns:
        float32, shape (families + 1,), 0 or 1 in the catalogue's order; the last element is 1
        if anything is known: a code, or at least one word that the tables know. All zeros if not.

    Raises:
        LeadlineError: the HS code is none.
    """
    cat = cat or catalogue()
    names = _declared(declaration, cat)
    vector = np.zeros(len(cat.names) + 1, np.float32)
    if names is not None:
        vector[:-1] = [name in names for name in cat.names]
        vector[-1] = 1
    return vector


def explains(declaration: Declaration | None, family: str, cat: Catalogue | None = None) -> bool:
    """Whether the declared goods may honestly contain a family; nothing explains it if nothing is declared.

    Raises:
        LeadlineError: the HS code is none.
    """
    return family in (_declared(declaration, cat or catalogue()) or ())


def describe(declaration: Declaration | None) -> str:
    """The declaration in words, such as `"tile adhesive" (HS 3816, refractory cements and mortars)`.

    Raises:
        LeadlineError: the HS code is none.
    """
    text = " ".join((declaration.description or "").split()) if declaration else ""
    quoted = f'"{text}"' if text else ""
    if declaration is None or not declaration.hs_code:
        return quoted or "nothing declared"
    code = hs_code(declaration.hs_code)
    told = f"HS {code}, {_table()[_longest(code)][0]}"
    return f"{quoted} ({told})" if quoted else told


def _declared(declaration: Declaration | None, cat: Catalogue) -> frozenset[str] | None:
    """Names of the expected families, or `None` if nothing is known."""
    if declaration is None:
        return None
    names: set[str] = set()
    known = False
    if declaration.hs_code:
        code, known = hs_code(declaration.hs_code), True
        row = _longest(code)
        names |= _table()[row][1]
        # A family's heading holds unless the table knows the declared code better than that.
        names |= {
            family.name
            for family in cat.families
            for heading in family.headings
            if (code.startswith(heading) and len(heading) >= len(row)) or heading.startswith(code)
        }
    if declaration.description:
        words = _families_of(declaration.description, cat)
        known |= bool(words)
        names |= words
    return PACKING | names if known else None


@cache
def _table() -> Mapping[str, tuple[str, frozenset[str]]]:
    """Title and families of each chapter, heading and subheading in the table."""
    text = (files("leadline.datasets") / "data" / "hs_headings.csv").read_text("utf-8")
    return {
        row["code"]: (row["title"], frozenset(row["families"].split())) for row in csv.DictReader(text.splitlines())
    }


def _longest(code: str) -> str:
    """The longest prefix of a code that the table has: at least its chapter."""
    return next(code[:n] for n in range(len(code), 0, -1) if code[:n] in _table())


@lru_cache(maxsize=16)
def _phrases(cat: Catalogue) -> Mapping[str, list[tuple[_Tokens, frozenset[str]]]]:
    """Phrases of the word list by their first token (its plural too), the longest first, exact before plural."""
    text = (files("leadline.datasets") / "data" / "declared_words.toml").read_text("utf-8")
    found: dict[_Tokens, frozenset[str]] = {}
    for section in tomllib.loads(text).values():
        for phrase, families in section.items():
            found[_tokens(phrase)] = frozenset(families)
    for family in cat.families:
        for phrase in family.words:  # beside what the word list says of it
            found[_tokens(phrase)] = found.get(_tokens(phrase), frozenset()) | {family.name}
    for tokens, families in list(found.items()):
        if len(tokens[-1]) > 1:
            for plural in ("s", "es"):
                found.setdefault((*tokens[:-1], tokens[-1] + plural), families)
    by_first: dict[str, list[tuple[_Tokens, frozenset[str]]]] = {}
    for tokens, families in sorted(found.items(), key=lambda item: -len(item[0])):
        by_first.setdefault(tokens[0], []).append((tokens, families))
    return by_first


def _tokens(text: str) -> _Tokens:
    return tuple(_TOKEN.findall(unicodedata.normalize("NFKC", text).casefold()))


def _starts(tokens: _Tokens, at: int, phrases: tuple[str, ...]) -> int:
    """Number of tokens of the first of some phrases that stands at a place, 0 for none."""
    return next((len(p) for p in map(_tokens, phrases) if tokens[at : at + len(p)] == p), 0)


@lru_cache(maxsize=4096)
def _families_of(text: str, cat: Catalogue) -> frozenset[str]:
    """Families that a description names and does not deny."""
    tokens, phrases = _tokens(text), _phrases(cat)
    named: set[str] = set()
    listed: list[frozenset[str]] = []  # families of the running list "lead, antimony and tin", not yet counted
    denied = once = seen = False  # a denial is open; it ends with the next token; it has met a phrase
    at = 0

    def close() -> None:
        named.update(*listed)
        listed.clear()

    while at < len(tokens):
        token = tokens[at]
        entry = next((e for e in phrases.get(token, ()) if tokens[at : at + len(e[0])] == e[0]), None)
        if entry is not None:
            if at and tokens[at - 1] not in _LISTING:
                close()
            if not denied:
                listed.append(entry[1])
            seen, denied, once = True, denied and not once, False
            at += len(entry[0])
        elif step := _starts(tokens, at, _DENY_BEFORE) if listed and not _starts(tokens, at, _DENY_LIST) else 0:
            listed.clear()  # "lead and antimony free"
            at += step
        elif step := _starts(tokens, at, _DENY_LIST):
            close()
            denied, once, seen, at = True, False, False, at + step
        elif step := _starts(tokens, at, _DENY_NEXT):
            close()
            denied, once, seen, at = True, True, False, at + step
        elif token in _LISTING:
            # A denial runs on through a list: "free of lead, antimony"; not past "without packing, lead".
            denied = denied and seen
            at += 1
        else:
            close()
            if token in _BREAKS or once:
                denied = once = False
            elif denied and seen and tokens[at - 1] in (",", "、"):
                denied = False
            at += 1
    close()
    return frozenset(named)
