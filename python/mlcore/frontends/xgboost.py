"""XGBoost: ``Booster`` and the scikit-learn estimators.

The reference is the call that the object's own ``predict`` makes: estimators use in-place prediction and stop at
``best_iteration``; ``Booster.predict`` goes through a ``DMatrix``, uses every round and refuses infinities.
"""

from __future__ import annotations

import json
import math
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from mlcore.errors import InputError
from mlcore.frontends._leaves import leaf_output
from mlcore.frontends._xgboost_model import BoosterModel, Categories, Malformed, build_forest, read_booster
from mlcore.frontends._xgboost_probe import NoCut, Probe, booster_reference, estimator_reference, label_cut
from mlcore.frontends.context import Context, Frame, Output, Outputs, Part, Value
from mlcore.frontends.registry import Entry, register

__all__: list[str] = []

Array = npt.NDArray[Any]

# objectives whose `predict` is the margin, and the link of those whose `predict` is not
_IDENTITY = {
    "reg:squarederror",
    "reg:squaredlogerror",
    "reg:absoluteerror",
    "reg:pseudohubererror",
    "reg:quantileerror",
    "binary:logitraw",
    "rank:pairwise",
    "rank:ndcg",
    "rank:map",
}
_LINKS = {
    "reg:logistic": "xgb_sigmoid",
    "binary:logistic": "xgb_sigmoid",
    "multi:softprob": "xgb_softmax",
    "count:poisson": "xgb_exp",
    "reg:gamma": "xgb_exp",
    "reg:tweedie": "xgb_exp",
    "survival:cox": "xgb_exp",
    "survival:aft": "xgb_exp",
    "binary:hinge": "xgb_hinge",
}
_NOT_NUMBERS = ("timestamp", "date", "decimal")
# integers at or above this are not all float64 numbers
_EXACT_INTEGERS = 2**53
_FIRST, _END = (3, 0, 0), (3, 3, 0)
_CPU_ALTERNATIVE = "call booster.set_param({'device': 'cpu'}) before compiling"


# -- input ----------------------------------------------------------------------------------------------------------


def _features(frame: Frame, ctx: Context, model: BoosterModel, missing: float, *, dmatrix: bool) -> Value:
    """X as the predictor sees it: one float32 block with NaN for missing."""
    if frame.width != model.features:
        ctx.refuse(f"expected {model.features} columns but the step before gives {frame.width}")
    if frame.names is not None and model.feature_names is not None and frame.names != model.feature_names:
        ctx.refuse("expected the feature names that the booster was trained on, in their order")
    for index, kind in enumerate(frame.kinds()):
        if kind is not None and kind.startswith(_NOT_NUMBERS):
            ctx.refuse(f"XGBoost takes no {kind} column", column=frame.label(index))
    if any(categories is not None for categories in model.categories) and _named_columns(frame):
        value = _recoded(frame, ctx, model, missing)
    else:
        value = _numbers(frame, ctx)
    if dmatrix and not math.isinf(missing):
        value = ctx.node("check", [value], attrs={"nan": "allow", "inf": "forbid"})
    if not math.isnan(missing):
        value = _filled(ctx, value, np.float32(missing))
    return value


def _named_columns(frame: Frame) -> bool:
    """Whether the original passes a data frame here, whose category columns XGBoost re-codes; arrays hold codes."""
    return frame.names is not None and any(part.column is not None for part in frame.parts)


def _filled(ctx: Context, value: Value, match: np.floating[Any]) -> Value:
    return ctx.node(
        "fill",
        [value],
        attrs={"match": "value"},
        constants={"value": np.full(value.width, np.nan, match.dtype), "match_value": np.array([match])},
    )


