"""Fine-tunes over a grid of options: `tfllm sweep` as an absl program, with the same flags.

    python experiments/sweep.py --grid="learning_rate=1e-5,3e-5;batch_size=16,32" --run_dir=runs/sweep \
        --model=DIR --task=glue/mrpc --data_dir=glue

The same command again keeps the runs that are finished and goes on with the others. `run_dir` holds a directory for each run,
`results.json` and `sweep.png`. Each run is a process of its own, so that one that runs out of memory takes none with it.
"""

from __future__ import annotations

import os
import sys

from absl import app, flags

import tfllm.cli
from tfllm.commands import sweep
from tfllm.commands.flags import parse, run

PROGRAM = os.path.basename(__file__)


def parse_flags(argv: list[str]) -> sweep.Config:
    """absl's `flags_parser`: the configuration, or exit status 2 and a line of error."""
    flags.FLAGS(argv[:1])  # absl.app's own flags keep their defaults
    config: list[sweep.Config] = []
    summary = tfllm.cli.COMMANDS["sweep"]
    status = run(
        lambda: config.append(parse(sweep.Config, argv[1:], program=PROGRAM, summary=summary)), program=PROGRAM
    )
    return config[0] if status == 0 else sys.exit(status)


def main(config: sweep.Config) -> int:
    return run(lambda: sweep.run(config), program=PROGRAM)


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
