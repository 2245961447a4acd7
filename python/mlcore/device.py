"""Arrays in a GPU's memory: what a model takes of them and gives back, without a copy through the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mlcore import _core
from mlcore.errors import InputError

__all__ = ["DeviceArray", "device_table", "is_on_device"]

_CUDA = 2  # DLPack's number of the kind of device
_NUMBERS = {"b1": "bool", **{f"{c}{s}": f"{'u' if c == 'u' else ''}int{8 * s}" for c in "iu" for s in (1, 2, 4, 8)}}
_NUMBERS |= {"f4": "float32", "f8": "float64"}
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


class DeviceTable(NamedTuple):
    """Columns as (name, address, type, stride in elements), and what keeps their memory alive."""

    columns: list[tuple[str, int, str, int]]
    rows: int
    stream: int
    owners: list[object]


def _on_cuda(value: object) -> bool:
    if hasattr(value, "__cuda_array_interface__"):
        return True
    device = getattr(value, "__dlpack_device__", None)
    return device is not None and int(device()[0]) == _CUDA


def is_on_device(data: object) -> bool:
    """Whether ``data`` is an array in a GPU's memory, or a mapping of columns that are."""
    if isinstance(data, Mapping):
        return any(_on_cuda(value) for value in data.values())
    return _on_cuda(data)


class _View(NamedTuple):
    address: int
    type: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in elements
    stream: int | None
    owner: object


def _view(name: str, value: Any, stream: int) -> _View:
    if hasattr(value, "__cuda_array_interface__"):
        found = dict(value.__cuda_array_interface__, owner=value)
        if found.get("mask") is not None:
            raise InputError(f"{name}: expected an array without a mask but found one")
    elif _on_cuda(value):
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
        found["data"][0], kind, shape, tuple(step // size for step in strides), found.get("stream"), found["owner"]
    )


def device_table(data: object, names: Sequence[str], stream: int | None = None) -> DeviceTable:
    """The columns of an array of shape (n, k), or of a mapping of arrays of shape (n,), in a GPU's memory.

    Parameters
    ----------
    data : array or mapping of str to array
        Anything with ``__cuda_array_interface__`` or ``__dlpack__`` on a CUDA device. The columns of an array are by
        position those of ``names``.
    names : sequence of str
        The model's columns.
    stream : int, optional
        The CUDA stream to work in, as ``__cuda_array_interface__`` numbers them. Default: the stream that the arrays
        name, else the legacy default stream.

    Raises
    ------
    InputError
        If an array has another shape, holds no numbers, or lies in the host's memory.
    """
    wanted = _LEGACY_STREAM if stream is None else stream
    if isinstance(data, Mapping):
        views = [(str(name), _view(f"column {name!r}", value, wanted)) for name, value in data.items()]
        for name, view in views:
            if len(view.shape) != 1:
                raise InputError(f"column {name!r}: expected an array of shape (n,) but found {view.shape}")
        rows = views[0][1].shape[0] if views else 0
        for name, view in views:
            if view.shape[0] != rows:
                raise InputError(f"column {name!r}: expected {rows} rows, as in the first, but found {view.shape[0]}")
        columns = [(name, view.address, view.type, view.strides[0]) for name, view in views]
        all_views = [view for _, view in views]
    else:
        view = _view("the table", data, wanted)
        if len(view.shape) != 2 or view.shape[1] != len(names):
            raise InputError(f"the table: expected an array of shape (n, {len(names)}) but found {view.shape}")
        size = np.dtype(view.type).itemsize
        rows = view.shape[0]
        columns = [
            (name, view.address + position * view.strides[1] * size, view.type, view.strides[0])
            for position, name in enumerate(names)
        ]
        all_views = [view]
    streams = {view.stream for view in all_views if view.stream is not None}
    if stream is None and len(streams) == 1:
        wanted = streams.pop()
    elif streams - {wanted}:
        raise InputError(
            f"expected arrays that are ready in stream {wanted} but found some of streams "
            f"{sorted(streams - {wanted})}; wait for those first and give stream="
        )
    return DeviceTable(columns, rows, wanted, [view.owner for view in all_views])
