"""SentencePiece tokenizers, against ids that transformers 4 gave (goldens/sentencepiece.json)."""

from __future__ import annotations

import pytest
from text_files import as_json
from tricky_texts import CORPUS, MULTILINGUAL

from tfllm import text
from tfllm.errors import CheckpointError

FAMILIES = ["AlbertTokenizer", "AlbertTokenizer cased", "T5Tokenizer", "LlamaTokenizer", "XLMRobertaTokenizer"]


@pytest.mark.parametrize("name", FAMILIES)
def test_ids_are_those_of_transformers(sentencepiece_goldens, name):
    texts, golden = sentencepiece_goldens["texts"], sentencepiece_goldens["families"][name]
    tokenizer = text.from_files(golden["files"])
    single, pair = tokenizer.encode_batch(texts), tokenizer.encode_batch(texts, texts[::-1])
    assert dict(zip(texts, (ids.tolist() for ids in single))) == dict(zip(texts, golden["single"]))
    assert dict(zip(texts, (ids.tolist() for ids in pair))) == dict(zip(texts, golden["pair"]))
    assert tokenizer.vocab_size == golden["vocab_size"]
    assert {role: getattr(tokenizer, f"{role}_id") for role in golden["special_ids"]} == golden["special_ids"]
    assert tokenizer.has_type_ids == name.startswith("Albert")


@pytest.mark.parametrize("name", FAMILIES)
def test_decoding_undoes_encoding(sentencepiece_goldens, name):
    tokenizer = text.from_files(sentencepiece_goldens["families"][name]["files"])
    string = "the dog is lazy and warm"
    assert tokenizer.decode(tokenizer.encode(string)) == string
    for i in range(tokenizer.vocab_size):
        assert tokenizer.token_to_id(tokenizer.id_to_token(i)) == i


def test_special_tokens_in_decoded_text(albert_files):
    tokenizer = text.from_files(albert_files)
    ids = tokenizer.encode("the [MASK] is lazy")
    assert tokenizer.decode(ids) == "the is lazy"
    assert tokenizer.decode(ids, skip_special_tokens=False) == "[CLS] the [MASK] is lazy [SEP]"


def test_the_family_follows_from_the_file_where_none_is_declared(sentencepiece_goldens):
    for name, file in [("AlbertTokenizer", "spiece.model"), ("T5Tokenizer", "spiece.model")]:
        golden = sentencepiece_goldens["families"][name]
        tokenizer = text.from_files({file: golden["files"][file]})
        assert tokenizer.encode("the dog") == text.from_files(golden["files"]).encode("the dog")
    llama = sentencepiece_goldens["families"]["LlamaTokenizer"]["files"]["tokenizer.model"]
    tokenizer = text.from_files({"tokenizer.model": llama})
    ids = tokenizer.encode("the", "dog")
    assert ids[0] == tokenizer.bos_id and ids.count(tokenizer.bos_id) == 2 and ids[-1] != tokenizer.eos_id


def test_a_model_of_no_family_is_used_as_it_is(bpe_model):
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_proto=bpe_model)
    tokenizer = text.from_files({"mine.model": bpe_model})
    texts = [t for t in [*MULTILINGUAL, *CORPUS] if "<" not in t]
    assert [ids.tolist() for ids in tokenizer.encode_batch(texts)] == processor.encode(texts)
    options = {"add_bos_token": True, "add_eos_token": True}
    tokenizer = text.from_files({"mine.model": bpe_model, "tokenizer_config.json": as_json(options)})
    assert tokenizer.encode("the") == [processor.bos_id(), *processor.encode("the"), processor.eos_id()]


def test_cutting_and_counting(albert_files):
    tokenizer = text.from_files(albert_files)
    whole = tokenizer.encode_batch(CORPUS, CORPUS[::-1])
    cut = tokenizer.encode_batch(CORPUS, CORPUS[::-1], max_length=12)
    assert cut.truncated == len(CORPUS) and cut.lengths.tolist() == [12] * len(CORPUS)
    assert tokenizer.encode_batch(CORPUS, CORPUS[::-1], max_length=int(whole.lengths.max())).truncated == 0
    assert cut[0].tolist().count(tokenizer.sep_id) == 2 and int(cut[0][-1]) == tokenizer.sep_id


def test_added_tokens(albert_files):
    n = text.from_files(albert_files).vocab_size
    files = {**albert_files, "added_tokens.json": as_json({"<new>": n})}
    with pytest.raises(CheckpointError, match="'<new>' has single_word, normalized or white space"):
        text.from_files(files)  # it would be looked for in the lower-cased text
    token = {"content": "<new>", "normalized": False, "rstrip": True}
    config = {"tokenizer_class": "AlbertTokenizer", "added_tokens_decoder": {str(n): token}}
    tokenizer = text.from_files({**albert_files, "tokenizer_config.json": as_json(config)})
    assert tokenizer.encode("<new>")[1:-1] == [n] and tokenizer.vocab_size == n + 1
    assert tokenizer.encode("<new> \u3000the") == tokenizer.encode("<new>the")
    config["added_tokens_decoder"] = {str(n + 1): token}
    with pytest.raises(CheckpointError, match=f"declared with id {n + 1}, but the model gives it {n}"):
        text.from_files({**albert_files, "tokenizer_config.json": as_json(config)})


@pytest.mark.parametrize("cut", [0, 1, 100, 1000, -1, -40, "at a field"])
def test_a_model_that_is_cut_short_is_refused(albert_files, cut):
    from sentencepiece import sentencepiece_model_pb2

    model = albert_files["spiece.model"]
    if cut == "at a field":  # between two fields, where a protocol buffer is whole
        pieces = sentencepiece_model_pb2.ModelProto(pieces=sentencepiece_model_pb2.ModelProto.FromString(model).pieces)
        model = pieces.SerializeToString()
        cut = None
    with pytest.raises(CheckpointError, match="spiece.model: expected a SentencePiece model; the file is damaged"):
        text.from_files({"spiece.model": model[:cut]})


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("sentencepiece.bpe.model", {}, "several families have a file of this name.*Expected tokenizer_class"),
        (
            "spm.model",
            {"tokenizer_class": "DebertaV2Tokenizer"},
            "'DebertaV2Tokenizer' is not one that can be read from",
        ),
        ("spiece.model", {"tokenizer_class": "XLNetTokenizer"}, "'XLNetTokenizer' is not one that can be read from"),
        ("spiece.model", {"tokenizer_class": "XLMRobertaTokenizer"}, "expected <unk>, <s>, </s> as the first pieces"),
        ("tokenizer.model", {"tokenizer_class": "LlamaTokenizer", "legacy": False}, "legacy false cannot be read from"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(albert_files, name, config, message):
    with pytest.raises(CheckpointError, match=message):
        text.from_files({name: albert_files["spiece.model"], "tokenizer_config.json": as_json(config)})


def test_albert_needs_its_special_pieces(bpe_model):
    files = {"spiece.model": bpe_model, "tokenizer_config.json": as_json({"tokenizer_class": "AlbertTokenizer"})}
    with pytest.raises(CheckpointError, match=r"expected a model with the pieces \[CLS\] and \[SEP\]"):
        text.from_files(files)


def test_two_models_of_unknown_names(bpe_model):
    with pytest.raises(CheckpointError, match=r"expected one SentencePiece model.*a.model, b.model"):
        text.from_files({"a.model": bpe_model, "b.model": bpe_model})
