"""What declared goods look like in the beam, as networks are told it: how strongly their matter tells two energies
apart, how dense they lie, whether they fill their packing.

Families alone (`datasets.declarations`) leave tile, cement and salt one thing, "mineral". Goods are looked up by HS
code and words in `data/appearance.toml`; what no entry knows looks like anything that its families may be.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from leadline.datasets.declarations import PACKING, expected_families, hs_code, word_list
from leadline.datasets.materials import Catalogue, Material, catalogue, shipped
from leadline.datasets.physics.attenuation import mass_attenuation
from leadline.datasets.scan import Declaration
from leadline.datasets.wording import Phrases, named, phrases

APPEARANCE = 12
"""Length of what a network is told of the goods' appearance."""

_PAIRS_MEV = (0.120, 0.060, 1.0, 5.0)
"""Two pairs of energies whose ratios of mass attenuation stand for a material: by the photoelectric effect at tube
energies, by pair production at those of linacs."""
_PAIR_SCALE = (1.0, 3.0)  # brings the second ratio, a few tenths, to the size of the first
_FORMS = {"bulk": (1.0, 0.0), "pieces": (0.0, 0.0), "hollow": (0.0, 1.0)}
_LOOSEST = 0.05  # least share of solid matter in goods of which only the family is known


@dataclass(frozen=True)
class Look:
    """Goods of one kind.

    Attributes:
        contrasts: (2, 2), least and greatest logarithm of each pair's ratio of mass attenuations, over that of water.
        bulk: least and greatest g/cm3.
        filled: 1 = fills its unit without gaps.
        hollow: 1 = a wall around nothing.
    """

    contrasts: tuple[tuple[float, float], tuple[float, float]]
    bulk: tuple[float, float]
    filled: float
    hollow: float


def appearance(
    declaration: Declaration | None, cat: Catalogue | None = None, *, also: Iterable[str] = (), coarse: bool = False
) -> npt.NDArray[np.float32]:
    """What declared goods look like.

    Args:
        declaration: the goods, or `None`.
        cat: catalogue with the families; the one in use by default.
        also: families that are there beside them.
        coarse: by the families alone, as if no entry knew the goods.

    Returns:
        float32 (APPEARANCE,): for the ratios of mass attenuation at 60 and 120 keV, then at 5 and 1 MeV, logarithms
        over those of water, and for ln(1 + bulk density in g/cm3), each the least, the greatest, and the mean of the
        kinds' greatest; the shares of the kinds that fill their units and that are hollow; a third of their number.
        All 0 where nothing is known. Read-only, since it is shared.

    Raises:
        LeadlineError: the HS code is none.
    """
    return _told(declaration, cat or catalogue(), tuple(also), coarse)


@lru_cache(maxsize=4096)
def _told(
    declaration: Declaration | None, cat: Catalogue, also: tuple[str, ...], coarse: bool
) -> npt.NDArray[np.float32]:
    looks = _looks(declaration, cat, coarse) + [_family(name, cat) for name in also]
    told = np.zeros(APPEARANCE, np.float32)
    if looks:
        ranges = np.array([[*look.contrasts, np.log1p(look.bulk)] for look in looks])  # (looks, 3, 2)
        least, most = ranges[..., 0], ranges[..., 1]
        told[:9] = np.stack([least.min(0), most.max(0), most.mean(0)], 1).ravel()
        told[9:] = *np.mean([(look.filled, look.hollow) for look in looks], 0), len(looks) / 3
    told.flags.writeable = False
    return told


def known_goods(declaration: Declaration | None, cat: Catalogue | None = None) -> tuple[str, ...]:
    """Names of the entries of `data/appearance.toml` that a declaration means, sorted.

    Raises:
        LeadlineError: the HS code is none.
    """
    if declaration is None:
        return ()
    found: set[str] = set()
    if declaration.description:
        found |= named(declaration.description, _phrases(cat or catalogue()))
    if declaration.hs_code:
        code = hs_code(declaration.hs_code)
        heading = next((code[:n] for n in range(len(code), 0, -1) if code[:n] in _headings()), None)
        found |= {_headings()[heading]} if heading else set()
    return tuple(sorted(found))


def _looks(declaration: Declaration | None, cat: Catalogue, coarse: bool) -> list[Look]:
    known = () if coarse else known_goods(declaration, cat)
    if known:
        return [_entries()[name] for name in known]
    vector = expected_families(declaration, cat)
    expected = {name for name, there in zip(cat.names, vector, strict=False) if there}
    return [_family(name, cat) for name in sorted(expected - PACKING or expected)]


@cache
def _entries() -> Mapping[str, Look]:
    materials = shipped().materials
    return {
        name: Look(_contrasts(materials[m] for m in entry["like"]), tuple(entry["bulk"]), *_FORMS[entry["form"]])
        for name, entry in _table().items()
    }


@lru_cache(maxsize=64)
def _family(name: str, cat: Catalogue) -> Look:
    """Goods of which only the family is known: any of its materials, solid or in pieces."""
    members = [m for m in cat.materials.values() if m.family == name]
    least, most = min(m.density[0] for m in members), max(m.density[1] for m in members)
    return Look(_contrasts(members), (_LOOSEST * least, most), 0.5, 0.0)


def _contrasts(materials: Iterable[Material]) -> tuple[tuple[float, float], tuple[float, float]]:
    found = np.array([_contrast(m) for m in materials]) - _contrast(shipped().materials["water"])
    (a, b), (c, d) = found.min(0).tolist(), found.max(0).tolist()
    return (a, c), (b, d)


def _contrast(material: Material) -> npt.NDArray[np.float64]:
    """(2,), one for each pair of energies."""
    mu = np.log(mass_attenuation(material.composition, _PAIRS_MEV))
    return (mu[1::2] - mu[::2]) * _PAIR_SCALE


@cache
def _table() -> Mapping[str, dict]:
    return tomllib.loads((files("leadline.datasets") / "data" / "appearance.toml").read_text("utf-8"))


@cache
def _headings() -> Mapping[str, str]:
    """The entry of each heading."""
    return {heading: name for name, entry in _table().items() for heading in entry.get("headings", ())}


@lru_cache(maxsize=16)
def _phrases(cat: Catalogue) -> Phrases:
    """Phrases of all entries, and those of the word list, which mean no goods here but hide words in them."""
    meanings: dict[str, frozenset[str]] = dict.fromkeys(word_list(cat), frozenset())
    for name, entry in _table().items():
        for phrase in entry.get("words", ()):
            meanings[phrase] = meanings.get(phrase, frozenset()) | {name}
    return phrases(meanings)
