"""Runs that are interrupted when nothing is left to train: only the end of them is done again."""

from __future__ import annotations

import json
import math

import keras
import pytest
import toy_finetuning
from test_resume import same_run

from tfllm import tasks, training
from tfllm.errors import UserError
from tfllm.training.run_checkpoints import RunCheckpoints

SLOW = pytest.mark.slow  # three runs, as all the cases here


class Interrupted(training.Trainer):
    """Trains to the end, and is then interrupted."""

    def _score(self, run):
        raise KeyboardInterrupt


def run(trainer, checkpoint, run_dir, task=None, **options) -> dict:
    keras.backend.clear_session()  # variables are named as in a process of its own
    config = training.FinetuneConfig(
        model=str(checkpoint),
        run_dir=str(run_dir),
        **{"epochs": 2, "learning_rate": 1e-2, "batch_size": 8, "max_length": 10, "log_every": 1, **options},
    )
    return trainer(config, task=task or toy_finetuning.sentiment_task()).run()


def all_lines(run_dir) -> list[dict]:
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if "_per_second" not in name} for line in lines]


@pytest.mark.parametrize(
    ("options", "last"),
    [
        pytest.param({"max_steps": 27, "checkpoint_every": 9}, 27, id="at max_steps, within an epoch", marks=SLOW),
        pytest.param({"max_steps": 27, "checkpoint_every": 9, "eval_every": "5"}, 27, id="evaluation after the end"),
        pytest.param({"max_steps": 20, "checkpoint_every": 20}, 20, id="at max_steps, with an epoch", marks=SLOW),
        pytest.param(
            {"early_stopping": 1, "epochs": 9, "learning_rate": 1e-9, "checkpoint_every": 20},
            40,
            id="stopped early",
            marks=SLOW,
        ),
        pytest.param(
            {"checkpoint_every": 20, "eval_every": "7", "log_every": 7},
            40,
            id="last line and evaluation not written",
            marks=SLOW,
        ),
        pytest.param({"max_steps": 27, "checkpoint_every": 9, "ema": 0.9}, 27, id="averages", marks=SLOW),
    ],
)
def test_what_has_ended_is_not_trained_on(checkpoint, tmp_path, options, last):
    whole = run(training.Trainer, checkpoint, tmp_path / "whole", **options)
    assert whole["steps"] == last
    with pytest.raises(KeyboardInterrupt):
        run(Interrupted, checkpoint, tmp_path / "run", **options)
    assert RunCheckpoints(tmp_path / "run" / "checkpoints").steps()[-1] == last
    again = run(training.Trainer, checkpoint, tmp_path / "run", **options)
    assert again["resumed_after_step"] == last
    same_run(tmp_path / "run", tmp_path / "whole")
    assert all_lines(tmp_path / "run") == all_lines(tmp_path / "whole")


def test_a_score_that_is_no_number_is_no_obstacle(checkpoint, tmp_path):
    """The correlation with labels that are all the same: the best one so far is then -inf, which strict JSON has not."""

    def numbers(seed: int, labels: list[float]) -> dict[str, list]:
        texts = toy_finetuning.sentiment(len(labels), seed)["text"]
        return {"text": texts, "label": labels}

    task = tasks.from_memory(numbers(0, [0.0, 1.0] * 16), numbers(1, [1.0] * 8), kind="regression", name="toy/flat")
    options = {"epochs": 2, "checkpoint_every": 3, "eval_every": "2"}
    with pytest.raises(KeyboardInterrupt):
        run(Interrupted, checkpoint, tmp_path / "run", task, **options)
    results = run(training.Trainer, checkpoint, tmp_path / "run", task, **options)
    assert results["resumed_after_step"] == 6 and results["best_step"] == 2
    assert all(math.isnan(line["pearson"]) for line in results["evaluations"])


def test_other_data_are_refused_and_a_damaged_best_is_said(checkpoint, tmp_path, caplog):
    options = {"max_steps": 27, "checkpoint_every": 9, "eval_every": "9"}
    with pytest.raises(KeyboardInterrupt):
        run(Interrupted, checkpoint, tmp_path / "run", **options)
    columns = [toy_finetuning.sentiment(160, 0), toy_finetuning.sentiment(40, 1)]
    columns[0]["text"][77] = "a great film"
    with pytest.raises(UserError, match="other examples in train"):
        run(
            training.Trainer, checkpoint, tmp_path / "run", tasks.from_memory(*columns, name="toy/sentiment"), **options
        )
    best = tmp_path / "run" / "best.weights.h5"
    content = bytearray(best.read_bytes())
    content[-1] ^= 1
    best.write_bytes(content)
    results = run(training.Trainer, checkpoint, tmp_path / "run", **options)
    said = [record.getMessage() for record in caplog.records if record.name == "tfllm"]
    assert results["status"] == "ok" and results["best_step"] == 27
    assert any("best.weights.h5 is damaged or missing: the weights stay those of step 27" in line for line in said)


def test_a_finished_run_that_was_killed_before_it_was_tidy_is_tidied(checkpoint, tmp_path):
    class Killed(training.RunDirectory):
        def tidy(self):
            if self.finished():
                raise KeyboardInterrupt
            super().tidy()

    options = {"max_steps": 3, "checkpoint_every": 1}
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("tfllm.training.trainer.RunDirectory", Killed)
        run(training.Trainer, checkpoint, tmp_path / "run", **options)
    written = (tmp_path / "run" / "results.json").read_text()
    assert json.loads(written)["status"] == "ok" and (tmp_path / "run" / "checkpoints").exists()
    results = run(training.Trainer, checkpoint, tmp_path / "run", **options)
    assert results == {**json.loads(written), "run_dir": str(tmp_path / "run")}
    assert (tmp_path / "run" / "results.json").read_text() == written
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert "model" in left and not left & {"checkpoints", "best.weights.h5", ".lock"}
    with pytest.raises(UserError, match="must not exist or be empty"):  # nothing is left to do
        run(training.Trainer, checkpoint, tmp_path / "run", **options)
