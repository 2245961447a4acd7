"""Every kind of the parity table gives the same bytes through the real Triton server as in this process."""

from __future__ import annotations

from typing import Any

import lightgbm
import mlcore
import numpy as np
import pandas as pd
import pytest
import xgboost
from cases import MODELS, TRANSFORMS, case, pairs
from holding import quiet
from mlcore.errors import InputError
from sklearn.ensemble import RandomForestClassifier
from triton_server import Server
from triton_tables import assert_answers, infer_grpc, tensors


def _kinds() -> list[tuple[str, str]]:
    """Each model once, each transform alone."""
    found: dict[str, tuple[str, str]] = {}
    for model, transform in pairs():
        found.setdefault(model or f"transform {transform}", (model, transform))
    return list(found.values())


KINDS = _kinds()


def test_all_kinds_are_here() -> None:
    assert {model for model, _ in KINDS} - {""} == set(MODELS)
    assert {transform for model, transform in KINDS if not model} == set(TRANSFORMS)


def _accepted(model: mlcore.Model, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows that the model takes; the others are refused here as they are there."""

    def takes(row: Any) -> bool:
        try:
            for method in model.methods:
                model.call(method, row)
        except InputError:
            return False
        return True

    if takes(rows):
        return rows
    return rows.iloc[[i for i in range(len(rows)) if takes(rows.iloc[i : i + 1])]]


@pytest.mark.parametrize("kind", KINDS, ids=[f"{model or '-'} | {transform or '-'}" for model, transform in KINDS])
def test_same_bytes(kind: tuple[str, str], triton: Server) -> None:
    one = case(*kind)
    with quiet():
        model = mlcore.compile(one.estimator, one.train)
    rows = _accepted(model, pd.concat([one.edges, one.train.iloc[:200]], ignore_index=True))
    assert len(rows) > 100
    triton.add("kind", model.to_bytes())
    triton.load("kind")
    assert_answers(model, rows, infer_grpc(triton, "kind", tensors(model, rows)))
    assert_answers(model, rows.iloc[:1], infer_grpc(triton, "kind", tensors(model, rows.iloc[:1])))


LEAVES = {
    "scikit-learn": (RandomForestClassifier(7, random_state=0), lambda forest, X: forest.apply(X)),
    "XGBoost": (xgboost.XGBClassifier(n_estimators=5), lambda forest, X: forest.apply(X)),
    "LightGBM": (
        lightgbm.LGBMClassifier(n_estimators=5, verbose=-1),
        lambda forest, X: forest.predict(X, pred_leaf=True),
    ),
}


@pytest.mark.parametrize("library", LEAVES)
def test_leaves(library: str, triton: Server) -> None:
    """Where a model was compiled with them: the library's own numbers, [rows, trees]."""
    forest, ask = LEAVES[library]
    X = np.random.default_rng(4).normal(size=(300, 5)).astype(np.float32)
    forest.fit(X, np.digitize(X[:, 0] - X[:, 1], [-0.5, 0.5]))
    model = mlcore.compile(forest, X, leaf=True)
    triton.add("leaves", model.to_bytes())
    triton.load("leaves")
    expected = np.asarray(ask(forest, X)).astype(np.int64)
    described = {one["name"]: one for one in triton.http.get_model_metadata("leaves")["outputs"]}
    assert described["leaf"] == {"name": "leaf", "datatype": "INT64", "shape": [-1, expected.shape[1]]}
    result = infer_grpc(triton, "leaves", tensors(model, X), ["leaf", "predict_proba"])
    found = result.as_numpy("leaf")
    assert (found.dtype, found.shape) == (np.int64, expected.shape)
    assert np.array_equal(found, expected)
    assert result.as_numpy("predict") is None
    assert_answers(model, X, infer_grpc(triton, "leaves", tensors(model, X)))
