"""One pipeline behind HTTP servers: mlcore, other servers, and the least that a server in C++ and in Python does.

``make bench-serve`` installs the others into build/bench-env first. The contestants run one after the other, in rounds,
each with a process of its own for the load (load.cc) on the same cores; figures are medians of the rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import joblib
import mlcore
import numpy as np

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent / "build"
PEERS = BUILD / "bench-env"
WORK = BUILD / "serve-bench"
OTHERS = HERE / "serve_contestants"
MODEL, PIPELINE, ANSWER = WORK / "model.mlc", WORK / "pipeline.joblib", WORK / "answer.json"
CORES = 2
CONNECTIONS = (1, 16, 64)
SENT = 64  # rows that the load goes through
START_LIMIT = 90.0  # seconds
Row = dict[str, Any]


class NotRunError(Exception):
    """Why a contestant cannot be run here."""


@dataclass(frozen=True)
class Contestant:
    """A server.

    Attributes
    ----------
    command : callable
        What to execute, given the address: a port or the path of a Unix socket.
    route : str
        Where requests go.
    body : callable
        What is asked for a row.
    answer : callable or None
        The probabilities in an answer; None where the answer is a constant.
    peer : str
        The environment under build/bench-env.
    env : dict
        Variables; None takes one away.
    unix : bool
        Whether it listens on a Unix socket.
    """

    command: Callable[[str], list[object]]
    route: str = "/v1/models/model/rows"
    body: Callable[[Row], Any] = lambda row: [row]
    answer: Callable[[Any], list[float]] | None = None
    peer: str = ""
    env: dict[str, str | None] = field(default_factory=dict)
    unix: bool = False


# -- the contestants ----------------------------------------------------------------------------------------------


def _v2(row: Row, gap: float | None = None) -> Any:
    kinds = {"float": "FP64", "int": "INT64", "text": "BYTES"}
    return {
        "inputs": [
            {
                "name": name,
                "datatype": kinds[name.split("_")[0]],
                "shape": [1, 1],
                "data": [gap if value is None else value],
            }
            for name, value in row.items()
        ],
        "outputs": [{"name": "predict_proba"}],
    }


def _v2_answer(answer: Any) -> list[float]:
    return list(answer["outputs"][0]["data"])


def _python(peer: str, *arguments: object) -> list[object]:
    return [PEERS / peer / "bin" / "python", *arguments]


def _uvicorn(app: str, workers: int) -> Callable[[str], list[object]]:
    quiet = ("--no-access-log", "--log-level", "warning")
    loop = ("--loop", "uvloop", "--http", "httptools")
    return lambda port: _python("fastapi", "-m", "uvicorn", app, "--port", port, "--workers", workers, *loop, *quiet)


def _mlserver(name: str, **settings: Any) -> Callable[[str], list[object]]:
    def command(port: str) -> list[object]:
        folder = WORK / f"mlserver-{name}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        ports = {"http_port": int(port), "grpc_port": _free_port(), "metrics_port": _free_port()}
        (folder / "settings.json").write_text(json.dumps({"host": "127.0.0.1"} | ports | settings))
        model = {"name": "model", "implementation": f"mlserver_runtime.{name}"}
        (folder / "model-settings.json").write_text(json.dumps(model))
        return [*_python("mlserver"), PEERS / "mlserver" / "bin" / "mlserver", "start", folder]

    return command


def _triton(port: str) -> list[object]:
    import triton_bench

    triton_bench.WORK.mkdir(parents=True, exist_ok=True)
    folder = WORK / "triton" / "model"
    shutil.rmtree(folder.parent, ignore_errors=True)
    (folder / "1").mkdir(parents=True)
    shutil.copy(OTHERS / "triton_model.py", folder / "1" / "model.py")
    shutil.copy(OTHERS / "pipeline.py", folder / "1")
    kinds = {"float": "FP64", "int": "INT64", "text": "STRING"}
    inputs = ", ".join(
        f'{{ name: "{name}" data_type: TYPE_{kinds[name.split("_")[0]]} dims: [ 1 ] }}' for name in columns()
    )
    (folder / "config.pbtxt").write_text(
        f'backend: "python"\nmax_batch_size: 64\ndynamic_batching {{ }}\ninput [ {inputs} ]\n'
        'output [ { name: "predict_proba" data_type: TYPE_FP32 dims: [ 2 ] } ]\n'
        f"instance_group [ {{ kind: KIND_CPU count: {CORES} }} ]\n"
    )
    return [
        triton_bench.packages() / "pytriton" / "tritonserver" / "bin" / "tritonserver",
        f"--model-repository={folder.parent}",
        f"--backend-directory={triton_bench.backends()}",
        f"--http-port={port}",
        *("--http-address=127.0.0.1", "--allow-grpc=false", "--allow-metrics=false", "--exit-timeout-secs=2"),
    ]


def _triton_environment() -> dict[str, str | None]:
    import triton_bench

    if not (PEERS / "triton" / "installed").exists():
        return {}
    found = triton_bench.environment()
    return {name: found[name] for name in ("LD_LIBRARY_PATH", "PYTHONPATH")}


def contestants() -> dict[str, Contestant]:
    """All of them, by name."""

    def server(*listen: str) -> Callable[[str], list[object]]:
        return lambda address: [mlcore.get_server_path(), *listen, address, "--loops", CORES, MODEL]

    def rows(answer: Any) -> list[float]:
        return list(answer["rows"][0]["predict_proba"].values())

    def bare(address: str) -> list[object]:
        unix = "/" in address
        port, path = (_free_port(), address) if unix else (address, WORK / "unused.socket")
        Path(path).unlink(missing_ok=True)
        return [WORK / "bare_server", port, path, CORES, ANSWER]

    bento = (*("-m", "bentoml", "serve", "bento_service:Pipeline", "--host", "127.0.0.1"), "--working-dir", OTHERS)
    v2: dict[str, Any] = {"route": "/v2/models/model/infer", "body": _v2, "answer": _v2_answer}
    predict: dict[str, Any] = {"route": "/predict", "answer": lambda answer: answer[0]}
    quiet = {"debug": False, "parallel_workers": 0, "metrics_endpoint": None, "gzip_enabled": False}
    return {
        "mlcore": Contestant(server("--port"), answer=rows),
        "mlcore_unix": Contestant(server("--unix"), answer=rows, unix=True),
        "mlcore_v2": Contestant(server("--port"), **v2),
        "bare": Contestant(bare),
        "bare_unix": Contestant(bare, unix=True),
        "fixed": Contestant(_uvicorn("fixed_answer:app", 1), peer="fastapi"),
        "fixed_workers": Contestant(_uvicorn("fixed_answer:app", CORES), peer="fastapi"),
        "fastapi": Contestant(_uvicorn("fastapi_app:app", CORES), peer="fastapi", **predict),
        "bentoml": Contestant(
            lambda port: _python("bentoml", *bento, "--port", port),
            peer="bentoml",
            body=lambda row: {"rows": [row]},
            env={"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(WORK / "bentoml")},
            **predict,
        ),
        "mlserver_tuned": Contestant(_mlserver("Tuned", **quiet), peer="mlserver", **v2),
        "mlserver": Contestant(
            _mlserver("Pipeline"), peer="mlserver", env={"OMP_NUM_THREADS": None, "OPENBLAS_NUM_THREADS": None}, **v2
        ),
        "triton": Contestant(
            _triton, peer="triton", env=_triton_environment(), **(v2 | {"body": lambda row: _v2(row, gap=-1e308)})
        ),
    }


# -- the model ----------------------------------------------------------------------------------------------------


def columns() -> dict[str, int]:
    """The 34 columns in order; of a text, how many it may be."""
    texts = {f"text_{i}": count for i, count in enumerate((3, 4, 6, 8, 12, 20, 40, 200))}
    return {f"float_{i}": 0 for i in range(20)} | {f"int_{i}": 0 for i in range(6)} | texts


def _table(rows: int) -> tuple[Any, np.ndarray]:
    import pandas as pd

    rng = np.random.default_rng(0)
    out: dict[str, np.ndarray] = {}
    for place, (name, count) in enumerate(columns().items()):
        if name.startswith("float"):
            out[name] = rng.lognormal(3, 1, rows).round(2) if place % 2 else rng.normal(size=rows).round(4)
            out[name][rng.random(rows) < 0.05] = np.nan
        elif name.startswith("int"):
            out[name] = rng.integers(0, 5 ** (place - 18), rows)
        else:
            out[name] = np.array([f"name {i:03d}" for i in range(count)], object)[rng.integers(0, count, rows)]
    score = sum(np.nan_to_num(out[f"float_{i}"]) for i in (0, 2, 4)) + rng.normal(size=rows)
    score += 0.1 * (out["int_1"] % 7) + np.where(out["text_3"] == "name 002", 1.0, 0.0)
    return pd.DataFrame(out), (score > 0.5).astype(np.int64)


def prepare(trees: int) -> tuple[np.ndarray, np.ndarray, list[Row]]:
    """Write the model and the pipeline; what mlcore and the original say of the rows that are sent, and these."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
    from xgboost import XGBClassifier

    table, label = _table(20_000)
    numbers = [name for name in table if not name.startswith("text")]
    texts = [name for name in table if name.startswith("text")]
    features = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
            ("few", OneHotEncoder(handle_unknown="ignore"), texts[:5]),
            ("many", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), texts[5:]),
        ],
        sparse_threshold=0.0,
    )
    # how many threads is left to the environment that the pipeline runs in
    pipeline = make_pipeline(features, XGBClassifier(n_estimators=trees, max_depth=6)).fit(table, label)
    joblib.dump(pipeline, PIPELINE)
    model = mlcore.compile(pipeline, table.iloc[:1000])
    model.save(MODEL)
    sent = table.iloc[:SENT]
    rows = sent.astype(object).where(sent.notna(), None).to_dict("records")
    return model.predict_proba(sent), pipeline.predict_proba(sent), rows


