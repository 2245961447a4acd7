"""The figures that mlcore is held to: what is measured for each work, and how a run is summed up and shown."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SLOWER_WITH_AVX2 = 2.5  # so many times as long may a forest take where there is no AVX-512
GOALS_WITHOUT_AVX512 = f"Forests may take {SLOWER_WITH_AVX2:g} times as long here as with AVX-512."
DATA = HERE.parent / "build" / "bench-data"

BOOSTED = ["original", "mlcore", "mlcore, AVX2", "oneDAL", "TL2cgen", "ONNX Runtime", "treelite"]
# work: contestants, rounds, single rows per turn
WORKS: dict[str, tuple[list[str], int, int]] = {
    "encoded": (BOOSTED, 7, 2_000),
    "leaves": ([*BOOSTED, "lleaves"], 7, 2_000),
    "deep": (["original", "mlcore", "mlcore, AVX2", "oneDAL", "ONNX Runtime", "treelite"], 5, 0),
    "unpruned": (["original", "mlcore", "mlcore, AVX2", "ONNX Runtime", "treelite", "YDF"], 3, 0),
    "whole-road": (["original", "mlcore", "mlcore, AVX2", "ONNX Runtime", "Polars, features alone"], 7, 2_000),
    "large": (["original", "mlcore"], 3, 0),
}


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes
    ----------
    work, what : str
        The work, and what of it is shown.
    value : str or callable
        The key of a contestant's result, or a function of the result.
    unit : str
        ``"ns/row/tree"``, ``"rows/s"``, ``"s"`` (any time) or ``"x"``.
    than : dict of str to float
        How many times faster than a contestant mlcore should be.
    at_most : float, optional
        What the value itself should not exceed.
    limit : str, optional
        ``"read"``: the input is read once from memory; ``"sum"``: one addition per tree, each waiting for the one
        before; ``"file"``: the artifact is read once from memory.
    peers : bool
        Whether contestants have the value as well.
    """

    work: str
    what: str
    value: str | Callable[[dict[str, Any]], float | None]
    unit: str
    than: dict[str, float]
    at_most: float | None = None
    limit: str | None = None
    peers: bool = True


def _row(position: int, what: str = "row_seconds") -> Callable[[dict[str, Any]], float | None]:
    return lambda result: result[what][position] if what in result else None


def _memory(result: dict[str, Any]) -> float | None:
    return result["build_bytes"] / result["loaded_bytes"] if "build_bytes" in result else None


def _to_ready(result: dict[str, Any]) -> float | None:
    """From disk to ready; a library that saves nothing converts each time."""
    return result.get("load_seconds", result.get("build_seconds"))


FIGURES = [
    Figure("encoded", "500 XGBoost trees of depth 6, 185 float32 columns, 100,000 rows, margin", "batch_seconds",
           "ns/row/tree", {"oneDAL": 12, "original": 25}, limit="read"),
    Figure("leaves", "500 LightGBM trees of 64 leaves, the same rows as encoded, margin", "batch_seconds",
           "ns/row/tree", {"lleaves": 12}, limit="read"),
    Figure("deep", "1,000 XGBoost trees of depth 8, 60 columns, 100,000 rows", "batch_seconds", "ns/row/tree",
           {"original": 8}, limit="read"),
    Figure("unpruned", "forest of 200 unpruned scikit-learn trees, 30 columns, 100,000 rows", "batch_seconds",
           "ns/row/tree", {"original": 5}, limit="read"),
    Figure("whole-road", "34 raw columns in Arrow to 200 trees of depth 6 to a probability, 100,000 rows",
           "batch_seconds", "rows/s", {"original": 40, "Polars, features alone": 5}, limit="read"),
    Figure("whole-road", "one raw row as a dict, from Python, median", _row(0), "s", {}, 5e-6, "sum"),
    Figure("whole-road", "one raw row as a dict, from Python, 99th percentile", _row(1), "s", {}, 15e-6, "sum"),
    Figure("whole-road", "the same row from C, its columns set and its answer read, median",
           _row(0, "c_row_seconds"), "s", {}, 2e-6, "sum", peers=False),
    Figure("encoded", "one encoded float32 row, 500 XGBoost trees, from Python, median", _row(0), "s", {}, 2.5e-6,
           "sum"),
    Figure("leaves", "one encoded float32 row, 500 LightGBM trees, from Python, median", _row(0), "s", {}, 2.5e-6,
           "sum"),
    Figure("encoded", "load of the XGBoost model from disk to ready; mlcore: validated, golden rows replayed",
           _to_ready, "s", {}, 50e-3, "file"),
    Figure("leaves", "load of the LightGBM model", _to_ready, "s", {}, 50e-3, "file"),
    Figure("encoded", "from XGBoost's model to what is loaded: convert or compile; mlcore: with the proof of parity",
           "build_seconds", "s", {}),
    Figure("leaves", "from LightGBM's model to what is loaded", "build_seconds", "s", {}),
    Figure("large", "compile 5,000 trees of 3 million nodes", "build_seconds", "s", {}, 10.0, peers=False),
    Figure("large", "peak memory of that compilation, times the loaded model's", _memory, "x", {}, 4.0, peers=False),
    Figure("large", "load of 5,000 trees of 3 million nodes", _to_ready, "s", {}, 1.0, "file"),
]  # fmt: skip


