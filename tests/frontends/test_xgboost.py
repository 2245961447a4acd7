"""XGBoost front end against the library: margins bit for bit, labels equal, values behind exp within 4 ULP."""

from __future__ import annotations

import dataclasses
from typing import Any

import examples_xgboost as examples
import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from mlcore.compiler import compile_core
from mlcore.errors import InputError, UnsupportedError
from mlcore.frontends import load_all
from mlcore.frontends._xgboost_model import Malformed, read_booster, read_ubjson
from mlcore.frontends._xgboost_probe import NoCut, Probe, label_cut
from mlcore.frontends.context import Context, Frame, Part, Refused
from mlcore.frontends.registry import entry_for
from mlcore.frontends.xgboost import _answer
from mlcore.model import Model

CASES = {
    f"{family} / {name}": make
    for family, makers in (
        ("regressor", examples.REGRESSORS),
        ("classifier", examples.CLASSIFIERS),
        ("ranker", examples.RANKERS),
        ("forest classifier", examples.FORESTS),
        ("forest regressor", examples.FOREST_REGRESSORS),
        ("booster", examples.BOOSTERS),
    )
    for name, make in makers.items()
}
ULPS = 4
ROWS = 400


def booster_of(fitted: Any) -> xgb.Booster:
    return fitted if isinstance(fitted, xgb.Booster) else fitted.get_booster()


def edge_numbers(cuts: np.ndarray, rng: np.random.Generator, *, infinite: bool) -> np.ndarray:
    """Split values, their float32 and float64 neighbours, zeros of both signs, tiny and huge numbers, NaN."""
    narrow = np.concatenate([cuts, np.float32([0.0, -0.0, 1.0, -1.0, 0.1])])
    wide = narrow.astype(np.float64)
    pool = [wide, np.nextafter(wide, np.inf), np.nextafter(wide, -np.inf), rng.normal(size=40)]
    pool += [np.nextafter(narrow, np.float32(sign * np.inf)).astype(np.float64) for sign in (1, -1)]
    pool.append(np.array([np.nan, np.nan, 1e30, -1e30, 1e-40, 1e-320]))
    if infinite:
        pool.append(np.array([np.inf, -np.inf, 1e300]))
    return np.concatenate(pool)


def edge_rows(fitted: Any, seed: int = 0) -> Any:
    """Rows that sit on the model's boundaries, in the container that the model was fitted on."""
    rng = np.random.default_rng(seed)
    model = read_booster(booster_of(fitted))
    # gblinear and Booster.predict go through a DMatrix, which refuses infinities
    infinite = model.kind == "gbtree" and fitted is not booster_of(fitted)
    columns: list[Any] = []
    for feature in range(model.features):
        cuts = [np.asarray(tree["split_conditions"], np.float32)[_splits(tree, feature)] for tree in model.trees]
        stored = model.categories[feature]
        if stored is not None:
            values = list(stored.values)
            drawn = [None if rng.random() < 0.1 else values[index] for index in rng.integers(0, len(values), ROWS)]
            columns.append(pd.Categorical(drawn, categories=list(rng.permutation(np.asarray(stored.values)))))
        elif model.feature_types is not None and model.feature_types[feature] == "c":
            codes = [np.nan, 0, 1, 2, 3, 7, 31, 32, 33, 49, 50, 64, 100, -1, -0.5, 3.7, 2.0**24 - 1, 2.0**24, 1e30]
            columns.append(rng.choice(np.array(codes), ROWS))
        else:
            pool = edge_numbers(np.concatenate([*cuts, np.zeros(1, np.float32)]), rng, infinite=infinite)
            columns.append(rng.choice(pool, ROWS))
    if model.feature_names is None:
        return np.column_stack(columns)
    return pd.DataFrame(dict(zip(model.feature_names, columns, strict=True)))


def _splits(tree: dict[str, Any], feature: int) -> np.ndarray:
    inner = np.asarray(tree["left_children"]) >= 0
    return np.flatnonzero(inner & (np.asarray(tree["split_indices"]) == feature))


