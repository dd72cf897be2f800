"""Toy language models for the tests of generation."""

from __future__ import annotations

import keras
import pytest
from toy_generation import make_byte_tokenizer, toy_config

# What GPT-2's config.json cannot say otherwise.
GPT2 = {"pooled": "last", "classifier_activation": None, "classifier_bias": False, "classifier_dropout": 0.0}


@pytest.fixture(autouse=True, scope="session")
def without_xla():
    """Compiling toys with XLA takes longer than running them. `test_xla_gives_the_same` covers it."""
    from tfllm.generation import Generator

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(Generator.__init__.__kwdefaults__, "jit_compile", False)
        yield


@pytest.fixture(scope="session")
def causal_lm():
    from tfllm.models import CausalLM

    keras.utils.set_random_seed(4)
    return CausalLM(toy_config())


@pytest.fixture(scope="session")
def seq2seq_lm():
    from tfllm.models import Seq2SeqLM

    keras.utils.set_random_seed(5)
    return Seq2SeqLM(toy_config(causal=False, num_decoder_layers=1, decoder_start_id=0))


@pytest.fixture(scope="session")
def byte_tokenizer():
    return make_byte_tokenizer()


@pytest.fixture(scope="session")
def byte_lm(byte_tokenizer):
    from tfllm.models import CausalLM

    keras.utils.set_random_seed(8)
    model = CausalLM(toy_config(vocab_size=258, eos_id=256, bos_id=257, max_positions=256, **GPT2))
    model.tokenizer = byte_tokenizer
    return model
