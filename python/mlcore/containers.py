"""Tables of every kind become batches of the core; the only place that knows containers.

Needs NumPy alone. pandas, polars, pyarrow and scipy are recognised when the caller has imported them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mlcore import _core
from mlcore.errors import InputError

__all__ = ["arrow_table", "batches", "infer_schema", "iter_batches"]

Array = npt.NDArray[Any]

_ACCEPTED = (
    "a pandas or polars DataFrame, a pyarrow Table, anything with __arrow_c_stream__, a NumPy 2-D or structured "
    "array, a dict of columns or a list of dict rows"
)
_READABLE = re.compile(r"bool|u?int(8|16|32|64)|float(16|32|64)|string|date(32|64)|timestamp\[.*\]")
_TIME_UNITS = {"s": "s", "ms": "ms", "us": "us", "ns": "ns", "m": "s", "h": "s"}


class _Column(NamedTuple):
    """What the schema says of a column; ``type`` None: to be inferred."""

    type: str | None
    used: bool = True
    distinguishes_missing: bool = False


class _Table(NamedTuple):
    """Columns in order; ``names`` None: the container has none, so position decides."""

    names: list[str] | None
    columns: list[Any]
    rows: int
    matrix: Array | None = None  # the same columns as one array, where they are one


def batches(data: object, schema: Sequence[Mapping[str, Any]]) -> list[_core.Batch]:
    """Rows of any tabular container, borrowed where the container's memory allows it.

    Parameters
    ----------
    data : table
        A pandas or polars DataFrame, a pyarrow Table, RecordBatch or RecordBatchReader, any object with
        ``__arrow_c_stream__`` or ``__arrow_c_array__``, a NumPy 2-D or structured array, a dict of columns, a list of
        dict rows or of sequences. Containers without column names are read by position.
    schema : sequence of mappings
        ``Model.schema``: name, type, nullable, distinguishes_missing, used.

    Returns
    -------
    list of Batch
        At least one; together they hold the table's rows in order.

    Raises
    ------
    InputError
        If ``data`` is no table. Missing, extra and mistyped columns are reported later, all together, when the
        batches meet the model.

    Notes
    -----
    Lists and object columns hold Python values, which are checked one by one against the schema's type. Arrays are
    checked by their dtype. None, NaN and ``pandas.NA`` are missing. An object column remembers which of them it was, as
    the original does. ``pandas.NA`` and the None of a list or a dict row are nulls: whichever of None and NaN the step
    learned, except where it learned both.

    Examples
    --------
    >>> schema = [{"name": "x", "type": "float64", "nullable": True, "distinguishes_missing": False}]
    >>> [batch] = batches({"x": [1, None]}, schema)
    >>> batch.decode("x", "float64", "f64").tolist()
    [1.0, nan]
    """
    return list(iter_batches(data, schema))


def iter_batches(data: object, schema: Sequence[Mapping[str, Any]]) -> Iterator[_core.Batch]:
    """As `batches`, but streams are read as they are consumed, so that they may be larger than memory.

    Parameters
    ----------
    data : table
        See `batches`.
    schema : sequence of mappings
        See `batches`.

    Yields
    ------
    Batch
        At least one.

    """
    if type(data) is np.ndarray and data.ndim == 2 and _is_plain(data):
        _expect_width(data.shape[1], len(schema))
        yield _core.matrix_batch(data, [column["name"] for column in schema])
        return
    if _is_arrow(data):
        yield from _arrow_batches(data)
        return
    known = {
        column["name"]: _Column(column["type"], column.get("used", True), column["distinguishes_missing"])
        for column in schema
    }
    yield from _build(_table(data, list(known)), known)


def infer_schema(data: object) -> list[tuple[str, str | None, bool]]:
    """Names and logical types of a table's columns.

    Parameters
    ----------
    data : table
        See `batches`.

    Returns
    -------
    list of (name, type, nullable)
        The type is None where the values do not say (no value at all, mixed kinds) or no model can read them.
        Containers without column names get ``x0, x1, ...``. Every column is nullable: a sample without missing values
        does not promise that there are none.

    Raises
    ------
    InputError
        If ``data`` is no table or repeats a column name.

    Examples
    --------
    >>> infer_schema({"age": [39, None], "job": ["clerk", "cook"]})
    [('age', 'int64', True), ('job', 'string', True)]
    """
    if _is_arrow(data):
        reader = _core.ArrowReader(data)
        batch = next(iter(reader), None) or reader.empty()
    else:
        [batch, *_] = _build(_table(data, None), None)
    repeated = sorted({name for name in batch.names if batch.names.count(name) > 1})
    if repeated:
        raise InputError(f"expected every column name once but found repeated names: {', '.join(map(repr, repeated))}")
    return [(name, _logical(found), True) for name, found in zip(batch.names, batch.types, strict=True)]


def arrow_table(columns: Iterable[tuple[str, Any]]) -> _core.ArrowTable:
    """Export result columns as an Arrow table, by ``__arrow_c_array__`` and ``__arrow_c_stream__``.

    Parameters
    ----------
    columns : iterable of (name, values)
        One-dimensional arrays of one length: bool, number, datetime64, or strings (None and NaN become nulls).

    Returns
    -------
    ArrowTable
        Anything that reads the PyCapsule protocol takes it: ``pyarrow.table``, ``polars.DataFrame``.

    Raises
    ------
    InputError
        If a column has another length or a type that Arrow results do not have.

    Examples
    --------
    >>> arrow_table([("score", np.array([0.5, 0.25]))]).rows
    2
    """
    pairs = [(str(name), np.asarray(values)) for name, values in columns]
    table = _core.ArrowTable(len(pairs[0][1]) if pairs else 0)
    for name, values in pairs:
        if values.ndim != 1:
            raise InputError(f"column {name!r}: expected one dimension but found {values.ndim}")
        values = _native(values)
        kind = values.dtype.kind
        if kind in "OUT":
            table.add_strings(name, values.astype(object).tolist())
        elif kind == "M" and np.datetime_data(values.dtype)[0] in ("s", "ms", "us", "ns"):
            table.add(name, values.view(np.int64), f"timestamp[{np.datetime_data(values.dtype)[0]}]")
        else:
            table.add(name, values, values.dtype.name)
    return table


# -- recognising containers -------------------------------------------------------------------------------------


def _isinstance(data: object, module: str, *names: str) -> bool:
    """Whether ``data`` is of a class of a library that somebody has imported."""
    library = sys.modules.get(module)
    return library is not None and isinstance(data, tuple(getattr(library, name) for name in names))


def _is_arrow(data: object) -> bool:
    if isinstance(data, (np.ndarray, Mapping, Sequence)) or _isinstance(data, "pandas", "DataFrame", "Series"):
        return False
    return hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__")


def _arrow_batches(data: object) -> Iterator[_core.Batch]:
    reader = _core.ArrowReader(data)
    empty = True
    for batch in reader:
        empty = False
        yield batch
    if empty:
        yield reader.empty()


def _refuse(data: object, hint: str = "") -> InputError:
    cls = type(data)
    name = cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    return InputError(f"expected a table ({_ACCEPTED}) but found {name}{hint}")


def _table(data: object, expected: list[str] | None) -> _Table:
    """Take a container apart. ``expected``: the schema's names, None while a schema is inferred."""
    if _isinstance(data, "pandas", "DataFrame"):
        return _pandas_table(data, expected)
    if isinstance(data, Mapping):
        return _dict_table(data)
    if isinstance(data, np.ndarray):
        return _array_table(data)
    if isinstance(data, (list, tuple)):
        return _rows_table(data, expected)
    module = type(data).__module__
    if module.startswith("scipy.sparse"):
        raise _refuse(
            data,
            ": sparse matrices are not tables with named columns; pass data.toarray(), and NaN where the original "
            "takes absent entries as missing",
        )
    if module.startswith("polars") and hasattr(data, "collect"):
        raise _refuse(data, ": call collect() first")
    if _isinstance(data, "pandas", "Series"):
        raise _refuse(data, ": one column is no table; pass a DataFrame, or model.row(series) for one row")
    if hasattr(data, "__array__") and not isinstance(data, np.generic):
        return _array_table(np.asarray(data))
    raise _refuse(data)


