"""Feature selection: every class with ``get_support``."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlcore.frontends._arrays import check, numeric_dtype, present, wide_integers
from mlcore.frontends._names import emit, enter, feature_names, output_container
from mlcore.frontends.context import Context, Frame, Part
from mlcore.frontends.registry import Entry, register

_COMMON = {"n_features_in_": "used", "feature_names_in_": "used", "_sklearn_output_config": "used"}


def _select(estimator: Any, frame: Frame, ctx: Context) -> Frame:
    enter(estimator, frame, ctx)
    support = np.flatnonzero(estimator.get_support())
    if output_container(estimator) == "pandas" and frame.names is not None:
        # a data frame is sliced without validation and keeps the type of each column
        selected = frame.take(support)
        return Frame(ctx, selected.parts, feature_names(estimator, support.size) or selected.names)
    dtype = numeric_dtype(frame, ctx)
    if dtype.kind not in "fiub":
        ctx.refuse(f"columns of dtype {dtype}", alternative="cast them to a number")
    exact = dtype.kind in "iu" and wide_integers(frame)
    if not exact:
        if dtype.kind in "iu" or frame.array_dtype().kind == "O":
            frame.refuse_rounding()
        if dtype.kind != "f" or dtype == np.float32:
            frame = present(frame, ctx)
    value = frame.block("i64" if exact else "f32" if dtype == np.float32 else "f64")
    if not estimator.__sklearn_tags__().input_tags.allow_nan:
        value = check(ctx, value)
    tag = None if (dtype == np.int64 and exact) or dtype.kind == "f" else str(dtype)
    whole = Frame(ctx, [Part(value=value, dtype=tag)], sparse=frame.sparse, explicit_zeros=frame.explicit_zeros)
    selected = whole.take(support)
    zeros = frame.explicit_zeros
    return emit(estimator, selected.parts, ctx, sparse=frame.sparse, explicit_zeros=zeros, empty=selected.empty)


def _register(name: str, parameters: tuple[str, ...], attributes: tuple[str, ...], used: tuple[str, ...]) -> None:
    register(
        Entry(
            f"sklearn.feature_selection.{name}",
            "transform",
            _select,
            parameters={name: "honoured" if name in used else "training" for name in parameters},
            attributes={
                **_COMMON,
                **{name: "used" if name in used else "training" for name in attributes},
            },
            notes="any get_support",
        )
    )


_SCORES = ("scores_", "pvalues_")

_register("VarianceThreshold", ("threshold",), ("variances_",), ("threshold", "variances_"))
_register("SelectKBest", ("score_func", "k"), _SCORES, ("k", "scores_"))
_register("SelectPercentile", ("score_func", "percentile"), _SCORES, ("percentile", "scores_"))
_register("SelectFpr", ("score_func", "alpha"), _SCORES, ("alpha", "pvalues_"))
_register("SelectFdr", ("score_func", "alpha"), _SCORES, ("alpha", "pvalues_"))
_register("SelectFwe", ("score_func", "alpha"), _SCORES, ("alpha", "pvalues_"))
_register("GenericUnivariateSelect", ("score_func", "mode", "param"), _SCORES, ("mode", "param", *_SCORES))
_register(
    "SelectFromModel",
    ("estimator", "threshold", "prefit", "norm_order", "max_features", "importance_getter"),
    ("estimator_", "max_features_"),
    ("estimator", "threshold", "prefit", "norm_order", "max_features", "importance_getter", "estimator_"),
)
_register(
    "RFE",
    ("estimator", "n_features_to_select", "step", "verbose", "importance_getter"),
    ("estimator_", "n_features_", "support_", "ranking_"),
    ("support_",),
)
_register(
    "RFECV",
    (
        "estimator",
        "step",
        "min_features_to_select",
        "cv",
        "scoring",
        "verbose",
        "n_jobs",
        "importance_getter",
    ),
    ("estimator_", "n_features_", "support_", "ranking_", "cv_results_"),
    ("support_",),
)
_register(
    "SequentialFeatureSelector",
    ("estimator", "n_features_to_select", "tol", "direction", "scoring", "cv", "n_jobs"),
    ("n_features_to_select_", "support_"),
    ("support_",),
)
