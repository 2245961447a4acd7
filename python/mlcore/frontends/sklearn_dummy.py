"""scikit-learn's baselines, DummyClassifier and DummyRegressor (sklearn.dummy): the same answer for every row."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mlcore.frontends._names import enter
from mlcore.frontends._sklearn_models import label_output, number_output, probability_output, spec
from mlcore.frontends.context import Context, Frame, Output, Outputs, Value
from mlcore.frontends.registry import Entry, register

__all__: list[str] = []

Array = npt.NDArray[Any]


def _constant(ctx: Context, values: Array) -> Value:
    return ctx.node("broadcast", [], constants={"value": np.ascontiguousarray(values).reshape(-1)})


def _is_random(estimator: Any) -> bool:
    return estimator._strategy in ("stratified", "uniform") and np.max(estimator.n_classes_) > 1


def _classifier(estimator: Any, frame: Frame, ctx: Context) -> Outputs:
    enter(estimator, frame, ctx)
    if estimator.sparse_output_:
        ctx.refuse("sparse targets are not supported: predict returns a sparse matrix", alternative="dense targets")
    if _is_random(estimator):
        ctx.refuse(
            f"strategy={estimator._strategy!r} draws labels at random",
            parameter="strategy",
            alternative="'prior', 'most_frequent' or 'constant'",
        )
    if np.ndim(estimator.constant) > 1:
        ctx.refuse("a constant of two dimensions is repeated in another shape than the targets", parameter="constant")
    # the answer does not depend on X, so one row of the original's own is all of it
    X = np.zeros((1, frame.width))
    row = np.asarray(estimator.predict(X))
    proba = estimator.predict_proba(X)
    several = row.ndim == 2
    labels = row.reshape(-1)
    positions = _constant(ctx, np.arange(len(labels), dtype=np.int64))
    predict = label_output(ctx, positions, labels, vector=not several)
    if not several:
        output = probability_output(_constant(ctx, proba), estimator.classes_)
        return {"predict": predict, "predict_proba": output, "decision_function": output}
    outputs: list[Output] = [
        probability_output(_constant(ctx, one), classes) for one, classes in zip(proba, estimator.classes_, strict=True)
    ]
    margin = number_output(_constant(ctx, np.concatenate(proba, axis=1)))
    return {"predict": predict, "predict_proba": outputs, "decision_function": margin}


def _regressor(estimator: Any, frame: Frame, ctx: Context) -> Outputs:
    enter(estimator, frame, ctx)
    values = np.asarray(estimator.constant_)
    vector = int(estimator.n_outputs_) == 1
    if values.dtype.kind not in "biuf" or values.dtype.itemsize > 8:
        ctx.refuse(f"a constant of dtype {values.dtype} is not supported", parameter="constant")
    wide = np.broadcast_to(values, (1, int(estimator.n_outputs_)))
    block = wide if values.dtype == np.float32 else wide.astype(np.float64 if values.dtype.kind == "f" else np.int64)
    output = Output(_constant(ctx, block), str(values.dtype), vector=vector)
    return {"predict": output, "decision_function": output}


def _reference(estimator: Any, method: str, X: Any) -> Any:
    if method != "decision_function":
        return getattr(estimator, method)(X)
    if not hasattr(estimator, "classes_"):
        return estimator.predict(X)
    proba = estimator.predict_proba(X)
    return np.hstack(proba) if isinstance(proba, list) else proba


register(
    Entry(
        "sklearn.dummy.DummyClassifier",
        "model",
        _classifier,
        parameters={
            "strategy": "honoured; 'stratified' and 'uniform' are refused: they draw labels at random",
            "random_state": "training",
            "constant": "honoured",
        },
        attributes=spec(
            used="classes_ n_classes_ class_prior_ n_outputs_ _strategy sparse_output_ n_features_in_ feature_names_in_"
        ),
        reference=_reference,
        notes="no margin: decision_function gives predict_proba; several targets: side by side",
    )
)
register(
    Entry(
        "sklearn.dummy.DummyRegressor",
        "model",
        _regressor,
        parameters={"strategy": "honoured", "constant": "honoured", "quantile": "honoured"},
        attributes=spec(used="constant_ n_outputs_ n_features_in_ feature_names_in_"),
        reference=_reference,
        notes="no margin: decision_function equals predict",
    )
)