def _expect_width(found: int, expected: int) -> None:
    if found != expected:
        raise InputError(f"expected {expected} columns (read by position) but found {found}")


def _array_table(data: Array) -> _Table:
    if isinstance(data, np.ma.MaskedArray):
        raise _refuse(data, ": most libraries ignore the mask; pass data.filled(numpy.nan)")
    if data.dtype.names is not None:
        if data.ndim != 1:
            raise _refuse(data, f" of {data.ndim} dimensions; a structured array must have one")
        return _Table(list(data.dtype.names), [data[name] for name in data.dtype.names], len(data))
    if data.ndim != 2:
        raise _refuse(data, f" of {data.ndim} dimensions; one row is array.reshape(1, -1)")
    return _Table(None, [data[:, index] for index in range(data.shape[1])], data.shape[0])


def _dict_table(data: Mapping[Any, Any]) -> _Table:
    columns = list(data.values())
    scalar = next((name for name, values in data.items() if _is_scalar(values)), None)
    if scalar is not None:
        raise InputError(
            f"expected a dict of columns but found {type(data[scalar]).__name__} for column {scalar!r}; "
            "for a single row use model.row(...), or pass a list that holds it"
        )
    for name, values in data.items():
        if not hasattr(values, "__len__"):
            raise InputError(f"column {name!r}: expected an array or list but found {type(values).__qualname__}")
    return _Table([str(name) for name in data], columns, len(columns[0]) if columns else 0)


