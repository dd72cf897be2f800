"""Every kind of architecture, optimizer and adaptation, split over meshes against one device."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import architectures
import pytest
from jax_process import HERE, needs_jax, succeed

from tfllm.training.model_parallel import split_axis

sys.path.insert(0, str(Path(__file__).parents[2] / "goldens"))
from golden_files import OF_FAMILY, open_golden

MESHES = ("two by two", "four")


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    out = tmp_path_factory.mktemp("facts") / "facts.json"
    succeed(str(HERE / "architectures.py"), str(out), KERAS_BACKEND="jax")
    return json.loads(out.read_text())


@needs_jax
@pytest.mark.slow
@pytest.mark.parametrize("mesh", MESHES)
@pytest.mark.parametrize("kind", architectures.KINDS)
def test_steps_are_those_of_one_device(facts, kind, mesh):
    found = facts[f"{kind} {mesh}"]
    assert found["weights"] < 1e-6
    assert found["losses"][0] == pytest.approx(found["losses"][1], abs=1e-5)
    assert found["share"] < (0.55 if mesh == "two by two" else 0.35)


@needs_jax
@pytest.mark.slow
def test_likelihoods_are_those_of_one_device(facts):
    assert facts["log_probs"][0] == pytest.approx(facts["log_probs"][1], abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("family", OF_FAMILY)
def test_the_large_weights_of_every_family_are_split(family):
    """That a rule fits them: the toys' own widths are too odd to divide."""
    model = open_golden(OF_FAMILY[family]).model
    whole = split = 0
    for path, weight in model.named_weights().items():
        size = weight.value.shape.num_elements()
        axis = split_axis(path, tuple(2 * width for width in weight.shape), 2)
        assert axis is not None or size < 0.1 * model.count_params(), (path, weight.shape)
        whole, split = whole + size, split + (0 if axis is None else size)
    assert split > 0.85 * whole
