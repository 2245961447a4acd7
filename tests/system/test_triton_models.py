"""The life of models in the real Triton server: configurations, versions, reloading, refusals, nulls."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlcore
import numpy as np
import pandas as pd
import pytest
from cases import scale
from mlcore.export import write_repository
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeRegressor
from triton_server import Server, grpcclient
from triton_tables import assert_answers, assert_same, infer_grpc, inputs_of, tensors

RNG = np.random.default_rng(3)
FRAME = pd.DataFrame(
    {
        "amount": np.where(RNG.random(200) < 0.2, np.nan, RNG.normal(size=200)),
        "visits": RNG.integers(0, 9, 200),
        "city": pd.Series(RNG.choice(["Oslo", "Bern", ""], 200), dtype=object),
        "when": np.datetime64("2026-01-01", "us") + RNG.integers(0, 10**12, 200).astype("timedelta64[us]"),
    }
)
LABEL = np.array(["no", "yes"])[(FRAME["visits"] > 4).astype(int)]


@pytest.fixture(scope="module")
def model() -> mlcore.Model:
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)
    features = ColumnTransformer(
        [("n", StandardScaler(), ["amount", "visits"]), ("t", MinMaxScaler(), ["when"]), ("c", encoder, ["city"])],
        sparse_threshold=0.0,
    )
    frame = FRAME.copy()
    frame.loc[3, "city"] = None
    pipeline = make_pipeline(features, HistGradientBoostingClassifier(max_iter=4))
    return mlcore.compile(pipeline.fit(frame, LABEL), frame)


def config(*, inputs: dict[str, str] | None = None, outputs: str | None = None, more: str = "", size: int = 64) -> str:
    """A configuration for `model` in which something is changed."""
    types = {"amount": "TYPE_FP64", "visits": "TYPE_INT64", "city": "TYPE_STRING", "when": "TYPE_INT64"}
    stated = types | (inputs or {})
    lines = [
        f'  {{ name: "{name}" {"data_type: " + kind + " dims: [ 1 ]" if ":" not in kind else kind} }}'
        for name, kind in stated.items()
        if kind
    ]
    output = outputs if outputs is not None else '{ name: "predict_proba" data_type: TYPE_FP64 dims: [ 2 ] }'
    return (
        f'backend: "mlcore"\nmax_batch_size: {size}\ninput [\n'
        + ",\n".join(lines)
        + f"\n]\noutput [ {output} ]\n{more}"
    )


def parameter(key: str, value: str) -> str:
    return f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}\n'


@pytest.fixture
def served(triton: Server, model: mlcore.Model) -> Iterator[Server]:
    """The server with `model` loaded as `good`; after the test it still answers."""
    triton.add("good", model.to_bytes())
    triton.load("good")
    yield triton
    assert triton.is_live()
    assert_answers(model, FRAME, infer_grpc(triton, "good", tensors(model, FRAME)))


# -- configurations ---------------------------------------------------------------------------------------------


def test_a_configuration_is_optional(triton: Server, model: mlcore.Model) -> None:
    """Without config.pbtxt the server finds the backend by the folder's name."""
    folder = triton.repository / "bare.mlcore" / "1"
    folder.mkdir(parents=True)
    (folder / "model.mlcore").write_bytes(model.to_bytes())
    triton.load("bare.mlcore")
    assert_answers(model, FRAME, infer_grpc(triton, "bare.mlcore", tensors(model, FRAME)))


