"""MiniLM on SuperGLUE's RTE: does one text entail the other?

Command: python experiments/recipes/superglue_rte.py --data_dir=path/to/superglue
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
        task="superglue/rte",
        epochs=3,
        learning_rate=0.0001,
    )


if __name__ == "__main__":
    sys.exit(main(config(), doc=__doc__))
