"""What a front end sees while it fills a program: frames of symbolic columns, and the builder behind them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from mlcore import _core
from mlcore.errors import Problem
from mlcore.frontends import registry
from mlcore.frontends._dtypes import DType, checked_dtype, kind_dtype

__all__ = ["Context", "Frame", "Output", "Outputs", "Part", "RawColumn", "Refused", "Value"]

Array = npt.NDArray[Any]


def _may_refuse(op: str, attrs: Mapping[str, bool | int | str], constants: Mapping[str, Any]) -> bool:
    if op == "check":
        return "forbid" in (attrs["nan"], attrs["inf"])
    if op == "column":
        # which cannot say that a number is missing
        return attrs["dtype"] == "i64"
    return (op == "encode" and attrs["unknown"] == "error") or (op == "table" and "default" not in constants)


def _encodable(text: str) -> bool:
    """Whether a text has UTF-8 bytes; a lone surrogate has none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Refused(Exception):
    """Raised by `Context.refuse`; the dispatcher turns it into a `Problem` and goes on with the other steps."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


@dataclass(frozen=True)
class Value:
    """A block in the program: node id, element type (``"f64"``, ``"f32"``, ``"i64"``, ``"i32"``, ``"str"``), width."""

    id: int
    dtype: str
    width: int


@dataclass
class RawColumn:
    """A column of the table that the user passes.

    ``logical`` is the schema type (``"float64"``, ``"int32"``, ``"string"``, ``"bool"``, ``"timestamp[us]"`` ...);
    None until the first step that reads the column decides it, which happens only without a sample.
    """

    name: str
    index: int
    logical: str | None = None
    nullable: bool = True
    distinguishes_missing: bool = False
    values: dict[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """Adjacent columns of a frame: one raw column, or all columns of a block.

    ``dtype`` is the NumPy dtype of the original's array where neither the schema type nor the block's type says it:
    ``"int8"``, ``"bool"``, ``"object"``, or ``"float64"`` for float32 columns that were stacked with wider ones.
    """

    column: RawColumn | None = None
    value: Value | None = None
    dtype: str | None = None

    @property
    def width(self) -> int:
        """Number of columns."""
        return 1 if self.value is None else self.value.width


class Frame:
    """What a step receives as X or returns: columns by position, with names where the original has them.

    Parameters
    ----------
    parts : sequence of Part
    names : list of str or None
        Column names when the step sees a data frame; None for bare arrays.
    sparse : bool
        The original passes a scipy sparse matrix here; zeros are then absent entries (XGBoost reads them as missing).
    explicit_zeros : bool
        The sparse matrix may also hold zeros as stored entries, which only matters to a consumer that tells them from
        absent ones: such a consumer reads ``absent`` or refuses the frame.
    absent : Value or None
        Where stored zeros are possible: all columns with NaN for absent entries, if the step before could give that.
    empty : numpy.dtype or None
        The dtype of a frame without columns, which counts where such an array is stacked beside others.
    """

    def __init__(
        self,
        ctx: Context,
        parts: Sequence[Part],
        names: Sequence[str] | None = None,
        *,
        sparse: bool = False,
        explicit_zeros: bool = False,
        absent: Value | None = None,
        empty: DType | None = None,
    ) -> None:
        self.ctx = ctx
        self.parts = tuple(parts)
        self.names = None if names is None else list(names)
        self.sparse = sparse
        self.explicit_zeros = sparse and explicit_zeros
        self.absent = absent if self.explicit_zeros else None
        self.empty = empty
        self.width = sum(part.width for part in self.parts)

    @classmethod
    def of(cls, ctx: Context, value: Value, names: Sequence[str] | None = None, *, sparse: bool = False) -> Frame:
        """A frame over one block."""
        return cls(ctx, [Part(value=value)], names, sparse=sparse)

    @classmethod
    def hstack(cls, ctx: Context, frames: Sequence[Frame], *, sparse: bool = False) -> Frame:
        """Frames side by side (as NumPy's or scipy's hstack; dtypes are unified when the block is read)."""
        parts = [part for frame in frames for part in frame.parts]
        names: list[str] | None = []
        for frame in frames:
            if frame.names is None or names is None:
                names = None
            else:
                names += frame.names
        return cls(ctx, parts, names, sparse=sparse)

    def kinds(self) -> list[str | None]:
        """Element type of every column: a raw column's logical type (or None, undecided), else the block's dtype.

        Where the original's array has another dtype than that, its NumPy name (see `Part`).
        """
        out: list[str | None] = []
        for part in self.parts:
            own = part.column.logical if part.column is not None else part.value.dtype  # type: ignore[union-attr]
            out += [part.dtype if part.dtype is not None else own] * part.width
        return out

    def array_dtype(self) -> DType:
        """NumPy dtype that the original's ``check_array`` sees: promoted over the columns, object if one is."""
        if not self.parts and self.empty is not None:
            return self.empty
        return checked_dtype([kind_dtype(kind) for kind in self.kinds()])

    def label(self, index: int) -> str:
        """Name of a column for messages."""
        return self.names[index] if self.names is not None else f"x{index}"

    def part_at(self, index: int) -> tuple[Part, int]:
        """The part that holds column ``index``, and the column's position inside it."""
        for part in self.parts:
            if index < part.width:
                return part, index
            index -= part.width
        raise IndexError(index)

    def take(self, indices: Iterable[int]) -> Frame:
        """Columns by position, in the given order, repeats allowed."""
        wanted = [int(index) for index in indices]
        parts: list[Part] = []
        start = 0
        while start < len(wanted):
            part, offset = self.part_at(wanted[start])
            if part.value is None:
                parts.append(part)
                start += 1
                continue
            # gather the run of wanted columns that live in the same block into one select
            run = [offset]
            while start + len(run) < len(wanted):
                other, position = self.part_at(wanted[start + len(run)])
                if other is not part:
                    break
                run.append(position)
            value = part.value
            if run != list(range(value.width)):
                value = self.ctx.node("select", [value], constants={"indices": np.asarray(run, dtype=np.int64)})
            parts.append(Part(value=value, dtype=part.dtype))
            start += len(run)
        names = None if self.names is None else [self.names[index] for index in wanted]
        return Frame(
            self.ctx, parts, names, sparse=self.sparse, explicit_zeros=self.explicit_zeros, empty=self.array_dtype()
        )

    def column(self, index: int, dtype: str) -> Value:
        """One column as a block of width 1: ``"str"``, ``"i64"``, ``"f64"``, ``"f32"``. Refuses what cannot be that."""
        return self.ctx.values_of(self.take([index]), dtype)

    def block(self, dtype: str) -> Value:
        """All columns as one block of ``"f64"``, ``"f32"``, ``"i64"`` or ``"str"``."""
        return self.ctx.values_of(self, dtype)

    def float_dtype(self) -> str:
        """``"f32"`` where scikit-learn's ``check_array(dtype=FLOAT_DTYPES)`` keeps float32, else ``"f64"``."""
        return "f32" if self.array_dtype() == np.float32 else "f64"

    def refuse_rounding(self) -> None:
        """Refuse 64-bit integers in an integer array of which a part is already held as floats."""
        wide = (part.value.dtype if part.value is not None else part.column.logical for part in self.parts)  # type: ignore[union-attr]
        if any(kind in ("i64", "int64", "uint64") for kind in wide):
            self.ctx.refuse(
                "64-bit integers beside integers that are held as floats",
                alternative="convert the columns to float64 first",
            )

    def output(self, names: Sequence[str] | None = None) -> Output:
        """The whole frame as the array that the original's ``transform`` returns; refuses strings beside numbers."""
        dtype = self.array_dtype()
        held = {part.value.dtype for part in self.parts if part.value is not None}
        texts = held == {"str"} or not held
        texts = texts and all(part.column is None or part.column.logical == "string" for part in self.parts)
        if dtype.kind == "O" and not texts:
            self.ctx.refuse("a transform output of strings beside numbers (dtype object) has no block type")
        if dtype.kind == "M":
            self.ctx.refuse("a transform output of timestamps has no block type")
        if dtype.kind == "O":
            block = "str"
        elif dtype == np.float32:
            block = "f32"
        elif dtype.kind in "iu" and held <= {"i64"}:
            block = "i64"
        else:
            if dtype.kind in "iu":
                self.refuse_rounding()
            block = "f64"
        if names is None:
            names = self.names if self.names is not None else [f"x{index}" for index in range(self.width)]
        return Output(self.block(block), str(dtype), names=list(names))