def test_a_bare_array_is_one_matrix(triton: Server) -> None:
    X = RNG.normal(size=(300, 12)).astype(np.float32)
    tree = mlcore.compile(DecisionTreeRegressor(max_depth=5).fit(X, X[:, 0]), X)
    triton.add("matrix", tree.to_bytes())
    triton.load("matrix")
    (shown, mask) = triton.http.get_model_metadata("matrix")["inputs"]
    assert (shown["name"], shown["shape"]) == ("X", [-1, 12])
    assert (mask["name"], mask["shape"]) == ("X__valid", [-1, 12])
    sent = tensors(tree, X)
    assert_answers(tree, X, infer_grpc(triton, "matrix", sent))
    there = RNG.random(X.shape) < 0.8
    gaps = np.where(there, X, np.float32(np.nan))
    assert_answers(tree, gaps, infer_grpc(triton, "matrix", sent | {"X__valid": ("BOOL", there)}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (config(inputs={"amount": "TYPE_STRING"}), ["input 'amount'", "TYPE_FP64", "float64", "TYPE_STRING"]),
        (config(inputs={"city": "TYPE_FP32"}), ["input 'city'", "TYPE_STRING", "string", "TYPE_FP32"]),
        (config(inputs={"visits": "TYPE_FP64"}), ["input 'visits'", "TYPE_INT64", "TYPE_FP64"]),
        (config(inputs={"when": "TYPE_INT32"}), ["input 'when'", "TYPE_INT64", "timestamp[us]", "TYPE_INT32"]),
        (config(inputs={"amuont": "TYPE_FP64"}), ["input 'amuont'", "a column of the model", "no such column"]),
        (config(inputs={"amount": ""}), ["column 'amount'", "an input", "none"]),
        (
            config(inputs={"amount": "data_type: TYPE_FP64 dims: [ 2 ]"}),
            ["input 'amount'", "dims [ 1 ]", "[ 2 ]"],
        ),
        (
            config(inputs={"amount": "data_type: TYPE_FP64 dims: [ 1, 1 ]"}),
            ["input 'amount'", "dims [ 1 ]", "[ 1, 1 ]"],
        ),
        (
            config(inputs={"amount": "data_type: TYPE_FP64 dims: [ 1 ] reshape: { shape: [ ] }"}),
            ["input 'amount'", "no reshape"],
        ),
        (
            config(inputs={"amount": "data_type: TYPE_FP64 dims: [ 1 ] optional: true"}),
            ["input 'amount'", "every request", "optional"],
        ),
        (config(inputs={"amount__valid": "TYPE_FP32"}), ["input 'amount__valid'", "TYPE_BOOL", "TYPE_FP32"]),
        (
            config(outputs='{ name: "predict_proba" data_type: TYPE_FP32 dims: [ 2 ] }'),
            ["output 'predict_proba'", "TYPE_FP64", "TYPE_FP32"],
        ),
        (
            config(outputs='{ name: "predict_proba" data_type: TYPE_FP64 dims: [ 3 ] }'),
            ["output 'predict_proba'", "dims [ 2 ]", "[ 3 ]"],
        ),
        (
            config(outputs='{ name: "score" data_type: TYPE_FP64 dims: [ 1 ] }'),
            ["output 'score'", "'predict'", "'margin'", "no such output"],
        ),
        (config(more=parameter("threads", "many")), ["'threads'", "1 to 1024", "'many'"]),
        (config(more=parameter("threads", "0")), ["'threads'", "1 to 1024", "'0'"]),
        (config(more=parameter("null_policy", "zero")), ["'null_policy'", "'empty_string'", "'zero'"]),
        (config(more=parameter("outputs", "predict, score")), ["'outputs'", "'predict_proba'", "'score'"]),
        (config(more="instance_group [ { kind: KIND_GPU count: 1 } ]\n"), ["GPU"]),
        ('backend: "mlcore"\ndefault_model_filename: "../model.mlc"\n', ["default_model_filename"]),
        ('backend: "mlcore"\ndefault_model_filename: "other.mlc"\n', ["other.mlc", "No such file"]),
    ],
)
def test_a_contradiction_is_refused_with_both_sides(
    served: Server, model: mlcore.Model, text: str, expected: list[str]
) -> None:
    served.add("wrong", model.to_bytes(), text)
    refusal = served.refusal("wrong")
    for part in expected:
        assert part in refusal, refusal
    served.remove("wrong")


def test_every_contradiction_is_named_at_once(served: Server, model: mlcore.Model) -> None:
    text = config(
        inputs={"amount": "TYPE_STRING", "city": "", "x": "TYPE_FP32"},
        outputs='{ name: "predict_proba" data_type: TYPE_BOOL dims: [ 2 ] }',
    )
    served.add("wrong", model.to_bytes(), text)
    refusal = served.refusal("wrong")
    assert "4 problems" in refusal
    for name in ("'amount'", "'city'", "'x'", "'predict_proba'"):
        assert name in refusal
    served.remove("wrong")


