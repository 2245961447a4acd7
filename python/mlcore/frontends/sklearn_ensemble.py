"""scikit-learn's votes and stacks of models, and FrozenEstimator (sklearn.ensemble, sklearn.frozen)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mlcore.frontends._arrays import numeric_dtype
from mlcore.frontends._names import enter
from mlcore.frontends._sklearn_models import (
    NUMPY_NAME,
    argmax_label,
    as_float,
    class_names,
    codes,
    concat,
    label_output,
    nested,
    nested_outputs,
    number_output,
    probability_output,
    select,
    spec,
    to_dtype,
)
from mlcore.frontends.context import Context, Frame, Output, Outputs, Part, Value
from mlcore.frontends.reference import reference
from mlcore.frontends.registry import Entry, register

__all__: list[str] = []

Array = npt.NDArray[Any]

_BLOCK = {np.dtype(np.float32): "f32", np.dtype(np.float64): "f64"}


def _members(estimator: Any) -> list[tuple[str, Any]]:
    """Names and fitted estimators, without those that were dropped."""
    names = [name for name, member in estimator.estimators if not isinstance(member, str)]
    return list(zip(names, estimator.estimators_, strict=True))


def _single(ctx: Context, output: Output | list[Output], name: str) -> Output:
    if isinstance(output, list):
        ctx.refuse(f"{name} predicts several targets, which scikit-learn does not combine")
    return output


# -- voting -----------------------------------------------------------------------------------------------------


def _weights(estimator: Any) -> Array | None:
    if estimator.weights is None:
        return None
    pairs = zip(estimator.estimators, estimator.weights, strict=True)
    return np.asarray([weight for (_, member), weight in pairs if not isinstance(member, str)])


def _average(ctx: Context, blocks: list[Value], weights: Array | None) -> Value:
    """``np.average`` over estimators, in the dtype that NumPy gives it."""
    dtypes = {np.dtype(NUMPY_NAME[block.dtype]) for block in blocks}
    dtype = np.result_type(*dtypes)
    factors, divisor = np.ones(len(blocks)), float(len(blocks))
    if weights is not None:
        dtype = np.result_type(dtype, weights.dtype)
        if dtype not in _BLOCK:
            ctx.refuse(f"weights of dtype {weights.dtype} are not supported", parameter="weights")
        factors = weights.astype(dtype).astype(np.float64)
        divisor = float(weights.sum(dtype=dtype))
        if divisor == 0:
            ctx.refuse("the weights sum to zero; scikit-learn itself raises", parameter="weights")
    same = [to_dtype(ctx, block, _BLOCK[dtype]) for block in blocks]
    return ctx.node("weighted_sum", same, constants={"weights": factors, "divisor": np.array([divisor])})


def _voting_classifier(estimator: Any, frame: Frame, ctx: Context) -> Outputs:
    classes = estimator.classes_
    weights = _weights(estimator)
    if estimator.voting == "hard":
        votes = [_vote(ctx, member, frame, name, len(classes)) for name, member in _members(estimator)]
        constants = {}
        if weights is not None:
            if (weights < 0).any():
                ctx.refuse("negative weights are not supported with voting='hard'", parameter="weights")
            constants["weights"] = weights.astype(np.float64)
        winner = ctx.node("vote", votes, attrs={"classes": len(classes)}, constants=constants)
        ballots = [
            ctx.node("one_hot", [codes(ctx, vote, len(classes))], attrs={"width": len(classes), "dtype": "f64"})
            for vote in votes
        ]
        tally = ctx.node("weighted_sum", ballots, constants={"weights": constants.get("weights", np.ones(len(votes)))})
        return {"predict": label_output(ctx, winner, classes), "decision_function": probability_output(tally, classes)}
    blocks = []
    for name, member in _members(estimator):
        proba = _single(ctx, nested(ctx, member, frame, name, "predict_proba"), name)
        if proba.value.width != len(classes):
            ctx.refuse(f"{name} gives probabilities of {proba.value.width} classes, expected {len(classes)}")
        blocks.append(as_float(ctx, proba))
    average = _average(ctx, blocks, weights)
    output = probability_output(average, classes)
    return {
        "predict": argmax_label(ctx, average, classes),
        "predict_proba": output,
        "decision_function": output,
    }


def _vote(ctx: Context, member: Any, frame: Frame, name: str, count: int) -> Value:
    """Positions in the vote's ``count`` classes, which each estimator was trained to predict."""
    output = _single(ctx, nested(ctx, member, frame, name, "predict"), name)
    labels = np.asarray(output.classes)
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= count:
        ctx.refuse(f"{name} does not predict the encoded classes 0, 1, ...", alternative="fit it inside the vote")
    if np.array_equal(labels, np.arange(len(labels))):
        return output.value
    places = {"values": labels.astype(np.int64)}
    return ctx.node("table", [codes(ctx, output.value, len(labels))], constants=places)


