"""The models of these tests, saved, and one server for all tests that leave it as it was."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import mlcore
import pytest
from mlcore.serving import ServerProcess, spawn

HERE = Path(__file__).resolve().parent

for folder in (HERE, HERE.parent / "attacks"):  # the latter: files that the real writer would never make
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from serving_client import Client  # noqa: E402
from serving_models import make_models  # noqa: E402


@pytest.fixture(scope="session")
def models() -> dict[str, mlcore.Model]:
    return make_models()


@pytest.fixture(scope="session")
def saved(models: dict[str, mlcore.Model], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `<name>.mlc` for every model; nobody changes it."""
    folder = tmp_path_factory.mktemp("saved")
    for name, model in models.items():
        model.save(folder / f"{name}.mlc")
    return folder


@pytest.fixture(scope="session")
def server(
    saved: Path, models: dict[str, mlcore.Model], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """`mixed` and `value` from a folder of versions, the others from their files."""
    folder = tmp_path_factory.mktemp("repository")
    for name in ("mixed", "value"):
        (folder / name / "1").mkdir(parents=True)
        models[name].save(folder / name / "1" / "model.mlc")
    files = [saved / f"{name}.mlc" for name in models if name not in ("mixed", "value")]
    with spawn(folder, *files, manage=True, loops=2, default_model="value") as server:
        yield server
        assert server.returncode is None, server.log
    assert server.returncode == 0, server.log


@pytest.fixture
def client(server: ServerProcess) -> Iterator[Client]:
    with Client(server) as client:
        yield client


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Callable[..., ServerProcess]:
    """Start a server of this test's own; it must end well when the test does."""

    def start(*models: object, **options: object) -> ServerProcess:
        server = spawn(*(str(model) for model in models), **options)  # type: ignore[arg-type]

        def stop() -> None:
            assert server.close() == 0, server.log

        request.addfinalizer(stop)
        return server

    return start
