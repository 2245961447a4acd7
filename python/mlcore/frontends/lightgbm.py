"""LightGBM: ``Booster``, ``LGBMClassifier``, ``LGBMRegressor``, ``LGBMRanker``.

Sums run in double, from 0, tree by tree (``GBDT::PredictRaw``); the init score is inside the first tree. The
reference is LightGBM reading NumPy arrays and pandas frames; there ``|x| <= 1e-35`` counts as 0 before any split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlcore.errors import InputError
from mlcore.frontends._leaves import leaf_array, leaf_output
from mlcore.frontends._lightgbm_categories import assign_categories, with_category_columns
from mlcore.frontends._lightgbm_link import Objective, label_cut, library_link, objective_of, used_iterations
from mlcore.frontends._lightgbm_text import TextModel, build_forest, parse_model
from mlcore.frontends.context import Context, Frame, Output, Outputs, Value
from mlcore.frontends.registry import Entry, register

__all__: list[str] = []

_MULTICLASS = {"multiclass", "softmax", "multiclassova", "multiclass_ova", "ova", "ovr"}
_FALSE = {"false", "-", "0", "no", "none", ""}
_LINK_OPS = {
    "sqrt": "lgb_sqrt",
    "exp": "lgb_exp",
    "sigmoid": "lgb_sigmoid",
    "log1p_exp": "lgb_xentlambda",
    "softmax": "lgb_softmax",
}
_TOLERANCE = "exp and its kin in predict and predict_proba: within 4 ULP; raw margins are exact"
_LABELS = (
    "; labels of two classes are exact, labels of more classes are those of the largest probability, which can differ "
    "only where two classes tie within 4 ULP"
)


@dataclass(frozen=True)
class _Scores:
    """Blocks of one booster: ``raw`` is the margin of ``raw_score=True``, ``margin`` what the link converts."""

    raw: Value
    margin: Value
    converted: Value
    objective: Objective
    leaves: Value | None  # where they are wanted

    def outputs(self, outputs: Outputs) -> Outputs:
        """``outputs``, and the leaves of ``pred_leaf=True``."""
        return outputs if self.leaves is None else {**outputs, "leaf": leaf_output(self.leaves)}


# -- input ----------------------------------------------------------------------------------------------------------


def _matrix(booster: Any, model: TextModel, frame: Frame, ctx: Context) -> Value:
    """Emit the rows as the doubles that LightGBM's predictor reads."""
    if frame.width != model.features:
        ctx.refuse(f"expected {model.features} columns but found {frame.width}")
    kinds = frame.kinds()
    for index, kind in enumerate(kinds):
        if kind is not None and kind.startswith(("timestamp", "date")):
            ctx.refuse(f"LightGBM takes numbers but the column is {kind}", column=frame.label(index))
    categories = getattr(booster, "pandas_categorical", None) or []
    if categories and frame.names is None:
        ctx.refuse(
            "the booster was trained on pandas categoricals but sees a bare array here",
            alternative="pass the data frame it was trained on as `sample=`",
        )
    if categories:
        assigned = assign_categories(model, kinds, categories)
        if assigned is None:
            ctx.refuse(
                f"cannot tell which columns hold the {len(categories)} pandas categoricals that the booster stores",
                alternative="pass the data frame it was trained on as `sample=`, or encode categories before",
            )
        return _coded_block(assigned, frame, ctx)
    if frame.names is None:
        dtype = frame.array_dtype()
        if dtype.kind in "iub" and frame.sparse:
            ctx.refuse(f"LightGBM does not take sparse matrices of {dtype}")
        if dtype == np.uint64:
            ctx.refuse("arrays of uint64 are not supported", alternative="train and predict on float64 or int64")
        if dtype.kind in "iu" and dtype.itemsize >= 4:
            return _through_float32(frame, ctx)
    return frame.block("f64")


