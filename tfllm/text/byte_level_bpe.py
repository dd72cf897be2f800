"""GPT-2's and RoBERTa's byte-level BPE tokenizer from vocab.json and merges.txt."""

from __future__ import annotations

from collections.abc import Mapping

import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from tfllm.errors import CheckpointError
from tfllm.text.fast import FastTokenizer, add_tokens
from tfllm.text.files import MERGES_TXT, VOCAB_JSON, decode_json, decode_text
from tfllm.text.special_tokens import Token, TokenizerConfig, read_config
from tfllm.text.template import Template

_GPT2 = dict.fromkeys(("bos", "eos", "unk"), "<|endoftext|>")
# RoBERTa's mask takes the space before it, so that " <mask>" stands for a word with its space.
_ROBERTA = {
    **{"bos": "<s>", "eos": "</s>", "sep": "</s>", "cls": "<s>", "unk": "<unk>", "pad": "<pad>"},
    "mask": Token("<mask>", lstrip=True),
}
_DEBERTA = {
    "cls": "[CLS]",
    "sep": "[SEP]",
    "bos": "[CLS]",
    "eos": "[SEP]",
    "unk": "[UNK]",
    "pad": "[PAD]",
    "mask": "[MASK]",
}
_FAMILIES = {
    **dict.fromkeys(("GPT2Tokenizer", "CodeGenTokenizer"), _GPT2),
    **dict.fromkeys(
        ("RobertaTokenizer", "LongformerTokenizer", "BartTokenizer", "LEDTokenizer", "MvpTokenizer"), _ROBERTA
    ),
    "DebertaTokenizer": _DEBERTA,
}


def read_byte_level_bpe(files: Mapping[str, bytes]) -> FastTokenizer:
    """The tokenizer of vocab.json and merges.txt.

    Where a class token and a separator are declared, or the vocabulary has RoBERTa's, inputs are
    `<s> A </s></s> B </s>` (`[CLS] A [SEP] B [SEP]` if they are spelt so). Else there are no special tokens, as in
    GPT-2, except those that the options add_bos_token and add_eos_token ask for. Option add_prefix_space (false): a
    space is set before the text.
    """
    config = read_config(files)
    config.refuse_unless(_FAMILIES, f"{VOCAB_JSON} and {MERGES_TXT}")
    vocab = decode_json(files, VOCAB_JSON)
    if not vocab or not all(isinstance(i, int) and not isinstance(i, bool) and i >= 0 for i in vocab.values()):
        raise CheckpointError(
            f"{VOCAB_JSON}: expected tokens with ids, whole numbers from 0. Received: {len(vocab)} entries."
        )
    missing = [symbol for symbol in pre_tokenizers.ByteLevel.alphabet() if symbol not in vocab]
    if missing:  # text with them would vanish without a trace
        raise CheckpointError(
            f"{VOCAB_JSON}: expected the 256 symbols of byte-level BPE. Received: a vocabulary without {len(missing)} "
            f"of them ({' '.join(sorted(missing)[:5])} ...); other kinds of BPE are read from tokenizer.json."
        )
    merges = [
        tuple(line.split(" "))
        for line in decode_text(files[MERGES_TXT], MERGES_TXT).replace("\r\n", "\n").split("\n")
        if line and not line.startswith("#version")
    ]
    if not all(len(merge) == 2 for merge in merges):
        raise CheckpointError(
            f"{MERGES_TXT}: expected two symbols a line. Received: {next(m for m in merges if len(m) != 2)}"
        )
    try:
        model = models.BPE(vocab=vocab, merges=merges, continuing_subword_prefix="", end_of_word_suffix="")
    except Exception as error:  # the library raises a plain Exception
        raise CheckpointError(
            f"{MERGES_TXT} does not belong to {VOCAB_JSON}, or one of them is cut short ({error})."
        ) from None
    defaults = _FAMILIES[config.family] if config.family else (_ROBERTA if {"<s>", "</s>"} <= vocab.keys() else _GPT2)
    config = config.with_defaults(defaults, vocab.__contains__)
    backend = tokenizers.Tokenizer(model)
    add_prefix_space = config.option("add_prefix_space", False)
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    backend.decoder = decoders.ByteLevel()
    add_tokens(backend, config)
    return FastTokenizer(backend, config, files, _template(backend, config))


def _template(backend: tokenizers.Tokenizer, config: TokenizerConfig) -> Template:
    ids = {role: backend.token_to_id(token.content) for role, token in config.roles.items()}
    if "cls" in ids and "sep" in ids:
        make = Template.bert if config.roles["cls"].content == "[CLS]" else Template.roberta
        return make(ids["cls"], ids["sep"])
    bos, eos = (ids.get(role) if config.option(f"add_{role}_token", False) else None for role in ("bos", "eos"))
    return Template.bos_eos(bos, eos)