def build(name: str) -> None:
    """Compile one of the programs beside this file, unless that was done."""
    source, target = HERE / f"{name}.cc", WORK / name
    if target.exists() and target.stat().st_mtime > source.stat().st_mtime:
        return
    print(f"compiling {source.name}", flush=True)
    boost = [f"-isystem{path}/cmeel.prefix/include" for path in sys.path if Path(path, "cmeel.prefix").exists()]
    compiler = os.environ.get("CXX", "c++")
    flags = ["-O3", "-std=c++20", "-Wall", "-Wextra", "-pthread", *boost]
    subprocess.run([compiler, *flags, source, "-o", target], check=True)


# -- running one --------------------------------------------------------------------------------------------------


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def request(contestant: Contestant, row: Row) -> bytes:
    """The bytes of a request for a row."""
    body = json.dumps(contestant.body(row), separators=(",", ":")).encode()
    head = f"POST {contestant.route} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


def ask(address: str, asked: bytes) -> tuple[int, bytes]:
    """Status and body of the answer."""
    unix = "/" in address
    with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as one:
        one.settimeout(30)
        one.connect(address if unix else ("127.0.0.1", int(address)))
        one.sendall(asked)
        with http.client.HTTPResponse(one, method="POST") as answer:
            answer.begin()
            return answer.status, answer.read()


