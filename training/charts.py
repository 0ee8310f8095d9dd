"""Charts as SVG text that stands inside an HTML page, drawn by matplotlib."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import norm

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0b5fa5", "#c4501b", "#4b7a2b", "#7a4b9a", "#6b6b6b")
"""Told apart by people who see few colours; lines differ in their dashes as well."""

DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1, 1, 1)), "-")

_STYLE: Any = {
    "svg.fonttype": "none",  # letters stay letters: small, and found by a search
    "font.size": 9,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


def above(axes: Axes, columns: int = 1, **options: Any) -> None:
    """A legend above the axes, where it hides nothing and nothing of it is cut off."""
    handles, words = axes.get_legend_handles_labels()
    axes.get_figure().legend(  # type: ignore[union-attr]
        handles, words, loc="outside upper left", ncols=columns, columnspacing=1.2, labelspacing=0.25, **options
    )


def figure(draw: Callable[[Axes], None], name: str, size: tuple[float, float] = (4.6, 4.0)) -> str:
    """One chart as an `<svg>` element.

    Args:
        draw: draws into the axes.
        name: of the chart in its page: keeps identifiers of several charts apart.
        size: width and height, inches.
    """
    made = _draw(draw, name, size)
    buffer = io.StringIO()
    with _settings(name):
        made.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # width follows the page, height follows the width
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) width="([\d.]+)pt"', r'\1 style="width:100%"', text, count=1)
    return text.replace("<svg", f'<svg role="img" aria-label="{name}"', 1)


def picture(draw: Callable[[Axes], None], name: str, path: Path, size: tuple[float, float] = (6.4, 4.2)) -> None:
    """The same chart as a PNG file of 150 dots an inch."""
    made = _draw(draw, name, size)
    with _settings(name):
        made.savefig(path, format="png", dpi=150, metadata={"Software": None})


def _draw(draw: Callable[[Axes], None], name: str, size: tuple[float, float]) -> Figure:
    from matplotlib.figure import Figure as Made

    with _settings(name):
        made = Made(figsize=size)
        draw(made.add_subplot())
    return made


def _settings(name: str) -> Any:
    import matplotlib as mpl

    return mpl.rc_context(_STYLE | {"svg.hashsalt": name})


def roc_chart(curves: Mapping[str, Mapping[str, Any]]) -> Callable[[Axes], None]:
    """ROC curves with their bands; the false-alarm rate is logarithmic, since its left end is what matters."""

    from matplotlib.ticker import PercentFormatter

    def draw(axes: Axes) -> None:
        for k, (name, curve) in enumerate(curves.items()):
            x, found, low, high = (np.asarray(curve[key]) for key in ("false_alarms", "found", "low", "high"))
            shown = x >= 1e-3
            axes.fill_between(x[shown], low[shown], high[shown], color=COLOURS[k], alpha=0.15, linewidth=0)
            label = f"{name}, AUC {curve['auc'][0]:.3f}"
            axes.plot(x[shown], found[shown], color=COLOURS[k], linestyle=DASHES[k], label=label)
        chance = np.geomspace(1e-3, 1, 50)
        axes.plot(chance, chance, color="#999999", linewidth=0.8, label="chance")
        axes.set(xscale="log", xlim=(1e-3, 1), ylim=(0, 1), xlabel="honest scans that alarm")
        axes.set_ylabel("threats found")
        axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
        axes.set_xticks([0.001, 0.002, 0.004, 0.01, 0.05, 0.2, 1], ["0.1 %", "0.2", "0.4", "1", "5", "20", "100 %"])
        axes.minorticks_off()
        above(axes)

    return draw


def det_chart(curves: Mapping[str, Mapping[str, Any]]) -> Callable[[Axes], None]:
    """DET curves: misses over false alarms, both on the scale of a normal distribution (A. Martin et al. 1997)."""
    ticks = np.array([0.002, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95])

    def draw(axes: Axes) -> None:
        def deviate(value: Any) -> Any:
            return norm.ppf(np.clip(value, 1e-3, 1 - 1e-3))

        for k, (name, curve) in enumerate(curves.items()):
            x, found, low, high = (np.asarray(curve[key]) for key in ("false_alarms", "found", "low", "high"))
            inside = (x >= 1e-3) & (x <= 1 - 1e-3)
            axes.fill_between(
                deviate(x[inside]), deviate(1 - high[inside]), deviate(1 - low[inside]),
                color=COLOURS[k], alpha=0.15, linewidth=0,
            )  # fmt: skip
            axes.plot(deviate(x[inside]), deviate(1 - found[inside]), color=COLOURS[k], linestyle=DASHES[k], label=name)
        limits = deviate(np.array([0.001, 0.999]))
        axes.plot(limits, -limits, color="#999999", linewidth=0.8, label="chance")
        words = [f"{100 * t:g} %" for t in ticks]
        axes.set_xticks(deviate(ticks), words)
        axes.set_yticks(deviate(ticks), words)
        axes.set(xlim=(limits[0], deviate(0.8)), ylim=(limits[0], deviate(0.999)))
        axes.set(xlabel="honest scans that alarm", ylabel="threats missed")
        above(axes)

    return draw


def calibration_chart(bins: Sequence[Mapping[str, float]]) -> Callable[[Axes], None]:
    """Observed share over stated probability, with Wilson intervals; the area of a dot is the number of scans."""
    from matplotlib.ticker import PercentFormatter

    def draw(axes: Axes) -> None:
        score = np.array([b["score"] for b in bins])
        observed = np.array([b["observed"] for b in bins])
        error = [observed - [b["low"] for b in bins], np.array([b["high"] for b in bins]) - observed]
        count = np.array([b["count"] for b in bins], float)
        axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, label="perfect")
        axes.errorbar(score, observed, yerr=error, fmt="none", ecolor=COLOURS[0], elinewidth=0.9)
        axes.scatter(
            score,
            observed,
            s=8 + 120 * count / count.max(),
            color=COLOURS[0],
            label="scans of this score, with 95 % interval",
        )
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="score", ylabel="scans with undeclared material")
        axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
        above(axes)

    return draw


def mass_chart(pairs: Sequence[Sequence[float]], promised: Sequence[float]) -> Callable[[Axes], None]:
    """Estimated over true mass, with the interval that the model states."""

    def draw(axes: Axes) -> None:
        true, estimate = np.asarray(pairs, float).T
        limits = np.array([min(true.min(), estimate.min()) / 1.5, max(true.max(), estimate.max()) * 1.5])
        axes.fill_between(
            limits, limits / promised[1], limits / promised[0], color=COLOURS[1], alpha=0.12, linewidth=0,
            label="true mass inside the stated interval",
        )  # fmt: skip
        axes.plot(limits, limits, color="#999999", linewidth=0.8, label="right")
        axes.scatter(true, estimate, s=9, color=COLOURS[0], alpha=0.6, linewidth=0, label="threats")
        axes.set(xscale="log", yscale="log", xlim=limits, ylim=limits)
        axes.set(xlabel="true mass, kg", ylabel="estimated mass, kg")
        above(axes)

    return draw


def group_chart(groups: Sequence[Mapping[str, Any]], rate: str) -> Callable[[Axes], None]:
    """Share found of each class at a false-alarm rate, with Wilson intervals."""
    from matplotlib.ticker import PercentFormatter

    def draw(axes: Axes) -> None:
        shown = [g for g in groups if g["found"].get(rate)]
        at = np.arange(len(shown))[::-1]
        found = np.array([g["found"][rate] for g in shown])
        axes.barh(at, found[:, 0], color=COLOURS[0], alpha=0.35, height=0.7)
        axes.errorbar(
            found[:, 0], at, xerr=[found[:, 0] - found[:, 1], found[:, 2] - found[:, 0]],
            fmt="none", ecolor=COLOURS[0], elinewidth=1,
        )  # fmt: skip
        axes.set_yticks(at, [f"{g['name']} ({g['threats']})" for g in shown])
        axes.set(xlim=(0, 1), xlabel=f"threats found at {100 * float(rate):g} % false alarms, with 95 % interval")
        axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
        axes.grid(axis="y", visible=False)

    return draw
