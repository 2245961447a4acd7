"""What the front ends of scikit-learn's models share: input checks, class labels, nested estimators, cuts."""

from __future__ import annotations

import copy
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mlcore.frontends._names import enter
from mlcore.frontends.context import Context, Frame, Output, Outputs, Value

__all__ = [
    "LABEL_KINDS",
    "NUMPY_NAME",
    "argmax_label",
    "as_float",
    "class_names",
    "codes",
    "concat",
    "cut_label",
    "first_true",
    "label_output",
    "nested",
    "nested_outputs",
    "number_output",
    "probability_output",
    "select",
    "single_thread",
    "spec",
    "to_dtype",
    "tree_input",
]

Array = npt.NDArray[Any]

NUMPY_NAME = {"f32": "float32", "f64": "float64", "i64": "int64"}
LABEL_KINDS = "biufUO"


def spec(**groups: str) -> dict[str, str]:
    """``spec(used="coef_ intercept_", training="n_iter_")`` as the name -> group map of an `Entry`."""
    return {name: group for group, names in groups.items() for name in names.split()}


def single_thread(estimator: Any) -> Any:
    """Copy an ensemble, to run in one thread: with more, scikit-learn sums trees in the order threads finish."""
    twin = copy.copy(estimator)
    twin.n_jobs = 1
    twin.verbose = 0
    return twin


# -- blocks -----------------------------------------------------------------------------------------------------


def tree_input(ctx: Context, estimator: Any, frame: Frame, *, nan: bool) -> Value:
    """X as scikit-learn's trees see it: cast to float32, then checked (so a float32 overflow is an infinity)."""
    enter(estimator, frame, ctx)
    attrs = {"nan": "allow" if nan and not frame.sparse else "forbid", "inf": "forbid"}
    return ctx.node("check", [frame.block("f32")], attrs=attrs)


def to_dtype(ctx: Context, value: Value, dtype: str) -> Value:
    """``value`` as a block of ``dtype``."""
    return value if value.dtype == dtype else ctx.node("cast", [value], attrs={"dtype": dtype})


def concat(ctx: Context, values: Sequence[Value]) -> Value:
    """Blocks of one dtype side by side."""
    return values[0] if len(values) == 1 else ctx.node("concat", values)


def select(ctx: Context, value: Value, indices: Sequence[int]) -> Value:
    """Columns of a block by position."""
    if list(indices) == list(range(value.width)):
        return value
    return ctx.node("select", [value], constants={"indices": np.asarray(indices, dtype=np.int64)})


# -- outputs ----------------------------------------------------------------------------------------------------


def class_names(classes: Any) -> list[str]:
    """Class labels as names of columns."""
    return [str(label) for label in np.asarray(classes).tolist()]


def number_output(value: Value, *, vector: bool = False, names: list[str] | None = None) -> Output:
    """Give a block in its own dtype."""
    return Output(value, NUMPY_NAME[value.dtype], vector=vector, names=names)


def probability_output(value: Value, classes: Any) -> Output:
    """Give a (n, n_classes) block in its own dtype."""
    return number_output(value, names=class_names(classes))


def label_output(ctx: Context, value: Value, classes: Any, *, vector: bool = True) -> Output:
    """Class labels at the positions in ``value``; refuses labels that the artifact cannot hold."""
    labels = np.asarray(classes)
    if labels.dtype.kind not in LABEL_KINDS:
        ctx.refuse(f"class labels of dtype {labels.dtype} are not supported", alternative="int, bool or str labels")
    if labels.dtype.kind == "O":
        kinds = {type(label) for label in labels.tolist()}
        if len(kinds) != 1 or not kinds <= {str, int, float}:
            names = ", ".join(sorted(kind.__name__ for kind in kinds))
            ctx.refuse(
                f"class labels of dtype object that hold {names} are not supported",
                alternative="an array of str, int, float or bool labels",
            )
    return Output(value, str(labels.dtype), vector=vector, classes=labels)


def argmax_label(ctx: Context, scores: Value, classes: Any) -> Output:
    """``classes[np.argmax(scores, axis=1)]``."""
    return label_output(ctx, ctx.node("argmax", [scores]), classes)


def cut_label(ctx: Context, scores: Value, classes: Any, compare: str = "gt", cut: float = 0.0) -> Output:
    """``classes[(scores > cut).astype(int)]``; ``compare`` is ``"gt"`` or ``"ge"``."""
    dtype = np.float32 if scores.dtype == "f32" else np.float64
    value = ctx.node(
        "threshold", [scores], attrs={"compare": compare}, constants={"cut": np.asarray([cut], dtype=dtype)}
    )
    return label_output(ctx, value, classes)