def test_a_wider_column_takes_a_narrower_tensor(triton: Server, model: mlcore.Model) -> None:
    """As everywhere: integers fit floats and narrow types wide ones, when no value changes."""
    triton.add("narrow", model.to_bytes(), config(inputs={"amount": "TYPE_INT64", "visits": "TYPE_UINT8"}))
    triton.load("narrow")
    frame = FRAME.assign(amount=np.arange(200.0))[:64]
    sent = tensors(model, frame)
    sent["amount"] = ("INT64", np.arange(64).reshape(-1, 1))
    sent["visits"] = ("UINT8", frame["visits"].to_numpy().astype(np.uint8).reshape(-1, 1))
    found = infer_grpc(triton, "narrow", sent).as_numpy("predict_proba")
    assert_same("predict_proba", found, model.predict_proba(frame))
    sent["amount"] = ("INT64", np.full((64, 1), 2**53 + 1))
    with pytest.raises(grpcclient.InferenceServerException, match=r"'amount', row 0: expected float64 .*cannot hold"):
        infer_grpc(triton, "narrow", sent)


# -- requests ---------------------------------------------------------------------------------------------------


def _changed(sent: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {name: value for name, value in (sent | changes).items() if value is not None}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: _changed(s, amount=None), "missing required input.*amount"),
        (lambda s: _changed(s, amount=("BYTES", np.full((200, 1), b"12", object))), "amount.*BYTES.*FP64"),
        (lambda s: _changed(s, city=("FP64", np.zeros((200, 1)))), "city.*FP64.*BYTES"),
        (lambda s: _changed(s, amount=("FP64", np.zeros(200))), "unexpected shape for input 'amount'"),
        (lambda s: _changed(s, amount=("FP64", np.zeros((200, 1, 1)))), "unexpected shape for input 'amount'"),
        (lambda s: _changed(s, amount=("FP64", np.zeros((200, 2)))), "unexpected shape for input 'amount'"),
        (lambda s: _changed(s, amount=("FP64", np.zeros((199, 1)))), "batch size does not match"),
        (lambda s: _changed(s, nothing=("FP64", np.zeros((200, 1)))), "nothing"),
        (
            lambda s: _changed(s, city=("BYTES", np.full((200, 1), b"\xff\xfe", object))),
            "column 'city', row 0: expected string but found bytes that are not UTF-8",
        ),
    ],
    ids=["missing", "text", "number", "flat", "deep", "wide", "short", "unknown", "not UTF-8"],
)
def test_a_bad_request_is_one_clear_error(served: Server, model: mlcore.Model, change: Any, expected: str) -> None:
    with pytest.raises(grpcclient.InferenceServerException, match=expected):
        infer_grpc(served, "good", change(tensors(model, FRAME)))


def test_an_unknown_output_is_refused(served: Server, model: mlcore.Model) -> None:
    with pytest.raises(grpcclient.InferenceServerException, match="score"):
        infer_grpc(served, "good", tensors(model, FRAME), ["score"])


def test_nulls_by_nan_by_nat_and_by_mask(triton: Server, model: mlcore.Model) -> None:
    triton.add("nulls", model.to_bytes())
    triton.load("nulls")
    frame = FRAME[:6].astype({"visits": "Int64"})
    frame.loc[0, "amount"], frame.loc[1, "visits"], frame.loc[2, "city"] = np.nan, pd.NA, None
    frame.loc[4, "city"] = ""
    sent = tensors(model, frame)
    assert set(sent) == {"amount", "visits", "city", "when", "visits__valid", "city__valid"}
    assert_answers(model, frame, infer_grpc(triton, "nulls", sent))
    # a mask for what NaN says too
    sent["amount__valid"] = ("BOOL", frame["amount"].notna().to_numpy().reshape(-1, 1))
    sent["amount"] = ("FP64", frame["amount"].fillna(7.0).to_numpy().reshape(-1, 1))
    assert_answers(model, frame, infer_grpc(triton, "nulls", sent))


