"""`tfllm generate`."""

from __future__ import annotations

import dataclasses
import json
import pathlib
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
    weights: str = option("float", "The model's own weights, or kernels of 8 bits.", choices=("float", "int8"))
    output: str | None = option(None, "File to write; default: standard output.")
    overwrite: bool = option(False, "Replace the output file.")
    format: str = option("text", "What to write.", choices=("text", "jsonl"))
    draft_model: str | None = option(
        None,
        "Directory or hub handle of a smaller model of the same vocabulary, which guesses tokens: the same text, sooner.",
    )
    negative_prompt: str | None = option(None, "With guidance_scale: what to be led away from.")


@dataclasses.dataclass(frozen=True)
class Config(GenerationOptions, _Source):
    """Flags of `tfllm generate`."""

    logit_bias: tuple[str, ...] = option((), "Added to the logits of tokens: `id:bias`, separated by commas.")

    json_schema: str | None = option(None, "JSON schema that the text follows: a file, or the JSON itself.")

    def __post_init__(self):
        if self.json_schema is not None:
            object.__setattr__(self, "json_schema", _schema(self.json_schema))
        object.__setattr__(self, "logit_bias", tuple(_pair(text) for text in self.logit_bias))
        super().__post_init__()
        if self.prompt is not None and self.input is not None:
            raise UserError(f"give either prompt or input. Received: prompt={self.prompt!r}, input={self.input!r}.")

    def generation(self) -> dict:
        """The options of generation alone."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(GenerationOptions)}


def _schema(text: str) -> str:
    """The JSON of a schema that is given as such, or as the name of a file."""
    if text.lstrip()[:1] in ("{", "[") or text in ("true", "false"):
        return text
    try:
        return pathlib.Path(text).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f'json_schema must be a file of JSON, or JSON such as \'{{"type": "object"}}\'. Received: {text!r} ({error}).'
        ) from None


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
    from tfllm.tasks.predictions_file import check_new, write_new

    if config.output:
        check_new(config.output, config.overwrite)
    texts = read_texts(config.input, config.column) if config.input else [config.prompt]
    draft_model = None if config.draft_model is None else load_model(config.draft_model)
    generator = Generator(load_model(config.model), draft_model=draft_model, weights=config.weights)
    if texts == [None]:
        _interactive(generator, config)
        return
    one_stream = len(texts) == 1 and config.format == "text" and not config.output
    if one_stream and config.num_beams == 1 and config.num_results == 1:
        _stream(generator, texts[0], config)
        return
    results = generator(texts, negative_prompt=config.negative_prompt, **config.generation())
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
    options = {**config.generation(), "negative_prompt": config.negative_prompt, "chunk": 1}
    for piece in generator.stream(text, **options):
        print(piece, end="", flush=True)
    print()


def _interactive(generator, config: Config) -> None:
    from tfllm.commands.text_input import typed_lines

    print("A prompt a line; end with Ctrl-D.", file=sys.stderr)
    for line in typed_lines():
        _stream(generator, line.rstrip("\n"), config)


def _report_cuts(results) -> None:
    cut = [result.truncated_tokens for result in results if result.truncated_tokens]
    if cut:
        print(f"{len(cut)} of {len(results)} prompts were too long; {sum(cut)} tokens were cut off.", file=sys.stderr)
