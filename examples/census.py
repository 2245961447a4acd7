"""Any CSV table the whole way: train three pipelines, compile, save, and predict in a process that has only NumPy.

Usage: python examples/census.py TABLE.csv --target income [--python INTERPRETER_WITH_ONLY_NUMPY_AND_MLCORE]

The second process reads the same CSV with Python's own csv module, loads the three artifacts and predicts; its bytes
must be those that scikit-learn, XGBoost and LightGBM gave in the first.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path


def read_columns(path: Path, schema: list[dict]) -> dict[str, list]:
    """Columns of a CSV file as lists in the model's types; an empty field is missing."""
    parse = {"string": str, "float64": float, "float32": float, "bool": lambda text: text == "True"}
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    out = {}
    for column in schema:
        if column["used"]:
            convert = parse.get(column["type"], int)
            values = (row[column["name"]] for row in rows)
            out[column["name"]] = [None if value == "" else convert(value) for value in values]
    return out


def predict_all(folder: Path, table: Path) -> dict[str, dict[str, str]]:
    """SHA-256 of every output of every artifact in a folder. Runs with NumPy and mlcore alone."""
    import mlcore

    digests = {}
    for path in sorted(folder.glob("*.mlc")):
        model = mlcore.load(path)
        columns = read_columns(table, model.schema)
        digests[path.stem] = {
            method: hashlib.sha256(model.call(method, columns).tobytes()).hexdigest()
            for method in ("predict_proba", "decision_function")
        }
    return digests


def train(path: Path, target: str, rows: int | None):
    """Three fitted pipelines, the features and the names of their columns."""
    import lightgbm
    import pandas
    import xgboost
    from sklearn.compose import ColumnTransformer, make_column_selector
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder

    frame = pandas.read_csv(path, nrows=rows)
    labels = frame.pop(target)
    y = (labels == sorted(labels.unique())[-1]).astype(int).to_numpy()
    text = make_column_selector(dtype_exclude="number")
    number = make_column_selector(dtype_include="number")

    def features(encoder) -> ColumnTransformer:
        numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
        return ColumnTransformer([("numbers", numbers, number), ("text", encoder, text)], sparse_threshold=0.0)

    one_hot = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=100)
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    pipelines = {
        "xgboost": make_pipeline(features(one_hot), xgboost.XGBClassifier(n_estimators=200, max_depth=6, n_jobs=2)),
        "lightgbm": make_pipeline(features(ordinal), lightgbm.LGBMClassifier(n_estimators=200, n_jobs=2, verbose=-1)),
        "histgradientboosting": make_pipeline(features(TargetEncoder()), HistGradientBoostingClassifier()),
    }
    for name, pipeline in pipelines.items():
        print(f"fit {name} on {len(frame):,} rows of {frame.shape[1]} columns", flush=True)
        pipeline.fit(frame, y)
    return pipelines, frame


def main() -> int:
    """Train, compile, save; compare with a process of another interpreter."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--target", default="income", help="name of the label column")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="interpreter of the second process")
    parser.add_argument("--rows", type=int, help="read only the first rows")
    parser.add_argument("--predict-in", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.predict_in is not None:
        print(json.dumps(predict_all(options.predict_in, options.table)))
        return 0

    import mlcore
    from mlcore.frontends.reference import reference

    pipelines, frame = train(options.table, options.target, options.rows)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = folder / "table.csv"
        frame.to_csv(table, index=False)
        expected = {}
        for kind, pipeline in pipelines.items():
            model = mlcore.compile(pipeline, frame)
            model.save(folder / f"{kind}.mlc")
            print(f"\n{kind}\n{model}\n", flush=True)
            expected[kind] = {
                "predict_proba": hashlib.sha256(model.predict_proba(frame).tobytes()).hexdigest(),
                # the raw margin is the library's own: bit for bit
                "decision_function": hashlib.sha256(
                    reference(pipeline, "decision_function", frame).tobytes()
                ).hexdigest(),
            }
        command = [str(options.python), __file__, str(table), "--predict-in", str(folder)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    for kind, digests in expected.items():
        same = found[kind] == digests
        print(f"{kind}: {'identical bytes' if same else 'DIFFERENT BYTES'} in {options.python}")
    return 0 if found == expected else 1


if __name__ == "__main__":
    sys.exit(main())
