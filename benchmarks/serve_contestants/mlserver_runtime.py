"""The pipeline as an MLServer runtime, twice: with the codecs that MLServer offers, and past them."""

import pipeline
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, PandasCodec
from mlserver.types import InferenceResponse, ResponseOutput


class Pipeline(MLModel):
    """Decode with the codec for data frames."""

    async def load(self):
        """Read the pipeline."""
        self.fitted = pipeline.load()
        return True

    async def predict(self, payload):
        """Answer a request."""
        found = self.fitted.predict_proba(self.decode_request(payload, default_codec=PandasCodec))
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("predict_proba", found)])


class Tuned(Pipeline):
    """Take the values of the one row as they are in the JSON."""

    async def predict(self, payload):
        """Answer a request."""
        (row,) = zip(*(one.data for one in payload.inputs), strict=True)
        rows = [dict(zip((one.name for one in payload.inputs), row, strict=True))]
        found = pipeline.probabilities(self.fitted, rows)
        output = ResponseOutput(name="predict_proba", shape=found.shape, datatype="FP32", data=found.ravel().tolist())
        return InferenceResponse(model_name=self.name, outputs=[output])
