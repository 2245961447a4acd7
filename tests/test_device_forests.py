"""Forests on a device: every form (few, walk, rank, sliced) gives the CPU's bits for every kind of forest."""

from __future__ import annotations

from typing import Any

import emulated
import numpy as np
import pytest
from mlcore import _core
from mlcore.errors import DeviceError
from test_trees import CASES, Forest, Shape, big_tree, build, draw, rows_for, run

FORMS = ("few", "walk", "rank", "sliced")
SIZES = (1, 31, 32, 33, 511, 512, 513, 1_023, 1_024, 1_025, 2_100)
# Forests that the form leaves to the walk: too deep, or without trees.
WALKED = {"rank": {"chains", "no trees"}, "sliced": {"no trees"}}


def on_device(model: _core.Model, form: str, monkeypatch: pytest.MonkeyPatch) -> _core.DeviceModel:
    monkeypatch.setenv("MLCORE_CUDA_FOREST", form)
    return _core.DeviceModel(model, "cuda:0")


def form_of(model: _core.DeviceModel) -> str:
    (found,) = model.forms
    assert found[0] == "m"
    return found[1]


def answer(model: Any, X: np.ndarray) -> bytes:
    batch = _core.matrix_batch(X, [f"x{i}" for i in range(X.shape[1])])
    return np.asarray(model.run([batch], [0])[0]).tobytes()


