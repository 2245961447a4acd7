"""Writing a model as other systems want it."""

from __future__ import annotations

from mlcore.export.triton import write_repository

__all__ = ["write_repository"]
