"""The bytes of tokens against what the tokenizers decode."""

from __future__ import annotations

import pytest
import tokenizers
from text_files import real_models
from tricky_texts import MULTILINGUAL

from tfllm.errors import UserError
from tfllm.text import from_files, load
from tfllm.text.token_bytes import token_bytes


def check(tokenizer, texts=MULTILINGUAL):
    tokens = token_bytes(tokenizer)
    assert len(tokens) == tokenizer.vocab_size
    special = {i for token, i in tokenizer.added_tokens.items() if token.special}
    assert not any(tokens[i] for i in special)
    anchor = tokenizer.encode("a", add_special_tokens=False)
    before = tokenizer.decode(anchor)
    checked = 0
    for i, piece in enumerate(tokens):
        if piece is not None and _is_text(piece):
            assert tokenizer.decode([*anchor, i])[len(before) :] == piece.decode(), i
            checked += 1
    assert checked > 50
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False)
        if all(tokens[i] is not None for i in ids):  # none is unknown
            joined = b"".join(tokens[i] for i in ids).decode()
            assert joined.lstrip(" ") == tokenizer.decode(ids).lstrip(" ")


def _is_text(piece: bytes) -> bool:
    try:
        return bool(piece.decode())
    except UnicodeDecodeError:
        return False


@pytest.mark.parametrize("name", ["gpt2_files", "roberta_files"])
def test_byte_level_bpe(name, request):
    tokenizer = from_files(request.getfixturevalue(name))
    check(tokenizer)
    assert {bytes([byte]) for byte in range(256)} <= set(token_bytes(tokenizer))


def test_added_tokens_of_byte_level_bpe_are_spelt_as_they_are(bpe_parts):
    from tokenizers import decoders, models, pre_tokenizers

    tokens, merges = bpe_parts
    pairs = [tuple(line.split(" ")) for line in merges.decode().split("\n")[1:] if line]
    backend = tokenizers.Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, pairs))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_tokens(["    ", "<tool>", "日本"])
    backend.add_special_tokens(["<end>"])
    tokenizer = from_files({"tokenizer.json": backend.to_str().encode()})
    check(tokenizer)
    found = [token_bytes(tokenizer)[tokenizer.token_to_id(token)] for token in ("    ", "<tool>", "日本", "<end>")]
    assert found == [b"    ", b"<tool>", "日本".encode(), None]


def test_sentencepiece_with_bytes(bpe_model):
    tokenizer = from_files({"tokenizer.model": bpe_model})
    check(tokenizer)
    tokens = token_bytes(tokenizer)
    assert [tokens[tokenizer.token_to_id(f"<0x{byte:02X}>")] for byte in (0, 10, 255)] == [b"\0", b"\n", b"\xff"]


@pytest.mark.parametrize("family", ["LlamaTokenizer", "T5Tokenizer", "XLMRobertaTokenizer"])
def test_sentencepiece_families(sentencepiece_goldens, family):
    check(from_files(sentencepiece_goldens["families"][family]["files"]))


def test_a_real_vocabulary():
    directory = real_models() / "tokenizer-gpt2"
    if not directory.is_dir():
        pytest.skip(f"no {directory}")
    check(load(directory), ["The quick brown fox", "naïve 日本語 🙂\n\n  x"])


def test_the_tokenizer_json_of_a_sentencepiece_model():
    from tokenizers import decoders, models

    pieces = [
        ("<unk>", 0.0),
        ("</s>", 0.0),
        *((f"<0x{byte:02X}>", 0.0) for byte in range(256)),
        ("▁the", -1.0),
        ("{", -2.0),
    ]
    for decoder, byte in (
        (decoders.Metaspace(), b"<0x41>"),
        (decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]), b"A"),
    ):
        backend = tokenizers.Tokenizer(models.Unigram(pieces, unk_id=0))
        backend.decoder = decoder
        backend.add_special_tokens(["</s>", "<unk>"])
        tokens = token_bytes(from_files({"tokenizer.json": backend.to_str().encode()}))
        assert (tokens[258:], tokens[2 + 65], tokens[:2]) == ([b" the", b"{"], byte, [None, None])


def test_wordpiece_is_refused(bert_files):
    with pytest.raises(UserError, match="byte-level BPE or SentencePiece. Received: a FastTokenizer"):
        token_bytes(from_files(bert_files))
