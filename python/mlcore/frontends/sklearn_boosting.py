"""scikit-learn's boosted trees: GradientBoosting* and HistGradientBoosting* (sklearn.ensemble)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mlcore.frontends._leaves import leaf_array
from mlcore.frontends._names import enter
from mlcore.frontends._sklearn_models import (
    argmax_label,
    as_float,
    cut_label,
    nested,
    number_output,
    probability_output,
    select,
    spec,
    tree_input,
)
from mlcore.frontends.context import Context, Frame, Outputs, Value
from mlcore.frontends.registry import Entry, register
from mlcore.frontends.sklearn_trees import TreeTable, forest_node, sklearn_tree, with_leaves

__all__: list[str] = []

Array = npt.NDArray[Any]


# -- losses and links (sklearn._loss) ---------------------------------------------------------------------------


def _unary(ctx: Context, value: Value, fn: str) -> Value:
    return ctx.node("unary", [value], attrs={"fn": fn})


def _scaled(ctx: Context, value: Value, factor: float) -> Value:
    return ctx.node("arith", [value], attrs={"fn": "mul"}, constants={"value": np.array([factor])})


def _link_name(loss: Any, ctx: Context) -> str:
    """Class name of the loss's link, one of scikit-learn's own; anything else is refused."""
    link = type(loss.link)
    known = ("IdentityLink", "LogLink", "LogitLink", "HalfLogitLink", "MultinomialLogit")
    if link.__module__ != "sklearn._loss.link" or link.__name__ not in known:
        ctx.refuse(f"the link {link.__module__}.{link.__qualname__} is not supported", parameter="loss")
    return link.__name__


def _predict_proba(loss: Any, raw: Value, ctx: Context) -> Value:
    name = _link_name(loss, ctx)
    if name == "MultinomialLogit":
        return ctx.node("link", [raw], attrs={"fn": "sk_softmax"})
    if name not in ("LogitLink", "HalfLogitLink"):
        ctx.refuse(f"a classifier with the link {name} is not supported", parameter="loss")
    constants = {"scale": np.array([2.0])} if name == "HalfLogitLink" else {}
    return ctx.node("complement", [ctx.node("link", [raw], attrs={"fn": "sk_expit"}, constants=constants)])


def _inverse_link(loss: Any, raw: Value, ctx: Context) -> Value:
    name = _link_name(loss, ctx)
    if name == "IdentityLink":
        return raw
    if name != "LogLink":
        ctx.refuse(f"a regressor with the link {name} is not supported", parameter="loss")
    return ctx.node("link", [raw], attrs={"fn": "sk_exp"})


def _logit(probability: Value, ctx: Context) -> Value:
    """scipy.special.logit (xsf/log.h): log(p / (1 - p)), and log1p(2p - 1) - log1p(1 - 2p) for p in [0.3, 0.65]."""

    def arith(value: Value, fn: str, number: float) -> Value:
        return ctx.node("arith", [value], attrs={"fn": fn}, constants={"value": np.array([number])})

    def above(value: Value, cut: float) -> Value:
        return ctx.node("binarize", [value], constants={"threshold": np.array([cut])})

    odds = ctx.node("combine", [probability, arith(probability, "rsub", 1.0)], attrs={"fn": "div"})
    outer = _unary(ctx, odds, "log")
    shifted = arith(arith(probability, "sub", 0.5), "mul", 2.0)
    terms = [_unary(ctx, shifted, "log1p"), _unary(ctx, _unary(ctx, shifted, "negative"), "log1p")]
    inner = ctx.node("combine", terms, attrs={"fn": "sub"})
    # both are finite, because the original clips probabilities to [eps, 1 - eps]: a product with 0 or 1 chooses
    low = above(probability, float(np.nextafter(0.3, 0.0)))
    middle = ctx.node("combine", [low, above(probability, 0.65)], attrs={"fn": "sub"})
    chosen = ctx.node("combine", [inner, middle], attrs={"fn": "mul"})
    other = ctx.node("combine", [outer, arith(middle, "rsub", 1.0)], attrs={"fn": "mul"})
    return ctx.node("combine", [chosen, other], attrs={"fn": "add"})


def _link(loss: Any, value: Value, ctx: Context) -> Value:
    """From the initial estimator's prediction to the margin that the trees add to."""
    name = _link_name(loss, ctx)
    if name == "LogitLink":
        return _logit(value, ctx)
    if name == "HalfLogitLink":
        return _scaled(ctx, _logit(value, ctx), 0.5)
    if name == "MultinomialLogit":
        # log(p / geometric mean of p)
        logs = _unary(ctx, value, "log")
        columns = [select(ctx, logs, [index]) for index in range(value.width)]
        weights = {"weights": np.ones(value.width), "divisor": np.array([value.width], dtype=np.float64)}
        mean = _unary(ctx, ctx.node("weighted_sum", columns, constants=weights), "exp")
        return _unary(ctx, ctx.node("combine", [value, mean], attrs={"fn": "div"}), "log")
    return value