@pytest.mark.parametrize("by", ["NaT", "mask"])
def test_a_missing_time_is_refused_as_in_process(triton: Server, model: mlcore.Model, by: str) -> None:
    """This model's step reads whole ticks: it cannot hold a missing one, however that is said."""
    triton.add("nulls", model.to_bytes())
    triton.load("nulls")
    frame = FRAME[:6].copy()
    sent = tensors(model, frame)
    if by == "mask":
        sent["when__valid"] = ("BOOL", (np.arange(6) != 3).reshape(-1, 1))
    frame.loc[3, "when"] = pd.NaT
    if by == "NaT":
        sent = tensors(model, frame)
    expected = r"column 'when', row 3: expected timestamp\[us\] but found a missing value"
    with pytest.raises(mlcore.InputError, match=expected):
        model.predict(frame)
    with pytest.raises(grpcclient.InferenceServerException, match=expected):
        infer_grpc(triton, "nulls", sent)


def test_an_empty_text_is_missing_only_where_the_policy_says_so(triton: Server, model: mlcore.Model) -> None:
    triton.add("empty", model.to_bytes(), 'backend: "mlcore"\n' + parameter("null_policy", "empty_string"))
    triton.load("empty")
    sent = tensors(model, FRAME)
    expected = FRAME.assign(city=FRAME["city"].where(FRAME["city"] != "", None))
    assert (model.transform(expected) != model.transform(FRAME)).any()
    assert_answers(model, expected, infer_grpc(triton, "empty", sent))


def test_nothing_is_missing_where_the_policy_refuses_it(triton: Server, model: mlcore.Model) -> None:
    triton.add("strict", model.to_bytes(), 'backend: "mlcore"\n' + parameter("null_policy", "refuse"))
    triton.load("strict")
    assert [one["name"] for one in triton.http.get_model_metadata("strict")["inputs"]] == list(FRAME)
    full = FRAME.assign(amount=FRAME["amount"].fillna(0.0))
    assert_answers(model, full, infer_grpc(triton, "strict", tensors(model, full)))
    for name, value in (("amount", np.nan), ("when", pd.NaT)):
        frame = full.copy()
        frame.loc[5, name] = value
        with pytest.raises(grpcclient.InferenceServerException, match=f"'{name}', row 5: expected a value"):
            infer_grpc(triton, "strict", tensors(model, frame))


def test_outputs_and_threads_of_the_configuration(triton: Server, model: mlcore.Model) -> None:
    text = 'backend: "mlcore"\n' + parameter("outputs", "predict, decision_function") + parameter("threads", "2")
    triton.add("chosen", model.to_bytes(), text)
    triton.load("chosen")
    assert [one["name"] for one in triton.http.get_model_metadata("chosen")["outputs"]] == ["predict", "margin"]
    result = infer_grpc(triton, "chosen", tensors(model, FRAME))
    assert_same("margin", result.as_numpy("margin"), model.decision_function(FRAME))
    assert_same("predict", result.as_numpy("predict"), model.predict(FRAME))


@pytest.mark.parametrize("batched", [False, True], ids=["one table", "ragged"])
def test_lists_of_any_length(triton: Server, model: mlcore.Model, batched: bool) -> None:
    """Inputs whose dims are [-1]: a request gives a list of rows, also an empty one, and gets lists back."""
    types = {"amount": "TYPE_FP64", "visits": "TYPE_INT64", "city": "TYPE_STRING", "when": "TYPE_INT64"}
    ragged = " allow_ragged_batch: true" if batched else ""
    lines = [f'{{ name: "{name}" data_type: {kind} dims: [ -1 ]{ragged} }}' for name, kind in types.items()]
    delay = "dynamic_batching { max_queue_delay_microseconds: 1000 }" if batched else ""
    text = f'backend: "mlcore"\nmax_batch_size: {8 if batched else 0}\ninput [ {", ".join(lines)} ]\n{delay}\n'
    triton.add("lists", model.to_bytes(), text)
    triton.load("lists")
    for rows in (5, 1, 200, 0):
        part = FRAME[:rows]
        sent = tensors(model, part, lists=True)
        if batched:
            sent = {name: (kind, values[np.newaxis]) for name, (kind, values) in sent.items()}
        result = infer_grpc(triton, "lists", sent)
        lead = (1, rows) if batched else (rows,)
        for name, shape in (("predict", lead), ("predict_proba", (*lead, 2)), ("margin", lead)):
            assert result.as_numpy(name).shape == shape
        found = result.as_numpy("predict_proba").reshape(rows, 2)
        assert_same("predict_proba", found, model.predict_proba(part))
    sent = tensors(model, FRAME, lists=True) | {"amount": ("FP64", np.zeros(3))}
    if not batched:  # else the server sees to it
        with pytest.raises(grpcclient.InferenceServerException, match=r"expected rows of shape \[\d+\].*found \[\d+\]"):
            infer_grpc(triton, "lists", sent)