def assert_same(
    forest: Forest, X: np.ndarray, form: str, monkeypatch: pytest.MonkeyPatch, taken: str | None = None
) -> None:
    model = build(forest)
    other = on_device(model, form, monkeypatch)
    assert form_of(other) == (taken or form)
    for size in (*SIZES, len(X)):
        if size <= len(X):
            assert answer(other, X[:size]) == run(model, X[:size]).tobytes(), size


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", CASES)
def test_every_kind(name: str, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng([17, len(name)])
    forest = draw(CASES[name], rng)
    taken = "walk" if name in WALKED.get(form, ()) else form
    assert_same(forest, rows_for(forest, rng, 1_100), form, monkeypatch, taken)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("leaf", ["number", "ids", "vector"])
@pytest.mark.parametrize("depth", range(9))
def test_every_depth(depth: int, leaf: str, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Complete trees and ragged ones, and several of them in the shared memory of a block."""
    rng = np.random.default_rng([depth, len(leaf)])
    shape = Shape(
        block=np.float32, threshold=np.float32, leaf=np.float32, depth=depth, trees=21, width=9,
        ids=leaf == "ids", vector=leaf == "vector", outputs=3 if leaf == "vector" else 1,
    )  # fmt: skip
    forest = draw(shape, rng)
    assert_same(forest, rows_for(forest, rng, 600), form, monkeypatch)


@pytest.mark.parametrize("form", ["rank", "sliced"])
@pytest.mark.parametrize("cuts", [1, 2, 3, 7, 8, 15, 16, 31, 63, 64, 127, 254, 255, 256, 257, 1_000, 4_095])
def test_every_number_of_cuts(cuts: int, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One column, stumps at every cut: ranks of one byte and of two, digits of every size."""
    rng = np.random.default_rng(cuts)
    forest = stumps(np.sort(rng.normal(size=cuts)))
    thresholds = forest.constants["threshold"]
    beside = np.concatenate([thresholds, np.nextafter(thresholds, np.inf), [np.nan, np.inf, -np.inf]])
    X = rng.permutation(beside)[:2_500, None]
    assert_same(forest, X, form, monkeypatch)


def stumps(thresholds: np.ndarray) -> Forest:
    """One tree of one split for each threshold, whose leaves tell it from all others."""
    trees = len(thresholds)
    constants = {
        "tree_offsets": 3 * np.arange(trees + 1),
        "tree_output": np.zeros(trees, np.int32),
        "feature": np.tile([0, -1, -1], trees).astype(np.int32),
        "threshold": np.repeat(thresholds, 3),
        "left": np.tile([1, -1, -1], trees).astype(np.int32),
        "right": np.tile([2, -1, -1], trees).astype(np.int32),
        "missing": np.zeros(3 * trees, np.uint8),
        "leaf": np.tile([0, 0, 1], trees).astype(np.int32) + np.repeat(2 * np.arange(trees, dtype=np.int32), 3),
        "leaf_values": np.random.default_rng(trees).normal(size=2 * trees),
        "base": np.zeros(1),
    }
    attributes = {"outputs": 1, "compare": "le", "categories": "none", "category_rule": "none"}
    return Forest({**attributes, "vector_leaf": False, "result": "sum"}, constants, 1, np.float64)


def test_more_cuts_than_two_bytes_count(monkeypatch: pytest.MonkeyPatch) -> None:
    forest = stumps(np.linspace(-1, 1, 65_537))
    X = np.concatenate([forest.constants["threshold"][::5_000], [np.nan, 2, -2]])[:, None]
    for form in ("rank", "sliced"):
        assert_same(forest, X, form, monkeypatch, "walk")


@pytest.mark.parametrize("form", ["rank", "sliced"])
@pytest.mark.parametrize("width", [40, 150, 300, 600])
def test_blocks_of_fewer_rows(width: int, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The more columns, the fewer rows find room in a block."""
    rng = np.random.default_rng(width)
    shape = Shape(block=np.float32, threshold=np.float32, width=width, trees=width // 2, depth=6, missing=(0,))
    forest = draw(shape, rng)
    assert_same(forest, rows_for(forest, rng, 1_100), form, monkeypatch)


@pytest.mark.parametrize("form", ["rank", "sliced"])
def test_more_columns_than_find_room(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    for width in (5_000, 9_000):
        shape = Shape(block=np.float32, threshold=np.float32, width=width, trees=width // 6, depth=5, missing=(0,))
        forest = draw(shape, rng)
        taken = "rank" if form == "rank" and width == 5_000 else "walk"
        assert_same(forest, rows_for(forest, rng, 70), form, monkeypatch, taken)


@pytest.mark.parametrize("form", FORMS)
def test_a_large_tree(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand leaves fit the rank walk alone; 65,000 neither."""
    rng = np.random.default_rng(5)
    for nodes in (2**11 - 1, 2**17 - 1):
        forest = big_tree(nodes, 6, rng)
        taken = {"sliced": "walk", "rank": "rank" if nodes < 5_000 else "walk"}.get(form, form)
        X = rng.normal(size=(1_030, 6)).astype(np.float32)
        assert_same(forest, X, form, monkeypatch, taken)


@pytest.mark.parametrize("form", FORMS)
def test_trees_that_grow_leaf_by_leaf(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chains become complete trees over links; with 8 bits of leaf numbers, too."""
    rng = np.random.default_rng(8)
    for depth in (5, 10, 33, 200):
        forest = draw(Shape(chain=True, depth=depth, trees=9, width=3, block=np.float32), rng)
        taken = "walk" if form == "rank" and depth > 5 else form  # much padding
        assert_same(forest, rows_for(forest, rng, 520), form, monkeypatch, taken)


def test_no_form_of_that_name(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(stumps(np.zeros(1)))
    with pytest.raises(DeviceError, match="MLCORE_CUDA_FOREST: expected few, walk, rank or sliced but found 'quick'"):
        on_device(model, "quick", monkeypatch)


@pytest.mark.skipif(emulated.REAL, reason="of the emulated device")
def test_what_is_taken_where_nothing_is_measured() -> None:
    rng = np.random.default_rng(1)
    forest = draw(Shape(trees=40), rng)
    assert form_of(_core.DeviceModel(build(forest), "cuda:0")) == "few, from 513 rows on sliced"
    forest = big_tree(2**11 - 1, 6, rng)
    assert form_of(_core.DeviceModel(build(forest), "cuda:0")) == "few, from 513 rows on rank"
    forest = big_tree(2**13 - 1, 6, rng)
    assert form_of(_core.DeviceModel(build(forest), "cuda:0")) == "few, from 513 rows on walk"


@pytest.mark.parametrize("name", CASES)
def test_forms_are_measured(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever wins: it has the CPU's bits, and the ranges ascend from the first row on."""
    monkeypatch.setenv("MLCORE_EMULATED_PROBE_ROWS", "70")
    rng = np.random.default_rng([3, len(name)])
    forest = draw(CASES[name], rng)
    model = build(forest)
    other = _core.DeviceModel(model, "cuda:0")
    first, *rest = form_of(other).split(", from ")
    assert first in FORMS
    rows = [int(text.split(" rows on ")[0]) for text in rest]
    assert rows == sorted(set(rows))
    assert all(text.split(" rows on ")[1] in FORMS for text in rest)
    X = rows_for(forest, rng, 300)
    for size in (1, 16, 17, 64, 70, 300):
        assert answer(other, X[:size]) == run(model, X[:size]).tobytes()
