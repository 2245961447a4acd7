"""What is timed: fitted pipelines, their input, and the engines that can run them. All on one thread."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import mlcore
import numpy as np
from mlcore.datasets import transactions

ROWS = 100_000
TRAIN = 20_000
TREES = 300


@dataclass(frozen=True)
class Engine:
    """One way to get probabilities for a table.

    Attributes
    ----------
    predict : callable
        ``predict(rows)`` gives probabilities of the positive class for the first ``rows`` rows.
    load : callable
        Reads the saved model from disk anew.
    save_seconds : float
        Time to convert the fitted pipeline and write it (for the original: to pickle it).
    size : int
        Bytes on disk.
    artifact : bytes
        The converted model, where others run it too.
    """

    predict: Callable[[int], np.ndarray]
    load: Callable[[], Any]
    save_seconds: float
    size: int
    artifact: bytes = b""


def _numbers(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 50)).astype(np.float32)
    X[rng.random(X.shape) < 0.03] = np.nan
    y = (np.nansum(X[:, :8], axis=1) + rng.normal(size=rows) > 0).astype(np.int64)
    return X, y


def _features() -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    return ColumnTransformer(
        [
            ("numbers", numbers, ["amount", "balance", "age_of_card", "velocity"]),
            ("names", OneHotEncoder(handle_unknown="ignore"), ["merchant", "country", "channel"]),
        ],
        sparse_threshold=0.0,
    )


def _model(kind: str) -> Any:
    if kind == "xgboost":
        from xgboost import XGBClassifier

        return XGBClassifier(n_estimators=TREES, max_depth=6, max_bin=250, n_jobs=1)
    if kind == "lightgbm":
        from lightgbm import LGBMClassifier

        return LGBMClassifier(n_estimators=TREES, n_jobs=1, verbose=-1)
    if kind == "forest":
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(n_estimators=100, max_depth=10, n_jobs=1, random_state=0)
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=1_000)


CASES = (
    "numbers-xgboost",
    "numbers-lightgbm",
    "numbers-forest",
    "table-xgboost",
    "table-lightgbm",
    "table-forest",
    "table-logistic",
)
ENGINES = ("original", "mlcore", "onnxruntime", "treelite")


@cache
def fitted(case: str) -> tuple[Any, Any]:
    """The fitted estimator of a case and the table to predict."""
    kind, _, model = case.partition("-")
    if kind == "numbers":
        X, y = _numbers(ROWS, 0)
        return _model(model).fit(X[:TRAIN], y[:TRAIN]), X
    from sklearn.pipeline import make_pipeline

    X, y = transactions(TRAIN, seed=0)
    return make_pipeline(_features(), _model(model)).fit(_columns(X), y), _columns(transactions(ROWS, seed=1)[0])


def _columns(table: Any) -> Any:
    """Numbers with nulls, and strings without: ONNX's string tensors have no null."""
    numbers, names = ["amount", "balance", "age_of_card", "velocity"], ["merchant", "country", "channel"]
    return table[numbers].join(table[names].fillna("none").astype(object))


@cache
def engine(name: str, case: str) -> Engine:
    """An engine ready to predict; raises `NotImplementedError` where it cannot run the case."""
    return {"original": _original, "mlcore": _mlcore, "onnxruntime": _onnxruntime, "treelite": _treelite}[name](case)


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    import time

    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


def _head(table: Any, rows: int) -> Any:
    return table.iloc[:rows] if hasattr(table, "iloc") else table[:rows]


def _original(case: str) -> Engine:
    import joblib

    estimator, table = fitted(case)
    path = Path(mkdtemp()) / "model.joblib"
    _, seconds = _timed(lambda: joblib.dump(estimator, path))
    return Engine(
        lambda rows: estimator.predict_proba(_head(table, rows))[:, 1],
        lambda: joblib.load(path),
        seconds,
        path.stat().st_size,
    )


