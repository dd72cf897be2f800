"""BERT's WordPiece tokenizer from vocab.txt."""

from __future__ import annotations

from collections.abc import Mapping

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers

from tfllm.errors import CheckpointError
from tfllm.text.fast import FastTokenizer, add_tokens
from tfllm.text.files import VOCAB_TXT, decode_text
from tfllm.text.special_tokens import read_config
from tfllm.text.template import Template

# Classes that read vocab.txt as BERT's does.
_FAMILIES = {
    "BertTokenizer",
    "ConvBertTokenizer",
    "DistilBertTokenizer",
    "DPRContextEncoderTokenizer",
    "DPRQuestionEncoderTokenizer",
    "DPRReaderTokenizer",
    "ElectraTokenizer",
    "LayoutLMTokenizer",
    "LxmertTokenizer",
    "MobileBertTokenizer",
    "SqueezeBertTokenizer",
}
_DEFAULTS = {"unk": "[UNK]", "sep": "[SEP]", "pad": "[PAD]", "cls": "[CLS]", "mask": "[MASK]"}
# What the `tokenizers` library takes off the end of a line of vocab.txt (Unicode's White_Space).
_WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))


def read_wordpiece(files: Mapping[str, bytes]) -> FastTokenizer:
    """The tokenizer of vocab.txt: a token a line, its id the number of the line from 0.

    Options of tokenizer_config.json, with BERT's defaults: do_lower_case (true), strip_accents (as do_lower_case) and
    tokenize_chinese_chars (true).
    """
    config = read_config(files)
    config.refuse_unless(_FAMILIES, VOCAB_TXT)
    lines = decode_text(files[VOCAB_TXT], VOCAB_TXT).split("\n")
    if lines[-1] == "":
        lines.pop()
    vocab = {line.rstrip(_WHITE_SPACE): i for i, line in enumerate(lines)}
    config = config.with_defaults(_DEFAULTS, vocab.__contains__)
    missing = [
        f"{role}_token {config.roles[role].content if role in config.roles else _DEFAULTS[role]!r}"
        for role in ("unk", "cls", "sep")
        if role not in config.roles or config.roles[role].content not in vocab
    ]
    if missing:
        raise CheckpointError(
            f"{VOCAB_TXT}: expected a token a line. Received: {len(lines)} lines, without {', '.join(missing)}."
        )
    backend = tokenizers.Tokenizer(models.WordPiece(vocab, unk_token=config.roles["unk"].content))
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=config.option("tokenize_chinese_chars", True),
        strip_accents=config.option("strip_accents", None),
        lowercase=config.option("do_lower_case", True),
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##")
    add_tokens(backend, config)
    template = Template.bert(*(vocab[config.roles[role].content] for role in ("cls", "sep")))
    return FastTokenizer(backend, config, files, template)
