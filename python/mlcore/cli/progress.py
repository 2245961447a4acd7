"""A progress line on a terminal, and nothing anywhere else."""

from __future__ import annotations

import sys
import time

__all__ = ["Progress"]


class Progress:
    """Counts rows on stderr while a terminal is watching.

    Parameters
    ----------
    total : int or None
        Number of rows, if known.
    """

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._rows = 0
        self._start = time.perf_counter()
        self._shown = 0.0
        self._on = sys.stderr.isatty()

    def add(self, rows: int) -> None:
        """Say that so many more rows are done."""
        self._rows += rows
        now = time.perf_counter()
        if self._on and now - self._shown > 0.1:
            self._shown = now
            self._draw(now)

    def close(self) -> None:
        """End the line."""
        if self._on and self._rows:
            self._draw(time.perf_counter())
            print(file=sys.stderr)

    def _draw(self, now: float) -> None:
        rate = self._rows / max(now - self._start, 1e-9)
        if self._total:
            share = min(self._rows / self._total, 1.0)
            bar = ("#" * int(share * 30)).ljust(30, ".")
            text = f"[{bar}] {share:4.0%}  {self._rows:,} rows  {rate:,.0f} rows/s"
        else:
            text = f"{self._rows:,} rows  {rate:,.0f} rows/s"
        print(f"\r{text}\033[K", end="", file=sys.stderr, flush=True)
