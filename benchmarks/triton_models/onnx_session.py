"""The pipeline as ONNX, run by ONNX Runtime with one thread inside Triton's Python backend."""

import os
import sys
from pathlib import Path

sys.path.insert(0, os.environ["PYTHONPATH"])  # the stub does not look at it by itself

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """What the backend asks for."""

    def initialize(self, args):
        """Open a session."""
        folder = Path(args["model_repository"]) / args["model_version"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self.inputs = [(one.name, one.type) for one in self.session.get_inputs()]
        self.output = self.session.get_outputs()[1].name

    def execute(self, requests):
        """Answer the requests of a batch."""
        feeds, sizes = {}, []
        for name, kind in self.inputs:
            parts = [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for request in requests]
            sizes = [len(part) for part in parts]
            column = np.concatenate(parts)
            if kind == "tensor(string)":
                column = np.array([value.decode() for value in column.ravel()], dtype=object).reshape(-1, 1)
            elif kind == "tensor(float)":
                column = column.astype(np.float32)
            feeds[name] = column
        (answer,) = self.session.run([self.output], feeds)
        out, start = [], 0
        for size in sizes:
            part = np.ascontiguousarray(answer[start : start + size])
            out.append(pb_utils.InferenceResponse([pb_utils.Tensor("predict_proba", part)]))
            start += size
        return out
