"""Sentences for people: why a verdict is what it is, and what physics does not allow to say."""

from __future__ import annotations

from collections.abc import Sequence

from leadline.datasets.materials import catalogue
from leadline.datasets.scan import Declaration, Fidelity, Kind
from leadline.inference.quality import Quality
from leadline.inference.regions import Opaque, Region

UNTOLD: dict[tuple[Kind, str], str] = {
    ("container", "antimony"): (
        "At megavolt energies antimony and lead have nearly the same energy ratio: shape, mass and declaration "
        "must tell them apart."
    ),
    ("container", "rare_earth_oxide"): (
        "Other heavy powders, such as barium and tin compounds, look much like rare-earth oxide at these energies."
    ),
    ("container", "rare_earth_magnet"): "The energies tell rare-earth magnets from iron and steel only weakly here.",
    ("parcel", "antimony"): "Tin, silver and barium compounds look much like antimony at these energies.",
    ("parcel", "rare_earth_oxide"): (
        "Barium, tin and antimony compounds look much like rare-earth oxide at these energies."
    ),
    ("parcel", "rare_earth_magnet"): (
        "Steel mixed with a heavier metal looks much like rare-earth magnets at these energies."
    ),
}
"""What two energies cannot tell apart, by kind of scanner and family."""

LONGEST_GOODS = 60
"""A longer description is shortened in a sentence; the verdict has it whole beside its reasons."""

MOST_PLACES = 3
"""So many places get a sentence of their own."""


def alarm(score: float, threshold: float, declaration: Declaration | None) -> str:
    return (
        f"Undeclared watch-list material is likely: score {score:.3f}, threshold {threshold:.3f}; "
        f"{declared_goods(declaration)}."
    )


def below(score: float, threshold: float) -> str:
    return f"No sign of undeclared watch-list material: score {score:.3f}, threshold {threshold:.3f}."


def places(regions: Sequence[Region], kind: Kind, fidelity: Fidelity = "dual") -> list[str]:
    """One sentence a place, then one a family on what the energies cannot tell."""
    said = []
    for region in regions[:MOST_PLACES]:
        size = f" of {area(region.area_cm2)}" if region.area_cm2 is not None else ""
        mass = f", {mass_range(region.mass_kg)}," if region.mass_kg else ""
        said.append(
            f"A region{size}{mass} looks like {title(region.family)}, probability {percent(region.probability)}."
        )
    if len(regions) > MOST_PLACES:
        more = len(regions) - MOST_PLACES
        said.append(f"{more} more {'places look' if more > 1 else 'place looks'} like watch-list material.")
    if fidelity == "dual":
        families = dict.fromkeys(r.family for r in regions[:MOST_PLACES])
        said += [UNTOLD[kind, f] for f in families if (kind, f) in UNTOLD]
    return said


def hidden(opaque: Sequence[Opaque], declaration: Declaration | None) -> list[str]:
    """What nothing penetrates and the declaration does not explain."""
    if not opaque:
        return []
    said = declared_goods(declaration)
    because = f"{said}, which does not explain it" if _known(declaration) else f"{said} that would explain it"
    return [f"Nothing penetrates {_extent(opaque)}; {because}. What lies there was not seen."]


def opaque_explained(opaque: Sequence[Opaque], declaration: Declaration | None) -> str:
    return f"Nothing penetrates {_extent(opaque)}, as {goods(declaration)} may honestly do; it was not seen through."


def mostly_opaque(quality: Quality, declaration: Declaration | None) -> str:
    return (
        f"Nothing penetrates {percent(quality.unpenetrated_goods)} of the goods. {_sentence(goods(declaration))} may "
        "honestly do that, but they were not screened: scan at a higher energy or from another side."
    )


def explained(
    declared: Sequence[str],
    probability: dict[str, float],
    declaration: Declaration | None,
    score: float,
    threshold: float,
) -> str:
    family = max(declared, key=lambda f: probability[f])
    return (
        f"What was found looks like {title(family)}, probability {percent(probability[family])}, and the declaration "
        f"({goods(declaration)}) explains it: score {score:.3f}, threshold {threshold:.3f}."
    )


def novel(novelty: float) -> str:
    return (
        f"The scan is unlike those the model was fitted on ({novelty:.1f} times the accepted distance): "
        "check scanner kind and settings; a person must judge it."
    )


