"""Counters and durations in the text form that Prometheus reads."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0)
"""Upper bounds of the histograms, seconds."""


class Histogram:
    """A Prometheus histogram of seconds."""

    def __init__(self) -> None:
        self.counts, self.sum, self.total = [0] * len(BUCKETS), 0.0, 0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.total += 1
        self.sum += seconds
        for i, bound in enumerate(BUCKETS):
            self.counts[i] += seconds <= bound

    def lines(self, name: str) -> list[str]:
        """Its lines."""
        told = [f'{name}_bucket{{le="{b:g}"}} {c}' for b, c in zip(BUCKETS, self.counts, strict=True)]
        return [
            *told,
            f'{name}_bucket{{le="+Inf"}} {self.total}',
            f"{name}_sum {self.sum:.6f}",
            f"{name}_count {self.total}",
        ]


class Metrics:
    """What the station counts since it started."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._verdicts: Counter[str] = Counter()
        self._responses: Counter[tuple[str, int]] = Counter()
        self._failures = 0
        self._elapsed, self._waited = Histogram(), Histogram()

    def judged(self, verdict: str, elapsed_s: float, since_arrival_s: float) -> None:
        """A scan was judged."""
        with self._lock:
            self._verdicts[verdict] += 1
            self._elapsed.observe(elapsed_s)
            self._waited.observe(since_arrival_s)

    def failed(self) -> None:
        """A scan could not be judged."""
        with self._lock:
            self._failures += 1

    def answered(self, method: str, status: int) -> None:
        """A request was answered."""
        with self._lock:
            self._responses[method if method in ("GET", "POST", "PUT", "DELETE") else "other", status] += 1

    def text(self, gauges: Mapping[str, tuple[str, float]]) -> str:
        """Everything, in Prometheus' text form.

        Args:
            gauges: name to help line and value, of what is measured now.
        """
        out: list[str] = []

        def family(name: str, kind: str, help_line: str, lines: list[str]) -> None:
            out.extend([f"# HELP {name} {help_line}", f"# TYPE {name} {kind}", *lines])

        with self._lock:
            verdicts = [
                f'leadline_verdicts_total{{verdict="{w}"}} {self._verdicts[w]}' for w in ("clear", "inspect", "rescan")
            ]
            family("leadline_verdicts_total", "counter", "Scans judged, by verdict.", verdicts)
            family(
                "leadline_failures_total", "counter", "Scans that could not be judged.",
                [f"leadline_failures_total {self._failures}"],
            )  # fmt: skip
            for name, words, histogram in (
                ("leadline_judging_seconds", "Reading and judging one scan.", self._elapsed),
                ("leadline_arrival_to_verdict_seconds", "From a scan's arrival to its verdict.", self._waited),
            ):
                family(name, "histogram", words, histogram.lines(name))
            answers = [
                f'leadline_http_responses_total{{method="{m}",status="{s}"}} {n}'
                for (m, s), n in sorted(self._responses.items())
            ]
            family("leadline_http_responses_total", "counter", "Requests answered.", answers)
        for name, (words, value) in gauges.items():
            family(name, "gauge", words, [f"{name} {value:g}"])
        return "\n".join(out) + "\n"
