"""Counts instructions of the kernels with callgrind: figures that do not depend on how busy the machine is.

Each case is a small model that spends nearly all its time in one kernel. valgrind knows no AVX-512, so the other two
levels are counted.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
STORED = HERE / "results" / "instructions.json"
LEVELS = ("baseline", "avx2")


@dataclass(frozen=True)
class Case:
    """A kernel: the model that needs it, and the table that it is counted on.

    Attributes
    ----------
    fit : callable
        Gives the estimator and a sample to compile with.
    method : str
        What is computed.
    rows, calls : int
        Rows per call and calls.
    per : int
        Pieces of work in a row, such as columns or trees.
    unit : str
        What such a piece is called.
    """

    fit: Callable[[], tuple[Any, Any]]
    method: str
    rows: int
    calls: int
    per: int
    unit: str


COLUMNS, TREES = 32, 100


def _numbers(dtype: str) -> tuple[Any, Any]:
    import numpy as np

    X = np.random.default_rng(0).normal(size=(2_000, COLUMNS)).astype(dtype)
    return X, X[:, 0] + X[:, 1] * X[:, 2] + np.sin(3 * X[:, 3])


def _texts(categories: int) -> Any:
    import numpy as np
    import pandas as pd

    names = [f"category-{i:05d}" for i in range(categories)]
    rows = np.random.default_rng(0).integers(0, categories, (5_000, 4))
    rows[:categories] = np.arange(categories)[:, None]
    return pd.DataFrame({f"s{i}": np.array(names, object)[rows[:, i]] for i in range(4)})


def _scaler() -> tuple[Any, Any]:
    from sklearn.preprocessing import StandardScaler

    X, _ = _numbers("float32")
    return StandardScaler().fit(X), X[:100]


def _ordinal() -> tuple[Any, Any]:
    from sklearn.preprocessing import OrdinalEncoder

    table = _texts(2_000)
    return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1).fit(table), table[:100]


def _one_hot() -> tuple[Any, Any]:
    from sklearn.preprocessing import OneHotEncoder

    table = _texts(12)
    return OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(table), table[:100]


def _trees() -> tuple[Any, Any]:
    from xgboost import XGBRegressor

    X, y = _numbers("float32")
    return XGBRegressor(n_estimators=TREES, max_depth=6, max_bin=250, n_jobs=1).fit(X, y), X[:100]


def _linear() -> tuple[Any, Any]:
    from sklearn.linear_model import LinearRegression

    X, y = _numbers("float64")
    return LinearRegression().fit(X, y), X[:100]


CASES = {
    "matrix decode and scale": Case(_scaler, "transform", 2_048, 2, COLUMNS, "value"),
    "string encode": Case(_ordinal, "transform", 2_048, 2, 4, "string"),
    "one-hot": Case(_one_hot, "transform", 2_048, 2, 4, "string"),
    "trees, one row": Case(_trees, "predict", 1, 500, TREES, "tree"),
    "trees, sliced": Case(_trees, "predict", 2_048, 2, TREES, "tree"),
    "dot": Case(_linear, "predict", 2_048, 2, COLUMNS, "value"),
}


def count(driver: Path, folder: Path, model: Path, case: Case, level: str) -> int:
    """Instructions inside the measured function, libraries included."""
    out = folder / "callgrind.out"
    command = ["valgrind", "--tool=callgrind", "--collect-atstart=no", "--toggle-collect=measured"]
    command += [f"--callgrind-out-file={out}", str(driver), str(model), case.method, str(case.rows), str(case.calls)]
    env = os.environ | {"MLCORE_ISA": level, "MLCORE_THREADS": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    return int(re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.MULTILINE)[1])


def measure(driver: Path) -> dict[str, Any]:
    """All cases at both levels: instructions per row, and per piece of work in it."""
    import mlcore

    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for title, case in CASES.items():
            model = folder / "model.mlc"
            mlcore.compile(*case.fit()).save(model)
            for level in LEVELS:
                per_row = count(driver, folder, model, case, level) / (case.rows * case.calls)
                found[f"{title}, {level}"] = {
                    "per_row": round(per_row, 1), f"per_{case.unit}": round(per_row / case.per, 2),
                }  # fmt: skip
    return found


def compiler() -> str:
    """The first line that the C++ compiler says of itself."""
    done = subprocess.run(["c++", "--version"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0]


def worse(stored: dict[str, Any], found: dict[str, Any], tolerance: float) -> list[str]:
    """Sentences about cases that take more instructions than is stored, or that are gone."""
    out = [f"{name}: stored but not counted" for name in stored.keys() - found.keys()]
    out += [f"{name}: counted but not stored; run with --record" for name in found.keys() - stored.keys()]
    for name in stored.keys() & found.keys():
        old, new = stored[name]["per_row"], found[name]["per_row"]
        if new > old * (1 + tolerance):
            out.append(
                f"{name}: expected at most {old * (1 + tolerance):,.1f} instructions per row but found {new:,.1f}"
            )
    return sorted(out)


def main() -> int:
    """Count and print; compare with what is stored, or store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "wheel", help="the build folder of the driver")
    parser.add_argument("--record", action="store_true", help=f"write {STORED.relative_to(ROOT)}")
    parser.add_argument("--tolerance", type=float, default=0.1, help="growth that is no regression (default 0.1)")
    options = parser.parse_args()
    found = measure(options.build / "mlcore_instructions")
    stored = json.loads(STORED.read_text()) if STORED.exists() else {"compiler": compiler(), "counts": {}}
    for name, one in found.items():
        old = stored["counts"].get(name)
        change = f"{one['per_row'] / old['per_row'] - 1:+.1%}" if old else "new"
        unit, piece = list(one.items())[1]
        print(f"{name:<36} {one['per_row']:>12,.1f} per row {piece:>10,.2f} {unit.replace('_', ' '):<11} {change}")
    if options.record:
        STORED.write_text(json.dumps({"compiler": compiler(), "counts": found}, indent=1) + "\n")
        return 0
    problems = worse(stored["counts"], found, options.tolerance)
    if problems and stored["compiler"] != compiler():
        print(f"stored with {stored['compiler']}; this is {compiler()}")
    print("\n".join(problems) or "no kernel takes more instructions than is stored")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
