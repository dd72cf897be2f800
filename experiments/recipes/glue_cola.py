"""MiniLM on GLUE's CoLA: is a sentence grammatical?

Command: python experiments/recipes/glue_cola.py --data_dir=path/to/glue
Score: 0.297 Matthews on dev, 95 % interval 0.230 to 0.363; one seed, the best evaluation of the run, which is the last
Time: 19 minutes, evaluations included
Machine: 2 cores of an AMD EPYC with AVX-512, shared with other work all the time: the time is an upper bound
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
