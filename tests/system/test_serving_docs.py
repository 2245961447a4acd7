"""Pages about serving whose Python code needs the official clients: it runs against the server of the same page."""

from __future__ import annotations

from pathlib import Path

import pytest
from serving_pages import PAGES, blocks, make_demo, run_page
from tools import CLIENTS
from triton_server import PACKAGES

LIBRARIES = {"serving-triton.md": PACKAGES, "serving-mlflow.md": CLIENTS}


def test_every_page_with_a_client_is_here() -> None:
    assert {page for page in PAGES if blocks(page, "py")} == set(LIBRARIES)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_demo(tmp_path_factory.mktemp("demo"))


@pytest.mark.parametrize("page", LIBRARIES)
def test_the_client_of_the_page(tmp_path: Path, demo: Path, page: str) -> None:
    run_page(page, tmp_path, demo, packages=LIBRARIES[page], curl="translated")