def _is_scalar(value: object) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim == 0
    return value is None or isinstance(value, (str, bytes, int, float, np.generic))


def _rows_table(data: Sequence[Any], expected: list[str] | None) -> _Table:
    if not data:
        return _Table(expected or [], [[] for _ in expected or []], 0)
    if all(isinstance(row, Mapping) for row in data):
        return _dict_rows(data, expected)
    odd = next((row for row in data if not isinstance(row, (list, tuple, np.ndarray))), None)
    if odd is not None:
        raise _refuse(data, f" holding {type(odd).__name__}; rows are dicts, or sequences in the order of the columns")
    width = len(data[0])
    for index, row in enumerate(data):
        if len(row) != width:
            raise InputError(f"row {index}: expected {width} values but found {len(row)}")
    return _Table(None, [[row[index] for row in data] for index in range(width)], len(data))


def _dict_rows(data: Sequence[Mapping[str, Any]], expected: list[str] | None) -> _Table:
    present = dict.fromkeys(key for row in data for key in row)
    names = list(present) if expected is None else [name for name in expected if name in present]
    names += [name for name in present if name not in set(names)]
    for index, row in enumerate(data):
        if len(row) == len(names):
            continue
        absent = next(name for name in names if name not in row)
        raise InputError(
            f"row {index}: expected a value for column {absent!r} but found no such key; "
            "a missing value is None, and every row has the same keys"
        )
    return _Table([str(name) for name in names], [[row[name] for row in data] for name in names], len(data))


def _pandas_table(data: Any, expected: list[str] | None) -> _Table:
    labels = data.columns.tolist()
    names: list[str] | None = [str(label) for label in labels]
    if not all(isinstance(label, str) for label in labels):
        if any(isinstance(label, str) for label in labels):
            odd = next(label for label in labels if not isinstance(label, str))
            raise InputError(f"expected column names of type str but found {odd!r} among them")
        # numbers are positions, as scikit-learn has it, unless the model learned them as names
        if expected is None or sorted(names or []) != sorted(expected):
            names = None
    # items() makes a Series of each column, 30 us apiece: more than many a model takes for one row
    arrays = getattr(data, "_iter_column_arrays", None)
    columns = [series for _, series in data.items()] if arrays is None else list(arrays())
    matrix = data.to_numpy() if _is_one_block(columns) else None
    return _Table(names, columns, len(data), matrix)


