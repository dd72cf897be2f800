"""`Trainer`: one fine-tuning run over plain Keras `fit()`, and the directory it leaves."""

from __future__ import annotations

import functools
import logging
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import tensorflow as tf
from safetensors import SafetensorError

import tfllm
from tfllm.checkpoints.kerashub import preset_of
from tfllm.errors import UserError
from tfllm.tasks import Task
from tfllm.tasks.prediction_rows import to_tsv
from tfllm.tasks.task import model_layout, model_length
from tfllm.training.callbacks.best_checkpoint import BestCheckpoint
from tfllm.training.callbacks.checkpoint import Checkpoint
from tfllm.training.callbacks.early_stopping import EarlyStopping
from tfllm.training.callbacks.evaluate import Evaluate
from tfllm.training.callbacks.jsonl_metrics import JsonlMetrics
from tfllm.training.callbacks.nan_guard import NanGuard
from tfllm.training.callbacks.progress import Progress
from tfllm.training.callbacks.stop_after import StopAfter
from tfllm.training.callbacks.tensorboard_scalars import TensorBoardScalars
from tfllm.training.callbacks.throughput import Throughput
from tfllm.training.demo_checkpoint import resolve_model
from tfllm.training.external_loggers import check_external_loggers, close_loggers, external_loggers
from tfllm.training.finetune_config import FinetuneConfig
from tfllm.training.finetune_task import make_task
from tfllm.training.gemm import gemm_peak
from tfllm.training.learning_curve import plot_learning_curve
from tfllm.training.machine import machine, versions
from tfllm.training.many_steps import check_steps_per_call
from tfllm.training.model_card import base_name, model_card
from tfllm.training.model_parallel.support import check_supported
from tfllm.training.optimizers import optimizer
from tfllm.training.preemption import Preempted, PreemptionNotice
from tfllm.training.resumable_fit import fit_from
from tfllm.training.run_checkpoints import RunCheckpoint, RunCheckpoints
from tfllm.training.run_directory import RunDirectory, default_run_dir
from tfllm.training.strategies import strategy
from tfllm.training.train_state import write_state
from tfllm.training.tuning import prepare, write_adapter
from tfllm.training.workers import WorkerLost, Workers

if TYPE_CHECKING:
    from tfllm.data import Batches
    from tfllm.training.model_parallel.placement import Placement

_log = logging.getLogger("tfllm")


