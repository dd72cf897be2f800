"""One toy a family through the same routines: training, decoding with a cache, `.keras` files, dtype policies, XLA."""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfllm

sys.path.insert(0, str(Path(__file__).parents[1] / "goldens"))
from comparison import output_mask, pad_left, read_tensors, to_our_batch
from golden_files import OF_FAMILY, open_golden

DECODING = [family for family, name in OF_FAMILY.items() if not name.endswith("masked_lm")]
# One family for each way in which the parts are put together, beside those of tests/models; with `-m parity`, all.
COMPILED = ("bloom", "deberta-v2", "gemma2", "modernbert", "qwen3_moe", "t5")
OTHER_MODELS = (
    "bert-backbone",
    "bert-classifier",
    "bert-multiple_choice",
    "bert-span_predictor",
    "bert-token_classifier",
    "bart-backbone",
    "bart-classifier",
    "electra-discriminator",
    "gpt2-backbone",
)


def make_gradients(model, mask: np.ndarray, *, training: bool):
    """`batch -> (loss, gradients)` for random labels, in the order of `trainable_variables`."""
    labels = np.random.default_rng(0).integers(0, model.config.vocab_size, mask.shape)
    loss = model.compile_defaults()["loss"]
    variables = [variable.value for variable in model.trainable_variables]

    def gradients(batch):
        with tf.GradientTape() as tape:
            value = loss(labels, model(batch, training=training), sample_weight=mask.astype("float32"))
        found = tape.gradient(value, variables)
        return value, [gradient if gradient is None else tf.convert_to_tensor(gradient) for gradient in found]

    return gradients


@pytest.mark.parametrize("family", OF_FAMILY)
def test_a_step_of_training_changes_every_weight(family):
    golden = open_golden(OF_FAMILY[family])
    model = golden.model
    _, gradients = make_gradients(model, golden.mask, training=True)(golden.batch)
    # A key's bias adds the same to all scores of a query: but for rounding its gradient is zero.
    still = [
        variable.path
        for variable, gradient in zip(model.trainable_variables, gradients)
        if (gradient is None or not np.any(gradient)) and not variable.path.endswith("key/bias")
    ]
    assert not still
    before = [variable.numpy() for variable in model.trainable_variables]
    keras.optimizers.SGD(1.0).apply(gradients, model.trainable_variables)
    unchanged = [
        variable.path
        for variable, old in zip(model.trainable_variables, before)
        if np.array_equal(variable.numpy(), old) and not variable.path.endswith("key/bias")
    ]
    assert not unchanged
    assert np.isfinite(np.asarray(model(golden.batch, training=False))[golden.mask.astype(bool)]).all()


class Decoding:
    """A decoder's or encoder-decoder's inputs, column by column."""

    def __init__(self, model, batch: dict[str, np.ndarray]):
        self.model = model
        self.prefix = "decoder_" if model.config.is_encoder_decoder else ""
        self.source = {key: value for key, value in batch.items() if not key.startswith("decoder_")}
        self.target = {key: value for key, value in batch.items() if key.startswith(self.prefix)}
        self.length = self.target[f"{self.prefix}token_ids"].shape[1]

    def empty_cache(self):
        places = self.length + 2  # some stay empty
        if self.prefix:
            return self.model.start_cache(self.source, places)
        return self.model.backbone.empty_cache(len(self.target["token_ids"]), places)

    def columns(self, start: int, stop: int, *, tokens_only: bool = False) -> dict[str, np.ndarray]:
        keys = [f"{self.prefix}token_ids"] if tokens_only else self.target
        return {key: self.target[key][:, start:stop] for key in keys}


@pytest.mark.parametrize("family", DECODING)
def test_decoding_with_a_cache_equals_the_whole_sequence_at_once(family):
    golden = open_golden(OF_FAMILY[family])
    decoding = Decoding(golden.model, golden.batch)
    cache, logits = decoding.empty_cache(), []
    for place in range(decoding.length):
        step, cache = golden.model(decoding.columns(place, place + 1), cache=cache)
        logits.append(np.asarray(step))
    real = golden.mask.astype(bool)
    np.testing.assert_allclose(np.concatenate(logits, axis=1)[real], golden.expected["logits"][real], atol=1e-4, rtol=0)


@pytest.mark.parametrize("family", DECODING)
def test_prompts_of_several_lengths_go_on_from_the_same_place(family):
    """Padded on the left, two prompts at once; then token by token, of which nothing is said but its id."""
    golden = open_golden(OF_FAMILY[family])
    moved = pad_left(golden.expected)
    decoding, steps = Decoding(golden.model, to_our_batch(moved)), 3
    prompt = decoding.length - steps
    first, cache = golden.model(decoding.columns(0, prompt), cache=decoding.empty_cache())
    logits = [np.asarray(first)]
    for place in range(prompt, decoding.length):
        step, cache = golden.model(decoding.columns(place, place + 1, tokens_only=True), cache=cache)
        logits.append(np.asarray(step))
    ours = np.concatenate(logits, axis=1)[output_mask(moved).astype(bool)]
    np.testing.assert_allclose(ours, golden.expected["logits"][golden.mask.astype(bool)], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", [*OF_FAMILY.values(), *OTHER_MODELS])
def test_a_keras_file_keeps_the_model_and_its_way_back(name, tmp_path):
    golden = open_golden(name)
    golden.model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(golden.batch), golden.model(golden.batch))
    tfllm.save(again, tmp_path / "saved")
    assert read_tensors(tmp_path / "saved") == read_tensors(golden.directory)


@pytest.mark.parametrize("name", OF_FAMILY.values(), ids=OF_FAMILY)
def test_bfloat16_is_near_float32(name):
    golden = open_golden(name, dtype="mixed_bfloat16")
    real = golden.mask.astype(bool)
    ours, theirs = np.asarray(golden.model(golden.batch))[real], golden.expected["logits"][real]
    assert ours.dtype == np.float32 and np.isfinite(ours).all()
    # On the average: a token on the border between two experts may fall to the other one.
    assert np.abs(ours - theirs).mean() < 0.05 * np.abs(theirs).mean()


@pytest.mark.parametrize(
    "family",
    [family if family in COMPILED else pytest.param(family, marks=pytest.mark.parity) for family in OF_FAMILY],
)
def test_xla_compiles_forward_and_backward(family):
    golden = open_golden(OF_FAMILY[family])
    gradients = make_gradients(golden.model, golden.mask, training=False)
    batch = {key: tf.constant(value) for key, value in golden.batch.items()}
    compiled = tf.function(gradients, jit_compile=True)(batch)
    for eager, xla in zip(tf.nest.flatten(gradients(batch)), tf.nest.flatten(compiled), strict=True):
        np.testing.assert_allclose(xla, eager, atol=1e-5 * max(1.0, float(np.abs(eager).max())), rtol=0)