def _voting_regressor(estimator: Any, frame: Frame, ctx: Context) -> Outputs:
    blocks = [
        as_float(ctx, _single(ctx, nested(ctx, member, frame, name, "predict"), name))
        for name, member in _members(estimator)
    ]
    if any(block.width != 1 for block in blocks):
        ctx.refuse("estimators that predict several targets; scikit-learn averages those in another shape")
    output = number_output(_average(ctx, blocks, _weights(estimator)), vector=True)
    return {"predict": output, "decision_function": output}


def _voting_reference(estimator: Any, method: str, X: Any) -> Any:
    if method != "decision_function":
        return getattr(estimator, method)(X)
    if not hasattr(estimator, "classes_"):
        return estimator.predict(X)
    if estimator.voting == "soft":
        return estimator.predict_proba(X)
    votes, weights = estimator._predict(X), _weights(estimator)
    tally = [np.bincount(row, weights=weights, minlength=len(estimator.classes_)) for row in votes]
    return np.asarray(tally, dtype=np.float64)


# -- stacking ---------------------------------------------------------------------------------------------------


def _meta_frame(estimator: Any, frame: Frame, ctx: Context) -> Frame:
    """Stack what the final estimator sees: an array without names (_BaseStacking._concatenate_predictions)."""
    blocks: list[Value] = []
    dtypes: list[np.dtype[Any]] = []
    for (name, member), method in zip(_members(estimator), estimator.stack_method_, strict=True):
        found = nested(ctx, member, frame, name, method)
        for output in found if isinstance(found, list) else [found]:
            block = as_float(ctx, output)
            binary = method == "predict_proba" and len(estimator.classes_) == 2
            if isinstance(found, list) or (binary and not output.vector):
                if block.width < 2:
                    continue
                block = select(ctx, block, range(1, block.width))
            blocks.append(block)
            dtypes.append(np.dtype(NUMPY_NAME[block.dtype]) if output.classes is None else np.dtype(np.float64))
    passed: Frame | None = None
    if estimator.passthrough:
        passed = frame
        dtypes.append(numeric_dtype(frame, ctx))
    wanted = "f32" if np.result_type(*dtypes) == np.float32 else "f64"
    parts = [Part(value=to_dtype(ctx, block, wanted)) for block in blocks]
    if passed is None:
        return Frame(ctx, parts)
    parts.append(Part(value=passed.block(wanted)))
    return Frame(ctx, parts, sparse=passed.sparse, explicit_zeros=passed.explicit_zeros)


def _stacking_regressor(estimator: Any, frame: Frame, ctx: Context) -> Outputs:
    enter(estimator, frame, ctx)
    outputs = nested_outputs(ctx, estimator.final_estimator_, _meta_frame(estimator, frame, ctx), "final_estimator")
    return _nothing(ctx) if outputs is None else _without_transform(outputs)


def _without_transform(outputs: Outputs) -> Outputs:
    return {method: output for method, output in outputs.items() if method != "transform"}


def _nothing(ctx: Context) -> Outputs:
    """After a refused final estimator: the problem is recorded, so the program is thrown away."""
    return {"predict": number_output(ctx.node("broadcast", [], constants={"value": np.zeros(1)}), vector=True)}


def _stacking_classifier(estimator: Any, frame: Frame, ctx: Context) -> Outputs:
    enter(estimator, frame, ctx)
    final = estimator.final_estimator_
    outputs = nested_outputs(ctx, final, _meta_frame(estimator, frame, ctx), "final_estimator")
    if outputs is None:
        return _nothing(ctx)
    outputs = _without_transform(outputs)
    predicted = outputs["predict"]
    if isinstance(predicted, list) or predicted.classes is None:
        ctx.refuse(f"the final estimator {type(final).__name__} does not predict class labels")
    if isinstance(estimator._label_encoder, list):
        return _multilabel(estimator, outputs, predicted, ctx)
    outputs["predict"] = label_output(ctx, predicted.value, np.asarray(estimator.classes_)[predicted.classes])
    for method in ("predict_proba", "decision_function"):
        output = outputs.get(method)
        if isinstance(output, Output) and output.value.width == len(final.classes_):
            names = class_names(np.asarray(estimator.classes_)[final.classes_])
            outputs[method] = Output(output.value, output.dtype, vector=output.vector, names=names)
    return outputs


