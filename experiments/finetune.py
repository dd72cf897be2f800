"""Fine-tunes a checkpoint on a task: `tfllm finetune` as an absl program, with the same flags.

    python experiments/finetune.py --model=DIR --task=glue/mrpc --data_dir=glue

`--help` lists the flags; `--flagfile=FILE` reads them from a file.
"""

from __future__ import annotations

from tfllm.commands import finetune
from tfllm.commands.absl_program import launch

if __name__ == "__main__":
    launch(finetune)
