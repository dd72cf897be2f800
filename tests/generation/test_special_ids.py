"""What a checkpoint's generation_config.json says about the form of a text."""

from __future__ import annotations

import pytest
from toy_generation import toy_config

from tfllm.generation import Generator

PROMPTS = [[5, 6, 7], [9] * 5]


@pytest.fixture
def model():
    import keras

    from tfllm.models import CausalLM

    keras.utils.set_random_seed(4)
    return CausalLM(toy_config())


def generated(model, stated: dict) -> list[tuple[int, ...]]:
    model.checkpoint = {"generation_config": stated}
    return [result.token_ids for result in Generator(model)(PROMPTS, max_new_tokens=8)]


def test_suppressed_tokens_are_never_said(model):
    said = {token for ids in generated(model, {"eos_token_id": 2}) for token in ids}
    suppressed = generated(model, {"eos_token_id": 2, "suppress_tokens": sorted(said)})
    assert said.isdisjoint(token for ids in suppressed for token in ids)


def test_a_text_does_not_begin_with_what_is_suppressed_there(model):
    plain = generated(model, {})
    first = sorted({ids[0] for ids in plain})
    other = generated(model, {"begin_suppress_tokens": first})
    assert not any(ids[0] in first for ids in other)
    # With a forced first token, the next one is meant.
    forced = {"forced_bos_token_id": first[0]}
    second = sorted({ids[1] for ids in generated(model, forced)})
    others = generated(model, {**forced, "begin_suppress_tokens": second})
    assert [ids[0] for ids in others] == [first[0]] * 2 and not any(ids[1] in second for ids in others)


def test_an_empty_prompt_begins_with_the_stated_bos(model):
    model.checkpoint = {"generation_config": {"bos_token_id": 7}}
    generator = Generator(model)
    assert generator([[]], max_new_tokens=4)[0].token_ids == generator([7], max_new_tokens=4).token_ids
    assert (
        generator([[]], max_new_tokens=4)[0].token_ids != generator([model.config.bos_id], max_new_tokens=4).token_ids
    )
