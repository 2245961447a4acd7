"""The command line as people use it: exit codes, messages, files."""

from __future__ import annotations

import json
from pathlib import Path

import joblib
import mlcore
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlcore.cli import main
from mlcore.datasets import transactions
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeRegressor

COLUMNS = ["amount", "balance", "merchant"]


def _pipeline(iterations: int = 5, seed: int = 0):
    X, y = transactions(600, seed=seed)
    features = ColumnTransformer(
        [("n", StandardScaler(), ["amount", "balance"]), ("m", OneHotEncoder(handle_unknown="ignore"), ["merchant"])],
        sparse_threshold=0.0,
    )
    return make_pipeline(features, HistGradientBoostingClassifier(max_iter=iterations)).fit(X[COLUMNS], y), X[COLUMNS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled model, its pipeline, and its data as CSV, Parquet and Arrow; the CSV also has the target."""
    folder = tmp_path_factory.mktemp("cli")
    pipeline, X = _pipeline()
    joblib.dump(pipeline, folder / "pipe.joblib")
    X.assign(fraud=1).to_csv(folder / "data.csv", index=False)
    table = pa.Table.from_pandas(X, preserve_index=False)
    pq.write_table(table, folder / "data.parquet")
    with pa.ipc.new_file(str(folder / "data.arrow"), table.schema) as sink:
        sink.write_table(table, max_chunksize=100)
    mlcore.compile(pipeline, X).save(folder / "model.mlc")
    return folder


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_compile_writes_a_model_and_warns_of_pickles(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "m.mlc"
    assert run("compile", folder / "pipe.joblib", "--sample", folder / "data.csv", "-o", out) == 0
    printed = capsys.readouterr()
    assert "only open files you trust" in printed.err
    assert "0 mismatches" in printed.out
    assert mlcore.load(out).columns == COLUMNS


def test_compile_gives_leaves(tmp_path: Path) -> None:
    X = np.arange(16.0).reshape(8, 2)
    pipeline = make_pipeline(StandardScaler(), DecisionTreeRegressor()).fit(X, X[:, 0])
    joblib.dump(pipeline, tmp_path / "tree.joblib")
    assert run("compile", tmp_path / "tree.joblib", "--leaf", "-o", tmp_path / "tree.mlc") == 0
    expected = pipeline[-1].apply(pipeline[:-1].transform(X))
    assert mlcore.load(tmp_path / "tree.mlc").leaf(X).ravel().tolist() == expected.tolist()


def test_check_lists_all_problems(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    X = np.arange(8.0).reshape(4, 2)
    pipeline = make_pipeline(StandardScaler(), KNeighborsClassifier(1)).fit(X, [0, 1, 0, 1])
    joblib.dump(pipeline, tmp_path / "bad.joblib")
    assert run("check", tmp_path / "bad.joblib") == 1
    printed = capsys.readouterr().out
    assert "1 problem" in printed
    assert "KNeighborsClassifier is not supported" in printed
    assert "pipeline / kneighborsclassifier" in printed


def test_check_of_a_good_pipeline(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", folder / "pipe.joblib") == 0
    assert "every step compiles" in capsys.readouterr().out


def test_inspect(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("inspect", folder / "model.mlc") == 0
    printed = capsys.readouterr().out
    for expected in ("amount float64", "merchant string", "predict_proba", "golden rows", "5 trees"):
        assert expected in printed
    assert run("inspect", "--plan", folder / "model.mlc") == 0
    plan = capsys.readouterr().out
    assert "splits on" in plan or "no forest" in plan or "not folded" in plan
    assert run("inspect", "--json", folder / "model.mlc") == 0
    facts = json.loads(capsys.readouterr().out)
    assert [column["name"] for column in facts["inputs"]] == COLUMNS


def test_diff(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("diff", folder / "model.mlc", folder / "model.mlc") == 0
    assert "compute the same" in capsys.readouterr().out
    pipeline, X = _pipeline(iterations=6, seed=3)
    mlcore.compile(pipeline, X).save(tmp_path / "other.mlc")
    assert run("diff", folder / "model.mlc", tmp_path / "other.mlc") == 1
    printed = capsys.readouterr().out
    assert "arith" in printed
    assert "trees" in printed


@pytest.mark.parametrize("source", ["data.csv", "data.parquet", "data.arrow"])
@pytest.mark.parametrize("target", ["out.csv", "out.parquet", "out.arrow"])
def test_predict_streams_files(folder: Path, tmp_path: Path, source: str, target: str) -> None:
    out = tmp_path / target
    assert run("predict", folder / "model.mlc", folder / source, "-o", out) == 0
    if target.endswith("csv"):
        frame = pd.read_csv(out)
    elif target.endswith("parquet"):
        frame = pd.read_parquet(out)
    else:
        frame = pa.ipc.open_file(str(out)).read_all().to_pandas()
    X = pd.read_parquet(folder / "data.parquet")
    model = mlcore.load(folder / "model.mlc")
    assert frame["predict"].to_numpy().tolist() == model.predict(X).tolist()
    assert frame["predict_proba_1"].to_numpy().tolist() == model.predict_proba(X)[:, 1].tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == [target]


def test_predict_leaves_nothing_half_written(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pq.read_table(folder / "data.parquet")
    bad = table.set_column(0, "amount", pa.array(["x"] * table.num_rows))
    pq.write_table(bad, tmp_path / "bad.parquet")
    (tmp_path / "out.parquet").write_bytes(b"old")
    assert run("predict", folder / "model.mlc", tmp_path / "bad.parquet", "-o", tmp_path / "out.parquet") == 1
    assert "'amount'" in capsys.readouterr().err
    assert (tmp_path / "out.parquet").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.parquet", "out.parquet"]


def test_verify(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--against", folder / "pipe.joblib", "--data", folder / "data.csv")
    assert run("verify", folder / "model.mlc", *arguments) == 0
    assert "0 mismatches" in capsys.readouterr().out


def test_verify_finds_another_model(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline, X = _pipeline(iterations=6, seed=3)
    mlcore.compile(pipeline, X).save(tmp_path / "other.mlc")
    assert (
        run("verify", tmp_path / "other.mlc", "--against", folder / "pipe.joblib", "--data", folder / "data.csv") == 1
    )
    assert "mismatches" in capsys.readouterr().out


def test_bench(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("bench", folder / "model.mlc", folder / "data.parquet", "--seconds", "0.01") == 0
    assert "per row" in capsys.readouterr().out


def test_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("demo", "-o", tmp_path / "demo.mlc", "--rows", "2000") == 0
    printed = capsys.readouterr().out
    assert "the same bytes" in printed
    assert "0 mismatches" in printed
    assert (tmp_path / "demo.mlc").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("inspect", "missing.mlc"), "missing.mlc"),
        (("inspect", "."), "."),
        (("check", "missing.joblib"), "found nothing"),
        (("predict", "{model}", "data.xls", "-o", "out.csv"), "expected a file ending in"),
        (("predict", "{model}", "missing.csv", "-o", "out.csv"), "found nothing"),
        (("predict", "{model}", "{csv}", "-o", "out.txt"), "expected a file ending in"),
        (("predict", "{model}", "{csv}", "-o", "out.csv", "--method", "explode"), "'explode'"),
        (("predict", "{model}", "{empty}", "-o", "out.csv"), "expected the columns"),
    ],
)
def test_errors_are_one_line_and_exit_code_1(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.csv").write_text("")
    names = {"model": folder / "model.mlc", "csv": folder / "data.csv", "empty": tmp_path / "empty.csv"}
    assert run(*(argument.format(**names) for argument in arguments)) == 1
    printed = capsys.readouterr().err.strip().splitlines()
    assert expected in printed[-1]
    assert printed[-1].startswith("mlcore ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.csv"]


def test_a_pickle_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "no.joblib").write_bytes(b"not a pickle")
    assert run("check", tmp_path / "no.joblib") == 1
    assert "expected a pipeline saved with joblib or pickle" in capsys.readouterr().err
