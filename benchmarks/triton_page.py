"""The documentation's table of the Triton run kept in results/; docs/generate.py writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
NAMES = {
    "mlcore": "mlcore backend",
    "sklearn_pipeline": "Python backend, scikit-learn + XGBoost",
    "onnx_session": "Python backend, ONNX Runtime",
}

HEAD = """# Triton: measured

One pipeline (four numbers with gaps, three texts, 300 XGBoost trees) behind one Triton 2.51 server, three ways: the
mlcore backend, and Triton's Python backend with the pipeline itself and with its ONNX conversion (NumPy 1.26, because
that backend's tensors are empty with NumPy 2). Each has one instance, one thread and dynamic batching without delay,
and takes the requests of a batch as one table. The load generator is perf_analyzer (tritonclient 2.50; HTTP with
binary tensors, asynchronous, three windows of a second) on the same machine, whose processor it shares with the
server: the faster the backend, the more of the time is the server's and the generator's own. `make bench-triton`
measures; `RECORD=1` keeps the run.
"""


def _micros(value: float) -> str:
    return f"{value / 1000:,.3g} ms" if value >= 1000 else f"{value:.0f} us"


def table(run: dict[str, Any]) -> str:
    """The figures of a run, and its facts in words."""
    best = {(one["concurrency"], one["rows"]): one for one in run["figures"] if one["engine"] == "mlcore"}
    lines = [
        f"Measured {run['date']} on {run['cpu']}, {run['cores']} cores. *compute* is the server's own statistic of a",
        "batch; `x`: requests per second of the mlcore backend over this one's.",
        "",
        "| at once | rows | engine | requests/s | p50 | p99 | compute | x |",
        "|---:|---:|---|---:|---:|---:|---:|---:|",
    ]
    for one in run["figures"]:
        ours = best[one["concurrency"], one["rows"]]["requests_per_second"]
        times = "" if one["engine"] == "mlcore" else f"{ours / one['requests_per_second']:.1f}"
        lines.append(
            f"| {one['concurrency']} | {one['rows']} | {NAMES[one['engine']]} | {one['requests_per_second']:,.0f} | "
            f"{_micros(one['p50_us'])} | {_micros(one['p99_us'])} | {_micros(one['server_compute_us'])} | {times} |"
        )
    off = ", ".join(f"{NAMES[name]} {count}" for name, count in run["rows_off"].items())
    lines += ["", f"Rows more than 1e-5 off the original, checked before: {off}.", ""]
    lines += [
        "One request at a time: means of the server's statistics, beside medians of the same prediction in a process,",
        "of the core alone (back to back, and with pauses as between requests) and of the Python call:",
        "",
        "| rows | input, compute, output | of it compute | core | core with pauses | `predict_proba(table)` |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    for count, process in run["in_process"].items():
        one = best[1, int(count)]
        whole = one["server_input_us"] + one["server_compute_us"] + one["server_output_us"]
        cells = [whole, one["server_compute_us"], process["core_us"], process["paced_us"], process["call_us"]]
        lines.append(f"| {count} | " + " | ".join(_micros(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """The page, from the run that was kept."""
    kept = RESULTS / "triton.json"
    return HEAD + "\n" + (table(json.loads(kept.read_text())) if kept.exists() else "No run was kept yet.\n")
