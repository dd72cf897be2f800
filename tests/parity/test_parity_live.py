"""Live comparison with transformers on random toys: outputs, tensors there and back, transformers opening what we save.

    pytest -m parity tests/parity

needs the extra `parity`. The default tests do the same from golden files of other sizes (tests/zoo, tests/goldens).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import tfllm
from tfllm.errors import CheckpointError

sys.path.insert(0, str(Path(__file__).parents[1] / "goldens"))
import live
from comparison import difference_by_left_padding, our_outputs, read_tensors
from hf_families import FAMILIES
from toy_models import NUM_LABELS, compute_outputs, make_inputs, make_model

pytestmark = pytest.mark.parity

WIDE = live.SIZES["wide"]
AUTO_CLASSES = {
    "classifier": "AutoModelForSequenceClassification",
    "regression": "AutoModelForSequenceClassification",
    "token_classifier": "AutoModelForTokenClassification",
    "span_predictor": "AutoModelForQuestionAnswering",
    "multiple_choice": "AutoModelForMultipleChoice",
}
LANGUAGE_MODELS = ("masked_lm", "causal_lm", "seq2seq_lm")


@pytest.fixture(scope="module", autouse=True)
def quiet_transformers():
    pytest.importorskip("torch", reason="the extra `parity` is not installed")
    transformers = pytest.importorskip("transformers", reason="the extra `parity` is not installed")
    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()


def assert_same(ours, inputs, expected):
    for name, difference in live.differences(ours, inputs, expected).items():
        assert difference < 1e-4, name


@pytest.mark.parametrize("case", [*live.cases()], ids=lambda case: case.name)
def test_same_outputs_and_tensors_there_and_back(case, tmp_path):
    pair = live.make_pair(case, tmp_path / "theirs")
    assert_same(pair.ours, pair.inputs, pair.expected)
    assert difference_by_left_padding(pair.ours, pair.inputs, our_outputs(pair.ours, pair.inputs)) < 1e-4

    tfllm.save(pair.ours, tmp_path / "ours")
    assert read_tensors(tmp_path / "ours") == read_tensors(tmp_path / "theirs")
    assert live.config_meaning(tmp_path / "ours") == live.config_meaning(tmp_path / "theirs")
    reopened = compute_outputs(live.open_with_transformers(tmp_path / "ours", type(pair.theirs)), pair.inputs)
    for name, value in pair.expected.items():
        np.testing.assert_allclose(reopened[name], value, atol=1e-5, rtol=0, err_msg=name)


@pytest.mark.parametrize(
    ("family", "head"),
    [(family, head) for family, spec in FAMILIES.items() for head in spec.heads if head in AUTO_CLASSES],
)
def test_transformers_opens_a_new_head_on_a_backbone(family, head, tmp_path):
    """The path of every fine-tuning: a backbone's checkpoint, a fresh head, exported for others to serve."""
    import transformers

    make_model(family, "backbone", WIDE, seed=81).save_pretrained(tmp_path / "backbone")
    options = {"num_labels": NUM_LABELS[head]} if head in NUM_LABELS else {}
    kind = "classifier" if head == "regression" else head
    ours = tfllm.load(tmp_path / "backbone", head=kind, regression=True if head == "regression" else None, **options)
    generator = np.random.default_rng(82)
    for variable in ours.trainable_variables:
        variable.assign(generator.normal(0, 0.2, variable.shape))
    tfllm.save(ours, tmp_path / "ours")

    theirs = live.open_with_transformers(tmp_path / "ours", getattr(transformers, AUTO_CLASSES[head]))
    inputs = make_inputs(theirs.config, head, WIDE, seed=83)
    assert_same(ours, inputs, compute_outputs(theirs, inputs))


@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_opens_a_model_that_was_made_here(family, tmp_path):
    """A language model that no checkpoint stands behind: `config.json` is written from nothing."""
    import transformers

    head = next(head for head in FAMILIES[family].heads if head in LANGUAGE_MODELS)
    pair = live.make_pair(live.Case(family, head, "wide"), tmp_path / "theirs")
    ours = type(pair.ours)(pair.ours.config)
    ours.set_weights(pair.ours.get_weights())
    tfllm.save(ours, tmp_path / "ours", family=family)

    theirs = live.open_with_transformers(tmp_path / "ours", getattr(transformers, FAMILIES[family].class_name(head)))
    assert_same(ours, pair.inputs, compute_outputs(theirs, pair.inputs))


@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_config_leaves_out_is_read_as_transformers_reads_it(family):
    import transformers

    defaults = getattr(transformers, FAMILIES[family].class_name("config"))().to_dict()
    ours = tfllm.zoo.get(family)
    # DeBERTa's default is not supported, so it must be refused, left out or not.
    stated = {key: allowed[0] for key, allowed in ours.required.items() if defaults.get(key, allowed[0]) not in allowed}
    for config in ({"model_type": family}, defaults) if stated else ():
        with pytest.raises(CheckpointError, match="is not supported"):
            ours.read_config(config)
    read = ours.read_config({"model_type": family, **stated}).to_dict()
    wanted = ours.read_config({**defaults, **stated}).to_dict()
    assert {key: (value, wanted[key]) for key, value in read.items() if value != wanted[key]} == {}
