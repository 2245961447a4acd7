"""Makes helpers, also those of the HTTP server's tests, importable by the tests here, which are all system tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import mlcore
import pytest

if TYPE_CHECKING:
    from triton_server import Server

HERE = Path(__file__).resolve().parent

for folder in (HERE.parent / "serving", HERE):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from tools import BUILD, ROOT, run  # noqa: E402


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Do not even import these tests where they are not wanted: some need packages that `make test-system` installs."""
    return True if config.getoption("markexpr") == "not system" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.system)


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real Triton server over an empty repository, with the backend of the package that is imported."""
    from triton_server import Server

    server = Server(tmp_path_factory.mktemp("triton") / "repository", Path(mlcore.get_triton_backend_dir()))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def wheel() -> Path:
    """What `make` has built last."""
    found = sorted((BUILD / "dist").glob("mlcore-*.whl"), key=lambda path: path.stat().st_mtime)
    assert found, f"expected a wheel in {BUILD / 'dist'} from `make` but found none"
    return found[-1]


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean clone of what is committed."""
    target = tmp_path_factory.mktemp("clone") / "mlcore"
    # the checkout of a CI job may belong to another user
    run(["git", "-c", "safe.directory=*", "clone", "--quiet", ROOT, target], cwd=ROOT)
    return target


@pytest.fixture(scope="session")
def bare_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter of a new environment with the wheel and what it requires."""
    folder = tmp_path_factory.mktemp("bare")
    run([sys.executable, "-m", "venv", folder])
    python = folder / "bin" / "python"
    run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel])
    return python
