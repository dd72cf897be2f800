"""Tokenizers of vocab.txt, of vocab.json + merges.txt, of tokenizer.json, and what is declared beside them."""

from __future__ import annotations

import json

import pytest
from text_files import as_json
from tricky_texts import MULTILINGUAL

from tfllm import text
from tfllm.errors import CheckpointError


def tokens(tokenizer, string, pair=None):
    return [tokenizer.id_to_token(i) for i in tokenizer.encode(string, pair)]


def test_wordpiece(bert_files):
    tokenizer = text.from_files(bert_files)
    assert tokens(tokenizer, "The DOG, thé [MASK]", "café") == [
        *["[CLS]", "the", "dog", ",", "the", "[MASK]", "[SEP]"],
        *["cafe", "[SEP]"],
    ]
    assert tokenizer.has_type_ids
    ids = {role: getattr(tokenizer, f"{role}_id") for role in ("pad", "unk", "cls", "sep", "mask", "bos", "eos")}
    assert ids == {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4, "bos": None, "eos": None}
    assert tokenizer.decode(tokenizer.encode("the lazy dog")) == "the lazy dog"
    assert tokenizer.decode(tokenizer.encode("the dog"), skip_special_tokens=False) == "[CLS] the dog [SEP]"
    assert tokenizer.token_to_id("dog") == tokenizer.encode("dog")[1]
    assert tokenizer.token_to_id("no such token") is None and tokenizer.id_to_token(10**6) is None
    assert tokenizer.vocab_size == bert_files["vocab.txt"].count(b"\n")


@pytest.mark.parametrize(
    ("options", "string", "expected"),
    [
        ({"do_lower_case": False}, "Dog dog", ["[UNK]", "dog"]),
        ({"do_lower_case": False}, "thé", ["[UNK]"]),
        ({"do_lower_case": False, "strip_accents": True}, "thé", ["the"]),
        ({"strip_accents": False}, "thé THE", ["[UNK]", "the"]),
        ({"do_lower_case": None}, "THE", ["the"]),
        ({"tokenize_chinese_chars": False}, "the中the", ["[UNK]"]),
        ({}, "the中the", ["the", "中", "the"]),
    ],
)
def test_wordpiece_options(options, string, expected):
    vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\nthe\ndog\n中\n".encode()
    tokenizer = text.from_files({"vocab.txt": vocab, "tokenizer_config.json": as_json(options)})
    assert tokens(tokenizer, string)[1:-1] == expected


def test_line_ends_of_other_systems(bert_files):
    there = text.from_files(bert_files)
    here = text.from_files({"vocab.txt": bert_files["vocab.txt"].replace(b"\n", b"\r\n")})
    assert all(here.encode(t) == there.encode(t) for t in MULTILINGUAL)


def test_gpt2_has_no_special_tokens_but_what_is_asked_for(gpt2_files):
    tokenizer = text.from_files(gpt2_files)
    assert "".join(tokens(tokenizer, "the dog", " and")) == "theĠdogĠand"
    assert not tokenizer.has_type_ids and tokenizer.pad_id == 0  # no padding token is declared
    assert tokenizer.bos_id == tokenizer.eos_id == tokenizer.token_to_id("<|endoftext|>")
    for string in MULTILINGUAL:
        assert tokenizer.decode(tokenizer.encode(string)) == string
    config = {
        "tokenizer_class": "GPT2TokenizerFast",
        "add_bos_token": True,
        "pad_token": "[PAD]",
        "add_prefix_space": True,
    }
    tokenizer = text.from_files({**gpt2_files, "tokenizer_config.json": as_json(config)})
    assert "".join(tokens(tokenizer, "the", "dog")) == "<|endoftext|>Ġthe<|endoftext|>Ġdog"
    assert tokenizer.pad_id == tokenizer.vocab_size - 1  # declared, but not in vocab.json: appended


def test_roberta(roberta_files):
    tokenizer = text.from_files(roberta_files)
    pair = tokens(tokenizer, "the <mask>", "dog")
    assert pair[0] == "<s>" and pair[-1] == "</s>" and "".join(pair) == "<s>the<mask></s></s>dog</s>"
    assert (tokenizer.cls_id, tokenizer.sep_id, tokenizer.pad_id, tokenizer.unk_id) == (0, 2, 1, 3)
    assert tokenizer.encode_batch(["a"], ["b"]).type_ids is None


