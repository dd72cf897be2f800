"""A fine-tuning run that kills itself, or is killed: what tests/training/test_resume.py starts as a process.

python killed_run.py CHECKPOINT RUN_DIR [--kill_at=STEP] [--how=step|write|term] [--devices=N] [--phases=FILE] [--option=value ...]

`--bad_label=INDEX` is a regression with a label whose loss is not finite. `--phases` adds a line to a file whenever another part of the run begins: import, prepare, first step, train,
evaluate, score.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))


def main() -> None:
    checkpoint, run_dir, *rest = sys.argv[1:]
    flags = dict(flag.removeprefix("--").split("=") for flag in rest)
    kill_at, how, devices = int(flags.pop("kill_at", 0)), flags.pop("how", "step"), int(flags.pop("devices", 1))
    phases = flags.pop("phases", os.devnull)

    def begins(phase: str) -> None:
        with open(phases, "a") as file:
            file.write(f"{phase}\n")

    begins("import")
    import tensorflow as tf

    cpus = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpus[0], [tf.config.LogicalDeviceConfiguration()] * devices)
    import toy_finetuning

    from tfllm import training
    from tfllm.training.callbacks.step_callback import StepCallback

    def kill(number: int) -> None:
        os.kill(os.getpid(), number)

    class Kill(StepCallback):
        begun = False

        def on_step_end(self, step, logs):
            if not self.begun:
                self.begun = True
                begins("train")
            if step == kill_at and how != "write":
                kill(signal.SIGTERM if how == "term" else signal.SIGKILL)

    if how == "write" and kill_at:
        from tfllm.checkpoints.tensor_image import TensorImage

        write = TensorImage.write

        def half_a_file(image, path):
            if path.parent.name != f"partial-step-{kill_at:08d}":
                return write(image, path)
            write(image, path)
            os.truncate(path, path.stat().st_size // 2)
            kill(signal.SIGKILL)

        TensorImage.write = half_a_file

    class Trainer(training.Trainer):
        def _callbacks(self, *arguments):
            callbacks = super()._callbacks(*arguments)
            evaluate = self._evaluate._evaluate

            def evaluate_in_a_phase(logs):
                begins("evaluate")
                evaluate(logs)
                begins("train")

            self._evaluate._evaluate = evaluate_in_a_phase
            begins("first step")
            return [Kill(), *callbacks]

        def _score(self, *arguments):
            begins("score")
            return super()._score(*arguments)

    task = toy_finetuning.sentiment_task()
    if "bad_label" in flags:  # beyond float32 when it is squared
        task = toy_finetuning.score_task()
        task.examples("train").labels[int(flags.pop("bad_label"))] = 3e38

    options = {
        name: json.loads(value) if value[0].isdigit() or value == "true" else value for name, value in flags.items()
    }
    config = training.FinetuneConfig(
        model=checkpoint,
        run_dir=run_dir,
        **{"epochs": 3, "learning_rate": 1e-2, "batch_size": 8, "max_length": 10, "log_every": 1, **options},
    )
    begins("prepare")
    Trainer(config, task=task).run()


if __name__ == "__main__":
    main()
