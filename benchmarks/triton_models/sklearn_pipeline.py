"""The pipeline itself in Triton's Python backend: requests of a batch become one data frame and are split again."""

import os
import sys
from pathlib import Path

sys.path.insert(0, os.environ["PYTHONPATH"])  # the stub does not look at it by itself

import joblib
import numpy as np
import pandas as pd
import triton_python_backend_utils as pb_utils

TEXTS = ("merchant", "country", "channel")
NUMBERS = ("amount", "balance", "age_of_card", "velocity")


class TritonPythonModel:
    """What the backend asks for."""

    def initialize(self, args):
        """Read the fitted pipeline."""
        folder = Path(args["model_repository"]) / args["model_version"]
        self.pipeline = joblib.load(folder / "model.joblib")

    def execute(self, requests):
        """Answer the requests of a batch."""
        columns, sizes = {}, []
        for name in (*NUMBERS, *TEXTS):
            parts = [pb_utils.get_input_tensor_by_name(request, name).as_numpy().ravel() for request in requests]
            sizes = [len(part) for part in parts]
            column = np.concatenate(parts)
            columns[name] = [value.decode() for value in column] if name in TEXTS else column
        frame = pd.DataFrame(columns)
        for name in TEXTS:
            frame[name] = frame[name].astype(object)
        answer = self.pipeline.predict_proba(frame)
        out, start = [], 0
        for size in sizes:
            part = np.ascontiguousarray(answer[start : start + size])
            out.append(pb_utils.InferenceResponse([pb_utils.Tensor("predict_proba", part)]))
            start += size
        return out
