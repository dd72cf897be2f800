"""Decoding compared with transformers' `generate`, live, id for id, on random toys of every family that generates.

    pytest -m parity tests/generation

transformers pads prompts of different lengths on the left and gives rows of one length; rows are compared one by one.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import tfllm
from tfllm.generation import Generator

sys.path.insert(0, str(Path(__file__).parents[1] / "goldens"))
from hf_families import FAMILIES
from toy_models import make_model

pytestmark = pytest.mark.parity

CASES = [
    (family, head) for family, spec in FAMILIES.items() for head in ("causal_lm", "seq2seq_lm") if head in spec.heads
]
LENGTHS = (7, 3, 5)
NEW = 12


@pytest.fixture(scope="module", params=CASES, ids=[family for family, _ in CASES])
def pair(request, tmp_path_factory):
    """`(theirs, generator, prompts)`: a toy of theirs, the same loaded by us, and prompts of different lengths."""
    family, head = request.param
    theirs = make_model(family, head, seed=11)
    directory = tmp_path_factory.mktemp(family)
    # transformers would use these; ours come from config.json.
    theirs.generation_config.forced_eos_token_id = theirs.config.to_dict().get("forced_eos_token_id")
    if head == "seq2seq_lm" and theirs.config.decoder_start_token_id is None:
        theirs.config.decoder_start_token_id = theirs.generation_config.decoder_start_token_id = 4
    theirs.save_pretrained(directory)
    ours = tfllm.load(directory, tokenizer=False)
    generator = np.random.default_rng(3)
    return theirs, Generator(ours), [generator.integers(5, 50, length).tolist() for length in LENGTHS]


def by_transformers(model, prompts, **options):
    """Rows of generated ids, up to the end token, and transformers' whole output."""
    import torch

    pad, width = model.config.pad_token_id, max(map(len, prompts))
    ids, mask = (np.full((len(prompts), width), value) for value in (pad, 0))
    for i, prompt in enumerate(prompts):
        place = slice(0, len(prompt)) if model.config.is_encoder_decoder else slice(width - len(prompt), width)
        ids[i, place], mask[i, place] = prompt, 1
    with torch.no_grad():
        output = model.generate(
            input_ids=torch.from_numpy(ids),
            attention_mask=torch.from_numpy(mask),
            return_dict_in_generate=True,
            output_scores=True,
            output_logits=True,
            max_new_tokens=NEW,
            **{"do_sample": False, **options},
        )
    rows, start, eos = [], 1 if model.config.is_encoder_decoder else width, model.config.eos_token_id
    for row in output.sequences[:, start:].tolist():
        rows.append(row[: row.index(eos) + 1] if eos in row else row)
    return rows, output


def test_greedy_gives_the_same_ids_and_log_probabilities(pair):
    import torch

    theirs, generator, prompts = pair
    rows, output = by_transformers(theirs, prompts)
    results = generator(prompts, max_new_tokens=NEW)
    assert [list(result.token_ids) for result in results] == rows
    for i, result in enumerate(results):
        expected = [torch.log_softmax(step[i].float(), -1)[token].item() for step, token in zip(output.logits, rows[i])]
        np.testing.assert_allclose(result.log_probs, expected, atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"num_beams": 4, "num_return_sequences": 4},
        {"num_beams": 3, "length_penalty": 0.0, "early_stopping": "never"},
        {"num_beams": 3, "length_penalty": 2.0, "early_stopping": True, "num_return_sequences": 2},
    ],
    ids=["default", "never", "early"],
)
def test_beam_search_gives_the_same_ids_and_scores(pair, options):
    theirs, generator, prompts = pair
    rows, output = by_transformers(theirs, prompts, **options)
    options = dict(options)
    count = options.pop("num_return_sequences", 1)
    results = generator(prompts, max_new_tokens=NEW, num_results=count, **options)
    flat = [text for result in results for text in (result, *result.others)]
    assert [list(text.token_ids) for text in flat] == [row[: len(text.token_ids)] for row, text in zip(rows, flat)]
    np.testing.assert_allclose([text.score for text in flat], output.sequences_scores.numpy(), atol=1e-4)


def test_penalties_and_constraints_give_the_same_ids(pair):
    theirs, generator, prompts = pair
    options = {"repetition_penalty": 1.3, "no_repeat_ngram_size": 2, "min_new_tokens": 4}
    # One at a time: transformers' penalties also count the padding of a batch.
    for i, prompt in enumerate(prompts):
        rows, _ = by_transformers(theirs, [prompt], **options)
        assert list(generator(prompt, max_new_tokens=NEW, **options).token_ids) == rows[0], i