def test_declared_roles_choose_the_template(gpt2_files):
    declared = {"cls_token": "[CLS]", "sep_token": {"content": "[SEP]", "lstrip": False, "rstrip": False}}
    tokenizer = text.from_files({**gpt2_files, "special_tokens_map.json": as_json(declared)})
    assert "".join(tokens(tokenizer, "the", "dog")) == "[CLS]the[SEP]dog[SEP]" and tokenizer.has_type_ids


def test_added_tokens(bert_files):
    n = bert_files["vocab.txt"].count(b"\n")
    config = {
        "tokenizer_class": "BertTokenizer",
        "added_tokens_decoder": {
            str(n): {"content": "<A>", "special": True},
            str(n + 1): {"content": "<b>", "special": False, "normalized": False, "lstrip": True},
        },
        "additional_special_tokens": ["<A>", "<C>"],
    }
    tokenizer = text.from_files({**bert_files, "tokenizer_config.json": as_json(config)})
    assert tokenizer.encode("the<A>the  <b><C>")[1:-1] == [
        *[tokenizer.token_to_id("the"), n, tokenizer.token_to_id("the")],
        *[n + 1, n + 2],
    ]
    assert tokenizer.vocab_size == n + 3
    files = {**bert_files, "added_tokens.json": as_json({"<new>": n, "<newer>": n + 1})}
    assert text.from_files(files).encode("<newer><new>")[1:-1] == [n + 1, n]
    with pytest.raises(CheckpointError, match=rf"'<new>' is declared with id {n + 5}, but the vocabulary gives it {n}"):
        text.from_files({**bert_files, "added_tokens.json": as_json({"<new>": n + 5})})


def test_the_special_tokens_map_goes_before_a_config_without_added_tokens(bert_files):
    files = {
        **bert_files,
        "tokenizer_config.json": as_json({"mask_token": "the"}),
        "special_tokens_map.json": as_json({"mask_token": "dog"}),
    }
    tokenizer = text.from_files(files)
    assert tokenizer.mask_id == tokenizer.token_to_id("dog")
    files["tokenizer_config.json"] = as_json({"mask_token": "the", "added_tokens_decoder": {}})
    tokenizer = text.from_files(files)
    assert tokenizer.mask_id == tokenizer.token_to_id("the")


@pytest.fixture(scope="session")
def tokenizer_json(bert_files) -> dict:
    return json.loads(text.from_files(bert_files).backend.to_str()) | {
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
    }


def test_tokenizer_json_goes_before_the_others(bert_files, gpt2_files, tokenizer_json):
    alone = text.from_files(bert_files)
    files = {"tokenizer.json": as_json(tokenizer_json), "vocab.txt": b"[CLS]\n[SEP]\n[UNK]\n", **gpt2_files}
    tokenizer = text.from_files(files)
    for string in MULTILINGUAL:
        assert tokenizer.encode(string, "the dog") == alone.encode(string, "the dog")
    assert tokenizer.has_type_ids
    roles = [(t.cls_id, t.sep_id, t.pad_id, t.mask_id, t.unk_id, t.bos_id) for t in (tokenizer, alone)]
    assert roles[0] == roles[1]


def test_truncation_padding_and_dropout_of_tokenizer_json_are_turned_off(tokenizer_json, roberta_files):
    spec = tokenizer_json | {
        "truncation": {"max_length": 4, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "padding": {
            **{"strategy": {"Fixed": 32}, "direction": "Right", "pad_to_multiple_of": None},
            **{"pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"},
        },
    }
    tokenizer = text.from_files({"tokenizer.json": as_json(spec)})
    assert len(tokenizer.encode("the dog the dog")) == 6
    spec = json.loads(text.from_files(roberta_files).backend.to_str())
    spec["model"]["dropout"] = 0.9
    tokenizer = text.from_files({"tokenizer.json": as_json(spec)})
    assert all(tokenizer.encode(MULTILINGUAL[2]) == tokenizer.encode(MULTILINGUAL[2]) for _ in range(10))


def test_families_without_token_types(tokenizer_json):
    files = {"tokenizer.json": as_json(tokenizer_json)}
    for config in ({"tokenizer_class": "DistilBertTokenizer"}, {"model_input_names": ["input_ids", "attention_mask"]}):
        assert not text.from_files({**files, "tokenizer_config.json": as_json(config)}).has_type_ids


def test_code_of_a_directory_is_not_run(bert_files, tokenizer_json, tmp_path):
    config = {"tokenizer_class": "MyTokenizer", "auto_map": {"AutoTokenizer": ["my.MyTokenizer", None]}}
    (tmp_path / "my.py").write_text("raise SystemExit")
    (tmp_path / "tokenizer_config.json").write_bytes(as_json(config))
    (tmp_path / "tokenizer.json").write_bytes(as_json(tokenizer_json))
    assert text.load(tmp_path).encode("the")  # tokenizer.json says it all
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "vocab.txt").write_bytes(bert_files["vocab.txt"])
    with pytest.raises(
        CheckpointError, match=r"tokenizer_class 'MyTokenizer' is not one that can be read from vocab.txt"
    ):
        text.load(tmp_path)


