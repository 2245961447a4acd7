"""The registry: one entry per supported class.

From it come the dispatch, the parameter test, the supported matrix in the docs and ``mlcore check``.
A class is found by its public import path, so that registering it imports nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Entry", "entries", "entry_for", "register"]


@dataclass(frozen=True)
class Entry:
    """What mlcore knows of one estimator class.

    Attributes
    ----------
    cls : str
        Public path, such as ``"sklearn.preprocessing.StandardScaler"``.
    kind : str
        ``"transform"``, ``"model"`` or ``"meta"`` (holds other estimators).
    compile : callable
        ``compile(estimator, frame, ctx)`` gives a `Frame` (transform) or `Outputs` (model).
    parameters : mapping of str to str
        Every constructor parameter -> ``"honoured"``, ``"training"`` (acts only while fitting) or a
        sentence that says which values are refused.
    attributes : mapping of str to str
        Every fitted attribute -> ``"used"``, ``"training"`` or ``"derived"`` (follows from others).
    reference : callable or None
        ``reference(estimator, method, X)`` gives the original's answer; None: ``getattr(estimator, method)(X)``.
    input_names : callable or None
        ``input_names(estimator)`` gives the column names it was fitted on, or None for bare arrays;
        None: ``feature_names_in_``.
    input_width : callable or None
        ``input_width(estimator)`` gives the number of columns; None: ``n_features_in_``.
    steps : callable or None
        ``steps(estimator)`` gives the estimators it holds and runs, by name; None: those inside are fitted with it.
    tolerance : str or None
        Which outputs are not bit-exact and why; None: all exact.
    notes : str
        One sentence for the supported matrix.
    """

    cls: str
    kind: str
    compile: Callable[..., Any]
    parameters: Mapping[str, str]
    attributes: Mapping[str, str]
    reference: Callable[..., Any] | None = None
    input_names: Callable[[Any], list[str] | None] | None = None
    input_width: Callable[[Any], int | None] | None = None
    steps: Callable[[Any], list[tuple[str, Any]]] | None = None
    tolerance: str | None = None
    notes: str = ""
    # other import paths of the same class ("sklearn.preprocessing._data.StandardScaler" is found without this)
    aliases: Sequence[str] = field(default=())


_ENTRIES: dict[str, Entry] = {}


def register(entry: Entry) -> Entry:
    """Add an entry; a front end module calls this once per class, at import."""
    for path in (entry.cls, *entry.aliases):
        if path in _ENTRIES:
            raise ValueError(f"{path} is registered twice")
        _ENTRIES[path] = entry
    return entry


def entries() -> list[Entry]:
    """All entries, by class path, each once."""
    unique = {id(entry): entry for entry in _ENTRIES.values()}
    return sorted(unique.values(), key=lambda entry: entry.cls)


def entry_for(estimator: object) -> Entry | None:
    """The entry of exactly this object's class; a subclass is not its parent (it may override anything)."""
    cls = type(estimator)
    for path, entry in _ENTRIES.items():
        module, _, name = path.rpartition(".")
        # scikit-learn defines StandardScaler in sklearn.preprocessing._data and exports it one level up
        if cls.__qualname__ == name and (cls.__module__ == module or cls.__module__.startswith(module + ".")):
            return entry
    return None