def ulps(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    def ordered(values: np.ndarray) -> np.ndarray:
        bits = np.ascontiguousarray(values).view(np.int32).astype(np.int64)
        return np.where(bits < 0, -(bits & 0x7FFFFFFF) - 1, bits)

    return np.abs(ordered(expected) - ordered(found))


def assert_same(model: Model, fitted: Any, X: Any) -> None:
    entry = entry_for(fitted)
    assert entry is not None
    assert entry.reference is not None
    for position, output in enumerate(model.core.outputs):
        method = output["method"]
        expected = np.asarray(entry.reference(fitted, method, X))
        found = np.asarray(model.call(method, X))
        assert found.shape == expected.shape, method
        assert found.dtype == expected.dtype, method
        exact = all(node["exact"] for node in _ancestors(model, model.core.outputs[position]["value"]))
        if exact or expected.dtype != np.float32:
            assert found.tobytes() == expected.tobytes(), (method, np.flatnonzero(found != expected)[:5])
        elif method == "predict_proba" and expected.shape[1] == 2:
            # 1 - p is judged in units of 1.0
            assert np.abs(found.astype(float) - expected).max() <= ULPS * np.finfo(np.float32).eps
        else:
            assert ulps(expected, found).max() <= ULPS, method
    assert any(output["method"] == "decision_function" for output in model.core.outputs)


def _ancestors(model: Model, value: int) -> list[dict[str, Any]]:
    nodes = model.core.nodes
    wanted = {value}
    for node in range(value, -1, -1):
        if node in wanted:
            wanted.update(nodes[node]["inputs"])
    return [nodes[node] for node in sorted(wanted)]


def compiled(fitted: Any, sample: Any) -> Model:
    return Model(compile_core(fitted, sample))


# -- parity -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_equals_the_library(name: str) -> None:
    fitted = CASES[name]()
    X = edge_rows(fitted)
    assert_same(compiled(fitted, X), fitted, X)


@pytest.mark.parametrize(
    "name", ["regressor / dart", "classifier / three classes", "regressor / mixed categories", "regressor / linear"]
)
def test_same_bytes_for_every_batch_size(name: str) -> None:
    fitted = CASES[name]()
    X = edge_rows(fitted)
    model = compiled(fitted, X)
    for method in model.methods:
        whole = model.call(method, X)
        for size in (1, 2, 3, 64, 129):
            pieces = [
                model.call(method, X.iloc[start : start + size] if hasattr(X, "iloc") else X[start : start + size])
                for start in range(0, ROWS, size)
            ]
            assert np.concatenate(pieces).tobytes() == whole.tobytes(), (method, size)


def test_float32_and_integer_columns_are_cast_as_the_library_does() -> None:
    rng = np.random.default_rng(0)
    big = rng.integers(2**53, 2**62, ROWS)
    frame = pd.DataFrame({"big": big, "small": rng.integers(-100, 100, ROWS).astype(np.int8)})
    frame["narrow"] = rng.normal(size=ROWS).astype(np.float32)
    frame["flag"] = rng.random(ROWS) < 0.5
    y = big / 2**62 + frame["narrow"]
    fitted = xgb.XGBRegressor(n_estimators=5, n_jobs=1).fit(frame, y)
    assert_same(compiled(fitted, frame), fitted, frame)
    for array in (big[:, None], frame["narrow"].to_numpy()[:, None]):
        fitted = xgb.XGBRegressor(n_estimators=5, n_jobs=1).fit(array, y)
        assert_same(compiled(fitted, array), fitted, array)


def test_integers_that_numpy_made_float64_round_twice() -> None:
    rng = np.random.default_rng(0)
    # halfway between two float32 after rounding to float64, not before
    big = (rng.integers(2**23, 2**24, ROWS) << 37) + (1 << 36) + rng.integers(-3, 4, ROWS)
    fraction = rng.normal(size=ROWS)
    X = np.column_stack([big, fraction])
    assert (big.astype(np.float32) != big.astype(np.float64).astype(np.float32)).any()
    fitted = xgb.XGBRegressor(booster="gblinear", n_estimators=3, n_jobs=1).fit(X / 2.0**60, fraction)
    model = compile_frame(fitted, ["int64", "float64"])
    table = {"x0": big, "x1": fraction}
    assert model.decision_function(table).tobytes() == fitted.predict(X, output_margin=True).tobytes()


def test_the_label_cut_is_the_librarys_to_the_last_bit() -> None:
    # a learning rate of 0 leaves the margin to base_margin alone
    X = np.zeros((2, 1))
    fitted = xgb.XGBClassifier(n_estimators=1, learning_rate=0.0, n_jobs=1).fit(X, [0, 1])
    cut = label_cut(lambda margins: Probe(fitted.get_booster(), read_booster(fitted.get_booster())).link(margins) > 0.5)
    margins = np.full(4001, cut, dtype=np.float32)
    bits = margins.view(np.int32)
    bits += np.arange(-2000, 2001, dtype=np.int32)
    labels = fitted.predict(np.zeros((len(margins), 1)), base_margin=margins)
    assert labels.tolist() == (margins >= cut).astype(int).tolist()
    assert 0 < cut < 1e-6


def test_a_transform_without_a_cut_is_refused() -> None:
    with pytest.raises(NoCut, match="does not cross"):
        label_cut(lambda margins: np.ones(len(margins), dtype=bool))
    with pytest.raises(NoCut, match="not monotone"):
        label_cut(lambda margins: (margins > 1.0) ^ (margins == np.nextafter(np.float32(1.0), np.float32(0.0))))


def test_dart_of_estimator_and_booster_differ_as_in_the_library() -> None:
    fitted = examples.REGRESSORS["dart base score"]()
    X = edge_rows(fitted)
    X[np.abs(X) > 1e38] = 0.0
    booster = fitted.get_booster()
    one, other = compiled(fitted, X).decision_function(X), compiled(booster, X).decision_function(X)
    assert one.tobytes() == fitted.predict(X, output_margin=True).tobytes()
    assert other.tobytes() == booster.predict(xgb.DMatrix(X), output_margin=True).tobytes()
    assert (one != other).any()


def test_early_stopping_holds_for_the_estimator_and_not_for_its_booster() -> None:
    fitted = examples.REGRESSORS["early stopping"]()
    X = examples.numbers(seed=5)
    one, other = compiled(fitted, X).predict(X), compiled(fitted.get_booster(), X).predict(X)
    assert one.tobytes() == fitted.predict(X).tobytes()
    assert other.tobytes() == fitted.get_booster().predict(xgb.DMatrix(X)).tobytes()
    assert (one != other).any()


@pytest.mark.parametrize("classes", [3, 12, 130])
def test_probabilities_of_multi_softmax_are_scipys(classes: int) -> None:
    """The estimator hands float32 margins to scipy.special.softmax, whose float32 exp is NumPy's."""
    from scipy.special import softmax

    margins = np.random.default_rng(0).normal(scale=4.0, size=(20_000, classes)).astype(np.float32)
    found = margin_model("sk_softmax", classes).predict_proba(margins)
    assert ulps(softmax(margins, axis=1), np.asarray(found)).max() <= ULPS


def margin_model(link: str, classes: int) -> Model:
    """A model whose columns are the margins, to hand it some that no tree gives."""
    ctx = Context()
    columns = [ctx.raw_value(ctx.add_column(f"x{index}", "float32"), "f32") for index in range(classes)]
    value = ctx.node("link", [ctx.node("concat", columns)], attrs={"fn": link})
    labels = ctx.node("argmax", [value])
    ctx.builder.add_output("predict_proba", -1, value.id, "float32", False, [], None)
    ctx.builder.add_output("predict", -1, labels.id, "int64", True, [], None)
    return Model(ctx.builder.finish())


@pytest.mark.parametrize("classes", [3, 5, 10])
def test_labels_of_margins_a_few_ulp_apart_do_not_flip(classes: int) -> None:
    """Softmax rounds neighbours to a tie, and the first of a tie wins: an argmax of the margins would differ."""
    rng = np.random.default_rng(0)
    rows = np.arange(50_000)
    margins = rng.normal(size=(len(rows), classes)).astype(np.float32)
    top = rng.normal(2.0, 1.5, len(rows)).astype(np.float32)
    near = (top.view(np.int32) + rng.integers(-6, 7, len(rows)).astype(np.int32)).view(np.float32)
    first = rng.integers(0, classes, len(rows))
    margins[rows, first] = top
    margins[rows, (first + rng.integers(1, classes, len(rows))) % classes] = near
    # a learning rate of 0 leaves the margin to base_margin alone
    fitted = xgb.XGBClassifier(n_estimators=1, learning_rate=0.0, n_jobs=1)
    fitted.fit(np.zeros((60, 1)), np.arange(60) % classes)
    expected = fitted.predict(np.zeros((len(rows), 1)), base_margin=margins)
    assert (margin_model("xgb_softmax", classes).predict(margins) == expected).all()
    assert (margins.argmax(axis=1) != expected).any()


# -- infinities, sparse input, custom missing -------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e39])
def test_infinities_are_refused_where_the_library_refuses_them(value: float) -> None:
    X = examples.numbers()
    X[3, 2] = value
    for fitted in (examples.booster(), examples.REGRESSORS["linear"]()):
        model = compiled(fitted, examples.numbers())
        entry = entry_for(fitted)
        assert entry is not None
        assert entry.reference is not None
        with pytest.raises(xgb.core.XGBoostError, match="inf"):
            entry.reference(fitted, "predict", X)
        with pytest.raises(InputError, match="inf"):
            model.predict(X)
    fitted = examples.regressor()
    assert_same(compiled(fitted, X), fitted, X)


def test_infinity_as_the_missing_value() -> None:
    X = np.nan_to_num(examples.numbers(), nan=np.inf)
    for booster in ("gbtree", "gblinear"):
        fitted = xgb.XGBRegressor(missing=np.inf, n_estimators=5, n_jobs=1, booster=booster)
        fitted.fit(X, np.arange(len(X)))
        assert_same(compiled(fitted, X), fitted, X)


def compile_frame(fitted: Any, dtypes: list[str], *, names: list[str] | None = None, **flags: bool) -> Model:
    load_all()
    ctx = Context()
    parts = [Part(column=ctx.add_column(f"x{index}", dtype)) for index, dtype in enumerate(dtypes)]
    entry = entry_for(fitted)
    assert entry is not None
    outputs = entry.compile(fitted, Frame(ctx, parts, names, **flags), ctx)
    for column in ctx.columns:
        ctx.declare(column)
    for method, output in outputs.items():
        ctx.builder.add_output(method, -1, output.value.id, output.dtype, output.vector, [], None)
    return Model(ctx.builder.finish())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("family", ["gbtree", "dart", "gblinear"])
def test_absent_entries_of_a_sparse_matrix_are_missing(family: str, dtype: str) -> None:
    import scipy.sparse

    X = np.where(np.random.default_rng(0).random((ROWS, 4)) < 0.6, 0.0, examples.numbers(columns=4)).astype(dtype)
    X[:5, 0] = [-0.0, 1e-300, 1e-40, np.nan, 1.0]
    sparse = scipy.sparse.csr_matrix(X)
    fitted = xgb.XGBRegressor(booster=family, n_estimators=6, n_jobs=1).fit(sparse, np.nan_to_num(X).sum(axis=1))
    model = compile_frame(fitted, [dtype] * 4, sparse=True)
    assert model.predict(X).tobytes() == fitted.predict(sparse).tobytes()
    # a zero adds nothing to a linear model, so only trees can tell
    assert (fitted.predict(X) != fitted.predict(sparse)).any() == (family != "gblinear")


def test_a_sparse_matrix_with_stored_zeros_is_refused() -> None:
    with pytest.raises(Refused, match="may store zeros"):
        compile_frame(examples.regressor(), ["float64"] * 5, sparse=True, explicit_zeros=True)


# -- categories -------------------------------------------------------------------------------------------------------


def test_unseen_categories_are_an_error() -> None:
    fitted = examples.categorical()
    frame = examples.category_frame(1, 20)
    model = compiled(fitted, frame)
    for column, value in (("city", "rome"), ("street", ""), ("zone", 11)):
        odd = frame.copy()
        odd[column] = odd[column].astype(object)
        odd.loc[3, column] = value
        with pytest.raises(InputError, match=r"categor|unknown|key"):
            model.predict(odd)


def test_plain_strings_and_reordered_dictionaries_give_the_same_bytes() -> None:
    pyarrow = pytest.importorskip("pyarrow")
    fitted = examples.categorical(max_cat_to_onehot=1)
    frame = examples.category_frame(2, 50)
    model = compiled(fitted, frame)
    expected = fitted.predict(frame).tobytes()
    plain = frame.assign(city=frame["city"].astype(object), street=frame["street"].astype(object))
    assert model.predict(frame).tobytes() == expected
    assert model.predict(plain).tobytes() == expected
    table = pyarrow.table(
        {
            "city": pyarrow.array(plain["city"].where(plain["city"].notna(), None).tolist()).dictionary_encode(),
            "size": plain["size"].to_numpy(),
            "street": pyarrow.array(plain["street"].where(plain["street"].notna(), None).tolist()),
            "zone": pyarrow.array([None if pd.isna(zone) else int(zone) for zone in plain["zone"]]),
        }
    )
    assert model.predict(table).tobytes() == expected


def test_a_category_model_on_an_array_takes_codes() -> None:
    fitted = examples.categorical()
    model = compile_frame(fitted, ["float64"] * 4)
    X = np.column_stack(
        [
            np.arange(60.0) % 4,
            np.linspace(-1, 1, 60),
            np.arange(60.0) % 45 - 1,
            np.where(np.arange(60) % 9 == 0, np.nan, np.arange(60) % 6),
        ]
    )
    assert model.predict(X).tobytes() == fitted.predict(X).tobytes()


def test_non_ascii_categories_are_refused() -> None:
    names = ["é", "b", "c"]
    frame = pd.DataFrame({"name": pd.Categorical.from_codes(np.arange(60) % 3, names), "x": np.arange(60.0)})
    fitted = xgb.XGBRegressor(enable_categorical=True, n_estimators=2, n_jobs=1).fit(frame, np.arange(60) % 3)
    with pytest.raises(UnsupportedError, match="outside ASCII"):
        compile_core(fitted, frame)


def test_a_missing_value_other_than_nan_is_refused_with_categories() -> None:
    fitted = examples.categorical(missing=-1.0)
    with pytest.raises(UnsupportedError, match=r"missing=-1\.0"):
        compile_core(fitted, examples.category_frame())


def test_strings_without_stored_categories_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="stores no categories"):
        compile_core(examples.regressor(), pd.DataFrame({f"x{index}": ["a", "b"] for index in range(5)}))