def fidelity(kind: Fidelity, quality: Quality | None = None) -> list[str]:
    """What the measurement itself does not allow; with the quality, how far colours leave it open."""
    if kind == "single":
        return ["Only one energy was measured: materials cannot be told. Scan with two energies."]
    if kind == "pseudocolour":
        said = [
            "Transmissions were estimated from the vendor's colours: materials can hardly be told and masses are "
            "rough. Use the scanner's 16-bit data for a verdict that counts."
        ]
        if quality is not None and quality.ratio_sd == quality.ratio_sd:
            said.append(
                f"The colours leave the attenuation of the goods open by {percent(quality.attenuation_sd)} and their "
                f"energy ratio by {quality.ratio_sd:.2f}; the mass ranges allow for it."
            )
        return said
    return []


def one_energy_only(quality: Quality) -> str:
    return (
        f"In {percent(quality.one_energy_fraction)} of the goods only the high energy gets through: "
        "materials cannot be told there."
    )


def no_reading(quality: Quality) -> str:
    return (
        f"Nothing arrives in {percent(quality.unpenetrated_fraction)} of the picture: check that the beam was on and "
        "the file is whole, and scan again."
    )


def swapped() -> str:
    return (
        "The low-energy channel is more transparent than the high-energy one, which no goods are: "
        "the channels are swapped or wrongly normalised."
    )


def noisy(noise: float, limit: float) -> str:
    return f"Too noisy: {percent(noise)} a pixel in the bright parts, {percent(limit)} is the most that can be judged."


def clipped(fraction: float) -> str:
    return f"{percent(fraction)} of the pixels are clipped below the open beam: check gain and file, and scan again."


def dead_lines(count: int) -> str:
    return f"{count} lines of the picture read nothing: check the detector, and scan again."


def open_beam(level: float) -> str:
    return f"The open beam reads {level:.2f} instead of 1: calibrate the scanner with an empty lane, and scan again."


def title(family: str) -> str:
    """A family's name for people."""
    return next((f.title for f in catalogue().families if f.name == family), family.replace("_", " "))


def percent(share: float) -> str:
    """0.973 -> "97 %"; never rounded to 0 % or 100 % by accident."""
    value = 100 * share
    if 0 < value < 1 or 99 < value < 100:
        return f"{min(max(value, 0.1), 99.9):.1f} %"
    return f"{value:.0f} %"


def area(cm2: float) -> str:
    """Square centimetres below a tenth of a square metre, square metres above."""
    return f"{cm2 / 1e4:.1f} m²" if cm2 >= 1000 else f"{cm2:.0f} cm²"


def mass_range(kilograms: tuple[float, float]) -> str:
    """(0.45, 1.8) -> "450 g to 1.8 kg"; one unit is said once."""
    low, high = (_mass(m) for m in kilograms)
    if low == high:
        return f"about {low[0]} {low[1]}"
    return f"{low[0]} to {high[0]} {high[1]}" if low[1] == high[1] else f"{low[0]} {low[1]} to {high[0]} {high[1]}"


def declared_goods(declaration: Declaration | None) -> str:
    return f"{goods(declaration)} is declared" if _known(declaration) else "nothing is declared"


def _mass(kilograms: float) -> tuple[str, str]:
    value, unit = (kilograms * 1000, "g") if kilograms < 1 else (kilograms, "kg")
    if kilograms >= 1000:
        value, unit = kilograms / 1000, "t"
    return (f"{value:.2g}" if value < 100 else f"{float(f'{value:.2g}'):.0f}"), unit


def _known(declaration: Declaration | None) -> bool:
    return declaration is not None and bool(declaration.description or declaration.hs_code)


def goods(declaration: Declaration | None) -> str:
    """The declared goods in a few words, such as `“tile adhesive” (HS 381600)`."""
    if declaration is None or not _known(declaration):
        return "the goods"
    words = " ".join((declaration.description or "").split())
    if len(words) > LONGEST_GOODS:
        words = words[: LONGEST_GOODS - 1].rstrip() + "…"
    if words and declaration.hs_code:
        return f"“{words}” (HS {declaration.hs_code})"
    return f"“{words}”" if words else f"HS {declaration.hs_code}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _extent(opaque: Sequence[Opaque]) -> str:
    """The largest place, and how much there is in all."""
    areas = [o.area_cm2 for o in opaque]
    known = [a for a in areas if a is not None]
    if len(known) < len(opaque):
        total = sum(o.pixels for o in opaque)
        return f"a region of {total:,} pixels" if len(opaque) == 1 else f"{len(opaque)} regions of {total:,} pixels"
    if len(opaque) == 1:
        return f"a region of {area(known[0])}"
    return f"{len(opaque)} regions of {area(sum(known))} in all, the largest {area(max(known))}"
