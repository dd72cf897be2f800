"""Live comparison with PEFT: its adapters on our models, ours on its, outputs and names.

    pytest -m parity tests/parity/test_peft_live.py

needs the extra `parity`.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest

import tfllm
from tfllm.models import adaptation

sys.path.insert(0, str(Path(__file__).parents[1] / "goldens"))
import live
from peft_toys import CASES, random_adapter
from toy_models import compute_outputs, make_inputs, make_model

pytestmark = pytest.mark.parity


@pytest.fixture(scope="module", autouse=True)
def quiet_transformers():
    pytest.importorskip("torch", reason="the extra `parity` is not installed")
    pytest.importorskip("peft", reason="the extra `parity` is not installed")
    transformers = pytest.importorskip("transformers", reason="the extra `parity` is not installed")
    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()


def assert_same(ours, inputs, expected):
    for name, difference in live.differences(ours, inputs, expected).items():
        assert difference < 1e-5, name


def opened_by_peft(base, directory):
    """`PeftModel.from_pretrained`, which must want every tensor of the file and no other."""
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors.numpy import load_file

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model = PeftModel.from_pretrained(base, directory).eval()
    assert not [str(warning.message) for warning in said if "adapter keys" in str(warning.message)]
    written = load_file(directory / "adapter_model.safetensors")
    wanted = get_peft_model_state_dict(model)
    assert sorted(wanted) == sorted(written)
    for name, tensor in wanted.items():
        np.testing.assert_array_equal(tensor.numpy(), written[name], err_msg=name)
    return model


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_adapter_of_peft_computes_the_same_here_and_goes_back(case, tmp_path):
    """Loaded, compared, merged, saved again: PEFT opens ours over the same checkpoint."""
    base = make_model(case.family, case.head, case.sizes, seed=71)
    base.save_pretrained(tmp_path / "base")
    inputs = make_inputs(base.config, case.head, case.sizes, seed=72)
    plain = compute_outputs(base, inputs)
    theirs = random_adapter(base, case, seed=73)
    theirs.save_pretrained(tmp_path / "theirs")
    expected = compute_outputs(theirs, inputs)
    assert any(np.abs(expected[name] - plain[name]).max() > 1e-2 for name in expected)

    ours = tfllm.load_adapter(tfllm.load(tmp_path / "base", tokenizer=False), tmp_path / "theirs")
    assert_same(ours, inputs, expected)
    tfllm.save_adapter(ours, tmp_path / "ours")
    again = make_model(case.family, case.head, case.sizes, seed=71)
    assert_same(ours, inputs, compute_outputs(opened_by_peft(again, tmp_path / "ours"), inputs))
    assert_same(tfllm.training.merge_lora(ours), inputs, expected)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_adapter_of_ours_computes_the_same_in_peft(case, tmp_path):
    """Projections that are one tensor of theirs get updates of their own: PEFT sees one update with blocks."""
    base = make_model(case.family, case.head, case.sizes, seed=81)
    base.save_pretrained(tmp_path / "base")
    inputs = make_inputs(base.config, case.head, case.sizes, seed=82)
    ours = tfllm.training.lora(tfllm.load(tmp_path / "base", tokenizer=False), rank=3, alpha=5, targets=case.ours)
    generator = np.random.default_rng(83)
    for weight in ours.trainable_variables:
        weight.assign(generator.normal(0, 0.3, weight.shape))
    tfllm.save_adapter(ours, tmp_path / "ours")
    theirs = opened_by_peft(base, tmp_path / "ours")
    assert_same(ours, inputs, compute_outputs(theirs, inputs))

    theirs.save_pretrained(tmp_path / "theirs")
    again = tfllm.load_adapter(tfllm.load(tmp_path / "base", tokenizer=False), tmp_path / "theirs")
    for path, layer in adaptation.adapted(ours).items():
        back = adaptation.projections(again)[path]
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(layer.lora_b), keras.ops.convert_to_numpy(back.lora_b), err_msg=path
        )
    assert sorted(w.path.split("/", 1)[1] for w in again.trainable_variables) == sorted(
        w.path.split("/", 1)[1] for w in ours.trainable_variables
    )
