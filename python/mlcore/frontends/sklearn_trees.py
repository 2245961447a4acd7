"""scikit-learn's decision trees, forests of them, and IsolationForest (sklearn.tree, sklearn.ensemble)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mlcore.frontends._leaves import leaf_array, leaf_output
from mlcore.frontends._names import enter
from mlcore.frontends._sklearn_models import (
    argmax_label,
    class_names,
    concat,
    first_true,
    label_output,
    number_output,
    probability_output,
    select,
    single_thread,
    spec,
    tree_input,
)
from mlcore.frontends.context import Context, Frame, Outputs, Value
from mlcore.frontends.registry import Entry, register

__all__ = ["TreeTable", "forest_node", "sklearn_tree", "with_leaves"]

Array = npt.NDArray[Any]


# -- tables -----------------------------------------------------------------------------------------------------


@dataclass
class TreeTable:
    """One tree as arrays over its nodes; ``left`` and ``right`` are -1 at leaves, ``values`` has one row per node."""

    feature: Array
    threshold: Array
    left: Array
    right: Array
    missing_left: Array
    values: Array
    # per node its row in `category_words`, -1 for numeric splits; None: the tree has no categorical split
    category_row: Array | None = None
    # 16 words per row: 8 of the categories sent left, 8 of the known categories
    category_words: Array | None = None


def sklearn_tree(tree: Any, values: Array, features: Array | None = None) -> TreeTable:
    """Read a ``sklearn.tree._tree.Tree``; ``features`` maps its columns to the frame's."""
    feature = np.asarray(tree.feature)
    if features is not None:
        feature = np.where(feature >= 0, np.asarray(features)[np.maximum(feature, 0)], -1)
    threshold = np.asarray(tree.threshold)
    left, right = np.asarray(tree.children_left), np.asarray(tree.children_right)
    missing_left = np.asarray(tree.missing_go_to_left).astype(bool)
    # a random split between two infinities has a NaN threshold, and no number is <= NaN: the same as a split at
    # infinity with its children swapped
    never = np.isnan(threshold) & (left >= 0)
    return TreeTable(
        feature,
        np.where(never, np.inf, threshold),
        np.where(never, right, left),
        np.where(never, left, right),
        missing_left ^ never,
        values,
    )


def forest_node(
    ctx: Context,
    x: Value,
    trees: Sequence[TreeTable],
    *,
    base: Array,
    tree_output: Array | None = None,
    divisor: int | None = None,
    result: str = "sum",
) -> Value:
    """Sum leaf values in tree order; with the result ``"leaf"``, the number of each tree's leaf among its nodes.

    Without ``tree_output`` every leaf holds one value per output.
    """
    counts = np.array([len(tree.feature) for tree in trees], dtype=np.int64)
    left = np.concatenate([tree.left for tree in trees]).astype(np.int32)
    leaf = left < 0
    values = np.concatenate([np.asarray(tree.values, dtype=np.float64) for tree in trees])[leaf]
    leaf_row = np.full(len(leaf), -1, dtype=np.int32)
    leaf_row[leaf] = np.arange(int(leaf.sum()), dtype=np.int32)
    constants: dict[str, Array] = {
        "tree_offsets": np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        "feature": np.where(leaf, -1, np.concatenate([tree.feature for tree in trees])).astype(np.int32),
        "threshold": np.where(leaf, 0.0, np.concatenate([tree.threshold for tree in trees])).astype(np.float64),
        "left": left,
        "right": np.concatenate([tree.right for tree in trees]).astype(np.int32),
        "missing": np.where(leaf, 0, np.concatenate([tree.missing_left for tree in trees])).astype(np.uint8),
        "leaf": leaf_row,
        "leaf_values": np.ascontiguousarray(values),
        "base": np.asarray(base, dtype=np.float64),
    }
    if tree_output is not None:
        constants["tree_output"] = np.asarray(tree_output, dtype=np.int32)
    if divisor is not None:
        constants["divisor"] = np.array([divisor], dtype=np.float64)
    categorical = any(tree.category_row is not None for tree in trees)
    if categorical:
        constants |= _categories(trees, counts)
    attrs: dict[str, bool | int | str] = {
        "outputs": len(base),
        "compare": "le",
        "categories": "left" if categorical else "none",
        "category_rule": "sklearn" if categorical else "none",
        "vector_leaf": tree_output is None,
        "result": result,
    }
    return ctx.node("trees", [x], attrs=attrs, constants=constants)


