"""`tfllm score`."""

from __future__ import annotations

import dataclasses
import json
import math

from tfllm.errors import UserError
from tfllm.training.options import Options, option


@dataclasses.dataclass(frozen=True)
class Config(Options):
    """Flags of `tfllm score`."""

    model: str = option("", "Directory or hub handle of a causal language model.")
    text: str | None = option(None, "The text.")
    input: str | None = option(None, "File of texts: .txt (one a line) or .jsonl.")
    column: str = option("text", "Name of the text in a .jsonl file.")
    batch_tokens: int = option(4096, "Tokens a step.", minimum=1)
    tokens: bool = option(False, "Also the log-probability of each token.")
    format: str = option("text", "What to print.", choices=("text", "jsonl"))

    def __post_init__(self):
        super().__post_init__()
        if (self.text is None) == (self.input is None):
            raise UserError(f"give either text or input. Received: text={self.text!r}, input={self.input!r}.")


def run(config: Config) -> None:
    """Prints log-probability, and perplexity a token, a word and a byte."""
    from tfllm.commands.tables import print_table
    from tfllm.commands.text_input import load_model, read_texts
    from tfllm.generation import score

    texts = [config.text] if config.input is None else read_texts(config.input, config.column)
    model = load_model(config.model)
    scores = score(model, texts, batch_tokens=config.batch_tokens)
    if config.format == "jsonl":
        for text, result in zip(texts, scores):
            print(json.dumps({"text": text, **_numbers(result), **_tokens(model, result, config)}, ensure_ascii=False))
        return
    header = ["text", "tokens", "log-prob", "perplexity: token", "word", "byte"]
    rows = [[_short(text), *_cells(result)] for text, result in zip(texts, scores)]
    if len(scores) > 1:
        rows.append(["all", *_cells(_total(scores))])
    print_table(header, rows)
    if config.tokens:
        for result in scores:
            print()
            pairs = zip(_tokens(model, result, config)["tokens"], result.log_probs)
            print_table(["token", "log-prob"], [[repr(token), f"{value:.4f}"] for token, value in pairs])


def _numbers(result) -> dict:
    numbers = {
        "log_prob": result.log_prob,
        "perplexity": result.perplexity,
        "word_perplexity": result.word_perplexity,
        "byte_perplexity": result.byte_perplexity,
        "bits_per_byte": result.bits_per_byte,
        "num_tokens": len(result.token_ids),
        "words": result.words,
        "bytes": result.bytes,
    }
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in numbers.items()}


def _tokens(model, result, config: Config) -> dict:
    if not config.tokens:
        return {}
    return {
        "tokens": [model.tokenizer.id_to_token(token) for token in result.token_ids],
        "token_log_probs": list(result.log_probs),
    }


def _cells(result) -> list[str]:
    perplexities = (result.perplexity, result.word_perplexity, result.byte_perplexity)
    return [str(len(result.token_ids)), f"{result.log_prob:.3f}", *(f"{value:.3f}" for value in perplexities)]


def _total(scores):
    return type(scores[0])(
        tuple(token for result in scores for token in result.token_ids),
        tuple(value for result in scores for value in result.log_probs),
        sum(result.words for result in scores),
        sum(result.bytes for result in scores),
        sum(result.unscored for result in scores),
    )


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
