"""How LightGBM turns a raw margin into a prediction: which link, its exact scale, and where class labels change.

Source: LightGBM 4.7 ``src/objective/*.hpp`` (``ConvertOutput``). Labels are cut on the margin, at the point found
by bisection over the doubles with the library's own link.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mlcore.frontends._lightgbm_text import ZERO_BAND, TextModel, atof

__all__ = ["Objective", "label_cut", "library_link", "objective_of", "used_iterations"]

Floats = npt.NDArray[np.float64]

_IDENTITY = {"regression", "regression_l1", "huber", "fair", "quantile", "mape", "lambdarank", "rank_xendcg"}
_LINKS = {
    **dict.fromkeys(_IDENTITY, "identity"),
    **dict.fromkeys(("poisson", "gamma", "tweedie"), "exp"),
    "binary": "sigmoid",
    "multiclassova": "sigmoid",
    "cross_entropy": "sigmoid",
    "cross_entropy_lambda": "log1p_exp",
    "multiclass": "softmax",
}
# early stopping while predicting changes the result of these only (ObjectiveFunction::NeedAccuratePrediction)
_STOPS_EARLY = {"binary", "multiclass", "multiclassova", "lambdarank", "rank_xendcg"}


@dataclass(frozen=True)
class Objective:
    """The objective of a booster, as far as predictions read it.

    Attributes
    ----------
    name : str
        LightGBM's name; empty for a custom objective.
    link : str
        ``identity``, ``sqrt`` (sign(x) x x), ``exp``, ``sigmoid``, ``log1p_exp`` or ``softmax``.
    scale : float
        ``sigmoid`` parameter: 1 / (1 + exp(-scale x)).
    """

    name: str
    link: str
    scale: float = 1.0

    @property
    def stops_early(self) -> bool:
        return self.name in _STOPS_EARLY


def used_iterations(model: TextModel, booster: Any) -> int:
    """Count the iterations that ``Booster.predict`` sums: up to the best one if early stopping found one, else all."""
    total = len(model.trees) // model.outputs
    best = int(getattr(booster, "best_iteration", -1))
    return min(best, total) if best > 0 else total


def objective_of(model: TextModel, booster: Any) -> Objective:
    """Find the objective that ``booster`` predicts with.

    Raises
    ------
    ValueError
        For an objective that this version does not know, or a scale that cannot be recovered exactly.
    """
    if not model.objective:
        return Objective("", "identity")
    name, *options = model.objective
    if name not in _LINKS:
        raise ValueError(f"objective {name!r} is not supported")
    link, scale = _LINKS[name], 1.0
    for option in options:
        key, found, value = option.partition(":")
        if key == "sigmoid" and found:
            scale = _exact_scale(model, booster, value)
        elif option == "sqrt" and link == "identity":
            link = "sqrt"
        elif key != "num_class":
            raise ValueError(f"option {option!r} of objective {name!r} is not supported")
    return Objective(name, link, scale)


def _exact_scale(model: TextModel, booster: Any, printed: str) -> float:
    """Recover the scale in memory; the text has six digits of it, so a live booster may hold a longer one."""
    candidates = {atof(printed)}
    given = (getattr(booster, "params", None) or {}).get("sigmoid")
    if given is not None and f"{float(given):g}" == printed:
        candidates.add(atof(str(given)))
    if len(candidates) == 1:
        return candidates.pop()
    # a reloaded booster holds what the text says, a trained one what it was given: ask this one
    rows = _probe_rows(model)
    raw = np.asarray(booster.predict(rows, raw_score=True), dtype=np.float64)
    if model.averages:
        raw = raw / max(used_iterations(model, booster), 1)
    answer = np.asarray(booster.predict(rows), dtype=np.float64)
    errors = {scale: float(np.max(np.abs(1.0 / (1.0 + np.exp(-scale * raw)) - answer))) for scale in candidates}
    (best, error), (_, other) = sorted(errors.items(), key=lambda item: item[1])[:2]
    if error > 1e-14 or other < 8.0 * max(error, 1e-16):
        raise ValueError(f"cannot tell the exact sigmoid parameter (one of {sorted(candidates)})")
    return best


def _probe_rows(model: TextModel, count: int = 512) -> Floats:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(count, model.features))
    for tree in model.trees:
        for feature, cut in zip(tree.get("split_feature", "").split(), tree.get("threshold", "").split(), strict=False):
            rows[rng.integers(count, size=8), int(feature)] = float(cut) + rng.normal(size=8)
    return rows


def library_link(booster: Any, objective: Objective) -> Callable[[Floats], Floats]:
    """Return the library's own conversion of margins of a single output, bit for bit.

    It asks a model of one linear leaf ``0 + 1 x``, so margins in the zero band of 1e-35 read as 0.
    """
    if objective.link == "identity":
        return lambda margins: margins
    if objective.link == "sqrt":
        return lambda margins: np.sign(margins) * margins * margins
    name = "binary sigmoid:1" if objective.link == "sigmoid" else objective.name
    probe = type(booster)(model_str=_probe_text(name))

    def convert(margins: Floats) -> Floats:
        # exp(-scale * x) reads the product only, so any scale goes through a probe of scale 1
        scaled = objective.scale * margins
        return np.asarray(probe.predict(scaled.reshape(-1, 1), num_threads=1), dtype=np.float64)

    return convert


def _probe_text(objective: str) -> str:
    empty = ["split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child"]
    empty += ["internal_value", "internal_weight", "internal_count"]
    values = {"leaf_value": 0, "leaf_weight": 0, "leaf_count": 1, "is_linear": 1, "leaf_const": 0}
    values.update({"num_features": 1, "leaf_features": 0, "leaf_coeff": 1, "shrinkage": 1})
    lines = ["Tree=0", "num_leaves=1", "num_cat=0", *(f"{name}=" for name in empty)]
    lines += [f"{name}={value}" for name, value in values.items()]
    tree = "\n".join([*lines, "", "", ""])
    head = ["tree", "version=v4", "num_class=1", "num_tree_per_iteration=1", "label_index=0", "max_feature_idx=0"]
    head += [f"objective={objective}", "feature_names=x", "feature_infos=[-1:1]", f"tree_sizes={len(tree)}", "", ""]
    return "\n".join(head) + tree + "end of trees\n"


def _doubles(keys: npt.NDArray[np.int64]) -> Floats:
    """Doubles by rank: consecutive keys are neighbours, 0 is +0.0 and negative keys are negative numbers."""
    bits = np.where(keys >= 0, keys, np.int64(-(2**63)) - keys)
    return bits.astype(np.int64).view(np.float64)


def label_cut(link: Callable[[Floats], Floats], scale: float = 1.0) -> float:
    """Find the largest margin whose label is 0: the label is 1 iff ``margin > cut``.

    The label is 1 where ``p > 1 - p``, as ``argmax`` over the two columns of ``predict_proba`` says.

    Raises
    ------
    ValueError
        If no such point separates the labels.
    """

    def positive(keys: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        p = link(_doubles(keys))
        return np.asarray(p > 1.0 - p)

    infinity = int(np.float64(np.inf).view(np.int64))
    low, high = -infinity, infinity
    ends = positive(np.asarray([low, high], dtype=np.int64))
    if ends[0] or not ends[1]:
        raise ValueError("expected the label to change once along the margin but it does not")
    while high - low > 1:
        count = min(high - low - 1, 1023)
        keys = np.asarray([low + (high - low) * step // (count + 1) for step in range(1, count + 1)], dtype=np.int64)
        first = int(np.argmax(np.append(positive(keys), True)))
        low, high = (int(keys[first - 1]) if first else low), (int(keys[first]) if first < count else high)
    steps = np.unique(np.round(np.geomspace(1, 2**58, 2000)).astype(np.int64))
    around = np.clip(np.concatenate([low - steps, [low, high], high + steps]), -infinity, infinity)
    if np.any(positive(around) != (around > low)):
        raise ValueError("expected the label to change once along the margin but it changes back")
    cut = float(_doubles(np.asarray([low], dtype=np.int64))[0])
    if 0.0 < abs(scale * cut) <= ZERO_BAND:
        raise ValueError(f"the margin at which the label changes, {cut}, is too small to be found")
    return cut
