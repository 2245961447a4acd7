"""Where the files lie that C programs and servers need."""

from __future__ import annotations

from pathlib import Path

__all__ = ["get_cmake_dir", "get_include", "get_library_dir", "get_triton_backend_dir"]

_PACKAGE = Path(__file__).resolve().parent


def get_include() -> str:
    """Return the folder of ``mlcore.h``, for ``cc -I``.

    Returns
    -------
    str

    Examples
    --------
    >>> import os, mlcore
    >>> os.path.exists(os.path.join(mlcore.get_include(), "mlcore.h"))
    True
    """
    return str(_PACKAGE / "include")


def get_library_dir() -> str:
    """Return the folder of ``libmlcore.so``, for ``cc -L`` and ``-Wl,-rpath``.

    Returns
    -------
    str

    Examples
    --------
    >>> import os, mlcore
    >>> os.path.exists(os.path.join(mlcore.get_library_dir(), "libmlcore.so"))
    True
    """
    return str(_PACKAGE)


def get_cmake_dir() -> str:
    """Return the folder for CMake's ``find_package(mlcore)``: pass it as ``-Dmlcore_DIR`` or ``CMAKE_PREFIX_PATH``.

    Returns
    -------
    str

    Examples
    --------
    >>> import os, mlcore
    >>> os.path.exists(os.path.join(mlcore.get_cmake_dir(), "mlcore-config.cmake"))
    True
    """
    return str(_PACKAGE / "cmake")


def get_triton_backend_dir() -> str:
    """Return the folder for ``tritonserver --backend-directory``, which holds ``mlcore/libtriton_mlcore.so``.

    Returns
    -------
    str

    Examples
    --------
    >>> import os, mlcore
    >>> os.path.exists(os.path.join(mlcore.get_triton_backend_dir(), "mlcore", "libtriton_mlcore.so"))
    True
    """
    return str(_PACKAGE / "backends")
