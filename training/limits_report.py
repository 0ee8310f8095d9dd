"""The answer of `leadline limits` as charts, a table and a page."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from leadline.training import charts
from leadline.training.likeness import Likeness
from leadline.training.limits import PATCH_CM2, Limits, found_from
from leadline.training.page import render

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def page(found: Limits, command: str = "") -> str:
    """The report, HTML."""
    own = found.pairs.get(found.name)
    return render(
        "limits.html.j2",
        l=found,
        q=found.question,
        need=found.question.need,
        patch=PATCH_CM2[found.machine.kind],
        command=command,
        kilograms=kilograms,
        figure=figure,
        found_from=found_from(found),
        charts={
            "mass": charts.figure(mass_chart(found), "Least mass over the thickness of the cover", (5.2, 4.4)),
            "ratio": charts.figure(ratio_chart(own, found.name), "Difference of the low channel", (5.2, 4.4))
            if own is not None
            else "",
        },
    )


def table(found: Limits) -> str:
    """The answer as Markdown."""
    q = found.question
    lines = [
        f"{words(q.material)} ({found.threat.density:.3g} g/cm3) behind {words(q.cover)} "
        f"({found.cover_density:.3g} g/cm3), scanner {found.name}, {found.machine.quanta[0]:,.0f} and "
        f"{found.machine.quanta[1]:,.0f} quanta in a pixel of {found.machine.pixel_mm:.3g} mm. Least mass to find "
        f"{100 * q.found:g} % at {100 * q.false_alarms:g} % false alarms (d' {q.need:.2f}); d' of "
        f"{kilograms(found.mass_kg)}. By material: more or less of the cover, up to six times as much, may explain "
        "each pixel as well.",
        "",
        f"| {words(q.cover)}, mm | -ln T | d' | d'm | least mass, goods known | least mass, by material |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for s in found.steps:
        told = kilograms(s.least_material)
        if s.gaps:
            told += ", but not " + ", ".join(f"{kilograms(a)} to {kilograms(b)}" for a, b in s.gaps)
        lines.append(
            f"| {s.cover_mm:.3g} | {s.attenuation:.2f} | {figure(s.d_known)} | {figure(s.d_material)} "
            f"| {kilograms(s.least_known)} | {told} |"
        )
    if found.pairs:
        lines += ["", f"Told from {words(q.cover)} by a patch of {PATCH_CM2[found.machine.kind]:g} cm2:", ""]
        lines += ["| energies | not told apart at | same at |", "| --- | --- | --- |"]
        for pair, like in found.pairs.items():
            same = ", ".join(f"{c:.2f}" for c in like.crossings)
            lines.append(f"| {pair} | {like.words() if like.alike else 'nowhere'} | {same or '–'} |")
    if found.alike:
        lines += ["", f"To {found.name}, {words(q.material)} also looks like:", ""]
        lines += [f"- {words(like.second)}: {like.words()}" for like in found.alike[:8]]
    if found.levels:
        lines += [
            "",
            f"{found.model} on the same scenes, {found.levels[0].scans} scans with and without:",
            "",
            "| cover, mm | mass | d' ideal | d'm ideal | d' model | efficiency | alarms with, without |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        for v in found.levels:
            lines.append(
                f"| {10 * v.cover_cm:.3g} | {kilograms(v.mass_kg)} | {figure(v.d_known)} | {figure(v.d_material)} "
                f"| {v.d_model:.2f} ({v.low:.2f} to {v.high:.2f}) | {100 * v.efficiency[0]:.2g} % "
                f"| {100 * v.alarms:.0f} %, {100 * v.alarms_without:.0f} % |"
            )
        lines += ["", "Least mass at which its d' is the needed one:", ""]
        lines += [f"- {cover:.3g} mm: {kilograms(mass)}" for cover, mass in found_from(found)]
    return "\n".join(lines) + "\n"


def kilograms(mass: float | None) -> str:
    """A mass in the unit that suits it; `never` for none."""
    if mass is None:
        return "never"
    for unit, size in (("t", 1e3), ("kg", 1.0), ("g", 1e-3), ("mg", 1e-6)):
        if mass >= size:
            return f"{float(f'{mass / size:.2g}'):g} {unit}"
    return f"{float(f'{mass * 1e6:.2g}'):g} mg"


def figure(value: float) -> str:
    """A number of three figures, without powers of ten up to a million."""
    return f"{value:,.0f}" if 1000 <= value < 1e6 else f"{value:.3g}"


def words(name: str) -> str:
    """A name of the catalogue for people."""
    return name.replace("_", " ")


def mass_chart(found: Limits) -> Callable[[Axes], None]:
    """Least mass over the thickness of the cover, and what a model finds."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    def draw(axes: Axes) -> None:
        cover = np.array([s.cover_mm for s in found.steps])
        for k, (name, words) in enumerate(
            (("least_known", "goods and place known"), ("least_material", "by material, amount of cover unknown"))
        ):
            least = np.array([getattr(s, name) or np.nan for s in found.steps])
            axes.plot(cover, least, color=charts.COLOURS[k], linestyle=charts.DASHES[k], label=words)
        never = [s.cover_mm for s in found.steps if s.least_material is None]
        if never and never[-1] == found.steps[-1].cover_mm:
            start = max((s.cover_mm for s in found.steps if s.least_material is not None), default=never[0])
            axes.axvspan(start, cover[-1], color=charts.COLOURS[1], alpha=0.1, linewidth=0)
            axes.text((start + cover[-1]) / 2, 0.97, "never by material", ha="center", va="top",
                      transform=axes.get_xaxis_transform(), color=charts.COLOURS[1])  # fmt: skip
        known = [(cover_mm, mass) for cover_mm, mass in found_from(found) if mass is not None]
        if known:
            axes.plot(*zip(*known, strict=True), color=charts.COLOURS[2], linestyle=":", marker="o", markersize=4,
                      label=f"{found.model} reaches the same d′")  # fmt: skip
        axes.set(yscale="log", xlim=(cover[0], cover[-1]))
        axes.set(xlabel=f"{found.question.cover.replace('_', ' ')}, mm", ylabel="least mass")
        axes.yaxis.set_major_locator(LogLocator(10, numticks=12))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda mass, _: kilograms(mass)))
        axes.yaxis.set_minor_formatter(NullFormatter())
        charts.above(axes)

    return draw


def ratio_chart(found: Likeness, name: str) -> Callable[[Axes], None]:
    """Difference of the low channel at equal high-energy attenuation, beside its noise in a pixel."""

    def draw(axes: Axes) -> None:
        noise = np.abs(found.difference) / np.maximum(found.separation, 1e-12)
        first, second = (n.replace("_", " ") for n in (found.first, found.second))
        axes.fill_between(found.depth, -noise, noise, color=charts.COLOURS[4], alpha=0.15, linewidth=0,
                          label="noise of a pixel")  # fmt: skip
        axes.axhline(0, color="#999999", linewidth=0.8)
        axes.plot(found.depth, found.difference, color=charts.COLOURS[0], label=f"{first} − {second}")
        for k, (a, b) in enumerate(found.alike):
            axes.axvspan(a, max(b, a + 0.05), color=charts.COLOURS[1], alpha=0.15, linewidth=0,
                         label="not told apart" if k == 0 else None)  # fmt: skip
        reach = 1.3 * max(float(np.abs(found.difference).max()), 0.02)
        axes.set(xlim=(0, found.depth[-1]), ylim=(-reach, reach))
        axes.set(xlabel=f"−ln T, high channel of {name}", ylabel="difference of −ln T, low channel")
        charts.above(axes, 3)

    return draw