def _numbers(frame: Frame, ctx: Context) -> Value:
    kinds = frame.kinds()
    for index, kind in enumerate(kinds):
        if kind in ("str", "string", "object"):
            ctx.refuse(
                "expected numbers but found strings or objects, and the model stores no categories for this feature",
                column=frame.label(index),
                alternative="train on a DataFrame with category columns with XGBoost >= 3.1, or encode the column",
            )
    if frame.absent is not None:
        return _single(ctx, frame.absent)
    if frame.explicit_zeros:
        ctx.refuse(
            "a sparse matrix that may store zeros: XGBoost takes stored zeros as numbers and absent ones as missing",
            alternative="make the transformer before the model return a dense array",
        )
    if frame.sparse:
        # before the cast: a stored entry that underflows to zero is not missing
        narrow = all(kind in ("f32", "float32") for kind in kinds)
        value = _filled(ctx, frame.block("f32" if narrow else "f64"), np.float32(0) if narrow else np.float64(0))
        return _single(ctx, value)
    one_dtype = frame.names is None and frame.array_dtype() == np.float64
    twice = [_is_wide(part) and (one_dtype or part.dtype == "float64") for part in frame.parts]
    if not any(twice):
        return frame.block("f32")
    # NumPy has made these 64-bit integers float64 before XGBoost rounds them to float32
    pieces = [Frame(ctx, [part], sparse=False) for part in frame.parts]
    blocks = [_single(ctx, piece.block("f64" if wide else "f32")) for piece, wide in zip(pieces, twice, strict=True)]
    return blocks[0] if len(blocks) == 1 else ctx.node("concat", blocks)


def _is_wide(part: Part) -> bool:
    held = part.column.logical if part.column is not None else part.value and part.value.dtype
    return held in ("i64", "int64", "uint64")


def _single(ctx: Context, value: Value) -> Value:
    return value if value.dtype == "f32" else ctx.node("cast", [value], attrs={"dtype": "f32"})


def _recoded(frame: Frame, ctx: Context, model: BoosterModel, missing: float) -> Value:
    """Columns of a data frame whose categories the model stores: values become the codes of training time."""
    if not math.isnan(missing):
        ctx.refuse(
            f"missing={missing} with category columns: XGBoost compares it with the codes of the frame at hand",
            parameter="missing",
            alternative="leave missing=nan",
        )
    blocks: list[Value] = []
    run: list[int] = []

    def flush() -> None:
        if run:
            blocks.append(_numbers(frame.take(run), ctx))
            run.clear()

    for index, categories in enumerate(model.categories):
        if categories is None:
            run.append(index)
            continue
        flush()
        blocks.append(_codes(frame, index, ctx, categories))
    flush()
    return blocks[0] if len(blocks) == 1 else ctx.node("concat", blocks)


def _codes(frame: Frame, index: int, ctx: Context, categories: Categories) -> Value:
    part, _ = frame.part_at(index)
    keys = categories.values
    if part.column is None:
        ctx.refuse(
            "expected the category column that the model was trained on but found the result of a transform",
            column=frame.label(index),
        )
    if isinstance(keys, list):
        column = frame.column(index, "str")
    else:
        if keys.dtype.kind not in "iu" or (np.abs(keys.astype(object)) >= _EXACT_INTEGERS).any():
            ctx.refuse(f"categories of dtype {keys.dtype} beyond 2**53", column=frame.label(index))
        column = frame.column(index, "f64")
        keys = keys.astype(np.float64)
    codes = ctx.node(
        "encode",
        [column],
        attrs={"unknown": "error", "null_code": -1, "none_code": -1, "nan_code": -1},
        constants={"keys": keys},
    )
    values = np.arange(len(keys), dtype=np.float32)
    return ctx.node("table", [codes], constants={"values": values, "default": np.array([np.nan], dtype=np.float32)})


# -- the margin -----------------------------------------------------------------------------------------------------


