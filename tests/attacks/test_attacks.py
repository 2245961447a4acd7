"""Every hostile artifact is refused with one clear error, at a bounded cost, and random mutants never crash."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
from pathlib import Path

import forge
import numpy as np
import pytest
from attacks import ATTACKS, BOMBS
from forge import Artifact
from mlcore import _core
from mlcore.errors import ArtifactError, MlcoreError

HERE = Path(__file__).resolve().parent
SLACK = 64_000_000  # bytes a load may take beyond the file and its copy


def scaled(count: int) -> int:
    return max(1, int(count * float(os.environ.get("MLCORE_TEST_SCALE", "1"))))


@pytest.fixture(scope="module")
def whole() -> bytes:
    return forge.sample().to_bytes()


@pytest.fixture(scope="module")
def good(whole: bytes) -> Artifact:
    """Without golden rows, which would catch what the checks must catch."""
    artifact = Artifact.parse(whole)
    artifact.header["golden"] = {"rows": 0, "columns": [], "missing": [], "expected": []}
    artifact.header["constants"] = []
    return artifact


def test_the_document_is_enough_to_read_and_write_the_format(whole: bytes) -> None:
    assert Artifact.parse(whole).content() == whole


def test_the_sample_without_golden_rows_is_good(good: Artifact) -> None:
    model = _core.Model.from_bytes(good.content())
    assert model.golden_rows == 0
    assert model.to_bytes() == good.content()


@pytest.mark.parametrize("name", ATTACKS)
def test_attack(name: str, good: Artifact) -> None:
    content = ATTACKS[name](good.copy())
    with pytest.raises(ArtifactError, match=r"expected .*|differs") as caught:
        _core.Model.from_bytes(content)
    assert len(str(caught.value)) < 500


def test_every_truncation_is_refused(whole: bytes) -> None:
    for size in range(len(whole)):
        with pytest.raises(ArtifactError):
            _core.Model.from_bytes(whole[:size])


def test_every_changed_byte_is_refused(whole: bytes) -> None:
    generator = random.Random(3)
    for index in range(len(whole)):
        changed = bytearray(whole)
        changed[index] ^= generator.randrange(1, 256)
        with pytest.raises(ArtifactError):
            _core.Model.from_bytes(bytes(changed))


def test_changed_golden_rows_are_refused(whole: bytes) -> None:
    artifact = Artifact.parse(whole)
    index = artifact.header["golden"]["expected"][1]
    dtype, shape, content = artifact.slabs[index]
    values = np.frombuffer(content, "<f8").copy()
    values[0] = np.nextafter(values[0], 1.0)  # one bit
    artifact.slabs[index] = (dtype, shape, values.tobytes())
    with pytest.raises(ArtifactError, match="golden rows: output 'decision_function' differs"):
        _core.Model.from_bytes(artifact.content())


def test_changed_leaf_is_caught_by_golden_rows(whole: bytes) -> None:
    artifact = Artifact.parse(whole)
    artifact.set_item("trees", "leaf_values", 1, -1.0000000000000002)
    with pytest.raises(ArtifactError, match="golden rows"):
        _core.Model.from_bytes(artifact.content())


def test_table_shorter_than_its_codes_refuses_the_row(good: Artifact) -> None:
    artifact = good.copy()
    artifact.set_array("table", "values", np.array([1.0, 2.0]))
    model = _core.Model.from_bytes(artifact.content())
    builder = _core.BatchBuilder(1)
    builder.add_array("amount", np.array([0.1]))
    builder.add_objects("color", np.array(["blue"], object), "string")  # code 2
    builder.add_array("visits", np.array([0], np.int32))
    with pytest.raises(MlcoreError, match="expected a code from 0 to 1 but found 2"):
        model.run(builder.finish(), [1])


def cost(content: bytes, directory: Path) -> tuple[int, float, str]:
    """Peak memory, seconds and the verdict of a load in a fresh process."""
    path = directory / "model.mlc"
    path.write_bytes(content)
    command = [sys.executable, str(HERE / "cost.py"), str(path)]
    memory, seconds, verdict = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(memory), float(seconds), verdict


@pytest.mark.parametrize("name", BOMBS)
def test_bomb_costs_little(name: str, good: Artifact, tmp_path: Path) -> None:
    content = ATTACKS[name](good.copy())
    memory, seconds, verdict = cost(content, tmp_path)
    assert verdict == "refused"
    assert memory <= 2 * len(content) + SLACK
    assert seconds <= 5.0  # 0.5 on an idle machine


def test_large_good_files_cost_little(good: Artifact, tmp_path: Path) -> None:
    long = good.copy()
    long.header["schema"][0]["name"] = "a" * 15_000_000
    escaped = good.copy()
    escaped.header["schema"][0]["name"] = "\x01" * 2_600_000
    heavy = good.copy()
    heavy.slabs.insert(len(heavy.slabs) - 4, forge.array_slab(np.zeros(5_000_000)))
    for output in heavy.header["outputs"]:
        output["names"] += 1
    named = good.copy()
    width = 600_000
    hot = {
        "op": "one_hot",
        "path": "wide",
        "inputs": [6],
        "attributes": {"dtype": "f64", "width": width},
        "constants": {},
    }
    named.header["nodes"].append(hot)
    named.header["outputs"][3]["value"] = len(named.header["nodes"]) - 1
    named.slabs[-1] = forge.text_slab([f"color_{index}" for index in range(width)])
    for artifact in (long, escaped, heavy, named):
        content = artifact.content()
        memory, _, verdict = cost(content, tmp_path)
        assert verdict == "loaded"
        assert memory <= 2 * len(content) + SLACK


def predict_or_refuse(content: bytes, batch: _core.Batch) -> bool:
    """Load and run; a typed error is fine, and so is an answer. Gives whether the file loaded."""
    try:
        model = _core.Model.from_bytes(content)
    except ArtifactError:
        return False
    assert model.to_bytes() == content
    with contextlib.suppress(MlcoreError):
        model.run([batch], list(range(len(model.outputs))))
    return True


def test_random_structural_mutants(good: Artifact) -> None:
    """Slabs, shapes, indices and attributes changed at random: refused, or safe to run."""
    generator = random.Random(4)
    batch = forge.rows()
    numbers = [-(2**63), -(2**31), -2, -1, 0, 1, 2, 3, 5, 7, 8, 64, 2**31 - 1, 2**31, 2**40, 2**63 - 1]
    loaded = 0
    for _ in range(scaled(3000)):
        artifact = good.copy()
        for _ in range(generator.choice([1, 1, 1, 2, 3])):
            kind = generator.randrange(5)
            node = generator.choice(artifact.header["nodes"])
            if kind == 0:
                index = generator.choice([i for i, slab in enumerate(artifact.slabs) if slab[2]])
                dtype, shape, content = artifact.slabs[index]
                data = bytearray(content)
                at = generator.randrange(len(data))
                data[at] = generator.choice([0, 1, 2, 127, 128, 255, generator.randrange(256)])
                artifact.slabs[index] = (dtype, shape, bytes(data))
            elif kind == 1:
                index = generator.randrange(len(artifact.slabs))
                dtype, shape, content = artifact.slabs[index]
                item = 1 if dtype == "str" else np.dtype(forge.NUMPY[dtype]).itemsize
                count = len(content) // item
                keep = generator.randrange(count + 1)
                artifact.slabs[index] = (dtype, [keep] if dtype != "str" else shape, content[: keep * item])
            elif kind == 2 and node["inputs"]:
                node["inputs"][generator.randrange(len(node["inputs"]))] = generator.randrange(
                    len(artifact.header["nodes"])
                )
            elif kind == 3 and node["constants"]:
                node["constants"][generator.choice(list(node["constants"]))] = generator.randrange(len(artifact.slabs))
            elif node["attributes"]:
                key = generator.choice(list(node["attributes"]))
                donor = generator.choice(artifact.header["nodes"])["attributes"]
                choices = [True, generator.choice(numbers), *donor.values()]
                node["attributes"][key] = generator.choice(choices)
        loaded += predict_or_refuse(artifact.content(), batch)
    assert loaded > 0


def test_mutated_golden_rows_and_outputs(good: Artifact, whole: bytes) -> None:
    generator = random.Random(5)
    batch = forge.rows()
    for _ in range(scaled(1000)):
        artifact = Artifact.parse(whole)
        target = generator.choice([artifact.header["golden"], *artifact.header["outputs"], *artifact.header["schema"]])
        key = generator.choice(list(target))
        value = target[key]
        if isinstance(value, bool):
            target[key] = not value
        elif isinstance(value, int):
            target[key] = generator.choice([-1, 0, 1, 2, 3, 10, 31, 2**31 - 1])
        elif isinstance(value, list):
            value[generator.randrange(len(value))] = generator.randrange(-1, len(artifact.slabs))
        else:
            target[key] = generator.choice(
                ["predict", "float32", "int64", "object", "<U1", "string", "timestamp[ns]", "x"]
            )
        predict_or_refuse(artifact.content(), batch)
