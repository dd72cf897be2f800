"""MiniLM on GLUE's STS-B: how alike in meaning are two sentences, from 0 to 5?

Command: python experiments/recipes/glue_stsb.py --data_dir=path/to/glue
Score: 0.867 Pearson and 0.865 Spearman on dev, 95 % intervals 0.853 to 0.880 and 0.849 to 0.878; one seed, the best
    evaluation of the run, which is the last
Time: 20 minutes, evaluations included
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
        task="glue/stsb",
        epochs=3,
        learning_rate=0.0001,
    )


if __name__ == "__main__":
    sys.exit(main(config(), doc=__doc__))
