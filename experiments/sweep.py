"""Fine-tunes over a grid of options: `tfllm sweep` as an absl program, with the same flags.

    python experiments/sweep.py --grid="learning_rate=1e-5,3e-5;batch_size=16,32" --run_dir=runs/sweep \
        --model=DIR --task=glue/mrpc --data_dir=glue

The same command again keeps the runs that are finished and goes on with the others. `run_dir` holds a directory for each run,
`results.json` and `sweep.png`. Each run is a process of its own, so that one that runs out of memory takes none with it.
"""

from __future__ import annotations

from tfllm.commands import sweep
from tfllm.commands.absl_program import launch

if __name__ == "__main__":
    launch(sweep)