def _margin(value: Value, ctx: Context, model: BoosterModel, probe: Probe, last_round: int, *, dmatrix: bool) -> Value:
    base = probe.base()
    if base.shape != (model.outputs,) or not np.isfinite(base).all():
        ctx.refuse("the base score has no finite margin", parameter="base_score")
    if model.kind == "gblinear":
        assert model.weights is not None
        return ctx.node(
            "dot",
            [value],
            attrs={"accumulate": "sequential", "skip_missing": True},
            constants={"weights": np.ascontiguousarray(model.weights[:-1].T), "bias": model.weights[-1] + base},
        )
    last = model.rounds[last_round]
    if last == 0:
        ctx.refuse("the booster has no trees", alternative="train at least one round")

    def scaled(tree: int, leaves: Array) -> Array:
        if model.tree_weights is None:
            return leaves
        weight = model.tree_weights[tree]
        if dmatrix:
            return np.asarray(leaves * weight)
        # in-place prediction adds the base score to the leaf, takes it off again, then applies the weight
        offset = base[model.tree_output[tree]]
        return np.asarray(((offset + leaves) - offset) * weight)

    forest = build_forest(model, 0, last, scaled)
    return ctx.node(
        "trees", [value], attrs=forest.attributes(model.outputs), constants={**forest.constants, "base": base}
    )


def _leaves(value: Value, ctx: Context, model: BoosterModel, last_round: int) -> Outputs:
    """The leaves of ``apply`` and ``pred_leaf=True`` where they are wanted."""
    if not ctx.leaf or model.kind == "gblinear":
        return {}
    # what a leaf holds has no part in its number
    forest = build_forest(model, 0, model.rounds[last_round], lambda _, leaves: np.zeros_like(leaves))
    constants = {**forest.constants, "base": np.zeros(model.outputs, dtype=np.float32), "leaf_id": forest.ids}
    leaves = ctx.node("trees", [value], attrs=forest.attributes(model.outputs, "leaf"), constants=constants)
    return {"leaf": leaf_output(leaves)}


def _answer(margin: Value, ctx: Context, model: BoosterModel) -> Value:
    """`predict` of the booster: the objective's transform of the margin; i64 class numbers for multi:softmax."""
    name = model.objective["name"]
    if name in _IDENTITY:
        return margin
    if name in _LINKS:
        return ctx.node("link", [margin], attrs={"fn": _LINKS[name]})
    if name != "multi:softmax":
        ctx.refuse(
            f"the objective {name!r} is not supported",
            parameter="objective",
            alternative="compile a booster trained with one of the objectives in the supported matrix",
        )
    return ctx.node("argmax", [margin])


def _names(model: BoosterModel) -> list[str] | None:
    if model.outputs == 1:
        return None
    if model.objective["name"] == "reg:quantileerror":
        alphas = json.loads(model.objective["quantile_loss_param"]["quantile_alpha"])
        if len(alphas) == model.outputs:
            return [str(np.float32(alpha)) for alpha in alphas]
    return [str(index) for index in range(model.outputs)]


# -- labels ---------------------------------------------------------------------------------------------------------


def _cut(ctx: Context, probe: Probe, model: BoosterModel, *, against_other: bool = False) -> dict[str, Array]:
    """The margin from which on the library's transform is above 0.5, for every output.

    ``against_other``: two softmax columns depend on the difference of their margins only.
    """

    def positive(margins: Array) -> Array:
        rows = np.zeros((len(margins), model.outputs), dtype=np.float32)
        rows[:, 0] = margins
        if not against_other:
            rows[:] = margins[:, None]
        return np.asarray(probe.link(rows).reshape(len(margins), -1)[:, 0] > 0.5)

    try:
        return {"cut": np.full(model.outputs, label_cut(positive), dtype=np.float32)}
    except NoCut as error:
        ctx.refuse(str(error), parameter="objective")


