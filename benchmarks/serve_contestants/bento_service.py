"""A BentoML service with a worker for each core, as the others have."""

import os

import bentoml
import pipeline


@bentoml.service(workers=int(os.environ["CORES"]), metrics={"enabled": False}, logging={"access": {"enabled": False}})
class Pipeline:
    """The pipeline."""

    def __init__(self):
        self.fitted = pipeline.load()

    @bentoml.api
    def predict(self, rows: list[dict]) -> list[list[float]]:
        """Answer a list of rows."""
        return pipeline.probabilities(self.fitted, rows).tolist()
