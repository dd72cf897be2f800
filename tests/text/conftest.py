"""Tiny tokenizers, made here."""

from __future__ import annotations

import base64
import io
import json
import pathlib

import pytest
from text_files import as_json
from tricky_texts import CORPUS, MULTILINGUAL

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture(scope="session")
def bert_files() -> dict[str, bytes]:
    """A WordPiece vocabulary of the corpus's words and of all characters of the tricky texts."""
    import tokenizers
    from tokenizers import models, normalizers, pre_tokenizers, trainers

    backend = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(strip_accents=True, lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=600, special_tokens=SPECIALS, show_progress=False)
    backend.train_from_iterator(CORPUS * 3, trainer)
    vocab = backend.get_vocab()
    tokens = sorted(vocab, key=vocab.get)
    # Half of the odd characters, whole and as the rest of a word, so that a difference in what becomes of them shows.
    odd = sorted(c for c in set("".join(MULTILINGUAL)) if c not in vocab and not c.isspace())[::2]
    return {"vocab.txt": "".join(f"{token}\n" for token in [*tokens, *odd, *(f"##{c}" for c in odd)]).encode()}


@pytest.fixture(scope="session")
def bpe_parts() -> tuple[list[str], bytes]:
    """Byte-level BPE: its tokens without special ones, and merges.txt."""
    import tokenizers
    from tokenizers import models, pre_tokenizers, trainers

    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=340, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(CORPUS * 3, trainer)
    model = json.loads(backend.to_str())["model"]
    merges = "".join(" ".join(merge) + "\n" for merge in model["merges"])
    return sorted(model["vocab"], key=model["vocab"].get), f"#version: 0.2\n{merges}".encode()


@pytest.fixture(scope="session")
def gpt2_files(bpe_parts) -> dict[str, bytes]:
    tokens, merges = bpe_parts
    return {"vocab.json": as_json({t: i for i, t in enumerate([*tokens, "<|endoftext|>"])}), "merges.txt": merges}


@pytest.fixture(scope="session")
def roberta_files(bpe_parts) -> dict[str, bytes]:
    tokens, merges = bpe_parts
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *tokens, "<mask>"]
    return {"vocab.json": as_json({t: i for i, t in enumerate(tokens)}), "merges.txt": merges}


@pytest.fixture(scope="session")
def sentencepiece_goldens() -> dict:
    path = pathlib.Path(__file__).parent / "goldens" / "sentencepiece.json"
    goldens = json.loads(path.read_text())
    for family in goldens["families"].values():
        family["files"] = {name: base64.b64decode(data) for name, data in family["files"].items()}
    return goldens


@pytest.fixture(scope="session")
def albert_files(sentencepiece_goldens) -> dict[str, bytes]:
    return sentencepiece_goldens["families"]["AlbertTokenizer"]["files"]


@pytest.fixture(scope="session")
def bpe_model() -> bytes:
    """A SentencePiece model of the kind BPE, with NFKC normalization and user-defined symbols."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS), model_writer=model, model_type="bpe", vocab_size=400, byte_fallback=True,
        user_defined_symbols="<sep>,(,)", minloglevel=2,
    )  # fmt: skip
    return model.getvalue()
