"""lleaves: a LightGBM model compiled with LLVM."""

from __future__ import annotations

import lleaves
from worker import Ready, Refused, Work, built_once, median_seconds


def prepare(work: Work) -> Ready:
    """Compile with the defaults, or load what an earlier run compiled."""
    X = work.matrix()
    if work.library != "lightgbm":
        raise Refused("reads LightGBM's models only")
    cache = work.path("lleaves.o")

    def load() -> lleaves.Model:
        model = lleaves.Model(model_file=work.path("model.txt"))
        model.compile(cache=cache, raw_score=True)
        return model

    seconds = built_once(cache, load)
    model = load()
    rows = [X[i : i + 1].astype(float) for i in range(1_000)]
    return Ready(
        lambda: model.predict(X, n_jobs=work.threads),
        lambda i: model.predict(rows[i], n_jobs=1),
        len(rows),
        {"build_seconds": seconds, "load_seconds": median_seconds(load, 3)},
    )