def instruction_set() -> str:
    """The best that mlcore finds here."""
    path = Path("/proc/cpuinfo")
    flags = path.read_text().split() if path.exists() else []
    return "AVX-512" if "avx512vbmi" in flags else "AVX2" if "avx2" in flags else "baseline"


def measure(works: list[str], threads: int, *, small: bool = False) -> dict[str, Any]:
    """Run the works; what was found, limits included."""
    from duel import duel
    from limits import measure as measure_limits

    out: dict[str, Any] = {"threads": threads, "instruction_set": instruction_set(), "works": {}}
    for work in works:
        names, rounds, row_count = WORKS[work]
        if instruction_set() != "AVX-512":
            names = [name for name in names if name != "mlcore, AVX2"]
        folder = DATA / (f"{work}-small" if small else work)
        # fitting leaves nothing behind in this process
        subprocess.run([sys.executable, HERE / "works.py", work, folder, *(["--small"] if small else [])], check=True)
        print(f"{work}: {', '.join(names)}", file=sys.stderr, flush=True)
        limits = measure_limits(HERE.parent / "build" / "bench", threads)
        found = duel(names, folder, threads, rounds, row_count)
        _check(work, found)
        facts = json.loads((folder / "work.json").read_text())
        out["works"][work] = facts | {"input_bytes": _input_bytes(folder), "limits": limits, "contestants": found}
    out["figures"] = [line for figure in FIGURES if (line := sum_up(figure, out)) is not None]
    return out


def _check(work: str, found: dict[str, Any]) -> None:
    for name in ("mlcore", "mlcore, AVX2"):
        one = found.get(name, {"refuses": ""})
        if "refuses" in one:
            assert name != "mlcore", f"{work}: mlcore refuses: {one['refuses']}"
            continue
        exact = one.get("margin_exact", one["exact"])
        assert exact, f"{work}: {name}'s margins differ from the original's by up to {one['max_difference']}"
        assert one["rows_off"] == 0, f"{work}: {name} has {one['rows_off']} rows off"


def _input_bytes(folder: Path) -> int:
    """What must be read at least: the values, and not the file around them, which is small beside them."""
    files = [folder / name for name in ("X.npy", "table.arrow")]
    return sum(path.stat().st_size for path in files if path.exists())


def sum_up(figure: Figure, run: dict[str, Any]) -> dict[str, Any] | None:
    """One line of the table from what was found, or None when the work was not run."""
    work = run["works"].get(figure.work)
    if work is None:
        return None
    get = figure.value if callable(figure.value) else lambda result: result.get(figure.value)
    values = {name: get(result) for name, result in work["contestants"].items() if "refuses" not in result}
    values = {name: value for name, value in values.items() if value is not None}
    if "mlcore" not in values:
        return None
    ours = values["mlcore"]
    peers = {name: value for name, value in values.items() if not name.startswith("mlcore")} if figure.peers else {}
    whole = {name: value for name, value in peers.items() if not name.endswith("alone")}
    line = {"work": figure.work, "what": figure.what, "unit": figure.unit, "mlcore": ours, "peers": peers}
    if "mlcore, AVX2" in values:
        line["avx2"] = values["mlcore, AVX2"]
    if whole:
        line["best_peer"] = min(whole, key=lambda name: whole[name])
        line["ratio"] = peers[line["best_peer"]] / ours
    slower = 1.0 if run["instruction_set"] == "AVX-512" else SLOWER_WITH_AVX2
    line["reach"] = [
        {"than": name, "ratio": ratio / slower, "found": peers[name] / ours if name in peers else None}
        for name, ratio in figure.than.items()
    ]
    if figure.at_most is not None:
        is_row = figure.limit == "sum"
        line["reach"].append({"at_most": figure.at_most * (slower if is_row else 1.0), "found": ours})
    limit = _limit(figure, work)
    if limit is not None:
        line |= {"limit_seconds": limit[0], "limit": limit[1], "limit_share": limit[0] / ours}
    return line


def _limit(figure: Figure, work: dict[str, Any]) -> tuple[float, str] | None:
    limits = work["limits"]
    if figure.limit is None or not limits:
        return None
    if figure.limit == "sum":
        return work["trees"] * limits["add_seconds"], f"{work['trees']} additions in order"
    size = work["input_bytes"] if figure.limit == "read" else work["contestants"]["mlcore"]["file_bytes"]
    speed = limits["read_bytes_per_second"]
    return size / speed, f"reading {size / 1e6:.3g} MB at {speed / 1e9:.3g} GB/s"


# -- how it is shown ----------------------------------------------------------------------------------------------