def _is_one_block(columns: list[Any]) -> bool:
    first = columns[0] if columns else None
    if type(first) is not np.ndarray or first.base is None or not _is_plain(first):
        return False
    return all(type(one) is np.ndarray and one.base is first.base and one.dtype == first.dtype for one in columns)


# -- columns ----------------------------------------------------------------------------------------------------


def _expect_text(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InputError(f"column {name[:60]!r}: a lone surrogate in the name is no Unicode text") from None


def _build(table: _Table, known: Mapping[str, _Column] | None) -> list[_core.Batch]:
    names = table.names
    if names is None:
        names = [f"x{index}" for index in range(len(table.columns))] if known is None else list(known)
        _expect_width(len(table.columns), len(names))
    for name in names:
        if not name.isascii():
            _expect_text(name)
    if table.matrix is not None:
        return [_core.matrix_batch(table.matrix, names)]
    builder = _core.BatchBuilder(table.rows)
    for name, values in zip(names, table.columns, strict=True):
        column = _Column(None) if known is None else known.get(name, _Column(None, used=False))
        _add(builder, name, values, column)
    return builder.finish()


def _add(builder: _core.BatchBuilder, name: str, values: Any, column: _Column) -> None:
    if isinstance(values, np.ndarray):
        _add_array(builder, name, values, column)
    elif isinstance(values, (list, tuple)):
        _add_objects(builder, name, values, column)
    elif type(values).__module__.partition(".")[0] == "pandas" and hasattr(values, "isna"):
        _add_pandas(builder, name, values, column)
    elif hasattr(values, "__arrow_c_stream__") or hasattr(values, "__arrow_c_array__"):
        builder.add_arrow(name, values)
    elif hasattr(values, "__array__"):
        _add_array(builder, name, np.asarray(values), column)
    else:
        _add_objects(builder, name, list(values), column)


def _is_plain(values: Array) -> bool:
    return values.dtype.kind in "biuf" and values.dtype.isnative


def _native(values: Array) -> Array:
    return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))


def _add_array(builder: _core.BatchBuilder, name: str, values: Array, column: _Column) -> None:
    if isinstance(values, np.ma.MaskedArray):
        raise InputError(f"column {name!r}: expected an array but found a masked array; pass values.filled(numpy.nan)")
    if values.ndim != 1:
        raise InputError(f"column {name!r}: expected one dimension but found {values.ndim}")
    values = _native(values)
    kind = values.dtype.kind
    if kind in "OUT":
        _add_objects(builder, name, values, column)
    elif kind == "M":
        _add_datetimes(builder, name, values, column)
    else:
        builder.add_array(name, values)


def _add_objects(builder: _core.BatchBuilder, name: str, values: Any, column: _Column) -> None:
    if not column.used:
        # its values are nobody's business; only its name counts
        builder.add_unreadable(name, "object")
        return
    logical = column.type or _infer_objects(values)
    if logical is None:
        builder.add_unreadable(name, "values of unknown type")
    else:
        # None is how plain Python says null; an object array holds what the original would see
        null = not isinstance(values, np.ndarray) and not column.distinguishes_missing
        builder.add_objects(name, values, logical, null)


def _add_datetimes(
    builder: _core.BatchBuilder, name: str, values: Array, column: _Column, timezone: str | None = None
) -> None:
    unit, count = np.datetime_data(values.dtype)
    if unit == "D" and count == 1 and not (column.type or "").startswith("timestamp"):
        builder.add_array(name, values.view(np.int64), "date32")
        return
    target = _TIME_UNITS.get("s" if unit in ("D", "W") else unit)
    if target is None:
        builder.add_unreadable(name, f"{values.dtype}, which is not supported")
        return
    if unit != target or count != 1:
        ticks = values.view(np.int64)
        exact = values.astype(f"datetime64[{target}]")
        # NumPy wraps around silently
        if not np.array_equal(exact.astype(values.dtype).view(np.int64), ticks):
            builder.add_unreadable(name, f"{values.dtype} beyond the range of datetime64[{target}]")
            return
        values = exact
    zone = f", {timezone}" if timezone else ""
    builder.add_array(name, values.view(np.int64), f"timestamp[{target}{zone}]")


