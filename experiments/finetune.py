"""Fine-tunes a checkpoint on a task: `tfllm finetune` as an absl program, with the same flags.

    python experiments/finetune.py --model=DIR --task=glue/mrpc --data_dir=glue

`--help` lists the flags; `--flagfile=FILE` reads them from a file.
"""

from __future__ import annotations

import os
import sys

from absl import app, flags

import tfllm.cli
from tfllm.commands import finetune
from tfllm.commands.flags import parse, run

PROGRAM = os.path.basename(__file__)


def parse_flags(argv: list[str]) -> finetune.Config:
    """absl's `flags_parser`: the configuration, or exit status 2 and a line of error."""
    flags.FLAGS(argv[:1])  # absl.app's own flags keep their defaults
    config: list[finetune.Config] = []
    summary = tfllm.cli.COMMANDS["finetune"]
    status = run(
        lambda: config.append(parse(finetune.Config, argv[1:], program=PROGRAM, summary=summary)), program=PROGRAM
    )
    return config[0] if status == 0 else sys.exit(status)


def main(config: finetune.Config) -> int:
    return run(lambda: finetune.run(config), program=PROGRAM)


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