def seconds_text(seconds: float) -> str:
    """A time with its unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def value_text(value: float, unit: str, work: dict[str, Any]) -> str:
    """A value as the table shows it."""
    if unit == "ns/row/tree":
        return f"{value / work['rows'] / work['trees'] * 1e9:.3g} ns/row/tree"
    if unit == "rows/s":
        return f"{work['rows'] / value / 1e6:.3g} M rows/s"
    return f"{value:.3g} x" if unit == "x" else seconds_text(value)


def _reach_text(goal: dict[str, Any], line: dict[str, Any], work: dict[str, Any]) -> str:
    if "than" in goal:
        wanted = f"{goal['ratio']:g} x {goal['than']}"
        if goal["found"] is None:
            return f"{wanted}: not measured"
        return f"{wanted}: {'reached' if goal['found'] >= goal['ratio'] else 'not reached'} ({goal['found']:.3g} x)"
    wanted = f"at most {value_text(goal['at_most'], line['unit'], work)}"
    return f"{wanted}: {'reached' if goal['found'] <= goal['at_most'] else 'not reached'}"


def figures_table(run: dict[str, Any]) -> str:
    """The figures with their best peer, goal and physical limit."""
    lines = [
        "| work | figure | best peer | mlcore | ratio | reach | physical limit, and its share of mlcore's time |",
        "|---|---|---:|---:|---:|---|---|",
    ]
    for line in run["figures"]:
        work, unit = run["works"][line["work"]], line["unit"]
        peer = "-"
        if "best_peer" in line:
            peer = f"{line['best_peer']}, {value_text(line['peers'][line['best_peer']], unit, work)}"
        ours = value_text(line["mlcore"], unit, work)
        if "avx2" in line:
            ours += f"; AVX2 {value_text(line['avx2'], unit, work)}"
        ratio = f"{line['ratio']:.3g} x" if "ratio" in line else "-"
        reach = "; ".join(_reach_text(goal, line, work) for goal in line["reach"]) or "-"
        limit = f"{line['limit']}: {100 * line['limit_share']:.2g} %" if "limit" in line else "-"
        lines.append(f"| {line['work']} | {line['what']} | {peer} | {ours} | {ratio} | {reach} | {limit} |")
    return "\n".join(lines) + "\n"


def contestants_table(run: dict[str, Any]) -> str:
    """Every contestant of every work: time, ratio to mlcore, rows off, or why it did not run."""
    lines = ["| work | contestant | whole table | times mlcore's | one row | rows off | build | load |"]
    lines.append("|---|---|---:|---:|---:|---:|---:|---:|")
    for name, work in run["works"].items():
        ours = work["contestants"]["mlcore"]["batch_seconds"]
        unit = "rows/s" if name == "whole-road" else "ns/row/tree"
        for who, one in work["contestants"].items():
            if "refuses" in one:
                reason = one["refuses"].replace("|", "\\|")
                lines.append(f"| {name} | {who} | {reason} | | | | | |")
                continue
            row = seconds_text(one["row_seconds"][0]) if "row_seconds" in one else ""
            off = f"{one['rows_off']:,}" if "rows_off" in one else "features equal"
            build, load = (seconds_text(one[key]) if key in one else "" for key in ("build_seconds", "load_seconds"))
            lines.append(
                f"| {name} | {who} | {value_text(one['batch_seconds'], unit, work)} "
                f"| {one['batch_seconds'] / ours:.2f} | {row} | {off} | {build} | {load} |"
            )
    return "\n".join(lines) + "\n"


def figures_plot(run: dict[str, Any]) -> str:
    """An SVG of bars on a log scale: each contestant's time for a whole table as a multiple of mlcore's."""
    import math

    bars: list[tuple[str, str, float]] = []
    for name, work in run["works"].items():
        ours = work["contestants"]["mlcore"]["batch_seconds"]
        for who, one in work["contestants"].items():
            if "refuses" not in one:
                bars.append((name, who, one["batch_seconds"] / ours))
    top = math.log10(max([10.0, *(ratio for _, _, ratio in bars)])) + 0.3
    left, width, step = 250, 420, 18
    out, y, last = [], 20, None
    for name, who, ratio in bars:
        if name != last:
            y, last = y + 14, name
            out.append(f'<text x="8" y="{y + 12}" font-weight="bold">{name}</text>')
        # a bar for less than mlcore's time would have a negative length
        length = max(2.0, math.log10(max(ratio, 1.0)) / top * width)
        colour = "#3f51b5" if who.startswith("mlcore") else "#9e9e9e"
        out.append(f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{who}</text>')
        out.append(f'<rect x="{left}" y="{y + 2}" width="{length:.1f}" height="12" fill="{colour}"/>')
        out.append(f'<text x="{left + length + 6:.1f}" y="{y + 12}">{ratio:.3g}</text>')
        y += step
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 70} {y + 16}" font-family="sans-serif"'
    )
    title = '<text x="8" y="16">Time for the whole table, times mlcore\'s (log scale; shorter is faster)</text>'
    return "\n".join([f'{head} font-size="12">', title, *out, "</svg>"]) + "\n"
