"""mlcore: a float32 matrix or an Arrow table in, the original's margin or probability out."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlcore
import numpy as np
from worker import Ready, Work, compare, median_seconds, timed


def prepare(work: Work) -> Ready:
    """Compile in this process (each time: it is what is measured), save, and load what was saved."""
    estimator, method = _estimator(work)
    table: Any
    if work.library == "pipeline":
        import pyarrow.feather

        table = pyarrow.feather.read_table(work.path("table.arrow")).combine_chunks()
        sample = table.slice(0, 2_000).to_pandas()
    else:
        table = work.matrix()
        sample = table[:2_000]
    path = work.path("model.mlc")
    before = _reset_peak()
    compiled, seconds = timed(lambda: mlcore.compile(estimator, sample))
    facts = {"build_seconds": seconds, "build_bytes": _memory("VmHWM") - before}
    compiled.save(path)
    del compiled
    model = mlcore.load(path)
    facts |= {"loaded_bytes": _loaded_bytes(path), "load_seconds": median_seconds(lambda: mlcore.load(path))}
    facts |= {"file_bytes": path.stat().st_size, "threads": _set_threads(model, work.threads)}
    if work.library != "pipeline":
        rows = [table[i : i + 1].copy() for i in range(1_000)]
        if not hasattr(model, "scorer"):
            return Ready(lambda: model.call(method, table), lambda i: model.call(method, rows[i]), len(rows), facts)
        scorer, values = model.scorer(method), [row[0] for row in rows]
        return Ready(lambda: model.call(method, table), lambda i: scorer(values[i]), len(rows), facts)
    margin = compare(model.decision_function(table), np.load(work.path("margin.npy")))
    mappings = table.slice(0, 1_000).to_pylist()
    return Ready(
        lambda: model.predict_proba(table)[:, 1],
        lambda i: model.row(mappings[i]),
        len(mappings),
        facts | {"margin_exact": margin["exact"]} | _from_c(path, model, mappings),
    )


def _from_c(path: Path, model: Any, mappings: list[dict[str, Any]]) -> dict[str, Any]:
    """The median and the 99th percentile of the same rows through the C API; empty without a C compiler."""
    compiler = shutil.which("cc")
    if compiler is None or not hasattr(mlcore, "get_library_dir"):
        return {}

    def field(value: Any) -> str:
        return "-" if value is None else f"s{value}" if isinstance(value, str) else f"f{value!r}"

    rows, program, library = path.with_suffix(".rows"), path.with_suffix(".from_c"), mlcore.get_library_dir()
    rows.write_text("".join("\t".join(field(row[name]) for name in model.columns) + "\n" for row in mappings))
    source = Path(__file__).resolve().parent.parent / "row_from_c.c"
    link = [f"-I{mlcore.get_include()}", f"-L{library}", f"-Wl,-rpath,{library}", "-lmlcore"]
    subprocess.run([compiler, "-O2", source, *link, "-o", program], check=True)
    printed = subprocess.run([program, path, "predict_proba", rows, "9"], check=True, capture_output=True, text=True)
    median, late, total = map(float, printed.stdout.split())
    expected = 9 * sum(float([*model.row(row).values()][-1]) for row in mappings)
    assert abs(total - expected) <= 1e-9 * abs(expected), (total, expected)
    return {"c_row_seconds": [median, late]}


def _estimator(work: Work) -> tuple[Any, str]:
    if work.library == "xgboost":
        import xgboost

        return xgboost.Booster(model_file=work.path("model.ubj")), "predict"
    if work.library == "lightgbm":
        import lightgbm

        return lightgbm.Booster(model_file=work.path("model.txt")), "predict"
    import joblib

    return joblib.load(work.path("model.joblib")), "predict"


def _set_threads(model: Any, threads: int) -> int:
    if not hasattr(model, "threads"):  # an engine without a pool
        return 1
    model.threads = threads
    return threads


def _loaded_bytes(path: Path) -> int:
    """What a loaded model adds to a fresh process: in this one it would reuse what compiling gave back."""
    script = "import sys; sys.path[:0] = sys.argv[2:]; from contestants import mlcore_engine as m; m.print_growth()"
    command = [sys.executable, "-c", script, path, *sys.path]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def print_growth() -> None:
    """Load the model named by the first argument, and print by how many bytes the process grew."""
    before = _memory("VmRSS")
    model = mlcore.load(sys.argv[1])
    print(_memory("VmRSS") - before)
    del model


def _memory(what: str) -> int:
    return int(re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024


def _reset_peak() -> int:
    """Start the peak anew; the resident bytes now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")
