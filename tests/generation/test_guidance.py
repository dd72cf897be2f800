"""Classifier-free guidance: transformers' ids, its definition computed without a cache, and what goes with it."""

from __future__ import annotations

import numpy as np
import pytest

from tfllm.errors import UserError
from tfllm.generation import Generator, generate

PROMPTS = [[5, 6, 7, 8, 9], [3], [10, 11, 12]]
NEGATIVES = [[9, 4], [8, 8, 8, 7, 6, 5, 4], [20]]


def by_definition(model, prompt: list[int], negative: list[int], scale: float, count: int) -> list[int]:
    """Ids from whole forward passes."""
    new = []

    def log_p(ids):
        if model.config.is_encoder_decoder:
            target = np.array([[model.config.decoder_start_id, *new]])
            logits = model({"token_ids": np.array([ids]), "decoder_token_ids": target})
        else:
            logits = model({"token_ids": np.array([[*ids, *new]])})
        logits = np.asarray(logits)[0, -1].astype("float64")
        return logits - np.log(np.exp(logits).sum())

    while len(new) < count and (not new or new[-1] != model.config.eos_id):
        n = log_p(negative)
        new.append(int(np.argmax(n + scale * (log_p(prompt) - n))))
    return new


@pytest.mark.parametrize(("kind", "scale"), [("causal_lm", 2.5), ("causal_lm", -0.5), ("seq2seq_lm", 2.5)])
def test_it_is_what_the_definition_gives(kind, scale, request):
    model = request.getfixturevalue(kind)
    results = generate(model, PROMPTS, max_new_tokens=6, guidance_scale=scale, negative_prompt=NEGATIVES)
    for prompt, negative, result in zip(PROMPTS, NEGATIVES, results):
        assert list(result.token_ids) == by_definition(model, prompt, negative, scale, 6)


def test_the_default_is_the_last_token_and_for_a_source_the_end_token(causal_lm, seq2seq_lm):
    options = {"max_new_tokens": 6, "guidance_scale": 2.0}
    for model, negatives in ((causal_lm, [[9], [3], [12]]), (seq2seq_lm, [2])):
        default = generate(model, PROMPTS, **options)
        given = generate(model, PROMPTS, negative_prompt=negatives, **options)
        assert [r.token_ids for r in default] == [r.token_ids for r in given]


def test_guided_draws_and_drafts_are_those_of_plain_guided_decoding(causal_lm):
    options = {"max_new_tokens": 10, "guidance_scale": 1.7, "temperature": 1.0, "seed": 4, "negative_prompt": [7, 7]}
    plain = generate(causal_lm, PROMPTS, **options)
    assert [r.token_ids for r in generate(causal_lm, PROMPTS, prompt_lookup=3, **options)] == [
        r.token_ids for r in plain
    ]
    unguided = generate(causal_lm, PROMPTS, **{**options, "guidance_scale": 1.0, "negative_prompt": None})
    assert [r.token_ids for r in unguided] != [r.token_ids for r in plain]


def test_xla_gives_the_same_and_one_compilation_serves_a_bucket_and_all_scales(causal_lm):
    generator = Generator(causal_lm, jit_compile=True)
    for prompt, scale in (([5] * 3, 1.5), ([6, 7] * 6, 3.0)):
        options = {"max_new_tokens": 10, "guidance_scale": scale, "negative_prompt": [4, 5]}
        assert generator(prompt, **options).token_ids == generate(causal_lm, prompt, **options).token_ids
        assert generator.loops.traces == 2


def test_the_context_holds_for_the_negative_prompt_too(causal_lm):
    options = {"max_new_tokens": 20, "min_new_tokens": 20, "guidance_scale": 2.0}
    result = generate(causal_lm, [5, 6], negative_prompt=[7] * 58, **options)
    assert (len(result.token_ids), result.finish_reason) == (6, "context")


def test_a_negative_text_and_a_stream(byte_lm):
    options = {"max_new_tokens": 8, "min_new_tokens": 8, "guidance_scale": 2.0}
    result = generate(byte_lm, "ab", negative_prompt="xyz", **options)
    ids = byte_lm.tokenizer.encode("xyz")
    assert result.token_ids == generate(byte_lm, "ab", negative_prompt=ids, **options).token_ids
    assert "".join(Generator(byte_lm).stream("ab", negative_prompt="xyz", **options)) == result.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"negative_prompt": [4]}, "negative_prompt needs guidance"),
        ({"guidance_scale": 2.0, "num_beams": 2}, "guidance_scale and num_beams"),
        ({"guidance_scale": 2.0, "negative_prompt": [[4], [5]]}, "one text for all prompts, or one a prompt: 1"),
        ({"guidance_scale": 2.0, "negative_prompt": [99]}, r"negative_prompt\[0\]: token ids must be from 0 to 30"),
        ({"guidance_scale": float("nan")}, "guidance_scale must be a finite number"),
    ],
)
def test_wrong_options_are_one_clear_error(causal_lm, options, message):
    with pytest.raises(UserError, match=message):
        generate(causal_lm, [5], **options)


@pytest.mark.parity
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("family", ["gpt2", "llama", "bloom"])
def test_ids_are_those_of_transformers(family, jit_compile, tmp_path):
    import sys
    from pathlib import Path

    import torch

    import tfllm

    sys.path.insert(0, str(Path(__file__).parents[1] / "goldens"))
    from toy_models import make_model

    theirs = make_model(family, "causal_lm", seed=11)
    theirs.save_pretrained(tmp_path)
    generator = Generator(tfllm.load(tmp_path, tokenizer=False), jit_compile=jit_compile)
    for prompt, negative in (([5, 9, 14, 7], None), ([17], [3, 8, 22]), ([11, 12, 11], [40])):
        more = {} if negative is None else {"negative_prompt_ids": torch.tensor([negative])}
        with torch.no_grad():
            ids = theirs.generate(
                torch.tensor([prompt]), guidance_scale=1.8, max_new_tokens=10, do_sample=False, **more
            )[0, len(prompt) :].tolist()
        ours = generator(prompt, guidance_scale=1.8, max_new_tokens=10, negative_prompt=negative)
        assert list(ours.token_ids) == ids
