"""MiniLM on SQuAD 1.1: where in a text is the answer to a question?

Command: python experiments/recipes/squad.py --data_dir=path/to/squad
Score: 63.5 F1 and 51.2 exact match, 95 % intervals 60.3 to 66.3 and 47.5 to 54.6; one seed, the last and best evaluation. Not of the
    official split, whose train file was not at hand: trained on 4,196 questions about 20 articles of the official dev set, scored on
    765 questions about 4 others. The 87,599 questions of train will give more
Time: 28 minutes, evaluations included
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
        task="squad/v1.1",
        epochs=2,
        learning_rate=0.0001,
        max_length=384,
        batch_size=16,
    )


if __name__ == "__main__":
    sys.exit(main(config(), doc=__doc__))