BAD = {
    "not UTF-8": ({"vocab.txt": b"[CLS]\n\xff\n"}, "vocab.txt: expected UTF-8 text. Received: byte 0xff at 6"),
    "empty": ({"vocab.txt": b""}, "vocab.txt: expected a token a line. Received: 0 lines, without"),
    "lacks specials": ({"vocab.txt": b"[CLS]\nthe\n"}, r"without unk_token '\[UNK\]', sep_token '\[SEP\]'"),
    "json cut": ({"tokenizer.json": b'{"model": {"type": "WordPi'}, "tokenizer.json: the file is damaged, cut short"),
    "json empty": ({"tokenizer.json": b""}, "tokenizer.json: the file is damaged, cut short"),
    "json not UTF-8": ({"tokenizer.json": b"{\xfe}"}, "tokenizer.json: expected UTF-8"),
    "config cut": (
        {"vocab.txt": b"[UNK]\n[CLS]\n[SEP]\n", "tokenizer_config.json": b'{"a": '},
        "tokenizer_config.json: expected JSON",
    ),
    "config list": ({"vocab.txt": b"", "tokenizer_config.json": b"[]"}, "expected a JSON object. Received: a list"),
    "config deep": (
        {"vocab.txt": b"", "tokenizer_config.json": b"[" * 100_000},
        "tokenizer_config.json: expected JSON",
    ),
    "option": (
        {"vocab.txt": b"[UNK]\n[CLS]\n[SEP]\n", "tokenizer_config.json": b'{"do_lower_case": "yes"}'},
        "expected do_lower_case to be a bool. Received: 'yes'",
    ),
    "side": (
        {"vocab.txt": b"[UNK]\n[CLS]\n[SEP]\n", "tokenizer_config.json": b'{"truncation_side": "up"}'},
        "expected truncation_side to be",
    ),
    "token": ({"vocab.txt": b"", "special_tokens_map.json": b'{"cls_token": 3}'}, "cls_token .* expected a string or"),
    "tokens": (
        {"vocab.txt": b"", "special_tokens_map.json": b'{"additional_special_tokens": "<a>"}'},
        "expected a list",
    ),
    "decoder": (
        {"vocab.txt": b"", "tokenizer_config.json": b'{"added_tokens_decoder": {"x": "a"}}'},
        "added_tokens_decoder",
    ),
    "added": ({"vocab.txt": b"", "added_tokens.json": b'{"a": "1"}'}, "added_tokens.json: expected ids"),
    "class": ({"vocab.txt": b"", "tokenizer_config.json": b'{"tokenizer_class": 3}'}, "tokenizer_class to be a string"),
    "BPE ids": ({"vocab.json": b'{"a": -1}', "merges.txt": b""}, "vocab.json: expected tokens with ids"),
    "BPE bytes": ({"vocab.json": b'{"a": 0, "b</w>": 1}', "merges.txt": b""}, "without 255 of them"),
}


@pytest.mark.parametrize("case", BAD)
def test_damaged_files_are_one_clear_error(case, tmp_path):
    files, message = BAD[case]
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(CheckpointError, match=message) as error:
        text.load(tmp_path)
    assert str(error.value).startswith(str(tmp_path)) and "\n" not in str(error.value)


def test_merges_that_do_not_belong_to_the_vocabulary(roberta_files):
    for merges, message in [
        (b"#version: 0.2\nt h e\n", "two symbols a line"),
        ("Ġzz zz\n".encode(), "does not belong to"),
    ]:
        with pytest.raises(CheckpointError, match=message):
            text.from_files({**roberta_files, "merges.txt": merges})


def test_an_unknown_token_that_is_missing_is_reported(tokenizer_json):
    spec = json.loads(json.dumps(tokenizer_json))
    spec["model"]["unk_token"] = "<nothing>"
    tokenizer = text.from_files({"tokenizer.json": as_json(spec)})
    with pytest.raises(CheckpointError, match="cannot encode this text: WordPiece error: Missing"):
        tokenizer.encode("\u0379")
