"""The pipeline in Triton's Python backend: requests of one row, which wait together, become one data frame."""

import os
import sys

sys.path.insert(0, os.environ["PYTHONPATH"])  # the stub does not look at it by itself

import pipeline
import triton_python_backend_utils as pb_utils

GAP = -1e308  # the server's JSON has neither null nor NaN, and requests with other inputs are no batch


def _row(request):
    values = {tensor.name(): tensor.as_numpy().ravel()[0] for tensor in request.inputs()}
    for name, value in values.items():
        if isinstance(value, bytes):
            values[name] = value.decode()
        elif value == GAP:
            values[name] = None
    return values


class TritonPythonModel:
    """What the backend asks for."""

    def initialize(self, args):  # noqa: ARG002 - the shape that the backend asks for
        """Read the fitted pipeline."""
        self.fitted = pipeline.load()

    def execute(self, requests):
        """Answer the requests of a batch."""
        found = pipeline.probabilities(self.fitted, [_row(request) for request in requests])
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("predict_proba", found[i : i + 1])]) for i in range(len(found))
        ]
