"""A draft model: the same text as plain decoding, drawn from the model's own distribution, in fewer passes."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from toy_generation import toy_config

import tfllm
from tfllm.cli import main
from tfllm.errors import UserError
from tfllm.generation import Generator, generate
from tfllm.generation.drafts import ModelDraft
from tfllm.generation.options import GenerationOptions
from tfllm.generation.plan import make_processors
from tfllm.generation.special_ids import special_ids
from tfllm.generation.speculative import Drafted
from tfllm.generation.steps import make_steps

PROMPTS = [[5, 6, 7, 8, 9], [3], [10, 11, 12] * 4]


def near(model, noise: float):
    """A model that says nearly what another says."""
    result = type(model)(model.config)
    generator = np.random.default_rng(1)
    result.set_weights([w + noise * generator.normal(size=w.shape) for w in model.get_weights()])
    return result


@pytest.fixture(scope="module", params=["causal_lm", "seq2seq_lm"])
def models(request):
    model = request.getfixturevalue(request.param)
    return model, near(model, 0.05)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 1.0, "top_k": 9, "seed": 3},
        {"repetition_penalty": 1.3, "min_new_tokens": 6, "guidance_scale": 1.5},
    ],
    ids=["greedy", "sampled", "penalties"],
)
def test_the_text_is_that_of_plain_decoding(models, options):
    model, draft = models
    plain = generate(model, PROMPTS, max_new_tokens=14, **options)
    drafted = generate(model, PROMPTS, max_new_tokens=14, draft_model=draft, draft_tokens=3, **options)
    for one, other in zip(plain, drafted):
        assert (one.token_ids, one.finish_reason) == (other.token_ids, other.finish_reason)
        np.testing.assert_allclose(one.log_probs, other.log_probs, atol=1e-4)


def passes(model, draft, monkeypatch, **options) -> int:
    """Forward passes of the model after the prompt, for 21 tokens."""
    generator = Generator(model, draft_model=draft)
    count, next_ = [], generator.loops.steps.next

    def counting(tokens, cache):
        tf.py_function(lambda: count.append(1), [], [])
        return next_(tokens, cache)

    monkeypatch.setattr(generator.loops.steps, "next", counting)
    assert len(generator(PROMPTS[0], max_new_tokens=21, min_new_tokens=21, draft_tokens=4, **options).token_ids) == 21
    return len(count)


def test_a_good_draft_saves_passes_also_where_tokens_are_drawn(causal_lm, monkeypatch):
    keras.utils.set_random_seed(77)
    other = type(causal_lm)(causal_lm.config)
    for options in ({}, {"temperature": 1.5, "seed": 2}):
        # The same model is always right: five tokens a pass.
        assert passes(causal_lm, near(causal_lm, 0.0), monkeypatch, **options) == 5
        some = passes(causal_lm, near(causal_lm, 0.05), monkeypatch, **options)
        assert 5 <= some < passes(causal_lm, other, monkeypatch, **options) <= 21


def exact(model, prompt: list[int], options: dict, count: int) -> dict[tuple, float]:
    """The distribution of the first `count` tokens, from whole forward passes and the definition of temperature and top-k."""
    result, open_ = {}, [((), 1.0)]
    while open_:
        new, probability = open_.pop()
        if len(new) == count:
            result[new] = probability
            continue
        logits = np.asarray(model({"token_ids": np.array([[*prompt, *new]])}))[0, -1].astype("float64")
        p = np.exp(logits / options["temperature"])
        p[np.argsort(-p)[options["top_k"] :]] = 0
        open_ += [((*new, token), probability * p[token] / p.sum()) for token in np.flatnonzero(p).tolist()]
    return result


def test_three_drawn_tokens_follow_the_models_distribution():
    from tfllm.models import CausalLM

    keras.utils.set_random_seed(3)
    model = CausalLM(toy_config(vocab_size=5, eos_id=None))
    draft = near(model, 0.3)  # sometimes right
    prompt, draws, tokens, options = [3, 4], 4000, 3, {"temperature": 1.3, "top_k": 4}
    method, steps = Drafted(ModelDraft(draft, 2)), make_steps(model)
    processors = make_processors(GenerationOptions(**options), special_ids(model), None)

    @tf.function(autograph=False, jit_compile=True)
    def draw(seeds):
        def one(seed):
            batch = {
                "token_ids": tf.constant([prompt]),
                "real": tf.ones((1, 2), tf.bool),
                "limits": tf.constant([tokens]),
            }
            state = method.start(steps, {**batch, "seeds": seed[None]}, tokens + method.extra_places)
            return method.advance(steps, processors, (), state, tokens)["token_ids"][0, 2 : 2 + tokens]

        return tf.map_fn(one, seeds, parallel_iterations=1)

    p = exact(model, prompt, options, tokens)
    found = [tuple(row) for row in draw(tf.range(draws)).numpy().tolist()]
    assert set(found) <= set(p)
    texts = sorted(p, key=p.get, reverse=True)
    observed, expected = [found.count(text) for text in texts], [draws * p[text] for text in texts]
    # The rare ones together: a chi-squared test wants five expected in every class.
    often = sum(e >= 5 for e in expected)
    assert often > 20
    observed, expected = ([*x[:often], sum(x[often:])] for x in (observed, expected))
    assert scipy.stats.chisquare(observed, expected).pvalue > 1e-3
    # And the second and third token are independent of the draft's guesses: every place by itself, given the first token.
    first = max(range(5), key=lambda token: sum(p[text] for text in texts if text[0] == token))
    given = [text for text in found if text[0] == first]
    for place in (1, 2):
        q = np.array([sum(p[t] for t in texts if t[0] == first and t[place] == token) for token in range(5)])
        counts = np.bincount([text[place] for text in given], minlength=5)
        assert scipy.stats.chisquare(counts[q > 0], len(given) * q[q > 0] / q.sum()).pvalue > 1e-3


def test_a_seed_gives_its_text_whatever_the_draft_and_its_length(causal_lm):
    options = {"max_new_tokens": 12, "temperature": 1.2, "num_results": 2, "seed": 9}
    plain = generate(causal_lm, PROMPTS[0], **options)
    for draft, count in ((near(causal_lm, 0.05), 1), (near(causal_lm, 0.5), 5)):
        drafted = Generator(causal_lm, draft_model=draft)(PROMPTS[0], draft_tokens=count, **options)
        assert drafted.token_ids == plain.token_ids
        assert [other.token_ids for other in drafted.others] == [other.token_ids for other in plain.others]


def test_xla_gives_the_same_and_one_compilation_serves_a_bucket(causal_lm):
    draft, options = near(causal_lm, 0.05), {"max_new_tokens": 10, "temperature": 0.9}
    generator = Generator(causal_lm, draft_model=draft, jit_compile=True)
    for prompt, temperature in (([5] * 3, 0.9), ([6, 7] * 6, 0.7)):
        options["temperature"] = temperature
        assert generator(prompt, **options).token_ids == generate(causal_lm, prompt, **options).token_ids
        assert generator.loops.traces == 2


def test_the_context_stop_strings_and_streams_hold(causal_lm, byte_lm):
    options = {"max_new_tokens": 20, "min_new_tokens": 20}
    plain, drafted = (
        generate(causal_lm, [5] * 60, **options, **more) for more in ({}, {"draft_model": near(causal_lm, 0.05)})
    )
    assert (drafted.token_ids, drafted.finish_reason) == (plain.token_ids, "context")
    draft = near(byte_lm, 0.05)
    plain = generate(byte_lm, "ab", max_new_tokens=30, min_new_tokens=30)
    stop = plain.text[7:9]
    stopped = generate(byte_lm, "ab", max_new_tokens=30, min_new_tokens=30, stop=stop)
    drafted = generate(byte_lm, "ab", max_new_tokens=30, min_new_tokens=30, stop=stop, draft_model=draft, chunk=5)
    assert (drafted.text, drafted.finish_reason) == (stopped.text, "stop")
    pieces = Generator(byte_lm).stream("ab", max_new_tokens=30, min_new_tokens=30, draft_model=draft)
    assert "".join(pieces) == plain.text


def test_the_command_takes_a_draft(byte_lm, tmp_path, capsys):
    for name, model in (("model", byte_lm), ("draft", near(byte_lm, 0.05))):
        model.tokenizer = byte_lm.tokenizer
        tfllm.save(model, tmp_path / name, family="gpt2")
    flags = ["generate", f"--model={tmp_path}/model", "--prompt=ab", "--max_new_tokens=9"]
    assert main([*flags, f"--draft_model={tmp_path}/draft", "--draft_tokens=2"]) == 0
    assert capsys.readouterr().out == generate(byte_lm, "ab", max_new_tokens=9).text + "\n"


def test_drafts_that_do_not_fit_are_one_clear_error(causal_lm, seq2seq_lm):
    from tfllm.models import CausalLM

    def refused(message, *, model=causal_lm, **options):
        with pytest.raises(UserError, match=message):
            generate(model, [5] * 30, **options)

    draft = near(causal_lm, 0.0)
    refused(
        "the model's vocabulary. Received: 30 tokens, where the model has 31",
        draft_model=CausalLM(toy_config(vocab_size=30)),
    )
    refused("of the model's kind", model=seq2seq_lm, draft_model=draft)
    refused("Received: a Decoder", draft_model=draft.backbone)
    refused("draft_model reads at most 33", draft_model=CausalLM(toy_config(max_positions=33)), max_new_tokens=9)
    refused("draft_model guesses .* not with num_beams", draft_model=draft, num_beams=2)
    refused("not with prompt_lookup", draft_model=draft, prompt_lookup=2)
    refused("not with penalty_alpha", draft_model=draft, penalty_alpha=0.5, top_k=4)
    refused("draft_tokens needs a draft_model", draft_tokens=3)
    refused("either from a model or from the prompt", draft_tokens=3, prompt_lookup=2)
    refused("draft_tokens must be at least 1", draft_model=draft, draft_tokens=0)
