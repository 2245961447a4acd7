"""Arrays in a GPU's memory: what a model takes of them and gives back, without a copy through the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mlcore import _core
from mlcore.errors import InputError

__all__ = ["DeviceArray", "device_tables", "is_on_device"]

_CUDA = 2  # DLPack's number of the kind of device
_NUMBERS = {"b1": "bool", **{f"{c}{s}": f"{'u' if c == 'u' else ''}int{8 * s}" for c in "iu" for s in (1, 2, 4, 8)}}
_NUMBERS |= {f"f{size}": f"float{8 * size}" for size in (2, 4, 8)}
_CPU = 1  # the same number in Arrow's C Device interface, as _CUDA is
_ANY_DEVICE = -1  # of arrays that do not say which
_LEGACY_STREAM = 1  # what a stream that nobody names means in the protocols


class DeviceArray:
    """A result in a GPU's memory; CuPy, torch, numba and JAX take it without a copy.

    Examples
    --------
    On a machine with a GPU::

        scores = mlcore.load("model.mlc", device="cuda:0").predict_proba(cupy_matrix)
        cupy.from_dlpack(scores)      # or torch.from_dlpack(scores): the same memory
        scores.to_host()              # a NumPy array
    """

    def __init__(self, buffer: _core.DeviceBuffer, vector: bool) -> None:
        self._buffer = buffer
        self._vector = vector

    @property
    def shape(self) -> tuple[int, ...]:
        """``(n,)``, or ``(n, n_outputs)``."""
        return (self._buffer.rows,) if self._vector else (self._buffer.rows, self._buffer.width)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values."""
        return self._buffer.dtype

    @property
    def device(self) -> int:
        """Number of the CUDA device."""
        return self._buffer.device

    def to_host(self) -> npt.NDArray[Any]:
        """The values as a NumPy array."""
        return self._buffer.to_host().reshape(self.shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError("expected that a copy is allowed, as the values lie in a GPU's memory")
        return self.to_host().astype(dtype or self.dtype, copy=False)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self._buffer.address, False),
            "version": 3,
            "strides": None,
            "stream": None,  # the values are there already
        }

    def __dlpack__(self, *, stream: int | None = None, **options: Any) -> object:
        if options.get("copy") or (options.get("dl_device") or self.__dlpack_device__()) != self.__dlpack_device__():
            raise BufferError("expected to share the memory where it is")
        return self._buffer.to_dlpack(self._vector)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (_CUDA, self.device)

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<mlcore.DeviceArray of shape {self.shape}, {self.dtype}, on cuda:{self.device}>"


class DeviceTables(NamedTuple):
    """A table, or several one after the other, the stream to read them in, and what keeps their memory alive."""

    tables: list[_core.DeviceTable]
    stream: int
    owners: list[object]


def _is_array(value: object) -> bool:
    """Whether ``value`` says by itself that it is an array in a GPU's memory."""
    if isinstance(value, np.ndarray):
        return False
    if hasattr(value, "__cuda_array_interface__"):
        return True
    device = getattr(value, "__dlpack_device__", None)
    return device is not None and int(device()[0]) == _CUDA


def _arrow(value: Any) -> tuple[Any, Any] | None:
    """Schema and array of what Arrow's C Device interface shows of a GPU's memory; None: it shows no such array."""
    if not hasattr(value, "__arrow_c_device_array__"):
        return None
    schema, array = value.__arrow_c_device_array__()
    shows_host = _core.arrow_device_type(array) == _CPU and hasattr(value, "__arrow_c_array__")
    return None if shows_host else (schema, array)


def is_on_device(data: object) -> bool:
    """Whether ``data`` is an array in a GPU's memory, has columns that are, or is Arrow data for devices alone."""
    if isinstance(data, np.ndarray):  # most tables, and said at once
        return False
    if isinstance(data, Mapping):
        return any(_is_array(value) for value in data.values())
    if _is_array(data):
        return True
    for_devices = hasattr(data, "__arrow_c_device_array__") or hasattr(data, "__arrow_c_device_stream__")
    return for_devices and not (hasattr(data, "__arrow_c_array__") or hasattr(data, "__arrow_c_stream__"))


class _View(NamedTuple):
    address: int
    type: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in bytes
    stream: int | None
    device: int
    owner: object


