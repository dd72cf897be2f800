"""What a file of `experiments/recipes/` does when it is run: `tfllm finetune` with the recipe's values in place of the defaults."""

from __future__ import annotations

import os
import sys

from tfllm.commands import finetune
from tfllm.commands.flags import parse, run
from tfllm.training.finetune_config import FinetuneConfig
from tfllm.training.sweep import to_flags


def main(config: FinetuneConfig, *, doc: str, argv: list[str] | None = None) -> int:
    """Runs a recipe.

    Args:
        config: the recipe's values; flags override them.
        doc: its docstring, which `--help` shows first.
        argv: the program and its flags; default: those of the process.

    Returns:
        The exit status: 0, or 2 when what the user gave is wrong.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's start-up notes would bury ours
    program, *given = sys.argv if argv is None else argv
    program = os.path.basename(program)
    return run(
        # Of a flag that comes twice the last one counts.
        lambda: finetune.run(parse(FinetuneConfig, [*to_flags(config), *given], program=program, summary=doc.strip())),
        program=program,
    )
