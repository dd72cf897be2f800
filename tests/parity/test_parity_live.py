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

sys.path.insert(0, str(Path(__file__).parents[1] / "goldens"))
import make_hf_toys as toys
from comparison import largest_difference, our_outputs, read_tensors

pytestmark = pytest.mark.parity

SIZES = {
    "wide": toys.Sizes(
        hidden=48, layers=3, heads=6, kv_heads=2, intermediate=52, vocab=131, positions=40, length=17, real_tokens=5
    ),
    # The longest sequence that the position table allows, one key-value head, and a row of a single token.
    "narrow": toys.Sizes(
        hidden=24, layers=1, heads=2, kv_heads=1, intermediate=17, vocab=57, positions=24, length=24, real_tokens=1
    ),
}
CASES = [
    pytest.param(family, head, {}, id=f"{family}-{head}")
    for family, heads in toys.FAMILY_HEADS.items()
    for head in heads
    if head != "pretraining"
] + [
    pytest.param(toy.family, toy.head, toy.overrides, id=toy.name)
    for toy in toys.TOYS
    if toy.overrides and toy.variant and toy.variant != "rope_llama3"  # refused so far: tests/zoo/test_goldens.py
]


@pytest.fixture(scope="module", autouse=True)
def quiet_transformers():
    pytest.importorskip("torch", reason="the extra `parity` is not installed")
    transformers = pytest.importorskip("transformers", reason="the extra `parity` is not installed")
    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()


def open_with_transformers(directory: Path, model_class):
    model, info = model_class.from_pretrained(directory, output_loading_info=True, attn_implementation="eager")
    problems = {name: found for name, found in info.items() if found}
    assert not problems, f"transformers does not take {directory} as it is: {problems}"
    return model.eval()


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize(("family", "head", "overrides"), CASES)
def test_same_outputs_and_tensors_there_and_back(family, head, overrides, sizes, tmp_path):
    theirs = toys.make_model(family, head, sizes, seed=71, **overrides)
    theirs.save_pretrained(tmp_path / "theirs")
    inputs = toys.make_inputs(family, sizes, seed=72)
    expected = toys.compute_outputs(theirs, inputs)

    ours = tfllm.load(tmp_path / "theirs")  # the head comes from the config's `architectures`
    for name, value in our_outputs(ours, inputs).items():
        assert largest_difference(value, expected[name], inputs["attention_mask"]) < 1e-4, name

    tfllm.save(ours, tmp_path / "ours")
    assert read_tensors(tmp_path / "ours") == read_tensors(tmp_path / "theirs")
    reopened = toys.compute_outputs(open_with_transformers(tmp_path / "ours", type(theirs)), inputs)
    for name, value in expected.items():
        np.testing.assert_allclose(reopened[name], value, atol=1e-6, rtol=0, err_msg=name)


@pytest.mark.parametrize(
    ("head", "options"),
    [
        ("classifier", {"num_labels": 3}),
        ("classifier", {"num_labels": 1, "regression": True}),
        ("token_classifier", {"num_labels": 5}),
        ("span_predictor", {}),
    ],
    ids=["classifier", "regression", "token_classifier", "span_predictor"],
)
@pytest.mark.parametrize("family", toys.FAMILIES)
def test_transformers_opens_a_new_head_on_a_backbone(family, head, options, tmp_path):
    """The path of every fine-tuning: a backbone's checkpoint, a fresh head, exported for others to serve."""
    import transformers

    toys.make_model(family, "backbone", SIZES["wide"], seed=81).save_pretrained(tmp_path / "backbone")
    ours = tfllm.load(tmp_path / "backbone", head=head, **options)
    generator = np.random.default_rng(82)
    ours.set_weights([generator.normal(0, 0.2, weight.shape) for weight in ours.get_weights()])
    tfllm.save(ours, tmp_path / "ours")

    auto_class = {
        "classifier": transformers.AutoModelForSequenceClassification,
        "token_classifier": transformers.AutoModelForTokenClassification,
        "span_predictor": transformers.AutoModelForQuestionAnswering,
    }[head]
    inputs = toys.make_inputs(family, SIZES["wide"], seed=83)
    expected = toys.compute_outputs(open_with_transformers(tmp_path / "ours", auto_class), inputs)
    for name, value in our_outputs(ours, inputs).items():
        assert largest_difference(value, expected[name], inputs["attention_mask"]) < 1e-4, name