def test_warm_up(triton: Server) -> None:
    X = RNG.normal(size=(50, 3))
    scaler = mlcore.compile(StandardScaler().fit(X), X)
    zeros = 'inputs { key: "X" value { data_type: TYPE_FP64 dims: [ 3 ] zero_data: true } }'
    warm = f'model_warmup [ {{ name: "zeros" batch_size: 4 {zeros} }} ]'
    triton.add("warm", scaler.to_bytes(), f'backend: "mlcore"\n{warm}\n')
    triton.load("warm")
    assert_answers(scaler, X, infer_grpc(triton, "warm", tensors(scaler, X)))


def test_cancellation(served: Server, model: mlcore.Model) -> None:
    """A request that is cancelled while it waits is answered as such, and the one beside it is answered."""
    delay = "dynamic_batching { max_queue_delay_microseconds: 500000 preferred_batch_size: [ 4096 ] }"
    served.add("slow", model.to_bytes(), f'backend: "mlcore"\nmax_batch_size: 4096\n{delay}\n')
    served.load("slow")
    found: dict[int, Any] = {}
    done = threading.Semaphore(0)

    def keep(key: int) -> Any:
        def call(result: Any, error: Any) -> None:
            found[key] = error or result
            done.release()

        return call

    inputs = inputs_of(grpcclient, tensors(model, FRAME))
    contexts = [served.grpc.async_infer("slow", inputs, keep(key)) for key in range(2)]
    time.sleep(0.1)
    contexts[0].cancel()
    assert done.acquire(timeout=20)
    assert done.acquire(timeout=20)
    assert "CANCELLED" in str(found[0])
    assert_answers(model, FRAME, found[1])


# -- files and lives --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "other", "newer", "folder", "gone"])
def test_a_damaged_artifact_is_refused(served: Server, model: mlcore.Model, damage: str) -> None:
    data = model.to_bytes()
    middle = len(data) // 2
    broken = {
        "flipped": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "cut": data[:middle],
        "empty": b"",
        "other": b"PK\x03\x04" + bytes(500),
        "newer": data.replace(b'"version":1', b'"version":9', 1),
    }
    served.add("broken", broken.get(damage, data))
    path = served.repository / "broken" / "1" / "model.mlc"
    if damage in ("folder", "gone"):
        path.unlink()
    if damage == "folder":
        path.mkdir()
    refusal = served.refusal("broken")
    assert "model.mlc" in refusal or "expected" in refusal, refusal
    served.remove("broken")


def test_a_bad_new_version_leaves_the_old_one_serving(triton: Server, model: mlcore.Model) -> None:
    triton.add("kept", model.to_bytes())
    triton.load("kept")
    triton.add("kept", model.to_bytes()[:-1])
    triton.refusal("kept")
    assert_answers(model, FRAME, infer_grpc(triton, "kept", tensors(model, FRAME)))


def test_versions_and_reload(triton: Server) -> None:
    models = [mlcore.compile(LinearRegression().fit([[0.0], [1.0]], [0.0, slope])) for slope in (1.0, 2.0, 3.0)]
    sent = {"X": ("FP64", np.array([[10.0]]))}
    text = 'backend: "mlcore"\nversion_policy { all { } }\n'
    for version in (1, 2):
        triton.add("versions", models[version - 1].to_bytes(), text, version)
    triton.load("versions")
    for version, expected in (("1", 10.0), ("2", 20.0), ("", 20.0)):
        result = triton.grpc.infer("versions", inputs_of(grpcclient, sent), model_version=version)
        assert result.as_numpy("predict").item() == pytest.approx(expected)
    triton.add("versions", models[2].to_bytes(), text, 2)
    triton.load("versions")
    result = triton.grpc.infer("versions", inputs_of(grpcclient, sent), model_version="2")
    assert result.as_numpy("predict").item() == pytest.approx(30.0)


