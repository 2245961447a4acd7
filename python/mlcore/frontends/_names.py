"""Names of columns, and whether a transform hands on an array or a data frame."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlcore.frontends.context import Context, Frame, Part, Value

__all__ = ["emit", "enter", "feature_names", "output_container"]


def feature_names(estimator: Any, width: int) -> list[str] | None:
    """``get_feature_names_out`` of the original, or None where it has no answer of this width."""
    try:
        names = [str(name) for name in estimator.get_feature_names_out()]
    except Exception:  # a foreign object may fail in any way; names are not part of the numbers
        return None
    return names if len(names) == width else None


def output_container(estimator: Any) -> str:
    """``"default"``, ``"pandas"`` or ``"polars"``: set by ``set_output`` or by scikit-learn's global configuration."""
    config = getattr(estimator, "_sklearn_output_config", {})
    if "transform" in config:
        return config["transform"] or "default"
    library = sys.modules.get("sklearn")
    return "default" if library is None else str(library.get_config()["transform_output"])


def enter(estimator: Any, frame: Frame, ctx: Context) -> None:
    """Refuse a frame that the original would not take: another width, or other names."""
    width = getattr(estimator, "n_features_in_", frame.width)
    if width != frame.width:
        ctx.refuse(f"{type(estimator).__name__} was fitted on {width} columns but is given {frame.width}")
    learned = getattr(estimator, "feature_names_in_", None)
    if learned is None or frame.names is None:
        return
    names = [str(name) for name in learned]
    if names != frame.names:
        found = next(index for index, pair in enumerate(zip(names, frame.names, strict=True)) if pair[0] != pair[1])
        ctx.refuse(
            f"{type(estimator).__name__} was fitted with the column {names[found]!r} at position {found} "
            f"but is given {frame.names[found]!r}"
        )


def emit(
    estimator: Any,
    parts: Sequence[Part],
    ctx: Context,
    *,
    sparse: bool = False,
    explicit_zeros: bool = False,
    absent: Value | None = None,
    unnamed: Sequence[str] | None = None,
    empty: np.dtype[Any] | None = None,
) -> Frame:
    """The result of a transform: an array, or a data frame where the original is configured to return one."""
    container = output_container(estimator)
    if container == "default":
        return Frame(ctx, parts, sparse=sparse, explicit_zeros=explicit_zeros, absent=absent, empty=empty)
    frame = Frame(ctx, parts, [f"x{index}" for index in range(sum(part.width for part in parts))])
    if sparse:
        ctx.refuse(
            f"sparse output with set_output(transform={container!r}); scikit-learn itself raises",
            parameter="set_output",
        )
    if container == "polars" and any(kind not in ("f64", "float64") for kind in frame.kinds()):
        ctx.refuse(
            "a polars frame that is not float64 throughout is converted in other ways than a pandas frame",
            parameter="set_output",
            alternative="set_output(transform='pandas')",
        )
    # a step inside may give no names; the columns then keep those that the original made up (``unnamed``)
    frame.names = feature_names(estimator, frame.width) or list(unnamed or map(str, range(frame.width)))
    return frame
