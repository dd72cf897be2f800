"""Tokenising once: the cache gives back what was made, is never stale, and survives races and damage."""

from __future__ import annotations

import concurrent.futures
import json
import logging
import re
import threading

import numpy as np
import pytest
import tokenizers

import tfllm.text
from tfllm.data import Examples, TokenizedExamples, tokenize
from tfllm.errors import UserError

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] the a good bad film plot was ##ly ##s .".split()
PAIRS = Examples(
    (["the film was good .", "a bad plot", "goods"], ["badly", "the plot was the plot", "a"]),
    np.array([1, 0, 1]),
    ids=["r1", "r2", "r3"],
    source="pairs.tsv",
)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    directory = tmp_path_factory.mktemp("bert")
    (directory / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    (directory / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    return tfllm.text.load(directory)


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A tokenizer that sets no special tokens, so an empty text has no token at all, and has no token types."""
    directory = tmp_path_factory.mktemp("bare")
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(directory / "tokenizer.json"))
    (directory / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPT2Tokenizer"}))
    return tfllm.text.load(directory)


def same(one: TokenizedExamples, other: TokenizedExamples) -> bool:
    pairs = [(getattr(one, name), getattr(other, name)) for name in ("token_ids", "offsets", "type_ids", "labels")]
    return (
        all((a is None and b is None) or (a.dtype == b.dtype and np.array_equal(a, b)) for a, b in pairs)
        and one.truncated == other.truncated
    )


def entries(cache):
    return sorted((cache / "tokens").iterdir())


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_tokens_are_those_of_the_tokenizer(bert, tmp_path):
    tokens = tokenize(PAIRS, bert, max_length=32, cache_dir=tmp_path)
    assert len(tokens) == 3 and tokens.truncated == 0
    assert tokens.lengths.tolist() == [len(bert.encode(a, b)) for a, b in zip(*PAIRS.texts, strict=True)]
    for i, (a, b) in enumerate(zip(*PAIRS.texts, strict=True)):
        span = slice(tokens.offsets[i], tokens.offsets[i + 1])
        assert tokens.token_ids[span].tolist() == bert.encode(a, b)
        first = len(bert.encode(a))
        assert tokens.type_ids[span].tolist() == [0] * first + [1] * (tokens.lengths[i] - first)
    assert tokens.labels.tolist() == [1, 0, 1]
    assert (tokens.token_ids.dtype, tokens.offsets.dtype, tokens.type_ids.dtype) == (np.int32, np.int64, np.uint8)


def test_many_chunks_make_one_array(bert, tmp_path):
    texts = ["the film", "a", "good plot ."] * 6000
    tokens = tokenize(Examples((texts,)), bert, max_length=8, cache_dir=tmp_path)
    assert len(tokens) == 18000 and tokens.labels is None
    assert tokens.token_ids[tokens.offsets[17999] : tokens.offsets[18000]].tolist() == bert.encode("good plot .")
    assert np.array_equal(tokens.token_ids, np.tile(tokens.token_ids[: tokens.offsets[3]], 6000))


def test_second_call_reads_the_cache(bert, tmp_path, monkeypatch):
    first = tokenize(PAIRS, bert, max_length=32, cache_dir=tmp_path)
    monkeypatch.setattr(type(bert), "encode_batch", None)  # calling it would fail
    second = tokenize(PAIRS, bert, max_length=32, cache_dir=tmp_path)
    assert same(first, second)
    with pytest.raises(ValueError, match="read-only"):
        second.token_ids[0] = 1  # the file's pages, not a copy


def test_cache_is_keyed_by_what_determines_it(bert, bare, tmp_path):
    changed_text = Examples((["the film was bad .", *PAIRS.texts[0][1:]], PAIRS.texts[1]), PAIRS.labels, ids=PAIRS.ids)
    changed_label = Examples(PAIRS.texts, 1 - PAIRS.labels, ids=PAIRS.ids)
    for examples, tokenizer, max_length in [
        (PAIRS, bert, 32),
        (PAIRS, bert, 6),
        (PAIRS, bert, None),
        (PAIRS, bare, 32),
        (changed_text, bert, 32),
        (changed_label, bert, 32),
    ]:
        tokens = tokenize(examples, tokenizer, max_length=max_length, cache_dir=tmp_path)
        expected = tokenizer.encode_batch(*examples.texts, max_length=max_length)
        assert np.array_equal(tokens.token_ids, expected.ids) and np.array_equal(tokens.labels, examples.labels)
    assert len(entries(tmp_path)) == 6


def test_cut_examples_are_counted_and_reported_every_time(bert, tmp_path, caplog):
    for _ in range(2):
        caplog.clear()
        tokens = tokenize(PAIRS, bert, max_length=8, cache_dir=tmp_path)
        assert tokens.truncated == 2 and tokens.lengths.max() == 8
        assert warnings(caplog) == ["2 of 3 examples (pairs.tsv) are longer than max_length=8 and were cut."]


def test_cache_directory_comes_from_the_environment(bert, tmp_path, monkeypatch):
    monkeypatch.setenv("TFLLM_CACHE", str(tmp_path / "from_environment"))
    tokenize(PAIRS, bert, max_length=32)
    assert len(entries(tmp_path / "from_environment")) == 1
    monkeypatch.delenv("TFLLM_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    tokenize(PAIRS, bert, max_length=32)
    assert len(entries(tmp_path / "home" / ".cache" / "tfllm")) == 1


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-3])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-2] ^= 16
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["token_ids.npy", "offsets.npy", "type_ids.npy", "meta.json"])
@pytest.mark.parametrize(
    "harm",
    [cut_short, lambda path: path.write_bytes(b""), lambda path: path.unlink(), flip_a_bit],
    ids=["cut_short", "emptied", "removed", "bit_flipped"],
)
def test_damaged_entry_is_made_anew(bert, tmp_path, caplog, name, harm):
    first = tokenize(PAIRS, bert, max_length=32, cache_dir=tmp_path)
    (entry,) = entries(tmp_path)
    expected = TokenizedExamples(*(np.array(a) for a in (first.token_ids, first.offsets, first.type_ids, first.labels)))
    harm(entry / name)
    assert same(tokenize(PAIRS, bert, max_length=32, cache_dir=tmp_path), expected)
    assert len(warnings(caplog)) == 1 and f"{entry} is damaged" in warnings(caplog)[0]
    assert same(tokenize(PAIRS, bert, max_length=32, cache_dir=tmp_path), expected)
    assert len(warnings(caplog)) == 1  # the new entry is sound
    assert entries(tmp_path) == [entry]  # and nothing is left over


@pytest.mark.parametrize("meta", ["[]", "{}", '{"crc32": {}}', '{"crc32": 3, "truncated": 0}'])
def test_wrong_meta_is_damage(bert, tmp_path, caplog, meta):
    tokenize(PAIRS, bert, max_length=32, cache_dir=tmp_path)
    (entries(tmp_path)[0] / "meta.json").write_text(meta)
    assert len(tokenize(PAIRS, bert, max_length=32, cache_dir=tmp_path)) == 3
    assert len(warnings(caplog)) == 1


@pytest.mark.parametrize("damaged", [False, True])
def test_racing_for_one_entry(bert, tmp_path, damaged):
    expected = tokenize(PAIRS, bert, max_length=32, cache_dir=tmp_path / "alone")
    racers = 8
    for attempt in range(5):
        cache = tmp_path / str(attempt)
        if damaged:
            tokenize(PAIRS, bert, max_length=32, cache_dir=cache)
            cut_short(entries(cache)[0] / "token_ids.npy")
        start = threading.Barrier(racers)

        def race(_, cache=cache, start=start):
            start.wait()
            return tokenize(PAIRS, bert, max_length=32, cache_dir=cache)

        with concurrent.futures.ThreadPoolExecutor(racers) as pool:
            assert all(same(tokens, expected) for tokens in pool.map(race, range(racers)))
        assert len(entries(cache)) == 1


def test_example_without_tokens_is_named(bare, tmp_path):
    examples = Examples((["a film", "", "bad", ""],), ids=["q0", "q1", "q2", "q3"], source="empty.tsv")
    with pytest.raises(UserError, match=re.escape("none in row 'q1' and 1 more (empty.tsv)")):
        tokenize(examples, bare, max_length=8, cache_dir=tmp_path)
    assert not (tmp_path / "tokens").exists()


def test_no_examples_is_an_error(bert, tmp_path):
    with pytest.raises(UserError, match="at least one example"):
        TokenizedExamples.from_ids([])


def test_cache_that_cannot_be_written_is_an_error(bert, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="TFLLM_CACHE") as error:
        tokenize(PAIRS, bert, max_length=32, cache_dir=tmp_path / "file")
    assert str(tmp_path / "file") in str(error.value)


def test_from_ids():
    tokens = TokenizedExamples.from_ids([[5, 6, 7], [8]], labels=[0.5, 1], type_ids=[[0, 0, 1], [0]])
    assert tokens.token_ids.tolist() == [5, 6, 7, 8] and tokens.offsets.tolist() == [0, 3, 4]
    assert tokens.type_ids.tolist() == [0, 0, 1, 0] and tokens.labels.dtype == np.float32
    assert TokenizedExamples.from_ids([[1]], labels=[True]).labels.dtype == np.int32
    for arguments, message in [
        (([[1], []],), "none in row '1'"),
        (([[1], [2]], [1]), "a label for each"),
        (([[1], [2, 3]], None, [[0], [0]]), "Every token needs a type"),
    ]:
        with pytest.raises(UserError, match=message):
            TokenizedExamples.from_ids(*arguments)
