"""ONNX Runtime on what the public converters make of the model or pipeline."""

from __future__ import annotations

from typing import Any

import numpy as np
from worker import Ready, Refused, Work, median_seconds, timed


def prepare(work: Work) -> Ready:
    """Convert; the feeds are made before anything is timed."""
    import onnxruntime

    feeds, convert = _pipeline(work) if work.library == "pipeline" else _model(work)
    proto, seconds = timed(convert)
    data = proto.SerializeToString()

    def load(threads: int) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])

    session, single = load(work.threads), load(1)
    output = [session.get_outputs()[-1].name]
    column = (lambda found: found[:, 1]) if work.library == "pipeline" else (lambda found: found)
    rows = [{name: values[i : i + 1] for name, values in feeds.items()} for i in range(1_000)]
    return Ready(
        lambda: column(session.run(output, feeds)[0]),
        lambda i: single.run(output, rows[i]),
        len(rows),
        {"build_seconds": seconds, "load_seconds": median_seconds(lambda: load(work.threads), 3)},
    )


def _model(work: Work) -> tuple[dict[str, np.ndarray], Any]:
    from onnxmltools import convert_lightgbm, convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    X = work.matrix()
    types = [("X", FloatTensorType([None, X.shape[1]]))]
    if work.library == "xgboost":
        import xgboost

        model = xgboost.XGBRegressor()
        model.load_model(work.path("model.ubj"))
        return {"X": X}, lambda: convert_xgboost(model, initial_types=types, target_opset=15)
    if work.library == "lightgbm":
        import lightgbm

        booster = lightgbm.Booster(model_file=work.path("model.txt"))
        return {"X": X}, lambda: convert_lightgbm(booster, initial_types=types, target_opset=15)
    import joblib
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType as SklearnFloat

    types = [("X", SklearnFloat([None, X.shape[1]]))]
    forest = joblib.load(work.path("model.joblib"))
    return {"X": X}, lambda: convert_sklearn(forest, initial_types=types, target_opset={"": 17, "ai.onnx.ml": 3})


def _pipeline(work: Work) -> tuple[dict[str, np.ndarray], Any]:
    """Numbers are float32, as ONNX's tree operator takes them; its strings have no null: one is the empty string."""
    import joblib
    import pyarrow.feather
    from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
    from skl2onnx import convert_sklearn, update_registered_converter
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes
    from xgboost import XGBClassifier

    pipeline = joblib.load(work.path("model.joblib"))
    table = pyarrow.feather.read_table(work.path("table.arrow")).to_pandas()
    update_registered_converter(
        XGBClassifier, "BenchXGBClassifier", calculate_linear_classifier_output_shapes, convert_xgboost,
        options={"nocl": [True, False], "zipmap": [True, False, "columns"]},
    )  # fmt: skip
    feeds, types = {}, []
    for name in table.columns:
        numeric = table[name].dtype.kind == "f"
        values = table[name].to_numpy(np.float32) if numeric else table[name].fillna("").to_numpy(object)
        feeds[name] = values.reshape(-1, 1)
        types.append((name, (FloatTensorType if numeric else StringTensorType)([None, 1])))
    return feeds, lambda: _convert_pipeline(convert_sklearn, pipeline, types)


def _convert_pipeline(convert: Any, pipeline: Any, types: list[Any]) -> Any:
    options = {id(pipeline): {"zipmap": False}}
    try:
        return convert(pipeline, initial_types=types, options=options, target_opset={"": 17, "ai.onnx.ml": 3})
    except Exception as error:  # a converter that refuses a step, in whatever way
        raise Refused(f"skl2onnx: {type(error).__name__}: {error}".splitlines()[0][:160]) from error
