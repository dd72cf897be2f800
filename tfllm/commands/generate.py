"""`tfllm generate`."""

from __future__ import annotations

import dataclasses
import json
import sys

from tfllm.errors import UserError
from tfllm.generation.options import GenerationOptions
from tfllm.training.options import Options, option


@dataclasses.dataclass(frozen=True)
class _Source(Options):
    model: str = option("", "Directory or hub handle of a language model.")
    prompt: str | None = option(None, "The prompt. Without it and without input, prompts are read as you type them.")
    input: str | None = option(None, "File of prompts: .txt (one a line) or .jsonl.")
    column: str = option("prompt", "Name of the prompt in a .jsonl file.")
    output: str | None = option(None, "File to write; default: standard output.")
    overwrite: bool = option(False, "Replace the output file.")
    format: str = option("text", "What to write.", choices=("text", "jsonl"))


@dataclasses.dataclass(frozen=True)
class Config(GenerationOptions, _Source):
    """Flags of `tfllm generate`."""

    logit_bias: tuple[str, ...] = option((), "Added to the logits of tokens: `id:bias`, separated by commas.")

    def __post_init__(self):
        object.__setattr__(self, "logit_bias", tuple(_pair(text) for text in self.logit_bias))
        super().__post_init__()
        if self.prompt is not None and self.input is not None:
            raise UserError(f"give either prompt or input. Received: prompt={self.prompt!r}, input={self.input!r}.")

    def generation(self) -> dict:
        """The options of generation alone."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(GenerationOptions)}


def _pair(text) -> tuple[int, float]:
    if not isinstance(text, str):
        return text
    try:
        token, bias = text.split(":")
        return int(token), float(bias)
    except ValueError:
        raise UserError(f"logit_bias must be id:bias, as in 50256:-5. Received: {text!r}.") from None


def run(config: Config) -> None:
    """Writes what the model says."""
    from tfllm.commands.text_input import load_model, read_texts
    from tfllm.generation import Generator
    from tfllm.tasks.predictions_file import write_new

    texts = read_texts(config.input, config.column) if config.input else [config.prompt]
    generator = Generator(load_model(config.model))
    if texts == [None]:
        _interactive(generator, config)
        return
    one_stream = len(texts) == 1 and config.format == "text" and not config.output
    if one_stream and config.num_beams == 1 and config.num_results == 1:
        _stream(generator, texts[0], config)
        return
    results = generator(texts, **config.generation())
    _report_cuts(results)
    if config.format == "jsonl":
        lines = [
            json.dumps({"prompt": text, **dataclasses.asdict(r)}, ensure_ascii=False) for text, r in zip(texts, results)
        ]
    else:
        lines = [text.text for result in results for text in (result, *result.others)]
    text = "".join(f"{line}\n" for line in lines)
    if config.output:
        write_new(config.output, text.encode("utf-8"), overwrite=config.overwrite)
    else:
        print(text, end="")


def _stream(generator, text: str, config: Config) -> None:
    for piece in generator.stream(text, **{**config.generation(), "chunk": 1}):
        print(piece, end="", flush=True)
    print()


def _interactive(generator, config: Config) -> None:
    print("A prompt a line; end with Ctrl-D.", file=sys.stderr)
    for line in sys.stdin:
        _stream(generator, line.rstrip("\n"), config)


def _report_cuts(results) -> None:
    cut = [result.truncated_tokens for result in results if result.truncated_tokens]
    if cut:
        print(f"{len(cut)} of {len(results)} prompts were too long; {sum(cut)} tokens were cut off.", file=sys.stderr)