# -- refusals ---------------------------------------------------------------------------------------------------------


def refusal(fitted: Any, dtypes: list[str], names: list[str] | None = None) -> str:
    with pytest.raises(Refused) as caught:
        compile_frame(fitted, dtypes, names=names)
    return str(caught.value)


def test_refusals_name_the_reason() -> None:
    assert "not fitted" in refusal(xgb.XGBRegressor(), ["float64"])
    assert "expected 5 columns" in refusal(examples.regressor(), ["float64"] * 4)
    assert "timestamp" in refusal(examples.regressor(), ["timestamp[us]", *["float64"] * 4])
    assert "feature names" in refusal(examples.named_booster(), ["float64"] * 5, list("abcdf"))
    assert "may not be trained" in refusal(xgb.Booster(), ["float64"])
    assert "no trees" in refusal(examples.booster(rounds=0), ["float64"] * 5)
    mixed = examples.regressor()
    mixed.booster = "gblinear"
    assert "booster" in refusal(mixed, ["float64"] * 5)
    outside = examples.regressor()
    outside.get_booster().best_iteration = 99
    assert "best_iteration 99" in refusal(outside, ["float64"] * 5)


def test_untrained_objects_are_an_input_error() -> None:
    for untrained in (xgb.Booster(), xgb.XGBClassifier()):
        with pytest.raises(InputError, match=r"expected a (trained|fitted)"):
            compile_core(untrained)