def _environment(contestant: Contestant) -> dict[str, str]:
    given: dict[str, str | None] = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "CORES": str(CORES),
        "PYTHONPATH": str(OTHERS),
        "PIPELINE": str(PIPELINE),
        "ANSWER": str(ANSWER),
        **contestant.env,
    }
    return {name: value for name, value in given.items() if value is not None}


@contextlib.contextmanager
def running(name: str, contestant: Contestant, asked: bytes) -> Iterator[tuple[str, int, float]]:
    """Start a server; its address, its process, and the milliseconds to its first answer."""
    if contestant.peer and not (PEERS / contestant.peer / "installed").exists():
        raise NotRunError("it cannot be installed here")
    address = str(WORK / f"{name}.socket") if contestant.unix else str(_free_port())
    Path(WORK / f"{name}.socket").unlink(missing_ok=True)
    command = [str(part) for part in contestant.command(address)]
    log = WORK / f"{name}.log"
    with log.open("w") as sink:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, env=_environment(contestant), cwd=WORK, stdout=sink, stderr=sink, start_new_session=True
        )
    try:
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if ask(address, asked)[0] == 200:
                    break
            if process.poll() is not None or time.perf_counter() > start + START_LIMIT:
                raise NotRunError(f"it did not start; {name}.log beside its files says why")
            time.sleep(max(0.001, (time.perf_counter() - start) / 50))  # asking takes time from a slow one
        yield address, process.pid, (time.perf_counter() - start) * 1e3
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(15)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what it started and left
        process.wait()


