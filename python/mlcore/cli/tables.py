"""Reading and writing tables for the command line, in batches, so that files may be larger than memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlcore._optional import import_optional
from mlcore.errors import InputError

__all__ = ["TableReader", "TableWriter", "open_table", "read_frame", "writer"]

_FORMATS = {".csv": "csv", ".parquet": "parquet", ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow"}

# what pandas.read_csv takes for missing, so that a CSV means here what it meant in training
_NULLS = ["", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A",
          "NA", "NULL", "NaN", "None", "n/a", "nan", "null"]  # fmt: skip

_BATCH_ROWS = 65_536


def _format_of(path: Path) -> str:
    try:
        return _FORMATS[path.suffix.lower()]
    except KeyError:
        raise InputError(
            f"{path}: expected a file ending in {', '.join(_FORMATS)} but found {path.suffix or 'no ending'!r}"
        ) from None


def _arrow_type(pyarrow: Any, logical: str) -> Any:
    if logical.startswith("timestamp["):
        unit, _, zone = logical[len("timestamp[") : -1].partition(", ")
        return pyarrow.timestamp(unit, tz=zone or None)
    names = {"bool": "bool_", "string": "string"}
    return getattr(pyarrow, names.get(logical, logical))()


class TableReader:
    """Record batches of a file, one after the other.

    Attributes
    ----------
    rows : int or None
        Number of rows, where the format says it before reading.
    """

    def __init__(self, batches: Iterator[Any], rows: int | None, close: Callable[[], None]) -> None:
        self.rows = rows
        self._batches = batches
        self._close = close

    def __iter__(self) -> Iterator[Any]:
        return self._batches

    def __enter__(self) -> TableReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()


def open_table(
    path: Path, schema: Sequence[dict[str, Any]] | None = None, columns: Sequence[str] | None = None
) -> TableReader:
    """Open a CSV, Parquet or Arrow file for reading in batches.

    Parameters
    ----------
    path : Path
    schema : list of dict, optional
        A model's schema: CSV text is parsed as its types (without it, pyarrow guesses).
    columns : list of str, optional
        Columns to read; others in the file are passed over.

    Raises
    ------
    InputError
        If the ending is unknown, a column is not in the file, or the file is not what its ending says.
    """
    pyarrow = import_optional("pyarrow", f"reading {path.name}")
    kind = _format_of(path)
    if not path.is_file():
        raise InputError(f"{path}: expected a file but found {'a folder' if path.is_dir() else 'nothing'}")
    try:
        if kind == "csv":
            return _open_csv(path, schema, columns)
        return _open_parquet(path, columns) if kind == "parquet" else _open_arrow(path, columns)
    except pyarrow.ArrowInvalid as error:
        raise InputError(f"{path}: expected a {kind} file of these columns: {error}") from error


def _expect_columns(path: Path, found: Sequence[str], columns: Sequence[str] | None) -> None:
    missing = [name for name in columns or () if name not in found]
    if missing:
        raise InputError(
            f"{path}: expected the columns {', '.join(map(repr, missing))} but found {', '.join(map(repr, found))}"
        )


def _open_csv(path: Path, schema: Sequence[dict[str, Any]] | None, columns: Sequence[str] | None) -> TableReader:
    pyarrow = import_optional("pyarrow", "reading CSV")
    csv = import_optional("pyarrow.csv", "reading CSV")
    types = {c["name"]: _arrow_type(pyarrow, c["type"]) for c in schema or () if c["used"]}
    with path.open(encoding="utf-8", errors="strict") as file:
        header = csv.read_csv(pyarrow.BufferReader((file.readline() or "\n").encode())) if path.stat().st_size else None
    _expect_columns(path, header.column_names if header is not None else [], columns)
    reader = csv.open_csv(
        path,
        read_options=csv.ReadOptions(block_size=8 << 20),
        convert_options=csv.ConvertOptions(
            column_types=types,
            include_columns=list(columns) if columns else [],
            null_values=_NULLS,
            strings_can_be_null=True,
        ),
    )
    return TableReader(iter(reader), None, reader.close)


def _open_parquet(path: Path, columns: Sequence[str] | None) -> TableReader:
    parquet = import_optional("pyarrow.parquet", "reading Parquet")
    file = parquet.ParquetFile(path)
    _expect_columns(path, file.schema_arrow.names, columns)
    batches = file.iter_batches(batch_size=_BATCH_ROWS, columns=list(columns) if columns else None)
    return TableReader(batches, file.metadata.num_rows, file.close)


def _open_arrow(path: Path, columns: Sequence[str] | None) -> TableReader:
    pyarrow = import_optional("pyarrow", "reading Arrow")
    source = pyarrow.memory_map(str(path))
    try:
        file = pyarrow.ipc.open_file(source)
        found, rows = file.schema.names, None
        batches = (file.get_batch(index) for index in range(file.num_record_batches))
    except pyarrow.ArrowInvalid:
        source.seek(0)
        stream = pyarrow.ipc.open_stream(source)
        found, rows, batches = stream.schema.names, None, iter(stream)
    _expect_columns(path, found, columns)
    return TableReader((batch.select(columns) if columns else batch for batch in batches), rows, source.close)


def read_frame(path: Path, columns: Sequence[str] | None = None, schema: Sequence[dict[str, Any]] | None = None) -> Any:
    """A whole file as a pandas DataFrame, as the original pipeline takes it."""
    pyarrow = import_optional("pyarrow", f"reading {path.name}")
    import_optional("pandas", f"reading {path.name}")
    with open_table(path, schema, columns) as reader:
        batches = list(reader)
    if not batches:
        raise InputError(f"{path}: expected at least one row but found none")
    return pyarrow.Table.from_batches(batches).to_pandas()


class TableWriter:
    """Writes tables one after the other to a CSV, Parquet or Arrow file."""

    def __init__(self, kind: str, path: Path) -> None:
        self._kind = kind
        self._path = path
        self._sink: Any = None

    def write(self, table: Any) -> None:
        """Append a pyarrow Table; the first one fixes the columns."""
        if self._sink is None:
            if self._kind == "parquet":
                self._sink = import_optional("pyarrow.parquet", "writing Parquet").ParquetWriter(
                    self._path, table.schema
                )
            elif self._kind == "csv":
                self._sink = import_optional("pyarrow.csv", "writing CSV").CSVWriter(self._path, table.schema)
            else:
                self._sink = import_optional("pyarrow", "writing Arrow").ipc.new_file(str(self._path), table.schema)
        self._sink.write_table(table) if self._kind != "arrow" else self._sink.write(table)

    def close(self) -> None:
        """Finish the file."""
        if self._sink is not None:
            self._sink.close()


@contextmanager
def writer(path: Path) -> Iterator[TableWriter]:
    """A writer whose file appears under its name only when everything was written."""
    kind = _format_of(path)
    if path.is_dir():
        raise InputError(f"{path}: expected a file name but found a folder")
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    part = Path(name)
    try:
        table = TableWriter(kind, part)
        try:
            yield table
        finally:
            table.close()
        umask = os.umask(0)
        os.umask(umask)
        part.chmod(0o666 & ~umask)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