def _add_pandas(builder: _core.BatchBuilder, name: str, values: Any, column: _Column) -> None:
    """Add a Series, an Index or an extension array."""
    dtype = values.dtype
    if isinstance(dtype, np.dtype):
        _add_array(builder, name, values.to_numpy(), column)
        return
    array = getattr(values, "array", values)
    kind = type(dtype).__name__
    if kind == "CategoricalDtype":
        _add_categorical(builder, name, array.codes, dtype.categories, column)
    elif kind == "StringDtype":
        missing = "nan" if isinstance(dtype.na_value, float) else "null"
        if dtype.storage == "python":
            _add_objects(builder, name, array.to_numpy(dtype=object), column)
        else:
            builder.add_arrow(name, array.__arrow_array__(), missing)
    elif kind == "ArrowDtype":
        builder.add_arrow(name, array.__arrow_array__())
    elif kind == "DatetimeTZDtype":
        _add_datetimes(builder, name, array.to_numpy(dtype=f"datetime64[{dtype.unit}]"), column, str(dtype.tz))
    elif kind == "SparseDtype":
        builder.add_unreadable(name, f"{dtype}, a sparse column; pass a dense one")
    elif kind == "NumpyEADtype":
        _add_array(builder, name, array.to_numpy(), column)
    elif hasattr(dtype, "numpy_dtype"):
        blank = np.nan if dtype.kind == "f" else False if dtype.kind == "b" else 0
        builder.add_array(name, array.to_numpy(dtype=dtype.numpy_dtype, na_value=blank), mask=array.isna())
    else:
        builder.add_unreadable(name, f"{dtype}, which is not supported")


def _add_categorical(builder: _core.BatchBuilder, name: str, codes: Array, categories: Any, column: _Column) -> None:
    values = _core.BatchBuilder(len(categories))
    _add(values, name, categories, column)
    # NumPy shows a missing category as NaN, so that is what a step has learned
    builder.add_categorical(name, np.asarray(codes), values, "nan")


# -- inference --------------------------------------------------------------------------------------------------


def _logical(found: str) -> str | None:
    """Give the schema type of what a batch says it found; None when there is none."""
    name = found.removeprefix("dictionary of ")
    if name.startswith("decimal"):
        return "float64"
    return name if _READABLE.fullmatch(name) else None


def _infer_objects(values: Any) -> str | None:
    """Find the type that all present values of a list or object array have."""
    found: set[str] = set()
    for value in values.tolist() if isinstance(values, np.ndarray) else values:
        name = _object_type(value)
        if name is not None:
            found.add(name)
    if found == {"int64", "float64"}:
        return "float64"
    return found.pop() if len(found) == 1 and "?" not in found else None


def _object_type(value: object) -> str | None:
    """Give a schema type; None for a missing value, ``"?"`` for what no column holds."""
    cls = type(value)
    if isinstance(value, str):
        return "string"
    if cls is bool or isinstance(value, np.bool_):
        return "bool"
    if isinstance(value, (float, np.floating)):
        return None if value != value else "float64"
    if value is None or cls.__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, (int, np.integer)):
        return "?" if cls is np.timedelta64 else "int64"
    if isinstance(value, np.datetime64):
        unit = np.datetime_data(value.dtype)[0]
        return "date32" if unit == "D" else f"timestamp[{_TIME_UNITS[unit]}]" if unit in _TIME_UNITS else "?"
    if cls.__name__ == "Decimal":
        return "float64"
    if hasattr(value, "utcoffset") and hasattr(value, "year"):
        unit = getattr(value, "unit", "us")
        return f"timestamp[{unit}, UTC]" if value.utcoffset() is not None else f"timestamp[{unit}]"
    return "date32" if hasattr(value, "toordinal") else "?"
