"""Tables as tensors, and answers as bytes: what the tests send to the Triton server and hold it to."""

from __future__ import annotations

from typing import Any

import mlcore
import numpy as np
import pandas as pd
from cases import table
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler
from triton_server import grpcclient

__all__ = ["FRAME", "answers", "assert_same", "inputs_of", "make_model", "output_names", "tensors"]

FRAME = table(300)[["amount", "rate", "count", "level", "flag", "city", "job"]]

Sent = dict[str, tuple[str, np.ndarray]]
_NUMPY = {"BOOL": np.bool_, "FP16": np.float16, "FP32": np.float32, "FP64": np.float64}


def _numpy(type: str) -> Any:
    return _NUMPY.get(type) or np.dtype(type.lower())


def _column(series: pd.Series, type: str, logical: str) -> tuple[np.ndarray, np.ndarray]:
    """A column's values and which of them are there."""
    there = series.notna().to_numpy()
    if type == "BYTES":
        return np.array([str(value) if ok else "" for value, ok in zip(series, there, strict=True)], object), there
    if logical.startswith("timestamp"):
        unit = logical.removeprefix("timestamp[").split("]")[0].split(",")[0]
        values = series.dt.tz_localize(None) if series.dt.tz is not None else series
        return values.astype(f"datetime64[{unit}]").to_numpy().view(np.int64), np.ones(len(series), bool)
    if series.dtype.kind == "f":
        return series.to_numpy().astype(_numpy(type)), np.ones(len(series), bool)
    filled = series if there.all() else series.where(there, 0)
    return filled.to_numpy().astype(_numpy(type)), there


def make_model() -> mlcore.Model:
    """A classifier of three labels, of FRAME's columns."""
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    features = ColumnTransformer(
        [("n", StandardScaler(), ["amount", "rate", "count", "level"]), ("c", encoder, ["city", "job", "flag"])]
    )
    pipeline = make_pipeline(features, HistGradientBoostingClassifier(max_iter=4))
    label = np.array(["no", "yes", "später"])[np.arange(len(FRAME)) % 3]
    return mlcore.compile(pipeline.fit(FRAME, label), FRAME)


def tensors(model: mlcore.Model, frame: Any, *, lists: bool = False) -> dict[str, tuple[str, np.ndarray]]:
    """Type and array by input name; a mask only for columns where something is missing that NaN cannot say."""
    found: dict[str, tuple[str, np.ndarray]] = {}
    for one in model.core.tensors["inputs"]:
        if one["matrix"]:
            matrix = frame.to_numpy() if isinstance(frame, pd.DataFrame) else np.asarray(frame)
            found[one["name"]] = (one["type"], np.ascontiguousarray(matrix, dtype=_numpy(one["type"])))
            continue
        logical = next(c["type"] for c in model.schema if c["name"] == one["name"])
        values, there = _column(frame[one["name"]], one["type"], logical)
        shape = (len(values),) if lists else (len(values), 1)
        found[one["name"]] = (one["type"], values.reshape(shape))
        if not there.all():
            found[one["valid"]] = ("BOOL", there.reshape(shape))
    return found


def inputs_of(client: Any, sent: dict[str, tuple[str, np.ndarray]], **options: Any) -> list[Any]:
    """The client library's inputs."""
    out = []
    for name, (type, values) in sent.items():
        one = client.InferInput(name, list(values.shape), type)
        one.set_data_from_numpy(values, **options)
        out.append(one)
    return out


def output_names(model: mlcore.Model) -> list[str]:
    return [output["name"] for output in model.core.tensors["outputs"]]


def answers(model: mlcore.Model, table: Any) -> dict[str, np.ndarray]:
    """What the model answers in this process, by the name of the output."""
    found: dict[str, np.ndarray] = {}
    specs, tensors = model.core.outputs, model.core.tensors["outputs"]
    for method in model.methods:
        result = model.call(method, table)
        names = [t["name"] for s, t in zip(specs, tensors, strict=True) if s["method"] == method]
        for name, array in zip(names, result if isinstance(result, list) else [result], strict=True):
            found[name] = np.asarray(array)
    return found


def assert_same(name: str, found: np.ndarray, expected: np.ndarray) -> None:
    """The same values, bit by bit; text by its characters."""
    if expected.dtype.kind in "OU" and found.dtype.kind == "O":
        assert [value.decode() for value in found.ravel()] == [str(value) for value in expected.ravel()], name
        return
    if expected.dtype.kind == "O":
        expected = expected.astype(found.dtype)
    assert found.dtype == expected.dtype, (name, found.dtype, expected.dtype)
    assert found.size == expected.size, (name, found.shape, expected.shape)
    assert found.shape[0] == expected.shape[0], name
    assert np.ascontiguousarray(found).tobytes() == np.ascontiguousarray(expected).tobytes(), name


def assert_answers(model: mlcore.Model, table: Any, result: Any) -> None:
    """Every output of an answer is what the model gives in this process."""
    for name, expected in answers(model, table).items():
        assert_same(name, result.as_numpy(name), expected)


def infer_grpc(
    server: Any, name: str, sent: dict[str, tuple[str, np.ndarray]], outputs: list[str] | None = None
) -> Any:
    wanted = None if outputs is None else [grpcclient.InferRequestedOutput(one) for one in outputs]
    return server.grpc.infer(name, inputs_of(grpcclient, sent), outputs=wanted)
