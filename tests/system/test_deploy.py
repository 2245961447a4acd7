"""What deploy/ ships: the image is built and run, the manifests and the unit are checked, without a network."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import mlcore
import numpy as np
import pytest
import yaml
from local_base import copy_local_base
from sklearn.linear_model import LogisticRegression
from tools import BUILD, ROOT, run

DEPLOY = ROOT / "deploy"
PAGE = (ROOT / "docs" / "deploy.md").read_text()
UNIT = (DEPLOY / "mlcore-server.service").read_text()
KUBERNETES = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
RUNTIME, SERVICE = yaml.safe_load_all((DEPLOY / "kserve.yaml").read_text())
POD = next(one for one in KUBERNETES if one["kind"] == "Deployment")["spec"]["template"]["spec"]
(KUBERNETES_CONTAINER,) = POD["containers"]
(KSERVE_CONTAINER,) = RUNTIME["spec"]["containers"]

MAX_IMAGE = 60_000_000  # bytes
MAX_EXPOSURE = 1.5  # of 10, as systemd counts
KUBERNETES_VERSIONS = ("1.30", "1.37")  # the oldest that has all fields, the newest that the validator knows
TOKEN = "reader-0123456789abcdef"


# -- the image ----------------------------------------------------------------------------------------------------


class Image(NamedTuple):
    config: dict[str, Any]
    files: Path  # the root of a container made from it


def _commands(start: str) -> str:
    """Give the page's block of commands that begins so."""
    (found,) = (
        one for one in re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) if one.startswith(start)
    )
    return found


def _type(commands: str, folder: Path, wheel: Path) -> None:
    """Run commands of the page in a checkout with a wheel in dist/."""
    (folder / "dist").mkdir()
    shutil.copy(wheel, folder / "dist")
    (folder / "deploy").symlink_to(DEPLOY)
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    run(["bash", "-euc", commands], cwd=folder, env={"PATH": path})


