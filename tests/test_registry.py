"""Every parameter and fitted attribute of every supported class is accounted for by name."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlcore.frontends import load_all
from mlcore.frontends.registry import Entry, entries, entry_for

load_all()
FOLDER = Path(__file__).parent / "frontends"


def _class(entry: Entry) -> type:
    module, _, name = entry.cls.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _examples() -> Iterator[tuple[str, Callable[[], Any]]]:
    sys.path.insert(0, str(FOLDER))  # examples share helpers that lie beside them
    for file in sorted(FOLDER.glob("examples_*.py")):
        spec = importlib.util.spec_from_file_location(f"frontends.{file.stem}", file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found = module.FITTED_EXAMPLES
        makers = [maker for group in found.values() for maker in group] if isinstance(found, dict) else found
        yield from ((f"{file.stem}-{index}", maker) for index, maker in enumerate(makers))


EXAMPLES = list(_examples())


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.cls)
def test_entry_names_every_constructor_parameter(entry: Entry) -> None:
    signature = inspect.signature(_class(entry).__init__).parameters.values()
    names = {p.name for p in signature if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)} - {"self"}
    if entry.cls.startswith(("xgboost.XGB", "lightgbm.LGBM")):
        # their constructors pass **kwargs to a base class; get_params knows all of them
        names |= set(_class(entry)().get_params())
    unknown = names - entry.parameters.keys()
    assert not unknown, f"{entry.cls} gained the parameters {sorted(unknown)}"
    for name, handling in entry.parameters.items():
        assert handling, f"{entry.cls}: say how {name} is handled"


@pytest.mark.parametrize(("name", "make"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_entry_names_every_fitted_attribute(name: str, make: Callable[[], Any]) -> None:
    fitted = make()
    entry = entry_for(fitted)
    assert entry is not None, f"{type(fitted)} is not registered"
    learned = {key for key in vars(fitted) if key not in entry.parameters and not key.startswith("__")}
    unknown = learned - entry.attributes.keys()
    assert not unknown, f"{entry.cls} gained the attributes {sorted(unknown)}"


def test_every_entry_has_a_fitted_example() -> None:
    seen = {entry.cls for _, make in EXAMPLES if (entry := entry_for(make())) is not None}
    missing = {entry.cls for entry in entries()} - seen
    assert not missing, f"no fitted example of {sorted(missing)}"


def test_a_subclass_is_not_its_parent() -> None:
    from sklearn.preprocessing import StandardScaler

    class Custom(StandardScaler):
        """May override anything, so nothing is known of it."""

    assert entry_for(StandardScaler()) is not None
    assert entry_for(Custom()) is None
