"""Real vocabularies on real texts: in the graph and outside, and against transformers."""

from __future__ import annotations

import numpy as np
import pytest
from text_files import minilm, real_lines, real_models
from tricky_texts import MULTILINGUAL

from tfllm import text

MODELS = {
    "bert": lambda: real_models() / "tokenizer-bert-base-uncased",
    "minilm": minilm,
    "albert": lambda: real_models() / "tokenizer-albert-spm",
    "sentencepiece": lambda: real_models() / "tokenizer-sentencepiece-test",
    "gpt2": lambda: real_models() / "tokenizer-gpt2",
}


@pytest.mark.real
@pytest.mark.parametrize("name", ["bert", "minilm", "albert", "sentencepiece"])
def test_in_the_graph_and_outside(name):
    import tensorflow as tf

    from tfllm.text.in_graph_sentencepiece import ties_agree

    if name in ("albert", "sentencepiece") and not ties_agree():
        pytest.skip("this sentencepiece breaks ties in another way than tensorflow-text; install sentencepiece<0.2.2")
    tokenizer, lines = text.load(MODELS[name]()), [*MULTILINGUAL, *real_lines()]
    function = tf.function(text.in_graph_tokenizer(tokenizer), input_signature=[tf.TensorSpec([None], tf.string)])
    for i in range(0, len(lines), 2048):
        ids, encodings = function(tf.constant(lines[i : i + 2048])), tokenizer.encode_batch(lines[i : i + 2048])
        np.testing.assert_array_equal(ids.flat_values, encodings.ids)
        np.testing.assert_array_equal(ids.row_splits, encodings.offsets)


@pytest.mark.real
def test_minilm_from_its_tokenizer_json_and_from_its_vocabulary():
    tokenizer = text.load(minilm())
    files = {name: data for name, data in tokenizer.files.items() if name != "tokenizer.json"}
    lines = [*MULTILINGUAL, *real_lines()[:2000]]
    np.testing.assert_array_equal(text.from_files(files).encode_batch(lines).ids, tokenizer.encode_batch(lines).ids)


@pytest.mark.real
def test_albert_gives_the_ids_of_transformers_4(sentencepiece_goldens):
    texts = sentencepiece_goldens["texts"]
    encodings = text.load(MODELS["albert"]()).encode_batch(texts)
    assert [ids.tolist() for ids in encodings] == sentencepiece_goldens["real ALBERT"]


@pytest.mark.real
@pytest.mark.parity
@pytest.mark.parametrize(
    ("name", "reference"), [("bert", "BertTokenizer"), ("minilm", "AutoTokenizer"), ("gpt2", "GPT2Tokenizer")]
)
def test_against_transformers(name, reference):
    transformers = pytest.importorskip("transformers")
    directory = MODELS[name]()
    theirs, ours = getattr(transformers, reference).from_pretrained(str(directory)), text.load(directory)
    lines = [*MULTILINGUAL, *real_lines()[::3]]
    others = lines[::-1]
    options = {"truncation": "longest_first", "max_length": 64, "padding": False}
    for columns, kwargs, max_length in [((lines,), {"padding": False}, None), ((lines, others), options, 64)]:
        if max_length is None:
            kwargs = {**kwargs, "truncation": False}
        expected = theirs(*columns, **kwargs)
        got = ours.encode_batch(*columns, max_length=max_length)
        assert [ids.tolist() for ids in got] == expected["input_ids"]
        if ours.has_type_ids:
            assert got.type_ids.tolist() == sum(expected["token_type_ids"], [])
    roles = ("cls", "sep", "bos", "eos", "mask", "unk")
    for role in roles:
        assert getattr(ours, f"{role}_id") == getattr(theirs, f"{role}_token_id")


@pytest.mark.real
@pytest.mark.parity
def test_albert_against_transformers():
    # transformers 5 reads spiece.model into the `tokenizers` library in a way of its own: pieces that SentencePiece
    # calls user-defined are cut out of the text first, and `9,` stays one piece. So texts with these are left out here;
    # goldens/sentencepiece.json has them, from the original code's port in transformers 4.
    transformers = pytest.importorskip("transformers")
    directory = MODELS["albert"]()
    theirs, ours = transformers.AlbertTokenizer.from_pretrained(str(directory)), text.load(directory)
    apart = set("()\"-.–£€`'") | set(map(chr, range(32)))
    lines = [line for line in real_lines() if not apart & set(line) and not any(f"{d}," in line for d in range(10))]
    assert len(lines) > 500
    expected = theirs(lines, lines[::-1], truncation="longest_first", max_length=48)["input_ids"]
    got = ours.encode_batch(lines, lines[::-1], max_length=48)
    assert [ids.tolist() for ids in got] == expected


@pytest.mark.parity
@pytest.mark.parametrize(
    "options", [{}, {"do_lower_case": False}, {"strip_accents": False}, {"tokenize_chinese_chars": False}]
)
def test_bert_options_against_transformers(bert_files, options, tmp_path):
    transformers = pytest.importorskip("transformers")
    (tmp_path / "vocab.txt").write_bytes(bert_files["vocab.txt"])
    theirs, ours = (
        transformers.BertTokenizer.from_pretrained(str(tmp_path), **options),
        text.from_files(bert_files | config(options)),
    )
    assert [ours.encode(t) for t in MULTILINGUAL] == theirs(MULTILINGUAL)["input_ids"]


@pytest.mark.parity
def test_roberta_against_transformers(roberta_files, tmp_path):
    transformers = pytest.importorskip("transformers")
    for name, data in roberta_files.items():
        (tmp_path / name).write_bytes(data)
    mask = transformers.AddedToken("<mask>", lstrip=True)
    theirs = transformers.RobertaTokenizer.from_pretrained(str(tmp_path), mask_token=mask)
    ours = text.load(tmp_path)
    expected = theirs(MULTILINGUAL, MULTILINGUAL[::-1], truncation="longest_first", max_length=20)["input_ids"]
    assert [ids.tolist() for ids in ours.encode_batch(MULTILINGUAL, MULTILINGUAL[::-1], max_length=20)] == expected


def config(options: dict) -> dict[str, bytes]:
    import json

    return {"tokenizer_config.json": json.dumps(options).encode()}
