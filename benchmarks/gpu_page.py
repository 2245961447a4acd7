"""The documentation's page of runs on GPUs, from those kept in results/; docs/generate.py writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from figures import seconds_text

RESULTS = Path(__file__).resolve().parent / "results"

HEAD = """# Models on a GPU: measured

500 XGBoost trees of depth 6 on 100 float32 columns, 3 % of the numbers missing, in the card's memory, with the answer
there. Every call is timed with the wait for its end, medians of one run; before that, mlcore's outputs are compared
with the CPU's and must have its bits, and rows of others that are more than 1e-5 off are counted. `mlcore` is what was
chosen when the model was loaded, the lines with a form force it ([forms](design/0009-devices.md#forests)). *A thread
for each row* is the straightforward kernel over the same trees, without fused products. `make bench-gpu` measures;
`RECORD=1` keeps the run.
"""
GOALS = {"rows_per_second": 0.5e9, "copy_share": 0.6, "one_row": 15e-6}


def _rate(rows: float, seconds: float) -> str:
    rate = rows / seconds
    return f"{rate / 1e9:.3g} G" if rate >= 1e9 else f"{rate / 1e6:.3g} M" if rate >= 1e6 else f"{rate / 1e3:.3g} k"


def _forest(run: dict[str, Any]) -> list[str]:
    lines, forest = [], run["forest"]
    for layout, by_rows in forest["seconds"].items():
        names = list(dict.fromkeys(name for times in by_rows.values() for name in times))
        lines += [
            f"### Rows per second, the matrix by {layout}",
            "",
            "| contestant | " + " | ".join(f"{int(rows):,}" for rows in by_rows) + " | rows off |",
            "|---|" + "---:|" * (len(by_rows) + 1),
        ]
        for name in names:
            cells = []
            for rows, times in by_rows.items():
                if name not in times:
                    cells.append("")
                    continue
                ratio = "" if name == "mlcore" else f" ({times[name] / times['mlcore']:.2g} x)"
                cells.append(_rate(int(rows), times[name]) + ratio)
            lines.append(f"| {name} | " + " | ".join(cells) + f" | {forest['rows_off'][name]:,} |")
        lines.append("")
    lines += [f"* {name}: {why}" for name, why in forest["refuses"].items()]
    lines += ["", "`x`: times mlcore's time. Chosen: " + "; ".join(how for _, how in forest["chosen"]) + ".", ""]
    return lines


def figures(run: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What was found, what it is held to, and whether it is reached."""
    work = run["work"]
    by_rows = run["forest"]["seconds"]["columns"]
    rows, times = list(by_rows.items())[-1]
    rate = int(rows) / times["mlcore"]
    loads = 2 * work["depth"] + 1
    bound = run["shared_words_per_second"] / work["trees"] / loads
    largest, transform = list(run["transform"].items())[-1]
    share = transform["bytes"] / transform["seconds"] / run["copy_bytes_per_second"]
    one = run["one_row"]["host"][0]

    def reached(yes: bool) -> str:
        return "reached" if yes else "not reached"

    return [
        (
            f"forest, {int(rows):,} rows: {_rate(int(rows), times['mlcore'])} rows/s",
            f"a walk in shared memory, {loads} words for a row and tree: {bound / 1e9:.3g} G rows/s",
            f"at least 0.5 G rows/s: {reached(rate >= GOALS['rows_per_second'])}",
        ),
        (
            f"impute and scale, {int(largest):,} rows: {transform['bytes'] / transform['seconds'] / 1e9:.4g} GB/s",
            f"a copy in the card's memory: {run['copy_bytes_per_second'] / 1e9:.4g} GB/s",
            f"at least 60 % of it: {reached(share >= GOALS['copy_share'])} ({100 * share:.3g} %)",
        ),
        (
            f"one row of the host: {seconds_text(one)} (99 %: {seconds_text(run['one_row']['host'][1])})",
            "",
            f"at most 15 us: {reached(one <= GOALS['one_row'])}",
        ),
    ]


def table(run: dict[str, Any]) -> str:
    """The tables of a run, and what it was measured on."""
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    lines = [
        f"## {run['card']}, {run['date']}",
        "",
        f"Driver {run['driver']}, CUDA {run['cuda']}; {versions}.",
        "",
        "| figure | what the card can do | reach |",
        "|---|---|---|",
        *("| " + " | ".join(one) + " |" for one in figures(run)),
        "",
        *_forest(run),
        "### All else",
        "",
        "| what | |",
        "|---|---:|",
    ]
    for rows, one in run["transform"].items():
        speed = one["bytes"] / one["seconds"]
        share = 100 * speed / run["copy_bytes_per_second"]
        lines.append(f"| impute and scale, {int(rows):,} rows | {speed / 1e9:.4g} GB/s, {share:.3g} % of a copy |")
    for rows, one in run["road"].items():
        count = int(rows)
        lines += [
            f"| NumPy to NumPy, {count:,} rows | {_rate(count, one['host'])} rows/s |",
            f"| a dict of the device's columns, {count:,} rows | {_rate(count, one['columns'])} rows/s |",
            f"| the same on the CPU, {one['cpu_threads']} threads | {_rate(count, one['cpu'])} rows/s |",
        ]
    for name, (median, most) in run["one_row"].items():
        lines.append(
            f"| one row of the {name}, median and 99th percentile | {seconds_text(median)}, {seconds_text(most)} |"
        )
    return "\n".join(lines) + "\n"


def page() -> str:
    """The page, from the runs that were kept."""
    kept = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("gpu-*.json"))]
    return HEAD + "\n" + ("\n".join(table(run) for run in kept) if kept else "No run was kept yet.\n")
