"""Front ends: fitted objects in, program out. One file per family, one registry entry per class."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

__all__ = ["load_all"]

_SUPPORT = {"context", "registry", "reference", "versions"}


@cache
def load_all() -> None:
    """Import every family so that its classes are registered; imports no training library."""
    for module in pkgutil.iter_modules(__path__):
        if module.name not in _SUPPORT and not module.name.startswith("_"):
            importlib.import_module(f"{__name__}.{module.name}")
