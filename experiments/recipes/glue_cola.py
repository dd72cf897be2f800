"""MiniLM on GLUE's CoLA: is a sentence grammatical?

Command: python experiments/recipes/glue_cola.py --data_dir=path/to/glue
Score: 0.258 Matthews on dev, 95 % interval 0.189 to 0.323; one seed, the best evaluation of the run (README.md),
    measured with an earlier version of the trainer
Time: 5.4 minutes, evaluations included
Machine: 2 cores of an AMD EPYC with AVX-512; other work ran beside it, so the time is an upper bound
"""

from __future__ import annotations

import sys

from tfllm.commands.recipe import main
from tfllm.training import FinetuneConfig


def config() -> FinetuneConfig:
    """The recipe's values; every flag of `tfllm finetune` overrides them."""
    return FinetuneConfig(
        model="demo",
        task="glue/cola",
        epochs=3,
        learning_rate=0.0001,
    )


if __name__ == "__main__":
    sys.exit(main(config(), doc=__doc__))