def tree(root: int) -> list[Path]:
    """The folders under /proc of a process and of all that it started."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found = [root]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return [Path("/proc", str(one)) for one in found]


def memory(root: int) -> float:
    """Resident megabytes, summed over the processes."""
    kilobytes = 0
    for process in tree(root):
        kilobytes += int((process / "status").read_text().partition("VmRSS:")[2].split()[0])
    return kilobytes * 1024 / 1e6


def idle(root: int, seconds: float) -> float:
    """Percent of a core that is used while nothing is asked."""

    def used() -> int:  # in nanoseconds: utime and stime of /proc/pid/stat count hundredths of a second
        tasks = [task for process in tree(root) for task in process.glob("task/*/schedstat")]
        return sum(int(task.read_text().split()[0]) for task in tasks)

    time.sleep(0.5)
    before, start = used(), time.perf_counter()
    time.sleep(seconds)
    return (used() - before) / (time.perf_counter() - start) / 1e9 * 100


def load(address: str, connections: int, seconds: float, rate: float = 0.0) -> dict[str, float]:
    """Run the load once; any error ends the benchmark."""
    command = [WORK / "load", address, WORK / "requests", connections, seconds / 4, seconds, *([rate] if rate else [])]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{connections} connections: {done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout)
    if found.pop("errors") > 0:
        raise SystemExit(f"{connections} connections: some answers were errors, the first of them: {done.stderr}")
    return found


def check(name: str, contestant: Contestant, address: str, rows: list[Row], exact: Any, original: Any) -> int:
    """Rows more than 1e-5 off the original; the benchmark ends unless mlcore has the very bits of the call."""
    found = []
    for row in rows:
        status, body = ask(address, request(contestant, row))
        if status != 200 or (contestant.answer is None and body != ANSWER.read_bytes()):
            raise SystemExit(f"{name}: expected an answer but found {status}: {body[:500]!r}")
        if contestant.answer:
            found.append(contestant.answer(json.loads(body)))
    if not found:
        return 0
    if name.startswith("mlcore") and np.array(found, np.float32).tobytes() != exact.tobytes():
        raise SystemExit(f"{name}: expected the bits of the call in this process but found others")
    return int((np.abs(np.array(found) - original).max(axis=1) > 1e-5).sum())


def measure(name: str, contestant: Contestant, expected: tuple[Any, Any, list[Row]], seconds: float) -> dict[str, Any]:
    """One round of a contestant."""
    exact, original, rows = expected
    asked = [request(contestant, row) for row in rows]
    (WORK / "requests").write_bytes(b"".join(b"%d\n%b" % (len(one), one) for one in asked))
    with running(name, contestant, asked[0]) as (address, process, start):
        out: dict[str, Any] = {"rows_off": check(name, contestant, address, rows, exact, original), "start_ms": start}
        load(address, CONNECTIONS[1], seconds / 2)  # what is compiled, cached and allocated at first
        out["loads"] = {str(count): load(address, count, seconds) for count in CONNECTIONS}
        rate = max(one["requests_per_second"] for one in out["loads"].values()) / 2
        out["loads"]["open"] = load(address, CONNECTIONS[-1], seconds, rate) | {"rate": rate}
        out["memory_mb"] = memory(process)
        out["idle_percent"] = idle(process, min(5.0, 3 * seconds))
    return out


def together(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians of rounds; of starts the shortest."""
    out: dict[str, Any] = {}
    for name, first in rounds[0].items():
        values = [one[name] for one in rounds]
        if isinstance(first, dict):
            out[name] = together(values)
        else:
            out[name] = {"start_ms": min, "rows_off": max}.get(name, statistics.median)(values)
    return out


# -- all ----------------------------------------------------------------------------------------------------------


def versions(peers: set[str]) -> dict[str, str]:
    """What is installed for each peer, as pinned."""
    out = {}
    for peer in sorted(peers):
        pins = (HERE / "peers" / f"{peer}.txt").read_text().splitlines()
        out[peer] = ", ".join(line.replace("==", " ") for line in pins if not line.startswith("#"))
    return out


def prepare_answer(contestant: Contestant, row: Row) -> None:
    """Keep an answer of mlcore for those that always give the same."""
    with running("mlcore", contestant, request(contestant, row)) as (address, *_):
        ANSWER.write_bytes(ask(address, request(contestant, row))[1])


def main() -> int:
    """Measure, print the tables, and keep the run when told to."""
    known = contestants()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--select", nargs="+", choices=list(known), default=list(known), help="only these")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a measurement")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is started and measured")
    parser.add_argument("--trees", type=int, default=200, help="trees of the model")
    parser.add_argument("--record", action="store_true", help="keep the run in benchmarks/results/serving.json")
    options = parser.parse_args()
    from run import cpu
    from serve_page import table

    WORK.mkdir(parents=True, exist_ok=True)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    build("load")
    if any(name.startswith("bare") for name in options.select):
        build("bare_server")
    print("fitting and compiling the model", flush=True)
    expected = prepare(options.trees)
    prepare_answer(known["mlcore"], expected[2][0])
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in options.select}
    refused: dict[str, str] = {}
    for turn in range(options.rounds):
        for name in options.select:
            if name in refused:
                continue
            try:
                found[name].append(measure(name, known[name], expected, options.seconds))
                rate = found[name][-1]["loads"]["16"]["requests_per_second"]
                print(f"round {turn + 1} of {options.rounds}, {name}: {rate:,.0f}/s at 16 connections", flush=True)
            except NotRunError as error:
                refused[name] = str(error)
                print(f"{name}: not run: {error}", flush=True)
    run = {
        "date": str(date.today()),
        "cpu": cpu(),
        "cores": CORES,
        "trees": options.trees,
        "seconds": options.seconds,
        "rounds": options.rounds,
        "model_mb": MODEL.stat().st_size / 1e6,
        "version": mlcore.__version__,
        "versions": versions({known[name].peer for name in options.select} - {""}),
        "contestants": {
            name: {"not_run": refused[name]} if name in refused else together(found[name]) for name in options.select
        },
    }
    (WORK / "run.json").write_text(json.dumps(run, indent=1) + "\n")
    if options.record:
        shutil.copy(WORK / "run.json", HERE / "results" / "serving.json")
    print(table(run))
    return 0


if __name__ == "__main__":
    sys.exit(main())
