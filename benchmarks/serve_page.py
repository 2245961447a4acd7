"""The documentation's tables of the run of HTTP servers kept in results/; docs/generate.py writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
NAMES = {
    "mlcore": "mlcore, rows",
    "mlcore_unix": "mlcore, rows, Unix socket",
    "mlcore_v2": "mlcore, KServe V2",
    "bare": "bare Beast server",
    "bare_unix": "bare Beast server, Unix socket",
    "fixed": "uvicorn, fixed answer",
    "fixed_workers": "uvicorn, fixed answer, 2 workers",
    "fastapi": "FastAPI + uvicorn, 2 workers",
    "bentoml": "BentoML, 2 workers",
    "mlserver_tuned": "MLServer, tuned",
    "mlserver": "MLServer as installed",
    "triton": "Triton, Python backend",
}

HEAD = """# Serving: measured

One row of 34 raw columns in JSON (20 floats with gaps, 6 integers, 8 texts) goes through imputation, scaling, one-hot
and ordinal codes and 200 XGBoost trees of depth 6. Each server runs alone, in turn, on the same two cores as the
generator of its load, `benchmarks/load.cc` (one thread, connections that stay open; it takes its part of the
processor from all of them alike). Answers are checked first: those of mlcore are the bits of the call in a process.

* *bare Beast server*: `benchmarks/bare_server.cc` parses the body with Boost.JSON and gives a constant of the size of
  mlcore's answer; like mlcore it has one loop per core. *uvicorn, fixed answer* reads the body and gives the same
  constant: uvloop and httptools, no framework.
* FastAPI has no schema of the rows; FastAPI, BentoML and Triton have two processes, and one thread in each.
  They and MLServer run the scikit-learn pipeline itself.
* MLServer *as installed* has its default settings and decodes with its codec for data frames; *tuned* it has no
  parallel workers, metrics, debugging or compression, one thread, and takes the values as they are in the JSON.
* *Open loop*: requests fall due at random times (Poisson) at half of the peak that the server had itself, over 64
  connections; latency counts from the time a request is due, sent or not.
* *start*: from exec to the first answer with a prediction, the shortest of the rounds. *memory*: resident, after the
  load, summed over processes. *idle*: percent of a core without requests.

`make bench-serve` measures; `RECORD=1` keeps the run.
"""


def _micros(value: float) -> str:
    return f"{value / 1000:,.3g} ms" if value >= 1000 else f"{value:.0f} us"


def _rate(one: dict[str, Any], connections: str) -> float:
    return float(one["loads"][connections]["requests_per_second"])


def goals(run: dict[str, Any]) -> list[str]:
    """Rows of the table of goals; one whose contestants did not run is left out."""
    ran = {name: one for name, one in run["contestants"].items() if "not_run" not in one}
    found = []

    def goal(what: str, needs: set[str], limit: str, reached: Any, holds: Any) -> None:
        if needs <= ran.keys():
            value = reached()
            found.append(f"| {what} | {limit.format(value)} | {'yes' if holds(value) else 'no'} |")

    def times(other: str) -> Any:
        return lambda: _rate(ran["mlcore"], "16") / _rate(ran[other], "16")

    def p50(name: str) -> float:
        return float(ran[name]["loads"]["1"]["p50_us"])

    at_16 = "requests/s at 16 connections over those of "
    goal(at_16 + NAMES["fixed"], {"mlcore", "fixed"}, ">= 1.5 | {:.2f}", times("fixed"), lambda x: x >= 1.5)
    goal(
        at_16 + NAMES["mlserver_tuned"],
        {"mlcore", "mlserver_tuned"},
        ">= 30 | {:,.0f}",
        times("mlserver_tuned"),
        lambda x: x >= 30,
    )
    goal(
        "p50 at 1 connection, above the bare Beast server",
        {"mlcore", "bare"},
        "<= 10 us | {:.1f} us",
        lambda: p50("mlcore") - p50("bare"),
        lambda x: x <= 10,
    )
    goal(
        "the same, Unix socket against TCP",
        {"mlcore", "mlcore_unix"},
        "< 0 us | {:.1f} us",
        lambda: p50("mlcore_unix") - p50("mlcore"),
        lambda x: x < 0,
    )
    goal(
        "p99 at half of the peak, open loop",
        {"mlcore"},
        "<= 1 ms | {:.2f} ms",
        lambda: ran["mlcore"]["loads"]["open"]["p99_us"] / 1000,
        lambda x: x <= 1,
    )
    goal(
        "start to first answer",
        {"mlcore"},
        "<= 300 ms | {:.0f} ms",
        lambda: ran["mlcore"]["start_ms"],
        lambda x: x <= 300,
    )
    goal(
        f"memory beyond the model's file ({run['model_mb']:.1f} MB)",
        {"mlcore"},
        "<= 30 MB | {:.1f} MB",
        lambda: ran["mlcore"]["memory_mb"] - run["model_mb"],
        lambda x: x <= 30,
    )
    goal("idle", {"mlcore"}, "<= 0.1 % | {:.3f} %", lambda: ran["mlcore"]["idle_percent"], lambda x: x <= 0.1)
    return found


def table(run: dict[str, Any]) -> str:
    """The figures of a run, and its facts in words."""
    ours = run["contestants"].get("mlcore")
    closed, others = [], []
    for name, one in run["contestants"].items():
        if "not_run" in one:
            closed.append(f"| {NAMES[name]} | not run: {one['not_run']} |" + " |" * 7)
            continue
        loads = one["loads"]
        times = f"{_rate(ours, '16') / _rate(one, '16'):,.2f}" if ours and name != "mlcore" else ""
        cells = [f"{_rate(one, '16'):,.0f}", times, _micros(loads["16"]["p50_us"]), _micros(loads["16"]["p99_us"])]
        cells += [_micros(loads["1"]["p50_us"]), _micros(loads["1"]["p99_us"]), f"{_rate(one, '64'):,.0f}"]
        closed.append(f"| {NAMES[name]} | " + " | ".join(cells) + f" | {one['rows_off']} |")
        due = loads["open"]
        cells = [f"{due['rate']:,.0f}", *(_micros(due[f"{part}_us"]) for part in ("p50", "p99", "p999"))]
        cells += [f"{one['start_ms']:,.0f} ms", f"{one['memory_mb']:,.0f} MB", f"{one['idle_percent']:.2f} %"]
        others.append(f"| {NAMES[name]} | " + " | ".join(cells) + " |")
    lines = [
        f"Measured {run['date']} on {run['cpu']}, {run['cores']} cores; medians of {run['rounds']} rounds of",
        f"{run['seconds']:g} seconds. `x`: requests per second of mlcore with rows over this one's, at 16 connections;",
        "*rows off*: rows of 64 that are more than 1e-5 off the original.",
        "",
        "| server | 16 connections: requests/s | x | p50 | p99 | 1 connection: p50 | p99 | 64: requests/s | rows off |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        *closed,
        "",
        "| server | open loop: requests/s | p50 | p99 | p99.9 | start | memory | idle |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
        *others,
        "",
        "| what | goal | reached | holds |",
        "|---|---:|---:|---|",
        *goals(run),
        "",
        f"mlcore {run['version']}. What the environments of the others hold:",
        "",
        *(f"* {name}: {pins}" for name, pins in run["versions"].items()),
    ]
    return "\n".join(lines) + "\n"


def page() -> str:
    """The page, from the run that was kept."""
    kept = RESULTS / "serving.json"
    return HEAD + "\n" + (table(json.loads(kept.read_text())) if kept.exists() else "No run was kept yet.\n")
