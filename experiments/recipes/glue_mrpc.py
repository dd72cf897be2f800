"""MiniLM on GLUE's MRPC: do two sentences say the same?

Command: python experiments/recipes/glue_mrpc.py --data_dir=path/to/glue
Score: not measured
Time: not measured
Machine: not measured
"""

from __future__ import annotations

import sys

from tfllm.commands.recipe import main
from tfllm.training import FinetuneConfig


def config() -> FinetuneConfig:
    """The recipe's values; every flag of `tfllm finetune` overrides them."""
    return FinetuneConfig(
        model="demo",
        task="glue/mrpc",
        epochs=3,
        learning_rate=0.0001,
    )


if __name__ == "__main__":
    sys.exit(main(config(), doc=__doc__))
