"""One way to import what is not required, with one message form."""

from __future__ import annotations

import importlib
from types import ModuleType

from mlcore.errors import MlcoreError

__all__ = ["import_optional"]

# module -> pip extra of this package that brings it
_EXTRAS = {
    "joblib": "sklearn",
    "pandas": "pandas",
    "polars": "polars",
    "pyarrow": "arrow",
    "sklearn": "sklearn",
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
    "google": "grpc",
    "grpc": "grpc",
    "grpc_health": "grpc",
    "grpc_reflection": "grpc",
}


class MissingDependencyError(MlcoreError, ImportError):
    """A feature needs a package that is not installed."""

    code = "dependency"


def import_optional(name: str, purpose: str) -> ModuleType:
    """Import ``name`` or say what needs it and how to get it.

    Parameters
    ----------
    name : str
        Module path, such as ``"pyarrow.parquet"``.
    purpose : str
        What needs it, for the message: "reading a Parquet file".

    Raises
    ------
    MissingDependencyError
        If the package is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        top = name.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != top:
            raise
        extra = _EXTRAS.get(top, top)
        raise MissingDependencyError(
            f"{purpose} needs the package {top!r}, which is not installed; run: pip install 'mlcore[{extra}]'"
        ) from error
