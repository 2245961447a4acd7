"""What an XGBoost model's bytes do not say, asked from the library itself.

The margin that ``base_score`` stands for and the objective's transform go through the C library's own ``logf`` and
``expf``; a one-leaf copy of the booster is run instead of imitating them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mlcore.frontends._leaves import leaf_array, within_float32
from mlcore.frontends._xgboost_model import BoosterModel, read_booster

__all__ = ["NoCut", "Probe", "booster_reference", "estimator_reference", "label_cut"]

Array = npt.NDArray[Any]


class Probe:
    """A copy of the booster whose only tree is the leaf -0.0, which changes no margin.

    Parameters
    ----------
    booster : xgboost.Booster
    model : BoosterModel
        What was read from it.
    """

    def __init__(self, booster: Any, model: BoosterModel) -> None:
        learner = dict(model.raw["learner"])
        learner["learner_model_param"] = dict(learner["learner_model_param"], num_feature="1")
        learner["feature_names"], learner["feature_types"], learner["attributes"] = [], [], {}
        if model.kind == "gblinear":
            state = dict(model.raw["learner"]["gradient_booster"]["model"], weights=[0.0] * (2 * model.outputs))
            learner["gradient_booster"] = {"name": "gblinear", "model": state}
        else:
            learner["gradient_booster"] = {"name": "gbtree", "model": _one_leaf_model()}
        document = json.dumps({"learner": learner, "version": [int(part) for part in model.version]})
        self._booster = type(booster)(params={"nthread": 1, "verbosity": 0}, model_file=bytearray(document, "utf-8"))
        self._outputs = model.outputs
        self._linear = model.kind == "gblinear"
        self._data = _sibling(booster, "DMatrix")

    def base(self) -> Array:
        """The margin of a row that no tree touches, float32 (outputs,)."""
        return self._predict(None, margin=True).reshape(-1)

    def link(self, margins: Array) -> Array:
        """The objective's own transform of ``margins`` (n, outputs) float32, as the library returns it."""
        return self._predict(np.ascontiguousarray(margins, dtype=np.float32), margin=False)

    def _predict(self, margins: Array | None, *, margin: bool) -> Array:
        rows = np.zeros((1 if margins is None else len(margins), 1), dtype=np.float32)
        data = self._data(rows, base_margin=margins, nthread=1)
        return np.asarray(self._booster.predict(data, output_margin=margin))


def _sibling(booster: Any, name: str) -> Any:
    """A class of the module that defines ``booster``'s class; the library is never imported by name."""
    return getattr(sys.modules[type(booster).__module__], name)


def _one_leaf_model() -> dict[str, Any]:
    tree = {
        "base_weights": [-0.0],
        "categories": [],
        "categories_nodes": [],
        "categories_segments": [],
        "categories_sizes": [],
        "default_left": [0],
        "id": 0,
        "left_children": [-1],
        "loss_changes": [0.0],
        "parents": [2147483647],
        "right_children": [-1],
        "split_conditions": [-0.0],
        "split_indices": [0],
        "split_type": [0],
        "sum_hessian": [0.0],
        "tree_param": {"num_deleted": "0", "num_feature": "1", "num_nodes": "1", "size_leaf_vector": "1"},
    }
    return {
        "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": "1"},
        "iteration_indptr": [0, 1],
        "tree_info": [0],
        "trees": [tree],
    }


# -- label cuts -----------------------------------------------------------------------------------------------------


class NoCut(ValueError):
    """The transform does not cross 0.5 once."""


def label_cut(positive: Callable[[Array], Array]) -> np.float32:
    """Smallest float32 for which ``positive`` holds, by bisection over all finite float32.

    Parameters
    ----------
    positive : callable
        Maps float32 (n,) to bool (n,): what the library's own arithmetic says.

    Raises
    ------
    NoCut
        If ``positive`` is constant, or not monotone among the 8,192 numbers around the cut.
    """
    highest = _position(np.finfo(np.float32).max)
    lowest = -highest

    def above(positions: Array) -> Array:
        return positive(_float32_at(positions))

    low, high = lowest, highest
    ends = above(np.array([low, high]))
    if ends[0] or not ends[1]:
        raise NoCut("the objective's transform does not cross 0.5")
    while high - low > 1:
        points = np.unique(np.linspace(low, high, 1026).astype(np.int64))
        hits = points[above(points)]
        high = int(hits[0])
        low = int(points[points < high][-1])
    # the transform is monotone in theory; rounding is looked at where it could matter
    around = np.clip(np.arange(high - 4096, high + 4096), lowest, highest)
    if (above(around) != (around >= high)).any():
        raise NoCut("the objective's transform is not monotone around 0.5")
    return np.float32(_float32_at(np.array([high]))[0])


def _position(value: np.float32) -> int:
    """Rank of a float32 among all of them: neighbours differ by one, both zeros are 0."""
    bits = int(np.abs(value).view(np.uint32))
    return -bits if np.signbit(value) else bits


def _float32_at(positions: Array) -> Array:
    values = np.abs(positions).astype(np.uint32).view(np.float32)
    return np.where(positions < 0, -values, values).astype(np.float32)


# -- references -------------------------------------------------------------------------------------------------------


def _with_categories(booster: Any, X: Any) -> Any:
    """``X`` with plain columns turned into the category columns that the booster was trained on."""
    types = booster.feature_types
    if types is None or not hasattr(X, "iloc") or "pandas" not in sys.modules or X.shape[1] != len(types):
        return X
    pandas = sys.modules["pandas"]
    plain = [
        index
        for index, kind in enumerate(types)
        if kind == "c" and not isinstance(X.dtypes.iloc[index], pandas.CategoricalDtype)
    ]
    stored = read_booster(booster).categories if plain else []
    for index in plain:
        categories = stored[index]
        if categories is None:
            continue
        known = pandas.Index(categories.values)
        column = X.iloc[:, index]
        unseen = column[column.notna() & ~column.isin(known)]
        if len(unseen):
            # 3.2 takes it for the next known category in order, unless there is none; 3.3 and its own text refuse it
            raise ValueError(f"found a category not in the training set: {unseen.iloc[0]!r}")
        X = X.assign(**{X.columns[index]: column.astype(pandas.CategoricalDtype(known))})
    return X


def estimator_reference(estimator: Any, method: str, X: Any) -> Any:
    """What the estimator itself answers; the margin for ``decision_function``."""
    X = _with_categories(estimator.get_booster(), X)
    if method == "decision_function":
        return estimator.predict(X, output_margin=True)
    if method == "leaf":
        return leaf_array(estimator.apply(within_float32(X)))
    return getattr(estimator, method)(X)


def booster_reference(booster: Any, method: str, X: Any) -> Any:
    """What ``Booster.predict`` answers on a `DMatrix` of ``X``; the margin for ``decision_function``."""
    matrix = _sibling(booster, "DMatrix")
    X = _with_categories(booster, X)
    arguments: dict[str, Any] = {}
    if not hasattr(X, "columns"):
        arguments = {"feature_names": booster.feature_names, "feature_types": booster.feature_types}
    data = matrix(X, enable_categorical=True, **arguments)
    if method == "leaf":
        return leaf_array(booster.predict(data, pred_leaf=True))
    return booster.predict(data, output_margin=method == "decision_function")