class Trainer:
    """A fine-tuning run.

    It does nothing to the numbers that a plain `fit()` would not do: with the same seed and settings,

        keras.utils.set_random_seed(config.seed)
        model = tfllm.load(config.model, head="classifier", num_labels=task.num_outputs)
        batches = task.pipeline("train", model.tokenizer, batch_size=config.batch_size, seed=config.seed)
        steps = batches.steps_per_epoch * config.epochs
        model.compile(training.optimizer("adamw", config.learning_rate, total_steps=steps), **model.compile_defaults())
        model.fit(batches.dataset(), epochs=config.epochs)

    ends with the same weights; the run's model is then the best that was seen by the task's main metric.

    Args:
        config: the run.
        model: a model with a fitting head and a tokenizer; default: the one that `config.model` names. It is compiled
            and trained.
        task: default: the one that the config describes.

    Raises:
        UserError: the model, the task, the data or the run directory are not as they should be; nothing is written
            then.

    Example:
        >>> results = Trainer(FinetuneConfig(model="demo", task="glue/rte", data_dir="glue")).run()     # doctest: +SKIP
        >>> results["scores"]["validation"]["accuracy"]                                                 # doctest: +SKIP
    """

    def __init__(self, config: FinetuneConfig, *, model: keras.Model | None = None, task: Task | None = None):
        self.config = config
        self.task = task or make_task(config)
        self._splits = _splits_of(self.task)
        self._test_splits = self._splits["test"] if config.predict_test else []
        self._given_model = model
        self.run_dir = config.run_dir or default_run_dir(self.task.name, base_name(config.model or "model"))

    def run(self) -> dict:
        """Trains, keeps the best weights, scores them and writes the run directory.

        Returns:
            What `results.json` holds, and `run_dir`.

        Raises:
            UserError: as for the class, or the loss is no longer a number. The run directory then says that the run
                failed, and keeps what was recorded.
            Preempted: SIGTERM was received; while training, a checkpoint has been saved.
        """
        with PreemptionNotice() as self._notice:
            try:
                return self._run_to_the_end()
            except Preempted as stopped:
                _log.warning("%s", stopped)
                raise

    def _run_to_the_end(self) -> dict:
        started = time.perf_counter()
        config = self.config.to_dict()
        if self._workers.is_chief:  # first of all: several workers must be known before TensorFlow is used
            RunDirectory.check(self.run_dir, overwrite=self.config.overwrite, config=config)
        self._notice.listen()
        if self._workers.count > 1 and not self.config.run_dir:
            raise UserError("several workers need one run_dir, which all of them read: give --run_dir. Received: none.")
        keras.utils.set_random_seed(self.config.seed)
        with self._workers.watched():
            self._prepare()
            with self._workers.directory(self.run_dir) as directory:
                run = RunDirectory(directory, overwrite=self.config.overwrite, config=config)
                with run.locked():
                    return {**self._run(run, started), "run_dir": str(self.run_dir)}

    def _run(self, run: RunDirectory, started: float) -> dict:
        run.tidy()  # after a process that was killed
        finished = run.finished()
        if self._workers.any(finished is not None):
            return finished or {"status": "ok"}
        self._checkpoints = RunCheckpoints(Path(self.run_dir) / "checkpoints", keep=self.config.keep_checkpoints)
        self._resumed = self._restore(run)
        if run.goes_on and self._resumed is None:
            run.clear()  # killed before its first checkpoint
        facts = self._facts()
        if self._resumed is not None:
            _check_unchanged(run.results().get("fingerprints", {}), facts["fingerprints"])
        run.write_json("results.json", {"status": "running", **facts})
        run.write_json("config.json", self.config.to_dict())
        prepared = time.perf_counter()
        try:
            with self._workers.watched():
                results = {"status": "ok", **facts} | self._train(run)
            trained = time.perf_counter()
            if not self._workers.is_chief:
                return results
            results |= self._score(run)
            results["seconds"] = {
                "prepare": prepared - started,
                "train": trained - prepared - self._evaluate.seconds,
                "evaluate": self._evaluate.seconds + time.perf_counter() - trained,
                "total": time.perf_counter() - started,
            }
            run.write_text("README.md", model_card(self.config, self.task, results))
            run.write_json("results.json", results)
        except BaseException as error:  # also an interrupt: whatever ends the run, its directory says so
            others_doing = isinstance(error, (Preempted, KeyboardInterrupt, WorkerLost))
            status = "interrupted" if others_doing else "failed"
            run.write_json("results.json", {"status": status, "error": f"{type(error).__name__}: {error}", **facts})
            raise
        run.tidy()
        return results

    @functools.cached_property
    def _workers(self) -> Workers:
        return Workers(strategy(self.config.strategy, self.config.tpu, self.config.tensor_parallel))

    @property
    def workers(self) -> int:
        """How many processes train together."""
        return self._workers.count

    @property
    def _strategy(self) -> tf.distribute.Strategy | Placement:
        return self._workers.strategy

    def _prepare(self) -> None:
        """Everything that can fail because of what the user gave: model, data, optimizer."""
        config = self.config
        check_external_loggers(config)
        check_supported(config, self.task)
        for split in ("train", *self._splits["validation"]):
            if not self.task.labelled(split):
                raise UserError(f"{self.task.name}: the split {split!r} has no labels, and training needs them.")
        for split in self._test_splits:
            self.task.examples(split)  # a missing file is told before training, not after it
        with self._strategy.scope():
            self.model = prepare(
                self._given_model or load_model(config, self.task),
                config,
                lambda name: load_model(config.replace(model=name, fresh_head=False), self.task),
            )
        self._max_length = model_length(self.model, config.max_length)
        layout = model_layout(self.model, config.layout, self.task.strategy.layouts)
        self._reading = {"max_length": self._max_length, "layout": layout, "cache_dir": config.cache_dir}
        self._batches = self._pipeline((self._workers.index, self._workers.count))
        total = self._batches.steps_per_epoch * config.epochs
        self._total_steps = min(total, config.max_steps or total)
        check_steps_per_call(
            config.steps_per_call,
            self._batches.steps_per_epoch,
            max_steps=config.max_steps,
            eval_every=config.evaluation_interval,
        )
        with self._strategy.scope():
            self.model.compile(
                optimizer(
                    config.optimizer,
                    config.learning_rate,
                    total_steps=self._total_steps,
                    schedule=config.schedule,
                    warmup=config.warmup_steps_or_fraction,
                    weight_decay=config.weight_decay,
                    clip_norm=config.clip_norm,
                    layer_decay=config.layer_decay,
                    micro_batches=config.micro_batches,
                    ema_momentum=config.ema,
                    momentum=config.momentum,
                ),
                **self.model.compile_defaults(),
                steps_per_execution=config.steps_per_call,
                jit_compile={"auto": "auto", "on": True, "off": False}[config.jit],
            )

    def _pipeline(self, shard: tuple[int, int]) -> Batches:
        return self.task.pipeline(
            "train",
            self.model.tokenizer,
            batch_size=self.config.batch_size,
            seed=self.config.seed,
            pooled=self.model.pooled,
            replicas=self._strategy.num_replicas_in_sync * self.config.micro_batches,
            shard=shard,
            **self._reading,
        )

    def _restore(self, run: RunDirectory) -> RunCheckpoint | None:
        """Puts the newest checkpoint into the model; `None` where there is none: a new run, or one killed before its first."""
        checkpoint = self._checkpoints.newest() if run.goes_on else None
        step = self._workers.agreed(0 if checkpoint is None else checkpoint.step)
        if not step:
            return None
        if checkpoint is None:  # another worker than the chief
            try:
                checkpoint = self._checkpoints.read(step)
            except (OSError, ValueError, KeyError, SafetensorError) as error:
                raise UserError(
                    "run_dir must be a directory that all workers read, with one and the same content: worker "
                    f"{self._workers.index} does not find the chief's checkpoint of step {step} ({error}). Received: {self.run_dir}."
                ) from error
        with self._strategy.scope():
            self.model.build_to_train(self._batches.dataset(0, 1).element_spec)
            write_state(self.model, checkpoint.arrays)
        return checkpoint

    def _train(self, run: RunDirectory) -> dict:
        start_step = 0 if self._resumed is None else self._resumed.step
        with self._notice.noted():
            callbacks = self._callbacks(run, self._notice)
            try:
                fit_from(
                    self.model,
                    # In a form that does not mind how far a distribution strategy reads ahead.
                    lambda start, stop: self._workers.distributed(self._batches.dataset(start, stop)),
                    start_step=start_step,
                    steps_per_epoch=self._batches.steps_per_epoch,
                    epochs=self.config.epochs,
                    callbacks=callbacks,
                    stopped=self._resumed is not None and self._resumed.state.get("stopped", False),
                )
            finally:
                self._progress.close()
                close_loggers(callbacks)
                callbacks[-1].close()
        return {
            **({"resumed_after_step": start_step} if start_step else {}),
            "steps": self._evaluate.step,
            "skipped_steps": self._guard.skipped_steps,
            "compiled_by_xla": bool(self.model.jit_compile),
            "best_step": self._best.best_step,
            "evaluations": self._evaluate.history,
            "selection_split": self._evaluate.split,
        }

    def _callbacks(self, run: RunDirectory, notice: PreemptionNotice) -> list[keras.callbacks.Callback]:
        config, monitor = self.config, f"val_{self.task.main_metric}"
        of_all_workers = self._batches if self._workers.count == 1 else self._pipeline((0, 1))
        self._throughput = Throughput(of_all_workers)
        self._evaluate = Evaluate(
            self.task,
            self._splits["validation"][0],
            every=config.evaluation_interval,
            confidence_interval=False,
            **self._reading,
        )
        chief = self._workers.is_chief
        self._best = BestCheckpoint(Path(self.run_dir) / "best.weights.h5", monitor=monitor, writes=chief)
        self._progress = Progress(max_steps=config.max_steps)
        self._guard = NanGuard(
            0 if config.debug_nan else config.max_skipped_steps,
            batches=of_all_workers,
            examples=self.task.examples("train"),
            directory=run / "nan_batch",
        )
        callbacks = [self._throughput, self._guard, self._evaluate, self._best]
        if config.early_stopping is not None:
            callbacks.append(EarlyStopping(monitor, patience=config.early_stopping))
        if config.max_steps is not None:
            callbacks.append(StopAfter(config.max_steps))
        callbacks += [
            JsonlMetrics(run / "metrics.jsonl", every=config.log_every),
            TensorBoardScalars(run / "tensorboard", every=config.log_every),
            self._progress,
            *(external_loggers(config, self.run_dir) if chief else ()),
        ]
        checkpoint = Checkpoint(
            self._checkpoints,
            every=config.checkpoint_every,
            steps_per_epoch=self._batches.steps_per_epoch,
            others=callbacks,
            resumed=self._resumed,
            notice=notice,
            writes=chief,
            any_worker=self._workers.any,
        )
        return [*callbacks, checkpoint]

    def _score(self, run: RunDirectory) -> dict:
        """Scores the model, which has its best weights now, and writes model, predictions and picture."""
        write_adapter(self.model, run / "adapter")
        # A model from elsewhere is written in the form that it came in.
        save = getattr(self.model, "save_to_preset", None) or functools.partial(tfllm.save, self.model)
        shutil.rmtree(run / "model", ignore_errors=True)  # of a process that was killed while it scored
        save(run / "model")
        scores, truncated = {}, {"train": int(self._batches.tokenized.truncated)}
        for split in self._splits["validation"] + self._test_splits:
            examples = self.task.examples(split)
            outputs, kind = self.task.predict(self.model, split, **self._reading), self.task.strategy
            run.write_text(f"{split}_predictions.tsv", to_tsv(kind.rows(self.task, outputs, examples)))
            for name, content in kind.files(self.task, outputs, examples).items():
                run.write_text(f"{split}_{name}", content)
            if self.task.labelled(split):
                scores[split] = self.task.score_split(outputs, split)
            truncated[split] = int(
                self.task.tokenized(split, self.model.tokenizer, self._max_length, self.config.cache_dir).truncated
            )
        plot_learning_curve(run / "metrics.jsonl", run / "learning_curve.png", score=f"val_{self.task.main_metric}")
        # Replicas on a CPU share its cores; those on GPUs have one each.
        on_gpus = bool(tf.config.list_logical_devices("GPU"))
        devices = self._strategy.num_replicas_in_sync if on_gpus else self._workers.count
        return {
            "scores": scores,
            "truncated": truncated,
            "baseline": {split: self.task.baseline(split) for split in scores} if self.task.baseline else {},
            "throughput": self._throughput.summary(
                # Measured by TensorFlow, which JAX's devices are hidden from.
                devices * gemm_peak(self.model.compute_dtype) if keras.backend.backend() == "tensorflow" else None
            ),
        }

    def _facts(self) -> dict:
        """What is known before training."""
        model, checkpoint = self.model, self.model.checkpoint or {}
        splits = ["train", *self._splits["validation"]]
        return {
            "task": {
                "name": self.task.name,
                "version": self.task.version,
                "kind": self.task.kind,
                "metrics": self.task.metrics,
                "main_metric": self.task.main_metric,
                "labels": self.task.labels,
            },
            "model": {
                "base": base_name(self.config.model) if self.config.model else type(model).__name__,
                "family": checkpoint.get("family"),
                "format": getattr(model, "checkpoint_format", "Hugging Face"),
                "parameters": model.count_params(),
                "freshly_initialised": checkpoint.get("fresh", []),
            },
            "max_length": self._max_length,
            "examples": {split: len(self.task.examples(split)) for split in splits},
            "skipped_rows": {split: self.task.examples(split).report.skipped for split in splits},
            "fingerprints": {split: self.task.examples(split).fingerprint for split in splits},
            "total_steps": self._total_steps,
            "scored_weights": "as trained"
            if self.config.ema is None
            else f"exponential moving average, {self.config.ema}",
            "replicas": self._strategy.num_replicas_in_sync,
            "versions": versions(),
            "machine": machine(),
        }


