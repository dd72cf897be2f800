"""Makes goldens/sentencepiece.json: ids that the tokenizers of transformers 4 give with tiny SentencePiece models.

These are the classes that run the `sentencepiece` library itself, and ALBERT's is a port of the original code.
transformers 5 has none of them any more. To make the file anew, in an environment of its own:

    pip install "transformers==4.57.6" "sentencepiece==0.2.1" protobuf hypothesis
    python tests/text/make_sentencepiece_goldens.py path/to/albert/spiece.model
"""

from __future__ import annotations

import base64
import io
import json
import pathlib
import sys
import tempfile

import sentencepiece
import transformers
from tricky_texts import CORPUS, MULTILINGUAL

FAMILIES = {
    "AlbertTokenizer": ("spiece.model", {}),
    "AlbertTokenizer cased": ("spiece.model", {"do_lower_case": False, "keep_accents": True, "remove_space": False}),
    "T5Tokenizer": ("spiece.model", {"extra_ids": 3}),
    "LlamaTokenizer": ("tokenizer.model", {"legacy": True, "add_eos_token": True}),
    "XLMRobertaTokenizer": ("sentencepiece.bpe.model", {}),
}
TEXTS = [*MULTILINGUAL, "x <extra_id_0> y\u00a0<extra_id_2>z"]


def train(family: str) -> bytes:
    # The identity normalization: the tables of the others are some 200 kB.
    options = {"normalization_rule_name": "identity", "vocab_size": 130, "hard_vocab_limit": False, "num_threads": 1}
    if family == "AlbertTokenizer":
        options |= {"pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1, "control_symbols": "[CLS],[SEP],[MASK]"}
        options |= {"user_defined_symbols": "(,),-"}
    elif family == "T5Tokenizer":
        options |= {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
    elif family == "LlamaTokenizer":
        options |= {"model_type": "bpe", "byte_fallback": True, "vocab_size": 400, "remove_extra_whitespaces": False}
    model = io.BytesIO()
    corpus = CORPUS + [text.lower() for text in CORPUS]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus), model_writer=model, minloglevel=2, **options
    )
    return model.getvalue()


def main() -> None:
    goldens = {"transformers": transformers.__version__, "texts": TEXTS, "families": {}}
    for name, (file, options) in FAMILIES.items():
        family = name.split()[0]
        model = train(family)
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory, file)
            path.write_bytes(model)
            tokenizer = getattr(transformers, family)(str(path), **options)
        goldens["families"][name] = {
            "files": {
                file: base64.b64encode(model).decode(),
                "tokenizer_config.json": base64.b64encode(
                    json.dumps({"tokenizer_class": family, **options}).encode()
                ).decode(),
            },
            "vocab_size": len(tokenizer),
            "single": [tokenizer.encode(text) for text in TEXTS],
            "pair": [tokenizer.encode(a, b) for a, b in zip(TEXTS, reversed(TEXTS))],
            "special_ids": {
                r: getattr(tokenizer, f"{r}_token_id") for r in ("cls", "sep", "bos", "eos", "mask", "unk")
            },
        }
    albert = transformers.AlbertTokenizer(sys.argv[1])
    goldens["real ALBERT"] = [albert.encode(text) for text in TEXTS]
    out = pathlib.Path(__file__).parent / "goldens" / "sentencepiece.json"
    out.write_text(json.dumps(goldens, ensure_ascii=True, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
