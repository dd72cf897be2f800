"""`tfllm finetune`, and `experiments/finetune.py`."""

from __future__ import annotations

from tfllm.training.finetune_config import FinetuneConfig as Config

__all__ = ["Config", "run"]


def run(config: Config) -> None:
    """Runs the configuration and prints the scores."""
    from tfllm.commands.report import print_results
    from tfllm.training.seeds import finetune

    print_results(finetune(config))