def load_model(config: FinetuneConfig, task: Task) -> keras.Model:
    """The configuration's checkpoint, or KerasHub preset, with a head for the task.

    Raises:
        UserError: a preset for a task that needs another head than a classifier, or no tokenizer beside the weights.
    """
    name, kind = resolve_model(config.model), task.strategy
    preset = preset_of(name)
    if preset is not None and kind.head != "classifier":
        raise UserError(
            f"{task.name} needs a {kind.head}, and a KerasHub preset is loaded as a classifier only. "
            f"Received: {config.model}. Give a Hugging Face directory."
        )
    if preset is not None and config.remat:
        raise UserError(f"remat is of tfllm's own models: give a Hugging Face directory. Received: {config.model}, a preset.")
    model = (tfllm.load if preset is None else tfllm.from_keras_hub)(
        name if preset is None else preset,
        head=kind.head,
        fresh_head=config.fresh_head,
        dtype=config.dtype,
        **({"remat": True} if config.remat else {}),
        **kind.head_options(task),
    )
    if model.tokenizer is None:
        raise UserError(f"fine-tuning needs a tokenizer beside the weights. Received: {config.model}, which has none.")
    return model


def _check_unchanged(before: dict[str, str], now: dict[str, str]) -> None:
    changed = [split for split in before if now.get(split) != before[split]]
    if changed:
        raise UserError(
            f"a run goes on with the data that it began with. Received: other examples in {', '.join(changed)}. "
            "Give the same files, or begin anew with --overwrite or another --run_dir."
        )


def _splits_of(task: Task) -> dict[str, list[str]]:
    splits = {
        kind: [name for name in task.splits if name.split("_")[0] == kind] for kind in ("train", "validation", "test")
    }
    if not splits["train"] or not splits["validation"]:
        raise UserError(
            f"{task.name} needs a train and a validation split to fine-tune on. "
            f"Its splits are: {', '.join(task.splits)}."
        )
    return splits