@dataclass
class Output:
    """One array that a method of the original returns.

    Attributes
    ----------
    value : Value
        The block; i64 positions in ``classes`` when those are given.
    dtype : str
        NumPy dtype of the original's array (``"float32"``, ``"int64"``, ``"bool"``, ``"object"``, ``"<U5"``).
    vector : bool
        Whether the original returns shape (n,) rather than (n, width).
    classes : ndarray or None
        Labels that the i64 block points into.
    names : list of str or None
        A name per column of the block: class labels, feature names, target names.
    """

    value: Value
    dtype: str
    vector: bool = False
    classes: Array | None = None
    names: list[str] | None = None


# method name ("predict", "predict_proba", "decision_function", "transform", ...) -> array, or list of arrays
Outputs = dict[str, "Output | list[Output]"]


class Context:
    """The program under construction and where we are in the pipeline.

    ``leaf``: the model at the end is asked for the output of that name; those inside other models never are.
    """

    def __init__(self, *, leaf: bool = False) -> None:
        self.leaf = leaf
        self.builder = _core.ProgramBuilder()
        self.columns: list[RawColumn] = []
        self.problems: list[Problem] = []
        self.libraries: set[str] = set()  # top-level modules of every estimator met
        self.refusing: list[Value] = []  # values whose computation may refuse a row
        self._inputs: list[list[int]] = []  # per node, the nodes it reads
        self._path: list[str] = []

    # -- where we are -------------------------------------------------------------------------------------------

    @property
    def path(self) -> str:
        """Where we are, as messages have it."""
        return " / ".join(self._path) or "model"

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Everything inside belongs to the step ``name``."""
        self._path.append(name)
        try:
            yield
        finally:
            self._path.pop()

    def refuse(
        self,
        what: str,
        *,
        parameter: str | None = None,
        column: str | None = None,
        alternative: str | None = None,
    ) -> NoReturn:
        """Give up on the current step: it cannot be reproduced exactly."""
        raise Refused(Problem(self.path, what, parameter, column, alternative))

    def expect_text(self, texts: Iterable[object], what: str) -> None:
        """Refuse strings that have no UTF-8 bytes, which a file could not hold."""
        for text in texts:
            if isinstance(text, str) and not _encodable(text):
                self.refuse(f"{what} {text[:60]!r} holds a lone surrogate, which is no Unicode text")

    # -- the table ----------------------------------------------------------------------------------------------

    def add_column(self, name: str, logical: str | None = None) -> RawColumn:
        """Declare the next column of the input table."""
        column = RawColumn(name, len(self.columns), logical)
        self.columns.append(column)
        return column

    def raw_value(self, column: RawColumn, dtype: str) -> Value:
        """A raw column as a block of width 1; decides the column's logical type if nothing has yet."""
        if column.logical is None:
            # a model that casts to float32 itself (trees) is given float64, as its users do
            column.logical = {"str": "string", "i64": "int64", "f64": "float64", "f32": "float64"}[dtype]
        if (column.logical == "string") != (dtype == "str"):
            self.refuse(
                f"expected a {'string' if dtype == 'str' else 'numeric'} column but the schema says {column.logical}",
                column=column.name,
                alternative="pass `sample=` with the column's real type",
            )
        if dtype not in column.values:
            column.values[dtype] = self.node("column", [], attrs={"column": column.index, "dtype": dtype})
        return column.values[dtype]

    def values_of(self, frame: Frame, dtype: str) -> Value:
        """All columns of ``frame`` as one block of ``dtype``."""
        values: list[Value] = []
        for part in frame.parts:
            if part.column is not None:
                values.append(self.raw_value(part.column, dtype))
                continue
            assert part.value is not None
            value = part.value
            if value.dtype != dtype:
                if "str" in (value.dtype, dtype):
                    self.refuse(f"expected a {dtype} column but found {value.dtype}", column=frame.label(0))
                value = self.node("cast", [value], attrs={"dtype": dtype})
            values.append(value)
        if not values:
            self.refuse("expected at least one column but found none")
        return values[0] if len(values) == 1 else self.node("concat", values)

    # -- nodes --------------------------------------------------------------------------------------------------

    def node(
        self,
        op: str,
        inputs: Sequence[Value],
        attrs: Mapping[str, bool | int | str] | None = None,
        constants: Mapping[str, Any] | None = None,
    ) -> Value:
        """Append a node; the ops are listed in docs/design/0001. Arrays pass as ndarray, strings as list of str."""
        if op == "column":
            column = self.columns[int((attrs or {})["column"])]
            self.declare(column)
        for constant in (constants or {}).values():
            if isinstance(constant, list):
                self.expect_text(constant, "a category")
        node_id, dtype, width = self.builder.add(
            op, self.path, [value.id for value in inputs], dict(attrs or {}), dict(constants or {})
        )
        value = Value(node_id, dtype, width)
        self._inputs.append([source.id for source in inputs])
        if _may_refuse(op, attrs or {}, constants or {}):
            self.refusing.append(value)
        return value

    def guard(self, value: Value, refusing: Iterable[Value]) -> Value:
        """``value``, refused also for rows that one of ``refusing`` refuses although ``value`` does not depend on it.

        The original runs every step, also for features that a later step drops.
        """
        needed = self._needed([value.id])
        others = [node for node in refusing if node.id not in needed]
        nested = self._needed([source for node in others for source in self._inputs[node.id]])
        others = [node for node in others if node.id not in nested]
        return self.node("guard", [value, *others]) if others else value

    def _needed(self, values: Iterable[int]) -> set[int]:
        """Ids of the nodes that these depend on, themselves included."""
        needed: set[int] = set()
        waiting = list(values)
        while waiting:
            node = waiting.pop()
            if node not in needed:
                needed.add(node)
                waiting += self._inputs[node]
        return needed

    def declare(self, column: RawColumn) -> None:
        """Tell the builder the schema of a column (again, after a change of its flags)."""
        self.builder.set_column(
            column.index, column.name, column.logical or "float64", column.nullable, column.distinguishes_missing
        )

    # -- dispatch -----------------------------------------------------------------------------------------------

    def compile(self, estimator: object, frame: Frame, name: str | None = None) -> Any:
        """Compile a nested estimator: a `Frame` (transform) or `Outputs` (model).

        A refusal inside is recorded, and a placeholder of the right width is returned so that the remaining
        steps are checked in the same pass; the caller of the top level raises if any problem was recorded.
        """
        with self.step(name or type(estimator).__name__.lower()):
            entry = registry.entry_for(estimator)
            self.libraries.add(type(estimator).__module__.partition(".")[0])
            try:
                if entry is None:
                    cls = type(estimator)
                    self.refuse(
                        f"{cls.__module__}.{cls.__qualname__} is not supported",
                        alternative="see the supported matrix in the docs, or compile the steps before it",
                    )
                return entry.compile(estimator, frame, self)
            except Refused as refused:
                self.problems.append(refused.problem)
                return self.placeholder(estimator, frame, entry)

    def placeholder(self, estimator: Any, frame: Frame, entry: registry.Entry | None) -> Any:
        """Zeros in the shape the refused step would have given; raises `Refused` when that is unknown."""
        if (entry is not None and entry.kind == "model") or not hasattr(estimator, "transform"):
            value = self.node("broadcast", [], constants={"value": np.zeros(1)})
            return {"predict": Output(value, "float64", vector=True)}
        try:
            names = list(estimator.get_feature_names_out())
        except Exception:  # any failure of a foreign object means: width unknown
            width = getattr(estimator, "_n_features_out", frame.width)
            names = [f"x{index}" for index in range(int(width))]
        names = names or ["x0"]
        return Frame.of(self, self.node("broadcast", [], constants={"value": np.zeros(len(names))}), names)