# -- GradientBoosting -------------------------------------------------------------------------------------------


def _boosted(estimator: Any, x: Value, sparse: bool, ctx: Context) -> Value:
    """``raw += learning_rate * tree`` stage by stage, in float64 (_gradient_boosting.pyx, predict_stages)."""
    rate = float(estimator.learning_rate)
    width = int(estimator.n_trees_per_iteration_)
    tables = [
        [sklearn_tree(member.tree_, rate * member.tree_.value[:, 0, 0]) for member in stage]
        for stage in estimator.estimators_.tolist()
    ]
    outputs = np.arange(width)
    init = estimator.init_
    constant = isinstance(init, str) or type(init).__module__ == "sklearn.dummy"
    if constant:
        base = np.asarray(estimator._raw_predict_init(np.zeros((1, estimator.n_features_in_), dtype=np.float32)))[0]
        flat = [table for stage in tables for table in stage]
        return forest_node(ctx, x, flat, base=base, tree_output=np.tile(outputs, len(tables)))
    raw = _initial_margin(estimator, Frame.of(ctx, x, sparse=sparse), ctx)
    for stage in tables:
        # the sum starts at a margin that differs by row; -0.0 + v is v, so each stage gives its leaves' own bits
        step = forest_node(ctx, x, stage, base=np.full(width, -0.0), tree_output=outputs)
        raw = ctx.node("combine", [raw, step], attrs={"fn": "add"})
    return raw


def _initial_margin(estimator: Any, frame: Frame, ctx: Context) -> Value:
    classifies = hasattr(estimator, "classes_")
    method = "predict_proba" if classifies else "predict"
    output = nested(ctx, estimator.init_, frame, "init", method)
    if isinstance(output, list):
        ctx.refuse("an initial estimator with several outputs is not supported", parameter="init")
    value = as_float(ctx, output, "f64")
    if classifies:
        if not estimator._loss.is_multiclass:
            value = select(ctx, value, [1])
        eps = float(np.finfo(np.float64).eps)
        value = ctx.node("clip", [value], constants={"lo": np.array([eps]), "hi": np.array([1 - eps])})
    return _link(estimator._loss, value, ctx)


def _gradient_boosting(estimator: Any, frame: Frame, ctx: Context) -> Outputs:
    x = tree_input(ctx, estimator, frame, nan=False)
    raw = _boosted(estimator, x, frame.sparse, ctx)
    margin = number_output(raw, vector=raw.width == 1)
    outputs: Outputs = {"predict": margin, "decision_function": margin}
    if hasattr(estimator, "classes_"):
        classes = estimator.classes_
        labels = cut_label(ctx, raw, classes, "ge") if raw.width == 1 else argmax_label(ctx, raw, classes)
        proba = probability_output(_predict_proba(estimator._loss, raw, ctx), classes)
        outputs = {"predict": labels, "predict_proba": proba, "decision_function": margin}
    return with_leaves(outputs, ctx, x, [member.tree_ for member in estimator.estimators_.ravel()])


def _gradient_boosting_reference(estimator: Any, method: str, X: Any) -> Any:
    if method == "leaf":
        return leaf_array(estimator.apply(X))
    if method == "decision_function" and not hasattr(estimator, "classes_"):
        return estimator.predict(X)
    return getattr(estimator, method)(X)