def with_leaves(outputs: Outputs, ctx: Context, x: Value, trees: Sequence[Any]) -> Outputs:
    """``outputs``, and the leaves that ``apply`` gives where they are wanted."""
    if not ctx.leaf:
        return outputs
    tables = [sklearn_tree(tree, np.zeros(tree.node_count)) for tree in trees]
    leaves = forest_node(ctx, x, tables, base=np.zeros(1), tree_output=np.zeros(len(tables)), result="leaf")
    return {**outputs, "leaf": leaf_output(leaves)}


def _categories(trees: Sequence[TreeTable], counts: Array) -> dict[str, Array]:
    offsets, words, bits, first = [], [], [], 0
    for tree, count in zip(trees, counts.tolist(), strict=True):
        rows = tree.category_row if tree.category_row is not None else np.full(count, -1)
        offsets.append(np.where(rows >= 0, first + 16 * rows, 0))
        words.append(np.where(rows >= 0, 16, 0))
        if tree.category_words is not None:
            bits.append(tree.category_words.reshape(-1))
            first += tree.category_words.size
    return {
        "category_offset": np.concatenate(offsets).astype(np.int32),
        "category_words": np.concatenate(words).astype(np.int32),
        "category_bits": np.concatenate(bits).astype(np.uint32),
    }


# -- trees and forests ------------------------------------------------------------------------------------------


def _allows_nan(estimator: Any) -> bool:
    return bool(estimator.__sklearn_tags__().input_tags.allow_nan)


def _classes(estimator: Any) -> list[Array]:
    """Class labels per target."""
    classes = estimator.classes_
    return list(classes) if estimator.n_outputs_ > 1 else [np.asarray(classes)]


def _class_rows(tree: Any, classes: Sequence[Array]) -> Array:
    """Per node, the class fractions of every target side by side (the tree pads targets to one width)."""
    return np.concatenate([tree.value[:, target, : len(labels)] for target, labels in enumerate(classes)], axis=1)


def _classifier(estimator: Any, x: Value, trees: Sequence[Any], divisor: int | None, ctx: Context) -> Outputs:
    classes = _classes(estimator)
    tables = [sklearn_tree(tree, _class_rows(tree, classes)) for tree in trees]
    width = sum(len(labels) for labels in classes)
    # -0.0 + v is v for every v: a lone tree gives its own bits, while a forest's sum starts at 0.0
    base = np.full(width, 0.0 if divisor else -0.0)
    proba = forest_node(ctx, x, tables, base=base, divisor=divisor)
    if len(classes) == 1:
        output = probability_output(proba, classes[0])
        return {
            "predict": argmax_label(ctx, proba, classes[0]),
            "predict_proba": output,
            "decision_function": output,
        }
    blocks, positions, start = [], [], 0
    for labels in classes:
        block = select(ctx, proba, range(start, start + len(labels)))
        blocks.append(block)
        # positions count through the labels of all targets: columns before this target's can never win
        padding = [] if start == 0 else [ctx.node("broadcast", [], constants={"value": np.full(start, -np.inf)})]
        positions.append(ctx.node("argmax", [concat(ctx, [*padding, block])]))
        start += len(labels)
    # scikit-learn fills one array of the first target's label dtype
    labels = np.concatenate([np.asarray(one).astype(classes[0].dtype) for one in classes])
    names = [f"{target}_{name}" for target, one in enumerate(classes) for name in class_names(one)]
    return {
        "predict": label_output(ctx, concat(ctx, positions), labels, vector=False),
        "predict_proba": [probability_output(block, one) for block, one in zip(blocks, classes, strict=True)],
        "decision_function": number_output(proba, names=names),
    }