def _multilabel(estimator: Any, outputs: Outputs, predicted: Output, ctx: Context) -> Outputs:
    """Several 0/1 targets: predict gives one column per target, predict_proba the first column of each."""
    encoders = estimator._label_encoder
    final_classes = estimator.final_estimator_.classes_
    if not isinstance(final_classes, list) or predicted.value.width != len(encoders):
        ctx.refuse("a final estimator that does not predict the targets one by one is not supported")
    labels = [encoder.classes_[known] for encoder, known in zip(encoders, final_classes, strict=True)]
    outputs["predict"] = label_output(ctx, predicted.value, np.concatenate(labels), vector=False)
    probabilities = outputs.get("predict_proba")
    if isinstance(probabilities, list):
        first = [select(ctx, output.value, [0]) for output in probabilities]
        outputs["predict_proba"] = number_output(concat(ctx, first))
    return outputs


def _stacking_reference(estimator: Any, method: str, X: Any) -> Any:
    if method == "decision_function":
        return reference(estimator.final_estimator_, method, estimator.transform(X))
    return getattr(estimator, method)(X)


# -- FrozenEstimator --------------------------------------------------------------------------------------------


def _frozen(estimator: Any, frame: Frame, ctx: Context) -> Any:
    return ctx.compile(estimator.estimator, frame)


def _frozen_reference(estimator: Any, method: str, X: Any) -> Any:
    return reference(estimator.estimator, method, X)


# -- registry ---------------------------------------------------------------------------------------------------

_MEMBERS = {
    "estimators": "honoured: every supported estimator",
    "n_jobs": "training",
    "verbose": "training",
}
_VOTING_FITTED = spec(used="estimators_ feature_names_in_ n_features_in_", derived="named_estimators_")
_ROW_ORDER = (
    "with 8 or more estimators scikit-learn sums a single row in another order than a batch; mlcore takes the batch's"
)
register(
    Entry(
        "sklearn.ensemble.VotingClassifier",
        "meta",
        _voting_classifier,
        parameters={
            **_MEMBERS,
            "voting": "honoured",
            "weights": "honoured; negative weights are refused with voting='hard'",
            "flatten_transform": "training: acts on the original's transform only, which is not offered",
        },
        attributes=_VOTING_FITTED | spec(used="classes_", derived="le_"),
        reference=_voting_reference,
        tolerance="as the estimators' probabilities: exact where theirs are",
        notes="no margin: decision_function gives the averaged probabilities (voting='soft') or the weight of the "
        "votes for each class (voting='hard')",
    )
)
register(
    Entry(
        "sklearn.ensemble.VotingRegressor",
        "meta",
        _voting_regressor,
        parameters={**_MEMBERS, "weights": "honoured"},
        attributes=_VOTING_FITTED,
        reference=_voting_reference,
        tolerance=f"as the estimators' predictions: exact where theirs are; {_ROW_ORDER}",
        notes="decision_function equals predict",
    )
)
_STACKING = {
    **_MEMBERS,
    "final_estimator": "honoured: every supported estimator",
    "cv": "training",
    "passthrough": "honoured",
}
_STACKING_FITTED = spec(
    used="estimators_ final_estimator_ stack_method_ feature_names_in_ n_features_in_",
    derived="named_estimators_ _n_feature_outs",
)
register(
    Entry(
        "sklearn.ensemble.StackingClassifier",
        "meta",
        _stacking_classifier,
        parameters={**_STACKING, "stack_method": "honoured"},
        attributes=_STACKING_FITTED | spec(used="classes_ _label_encoder"),
        reference=_stacking_reference,
        tolerance="as the final estimator's; exact where it and the stacked predictions are",
        notes="decision_function is the final estimator's margin",
    )
)
register(
    Entry(
        "sklearn.ensemble.StackingRegressor",
        "meta",
        _stacking_regressor,
        parameters=_STACKING,
        attributes=_STACKING_FITTED | spec(training="stack_method"),
        reference=_stacking_reference,
        tolerance="as the final estimator's; exact where it and the stacked predictions are",
        notes="decision_function is the final estimator's",
    )
)
register(
    Entry(
        "sklearn.frozen.FrozenEstimator",
        "meta",
        _frozen,
        parameters={"estimator": "honoured: every supported estimator"},
        attributes={},
        reference=_frozen_reference,
        notes="what the estimator inside gives",
    )
)