# -- HistGradientBoosting ---------------------------------------------------------------------------------------


def _hist_input(estimator: Any, frame: Frame, ctx: Context) -> Value:
    """X as the predictors see it: float64, categorical columns first as codes of the internal OrdinalEncoder."""
    enter(estimator, frame, ctx)
    if frame.sparse:
        ctx.refuse(f"{type(estimator).__name__} does not take a sparse matrix; scikit-learn itself raises")
    if estimator._preprocessor is None:
        return frame.block("f64")
    categorical = np.asarray(estimator.is_categorical_, dtype=bool)
    encoder = estimator._preprocessor.named_transformers_["encoder"]
    encoded: Frame = ctx.compile(encoder, frame.take(np.flatnonzero(categorical)), "encoder")
    codes = encoded.block("f64")
    if categorical.all():
        return codes
    return ctx.node("concat", [codes, frame.take(np.flatnonzero(~categorical)).block("f64")])


def _hist_table(predictor: Any, known: Array, known_row: Array) -> TreeTable:
    nodes = predictor.nodes
    leaf = nodes["is_leaf"].astype(bool)
    category_row = category_words = None
    categorical = nodes["is_categorical"].astype(bool) & ~leaf
    missing_left = nodes["missing_go_to_left"].astype(bool)
    if categorical.any():
        index = np.flatnonzero(categorical)
        category_row = np.full(len(nodes), -1)
        category_row[index] = np.arange(len(index))
        left = np.asarray(predictor.raw_left_cat_bitsets, dtype=np.uint32)[nodes["bitset_idx"][index]]
        learned = np.asarray(known, dtype=np.uint32)[known_row[nodes["feature_idx"][index]]]
        category_words = np.concatenate([left, learned], axis=1)
    return TreeTable(
        np.where(leaf, -1, nodes["feature_idx"].astype(np.int64)),
        np.where(leaf | categorical, 0.0, nodes["num_threshold"]),
        np.where(leaf, -1, nodes["left"].astype(np.int64)),
        np.where(leaf, -1, nodes["right"].astype(np.int64)),
        missing_left,
        nodes["value"],
        category_row,
        category_words,
    )


def _hist_raw(estimator: Any, frame: Frame, ctx: Context) -> Value:
    x = _hist_input(estimator, frame, ctx)
    if estimator._preprocessor is None:
        known, known_row = np.zeros((0, 8), dtype=np.uint32), np.zeros(frame.width, dtype=np.int64)
    else:
        known, known_row = estimator._bin_mapper.make_known_categories_bitsets()
    tables = [_hist_table(member, known, known_row) for stage in estimator._predictors for member in stage]
    outputs = np.tile(np.arange(int(estimator.n_trees_per_iteration_)), len(estimator._predictors))
    base = 0.0 + np.asarray(estimator._baseline_prediction, dtype=np.float64).reshape(-1)
    return forest_node(ctx, x, tables, base=base, tree_output=outputs)


def _hist_gradient_boosting(estimator: Any, frame: Frame, ctx: Context) -> Outputs:
    raw = _hist_raw(estimator, frame, ctx)
    margin = number_output(raw, vector=raw.width == 1)
    if not hasattr(estimator, "classes_"):
        predicted = number_output(_inverse_link(estimator._loss, raw, ctx), vector=True)
        return {"predict": predicted, "decision_function": margin}
    classes = estimator.classes_
    proba = _predict_proba(estimator._loss, raw, ctx)
    if len(classes) == 1:
        return _only_class(estimator, raw, proba, ctx)
    return {
        "predict": cut_label(ctx, raw, classes) if raw.width == 1 else argmax_label(ctx, raw, classes),
        "predict_proba": probability_output(proba, classes),
        "decision_function": margin,
    }