def _through_float32(frame: Frame, ctx: Context) -> Value:
    """Wide integers of a bare array: LightGBM casts what is neither float32 nor float64 to float32 (basic.py)."""
    pieces = []
    for part in frame.parts:
        whole = part.value is None or part.value.dtype in ("i64", "i32")
        # an integer array has no missing values, so a raw column with one is an error here
        value = Frame(ctx, [part]).block("i64" if whole else "f32")
        pieces.append(ctx.node("cast", [value], attrs={"dtype": "f32"}) if whole else value)
    block = pieces[0] if len(pieces) == 1 else ctx.node("concat", pieces)
    return ctx.node("cast", [block], attrs={"dtype": "f64"})


def _coded_block(categories: dict[int, Sequence[Any]], frame: Frame, ctx: Context) -> Value:
    """Category columns as codes (NaN for missing and unseen values), the others as numbers."""
    pieces: list[Value] = []
    start = 0
    for index in range(frame.width + 1):
        if index < frame.width and index not in categories:
            continue
        if start < index:
            pieces.append(frame.take(range(start, index)).block("f64"))
        if index < frame.width:
            pieces.append(_codes(categories[index], frame, index, ctx))
        start = index + 1
    return pieces[0] if len(pieces) == 1 else ctx.node("concat", pieces)


def _codes(values: Sequence[Any], frame: Frame, index: int, ctx: Context) -> Value:
    if not values:
        return ctx.node("broadcast", [], constants={"value": np.asarray([np.nan])})
    keys: Any
    _decide_type(values, frame, index)
    if all(isinstance(value, str) for value in values):
        column, keys = frame.column(index, "str"), [str(value) for value in values]
    elif all(isinstance(value, (bool, int, float, np.bool_, np.integer, np.floating)) for value in values):
        column, keys = frame.column(index, "f64"), np.asarray([float(value) for value in values])
        if any(isinstance(value, (int, np.integer)) and abs(int(value)) >= 2**53 for value in values):
            ctx.refuse("integer categories of 2**53 and beyond are not supported", column=frame.label(index))
    else:
        types = sorted({type(value).__name__ for value in values})
        ctx.refuse(f"pandas categories of type {', '.join(types)} are not supported", column=frame.label(index))
    code = ctx.node("encode", [column], attrs={"unknown": "code", "unknown_code": -1}, constants={"keys": keys})
    table = {"values": np.arange(len(values), dtype=np.float64), "default": np.asarray([np.nan])}
    return ctx.node("table", [code], constants=table)


def _decide_type(values: Sequence[Any], frame: Frame, index: int) -> None:
    """Without a sample the categories tell the type of a raw column; strings and floats say so when it is read."""
    part, _ = frame.part_at(index)
    if part.column is None or part.column.logical is not None:
        return
    if all(isinstance(value, (bool, np.bool_)) for value in values):
        part.column.logical = "bool"
    elif all(isinstance(value, (int, np.integer)) for value in values):
        part.column.logical = "int64"


# -- scores ---------------------------------------------------------------------------------------------------------


def _score(booster: Any, frame: Frame, ctx: Context) -> _Scores:
    """Margins and predictions of ``booster.predict`` with its own defaults."""
    try:
        model = parse_model(booster.model_to_string(num_iteration=-1))
        objective = objective_of(model, booster)
        outputs = model.outputs
        if int(model.header["num_class"]) != outputs:
            raise ValueError(f"{outputs} trees per iteration for {model.header['num_class']} classes are not supported")
        block = _matrix(booster, model, frame, ctx)
        iterations = used_iterations(model, booster)
        trees = model.trees[: iterations * outputs]
        leaves = None
        if not trees:
            raw = ctx.node("broadcast", [], constants={"value": np.zeros(outputs)})
        else:
            # a CSR row is read as it is; a dense one loses |x| <= 1e-35
            forest = build_forest(trees, outputs=outputs, features=model.features, dense=not frame.sparse)
            raw = ctx.node("trees", [block], attrs=forest.attributes, constants=forest.constants)
            if ctx.leaf:
                forest = forest.leaves()
                leaves = ctx.node("trees", [block], attrs=forest.attributes, constants=forest.constants)
    except ValueError as error:
        ctx.refuse(f"LightGBM: {error}")
    margin = raw
    if model.averages:
        # only predict divides; raw_score=True gives the sum
        divisor = np.asarray([float(iterations)])
        margin = ctx.node("arith", [raw], attrs={"fn": "div"}, constants={"value": divisor})
    return _Scores(raw, margin, _convert(margin, objective, ctx), objective, leaves)


