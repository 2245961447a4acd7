"""`mlcore export triton`: what it writes, what it refuses, and that nothing is half written."""

from __future__ import annotations

from pathlib import Path

import mlcore
import numpy as np
import pandas as pd
import pytest
from mlcore.cli import main
from mlcore.errors import InputError
from mlcore.export import write_repository
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

FRAME = pd.DataFrame(
    {
        "amount": np.arange(40.0),
        "count": np.arange(40) % 7,
        'quo"te\\': np.arange(40).astype(np.float32),
        "city": pd.Series(["Oslo", "Bern"] * 20, dtype=object),
    }
)
LABEL = np.array(["no", "yes"])[np.arange(40) % 2]


def _model() -> mlcore.Model:
    features = ColumnTransformer(
        [
            ("n", StandardScaler(), ["amount", "count", 'quo"te\\']),
            ("c", OneHotEncoder(sparse_output=False), ["city"]),
        ]
    )
    return mlcore.compile(make_pipeline(features, LogisticRegression()).fit(FRAME, LABEL), FRAME)


@pytest.fixture(scope="module")
def model() -> mlcore.Model:
    return _model()


def test_a_repository(model: mlcore.Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model.save(tmp_path / "fraud.mlc")
    assert main(["export", "triton", str(tmp_path / "fraud.mlc"), "-o", str(tmp_path / "repository")]) == 0
    folder = tmp_path / "repository" / "fraud"
    assert capsys.readouterr().out == f"wrote {folder}\n"
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert files == ["1/model.mlc", "config.pbtxt", "predict_proba_labels.txt"]
    assert (folder / "1" / "model.mlc").read_bytes() == model.to_bytes()
    assert (folder / "predict_proba_labels.txt").read_text() == "no\nyes\n"
    text = (folder / "config.pbtxt").read_text()
    for expected in (
        'name: "fraud"',
        'backend: "mlcore"',
        '{ name: "amount" data_type: TYPE_FP64 dims: [ 1 ] }',
        '{ name: "count" data_type: TYPE_INT64 dims: [ 1 ] }',
        '{ name: "quo\\042te\\134" data_type: TYPE_FP32 dims: [ 1 ] }',
        '{ name: "city" data_type: TYPE_STRING dims: [ 1 ] }',
        '{ name: "city__valid" data_type: TYPE_BOOL dims: [ 1 ] optional: true }',
        '{ name: "predict" data_type: TYPE_STRING dims: [ 1 ] }',
        '{ name: "predict_proba" data_type: TYPE_FP64 dims: [ 2 ] label_filename: "predict_proba_labels.txt" }',
        '{ name: "margin" data_type: TYPE_FP64 dims: [ 1 ] }',
        '{ name: "transform" data_type: TYPE_FP64 dims: [ 5 ] }',
    ):
        assert expected in text


def test_types_of_answers() -> None:
    """The tensor's type is the dtype of the original's array."""
    X = FRAME[["amount", "count"]].to_numpy()
    for labels, expected in (
        (LABEL, "BYTES"),
        (LABEL.astype(object), "BYTES"),
        (LABEL == "yes", "BOOL"),
        ((LABEL == "yes") * np.int32(7), "INT32"),
        ((LABEL == "yes") * 3.0, "FP64"),
        ((LABEL == "yes").astype(np.uint8), "UINT8"),
    ):
        forest = RandomForestClassifier(3, max_depth=2, random_state=0).fit(X, labels)
        tensors = mlcore.compile(forest, X).core.tensors
        assert [one["type"] for one in tensors["outputs"] if one["name"] == "predict"] == [expected]
        (matrix,) = tensors["inputs"]
        assert (matrix["name"], matrix["type"], matrix["width"], matrix["matrix"]) == ("X", "FP64", 2, True)


def test_several_targets_have_outputs_of_their_own() -> None:
    X = FRAME[["amount", "count"]].to_numpy()
    y = np.column_stack([np.arange(40) % 2, np.arange(40) % 3])
    forest = RandomForestClassifier(3, max_depth=2, random_state=0).fit(X, y)
    outputs = mlcore.compile(forest, X).core.tensors["outputs"]
    assert {"predict_proba_0", "predict_proba_1"} <= {one["name"] for one in outputs}


def test_a_new_version_goes_beside_the_old(model: mlcore.Model, tmp_path: Path) -> None:
    write_repository(model, tmp_path, "fraud")
    assert write_repository(model, tmp_path, "fraud", version=2) == [tmp_path / "fraud" / "2"]
    assert (tmp_path / "fraud" / "2" / "model.mlc").read_bytes() == model.to_bytes()
    assert not list(tmp_path.glob(".*"))
    with pytest.raises(InputError, match="expected no version 2 of 'fraud' but found one"):
        write_repository(model, tmp_path, "fraud", version=2)
    other = mlcore.compile(StandardScaler().fit([[1.0], [2.0]]))
    with pytest.raises(InputError, match=r"config\.pbtxt that this one has, but found another"):
        write_repository(other, tmp_path, "fraud", version=3)
    assert sorted(path.name for path in (tmp_path / "fraud").iterdir() if path.is_dir()) == ["1", "2"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/tmp/x", "-x", "a b", "ä", "x" * 129, "a\n"])
def test_a_name_is_no_path(model: mlcore.Model, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="expected a model name of letters"):
        write_repository(model, tmp_path / "repository", name)
    assert not (tmp_path / "repository").exists()


@pytest.mark.parametrize("version", [0, -1, True, 1.5])
def test_versions_are_counted_from_one(model: mlcore.Model, tmp_path: Path, version: int) -> None:
    with pytest.raises(InputError, match="version: expected an integer from 1 on"):
        write_repository(model, tmp_path, "fraud", version=version)


def test_an_ensemble(model: mlcore.Model, tmp_path: Path) -> None:
    features = model.transform(FRAME)
    second = mlcore.compile(LogisticRegression().fit(features, LABEL), features)
    written = write_repository(model, tmp_path, "fraud", then=("score", second))
    assert [path.name for path in written] == ["fraud", "score", "fraud_ensemble"]
    text = (tmp_path / "fraud_ensemble" / "config.pbtxt").read_text()
    assert 'platform: "ensemble"' in text
    assert 'output_map { key: "transform" value: "features" }' in text
    assert 'input_map { key: "X" value: "features" }' in text
    assert (tmp_path / "fraud_ensemble" / "1").is_dir()


def test_models_that_do_not_fit_are_no_ensemble(model: mlcore.Model, tmp_path: Path) -> None:
    narrow = mlcore.compile(StandardScaler().fit(np.eye(3)), np.eye(3))
    with pytest.raises(InputError, match=r"score: expected columns for the 5 features of fraud \(FP64\) but found 3"):
        write_repository(model, tmp_path, "fraud", then=("score", narrow))
    alone = mlcore.compile(LogisticRegression().fit(np.eye(2), [0, 1]), np.eye(2))
    with pytest.raises(InputError, match="score: expected a model that gives its features by transform"):
        write_repository(alone, tmp_path, "score", then=("fraud", narrow))
    with pytest.raises(InputError, match="the second model: expected columns of one type of floats"):
        write_repository(narrow, tmp_path, "narrow", then=("fraud", model))
    with pytest.raises(InputError, match="different names but found 'fraud' twice"):
        write_repository(narrow, tmp_path, "fraud", then=("fraud", narrow))
    assert not list(tmp_path.iterdir())


def test_nothing_is_half_written(model: mlcore.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full at each file in turn; what was there stays, and nothing else is there."""
    write_repository(model, tmp_path, "old")
    before = sorted(tmp_path.rglob("*"))
    features = model.transform(FRAME)
    second = mlcore.compile(LogisticRegression().fit(features, LABEL), features)
    for name in ("write_bytes", "rename"):
        real = getattr(Path, name)
        for fails in range(6 if name == "write_bytes" else 3):
            left = [fails]

            def failing(self: Path, *arguments: object, real=real, left=left) -> object:
                left[0] -= 1
                if left[0] < 0:
                    raise OSError(28, "No space left on device")
                return real(self, *arguments)

            monkeypatch.setattr(Path, name, failing)
            with pytest.raises(OSError, match="No space"):
                write_repository(model, tmp_path, "fraud", then=("score", second))
            monkeypatch.undo()
            assert sorted(tmp_path.rglob("*")) == before


def test_the_command_refuses_what_is_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.mlc").write_bytes(b"no model")
    assert main(["export", "triton", str(tmp_path / "bad.mlc"), "-o", str(tmp_path / "repository")]) == 1
    assert "mlcore export: " in capsys.readouterr().err
    assert not (tmp_path / "repository").exists()


def test_the_folder_for_the_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["triton", "backend-dir"]) == 0
    folder = Path(capsys.readouterr().out.strip())
    assert (folder / "mlcore" / "libtriton_mlcore.so").is_file()
