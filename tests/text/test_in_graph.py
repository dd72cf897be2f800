"""The layers in the graph give the ids of the tokenizers outside, id for id."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from text_files import as_json
from tricky_texts import CORPUS, MULTILINGUAL, texts

from tfllm import text
from tfllm.errors import UserError
from tfllm.text.in_graph_sentencepiece import ties_agree

needs_ties = pytest.mark.skipif(
    not ties_agree(),
    reason="this sentencepiece breaks ties in another way than tensorflow-text; install sentencepiece<0.2.2",
)
OPTIONS = {
    "bert": {},
    "bert cased": {"do_lower_case": False},
    "bert cased, stripped": {"do_lower_case": False, "strip_accents": True},
    "bert lower, not stripped": {"strip_accents": False, "tokenize_chinese_chars": False},
}
UNIGRAM = ["AlbertTokenizer", "AlbertTokenizer cased", "T5Tokenizer", "XLMRobertaTokenizer"]
NAMES = [*OPTIONS, "LlamaTokenizer", "bpe", *(pytest.param(name, marks=needs_ties) for name in UNIGRAM)]


@pytest.fixture(scope="module")
def both(bert_files, bpe_model, sentencepiece_goldens):
    """name -> (tokenizer, its layer as a function of a graph); made once each."""
    made = {}

    def get(name):
        if name not in made:
            if name in OPTIONS:
                files = {**bert_files, "tokenizer_config.json": as_json(OPTIONS[name])}
            elif name == "bpe":
                files = {"my.model": bpe_model}
            else:
                files = sentencepiece_goldens["families"][name]["files"]
            tokenizer = text.from_files(files)
            layer = text.in_graph_tokenizer(tokenizer)
            made[name] = tokenizer, tf.function(layer, input_signature=[tf.TensorSpec([None], tf.string)])
        return made[name]

    return get


def differences(tokenizer, function, strings):
    encodings = tokenizer.encode_batch(strings)
    ids = function(tf.constant([s.encode() for s in strings])).to_list()
    return {s: (a.tolist(), b) for s, a, b in zip(strings, encodings, ids, strict=True) if a.tolist() != b}


@pytest.mark.parametrize("name", NAMES)
def test_tricky_texts(both, name):
    assert differences(*both(name), [*MULTILINGUAL, *CORPUS]) == {}


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(strings=st.lists(texts, min_size=1, max_size=20))
def test_random_texts(both, name, strings):
    assert differences(*both(name), strings) == {}


@pytest.mark.parametrize("name", ["bert", pytest.param("AlbertTokenizer", marks=needs_ties)])
def test_every_character_of_the_first_planes(both, name):
    # Each alone in a word, at its start, and after a letter with its mark.
    characters = [
        chr(c) for c in [*range(0x3400), *range(0xA000, 0xD800, 5), *range(0xE000, 0x20000)] if c % 2 or c < 0x3400
    ]
    assert differences(*both(name), [f"a{c}b {c}a{c} e\u0323{c}1," for c in characters]) == {}


def test_no_texts(both):
    _, function = both("bert")
    assert function(tf.constant([], tf.string)).to_list() == []


def test_bytes_that_are_no_text_do_not_fail(both):
    _, function = both("bert")
    rows = function(tf.constant([b"the\xff dog", b"\xe2\x82", b"the dog"])).to_list()
    assert rows[0] == rows[2] and len(rows[1]) == 2  # replaced by U+FFFD, which BERT leaves out


@pytest.fixture(scope="module")
def bert(bert_files):
    return text.from_files(bert_files)


@pytest.mark.parametrize("pooled", ["first", "last"])
@pytest.mark.parametrize("max_length", [4, 7, 16, 64])
@pytest.mark.parametrize("side", ["right", "left"])
def test_the_padded_batch(bert_files, pooled, max_length, side):
    tokenizer = text.from_files(
        {**bert_files, "tokenizer_config.json": as_json({"truncation_side": side, "pad_token": "the"})}
    )
    layer = text.in_graph_tokenizer(tokenizer, max_length=max_length, pooled=pooled)
    firsts, seconds = [*CORPUS, "", "dog"], [*CORPUS[::-1], "the", ""]
    for columns in ((firsts,), (firsts, seconds)):
        inputs = tuple(map(tf.constant, columns))
        batch = layer(inputs if len(columns) == 2 else inputs[0])
        encodings = tokenizer.encode_batch(*columns, max_length=max_length)
        assert set(batch) == {"token_ids", "example_ids", "position_ids", "type_ids", "head_positions"}
        assert {tensor.dtype for tensor in batch.values()} == {tf.int32}
        assert batch["token_ids"].shape == (len(firsts), max_length) and batch["head_positions"].shape == (
            len(firsts),
            1,
        )
        for i, ids in enumerate(encodings):
            n, rest = len(ids), max_length - len(ids)
            types = encodings.type_ids[encodings.offsets[i] : encodings.offsets[i + 1]]
            assert batch["token_ids"][i].numpy().tolist() == ids.tolist() + [tokenizer.token_to_id("the")] * rest
            assert batch["example_ids"][i].numpy().tolist() == [1] * n + [0] * rest
            assert batch["position_ids"][i].numpy().tolist() == list(range(n)) + [0] * rest
            assert batch["type_ids"][i].numpy().tolist() == types.tolist() + [0] * rest
            assert int(batch["head_positions"][i, 0]) == (0 if pooled == "first" else n - 1)


def test_no_type_ids_where_the_tokenizer_has_none(bpe_model):
    layer = text.in_graph_tokenizer(text.from_files({"my.model": bpe_model}), max_length=8, pooled="last")
    batch = layer(tf.constant(["the dog", ""]))
    assert "type_ids" not in batch
    assert batch["head_positions"].numpy()[1] == 0  # of a row without any token


@pytest.mark.parametrize("name", ["bert", "bpe", pytest.param("AlbertTokenizer", marks=needs_ties)])
def test_saved_models_need_no_files(both, name, tmp_path):
    tokenizer, _ = both(name)
    first, second = keras.Input((), dtype="string"), keras.Input((), dtype="string")
    model = keras.Model([first, second], text.in_graph_tokenizer(tokenizer, max_length=24)([first, second]))
    inputs = [tf.constant(MULTILINGUAL), tf.constant(MULTILINGUAL[::-1])]
    expected = model(inputs)
    model.save(tmp_path / "model.keras")
    for key, tensor in keras.saving.load_model(tmp_path / "model.keras")(inputs).items():
        np.testing.assert_array_equal(tensor, expected[key])
    model.export(tmp_path / "saved", verbose=False)
    for key, tensor in tf.saved_model.load(tmp_path / "saved").serve(inputs).items():
        np.testing.assert_array_equal(tensor, expected[key])


def test_in_a_tf_data_pipeline(bert):
    layer = text.in_graph_tokenizer(bert, max_length=6)
    dataset = tf.data.Dataset.from_tensor_slices((CORPUS, CORPUS[::-1])).batch(2).map(lambda a, b: layer((a, b)))
    rows = np.concatenate([batch["token_ids"] for batch in dataset.as_numpy_iterator()])
    assert rows.tolist() == [ids.tolist() for ids in bert.encode_batch(CORPUS, CORPUS[::-1], max_length=6)]


def test_what_has_no_equal_in_the_graph_is_refused_with_all_reasons(gpt2_files, bert_files):
    with pytest.raises(UserError) as error:
        text.in_graph_tokenizer(text.from_files(gpt2_files))
    for part in ("its model is BPE", "its normalizer is None", "its pre_tokenizer is ByteLevel"):
        assert part in str(error.value)
    token = {"content": "<a>", "single_word": True, "normalized": True}
    n = bert_files["vocab.txt"].count(b"\n")
    files = {**bert_files, "tokenizer_config.json": as_json({"added_tokens_decoder": {str(n): token}})}
    with pytest.raises(UserError, match="'<a>' has single_word; its added token '<a>' has normalized"):
        text.in_graph_tokenizer(text.from_files(files))


@pytest.mark.skipif(ties_agree(), reason="this sentencepiece breaks ties as tensorflow-text does")
def test_a_library_that_breaks_ties_in_another_way_is_refused(albert_files):
    with pytest.raises(UserError, match="install sentencepiece<0.2.2"):
        text.in_graph_tokenizer(text.from_files(albert_files))


def test_bad_arguments(bert):
    with pytest.raises(UserError, match="pooled"):
        text.in_graph_tokenizer(bert, pooled="mean")
    with pytest.raises(UserError, match="at least 3"):
        text.in_graph_tokenizer(bert, max_length=2)
    layer = text.in_graph_tokenizer(bert, max_length=3)
    with pytest.raises(UserError, match="at least 4"):
        layer((tf.constant(["a"]), tf.constant(["b"])))
