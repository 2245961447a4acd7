"""CalibratedClassifierCV (sklearn.calibration): sigmoid, isotonic and temperature calibration, averaged over folds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mlcore.frontends._arrays import check
from mlcore.frontends._sklearn_models import (
    NUMPY_NAME,
    argmax_label,
    as_float,
    concat,
    first_true,
    label_output,
    nested,
    probability_output,
    select,
    spec,
    to_dtype,
)
from mlcore.frontends.context import Context, Frame, Outputs, Value
from mlcore.frontends.registry import Entry, register

__all__: list[str] = []

Array = npt.NDArray[Any]

_BLOCK = {"float32": "f32", "float64": "f64"}


def _method(estimator: Any) -> str:
    return "decision_function" if hasattr(estimator, "decision_function") else "predict_proba"


def _responses(member: Any, frame: Frame, name: str, ctx: Context) -> Value:
    """Margins, or probabilities where the estimator has no margin; one column for two classes."""
    method = _method(member.estimator)
    output = nested(ctx, member.estimator, frame, name, method)
    if isinstance(output, list):
        ctx.refuse("calibration of several targets is not supported")
    value = as_float(ctx, output)
    if method == "predict_proba" and len(member.estimator.classes_) == 2:
        value = select(ctx, value, [1])
    return value


# -- calibrators ------------------------------------------------------------------------------------------------


def _sigmoid_argument(calibrator: Any, response: Value, ctx: Context) -> Value:
    """Compute ``-(a_ * T + b_)`` in the dtype that NumPy gives it."""
    dtype = (calibrator.a_ * np.zeros(1, dtype=NUMPY_NAME[response.dtype]) + calibrator.b_).dtype
    value = to_dtype(ctx, response, _BLOCK[str(dtype)])
    for fn, number in (("mul", calibrator.a_), ("add", calibrator.b_)):
        value = ctx.node("arith", [value], attrs={"fn": fn}, constants={"value": np.array([number], dtype=dtype)})
    return ctx.node("unary", [value], attrs={"fn": "negative"})


def _calibrated(method: str, calibrator: Any, response: Value, ctx: Context) -> Value:
    """One class's calibrated scores as float64."""
    if method == "sigmoid":
        value = ctx.node("link", [_sigmoid_argument(calibrator, response, ctx)], attrs={"fn": "sk_expit"})
        return to_dtype(ctx, value, "f64")
    x, y = np.asarray(calibrator.X_thresholds_), np.asarray(calibrator.y_thresholds_)
    if calibrator.out_of_bounds != "clip" or x.dtype not in (np.float32, np.float64) or x.dtype != y.dtype:
        ctx.refuse("an isotonic calibrator that was not fitted by CalibratedClassifierCV", parameter="method")
    checked = check(ctx, to_dtype(ctx, response, _BLOCK[str(x.dtype)]))
    return to_dtype(ctx, ctx.node("interp", [checked], constants={"x": x, "y": y}), "f64")


def _temperature(member: Any, response: Value, classes: int, ctx: Context) -> Value:
    if len(member.estimator.classes_) != classes:
        ctx.refuse("temperature scaling of an estimator that has not seen every class", parameter="cv")
    calibrator = member.calibrators[0]
    value = response
    if response.width == 1 and _method(member.estimator) == "predict_proba":
        value = ctx.node("complement", [response])
    checked = check(ctx, value)
    if checked.width == 1:
        logits = concat(ctx, [ctx.node("unary", [checked], attrs={"fn": "negative"}), checked])
    elif _method(member.estimator) == "predict_proba":
        shift = np.array([1e-12], dtype=NUMPY_NAME[checked.dtype])
        shifted = ctx.node("arith", [checked], attrs={"fn": "add"}, constants={"value": shift})
        logits = ctx.node("unary", [shifted], attrs={"fn": "log"})
    else:
        logits = checked
    dtype = (calibrator.beta_ * np.zeros(1, dtype=NUMPY_NAME[logits.dtype])).dtype
    factor = {"value": np.array([calibrator.beta_], dtype=dtype)}
    scaled = ctx.node("arith", [to_dtype(ctx, logits, _BLOCK[str(dtype)])], attrs={"fn": "mul"}, constants=factor)
    return to_dtype(ctx, ctx.node("link", [scaled], attrs={"fn": "sk_softmax"}), "f64")