@pytest.fixture(scope="module")
def image(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    folder = tmp_path_factory.mktemp("image")
    buildah = ["buildah", "--root", folder / "store", "--runroot", folder / "run", "--storage-driver", "vfs"]
    copy_local_base(folder / "base")
    run([*buildah, "from", "--name", "base", "scratch"])
    run([*buildah, "copy", "base", folder / "base", "/"])
    run([*buildah, "commit", "--quiet", "base", "localhost/base"])
    # the reader's docker
    docker = folder / "bin" / "docker"
    docker.parent.mkdir()
    here = "--isolation chroot --pull-never --build-arg BASE=localhost/base"
    docker.write_text(f'#!/bin/sh\nshift\nexec {" ".join(map(str, buildah))} build {here} "$@"\n')
    docker.chmod(0o755)
    _type(_commands("docker build"), folder, wheel)
    described = json.loads(run([*buildah, "inspect", "--type", "image", "localhost/mlcore-server"]))
    container = run([*buildah, "from", "--pull-never", "localhost/mlcore-server"]).strip()
    yield Image(described["OCIv1"]["config"], Path(run([*buildah, "mount", container]).strip()))
    shutil.rmtree(folder)


def test_the_image_holds_the_server_and_its_libraries_alone(image: Image) -> None:
    found = [path for path in image.files.rglob("*") if not path.is_dir()]
    size = sum(path.lstat().st_size for path in found)
    print(f"image: {size / 1e6:.1f} MB")
    assert size <= MAX_IMAGE
    loader = {path.name for path in found if re.fullmatch(r"ld-linux.*\.so\.\d", path.name)}
    assert len(loader) == 1
    system = {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6"} | loader
    assert {path.name for path in found} == {"mlcore-server", "libmlcore.so", "copyright"} | system
    for path in image.files.rglob("*"):
        status = path.lstat()
        assert (status.st_uid, status.st_mode & 0o7022) == (0, 0), path
        assert not path.is_symlink()
    assert image.config["User"] == "65532:65532"


@pytest.fixture(scope="module")
def models(image: Image) -> mlcore.Model:
    """The model whose file lies in the container wherever one of the command lines looks for it."""
    X = np.random.default_rng(0).normal(size=(60, 2))
    model = mlcore.compile(LogisticRegression().fit(X, X.sum(axis=1) > 0))
    # as a ConfigMap is mounted: links to a folder whose name has dots
    hidden = image.files / "models" / "..2026"
    hidden.mkdir()
    model.save(hidden / "fraud.mlc")
    (image.files / "models" / "..data").symlink_to("..2026")
    (image.files / "models" / "fraud.mlc").symlink_to("..data/fraud.mlc")
    version = image.files / "mnt" / "models" / "1"
    version.mkdir(parents=True)
    model.save(version / "model.mlc")
    token = image.files / "run" / "secrets" / "mlcore" / "token"
    token.parent.mkdir(parents=True)
    token.write_text(TOKEN + "\n")
    (image.files / "proc").mkdir()
    return model


def _inside(image: Image) -> list[str]:
    """Give what starts the server as a container's runtime would: a read-only root with /proc, the image's user."""
    script = """
        PATH=$PATH:/usr/sbin:/sbin
        mount --bind "$1" "$1"
        mount --options remount,bind,ro "$1"
        mount --rbind /proc "$1/proc"
        exec chroot --userspec "$2" --groups= "$1" "${@:3}"
    """
    user = image.config["User"]
    return ["unshare", "--mount", "bash", "-euc", script, "bash", str(image.files), user, *image.config["Entrypoint"]]


@contextmanager
def _running(image: Image, arguments: list[str]) -> Iterator[str]:
    """Run the image; give the server's address, and see that SIGTERM ends it well."""
    process = subprocess.Popen(
        [*_inside(image), *arguments],
        env={"PATH": os.environ["PATH"]},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        greeting = process.stdout.readline()
        assert greeting.startswith("listening on http://0.0.0.0:"), greeting
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert re.search(r"^Uid:(\t65532){4}$", status, re.MULTILINE)
        yield greeting.split()[-1].replace("0.0.0.0", "127.0.0.1")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.communicate()


def _status_of(address: str) -> int:
    try:
        with urlopen(address, timeout=10) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def _arguments(container: dict[str, Any]) -> list[str]:
    """Give a container's arguments as its orchestrator fills them in."""
    filled = {"$(CPUS)": "2", "{{.Name}}": SERVICE["metadata"]["name"]}
    return [re.sub(r"\$\(\w+\)|{{[^}]*}}", lambda found: filled[found[0]], one) for one in container["args"]]


@pytest.mark.parametrize("of", ["image", "kubernetes", "kserve"])
def test_the_image_runs(image: Image, models: mlcore.Model, of: str) -> None:
    lines = {"image": image.config["Cmd"]}
    lines |= {"kubernetes": _arguments(KUBERNETES_CONTAINER), "kserve": _arguments(KSERVE_CONTAINER)}
    # a port of our own, because others may use the usual one
    line, count = re.subn(r"(--port[ =])8080\b", r"\g<1>0", " ".join(lines[of]))
    assert count == 1
    before = sorted(image.files.rglob("*"))
    with _running(image, line.split()) as address:
        body = json.dumps({"rows": [{"x0": 0.25, "x1": -1.5}], "outputs": ["predict_proba"]}).encode()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
        with urlopen(Request(f"{address}/v1/models/fraud/rows", body, headers), timeout=10) as answer:
            (row,) = json.load(answer)["rows"]
        assert list(row["predict_proba"].values()) == models.predict_proba([[0.25, -1.5]])[0].tolist()
        asks_for_token = _status_of(f"{address}/v2/models/fraud") == 401
        assert asks_for_token == (of == "kubernetes")
        for path in ("/v2/health/live", "/v2/health/ready"):
            assert _status_of(address + path) == 200
    assert sorted(image.files.rglob("*")) == before


def test_kserve_tells_when_there_is_no_model(image: Image, models: mlcore.Model) -> None:
    line = [one.replace("/mnt/models", "/mnt") for one in _arguments(KSERVE_CONTAINER)]
    done = subprocess.run([*_inside(image), *line], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    said = "expected a model that can be served but found none"
    assert said in done.stderr
    assert said in PAGE


def test_the_grpc_image_asks_for_what_there_is(wheel: Path) -> None:
    """It is not built here: it needs a base with pip and a registry."""
    recipe = (DEPLOY / "Dockerfile").read_text()
    (extra,) = re.findall(r"mlcore-\*\.whl\)\[(\w+)\]", recipe)
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        assert f"Provides-Extra: {extra}\n" in archive.read(metadata).decode()


def test_options_are_the_commands_own() -> None:
    known = set(re.findall(r"--[a-z-]+", run([sys.executable, "-m", "mlcore", "serve", "--help"], env=_imports())))
    recipe = re.findall(r"^CMD (.*)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    (unit,) = re.findall(r"^ExecStart=(.*)$", UNIT, re.MULTILINE)
    (override,) = re.findall(r"^ExecStart=(/.*)$", PAGE, re.MULTILINE)
    lines = [*recipe, unit, override, *KUBERNETES_CONTAINER["args"], *KSERVE_CONTAINER["args"]]
    used = set(re.findall(r"--[a-z-]+", " ".join(lines)))
    assert len(used) >= 7
    assert used <= known


def _imports() -> dict[str, str]:
    return {"PYTHONPATH": str(Path(mlcore.__file__).parent.parent)}


# -- Kubernetes and KServe ------------------------------------------------------------------------------------------

# KServe's own fields, as its custom resource definitions name them; what they share with a Pod is checked as a Pod
RUNTIME_FIELDS = {"annotations", "containers", "labels", "protocolVersions", "supportedModelFormats"}
FORMAT_FIELDS = {"autoSelect", "name", "priority", "version"}
PREDICTOR_FIELDS = {"maxReplicas", "minReplicas", "model", "scaleMetric", "scaleTarget"}
MODEL_FIELDS = {"modelFormat", "protocolVersion", "resources", "runtime", "storageUri"}


def _validate(path: Path) -> None:
    for version in KUBERNETES_VERSIONS:
        command = [sys.executable, "-m", "kubernetes_validate", "--strict", "-k", version, path]
        run(command, env={"PYTHONPATH": str(BUILD / "system-env" / "deploy")})


def test_kubernetes_objects_fit_their_schemas(tmp_path: Path) -> None:
    _validate(DEPLOY / "kubernetes.yaml")
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text((DEPLOY / "kubernetes.yaml").read_text().replace("minAvailable", "minimum"))
    with pytest.raises(AssertionError, match="'minimum' was unexpected"):
        _validate(wrong)


def test_kubernetes_objects_fit_together() -> None:
    by_kind = {one["kind"]: one for one in KUBERNETES}
    assert len(by_kind) == len(KUBERNETES) == 5
    deployment = by_kind["Deployment"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert by_kind["Service"]["spec"]["selector"] == labels
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert by_kind[kind]["spec"]["selector"]["matchLabels"] == labels
    assert by_kind["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    claim = by_kind["PersistentVolumeClaim"]["metadata"]["name"]
    assert POD["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim
    assert SERVICE["spec"]["predictor"]["model"]["storageUri"] == f"pvc://{claim}"
    (drain,) = (int(one.split("=")[1]) for one in KUBERNETES_CONTAINER["args"] if one.startswith("--drain-timeout"))
    pause = KUBERNETES_CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert POD["terminationGracePeriodSeconds"] > drain + pause


@pytest.mark.parametrize("container", [KUBERNETES_CONTAINER, KSERVE_CONTAINER], ids=["kubernetes", "kserve"])
def test_containers_are_locked_down(container: dict[str, Any]) -> None:
    security = container["securityContext"] | (POD["securityContext"] if container is KUBERNETES_CONTAINER else {})
    assert security["runAsNonRoot"]
    assert security["readOnlyRootFilesystem"]
    assert not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["readinessProbe"]["httpGet"]["path"] == "/v2/health/ready"
    assert container["livenessProbe"]["httpGet"]["path"] == "/v2/health/live"


def test_kserve_objects_have_fields_of_kserve(tmp_path: Path) -> None:
    assert (RUNTIME["apiVersion"], RUNTIME["kind"]) == ("serving.kserve.io/v1alpha1", "ServingRuntime")
    assert (SERVICE["apiVersion"], SERVICE["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    assert set(RUNTIME["spec"]) <= RUNTIME_FIELDS
    (supported,) = RUNTIME["spec"]["supportedModelFormats"]
    assert set(supported) <= FORMAT_FIELDS
    assert KSERVE_CONTAINER["name"] == "kserve-container"
    predictor = SERVICE["spec"]["predictor"]
    assert set(SERVICE["spec"]) == {"predictor"}
    assert set(predictor) <= PREDICTOR_FIELDS
    assert set(predictor["model"]) <= MODEL_FIELDS
    assert predictor["model"]["modelFormat"] == {"name": supported["name"]}
    assert predictor["model"]["protocolVersion"] in RUNTIME["spec"]["protocolVersions"]
    # a pod's end is 30 seconds, which Knative lets nobody change
    (drain,) = (int(one.split("=")[1]) for one in KSERVE_CONTAINER["args"] if one.startswith("--drain-timeout"))
    assert drain < 30
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [KSERVE_CONTAINER]}}
    (tmp_path / "pod.yaml").write_text(yaml.safe_dump(pod))
    _validate(tmp_path / "pod.yaml")


# -- systemd --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("listens", ["port", "socket"])
def test_the_unit(wheel: Path, tmp_path: Path, listens: str) -> None:
    """The page's commands install it, below a folder of the test; systemd finds no fault with it."""
    commands = re.sub(r"(?<=[ >])/(opt|etc|srv)\b", rf"{tmp_path}/\1", _commands("python3 -m zipfile"))
    _type(commands, tmp_path, wheel)
    assert (tmp_path / "etc/mlcore/token").stat().st_mode & 0o777 == 0o600
    unit = tmp_path / "etc/systemd/system/mlcore-server.service"
    assert unit.read_text() == UNIT
    unit.write_text(UNIT.replace("=/opt/", f"={tmp_path}/opt/"))
    if listens == "socket":
        (override,) = re.findall(r"^```ini\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
        drop_in = unit.with_name(unit.name + ".d") / "override.conf"
        drop_in.parent.mkdir()
        drop_in.write_text(override.replace("=/opt/", f"={tmp_path}/opt/"))
    # an unknown setting is told but no failure
    assert run(["systemd-analyze", "verify", "--man=no", unit]) == ""
    exposure = round(10 * MAX_EXPOSURE)
    print(run(["systemd-analyze", "security", "--offline=true", f"--threshold={exposure}", "--no-pager", unit]))
    (drain,) = re.findall(r"--drain-timeout (\d+)", UNIT)
    (stop,) = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)
    assert int(stop) > int(drain)