def _convert(margin: Value, objective: Objective, ctx: Context) -> Value:
    if objective.link == "identity":
        return margin
    constants = {"scale": np.asarray([objective.scale])} if objective.link == "sigmoid" else {}
    return ctx.node("link", [margin], attrs={"fn": _LINK_OPS[objective.link]}, constants=constants)


def _array(value: Value, names: list[str] | None = None) -> Output:
    return Output(value, "float64", vector=value.width == 1, names=names if value.width > 1 else None)


def _compile_booster(booster: Any, frame: Frame, ctx: Context) -> Outputs:
    scores = _score(booster, frame, ctx)
    return scores.outputs({"predict": _array(scores.converted), "decision_function": _array(scores.raw)})


def _scores_of_estimator(estimator: Any, frame: Frame, ctx: Context) -> _Scores:
    booster = getattr(estimator, "_Booster", None)
    if booster is None or not getattr(estimator, "fitted_", False):
        raise InputError(f"expected a fitted {type(estimator).__name__} but it is not fitted; call fit first")
    scores = _score(booster, frame, ctx)
    # every constructor argument is also an argument of predict (sklearn.py, _process_params); this one acts there
    early = estimator.get_params().get("pred_early_stop", False)
    if str(early).lower() not in _FALSE and scores.objective.stops_early:
        ctx.refuse(
            "stopping early while predicting makes a row's margin depend on a heuristic",
            parameter="pred_early_stop",
            alternative="set pred_early_stop=False",
        )
    return scores


def _compile_regressor(estimator: Any, frame: Frame, ctx: Context) -> Outputs:
    scores = _scores_of_estimator(estimator, frame, ctx)
    return scores.outputs({"predict": _array(scores.converted), "decision_function": _array(scores.raw)})


def _compile_classifier(estimator: Any, frame: Frame, ctx: Context) -> Outputs:
    scores = _scores_of_estimator(estimator, frame, ctx)
    classes = np.asarray(estimator._le.classes_)
    names = [str(label) for label in classes.tolist()]
    given = estimator._objective
    if callable(given):
        raw = _array(scores.converted)
        return scores.outputs({"predict": raw, "predict_proba": raw, "decision_function": _array(scores.raw)})
    width = scores.raw.width
    if estimator._n_classes > 2 or given in _MULTICLASS:
        if width != len(classes) or width < 2:
            ctx.refuse(f"expected one output per class but found {width} outputs for {len(classes)} classes")
        labels = ctx.node("argmax", [scores.converted])
        proba = scores.converted
    else:
        if len(classes) != 2 or width != 1:
            ctx.refuse(f"expected two classes and one output but found {len(classes)} classes and {width} outputs")
        try:
            cut = label_cut(library_link(estimator._Booster, scores.objective), scores.objective.scale)
        except ValueError as error:
            ctx.refuse(f"LightGBM: {error}")
        labels = ctx.node("threshold", [scores.margin], attrs={"compare": "gt"}, constants={"cut": np.asarray([cut])})
        proba = ctx.node("complement", [scores.converted])
    return scores.outputs(
        {
            "predict": Output(labels, str(classes.dtype), vector=True, classes=classes),
            "predict_proba": Output(proba, "float64", names=names),
            "decision_function": _array(scores.raw, names),
        }
    )


# -- registry -------------------------------------------------------------------------------------------------------