def _classifier_outputs(
    estimator: Any, ctx: Context, model: BoosterModel, probe: Probe, margin: Value, answer: Value
) -> Outputs:
    """The branches of ``XGBClassifier.predict`` and ``predict_proba``, in their order."""
    classes = int(estimator.n_classes_)
    width = 1 if model.objective["name"] == "multi:softmax" else model.outputs
    softmax = estimator.objective == "multi:softmax"
    labels = np.arange(max(classes, 2))
    if width > 1 and classes != 2:
        predict = Output(ctx.node("argmax", [answer]), "int64", vector=True, classes=np.arange(width))
    elif width > 1:
        # several labels, or two classes of multi:softprob, which the estimator takes for two labels
        pair = model.objective["name"] == "multi:softprob"
        decided = margin
        if pair:
            other = ctx.node("select", [margin], constants={"indices": np.array([1, 0], dtype=np.int64)})
            decided = ctx.node("combine", [margin, other], attrs={"fn": "sub"})
        constants = _cut(ctx, probe, model, against_other=pair)
        cut = ctx.node("threshold", [decided], attrs={"compare": "ge"}, constants=constants)
        predict = Output(cut, "float64", classes=np.array([0.0, 1.0]), names=_names(model))
    elif softmax:
        predict = Output(answer, "int32", vector=True, classes=np.arange(model.outputs))
    elif model.objective["name"] == "multi:softmax":
        ctx.refuse("a multi:softmax booster inside an estimator of another objective", parameter="objective")
    else:
        cut = ctx.node("threshold", [margin], attrs={"compare": "ge"}, constants=_cut(ctx, probe, model))
        predict = Output(cut, "int64", vector=True, classes=labels)
    if softmax:
        probabilities = ctx.node("link", [margin], attrs={"fn": "sk_softmax"})
        proba = Output(probabilities, "float32", names=[str(index) for index in range(model.outputs)])
    elif width > 1 and (width == classes or classes == 2):
        proba = Output(answer, "float32", names=_names(model))
    elif width == 1:
        proba = Output(ctx.node("complement", [answer]), "float32", names=["0", "1"])
    else:
        ctx.refuse(f"predict_proba fails in XGBoost itself for {width} outputs and {classes} classes")
    return {"predict": predict, "predict_proba": proba}


# -- entries --------------------------------------------------------------------------------------------------------


def _read(booster: Any, ctx: Context) -> tuple[BoosterModel, Probe]:
    model = read_booster(booster)
    if not _FIRST <= model.version < _END:
        # 3.3 changes in-place prediction of DART, among others
        ctx.refuse(f"XGBoost {'.'.join(map(str, model.version))} is outside the range >=3.0,<3.3 this was proven for")
    device = json.loads(booster.save_config())["learner"]["generic_param"].get("device", "cpu")
    if not str(device).startswith("cpu"):
        ctx.refuse(
            f"the booster predicts on device {device!r}, whose sums differ from the CPU's in the last bits",
            parameter="device",
            alternative=_CPU_ALTERNATIVE,
        )
    return model, Probe(booster, model)


def _booster(booster: Any, frame: Frame, ctx: Context) -> Outputs:
    try:
        model, probe = _read(booster, ctx)
        value = _features(frame, ctx, model, math.nan, dmatrix=True)
        margin = _margin(value, ctx, model, probe, len(model.rounds) - 1, dmatrix=True)
        leaves = _leaves(value, ctx, model, len(model.rounds) - 1)
    except Malformed as error:
        ctx.refuse(str(error))
    answer = _answer(margin, ctx, model)
    vector = model.outputs == 1
    return {
        "predict": _predict(answer, model),
        "decision_function": Output(margin, "float32", vector, names=_names(model)),
        **leaves,
    }


def _estimator(estimator: Any, frame: Frame, ctx: Context, *, classifier: bool) -> Outputs:
    if not hasattr(estimator, "_Booster") or (classifier and not hasattr(estimator, "n_classes_")):
        ctx.refuse("the estimator is not fitted", alternative="call fit or load_model first")
    with np.errstate(over="ignore"):
        missing = math.nan if estimator.missing is None else float(np.float32(estimator.missing))
    try:
        model, probe = _read(estimator.get_booster(), ctx)
        if (estimator.booster == "gblinear") != (model.kind == "gblinear"):
            ctx.refuse(f"the fitted booster is {model.kind} but the estimator says otherwise", parameter="booster")
        dmatrix = model.kind == "gblinear"
        rounds = len(model.rounds) - 1
        if model.best_iteration is not None and model.kind != "gblinear":
            if not 0 <= model.best_iteration < rounds:
                ctx.refuse(f"best_iteration {model.best_iteration} is outside the {rounds} rounds of the booster")
            rounds = model.best_iteration + 1
        value = _features(frame, ctx, model, missing, dmatrix=dmatrix)
        margin = _margin(value, ctx, model, probe, rounds, dmatrix=dmatrix)
        leaves = _leaves(value, ctx, model, rounds)
    except Malformed as error:
        ctx.refuse(str(error))
    answer = _answer(margin, ctx, model)
    vector = model.outputs == 1
    decision = Output(margin, "float32", vector, names=_names(model))
    if classifier:
        outputs = _classifier_outputs(estimator, ctx, model, probe, margin, answer)
        return {**outputs, "decision_function": decision, **leaves}
    return {"predict": _predict(answer, model), "decision_function": decision, **leaves}


