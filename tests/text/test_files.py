"""Finding, saving and fingerprinting a tokenizer's files."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys

import pytest
from text_files import as_json
from tricky_texts import MULTILINGUAL

from tfllm import text
from tfllm.errors import CheckpointError, UserError


def write(directory, files):
    directory.mkdir(exist_ok=True)
    for name, data in files.items():
        (directory / name).write_bytes(data)
    return directory


def read(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def all_kinds(bert_files, roberta_files, albert_files):
    tokenizer_json = text.from_files(bert_files).backend.to_str(pretty=True).encode()
    side = {"special_tokens_map.json": b'{ "unk_token":"[UNK]" }\n', "chat_template.jinja": b"{{ x }}\n"}
    return [
        {**bert_files, **side, "tokenizer_config.json": b'{"do_lower_case":   true}'},
        {**roberta_files, "tokenizer_config.json": as_json({"tokenizer_class": "RobertaTokenizer"})},
        albert_files,
        {"tokenizer.json": tokenizer_json, **bert_files, **side},
    ]


def test_save_gives_back_every_file_bit_for_bit(bert_files, roberta_files, albert_files, tmp_path):
    for i, files in enumerate(all_kinds(bert_files, roberta_files, albert_files)):
        source = write(tmp_path / f"from{i}", {**files, "README.md": b"not the tokenizer's"})
        tokenizer = text.load(source)
        target = tmp_path / "deep" / f"to{i}"
        tokenizer.save(target)
        tokenizer.save(target)  # the same files again are no conflict
        assert read(target) == files
        again = text.load(target)
        assert again.fingerprint == tokenizer.fingerprint
        assert [again.encode(t) for t in MULTILINGUAL] == [tokenizer.encode(t) for t in MULTILINGUAL]


def test_another_tokenizer_is_not_overwritten_unless_told(bert_files, gpt2_files, tmp_path):
    target = write(tmp_path / "out", {**gpt2_files, "config.json": b"{}"})
    tokenizer = text.from_files(bert_files)
    with pytest.raises(UserError, match=r"already has another tokenizer \(merges.txt, vocab.json\).*overwrite=True"):
        tokenizer.save(target)
    assert read(target) == {**gpt2_files, "config.json": b"{}"}
    tokenizer.save(target, overwrite=True)
    assert read(target) == {**bert_files, "config.json": b"{}"}  # nothing is left that would be read instead


def test_an_interrupted_save_leaves_no_half_file(bert_files, tmp_path, monkeypatch):
    def full(*args):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        text.from_files(bert_files).save(tmp_path)
    assert not (tmp_path / "vocab.txt").exists()


def test_nothing_there(tmp_path):
    with pytest.raises(
        CheckpointError, match=r"no tokenizer. Expected one of: tokenizer.json; vocab.txt; .*Received: none"
    ):
        text.load(tmp_path)
    write(tmp_path / "half", {"vocab.json": b"{}"})
    with pytest.raises(CheckpointError, match=r"vocab.json with merges.txt.*Received: vocab.json"):
        text.load(tmp_path / "half")
    with pytest.raises(CheckpointError, match="nothing there"):
        text.load(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="a file"):
        text.load(tmp_path / "half" / "vocab.json")


def test_files_that_a_config_names_are_not_opened(bert_files, tmp_path):
    (tmp_path / "secret").write_bytes(b"[CLS]\n")
    config = {"vocab_file": "../secret", "tokenizer_file": "/etc/passwd", "tokenizer_class": "BertTokenizer"}
    source = write(tmp_path / "in", {**bert_files, "tokenizer_config.json": as_json(config)})
    assert set(text.load(source).files) == {"vocab.txt", "tokenizer_config.json"}


def test_the_fingerprint_is_of_what_determines_the_ids(bert_files, gpt2_files, albert_files, tmp_path):
    first = text.load(write(tmp_path / "a", bert_files)).fingerprint
    assert len(first) == 64 and int(first, 16)
    assert text.load(write(tmp_path / "b", {**bert_files, "chat_template.jinja": b"x"})).fingerprint == first
    variants = [
        bert_files,
        {"vocab.txt": bert_files["vocab.txt"] + b"more\n"},
        {**bert_files, "tokenizer_config.json": as_json({"do_lower_case": False})},
        {**bert_files, "tokenizer_config.json": as_json({"truncation_side": "left"})},
        {**bert_files, "tokenizer_config.json": as_json({"pad_token": "the"})},
        {**bert_files, "tokenizer_config.json": as_json({"tokenizer_class": "DistilBertTokenizer"})},
        gpt2_files,
        {**gpt2_files, "tokenizer_config.json": as_json({"add_eos_token": True})},
        albert_files,
        {**albert_files, "tokenizer_config.json": as_json({"keep_accents": True})},
    ]
    prints = [text.from_files(files).fingerprint for files in variants]
    assert prints[0] == first and len(set(prints)) == len(prints)


def test_tokenizers_can_be_sent_to_other_processes(bert_files, albert_files):
    for files in (bert_files, albert_files):
        tokenizer = text.from_files(files)
        copy = pickle.loads(pickle.dumps(tokenizer))
        assert [copy.encode(t) for t in MULTILINGUAL] == [tokenizer.encode(t) for t in MULTILINGUAL]


def test_importing_the_package_is_cheap():
    heavy = "[m for m in ('tensorflow', 'keras', 'tokenizers', 'sentencepiece') if m in sys.modules]"
    code = f"import sys, tfllm.text; print({heavy})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