def _regressor(estimator: Any, x: Value, trees: Sequence[Any], divisor: int | None, ctx: Context) -> Outputs:
    outputs = int(estimator.n_outputs_)
    base = np.full(outputs, 0.0 if divisor else -0.0)
    if outputs == 1:
        tables = [sklearn_tree(tree, tree.value[:, 0, 0]) for tree in trees]
        value = forest_node(ctx, x, tables, base=base, tree_output=np.zeros(len(tables)), divisor=divisor)
    else:
        tables = [sklearn_tree(tree, tree.value[:, :, 0]) for tree in trees]
        value = forest_node(ctx, x, tables, base=base, divisor=divisor)
    output = number_output(value, vector=outputs == 1)
    return {"predict": output, "decision_function": output}


def _tree(estimator: Any, frame: Frame, ctx: Context) -> Outputs:
    x = tree_input(ctx, estimator, frame, nan=_allows_nan(estimator))
    build = _classifier if hasattr(estimator, "classes_") else _regressor
    return with_leaves(build(estimator, x, [estimator.tree_], None, ctx), ctx, x, [estimator.tree_])


def _forest(estimator: Any, frame: Frame, ctx: Context) -> Outputs:
    x = tree_input(ctx, estimator, frame, nan=_allows_nan(estimator.estimators_[0]))
    build = _classifier if hasattr(estimator, "classes_") else _regressor
    trees = [member.tree_ for member in estimator.estimators_]
    return with_leaves(build(estimator, x, trees, len(trees), ctx), ctx, x, trees)


def _tree_reference(estimator: Any, method: str, X: Any) -> Any:
    if method == "leaf":
        return leaf_array(estimator.apply(X))
    if method != "decision_function":
        return getattr(estimator, method)(X)
    if not hasattr(estimator, "classes_"):
        return estimator.predict(X)
    proba = estimator.predict_proba(X)
    return np.hstack(proba) if isinstance(proba, list) else proba


def _forest_reference(estimator: Any, method: str, X: Any) -> Any:
    return _tree_reference(single_thread(estimator), method, X)


# -- IsolationForest --------------------------------------------------------------------------------------------


def _isolation_forest(estimator: Any, frame: Frame, ctx: Context) -> Outputs:
    x = _unchecked_input(ctx, estimator, frame)
    tables = []
    for member, features, lengths, averages in zip(
        estimator.estimators_,
        estimator.estimators_features_,
        estimator._decision_path_lengths,
        estimator._average_path_length_per_tree,
        strict=True,
    ):
        tables.append(sklearn_tree(member.tree_, np.asarray(lengths) + np.asarray(averages) - 1.0, features))
    depths = forest_node(ctx, x, tables, base=np.zeros(1), tree_output=np.zeros(len(tables)))
    count, offset = len(tables), float(estimator.offset_)
    # the average path length of a tree grown on max_samples_ rows (Liu, Ting and Zhou 2008, equation 1)
    samples = int(estimator._max_samples)
    average = (
        2.0 * (np.log(samples - 1.0) + np.euler_gamma) - 2.0 * (samples - 1.0) / samples
        if samples > 2
        else float(samples == 2)
    )
    denominator = np.array([count * average])

    def score(total: Array) -> Array:
        share = np.divide(total, denominator, out=np.ones_like(total), where=denominator != 0)
        return np.asarray(-(2 ** (-share)))

    if denominator[0] == 0:
        share = ctx.node("broadcast", [], constants={"value": np.ones(1)})
    else:
        share = ctx.node("arith", [depths], attrs={"fn": "div"}, constants={"value": denominator})
    power = ctx.node("unary", [ctx.node("unary", [share], attrs={"fn": "negative"})], attrs={"fn": "exp2"})
    scores = ctx.node("unary", [power], attrs={"fn": "negative"})
    decision = ctx.node("arith", [scores], attrs={"fn": "sub"}, constants={"value": np.array([offset])})
    # the label is cut on the sum of depths, where the original's own power function changes sides
    cut = first_true(lambda total: not bool(score(np.array([total]))[0] - offset < 0), 0.0, 1e300)
    inlier = ctx.node("threshold", [depths], attrs={"compare": "ge"}, constants={"cut": np.array([cut])})
    return {
        "predict": label_output(ctx, inlier, np.array([-1, 1])),
        "decision_function": number_output(decision, vector=True),
        "score_samples": number_output(scores, vector=True),
    }