def _reference(estimator: Any, method: str, table: Any) -> Any:
    """Ask the original; ``decision_function`` is the raw margin, for every class."""
    table = with_category_columns(getattr(estimator, "_Booster", estimator), table)
    if method == "decision_function":
        return estimator.predict(table, raw_score=True)
    if method == "leaf":
        return leaf_array(estimator.predict(table, pred_leaf=True))
    return getattr(estimator, method)(table)


def _booster_names(booster: Any) -> list[str] | None:
    names = [str(name) for name in booster.feature_name()]
    return None if names == [f"Column_{index}" for index in range(len(names))] else names


def _estimator_names(estimator: Any) -> list[str] | None:
    booster = getattr(estimator, "_Booster", None)
    # before 4.7 the names alone tell
    if booster is None or not getattr(estimator, "_fitted_with_feature_names", True):
        return None
    if not hasattr(estimator, "_fitted_with_feature_names"):
        return _booster_names(booster)
    return [str(name) for name in booster.feature_name()]


_PARAMETERS = {
    **dict.fromkeys(
        (
            "boosting_type", "num_leaves", "max_depth", "learning_rate", "n_estimators", "subsample_for_bin",
            "class_weight", "min_split_gain", "min_child_weight", "min_child_samples", "subsample", "subsample_freq",
            "colsample_bytree", "reg_alpha", "reg_lambda", "random_state", "n_jobs", "importance_type",
        ),
        "training",
    ),
    "objective": "honoured",
    "kwargs": "all act in training, but pred_early_stop=True is refused where it changes predictions",
}  # fmt: skip
_ATTRIBUTES = {
    **dict.fromkeys(("_Booster", "_objective", "_other_params", "fitted_", "_fitted_with_feature_names"), "used"),
    **dict.fromkeys(
        ("_best_iteration", "_n_features", "_n_features_in", "_classes", "_class_map", "_best_score"), "derived"
    ),
    **dict.fromkeys(("_class_weight", "_evals_result"), "training"),
    "_n_classes": "used",
}
_BOOSTER_ATTRIBUTES = {
    **dict.fromkeys(("_handle", "best_iteration", "pandas_categorical", "params"), "used"),
    **dict.fromkeys(
        (
            "_network", "_train_data_name", "best_score", "name_valid_sets", "train_set_version", "train_set",
            "valid_sets", "_Booster__higher_better_inner_eval", "_Booster__init_predictor",
            "_Booster__inner_predict_buffer", "_Booster__is_predicted_cur_iter", "_Booster__name_inner_eval",
            "_Booster__need_reload_eval_info", "_Booster__num_class", "_Booster__num_dataset",
            "_Booster__num_inner_eval", "_Booster__set_objective_to_none",
        ),
        "training",
    ),
}  # fmt: skip

register(
    Entry(
        "lightgbm.Booster",
        "model",
        _compile_booster,
        {"params": "training", "train_set": "training", "model_file": "honoured", "model_str": "honoured"},
        _BOOSTER_ATTRIBUTES,
        reference=_reference,
        input_names=_booster_names,
        input_width=lambda booster: int(booster.num_feature()),
        tolerance=_TOLERANCE,
        notes="All boosting types, objectives, missing types, categories and linear trees; predict as Booster.predict.",
    )
)
for _cls, _compile, _extra, _notes in (
    ("LGBMClassifier", _compile_classifier, {"_le": "used"}, "Binary, multiclass, one-vs-all and custom objectives."),
    ("LGBMRegressor", _compile_regressor, {}, "All objectives, also reg_sqrt and linear_tree."),
    ("LGBMRanker", _compile_regressor, {"_eval_at": "training"}, "lambdarank and rank_xendcg."),
):
    register(
        Entry(
            f"lightgbm.{_cls}",
            "model",
            _compile,
            _PARAMETERS,
            {**_ATTRIBUTES, **_extra},
            reference=_reference,
            input_names=_estimator_names,
            tolerance=_TOLERANCE + (_LABELS if _cls == "LGBMClassifier" else ""),
            notes=_notes,
        )
    )
