"""Arrow data in what tests take for a device's memory, by Arrow's C Device interface, and answers to compare."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import mlcore
import pandas as pd
import pyarrow as pa
from emulated import REAL
from holding import bits
from mlcore.errors import InputError

__all__ = [
    "ArrowOnDevice",
    "ArrowStreamOnDevice",
    "answer",
    "assert_same",
    "assert_same_from_memory",
    "on_device",
    "slices",
]


class _Array(ctypes.Structure):
    """An ArrowArray."""


_Release = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Array))
_Array._fields_ = [
    *[(name, ctypes.c_int64) for name in ("length", "null_count", "offset", "n_buffers", "n_children")],
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_Array))),
    ("dictionary", ctypes.POINTER(_Array)),
    ("release", _Release),
    ("private_data", ctypes.c_void_p),
]


class _DeviceArray(ctypes.Structure):
    """An ArrowDeviceArray."""

    _fields_ = [
        ("array", _Array),
        ("device_id", ctypes.c_int64),
        ("device_type", ctypes.c_int32),
        ("sync_event", ctypes.c_void_p),
        ("reserved", ctypes.c_int64 * 3),
    ]


_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype, _pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


class ArrowOnDevice:
    """A pyarrow RecordBatch or Array in what tests take for a device's memory, by Arrow's C Device interface.

    ``on_wait`` is called when the device waits for the array's event (emulated alone). Counts what is handed out and
    what comes back.
    """

    def __init__(
        self, data: pa.RecordBatch | pa.Array, device: int = 0, kind: int = 2, on_wait: Callable[[], None] | None = None
    ) -> None:
        self.data, self.device, self.kind = data, device, kind
        self.given = self.released = 0
        self._on_wait = ctypes.CFUNCTYPE(None)(on_wait) if on_wait else None
        self._callbacks: list[Any] = []
        self._memory: list[Any] = []

    def __arrow_c_device_array__(self, requested_schema: object = None, **options: object) -> tuple[object, object]:
        assert requested_schema is None
        assert not options
        schema, capsule = self.data.__arrow_c_device_array__()
        found = _DeviceArray.from_address(_pointer_of(capsule, b"arrow_device_array"))
        found.device_type, found.device_id = self.kind, self.device
        if self._on_wait is not None:
            found.sync_event = ctypes.addressof(self._on_wait)
        if REAL:
            self._move(found.array, self.data)
        original = ctypes.cast(found.array.release, ctypes.c_void_p).value
        assert original is not None

        def release(array: Any) -> None:
            self.released += 1
            _Release(original)(array)

        self._callbacks.append(_Release(release))
        found.array.release = self._callbacks[-1]
        self.given += 1
        return schema, capsule

    def _move(self, found: Any, data: Any) -> None:
        """Copies of the buffers, and of those of all that hangs on the array, on a GPU."""
        import cupy
        import numpy as np
        import pyarrow as pa

        if isinstance(data, pa.RecordBatch):
            for at, column in enumerate(data.columns):
                self._move(found.children[at].contents, column)
            return
        for at, buffer in enumerate(data.buffers()[: found.n_buffers]):
            if buffer is not None:
                self._memory.append(cupy.asarray(np.frombuffer(buffer, np.uint8)))
                found.buffers[at] = self._memory[-1].data.ptr
        if isinstance(data, pa.DictionaryArray):
            self._move(found.dictionary.contents, data.dictionary)


class _Stream(ctypes.Structure):
    """An ArrowDeviceArrayStream."""


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Stream), ctypes.c_void_p)
_Error = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(_Stream))
_StreamRelease = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Stream))
_Stream._fields_ = [
    ("device_type", ctypes.c_int32),
    ("get_schema", _Callback),
    ("get_next", _Callback),
    ("get_last_error", _Error),
    ("release", _StreamRelease),
    ("private_data", ctypes.c_void_p),
]
_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype, _new_capsule.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


class ArrowStreamOnDevice:
    """Batches on a device one after the other; fails instead of giving batch ``fails_at``."""

    def __init__(
        self, batches: list[ArrowOnDevice], schema: pa.Schema, kind: int = 2, fails_at: int | None = None
    ) -> None:
        self.released = 0
        waiting = iter(batches)
        left = [fails_at]
        message = ctypes.create_string_buffer(b"the disk is gone")

        def get_schema(stream: Any, out: int) -> int:
            schema._export_to_c(out)
            return 0

        def get_next(stream: Any, out: int) -> int:
            if left[0] == 0:
                return 5
            if left[0] is not None:
                left[0] -= 1
            batch = next(waiting, None)
            ctypes.memset(out, 0, ctypes.sizeof(_DeviceArray))
            if batch is not None:
                _, capsule = batch.__arrow_c_device_array__()
                found = _pointer_of(capsule, b"arrow_device_array")
                ctypes.memmove(out, found, ctypes.sizeof(_DeviceArray))
                _DeviceArray.from_address(found).array.release = _Release()
            return 0

        def release(stream: Any) -> None:
            self.released += 1
            stream.contents.release = _StreamRelease()

        self._stream = _Stream(
            kind, _Callback(get_schema), _Callback(get_next), _Error(lambda _: ctypes.addressof(message)),
            _StreamRelease(release), None,
        )  # fmt: skip

    def __arrow_c_device_stream__(self, requested_schema: object = None, **options: object) -> object:
        assert requested_schema is None
        assert not options
        return _new_capsule(ctypes.addressof(self._stream), b"arrow_device_array_stream", None)


def on_device(model: mlcore.Model) -> mlcore.Model:
    return mlcore.Model.from_bytes(model.to_bytes(), device="cuda:0")


def answer(model: mlcore.Model, method: str, table: Any) -> Any:
    """Bits, or the message."""
    try:
        found = model.call(method, table)
    except InputError as error:
        return str(error)
    arrays = found if isinstance(found, list) else [found]
    return bits([array.to_host() if isinstance(array, mlcore.DeviceArray) else array for array in arrays])


def assert_same(model: mlcore.Model, other: mlcore.Model, batch: pa.RecordBatch, method: str = "transform") -> Any:
    """On the device as on the CPU, and what was given is given back."""
    shown = ArrowOnDevice(batch)
    expected = answer(model, method, batch)
    assert answer(other, method, shown) == expected
    assert shown.released == shown.given > 0
    return expected


def assert_same_from_memory(model: mlcore.Model, other: mlcore.Model, frame: pd.DataFrame) -> None:
    """A table of the host gives the same bits, or message, where its columns lie in the device's memory.

    What only tables of the host give is left out: text, and labels that are none of the device's numbers.
    """
    batch = pa.RecordBatch.from_pandas(frame, preserve_index=False)
    text = [pa.types.is_string(column.type) for column in batch.columns]
    coded = [column.dictionary_encode() if is_text else column for column, is_text in zip(batch, text, strict=True)]
    for table in [batch, pa.RecordBatch.from_arrays(coded, batch.schema.names)] if any(text) else [batch]:
        for method in model.methods:
            found = answer(other, method, ArrowOnDevice(table))
            if "a table in the host's memory" not in str(found):
                assert found == answer(model, method, table), method


def slices(batch: pa.RecordBatch) -> list[pa.RecordBatch]:
    """The batch, and what it is when its columns, its bitmaps or itself start somewhere else."""
    shifted = pa.RecordBatch.from_arrays(
        [pa.concat_arrays([column.slice(0, 3), column]).slice(3) for column in batch.columns], batch.schema.names
    )
    return [batch, shifted, batch.slice(5), batch.slice(13, 100), batch.slice(1, 0), shifted.slice(2, 9)]