def test_a_booster_on_another_device_is_refused() -> None:
    class Elsewhere(xgb.Booster):
        def save_config(self) -> str:
            return super().save_config().replace('"device":"cpu"', '"device":"cuda:0"')

    fitted = examples.regressor()
    fitted._Booster = Elsewhere(model_file=fitted.get_booster().save_raw("ubj"))
    assert "cuda:0" in refusal(fitted, ["float64"] * 5)


def test_an_unknown_objective_is_refused() -> None:
    ctx = Context()
    model = read_booster(examples.booster())
    margin = ctx.node("broadcast", [], constants={"value": np.zeros(1, np.float32)})
    with pytest.raises(Refused, match="reg:expectileerror"):
        _answer(margin, ctx, dataclasses.replace(model, objective={"name": "reg:expectileerror"}))


# -- the reader -------------------------------------------------------------------------------------------------------


def test_ubjson_floats_are_the_models_own_and_json_floats_round_to_them() -> None:
    import json

    booster = examples.booster(rounds=20, max_depth=8)
    binary = read_ubjson(bytes(booster.save_raw("ubj")))["learner"]["gradient_booster"]["model"]["trees"]
    text = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"]
    for one, other in zip(binary, text, strict=True):
        assert one["split_conditions"].dtype == np.float32
        assert one["split_conditions"].tobytes() == np.array(other["split_conditions"], dtype=np.float32).tobytes()
        assert one["split_indices"].tolist() == other["split_indices"]


def test_ubjson_of_every_cut_length_is_refused() -> None:
    data = bytes(examples.booster(rounds=1).save_raw("ubj"))
    for length in range(0, len(data) - 1, 37):
        with pytest.raises((Malformed, UnicodeDecodeError)):
            read_ubjson(data[:length])
    with pytest.raises(Malformed, match="unknown marker"):
        read_ubjson(b"?")


def test_the_base_margin_is_the_librarys() -> None:
    for score in (0.1, 0.5, 0.9999):
        fitted = examples.classifier(base_score=score)
        booster = fitted.get_booster()
        base = Probe(booster, read_booster(booster)).base()
        bias = booster.predict(xgb.DMatrix(examples.numbers()[:3]), pred_contribs=True)
        margin = booster.predict(xgb.DMatrix(examples.numbers()[:3]), output_margin=True)
        assert base.dtype == np.float32
        assert np.allclose(bias.sum(axis=1), margin, atol=1e-4)
        stump = examples.classifier(base_score=score, gamma=1e9, learning_rate=0.0, n_estimators=1)
        assert stump.predict(examples.numbers()[:1], output_margin=True).tobytes() == base.tobytes()