def _unchecked_input(ctx: Context, estimator: Any, frame: Frame) -> Value:
    """float32 without a finiteness check: IsolationForest lets NaN and infinity through to its trees."""
    enter(estimator, frame, ctx)
    return frame.block("f32")


def _isolation_reference(estimator: Any, method: str, X: Any) -> Any:
    return getattr(single_thread(estimator), method)(X)


# -- registry ---------------------------------------------------------------------------------------------------

_GROWING = (
    "criterion max_depth min_samples_split min_samples_leaf min_weight_fraction_leaf max_features random_state "
    "max_leaf_nodes min_impurity_decrease ccp_alpha monotonic_cst"
)
_FITTED = {"n_features_in_": "used", "feature_names_in_": "used", "n_outputs_": "used"}
_NO_MARGIN = "a tree has no margin: decision_function gives {}; several targets: side by side"

for _name, _classifies in (
    ("DecisionTreeClassifier", True),
    ("DecisionTreeRegressor", False),
    ("ExtraTreeClassifier", True),
    ("ExtraTreeRegressor", False),
):
    register(
        Entry(
            f"sklearn.tree.{_name}",
            "model",
            _tree,
            parameters=spec(training=_GROWING + (" class_weight" if _classifies else ""), honoured="splitter"),
            attributes={
                **_FITTED,
                **spec(used="tree_ classes_" if _classifies else "tree_", training="max_features_"),
                **spec(derived="n_classes_" if _classifies else "", training="" if _classifies else "class_weight"),
            },
            reference=_tree_reference,
            notes=_NO_MARGIN.format("predict_proba" if _classifies else "predict"),
        )
    )

_ENSEMBLE = "n_estimators bootstrap oob_score warm_start verbose n_jobs max_samples" + " " + _GROWING
for _name, _classifies in (
    ("RandomForestClassifier", True),
    ("RandomForestRegressor", False),
    ("ExtraTreesClassifier", True),
    ("ExtraTreesRegressor", False),
):
    register(
        Entry(
            f"sklearn.ensemble.{_name}",
            "model",
            _forest,
            parameters=spec(training=_ENSEMBLE + (" class_weight" if _classifies else "")),
            attributes={
                **_FITTED,
                **spec(
                    used="estimators_ classes_" if _classifies else "estimators_",
                    training="estimator estimator_ estimator_params _n_samples _sample_weight _n_samples_bootstrap "
                    "oob_score_",
                ),
                **spec(
                    derived="n_classes_" if _classifies else "",
                    training="oob_decision_function_" if _classifies else "oob_prediction_ class_weight",
                ),
            },
            reference=_forest_reference,
            notes=_NO_MARGIN.format("the averaged predict_proba" if _classifies else "predict")
            + "; trees are summed in their order, as scikit-learn does with n_jobs=1 (with more threads its own order, "
            "and with it the last bit, changes from call to call)",
        )
    )

register(
    Entry(
        "sklearn.ensemble.IsolationForest",
        "model",
        _isolation_forest,
        parameters=spec(
            training="n_estimators max_samples contamination max_features bootstrap n_jobs random_state verbose "
            "warm_start"
        ),
        attributes=spec(
            used="n_features_in_ feature_names_in_ estimators_ estimators_features_ offset_ _max_samples "
            "_decision_path_lengths _average_path_length_per_tree",
            derived="max_samples_ _max_features",
            training="estimator estimator_params bootstrap_features oob_score estimator_ _n_samples _seeds "
            "_sample_weight",
        ),
        reference=_isolation_reference,
        tolerance="decision_function and score_samples are powers of 2; labels are cut on the exact sum of depths",
        notes="also gives score_samples; NaN and infinity are allowed, as in scikit-learn",
    )
)
