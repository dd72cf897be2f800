"""A command as an absl program of its own: what the launchers in `experiments/` are."""

from __future__ import annotations

import os
import sys
from types import ModuleType

from absl import app, flags

import tfllm.cli
from tfllm.commands.flags import parse, run


def launch(command: ModuleType) -> None:
    """Runs `tfllm <command>` under `absl.app.run`, with the same flags. Does not return.

    Args:
        command: a module of `tfllm.commands`, with `Config` and `run`.

    Example:
        >>> launch(tfllm.commands.finetune)  # doctest: +SKIP
    """
    program, name = os.path.basename(sys.argv[0]), command.__name__.rpartition(".")[2]

    def parse_flags(argv: list[str]):
        """absl's `flags_parser`: the configuration, or exit status 2 and a line of error."""
        flags.FLAGS(argv[:1])  # absl.app's own flags keep their defaults
        config = []
        summary = tfllm.cli.COMMANDS[name]
        status = run(
            lambda: config.append(parse(command.Config, argv[1:], program=program, summary=summary)), program=program
        )
        return config[0] if status == 0 else sys.exit(status)

    app.run(lambda config: run(lambda: command.run(config), program=program), flags_parser=parse_flags)
