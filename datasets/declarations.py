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
from leadline.datasets.wording import Phrases, named, phrases

PACKING = frozenset({"organic"})
"""Families of the packing that goods of every kind come in: cardboard, film, pallets."""


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
    """The longest prefix of an HS code's digits that the table has: at least its chapter."""
    return next(code[:n] for n in range(len(code), 0, -1) if code[:n] in _table())


@lru_cache(maxsize=16)
def _known(cat: Catalogue) -> Phrases:
    return phrases(word_list(cat))


def word_list(cat: Catalogue) -> Mapping[str, frozenset[str]]:
    """The phrases of `data/declared_words.toml` with their families, and those that the catalogue's families bring."""
    text = (files("leadline.datasets") / "data" / "declared_words.toml").read_text("utf-8")
    found = {p: frozenset(names) for section in tomllib.loads(text).values() for p, names in section.items()}
    for family in cat.families:
        for phrase in family.words:
            found[phrase] = found.get(phrase, frozenset()) | {family.name}
    return found


@lru_cache(maxsize=4096)
def _families_of(text: str, cat: Catalogue) -> frozenset[str]:
    """Families that a description names and does not deny."""
    return named(text, _known(cat))
