"""`tfllm chat`."""

from __future__ import annotations

import dataclasses
import sys

from tfllm.errors import UserError
from tfllm.training.options import Options, option


@dataclasses.dataclass(frozen=True)
class Config(Options):
    """Flags of `tfllm chat`."""

    model: str = option("", "Directory or hub handle of a chat model.")
    system: str | None = option(None, "System message that the conversation begins with.")
    max_new_tokens: int = option(512, "Most tokens of an answer.", minimum=1)
    temperature: float = option(0.7, "0 takes the most likely token; above 0, tokens are drawn.", minimum=0)
    top_p: float = option(0.95, "Draw among the fewest tokens that have this probability together.", above=0, maximum=1)
    seed: int = option(0, "Seed of the draws.", minimum=0)


def run(config: Config) -> None:
    """Reads what you say from standard input, a message a line, and streams the answers."""
    from tfllm.commands.text_input import load_model, typed_lines
    from tfllm.generation import Generator, chat_template

    model = load_model(config.model)
    chat_template(model.tokenizer)  # an error now, not after the first message
    generator = Generator(model)
    messages = [] if config.system is None else [{"role": "system", "content": config.system}]
    print("A message a line. /reset forgets the conversation; end with Ctrl-D.", file=sys.stderr)
    print("> ", end="", file=sys.stderr, flush=True)
    for turn, line in enumerate(typed_lines()):
        line = line.strip()
        if line == "/reset":
            messages = messages[:1] if config.system is not None else []
        elif line:
            messages.append({"role": "user", "content": line})
            ids = fitting_prompt(model, messages, config)
            answer = ""
            for piece in generator.stream(ids, **_options(config, turn)):
                print(piece, end="", flush=True)
                answer += piece
            print(flush=True)
            messages.append({"role": "assistant", "content": answer})
        print("> ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def fitting_prompt(model, messages: list[dict], config: Config) -> list[int]:
    """The conversation in tokens. One that leaves no room for an answer loses its oldest exchanges, and that is said."""
    from tfllm.generation import chat_prompt
    from tfllm.generation.prompts import context_length

    longest = context_length(model.config)
    first = 0 if config.system is None else 1
    dropped = 0
    while True:
        ids = chat_prompt(model.tokenizer, messages)
        if longest is None or len(ids) + min(config.max_new_tokens, longest // 4) <= longest:
            break
        if len(messages) - first < 3:
            raise UserError(
                f"the message is too long: the model reads at most {longest} tokens, the answer included. Received: {len(ids)}."
            )
        del messages[first : first + 2]
        dropped += 1
    if dropped:
        print(f"[the oldest {dropped} exchanges no longer fit and are forgotten]", file=sys.stderr)
    return ids


def _options(config: Config, turn: int) -> dict:
    sampling = {"temperature": config.temperature, "top_p": config.top_p} if config.temperature > 0 else {}
    return {"max_new_tokens": config.max_new_tokens, "seed": config.seed + turn, **sampling}
