"""Charts of two models on the same scans: score against score, and what became of the threats of each group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from leadline.training.charts import COLOURS, above

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKS = {"honest": ("#9a958f", "o", 7), "beyond": (COLOURS[3], "s", 10), "threat": (COLOURS[1], "^", 14)}
"""Colour, form and size of a dot: honest scans, threats beyond physics, other threats."""

_SCORES = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
_FATES = (("kept", "both find", COLOURS[0]), ("learned", "learned", COLOURS[2]),
          ("forgotten", "forgotten", COLOURS[1]), ("missed", "neither finds", "#c9c4be"))  # fmt: skip


def scatter_chart(
    groups: Mapping[str, tuple[str, npt.NDArray[np.float64]]],
    limits: tuple[float, float],
    axes_words: tuple[str, str],
    corners: tuple[str, str],
    *,
    as_scores: bool = False,
) -> Callable[[Axes], None]:
    """One model's score over the other's, with both thresholds.

    Args:
        groups: words of a group to its key in `MARKS` and its logits, (n, 2): first and second model.
        limits: threshold of each model, logits.
        axes_words: of the axes.
        corners: words in the corner where only the second model alarms, and where only the first does.
        as_scores: the ticks are scores, 0 to 1, in place of logits.
    """

    def draw(axes: Axes) -> None:
        for words, (key, points) in groups.items():
            colour, mark, size = MARKS[key]
            axes.scatter(points[:, 0], points[:, 1], s=size, c=colour, marker=mark, alpha=0.55, linewidth=0,
                         label=f"{words} ({len(points)})")  # fmt: skip
        every = np.concatenate([points for _, points in groups.values()] + [np.array([limits], float)])
        low, high = every.min(0), every.max(0)
        reach = 0.06 * (high - low) + 1e-6
        axes.set(xlim=(low[0] - reach[0], high[0] + reach[0]), ylim=(low[1] - reach[1], high[1] + reach[1]))
        axes.axvline(limits[0], color="#333333", linewidth=0.8, linestyle=(0, (4, 2)))
        axes.axhline(limits[1], color="#333333", linewidth=0.8, linestyle=(0, (4, 2)))
        box: Any = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}
        axes.text(0.02, 0.98, corners[0], transform=axes.transAxes, va="top", color="#333333", bbox=box)
        axes.text(0.98, 0.02, corners[1], transform=axes.transAxes, ha="right", color="#333333", bbox=box)
        if as_scores:
            for which in (axes.xaxis, axes.yaxis):
                least, most = which.get_view_interval()
                shown = [s for s in _SCORES if least <= np.log(s / (1 - s)) <= most]
                which.set_ticks([float(np.log(s / (1 - s))) for s in shown], [f"{s:g}" for s in shown])
        axes.set(xlabel=axes_words[0], ylabel=axes_words[1])
        above(axes, 2, handletextpad=0.1)

    return draw


def fates_chart(groups: Mapping[str, Mapping[str, int]]) -> Callable[[Axes], None]:
    """Of each group's threats: found by both models, learned, forgotten, found by neither; numbers of scans."""

    def draw(axes: Axes) -> None:
        at = np.arange(len(groups))[::-1]
        start = np.zeros(len(groups))
        for key, words, colour in _FATES:
            count = np.array([g[key] for g in groups.values()], float)
            axes.barh(at, count, left=start, color=colour, height=0.72, label=words, edgecolor="white", linewidth=0.5)
            for y, x, n in zip(at, start, count, strict=True):
                if n:
                    axes.text(x + n / 2, y, f"{n:.0f}", ha="center", va="center", fontsize=7.5,
                              color="#333333" if key == "missed" else "white")  # fmt: skip
            start += count
        axes.set_yticks(at, [name.replace("_", " ") for name in groups])
        axes.set(xlabel="threats, number of scans", ylim=(-0.6, len(groups) - 0.4))
        axes.locator_params(axis="x", integer=True)
        axes.grid(axis="y", visible=False)
        above(axes, 4, handlelength=1)

    return draw


def height_of(groups: Sequence[Any] | Mapping[str, Any]) -> float:
    """Height of `fates_chart`, inches."""
    return 1.1 + 0.3 * max(len(groups), 1)
