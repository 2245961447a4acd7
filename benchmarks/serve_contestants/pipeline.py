"""The fitted pipeline as every Python contestant uses it: rows of names and values become one data frame."""

import os

import joblib
import numpy as np
import pandas as pd

TYPES = {"float": np.float64, "int": np.int64, "text": object}


def load():
    """Read the pipeline that the benchmark wrote."""
    return joblib.load(os.environ["PIPELINE"])


def probabilities(pipeline, rows):
    """Probabilities of rows that are dicts; None is a gap."""
    columns = {
        name: np.array([row.get(name) for row in rows], TYPES[name.split("_")[0]])
        for name in pipeline.feature_names_in_
    }
    return pipeline.predict_proba(pd.DataFrame(columns))