def _member(member: Any, frame: Frame, name: str, classes: Array, ctx: Context) -> tuple[Value, Value]:
    """One calibrated classifier: its probabilities, and the responses that they come from."""
    response = _responses(member, frame, name, ctx)
    if member.method == "temperature":
        return _temperature(member, response, len(classes), ctx), response
    if member.method not in ("sigmoid", "isotonic"):
        ctx.refuse(f"calibration method {member.method!r} is not supported", parameter="method")
    columns: dict[int, Value] = {}
    places = np.searchsorted(classes, member.estimator.classes_)
    for place, column, calibrator in zip(places.tolist(), range(response.width), member.calibrators, strict=False):
        # two classes: the one column of responses belongs to the second
        target = place + 1 if len(classes) == 2 else place
        columns[target] = _calibrated(member.method, calibrator, select(ctx, response, [column]), ctx)
    if len(classes) == 2:
        proba = ctx.node("complement", [columns[1]])
    else:
        zero = None
        if len(columns) < len(classes):
            zero = ctx.node("broadcast", [], constants={"value": np.zeros(1)})
        blocks = [columns.get(index, zero) for index in range(len(classes))]
        stacked = concat(ctx, [block for block in blocks if block is not None])
        proba = ctx.node("row_normalize", [stacked], attrs={"zero": "uniform", "order": "pairwise"})
    if member.method == "isotonic":
        # rounding may carry an interpolated probability past 1
        bounds = {"lo": np.array([-np.inf]), "hi": np.array([1.0])}
        proba = ctx.node("clip", [proba], constants=bounds)
    return proba, response


# -- the classifier ---------------------------------------------------------------------------------------------


def _classifier(estimator: Any, frame: Frame, ctx: Context) -> Outputs:
    classes = np.asarray(estimator.classes_)
    members = [
        _member(member, frame, f"calibrated_classifiers_[{index}]", classes, ctx)
        for index, member in enumerate(estimator.calibrated_classifiers_)
    ]
    weights = {"weights": np.ones(len(members)), "divisor": np.array([float(len(members))])}
    mean = ctx.node("weighted_sum", [proba for proba, _ in members], constants=weights)
    output = probability_output(mean, classes)
    predict = argmax_label(ctx, mean, classes)
    first = estimator.calibrated_classifiers_[0]
    if len(members) == 1 and len(classes) == 2 and first.method == "sigmoid":
        cut = _cut(first.calibrators[0], members[0][1], ctx)
        if cut is not None:
            predict = label_output(ctx, cut, classes)
    return {"predict": predict, "predict_proba": output, "decision_function": output}


def _cut(calibrator: Any, response: Value, ctx: Context) -> Value | None:
    """Cut the label of one sigmoid-calibrated classifier on its margin, where the original's sigmoid changes sides.

    None where the label does not follow from a float64 margin by one cut.
    """
    slope = float(calibrator.a_)
    if response.dtype != "f64" or slope == 0 or not np.isfinite(slope):
        return None

    def positive(margin: float) -> bool:
        proba = calibrator.predict(np.array([margin if slope < 0 else -margin]))[0]
        return bool(proba > 1.0 - proba)

    limit = float(np.finfo(np.float64).max)
    cut = np.array([first_true(positive, -limit, limit)])
    value = response if slope < 0 else ctx.node("unary", [response], attrs={"fn": "negative"})
    return ctx.node("threshold", [value], attrs={"compare": "ge"}, constants={"cut": cut})


def _reference(estimator: Any, method: str, X: Any) -> Any:
    return estimator.predict_proba(X) if method == "decision_function" else getattr(estimator, method)(X)


register(
    Entry(
        "sklearn.calibration.CalibratedClassifierCV",
        "meta",
        _classifier,
        parameters={
            "estimator": "honoured: every supported estimator",
            "method": "honoured",
            "cv": "training",
            "n_jobs": "training",
            "ensemble": "honoured",
        },
        attributes=spec(used="calibrated_classifiers_ classes_ n_features_in_ feature_names_in_"),
        reference=_reference,
        tolerance="sigmoid: expit of the margin; temperature: softmax; isotonic is exact where the margin is",
        notes="no margin: decision_function gives the averaged probabilities; with one sigmoid for two classes the "
        "label is cut on the estimator's margin. Temperature scaling takes the logarithm of probabilities always, and "
        "of margins never (scikit-learn decides by whether all rows of a batch look like probabilities)",
    )
)
