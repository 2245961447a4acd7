"""Models on a GPU, beside other ways to evaluate the same trees there and beside what the card itself can do.

``--prepare`` fits and compiles into the folder of the work and needs no GPU; a run needs mlcore with libmlcore_cuda.so,
NumPy and CuPy, and times XGBoost (built for CUDA), nvForest and cuML too where they can be imported. Outputs are
compared with the CPU's first: mlcore's must have its bits. Exits with 1 where there is no GPU.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

import gpu_page
import mlcore
import numpy as np
from gpu_machine import Emulated, Evaluate, Gpu, seconds_of
from gpu_works import SMALL, Size, prepare

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
DATA = HERE.parent / "build" / "bench-data"
ROWS = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000]
FORMS = ("few", "walk", "rank", "sliced")
VARIABLE = "MLCORE_CUDA_FOREST"


@contextlib.contextmanager
def _form(name: str | None) -> Iterator[None]:
    """Ask for a form of forests while a model is loaded."""
    before = os.environ.pop(VARIABLE, None)
    if name is not None:
        os.environ[VARIABLE] = name
    try:
        yield
    finally:
        os.environ.pop(VARIABLE, None)
        if before is not None:
            os.environ[VARIABLE] = before


class Work:
    """The files of a work, and the models on the device."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.facts = json.loads((folder / "work.json").read_text())
        self.X, self.expected = np.load(folder / "X.npy"), np.load(folder / "expected.npy")
        self.transformed = np.load(folder / "transformed.npy")
        self.trees = dict(np.load(folder / "trees.npz"))

    def forest(self, form: str | None = None) -> mlcore.Model:
        """The forest on the device, in a form or in what is chosen."""
        with _form(form):
            return mlcore.load(self.folder / "forest.mlc", device="cuda:0")


def _peers(work: Work, machine: Any) -> dict[str, Evaluate | str]:
    """Calls by contestant, or why there is none."""
    out: dict[str, Evaluate | str] = {"a thread for each row": machine.straightforward(work.trees)}
    for name, make in {"XGBoost": _xgboost, "nvForest": _nvforest, "cuML FIL": _cuml}.items():
        if machine.emulated:
            continue
        try:
            out[name] = make(work)
        except Exception as error:  # whatever a library says of a machine that it does not like
            out[name] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason'}"
    return out


def _xgboost(work: Work) -> Evaluate:
    import xgboost

    if not xgboost.build_info()["USE_CUDA"]:
        raise RuntimeError("built without CUDA")
    booster = xgboost.Booster({"device": "cuda"}, model_file=work.folder / "model.ubj")
    return lambda matrix: booster.inplace_predict(matrix, predict_type="margin")


def _nvforest(work: Work) -> Evaluate:
    import nvforest  # type: ignore[import-not-found]

    model = nvforest.load_model(work.folder / "model.ubj", device="gpu", model_type="xgboost_ubj")
    return lambda matrix: model.predict(matrix)


def _cuml(work: Work) -> Evaluate:
    from cuml.fil import ForestInference  # type: ignore[import-not-found]

    model = ForestInference.load(str(work.folder / "model.ubj"), model_type="xgboost_ubj", output_type="cupy")
    return lambda matrix: model.predict(matrix)


def _check(work: Work, name: str, found: np.ndarray, rows: int, exact: bool) -> int:
    """Rows off; mlcore's must have the bits."""
    count = min(rows, len(work.expected))
    found, expected = found.reshape(-1)[:count].astype(np.float32), work.expected[:count]
    assert not exact or found.tobytes() == expected.tobytes(), f"{name}: {rows} rows differ from the CPU's"
    return int(np.sum(np.abs(found - expected) > 1e-5 * np.maximum(1, np.abs(expected))))


def measure_forest(work: Work, machine: Any, sizes: list[int]) -> dict[str, Any]:
    """Seconds by layout, rows and contestant."""
    models: dict[str, Any] = {"mlcore": work.forest()}
    models |= {f"mlcore, {form}": work.forest(form) for form in FORMS}
    calls: dict[str, Evaluate | str] = {name: model.predict for name, model in models.items()}
    peers = _peers(work, machine)
    out: dict[str, Any] = {
        "chosen": models["mlcore"]._on_device.forms,
        "refuses": {name: why for name, why in peers.items() if isinstance(why, str)},
        "rows_off": {},
        "seconds": {},
    }
    calls |= {name: call for name, call in peers.items() if not isinstance(call, str)}
    for layout, order in (("columns", "F"), ("rows", "C")):
        for rows in sizes:
            if 3 * rows * work.X[0].nbytes > machine.free_bytes():
                continue
            matrix = None  # the one before is given back first
            matrix = machine.matrix(work.X, rows, order)
            times: dict[str, float] = {}
            for name, call in list(calls.items()):
                # walks of a large table by forms that are for small ones take minutes
                if name == "mlcore, few" and rows > 1_000_000:
                    continue
                try:
                    answer = machine.host(call(matrix))
                except Exception as error:
                    if name.startswith("mlcore"):
                        raise
                    out["refuses"][name] = f"{layout}: {type(error).__name__}: {error}".splitlines()[0]
                    continue
                off = _check(work, name, answer, rows, name.startswith("mlcore"))
                out["rows_off"][name] = out["rows_off"].get(name, 0) + off
                times[name] = seconds_of(lambda: call(matrix), machine.wait)  # noqa: B023
            out["seconds"].setdefault(layout, {})[str(rows)] = times
    return out


