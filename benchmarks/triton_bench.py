"""One pipeline behind a Triton server: the mlcore backend, and the Python backend with the original and with ONNX.

``make bench-triton`` installs the server into build/bench-env/triton first. The load generator is perf_analyzer of
tritonclient 2.50: HTTP with binary tensors, asynchronous, on the same machine as the server.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import csv
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import joblib
import mlcore
import numpy as np
import pyarrow
from cases import engine, fitted
from mlcore.containers import batches
from mlcore.export import write_repository

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent / "build"
ENVIRONMENT = BUILD / "bench-env" / "triton"
WORK = BUILD / "triton-bench"
CASE = "table-xgboost"
ENGINES = ("mlcore", "sklearn_pipeline", "onnx_session")
PAUSE = 0.0006  # seconds
SENT = 256  # rows that the load generator goes through
HTTP, GRPC = 18700, 18701


def packages() -> Path:
    (found,) = (ENVIRONMENT / "lib").glob("python*/site-packages")
    return found


def environment() -> dict[str, str]:
    """For the server, whose Python backend runs in the peers' environment."""
    bundled = packages() / "nvidia_pytriton.libs"  # the stub of the Python backend looks elsewhere once it is copied
    libraries = [str(_libraries()), str(bundled), str(sysconfig.get_config_var("LIBDIR"))]
    return os.environ | {
        "PYTHONPATH": str(packages()),
        "LD_LIBRARY_PATH": os.pathsep.join(libraries),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _libraries() -> Path:
    """What perf_analyzer asks for, under the names that it asks for: the server's wheel has it under others."""
    folder = WORK / "lib"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("libb64.so.0d", "libcudart.so.12"):
        stem, _, version = name.partition(".so.")
        (found,) = (packages() / "nvidia_pytriton.libs").glob(f"{stem}-*.so.{version}*")
        with contextlib.suppress(FileExistsError):
            (folder / name).symlink_to(found)
    return folder


def backends() -> Path:
    """One folder with the mlcore backend and the server's own Python backend beside its stub."""
    folder = WORK / "backends"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(packages() / "pytriton" / "tritonserver" / "backends", folder)
    version = packages().parent.name.removeprefix("python")
    stub = packages() / "pytriton" / "tritonserver" / "python_backend_stubs" / version / "triton_python_backend_stub"
    shutil.copy(stub, folder / "python")
    (folder / "mlcore").mkdir()
    shutil.copy(Path(mlcore.get_triton_backend_dir()) / "mlcore" / "libtriton_mlcore.so", folder / "mlcore")
    shutil.copy(Path(mlcore.get_library_dir()) / "libmlcore.so", folder / "mlcore")
    return folder


def prepare() -> tuple[mlcore.Model, Any]:
    """Write the repository and the rows that are sent; the model and its table."""
    pipeline, table = fitted(CASE)
    rows = table.iloc[:SENT]
    repository = WORK / "repository"
    shutil.rmtree(repository, ignore_errors=True)
    model = mlcore.compile(pipeline, table.iloc[:1000])
    model.threads = 1
    write_repository(model, repository, "mlcore")
    # the same for all: columns in, probabilities out, one instance, one thread, requests that wait together
    tensors = model.core.tensors
    kinds = {one["name"]: one["type"].replace("BYTES", "STRING") for one in tensors["inputs"]}
    inputs = ", ".join(f'{{ name: "{name}" data_type: TYPE_{kind} dims: [ 1 ] }}' for name, kind in kinds.items())
    shared = (
        f"max_batch_size: 65536\ndynamic_batching {{ }}\ninput [ {inputs} ]\n"
        'output [ { name: "predict_proba" data_type: TYPE_FP32 dims: [ 2 ] } ]\n'
        "instance_group [ { kind: KIND_CPU count: 1 } ]\n"
    )
    threads = 'parameters { key: "threads" value { string_value: "1" } }\n'
    (repository / "mlcore" / "config.pbtxt").write_text('backend: "mlcore"\n' + shared + threads)
    for name in ENGINES[1:]:
        folder = repository / name / "1"
        folder.mkdir(parents=True)
        shutil.copy(HERE / "triton_models" / f"{name}.py", folder / "model.py")
        (folder.parent / "config.pbtxt").write_text('backend: "python"\n' + shared)
    joblib.dump(pipeline, repository / "sklearn_pipeline" / "1" / "model.joblib")
    (repository / "onnx_session" / "1" / "model.onnx").write_bytes(engine("onnxruntime", CASE).artifact)

    steps = []
    for _, row in rows.iterrows():
        step: dict[str, Any] = {}
        for one in tensors["inputs"]:
            value = row[one["name"]]
            if one["type"] == "BYTES":
                step[one["name"]] = {"content": [value], "shape": [1]}
            else:  # JSON has no NaN
                raw = np.array([value], {"FP64": "f8", "FP32": "f4", "INT64": "i8"}[one["type"]]).tobytes()
                step[one["name"]] = {"content": {"b64": base64.b64encode(raw).decode()}, "shape": [1]}
        steps.append(step)
    (WORK / "rows.json").write_text(json.dumps({"data": steps}))
    return model, rows


@contextlib.contextmanager
def server() -> Iterator[None]:
    """The server with all three models."""
    command = [
        packages() / "pytriton" / "tritonserver" / "bin" / "tritonserver",
        f"--model-repository={WORK / 'repository'}",
        f"--backend-directory={backends()}",
        f"--http-port={HTTP}",
        f"--grpc-port={GRPC}",
        "--http-address=127.0.0.1",
        "--grpc-address=127.0.0.1",
        "--allow-metrics=false",
        "--exit-timeout-secs=2",
    ]
    log = WORK / "server.log"
    with log.open("w") as sink:
        process = subprocess.Popen([str(part) for part in command], env=environment(), stdout=sink, stderr=sink)
    try:
        deadline = time.monotonic() + 40
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{HTTP}/v2/health/ready", timeout=5).close()
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the server did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait()


def _ask(path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{HTTP}/v2/{path}", data=data, timeout=60) as answer:
        return json.loads(answer.read())


def check(model: mlcore.Model, rows: Any) -> dict[str, int]:
    """Rows of each engine that are more than 1e-5 off the original; the run fails unless mlcore has its very bits."""
    rows = rows.dropna()  # plain JSON has no NaN
    expected = fitted(CASE)[0].predict_proba(rows)
    off = {}
    for name in ENGINES:
        inputs = [
            {"name": one["name"], "datatype": one["type"], "shape": [len(rows), 1], "data": rows[one["name"]].tolist()}
            for one in model.core.tensors["inputs"]
        ]
        answer = _ask(f"models/{name}/infer", {"inputs": inputs, "outputs": [{"name": "predict_proba"}]})
        found = np.array(answer["outputs"][0]["data"], np.float32).reshape(-1, 2)
        if name == "mlcore" and found.tobytes() != model.predict_proba(rows).tobytes():
            raise SystemExit("expected the bytes of the call in this process from the mlcore backend but found others")
        off[name] = int((np.abs(found - expected).max(axis=1) > 1e-5).sum())
    return off


def load(name: str, concurrency: int, rows: int, seconds: float) -> dict[str, float]:
    """Run perf_analyzer once: requests per second, percentiles, and what the server says of its time."""
    out = WORK / "perf.csv"
    out.unlink(missing_ok=True)
    (analyzer,) = {path.resolve() for path in (ENVIRONMENT / "bin").glob("perf_analyzer")}
    command = [
        analyzer,
        *("-m", name, "-u", f"127.0.0.1:{HTTP}", "-i", "http", "--async"),
        *("-b", rows, "--concurrency-range", concurrency, "--input-data", WORK / "rows.json"),
        *("--measurement-interval", int(seconds * 1000), "--max-trials", 3, "--stability-percentage", 999),
        *("-f", out),
    ]
    done = subprocess.run([str(part) for part in command], env=environment(), capture_output=True, text=True)
    if done.returncode != 0 or not out.exists():
        raise SystemExit(f"{name}, {concurrency} at once, {rows} rows: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    (line,) = csv.DictReader(out.open())
    return {
        "rows_per_second": float(line["Inferences/Second"]),
        "requests_per_second": float(line["Inferences/Second"]) / rows,
        "p50_us": float(line["p50 latency"]),
        "p99_us": float(line["p99 latency"]),
        "server_input_us": float(line["Server Compute Input"]),
        "server_compute_us": float(line["Server Compute Infer"]),
        "server_output_us": float(line["Server Compute Output"]),
    }


def _median(call: Callable[[], object], seconds: float = 0.5, pause: float = 0.0) -> float:
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        if pause:
            time.sleep(pause)
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e6


def in_process(model: mlcore.Model, rows: Any) -> dict[str, dict[str, float]]:
    """Microseconds of the same prediction in this process: of a pyarrow table, and of the core's own batch.

    The latter back to back, and after pauses as between requests, when the processor has done other things meanwhile.
    """
    found = {}
    position = [spec["method"] for spec in model.core.outputs].index("predict_proba")
    for count in (1, 64):
        table = pyarrow.Table.from_pandas(rows.iloc[:count], preserve_index=False).combine_chunks()
        prepared = list(batches(table, model.schema))
        found[str(count)] = {
            "call_us": _median(lambda table=table: model.predict_proba(table)),
            "core_us": _median(lambda prepared=prepared: model.core.run(prepared, [position])),
            "paced_us": _median(lambda prepared=prepared: model.core.run(prepared, [position]), 2.0, PAUSE),
        }
    return found


def main() -> int:
    """Measure, print the table, and keep the run when told to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a window; a figure is that of three")
    parser.add_argument("--record", action="store_true", help="keep the run in benchmarks/results/triton.json")
    options = parser.parse_args()
    sys.path.insert(0, str(HERE))
    from triton_page import table as printed

    WORK.mkdir(parents=True, exist_ok=True)
    model, rows = prepare()
    run: dict[str, Any] = {"date": str(date.today()), "cpu": _cpu(), "cores": os.cpu_count(), "case": CASE}
    run["in_process"] = in_process(model, rows)
    run["figures"] = []
    with server():
        run["rows_off"] = check(model, rows)
        for concurrency, batch in ((1, 1), (8, 1), (64, 1), (1, 64), (8, 64), (64, 64)):
            for name in ENGINES:
                figure = load(name, concurrency, batch, options.seconds)
                run["figures"].append({"engine": name, "concurrency": concurrency, "rows": batch} | figure)
                print(
                    f"{name}, {concurrency} at once, {batch} rows: {figure['requests_per_second']:,.0f}/s", flush=True
                )
    (WORK / "run.json").write_text(json.dumps(run, indent=1) + "\n")
    if options.record:
        shutil.copy(WORK / "run.json", HERE / "results" / "triton.json")
    print(printed(run))
    return 0


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown"


if __name__ == "__main__":
    sys.exit(main())