def _only_class(estimator: Any, raw: Value, proba: Value, ctx: Context) -> Outputs:
    """A classifier that saw one class still has a margin and two columns of probabilities; only its label is fixed."""
    highest = float(estimator._baseline_prediction.max())
    highest += sum(float(stage[0].nodes["value"].max()) for stage in estimator._predictors)
    if highest > 0:
        ctx.refuse("a classifier of one class whose margin can be positive; scikit-learn itself raises for such rows")
    # of one column the first is the largest: position 0, for rows that the steps before accept
    return {
        "predict": argmax_label(ctx, raw, estimator.classes_),
        "predict_proba": number_output(proba),
        "decision_function": number_output(raw, vector=True),
    }


def _hist_reference(estimator: Any, method: str, X: Any) -> Any:
    if method == "decision_function" and not hasattr(estimator, "classes_"):
        return estimator._raw_predict(X).ravel()
    return getattr(estimator, method)(X)


# -- registry ---------------------------------------------------------------------------------------------------

_INIT = "honoured: 'zero', None and every supported estimator"
_COMMON = {
    **spec(
        honoured="loss learning_rate",
        training="n_estimators subsample criterion min_samples_split min_samples_leaf min_weight_fraction_leaf "
        "max_depth min_impurity_decrease random_state max_features verbose max_leaf_nodes warm_start "
        "validation_fraction n_iter_no_change tol ccp_alpha",
    ),
    "init": _INIT,
}
_COMMON_FITTED = spec(
    used="n_features_in_ feature_names_in_ estimators_ init_ n_trees_per_iteration_ _loss",
    derived="n_estimators_",
    training="max_features_ train_score_ oob_improvement_ oob_scores_ oob_score_ _rng",
)
register(
    Entry(
        "sklearn.ensemble.GradientBoostingClassifier",
        "model",
        _gradient_boosting,
        parameters=_COMMON,
        attributes=_COMMON_FITTED | spec(used="classes_", derived="n_classes_", training="alpha"),
        reference=_gradient_boosting_reference,
        tolerance="predict_proba: expit or softmax of the exact margin; with an initial estimator also the logarithm "
        "of its probabilities",
        notes="decision_function is the raw margin; labels are cut on it",
    )
)
register(
    Entry(
        "sklearn.ensemble.GradientBoostingRegressor",
        "model",
        _gradient_boosting,
        parameters=_COMMON | spec(training="alpha"),
        attributes=_COMMON_FITTED,
        reference=_gradient_boosting_reference,
        notes="decision_function equals predict: every loss has the identity link",
    )
)
_HIST = spec(
    honoured="categorical_features",
    training="learning_rate max_iter max_leaf_nodes max_depth min_samples_leaf l2_regularization max_features max_bins "
    "monotonic_cst interaction_cst warm_start early_stopping scoring validation_fraction n_iter_no_change tol verbose "
    "random_state",
)
_HIST_LOSS = {"loss": "honoured: every name, and loss objects whose link is one of scikit-learn's own"}
_HIST_FITTED = spec(
    used="n_features_in_ feature_names_in_ is_categorical_ _preprocessor _bin_mapper _predictors "
    "_baseline_prediction n_trees_per_iteration_ _loss",
    derived="_is_categorical_remapped _n_features n_iter_",
    training="_random_seed _feature_subsample_rng do_early_stopping_ _use_validation_data _scorer train_score_ "
    "validation_score_ _fitted_with_sw",
)
register(
    Entry(
        "sklearn.ensemble.HistGradientBoostingClassifier",
        "model",
        _hist_gradient_boosting,
        parameters=_HIST | _HIST_LOSS | spec(training="class_weight"),
        attributes=_HIST_FITTED | spec(used="classes_", derived="_label_encoder"),
        reference=_hist_reference,
        tolerance="predict_proba: expit or softmax of the exact margin",
        notes="decision_function is the raw margin; labels are cut on it",
    )
)
register(
    Entry(
        "sklearn.ensemble.HistGradientBoostingRegressor",
        "model",
        _hist_gradient_boosting,
        parameters=_HIST | _HIST_LOSS | spec(training="quantile"),
        attributes=_HIST_FITTED,
        reference=_hist_reference,
        tolerance="predict with loss='poisson' or 'gamma': exp of the exact margin; other losses are exact",
        notes="decision_function is the value before the link",
    )
)
