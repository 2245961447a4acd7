"""Runs the benchmarks and writes out/bench.json, out/bench.md and out/bench.svg."""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def measure(folder: Path, select: str | None) -> Path:
    """Run pytest-benchmark; the JSON file it wrote."""
    path = folder / "bench.json"
    command = [sys.executable, "-m", "pytest", str(HERE), "-q", "-c", str(HERE / "pytest.ini"), "--benchmark-only"]
    command += [f"--benchmark-json={path}", "--benchmark-columns=median,iqr,rounds", "--benchmark-sort=name"]
    subprocess.run(command + (["-k", select] if select else []), check=True)
    return path


def results(path: Path) -> dict[str, dict[tuple[str, ...], dict[str, Any]]]:
    """Medians and facts by test and parameters."""
    out: dict[str, dict[tuple[str, ...], dict[str, Any]]] = {"predict": {}, "row": {}, "load": {}, "peak_memory": {}}
    for one in json.loads(path.read_text())["benchmarks"]:
        info = one["extra_info"]
        kind = one["name"].split("[")[0].removeprefix("test_")
        key = tuple(str(info[name]) for name in ("case", "rows", "engine") if name in info)
        out[kind][key] = info | {"median": one["stats"]["median"]}
    return out


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def table(found: dict[str, dict[tuple[str, ...], dict[str, Any]]]) -> str:
    """The Markdown table: medians and how many times faster than the original."""
    engines = ["original", "mlcore", "onnxruntime", "treelite"]
    lines = [
        f"Measured {date.today().isoformat()} on {cpu()}, one thread, medians of one run with outputs checked first;",
        "`x` is the original's time over the engine's, rows off differ from the original by more than 1e-6.",
        "",
        "| pipeline | rows | " + " | ".join(engines) + " |",
        "|---|---:|" + "---:|" * len(engines),
    ]
    for case, rows in dict.fromkeys((key[0], key[1]) for key in found["predict"]):
        base = found["predict"].get((case, rows, "original"))
        cells = []
        for engine in engines:
            one = found["predict"].get((case, rows, engine))
            if one is None:
                cells.append("refuses")
                continue
            text = _time(one["median"])
            if base is not None and engine != "original":
                text += f" ({base['median'] / one['median']:.1f}x)"
            if one["rows_off"]:
                text += f", **{one['rows_off']:,} rows off**"
            row = found["row"].get((case,)) if engine == "mlcore" and rows == "1" else None
            if row is not None:
                text += f"; `row()` {_time(row['median'])}"
            cells.append(text)
        lines.append(f"| {case} | {int(rows):,} | " + " | ".join(cells) + " |")
    lines += ["", "| pipeline | engine | convert and save | load | size |", "|---|---|---:|---:|---:|"]
    for (case, engine), one in found["load"].items():
        size = one["size"] / 1024
        lines.append(
            f"| {case} | {engine} | {_time(one['convert_seconds'])} | {_time(one['median'])} | {size:,.0f} KiB |"
        )
    for (engine,), one in found["peak_memory"].items():
        lines.append(
            f"| table-xgboost, 100,000 rows | {engine} | | peak memory | {one['peak_bytes'] / 2**20:,.0f} MiB |"
        )
    return "\n".join(lines) + "\n"


def cpu() -> str:
    """Name of the processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def plot(found: dict[str, dict[tuple[str, ...], dict[str, Any]]], path: Path) -> None:
    """Time per row against batch size, one panel per pipeline."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    cases = list(dict.fromkeys(key[0] for key in found["predict"]))
    figure, axes = plt.subplots(1, len(cases), figsize=(3.2 * len(cases), 3.4), sharey=True, squeeze=False)
    colours = {"original": "#9e9e9e", "mlcore": "#3f51b5", "onnxruntime": "#f9a825", "treelite": "#43a047"}
    for axis, case in zip(axes[0], cases, strict=True):
        for engine, colour in colours.items():
            points = sorted(
                (int(key[1]), one["median"] / int(key[1]) * 1e6)
                for key, one in found["predict"].items()
                if key[0] == case and key[2] == engine
            )
            if points:
                axis.plot(*zip(*points, strict=True), marker="o", color=colour, label=engine)
        axis.set(xscale="log", yscale="log", title=case, xlabel="rows in the batch")
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel("microseconds per row")
    axes[0][0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Measure, then write table and plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out"))
    parser.add_argument("-k", dest="select", help="as pytest -k: run some of the benchmarks only")
    options = parser.parse_args()
    options.out.mkdir(exist_ok=True)
    found = results(measure(options.out, options.select))
    text = table(found)
    (options.out / "bench.md").write_text(text)
    if found["predict"]:
        plot(found, options.out / "bench.svg")
    print(text)


if __name__ == "__main__":
    main()