def test_reload_and_unload_under_load(triton: Server, model: mlcore.Model) -> None:
    """Requests under way get their answer; later ones hear that the model is not there."""
    triton.add("busy", model.to_bytes(), 'backend: "mlcore"\ninstance_group [ { kind: KIND_CPU count: 3 } ]\n')
    triton.load("busy")
    stop = threading.Event()
    errors: list[str] = []
    counts = [0] * 3
    sent = tensors(model, FRAME)

    def ask(index: int) -> None:
        with grpcclient.InferenceServerClient(triton.grpc_address) as client:
            while not stop.is_set():
                try:
                    result = client.infer("busy", inputs_of(grpcclient, sent))
                except grpcclient.InferenceServerException as error:
                    errors.append(str(error))
                    continue
                if result.as_numpy("margin").tobytes() != model.decision_function(FRAME).tobytes():
                    errors.append("another answer")
                counts[index] += 1

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        triton.load("busy")
        time.sleep(0.05)
    reloaded = list(errors)
    triton.unload("busy")
    time.sleep(0.2)
    stop.set()
    for thread in threads:
        thread.join()
    assert reloaded == []
    assert min(counts) > 5
    assert all("NOT_FOUND" in error or "UNAVAILABLE" in error for error in errors), set(errors)


def test_unloading_gives_the_memory_back(triton: Server, model: mlcore.Model) -> None:
    """1,000 times loaded, asked and unloaded: resident memory grows by at most 5 MB.

    Asked every time: the server of this version may crash when a model goes before the thread of its instance has
    begun, also with a backend that does nothing.
    """
    triton.add("again", model.to_bytes())
    sent = tensors(model, FRAME)

    def cycle(times: int) -> None:
        for _ in range(times):
            triton.load("again")
            infer_grpc(triton, "again", sent)
            triton.unload("again")

    cycle(100)
    before = triton.memory()
    cycle(scale(1000))
    grown = triton.memory() - before
    print(f"1,000 load and unload cycles: {grown / 1e6:+.1f} MB")
    assert grown <= 5_000_000


# -- what mlcore export writes ----------------------------------------------------------------------------------


def test_an_exported_repository_loads_as_it_is(triton: Server, model: mlcore.Model, tmp_path: Path) -> None:
    write_repository(model, tmp_path, "exported")
    shutil.copytree(tmp_path / "exported", triton.repository / "exported")
    triton.load("exported")
    assert_answers(model, FRAME, infer_grpc(triton, "exported", tensors(model, FRAME)))
    # the names of the classes, by the server's classification extension
    wanted = grpcclient.InferRequestedOutput("predict_proba", class_count=1)
    result = triton.grpc.infer("exported", inputs_of(grpcclient, tensors(model, FRAME)), outputs=[wanted])
    labels = [one.decode().split(":")[2] for one in result.as_numpy("predict_proba").ravel()]
    assert labels == model.predict(FRAME).tolist()


def test_an_ensemble_is_the_whole_pipeline(triton: Server, tmp_path: Path) -> None:
    columns = ["amount", "visits", "city"]
    features = ColumnTransformer(
        [("n", StandardScaler(), ["amount", "visits"]), ("c", OneHotEncoder(sparse_output=False), ["city"])]
    )
    pipeline = make_pipeline(features, HistGradientBoostingClassifier(max_iter=4)).fit(FRAME[columns], LABEL)
    first = mlcore.compile(pipeline[0], FRAME[columns])
    second = mlcore.compile(pipeline[1], first.transform(FRAME[columns]))
    write_repository(first, tmp_path, "features", then=("trees", second))
    for folder in tmp_path.iterdir():
        shutil.copytree(folder, triton.repository / folder.name)
    for name in ("features", "trees", "features_ensemble"):
        triton.load(name)
    result = infer_grpc(triton, "features_ensemble", tensors(first, FRAME[columns]))
    whole = mlcore.compile(pipeline, FRAME[columns])
    for name, method in (("predict", "predict"), ("predict_proba", "predict_proba"), ("margin", "decision_function")):
        assert_same(name, result.as_numpy(name), np.asarray(whole.call(method, FRAME[columns])))
