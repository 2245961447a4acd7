"""Runs the benchmarks and writes JSON, a Markdown table and plots under out/.

Two parts: ``pipelines`` (test_predict.py: many pipelines and batch sizes, one thread, in this environment), and the
works of figures.py (two threads, each contestant in a process of its own, with the peers that `make bench-peers`
installs).
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import figures
from figures import seconds_text

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
README = HERE.parent / "README.md"
MARKS = ("<!-- benchmark:begin -->\n", "<!-- benchmark:end -->")
PARTS = ("pipelines", *figures.WORKS)
LIBRARIES = (
    "numpy",
    "scikit-learn",
    "xgboost-cpu",
    "lightgbm",
    "onnxruntime",
    "treelite",
    "polars",
    "pyarrow",
)


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
            text = seconds_text(one["median"])
            if base is not None and engine != "original":
                text += f" ({base['median'] / one['median']:.1f}x)"
            if one["rows_off"]:
                text += f", **{one['rows_off']:,} rows off**"
            row = found["row"].get((case,)) if engine == "mlcore" and rows == "1" else None
            if row is not None:
                text += f"; `row()` {seconds_text(row['median'])}"
            cells.append(text)
        lines.append(f"| {case} | {int(rows):,} | " + " | ".join(cells) + " |")
    lines += ["", "| pipeline | engine | convert and save | load | size |", "|---|---|---:|---:|---:|"]
    for (case, engine), one in found["load"].items():
        size, convert = one["size"] / 1024, seconds_text(one["convert_seconds"])
        lines.append(f"| {case} | {engine} | {convert} | {seconds_text(one['median'])} | {size:,.0f} KiB |")
    for (engine,), one in found["peak_memory"].items():
        lines.append(
            f"| table-xgboost, 100,000 rows | {engine} | | peak memory | {one['peak_bytes'] / 2**20:,.0f} MiB |"
        )
    return "\n".join(lines) + "\n"


def cpu() -> str:
    """Name of the processor, and the instruction set that mlcore uses on it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return f"{line.partition(':')[2].strip()} ({figures.instruction_set()})"
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


def versions() -> dict[str, str]:
    """Versions of the contestants, those in environments of their own included."""
    from importlib import metadata

    import mlcore

    out = {"mlcore": mlcore.__version__} | {name: metadata.version(name) for name in LIBRARIES}
    for path in sorted((HERE / "peers").glob("*.txt")):
        pins = [line.split("==") for line in path.read_text().splitlines() if "==" in line]
        out[path.stem] = f"{pins[0][0]} {pins[0][1]}"
    return out


def trimmed(found: dict[str, dict[tuple[str, ...], dict[str, Any]]]) -> list[dict[str, Any]]:
    """Medians and rows off of the pipelines, without the rounds."""
    return [
        {"case": case, "rows": int(rows), "engine": engine, "median": one["median"], "rows_off": one["rows_off"]}
        for (case, rows, engine), one in found["predict"].items()
    ]


def main() -> None:
    """Measure, then write tables and plots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out"))
    parser.add_argument("--select", action="append", choices=PARTS, help="this part only; may be repeated")
    parser.add_argument("-k", dest="match", help="as pytest -k: run some of the pipelines, and nothing else")
    parser.add_argument("--threads", type=int, default=2, help="of the works' contestants (default 2)")
    parser.add_argument("--small", action="store_true", help="the works with few rows and trees, as the tests run them")
    parser.add_argument("--record", action="store_true", help="keep the run in benchmarks/results and in README.md")
    options = parser.parse_args()
    if options.record and (options.small or options.match):
        parser.error("--record keeps what users may quote: leave out --small and -k")
    options.out.mkdir(exist_ok=True)
    parts = ["pipelines"] if options.match else options.select or list(PARTS)
    texts = []
    run: dict[str, Any] = {"date": date.today().isoformat(), "cpu": cpu(), "versions": versions()}
    works = [part for part in parts if part != "pipelines"]
    if works:
        run |= figures.measure(works, options.threads, small=options.small)
        texts.append(figures_text(run))
        (options.out / "figures.svg").write_text(figures.figures_plot(run))
    if "pipelines" in parts:
        found = results(measure(options.out, options.match))
        texts.append(table(found))
        run["pipelines"] = trimmed(found)
        if found["predict"]:
            plot(found, options.out / "bench.svg")
    (options.out / "figures.json").write_text(json.dumps(run, indent=1) + "\n")
    text = "\n".join(texts)
    (options.out / "bench.md").write_text(text)
    if options.record:
        record(run, text)
    print(text)


def figures_text(run: dict[str, Any]) -> str:
    """What the figures were measured on, and their two tables."""
    head = f"Measured {run['date']} on {run['cpu']}, {run['threads']} threads (single rows: one), medians of one run"
    return "\n".join(
        [
            f"{head} in which the contestants take turns, each in a process of its own, outputs checked first.",
            *([] if run["instruction_set"] == "AVX-512" else [figures.GOALS_WITHOUT_AVX512]),
            *([run["note"]] if "note" in run else []),
            "",
            figures.figures_table(run),
            figures.contestants_table(run),
        ]
    )


def record(run: dict[str, Any], text: str) -> None:
    """Keep the run's JSON, named by the processor and what mlcore used of it, and renew README's tables."""
    name = "-".join("".join(c if c.isalnum() else " " for c in run["cpu"].lower()).split())
    (RESULTS / f"{name}.json").write_text(json.dumps(run, indent=1) + "\n")
    before, rest = README.read_text().split(MARKS[0])
    README.write_text(before + MARKS[0] + text + "\n" + MARKS[1] + rest.split(MARKS[1])[1])


if __name__ == "__main__":
    main()
