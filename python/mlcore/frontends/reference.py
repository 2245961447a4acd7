"""The original's answer, which is what a compiled model is held to."""

from __future__ import annotations

from typing import Any

from mlcore.frontends.registry import entry_for

__all__ = ["reference"]


def reference(estimator: Any, method: str, X: Any) -> Any:
    """What the original library returns for ``method`` on ``X``.

    Parameters
    ----------
    estimator : fitted estimator
    method : str
        ``"predict"``, ``"predict_proba"``, ``"decision_function"`` (the raw margin, also for estimators that have no
        such method), ``"leaf"`` (as int64 of shape (n, n_trees)), ``"transform"`` ...
    X : table
        As the estimator itself takes it.
    """
    entry = entry_for(estimator)
    if entry is not None and entry.reference is not None:
        return entry.reference(estimator, method, X)
    return getattr(estimator, method)(X)
