"""Saving and loading: old or new and never neither, whatever stops the process; one clear error for each failure."""

from __future__ import annotations

import os
import random
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import forge
import mlcore
import pytest
from mlcore import _core
from mlcore.errors import ArtifactError, ArtifactIOError

KIB = 1024
NOBODY = 65534


def scaled(count: int) -> int:
    return max(1, int(count * float(os.environ.get("MLCORE_TEST_SCALE", "1"))))


@pytest.fixture(scope="module")
def model() -> _core.Model:
    return forge.sample()


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that other users may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


def test_save_and_load(model: _core.Model, tmp_path: Path) -> None:
    path = tmp_path / "model.mlc"
    model.save(str(path))
    assert path.read_bytes() == model.to_bytes()
    loaded = mlcore.load(path)
    assert loaded.predict([{"amount": 0.1, "color": "red", "visits": 0}]).tolist() == ["no"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.mlc"]


@pytest.mark.parametrize("name", ["with space", "ünïcode", "quote'\"", "new\nline", "x" * 255, "-rf", "%2e%2e", "a#b"])
def test_any_file_name(model: _core.Model, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    model.save(str(path))
    assert _core.Model.load(str(path)).to_bytes() == model.to_bytes()
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_relative_path(model: _core.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model.save("model.mlc")
    assert _core.Model.load("./model.mlc").to_bytes() == model.to_bytes()


def test_umask_and_kept_permissions(model: _core.Model, tmp_path: Path) -> None:
    path = tmp_path / "model.mlc"
    old = os.umask(0o027)
    try:
        model.save(str(path))
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o600)
    model.save(str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda path: None, ArtifactIOError, "No such file or directory"),
        (lambda path: path.mkdir(), ArtifactError, "expected a regular file but found a directory"),
        (lambda path: os.mkfifo(path), ArtifactError, "expected a regular file but found a pipe"),
        (lambda path: path.symlink_to("/dev/zero"), ArtifactError, "expected a regular file but found a device"),
        (lambda path: path.symlink_to(path), ArtifactIOError, "Too many levels of symbolic links"),
        (lambda path: path.write_bytes(b""), ArtifactError, "expected an mlcore artifact but found an empty file"),
        (lambda path: path.write_bytes(b"x"), ArtifactError, "expected an mlcore artifact but found other content"),
        (lambda path: path.write_bytes(b"\x80\x04\x95" + bytes(500)), ArtifactError, "found other content"),
        (lambda path: path.write_bytes(forge.sample().to_bytes()[:3000]), ArtifactError, "damaged or incomplete"),
        (lambda path: path.write_bytes(forge.sample().to_bytes()[:6000]), ArtifactError, "damaged or incomplete"),
    ],
    ids=["none", "directory", "pipe", "device", "link to itself", "empty", "text", "pickle", "short", "truncated"],
)
def test_what_is_no_artifact(tmp_path: Path, make: object, error: type[Exception], text: str) -> None:
    path = tmp_path / "model.mlc"
    make(path)  # type: ignore[operator]
    with pytest.raises(error, match=text) as caught:
        mlcore.load(path)
    assert f"'{path}'" in str(caught.value)


def test_a_newer_version_is_named(tmp_path: Path) -> None:
    artifact = forge.Artifact.parse(forge.sample().to_bytes())
    artifact.header["version"] = 2
    path = tmp_path / "model.mlc"
    path.write_bytes(artifact.content())
    with pytest.raises(ArtifactError, match=r"expected format version 1 but found version '2'; a newer mlcore"):
        mlcore.load(path)


