"""Beam search under a constraint: the best of the texts that follow it, and no others."""

from __future__ import annotations

import json
import re

import jsonschema
import numpy as np
import pytest
from toy_generation import says

from tfllm.cli import main
from tfllm.errors import UserError
from tfllm.generation import Generator, generate, score

EOS, BOS = 256, 257  # of the toy whose other tokens are bytes
CHOICES = ["on", "one", "two", "seven", "oe"]
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 30}, "b": {"enum": ["x", "yes"]}},
    "required": ["a"],
    "additionalProperties": False,
}


def texts(result) -> list:
    return [result, *result.others]


def exact_scores(model, prompt: list[int], choices, length_penalty: float) -> dict[str, float]:
    """What beam search that forgets nothing finds: each choice's log-probability with the end token, by its length."""
    found = {}
    for choice in choices:
        ids = [*prompt, *choice.encode(), EOS]
        log_probs = score(model, [ids])[0].log_probs[-len(choice) - 1 :]
        found[choice] = sum(log_probs) / len(log_probs) ** length_penalty
    return found


@pytest.mark.parametrize("length_penalty", [1.0, 0.0])
def test_the_choices_come_in_the_order_of_their_probability(byte_lm, length_penalty):
    options = {"num_beams": 8, "num_results": 5, "length_penalty": length_penalty, "early_stopping": "never"}
    prompts = [[BOS, *b"abc"], [BOS, *b"x"]]
    for prompt, result in zip(prompts, generate(byte_lm, prompts, choices=CHOICES, **options)):
        exact = exact_scores(byte_lm, prompt, CHOICES, length_penalty)
        assert [text.text for text in texts(result)] == sorted(exact, key=exact.get, reverse=True)
        np.testing.assert_allclose([text.score for text in texts(result)], sorted(exact.values())[::-1], atol=1e-4)
        assert {text.finish_reason for text in texts(result)} == {"eos"}


@pytest.mark.parametrize("groups", [{}, {"num_beam_groups": 2, "diversity_penalty": 0.7}])
@pytest.mark.parametrize(
    ("regex", "shortest"), [("a(bc)*", 1), ("[ab]{2}c*(dd|e)", 3), ("(ab|c){2,}x?", 2), ("é+!", 3)]
)
def test_all_beams_match_a_regular_expression_however_early_the_limit(byte_lm, regex, shortest, groups):
    generator = Generator(byte_lm)
    for limit in range(shortest, shortest + 5):
        results = generator(["x", "abc"], regex=regex, num_beams=4, num_results=4, max_new_tokens=limit, **groups)
        for result in results:
            for text in texts(result):
                assert re.fullmatch(regex, text.text), (limit, text)
                assert len(text.token_ids) <= limit and text.finish_reason in ("eos", "length")


def test_all_beams_are_valid_json_and_do_not_depend_on_the_batch(byte_lm):
    generator = Generator(byte_lm)
    options = {"json_schema": SCHEMA, "num_beams": 3, "num_results": 3, "max_new_tokens": 24}
    together = generator(["x", "some other prompt"], **options)
    for prompt, result in zip(["x", "some other prompt"], together):
        for text in texts(result):
            jsonschema.validate(json.loads(text.text), SCHEMA)
        alone = generator(prompt, **options)
        assert [text.token_ids for text in texts(alone)] == [text.token_ids for text in texts(result)]


@pytest.mark.parity
@pytest.mark.parametrize("num_beams", [2, 4])
def test_ids_and_scores_are_those_of_transformers(byte_lm, num_beams, tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    import tfllm

    tfllm.save(byte_lm, tmp_path / "gpt2", family="gpt2")
    theirs = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "gpt2").eval()
    spelt = [[*choice.encode(), EOS] for choice in CHOICES]
    for prompt in ("abc", "x", "on the other hand"):
        ids = list(prompt.encode())

        def allowed(_, tokens, begin=len(ids)):
            said = tokens.tolist()[begin:]
            return [each[len(said)] for each in spelt if each[: len(said)] == said and len(each) > len(said)] or [EOS]

        expected = theirs.generate(
            torch.tensor([ids]), prefix_allowed_tokens_fn=allowed, num_beams=num_beams, num_return_sequences=2,
            max_new_tokens=8, pad_token_id=EOS, eos_token_id=EOS, return_dict_in_generate=True, output_scores=True,
        )  # fmt: skip
        result = generate(byte_lm, prompt, choices=CHOICES, num_beams=num_beams, num_results=2, max_new_tokens=8)
        for text, row, their_score in zip(texts(result), expected.sequences, expected.sequences_scores, strict=True):
            new = row[len(ids) :].tolist()
            assert list(text.token_ids) == new[: new.index(EOS) + 1]
            assert text.score == pytest.approx(float(their_score), abs=1e-4)


def test_a_beam_that_another_option_stops_leaves_the_others(byte_lm):
    result = generate(byte_lm, "x", choices=CHOICES, num_beams=5, num_results=5, bad_words=["n"], min_new_tokens=3)
    # Without n, and with at least three tokens before the end token.
    assert [text.text for text in texts(result)] == ["two"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"choices": ["one", "on"], "bad_words": ["n"]}, "beam search found no text with a finite score"),
        ({"regex": "a{50}", "max_new_tokens": 10}, "shortest text found that follows regex has .* room for 10"),
        ({"regex": "a(b"}, "regex cannot be followed"),
    ],
)
def test_what_cannot_be_met_is_one_clear_error(byte_lm, options, message):
    with pytest.raises(UserError, match=message):
        generate(byte_lm, "x", num_beams=2, **options)


def test_own_processors_that_contradict_are_an_error(byte_lm):
    with pytest.raises(UserError, match="beam search found no text"):
        Generator(byte_lm, processors=[says("no JSON")])("x", json_schema=True, num_beams=2)
    assert Generator(byte_lm, processors=[says('{"a":1}')])("x", json_schema=True, num_beams=2).text == '{"a":1}'


def test_a_model_without_an_end_token_is_refused(byte_tokenizer):
    import keras
    from toy_generation import toy_config

    from tfllm.models import CausalLM

    keras.utils.set_random_seed(3)
    model = CausalLM(toy_config(vocab_size=byte_tokenizer.vocab_size, max_positions=64, bos_id=257, eos_id=None))
    model.tokenizer = byte_tokenizer
    with pytest.raises(UserError, match="regex with beams needs an end token"):
        generate(model, "x", regex="a+", num_beams=2)


def test_the_command_ranks_choices(byte_lm, tmp_path, capsys):
    import tfllm

    tfllm.save(byte_lm, tmp_path / "gpt2", family="gpt2")
    flags = ["--prompt=x", "--choices=one,two,seven", "--num_beams=4", "--num_results=3", "--format=jsonl"]
    assert main(["generate", f"--model={tmp_path / 'gpt2'}", *flags]) == 0
    first = json.loads(capsys.readouterr().out)
    said = [first, *first["others"]]
    assert {each["text"] for each in said} == {"one", "two", "seven"}
    assert [each["score"] for each in said] == sorted((each["score"] for each in said), reverse=True)