def _predict(answer: Value, model: BoosterModel) -> Output:
    vector = answer.width == 1
    return Output(answer, "float32", vector, names=None if vector else _names(model))


def _booster_width(booster: Any) -> int:
    try:
        return int(booster.num_features())
    except ValueError as error:  # XGBoostError is one
        raise InputError("expected a trained Booster but it has no features; train it first") from error


def _estimator_width(estimator: Any) -> int:
    if not hasattr(estimator, "_Booster"):
        raise InputError(f"expected a fitted {type(estimator).__name__} but it is not fitted; call fit first")
    return _booster_width(estimator.get_booster())


_TRAINING = [
    "callbacks",
    "colsample_bylevel",
    "colsample_bynode",
    "colsample_bytree",
    "eval_metric",
    "feature_weights",
    "gamma",
    "grow_policy",
    "importance_type",
    "interaction_constraints",
    "learning_rate",
    "max_bin",
    "max_cat_threshold",
    "max_cat_to_onehot",
    "max_delta_step",
    "max_depth",
    "max_leaves",
    "min_child_weight",
    "monotone_constraints",
    "n_estimators",
    "n_jobs",
    "random_state",
    "reg_alpha",
    "reg_lambda",
    "sampling_method",
    "scale_pos_weight",
    "subsample",
    "tree_method",
    "validate_parameters",
    "verbosity",
]
_PARAMETERS: dict[str, str] = {
    **dict.fromkeys(_TRAINING, "training"),
    "base_score": "honoured",
    "booster": "honoured",
    "device": "a booster that predicts on a GPU is refused",
    "early_stopping_rounds": "honoured",
    "enable_categorical": "honoured",
    "feature_types": "honoured",
    "kwargs": "honoured",
    "missing": "any value; other than NaN it is refused together with category columns of a data frame",
    "multi_strategy": "honoured",
    "num_parallel_tree": "honoured",
    "objective": "all of XGBoost 3.2's; a callable's gradients act only while fitting; reg:expectileerror is refused",
}
_ATTRIBUTES = {
    "_Booster": "used",
    "best_iteration": "used",
    "best_score": "training",
    "coef_": "derived",
    "evals_result_": "training",
    "feature_importances_": "training",
    "feature_names_in_": "used",
    "intercept_": "derived",
    "kwargs": "used",
    "n_features_in_": "used",
}
_TOLERANCE = "values behind exp are within 4 ULP of float32; margins, binary labels and identity objectives are exact"
_NOTE = "decision_function is predict(output_margin=True)"

register(
    Entry(
        "xgboost.Booster",
        "model",
        _booster,
        {"params": "honoured", "cache": "training", "model_file": "honoured"},
        {"handle": "used", "best_iteration": "not read: Booster.predict uses every round", "best_score": "training"},
        reference=booster_reference,
        input_names=lambda booster: booster.feature_names,
        input_width=_booster_width,
        tolerance=_TOLERANCE,
        notes="X is what a DMatrix is built from with missing=nan; " + _NOTE,
    )
)
for _name in ("XGBClassifier", "XGBRFClassifier", "XGBRegressor", "XGBRFRegressor", "XGBRanker"):
    _classifier = _name.endswith("Classifier")
    register(
        Entry(
            f"xgboost.{_name}",
            "model",
            partial(_estimator, classifier=_classifier),
            _PARAMETERS,
            _ATTRIBUTES | ({"classes_": "derived", "n_classes_": "used"} if _classifier else {}),
            reference=estimator_reference,
            input_width=_estimator_width,
            tolerance=_TOLERANCE,
            notes=_NOTE,
        )
    )