def measure_transform(work: Work, machine: Any, sizes: list[int]) -> dict[str, Any]:
    """Imputing and scaling of all columns: seconds by rows, and bytes that must be read and written."""
    model = mlcore.load(work.folder / "transform.mlc", device="cuda:0")
    out: dict[str, Any] = {}
    for rows in sizes:
        size = rows * work.X[0].nbytes
        if 4 * size > machine.free_bytes():
            continue
        matrix = machine.matrix(work.X, rows, "F")
        found = machine.host(model.transform(matrix))
        count = min(rows, len(work.transformed))
        assert found[:count].tobytes() == work.transformed[:count].tobytes(), "transform: expected the CPU's bits"
        seconds = seconds_of(lambda: model.transform(matrix), machine.wait)  # noqa: B023
        out[str(rows)] = {"seconds": seconds, "bytes": size + rows * found[0].nbytes}
    return out


def measure_road(work: Work, machine: Any, rows: int) -> dict[str, float]:
    """Seconds from the host's table to the host's answer, and from the device's columns to the device's."""
    model = work.forest()
    X = np.resize(work.X, (rows, work.X.shape[1]))
    _check(work, "whole road", model.predict(X), rows, exact=True)
    columns = machine.columns(machine.matrix(work.X, rows, "F"), list(model.columns))
    _check(work, "columns", machine.host(model.predict(columns)), rows, exact=True)
    cpu = mlcore.load(work.folder / "forest.mlc")
    return {
        "host": seconds_of(lambda: model.predict(X), machine.wait, most=10),
        "columns": seconds_of(lambda: model.predict(columns), machine.wait),
        "cpu": seconds_of(lambda: cpu.predict(X), machine.wait, most=5),
        "cpu_threads": cpu.threads,
    }


def measure_one_row(work: Work, machine: Any, rounds: int) -> dict[str, list[float]]:
    """Median and 99th percentile of one row in the host's memory (a recorded graph), and in the device's."""
    model = work.forest()
    inputs = {"host": [work.X[i : i + 1].copy() for i in range(100)]}
    inputs["device"] = [machine.matrix(row, 1, "F") for row in inputs["host"]]
    out = {}
    for name, rows in inputs.items():
        times = []
        for i in range(rounds):
            start = time.perf_counter()
            model.predict(rows[i % 100])
            times.append(time.perf_counter() - start)
        times = times[rounds // 10 :]
        out[name] = [float(np.median(times)), float(np.percentile(times, 99))]
    return out


def _versions() -> dict[str, str]:
    out = {"mlcore": mlcore.__version__, "numpy": np.__version__}
    for name in ("cupy", "xgboost", "nvforest", "cuml"):
        module = sys.modules.get(name)
        if module is not None:
            out[name] = getattr(module, "__version__", None) or metadata.version(name)
    return out


def main() -> int:
    """Prepare, or measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out"))
    parser.add_argument("--work", type=Path, help="folder of the work (default: below build/bench-data)")
    parser.add_argument("--prepare", action="store_true", help="write the work's folder, and measure nothing")
    parser.add_argument("--small", action="store_true", help="few rows and trees, as the tests run them")
    parser.add_argument("--emulated", action="store_true", help="the kernels' loops on the CPU: for tests")
    parser.add_argument("--record", action="store_true", help="keep the run in benchmarks/results")
    options = parser.parse_args()
    if options.record and (options.small or options.emulated):
        parser.error("--record keeps what users may quote: leave out --small and --emulated")
    folder = options.work or DATA / ("gpu-small" if options.small else "gpu")
    prepared = (folder / "work.json").exists()
    if options.prepare or not prepared:
        prepare(folder, SMALL if options.small else Size())
        if options.prepare:
            return 0
    work = Work(folder)
    try:
        machine = Emulated() if options.emulated else Gpu()
        card = work.forest()._on_device.hardware  # type: ignore[union-attr]
    except (ImportError, RuntimeError) as error:
        print(f"expected a GPU, libmlcore_cuda.so and CuPy but found: {error}", file=sys.stderr)
        return 1
    sizes = [1, 33, 1_200] if options.small else ROWS
    run = {
        "date": date.today().isoformat(),
        "card": card,
        "driver": machine.driver,
        "cuda": machine.cuda,
        "work": work.facts,
        "copy_bytes_per_second": machine.copy_bytes_per_second(),
        "shared_words_per_second": machine.shared_words,
        "forest": measure_forest(work, machine, sizes),
        "transform": measure_transform(work, machine, sizes[-4:]),
        "road": {str(rows): measure_road(work, machine, rows) for rows in sizes[-2:-1]},
        "one_row": measure_one_row(work, machine, 200 if options.small else 3_000),
    }
    run["versions"] = _versions()
    options.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(run, indent=1) + "\n"
    (options.out / "gpu.json").write_text(text)
    (options.out / "gpu.md").write_text(gpu_page.table(run))
    if options.record:
        name = "-".join("".join(c if c.isalnum() else " " for c in card.lower()).split())
        (RESULTS / f"gpu-{name}.json").write_text(text)
    print(gpu_page.table(run))
    return 0


if __name__ == "__main__":
    sys.exit(main())
