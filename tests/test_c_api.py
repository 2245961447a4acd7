"""The C API: the example in C gives what `model.row` gives, and a row from C neither allocates nor locks."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlcore
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier

ROOT = Path(__file__).resolve().parent.parent
COMPILER = shutil.which(os.environ.get("CC", "cc"))
pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C compiler")

RNG = np.random.default_rng(11)
ROWS = 120
FRAME = pd.DataFrame(
    {
        "amount": np.where(RNG.random(ROWS) < 0.1, np.nan, RNG.normal(size=ROWS)),
        "city": pd.Series(RNG.choice(["Oslo", "São Paulo", ""], ROWS), dtype=object),
        "count": RNG.integers(0, 6, ROWS),
        "flag": RNG.random(ROWS) < 0.5,
        "job": pd.Series(RNG.choice(["cook", "clerk"], ROWS), dtype=object),
        "rate": RNG.normal(size=ROWS).astype(np.float32),
    }
)
LABEL = np.array(["no", "yes"])[(FRAME["rate"] > 0).astype(int)]


def _features() -> ColumnTransformer:
    return ColumnTransformer(
        [
            ("amount", make_pipeline(SimpleImputer(), StandardScaler()), ["amount"]),
            ("bins", make_pipeline(SimpleImputer(), KBinsDiscretizer(4, encode="ordinal")), ["rate", "count"]),
            ("city", OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["city"]),
            ("job", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["job"]),
        ],
        sparse_threshold=0.0,
    )


def _trees() -> mlcore.Model:
    X = RNG.normal(size=(300, 12)).astype(np.float32)
    return mlcore.compile(XGBClassifier(n_estimators=60, max_depth=5, n_jobs=1).fit(X, X[:, 0] > 0), X)


def _table(model: Any, y: Any = LABEL) -> mlcore.Model:
    return mlcore.compile(make_pipeline(_features(), model).fit(FRAME, y), FRAME)


MODELS: dict[str, Callable[[], mlcore.Model]] = {
    "trees on numbers": _trees,
    "forest on a table": lambda: _table(RandomForestClassifier(9, max_depth=4, random_state=0)),
    "boosting on a table": lambda: _table(XGBClassifier(n_estimators=9, max_depth=3, n_jobs=1), LABEL == "yes"),
    "histogram on a table": lambda: _table(HistGradientBoostingRegressor(max_iter=9), FRAME["rate"]),
    "logistic on a table": lambda: _table(LogisticRegression()),
    "linear on a table": lambda: _table(LinearRegression(), FRAME["rate"]),
    "a tree with integer labels": lambda: _table(DecisionTreeClassifier(max_depth=3), (LABEL == "yes") * 7),
}


@pytest.fixture(scope="module", params=sorted(MODELS))
def model(request: pytest.FixtureRequest) -> mlcore.Model:
    return MODELS[request.param]()


@pytest.fixture
def artifact(model: mlcore.Model, tmp_path: Path) -> Path:
    model.save(tmp_path / "m.mlc")
    return tmp_path / "m.mlc"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the C programs against the package that was imported."""
    folder = tmp_path_factory.mktemp("c")
    library = mlcore.get_library_dir()
    link = [f"-I{mlcore.get_include()}", f"-L{library}", "-lmlcore", f"-Wl,-rpath,{library}"]
    strict = ["-O2", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror"]
    for command in (
        ["-std=c99", ROOT / "examples/c/predict_row.c", "-o", folder / "predict_row", *link],
        ["-std=c11", "-D_POSIX_C_SOURCE=200809L", ROOT / "tests/c/many_rows.c", "-o", folder / "many_rows", *link],
        ["-std=gnu11", "-shared", "-fPIC", ROOT / "tests/c/counting.c", "-o", folder / "counting.so", "-ldl"],
    ):
        flags = strict[:-2] if "-shared" in command else strict
        subprocess.run([str(part) for part in [COMPILER, *flags, *command]], check=True)
    return folder


def _run(*command: object, **env: str) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, env=os.environ | env, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _printed(value: Any) -> str:
    if isinstance(value, str):
        return value
    return str(int(value)) if isinstance(value, int) else float(value).hex()


def _as_c(text: str) -> str:
    """A printed value without the differences between C's %a and float.hex."""
    if text.lstrip("-").startswith("0x"):
        return float.fromhex(text).hex()
    return text


def _argument(column: dict[str, Any], value: Any) -> str:
    shown = str(bool(value)).lower() if column["type"] == "bool" else str(value)
    return f"{column['name']}={float(value)!r}" if column["type"].startswith("float") else f"{column['name']}={shown}"


def test_the_example_gives_the_same_bits(model: mlcore.Model, artifact: Path, built: Path) -> None:
    for index in range(4):
        if model.schema[0]["name"] == "x0":
            row = {name: float(np.float32(0.1 * index - 0.03 * place)) for place, name in enumerate(model.columns)}
        else:
            row = FRAME.iloc[index].to_dict()
        if index == 1:
            row[model.columns[0]] = None
        arguments = [
            _argument(column, row[column["name"]])
            for column in model.schema
            if column["used"] and row[column["name"]] is not None and row[column["name"]] == row[column["name"]]
        ]
        for method in model.methods:
            printed = [
                line.split("\t") for line in _run(built / "predict_row", artifact, method, *arguments).splitlines()
            ]
            expected = model.row(row, method)
            values = list(expected.values()) if isinstance(expected, dict) else [expected]
            assert [_as_c(value) for _, value in printed] == [_printed(value) for value in values]
            if isinstance(expected, dict):
                assert [name for name, _ in printed] == list(expected)


def test_the_example_says_what_is_wrong(built: Path, tmp_path: Path) -> None:
    model = MODELS["logistic on a table"]()
    model.save(tmp_path / "m.mlc")

    def refused(*arguments: object) -> str:
        command = [str(part) for part in (built / "predict_row", *arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        return done.stderr

    path = tmp_path / "m.mlc"
    assert "cannot read" in refused(tmp_path / "none.mlc", "predict")
    assert "expected one of the model's methods (" in refused(path, "score")
    assert "expected a column of the model but found 'town'" in refused(path, "predict", "town=x")
    assert "expected a number of type float64 but found 'x'" in refused(path, "predict", "amount=x")
    assert "'rate': expected float32 but found double (0.1)" in refused(path, "predict", "rate=0.1")


def test_rows_neither_allocate_nor_lock(model: mlcore.Model, artifact: Path, built: Path) -> None:
    for method in model.methods:
        if model.row(_some_row(model), method).__class__ in (str, int) or method == "predict":
            continue
        counted = _run(built / "many_rows", artifact, method, LD_PRELOAD=str(built / "counting.so")).split()
        allocations, locks, loading = map(int, counted[:3])
        assert loading > 100, "the counting does not work"
        assert (allocations, locks) == (0, 0)
        assert _run(built / "many_rows", artifact, method).split()[4] == counted[4]


def _some_row(model: mlcore.Model) -> dict[str, Any]:
    return dict.fromkeys(model.columns, 0.5) if model.columns[0] == "x0" else FRAME.iloc[0].to_dict()


def test_needs_libc_and_libstdcpp_only(built: Path) -> None:
    if shutil.which("ldd") is None:
        pytest.skip("needs ldd")
    found = {line.split()[0].split(".so")[0] for line in _run("ldd", built / "predict_row").splitlines()}
    allowed = {
        "linux-vdso",
        "libmlcore",
        "libstdc++",
        "libc",
        "libm",
        "libgcc_s",
        "/lib64/ld-linux-x86-64",
        "/lib/ld-linux-aarch64",
    }
    assert found <= allowed


def test_cmake_finds_the_package(built: Path, tmp_path: Path) -> None:
    cmake = shutil.which("cmake")
    if cmake is None:
        pytest.skip("needs cmake")
    _run(cmake, "-S", ROOT / "examples/c", "-B", tmp_path / "b", f"-DCMAKE_PREFIX_PATH={mlcore.get_cmake_dir()}")
    _run(cmake, "--build", tmp_path / "b")
    MODELS["linear on a table"]().save(tmp_path / "m.mlc")
    arguments = (tmp_path / "m.mlc", "predict", "amount=1.5", "city=Oslo", "job=cook", "rate=0.5", "count=1")
    assert _run(tmp_path / "b" / "predict_row", *arguments) == _run(built / "predict_row", *arguments)
