"""`tfllm compare RUN_A RUN_B`, and of two prediction files."""

from __future__ import annotations

import dataclasses
import os

from tfllm.errors import UserError
from tfllm.training.options import Options, option

POSITIONAL = ("run_a", "run_b")


@dataclasses.dataclass(frozen=True)
class Config(Options):
    """Flags of `tfllm compare`."""

    run_a: str = option("", "Directory of a run, or a file of predictions; may be given without --run_a=.")
    run_b: str = option("", "Another one on the same task; may be given without --run_b=.")
    split: str = option("validation", "Split whose predictions to compare.")
    task: str = option("", "Of two files: the task they are of; the files are those of `tfllm evaluate --predictions`.")
    data_dir: str | None = option(None, "Of two files: directory with the task's original files.")
    references: tuple[str, ...] = option(
        (), "Of two files of texts, in place of a task: one or more files of references."
    )
    metrics: tuple[str, ...] = option((), "With references: default bleu,chrf,ter.")
    target_language: str = option("", "With references: as of `tfllm evaluate`.")
    format: str = option("text", "What to print.", choices=("text", "json"))

    def __post_init__(self):
        super().__post_init__()
        # `--help` is asked for without runs; flags.parse() makes no Config then.
        if bool(self.run_a) != bool(self.run_b):
            raise UserError(f"compare needs two runs. Received: {self.run_a or self.run_b}.")


def run(config: Config) -> None:
    """Prints each metric of both runs, their difference, and whether it can be told from chance."""
    if not config.run_a:
        raise UserError("compare needs two runs: tfllm compare RUN_A RUN_B. Received: none.")
    from tfllm.commands.tables import print_table
    from tfllm.metrics.json_scores import json_scores
    from tfllm.training.comparison import compare_files, compare_runs

    if config.task or config.references:
        from tfllm.commands.given_predictions import scored_task

        task = scored_task(config.task, config.data_dir, config.references, config.metrics, config.target_language)
        result = compare_files(task, config.run_a, config.run_b, config.split)
    else:
        for path in (config.run_a, config.run_b):
            if os.path.isfile(path):
                raise UserError(
                    f"{path} is a file: to compare files of predictions, say what they are of: --task=NAME --data_dir=DIR, or, "
                    "for texts, --references=FILE,FILE."
                )
        result = compare_runs(config.run_a, config.run_b, config.split)
    if config.format == "json":
        print(json_scores(dataclasses.asdict(result)))
        return
    rows = [
        [
            name,
            f"{d.first:.4f}",
            f"{d.second:.4f}",
            f"{d.difference:+.4f}",
            f"{d.low:+.4f} to {d.high:+.4f}",
            f"{d.p_value:.3f}",
        ]
        for name, d in result.differences.items()
    ]
    title = f"{result.task}, {result.split}: {result.n} examples; A is {config.run_a}, B is {config.run_b}"
    print_table(["metric", "A", "B", "B - A", "95 % interval", "p (paired bootstrap)"], rows, title=title)
    if result.mcnemar is not None:
        print(
            f"Right in A alone: {result.only_first}, in B alone: {result.only_second}; "
            f"McNemar's exact test p = {result.mcnemar:.3f}."
        )
    for name, d in result.differences.items():
        print(verdict(name, d))


def verdict(name: str, difference) -> str:
    """A sentence about a metric."""
    from tfllm.metrics.text_scores import ERROR_RATES

    if not difference.significant:
        return f"{name}: no difference that could be told from chance (p = {difference.p_value:.3f})."
    better = "B" if (difference.difference > 0) != (name in ERROR_RATES) else "A"
    return f"{name}: {better} is better by {abs(difference.difference):.4f} (p = {difference.p_value:.3f})."
