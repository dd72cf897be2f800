"""What transformers 4 decodes with methods that version 5 no longer has, as tests/goldens/make_hf4_decoding.py wrote it."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np

import tfllm
from tfllm.generation import Generator

GOLDENS = Path(__file__).parents[1] / "goldens"
MADE = json.loads((GOLDENS / "hf4_decoding.json").read_text())
TOYS = sorted({case["toy"] for case in MADE["cases"]})


@functools.cache
def toy(name: str):
    return tfllm.load(GOLDENS / "hf_toys" / name, tokenizer=False)


def assert_the_same(toy_name: str, option_name: str, **generator_options) -> None:
    """Our ids are theirs, and the scores too. Theirs are of each prompt alone; ours are of one batch."""
    cases = [case for case in MADE["cases"] if (case["toy"], case["name"]) == (toy_name, option_name)]
    generator = Generator(toy(toy_name), **generator_options)
    options = {"max_new_tokens": MADE["max_new_tokens"], **MADE["options"][option_name]}
    results = generator([case["prompt"] for case in cases], **options)
    for case, result in zip(cases, results, strict=True):
        texts = (result, *result.others)
        assert [list(text.token_ids) for text in texts] == case["token_ids"]
        if case["scores"] is not None:
            np.testing.assert_allclose([text.score for text in texts], case["scores"], atol=1e-4)
