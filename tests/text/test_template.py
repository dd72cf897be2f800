"""Cutting and special tokens, against the `tokenizers` library."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from text_files import as_json
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from tfllm import text
from tfllm.errors import UserError
from tfllm.text.template import longest_first


def word_level(single: str = "[CLS] $A [SEP]", pair: str = "[CLS] $A [SEP] $B:1 [SEP]:1") -> Tokenizer:
    """A tokenizer whose words are its tokens."""
    vocab = {token: i for i, token in enumerate(["[PAD]", "[CLS]", "[SEP]", "[UNK]", *map(str, range(30))])}
    backend = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    backend.add_special_tokens(["[PAD]", "[CLS]", "[SEP]", "[UNK]"])
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return backend


def load(backend: Tokenizer, **config) -> text.Tokenizer:
    return text.from_files({"tokenizer.json": backend.to_str().encode(), "tokenizer_config.json": as_json(config)})


numbers = st.lists(st.integers(0, 29), max_size=12).map(lambda ids: " ".join(map(str, ids)))


@given(
    a=st.lists(numbers, min_size=1, max_size=4), max_length=st.integers(4, 20), side=st.sampled_from(["left", "right"])
)
def test_single_texts_are_cut_as_by_the_library(a, max_length, side):
    reference = word_level()
    reference.enable_truncation(max_length, direction=side)
    encodings = load(word_level(), truncation_side=side).encode_batch(a, max_length=max_length)
    expected = reference.encode_batch(a)
    assert [ids.tolist() for ids in encodings] == [e.ids for e in expected]
    assert encodings.truncated == sum(len(text.split()) + 2 > max_length for text in a)


@given(
    pairs=st.lists(st.tuples(numbers, numbers), min_size=1, max_size=4),
    max_length=st.integers(4, 20),
    side=st.sampled_from(["left", "right"]),
)
def test_pairs_are_cut_and_typed_as_by_the_library(pairs, max_length, side):
    reference = word_level()
    reference.enable_truncation(max_length, direction=side)
    tokenizer = load(word_level(), truncation_side=side)
    encodings = tokenizer.encode_batch(*zip(*pairs), max_length=max_length)
    expected = reference.encode_batch(pairs)
    assert [ids.tolist() for ids in encodings] == [e.ids for e in expected]
    assert np.split(encodings.type_ids, encodings.offsets[1:-1])[0].tolist() == expected[0].type_ids
    assert encodings.type_ids.tolist() == sum((e.type_ids for e in expected), [])
    assert encodings.truncated == sum(len(a.split()) + len(b.split()) + 3 > max_length for a, b in pairs)
    assert encodings.lengths.tolist() == [len(e.ids) for e in expected]


@given(n_a=st.integers(0, 50), n_b=st.integers(0, 50), room=st.integers(0, 60))
def test_longest_first_fills_the_room_and_keeps_the_shorter_text_longest(n_a, n_b, room):
    keep_a, keep_b = (int(k) for k in longest_first(np.array(n_a), np.array(n_b), room))
    assert keep_a + keep_b == min(n_a + n_b, room)
    assert 0 <= keep_a <= n_a and 0 <= keep_b <= n_b
    if keep_a < n_a and keep_b < n_b:
        assert abs(keep_a - keep_b) <= 1
    elif keep_a < n_a:
        assert keep_a >= keep_b - 1
    elif keep_b < n_b:
        assert keep_b >= keep_a - 1


@pytest.mark.parametrize(
    ("single", "pair"),
    [
        ("$A", "$A $B"),
        ("[CLS] $A", "[CLS] $A [CLS] $B:1"),
        ("[CLS] [CLS] $A [SEP]", "[CLS] [CLS] $A [SEP] [SEP] $B [SEP]"),
        ("$A [SEP] [CLS]", "$A [SEP] $B:1 [SEP]:1 [CLS]:2"),
    ],
)
def test_the_template_is_read_off_the_post_processor(single, pair):
    reference = word_level(single, pair)
    tokenizer = load(word_level(single, pair), model_input_names=["input_ids", "token_type_ids"])
    assert tokenizer.encode("7 8 9") == reference.encode("7 8 9").ids
    batch, expected = tokenizer.encode_batch(["7 8", ""], ["9", "1"]), reference.encode_batch([("7 8", "9"), ("", "1")])
    assert batch.ids.tolist() == expected[0].ids + expected[1].ids
    assert batch.type_ids.tolist() == expected[0].type_ids + expected[1].type_ids


def test_without_special_tokens():
    tokenizer = load(word_level())
    assert tokenizer.encode("1 2", "3", add_special_tokens=False) == [5, 6, 7]
    assert tokenizer.encode("1 2 3", max_length=2, add_special_tokens=False) == [5, 6]


def test_no_texts():
    encodings = load(word_level()).encode_batch([], max_length=8)
    assert len(encodings) == 0 and encodings.offsets.tolist() == [0] and encodings.ids.dtype == np.int32


def test_max_length_without_room_for_text_is_refused():
    tokenizer = load(word_level())
    assert len(tokenizer.encode("1 2 3", max_length=3)) == 3
    with pytest.raises(UserError, match=r"at least 3. Received: max_length=2"):
        tokenizer.encode("1 2 3", max_length=2)
    with pytest.raises(UserError, match=r"at least 4. Received: max_length=3"):
        tokenizer.encode("1", "2", max_length=3)
    with pytest.raises(UserError, match="whole number"):
        tokenizer.encode("1", max_length=8.0)


@pytest.mark.parametrize(
    ("texts", "pairs", "message"),
    [
        (["1", None], None, r"texts\[1\] must be a string. Received: None"),
        (["1"], [2.5], r"pairs\[0\] must be a string. Received: 2.5"),
        (["1", "2"], ["3"], "Received: 2 texts and 1 pairs"),
        ("1 2", None, "list of strings"),
        (["1", "x \ud800"], None, r"texts\[1\].*lone surrogate U\+D800 at character 2"),
    ],
)
def test_bad_texts_are_named(texts, pairs, message):
    with pytest.raises(UserError, match=message):
        load(word_level()).encode_batch(texts, pairs)