def as_float(ctx: Context, output: Output, dtype: str | None = None) -> Value:
    """Read an output's numbers as a float block: class labels become their values.

    ``dtype`` is ``"f32"`` or ``"f64"``; None keeps a float block as it is and makes anything else float64.
    """
    value = output.value
    if output.classes is not None:
        value = _label_values(ctx, value, np.asarray(output.classes))
    return to_dtype(ctx, value, dtype or (value.dtype if value.dtype in ("f32", "f64") else "f64"))


def _label_values(ctx: Context, value: Value, labels: Array) -> Value:
    numbers = labels.astype(np.float64) if labels.dtype.kind in "biuf" else np.zeros(0)
    if not np.array_equal(numbers.astype(labels.dtype), labels):
        ctx.refuse(f"class labels of dtype {labels.dtype} cannot be read as float64 numbers")
    if np.array_equal(numbers, np.arange(len(numbers))):
        return to_dtype(ctx, value, "f64")
    columns = []
    for index in range(value.width):
        code = codes(ctx, select(ctx, value, [index]), len(numbers))
        columns.append(ctx.node("table", [code], constants={"values": numbers}))
    return concat(ctx, columns)


def codes(ctx: Context, positions: Value, count: int) -> Value:
    """Positions 0 .. count - 1 (i64, one column) as i32 codes, which tables and one-hot columns take."""
    edges = np.arange(count - 1, dtype=np.float64) + 0.5
    constants = {"offsets": np.array([0, len(edges)], dtype=np.int64), "edges": edges}
    return ctx.node("bin", [to_dtype(ctx, positions, "f64")], {"side": "right", "dtype": "i32"}, constants)


# -- nested estimators ------------------------------------------------------------------------------------------


def nested_outputs(ctx: Context, estimator: Any, frame: Frame, name: str) -> Outputs | None:
    """Compile a nested model; None when it was refused (the problem is recorded, the caller goes on)."""
    before = len(ctx.problems)
    leaf, ctx.leaf = ctx.leaf, False
    outputs = ctx.compile(estimator, frame, name)
    ctx.leaf = leaf
    if len(ctx.problems) > before:
        return None
    if not isinstance(outputs, dict):
        ctx.refuse(f"expected a model but {type(estimator).__name__} ({name}) is a transformer")
    return outputs


def nested(ctx: Context, estimator: Any, frame: Frame, name: str, method: str) -> Output | list[Output]:
    """Compile a nested model and take one method; zeros of the right shape when the model was refused."""
    outputs = nested_outputs(ctx, estimator, frame, name)
    if outputs is None:
        return _stand_in(ctx, estimator, method)
    if method not in outputs:
        ctx.refuse(f"{type(estimator).__name__} ({name}) gives no {method}")
    return outputs[method]


def _stand_in(ctx: Context, estimator: Any, method: str) -> Output:
    """Zeros; the program is thrown away, but the steps after a refused one are still checked."""
    classes = getattr(estimator, "classes_", None)
    if classes is None or isinstance(classes, list):
        return Output(ctx.node("broadcast", [], constants={"value": np.zeros(1)}), "float64", vector=True)
    if method == "predict":
        value = ctx.node("broadcast", [], constants={"value": np.zeros(1, dtype=np.int64)})
        return Output(value, str(np.asarray(classes).dtype), vector=True, classes=np.asarray(classes))
    width = 1 if method == "decision_function" and len(classes) == 2 else len(classes)
    value = ctx.node("broadcast", [], constants={"value": np.zeros(width)})
    return Output(value, "float64", vector=width == 1)


# -- cuts -------------------------------------------------------------------------------------------------------


def _rank(value: float) -> int:
    """Position of a float in the order of all floats."""
    (bits,) = struct.unpack("<q", struct.pack("<d", value))
    return int(bits) if bits >= 0 else -(int(bits) & 0x7FFFFFFFFFFFFFFF)


def _at_rank(rank: int) -> float:
    (value,) = struct.unpack("<d", struct.pack("<q", rank if rank >= 0 else -rank | -0x8000000000000000))
    return float(value)


def first_true(predicate: Callable[[float], bool], low: float, high: float) -> float:
    """Smallest float in [low, high] for which a monotone predicate holds; infinity when it holds for none."""
    if predicate(low):
        return low
    if not predicate(high):
        return float("inf")
    below, above = _rank(low), _rank(high)
    while above - below > 1:
        middle = (below + above) // 2
        if predicate(_at_rank(middle)):
            above = middle
        else:
            below = middle
    return _at_rank(above)