def test_failed_writes_name_the_reason(model: _core.Model, tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe")
    before = sorted(entry.name for entry in tmp_path.iterdir())
    for name, text in [
        ("directory", "found a directory"),
        ("pipe", "found a pipe"),
        ("none/model.mlc", "No such file or directory"),
        ("file/model.mlc", "Not a directory"),
        ("x" * 256, "File name too long"),
        ("nul\0byte", "a NUL byte"),
    ]:
        with pytest.raises(ArtifactIOError, match=text):
            model.save(str(tmp_path / name))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == before


def in_child(function: object) -> str:
    """Run a function in a forked process; gives what it returns, or the error it raised, as text."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            text = str(function())  # type: ignore[operator]
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        os.write(write, text.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        text = pipe.read().decode()
    os.waitpid(child, 0)
    return text


def as_nobody() -> None:
    if os.getuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def test_no_permission(model: _core.Model, open_directory: Path) -> None:
    secret = open_directory / "secret.mlc"
    model.save(str(secret))
    secret.chmod(0o000)
    closed = open_directory / "closed"
    closed.mkdir()
    kept = closed / "model.mlc"
    model.save(str(kept))
    closed.chmod(0o555)

    def load() -> None:
        as_nobody()
        _core.Model.load(str(secret))

    def save_into_closed() -> None:
        as_nobody()
        model.save(str(closed / "other.mlc"))

    def save_over_read_only() -> None:
        as_nobody()
        model.save(str(kept))

    try:
        assert in_child(load) == f"ArtifactIOError: cannot read '{secret}': Permission denied"
        assert in_child(save_into_closed) == f"ArtifactIOError: cannot write '{closed}/other.mlc': Permission denied"
        assert in_child(save_over_read_only) == f"ArtifactIOError: cannot write '{kept}': Permission denied"
        assert [entry.name for entry in closed.iterdir()] == ["model.mlc"]
    finally:
        closed.chmod(0o755)


def test_a_file_marked_read_only_is_kept(model: _core.Model, open_directory: Path) -> None:
    open_directory.chmod(0o777)
    path = open_directory / "model.mlc"
    path.write_bytes(b"precious")
    path.chmod(0o444)

    def save() -> None:
        as_nobody()
        model.save(str(path))

    assert in_child(save) == f"ArtifactIOError: cannot write '{path}': Permission denied"
    assert path.read_bytes() == b"precious"
    assert [entry.name for entry in open_directory.iterdir()] == ["model.mlc"]


def test_a_write_that_runs_out_of_room(model: _core.Model, tmp_path: Path) -> None:
    """A file size limit stops the write at each of several points, as a full disk or a quota would."""
    path = tmp_path / "model.mlc"
    path.write_bytes(b"old")
    size = len(model.to_bytes())

    def save_under(limit: int) -> str:
        def save() -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            model.save(str(path))

        return in_child(save)

    for limit in (0, 1, 63, 64, 4096, size - 1):
        assert save_under(limit) == f"ArtifactIOError: cannot write '{path}': File too large"
        assert path.read_bytes() == b"old"
        assert [entry.name for entry in tmp_path.iterdir()] == ["model.mlc"]
    assert save_under(size) == "None"
    assert path.read_bytes() == model.to_bytes()


@pytest.mark.system
def test_a_full_disk_and_a_read_only_one(model: _core.Model, tmp_path: Path) -> None:
    """On a file system of 64 KiB of its own, in a mount namespace of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    target = disk / "model.mlc"
    (tmp_path / "save.py").write_text(
        f"import sys\nsys.path.insert(0, {str(Path(forge.__file__).parent)!r})\nimport forge\n"
        f"try:\n    forge.sample().save({str(target)!r})\n    print('saved')\n"
        "except Exception as error:\n    print(f'{type(error).__name__}: {error}')\n"
    )
    save = f"{sys.executable} {tmp_path}/save.py"
    script = tmp_path / "script.sh"
    script.write_text(
        f"set -e\nmount -t tmpfs -o size=64k tmpfs {disk}\necho old > {target}\n"
        f"head -c 56k /dev/zero > {disk}/ballast\n{save}\nls -A {disk}\ncat {target}\n"
        f"mount -o remount,ro {disk}\n{save}\nmount -o remount,rw {disk}\n"
        f"rm {disk}/ballast\n{save}\nls -A {disk}\n"
    )
    namespace = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    done = subprocess.run([*namespace, "bash", str(script)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        f"ArtifactIOError: cannot write '{target}': No space left on device",
        "ballast",
        "model.mlc",
        "old",
        f"ArtifactIOError: cannot write '{target}': Read-only file system",
        "saved",
        "model.mlc",
    ]


def test_kill_during_save_leaves_old_or_new(model: _core.Model, tmp_path: Path) -> None:
    """`kill -9` at random moments of a loop that saves two models in turn over one file."""
    artifact = forge.Artifact.parse(model.to_bytes())
    artifact.header["provenance"]["library"] = "x" * (512 * KIB)
    large = _core.Model.from_bytes(artifact.content())
    contents = {model.to_bytes(), large.to_bytes()}
    path = tmp_path / "model.mlc"
    model.save(str(path))
    generator = random.Random(6)
    seen = set()
    for _ in range(scaled(60)):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            while True:
                for next_model in (large, model):
                    next_model.save(str(path))
                    os.write(write, b".")
        os.read(read, 1)
        for _ in range(generator.randrange(3)):
            os.read(read, 1)
        time.sleep(generator.uniform(0, 0.004))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(read)
        os.close(write)
        found = path.read_bytes()
        assert found in contents
        assert _core.Model.load(str(path)).to_bytes() == found
        seen.add(found)
    assert seen == contents


def test_readers_never_see_half_a_file(model: _core.Model, tmp_path: Path) -> None:
    artifact = forge.Artifact.parse(model.to_bytes())
    artifact.header["provenance"]["library"] = "x" * (512 * KIB)
    large = _core.Model.from_bytes(artifact.content())
    path = tmp_path / "model.mlc"
    model.save(str(path))
    child = os.fork()
    if child == 0:
        while True:
            large.save(str(path))
            model.save(str(path))
    try:
        sizes = {len(_core.Model.load(str(path)).to_bytes()) for _ in range(scaled(100))}
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert sizes <= {len(model.to_bytes()), len(large.to_bytes())}


def test_a_loaded_model_does_not_need_its_file(model: _core.Model, tmp_path: Path) -> None:
    path = tmp_path / "model.mlc"
    model.save(str(path))
    loaded = _core.Model.load(str(path))
    before = [array.tolist() for array in loaded.run([forge.rows()], [0, 1])]
    with path.open("r+b") as file:
        file.truncate(10)
    path.unlink()
    assert [array.tolist() for array in loaded.run([forge.rows()], [0, 1])] == before
    assert loaded.to_bytes() == model.to_bytes()


def test_loading_runs_no_python(model: _core.Model, tmp_path: Path) -> None:
    """No import, no open, no process, no socket is seen by the interpreter's audit hook while a file loads."""
    path = tmp_path / "model.mlc"
    model.save(str(path))
    script = (
        "import sys\nfrom mlcore import _core\nevents = []\nmodules = set(sys.modules)\nwatch = True\n"
        "sys.addaudithook(lambda event, args: events.append(event) if watch else None)\n"
        f"_core.Model.load({str(path)!r})\nwatch = False\n"
        "print(events, sorted(set(sys.modules) - modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] []"


def test_same_program_same_bytes(model: _core.Model) -> None:
    assert forge.sample().to_bytes() == model.to_bytes()
