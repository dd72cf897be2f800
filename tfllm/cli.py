"""The `tfllm` command. Subcommands and their modules are imported when they are called, so `--help` is quick."""

from __future__ import annotations

import difflib
import importlib
import os
import sys

import tfllm
from tfllm.commands import flags
from tfllm.errors import UserError

COMMANDS = {
    "finetune": "Fine-tune a checkpoint on a task or on files of your own.",
    "sweep": "Fine-tune over a grid of flags, resumably, with a table and a plot at the end.",
    "plan": "Estimate memory, time and cost of a training run before it starts.",
    "evaluate": "Score a fine-tuned model, a language model zero- or few-shot, or a file of predictions, with official metrics.",
    "compare": "Compare two runs, or two files of predictions, on one task: differences, intervals, tests.",
    "predict": "Write labels and probabilities for a task's split or for a file.",
    "generate": "Continue a prompt, a file of prompts, or what you type.",
    "chat": "Talk with a chat model.",
    "score": "Log-probability and perplexity of given texts.",
    "tasks": "List the tasks: kind, size, metric, licence, source; or describe one.",
    "overlap": "Check two sets of texts for shared n-grams and duplicates, as for contamination.",
    "models": "List the families of checkpoints that can be loaded, and their heads.",
    "convert": "Load a checkpoint and save it as a Hugging Face directory or a .keras file.",
}


def main(argv: list[str] | None = None) -> int:
    """Runs `tfllm <command> [--name=value ...]`.

    Args:
        argv: the arguments without the program's name; default: those of the process.

    Returns:
        The exit status: 0, or 2 when what the user gave is wrong.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's start-up notes would bury ours
    argv = sys.argv[1:] if argv is None else argv
    program = f"tfllm {argv[0]}" if argv and argv[0] in COMMANDS else "tfllm"
    return flags.run(lambda: _run(argv), program=program)


def _run(argv: list[str]) -> None:
    name, *arguments = argv or ["--help"]
    if name in ("--help", "-h", "help"):
        print(_usage())
    elif name == "--version":
        print(f"tfllm {tfllm.__version__}")
    elif name in COMMANDS:
        module = importlib.import_module(f"tfllm.commands.{name}")
        arguments = _named(arguments, getattr(module, "POSITIONAL", ()))
        arguments = getattr(module, "arguments", list)(arguments)  # a command's own reading of its flags
        module.run(flags.parse(module.Config, arguments, program=f"tfllm {name}", summary=COMMANDS[name]))
    else:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise UserError(f"unknown command.{hint} Received: {name!r}. The commands are: {', '.join(COMMANDS)}.")


def _named(arguments: list[str], positional: tuple[str, ...]) -> list[str]:
    """Arguments that are no flags, as the flags they stand for, in turn."""
    left, named, is_value = list(positional), [], False
    for argument in arguments:
        named.append(f"--{left.pop(0)}={argument}" if left and not is_value and argument[0:1] != "-" else argument)
        is_value = bool(positional) and argument.startswith("--") and "=" not in argument  # `--split test`
    return named


def _usage() -> str:
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:{width}}  {summary}" for name, summary in COMMANDS.items())
    return (
        f"usage: tfllm <command> [--name=value ...]\n\n{commands}\n\n`tfllm <command> --help` lists a command's flags."
    )


if __name__ == "__main__":
    sys.exit(main())
