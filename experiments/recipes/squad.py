"""MiniLM on SQuAD 1.1: where in a text is the answer to a question?

Command: python experiments/recipes/squad.py --data_dir=path/to/squad
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
        task="squad/v1.1",
        epochs=2,
        learning_rate=0.0001,
        max_length=384,
        batch_size=16,
    )


if __name__ == "__main__":
    sys.exit(main(config(), doc=__doc__))