def _view(name: str, value: Any, stream: int) -> _View:
    if hasattr(value, "__cuda_array_interface__"):
        found = dict(value.__cuda_array_interface__, owner=value)
        if found.get("mask") is not None:
            raise InputError(
                f"{name}: expected an array without a mask, or a column of Arrow's C Device interface, but found a mask"
            )
    elif _is_array(value):
        found = _core.read_dlpack(value.__dlpack__(stream=stream))
    else:
        raise InputError(
            f"{name}: expected an array in a GPU's memory, as the others, but found {type(value).__name__}"
        )
    typestr = found["typestr"]
    kind = _NUMBERS.get(typestr[1:])
    if kind is None or typestr[0] == ">":
        raise InputError(f"{name}: expected an array of numbers but found one of {typestr}")
    size = int(typestr[2:])
    shape = tuple(found["shape"])
    strides = found.get("strides")
    if strides is None:
        strides = tuple(size * int(np.prod(shape[axis + 1 :], dtype=np.int64)) for axis in range(len(shape)))
    if any(step % size for step in strides):
        raise InputError(f"{name}: expected strides of whole elements of {size} bytes but found {tuple(strides)}")
    return _View(
        found["data"][0], kind, shape, strides, found.get("stream"), found.get("device", _ANY_DEVICE), found["owner"]
    )


def device_tables(data: Any, names: Sequence[str], stream: int | None = None) -> DeviceTables | None:
    """The columns of a table in a GPU's memory; None where ``data`` are in the host's.

    Parameters
    ----------
    data : array, mapping of str to array, or table
        Arrays: anything with ``__cuda_array_interface__`` or ``__dlpack__`` on a CUDA device, of shape (n, columns) or,
        in a mapping, (n,). Tables, and columns in a mapping: anything with ``__arrow_c_device_array__`` or
        ``__arrow_c_device_stream__``. The columns of an array are by position those of ``names``.
    names : sequence of str
        The model's columns.
    stream : int, optional
        The CUDA stream to work in, as ``__cuda_array_interface__`` numbers them. Default: the stream that the arrays
        name, else the legacy default stream.

    Raises
    ------
    InputError
        If an array has another shape, holds no numbers, or lies on another device, or if some columns of a mapping are
        in the host's memory.
    """
    wanted = _LEGACY_STREAM if stream is None else stream
    if isinstance(data, Mapping):
        return _columns(data, stream, wanted)
    if _is_array(data):
        view = _view("the table", data, wanted)
        if len(view.shape) != 2 or view.shape[1] != len(names):
            raise InputError(f"the table: expected an array of shape (n, {len(names)}) but found {view.shape}")
        columns = [
            (name, view.address + position * view.strides[1], view.type, view.strides[0])
            for position, name in enumerate(names)
        ]
        table = _core.device_columns(columns, view.shape[0], view.device)
        return DeviceTables([table], _stream_of([view], stream, wanted), [view.owner])
    if hasattr(data, "__arrow_c_device_array__"):
        found = _arrow(data)
        return None if found is None else DeviceTables([_core.read_arrow_device_array(*found)], wanted, [data])
    if hasattr(data, "__arrow_c_device_stream__"):
        capsule = data.__arrow_c_device_stream__()
        if _core.arrow_device_type(capsule) == _CPU and hasattr(data, "__arrow_c_stream__"):
            return None
        return DeviceTables(_core.read_arrow_device_stream(capsule), wanted, [data])
    return None


def _columns(data: Mapping[Any, Any], stream: int | None, wanted: int) -> DeviceTables | None:
    """The same for a mapping."""
    arrow = {name: found for name, value in data.items() if (found := _arrow(value)) is not None}
    if not arrow and not any(_is_array(value) for value in data.values()):
        return None
    columns: list[tuple[Any, ...]] = []
    views: list[_View] = []
    for name, value in data.items():
        if name in arrow:
            columns.append((str(name), *arrow[name]))
            continue
        view = _view(f"column {name!r}", value, wanted)
        if len(view.shape) != 1:
            raise InputError(f"column {name!r}: expected an array of shape (n,) but found {view.shape}")
        if view.shape[0] != (views or [view])[0].shape[0]:
            raise InputError(
                f"column {name!r}: expected {views[0].shape[0]} rows, as in the first, but found {view.shape[0]}"
            )
        columns.append((str(name), view.address, view.type, view.strides[0]))
        views.append(view)
    devices = {view.device for view in views} - {_ANY_DEVICE}
    if len(devices) > 1:
        raise InputError(f"expected arrays of one device but found some of cuda:{' and cuda:'.join(map(str, devices))}")
    table = _core.device_columns(columns, views[0].shape[0] if views else -1, *(devices or {_ANY_DEVICE}))
    return DeviceTables([table], _stream_of(views, stream, wanted), [data, *(view.owner for view in views)])


def _stream_of(views: Sequence[_View], stream: int | None, wanted: int) -> int:
    """``wanted``, unless the arrays name one stream and the caller none."""
    streams = {view.stream for view in views if view.stream is not None}
    if stream is None and len(streams) == 1:
        return streams.pop()
    if streams - {wanted}:
        raise InputError(
            f"expected arrays that are ready in stream {wanted} but found some of streams "
            f"{sorted(streams - {wanted})}; wait for those first and give stream="
        )
    return wanted
