"""mlcore: a fitted pipeline compiled into one safe file that gives the same bytes everywhere.

>>> import mlcore
>>> callable(mlcore.compile) and callable(mlcore.load)
True
"""

from __future__ import annotations

from mlcore._core import __version__
from mlcore.compiler import check, compile
from mlcore.device import DeviceArray
from mlcore.errors import (
    ArtifactError,
    ArtifactIOError,
    DeviceError,
    InputError,
    MlcoreError,
    ParityError,
    Problem,
    ProgramError,
    UnsupportedError,
)
from mlcore.model import Model, load
from mlcore.paths import get_cmake_dir, get_include, get_library_dir, get_triton_backend_dir
from mlcore.serving import get_server_path, serve

__all__ = [
    "ArtifactError",
    "ArtifactIOError",
    "DeviceArray",
    "DeviceError",
    "InputError",
    "MlcoreError",
    "Model",
    "ParityError",
    "Problem",
    "ProgramError",
    "UnsupportedError",
    "__version__",
    "check",
    "compile",
    "get_cmake_dir",
    "get_include",
    "get_library_dir",
    "get_server_path",
    "get_triton_backend_dir",
    "load",
    "serve",
]