def _mlcore(case: str) -> Engine:
    estimator, table = fitted(case)
    path = Path(mkdtemp()) / "model.mlc"

    def convert() -> None:
        mlcore.compile(estimator, _head(table, 1_000)).save(path)

    _, seconds = _timed(convert)
    model = mlcore.load(path)
    model.threads = 1
    if hasattr(table, "iloc"):  # Arrow, the format that mlcore is fed in production
        import pyarrow

        table = pyarrow.Table.from_pandas(table, preserve_index=False).combine_chunks()
    return Engine(
        lambda rows: model.predict_proba(table.slice(0, rows) if hasattr(table, "slice") else table[:rows])[:, 1],
        lambda: mlcore.load(path),
        seconds,
        path.stat().st_size,
    )


def _onnxruntime(case: str) -> Engine:
    import onnxruntime
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
    from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
    from skl2onnx import convert_sklearn, update_registered_converter
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes

    estimator, table = fitted(case)
    if case.endswith("xgboost"):
        from xgboost import XGBClassifier as Wrapped
    elif case.endswith("lightgbm"):
        from lightgbm import LGBMClassifier as Wrapped
    else:
        Wrapped = None
    if Wrapped is not None:
        update_registered_converter(
            Wrapped,
            f"Bench{Wrapped.__name__}",
            calculate_linear_classifier_output_shapes,
            convert_xgboost if case.endswith("xgboost") else convert_lightgbm,
            options={"nocl": [True, False], "zipmap": [True, False, "columns"]},
        )
    if hasattr(table, "columns"):
        kinds = {"O": StringTensorType, "U": StringTensorType, "f": FloatTensorType, "i": Int64TensorType}
        inputs = [(name, kinds.get(table[name].dtype.kind, StringTensorType)([None, 1])) for name in table.columns]
        feeds = {
            name: table[name].to_numpy(dtype=object if kind.__class__ is StringTensorType else None).reshape(-1, 1)
            for name, kind in inputs
        }
        for name, kind in inputs:
            if isinstance(kind, FloatTensorType):
                feeds[name] = feeds[name].astype(np.float32)
    else:
        inputs, feeds = [("X", FloatTensorType([None, table.shape[1]]))], {"X": table}
    try:
        proto, seconds = _timed(
            lambda: convert_sklearn(
                estimator,
                initial_types=inputs,
                options={id(estimator): {"zipmap": False}},
                target_opset={"": 17, "ai.onnx.ml": 3},
            )
        )
        data = proto.SerializeToString()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1

        def load() -> Any:
            return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])

        session = load()
        names = [output.name for output in session.get_outputs()]
        session.run(names, {name: values[:1] for name, values in feeds.items()})
    except Exception as error:  # a converter that refuses the pipeline, in whatever way
        raise NotImplementedError(f"{type(error).__name__}: {str(error)[:120]}") from error
    return Engine(
        lambda rows: session.run(names, {name: values[:rows] for name, values in feeds.items()})[1][:, 1],
        load,
        seconds,
        len(data),
        data,
    )


def _treelite(case: str) -> Engine:
    import treelite

    estimator, table = fitted(case)
    if not case.startswith("numbers"):
        raise NotImplementedError("takes the model only, not the pipeline before it")
    convert = {
        "xgboost": lambda: treelite.frontend.from_xgboost(estimator.get_booster()),
        "lightgbm": lambda: treelite.frontend.from_lightgbm(estimator.booster_),
        "forest": lambda: treelite.sklearn.import_model(estimator),
    }
    model, seconds = _timed(convert[case.partition("-")[2]])
    data = bytes(model.serialize_bytes())
    out = io.BytesIO(data)
    return Engine(
        lambda rows: treelite.gtil.predict(model, table[:rows], nthread=1).reshape(rows, -1)[:, -1],
        lambda: treelite.Model.deserialize_bytes(out.getvalue()),
        seconds,
        len(data),
    )
