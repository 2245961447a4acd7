"""What `gpu.py` measures, fitted and compiled: plain files, so that the machine with the GPU needs no trainer.

A folder is written once and used by later runs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# grows when something below changes, so that old folders are not used
EDITION = 1


@dataclass(frozen=True)
class Size:
    """Of the forest and its tables; `rows` are kept, longer tables repeat them."""

    trees: int = 500
    depth: int = 6
    columns: int = 100
    train: int = 50_000
    rows: int = 20_000


# what the tests run
SMALL = Size(12, 3, 7, 600, 300)


def table(rows: int, columns: int, seed: int) -> np.ndarray:
    """float32 numbers, 3 % of them missing."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, columns)).astype(np.float32)
    X[rng.random(X.shape) < 0.03] = np.nan
    return X


def prepare(folder: Path, size: Size) -> Path:
    """Fit, compile and write all that a run reads; needs XGBoost, scikit-learn and minutes."""
    facts = {"edition": EDITION, **vars(size)}
    done = folder / "work.json"
    if done.exists() and json.loads(done.read_text()) == facts:
        return folder
    import mlcore
    import xgboost
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folder.mkdir(parents=True, exist_ok=True)
    train, X = table(size.train, size.columns, 1), table(size.rows, size.columns, 2)
    numbers = np.nan_to_num(train)
    y = np.sin(2 * numbers).sum(axis=1) + numbers[:, 0] * numbers[:, 1]
    regressor = xgboost.XGBRegressor(n_estimators=size.trees, max_depth=size.depth, learning_rate=0.1)
    regressor.fit(train, y)
    forest = mlcore.compile(regressor, X[:200])
    transform = mlcore.compile(make_pipeline(SimpleImputer(), StandardScaler()).fit(train), X[:200])
    forest.save(folder / "forest.mlc")
    transform.save(folder / "transform.mlc")
    expected = forest.predict(X)
    assert expected.tobytes() == regressor.predict(X).tobytes(), "expected XGBoost's bits"
    np.save(folder / "X.npy", X)
    np.save(folder / "expected.npy", expected)
    np.save(folder / "transformed.npy", transform.transform(X[:4_000]))
    regressor.save_model(folder / "model.ubj")
    np.savez(folder / "trees.npz", **plain_trees(regressor.get_booster()))
    done.write_text(json.dumps(facts) + "\n")
    return folder


def plain_trees(booster: object) -> dict[str, np.ndarray]:
    """The nodes of all trees as arrays, children counted from the forest's first node."""
    learner = json.loads(booster.save_raw("json"))["learner"]  # type: ignore[attr-defined]
    columns: dict[str, list[np.ndarray]] = {
        name: [] for name in ("feature", "number", "left", "right", "default_left", "root")
    }
    nodes = 0
    for tree in learner["gradient_booster"]["model"]["trees"]:
        left, right = (np.array(tree[f"{side}_children"], np.int32) for side in ("left", "right"))
        columns["feature"].append(np.where(left < 0, -1, tree["split_indices"]).astype(np.int32))
        columns["number"].append(np.array(tree["split_conditions"], np.float32))
        columns["left"].append(np.where(left < 0, -1, left + nodes).astype(np.int32))
        columns["right"].append(np.where(right < 0, -1, right + nodes).astype(np.int32))
        columns["default_left"].append(np.array(tree["default_left"], np.uint8))
        columns["root"].append(np.array([nodes], np.int32))
        nodes += len(left)
    base = learner["learner_model_param"]["base_score"].strip("[]")
    return {name: np.concatenate(parts) for name, parts in columns.items()} | {"base": np.array([base], np.float32)}
