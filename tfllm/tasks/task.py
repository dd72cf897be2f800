"""`Task`: a benchmark task from its source to its score."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from tfllm.data.columns import KINDS
from tfllm.data.examples import Examples
from tfllm.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

    from tfllm.data.batches import Batches
    from tfllm.data.tokenized import TokenizedExamples
    from tfllm.text import Tokenizer

MAX_LENGTH = 128  # tokens that an example is cut to, unless told otherwise


@dataclass(frozen=True)
class Submission:
    """How the predictions of a benchmark's test splits are handed in.

    Attributes:
        files: split to file name.
        values: what is written for class 0, 1, ...; `None` for a number, clipped to the task's range and written with
            `decimals`.
        decimals: digits after the point of a number.
    """

    files: Mapping[str, str]
    values: tuple[str, ...] | None = None
    decimals: int = 3


@dataclass(frozen=True, eq=False)
class Task:
    """A benchmark task: where its examples come from, what its labels mean, and how it is scored.

    Made by `tfllm.tasks.get`, `from_files` and `from_memory`; a factory given to `tfllm.tasks.register` makes them too.

    Attributes:
        name: for example `"glue/mrpc"`.
        kind: `"classification"` or `"regression"`.
        text_fields: names of the one or two texts of an example.
        read: split to `Examples`; called once a split.
        metrics: names of the official metrics (see `tfllm.metrics`), `main_metric` among them.
        main_metric: the one that decides which checkpoint is best.
        labels: names of classes 0, 1, ...; `None` for a regression.
        label_range: lowest and highest label of a regression.
        version: raised whenever examples or scores change.
        splits: split to a description of it.
        sizes: split to its official number of rows. Another number in the source is a note in the examples' report.
        split_aliases: other names of splits, for example MNLI's `"validation"` for `"validation_matched"`.
        licence, source_url, description, citation: for people.
        submission: how test predictions are handed in; `None` where there is no such thing.
        baseline: split to the scores of a trivial method, as `score` gives them; `None` where there is none.

    Example:
        >>> task = tfllm.tasks.get("glue/mrpc", data_dir="glue_data")  # doctest: +SKIP
        >>> model.fit(task.batches("train", model.tokenizer), epochs=3)  # doctest: +SKIP
        >>> task.evaluate(model)["f1"]  # doctest: +SKIP
        0.889
    """

    name: str
    kind: str
    text_fields: tuple[str, ...]
    read: Callable[[str], Examples] = field(repr=False)
    metrics: tuple[str, ...]
    main_metric: str
    labels: tuple[str, ...] | None = None
    label_range: tuple[float, float] | None = None
    version: int = 1
    splits: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    split_aliases: Mapping[str, str] = field(default_factory=dict)
    licence: str = "unstated"
    source_url: str = ""
    description: str = ""
    citation: str = field(default="", repr=False)
    submission: Submission | None = None
    baseline: Callable[[str], dict] | None = field(default=None, repr=False)
    _examples: dict = field(default_factory=dict, init=False, repr=False)
    _tokenized: dict = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self):
        if self.kind not in KINDS:
            raise UserError(f"{self.name}: kind must be one of {', '.join(KINDS)}. Received: {self.kind!r}.")
        if (self.labels is None) == (self.kind == "classification"):
            raise UserError(
                f"{self.name}: a classification has labels, a regression has none. "
                f"Received: {self.kind}, {self.labels}."
            )
        if self.labels is not None and len(self.labels) < 2:
            raise UserError(f"{self.name}: a classification needs at least two labels. Received: {list(self.labels)}.")
        if self.main_metric not in self.metrics:
            raise UserError(
                f"{self.name}: main_metric must be one of {', '.join(self.metrics)}. Received: {self.main_metric!r}."
            )

    @property
    def num_outputs(self) -> int:
        """Logits that a model needs: the number of classes, or 1."""
        return 1 if self.labels is None else len(self.labels)

    def split(self, name: str) -> str:
        """The split that `name` stands for.

        Raises:
            UserError: no such split.
        """
        name = self.split_aliases.get(name, name)
        if name not in self.splits:
            raise UserError(
                f"{self.name} has no split {name!r}. Its splits are: {', '.join([*self.splits, *self.split_aliases])}."
            )
        return name

    def examples(self, split: str) -> Examples:
        """The examples of a split, in the order of the source. Read once and kept."""
        split = self.split(split)
        if split not in self._examples:
            self._examples[split] = self._checked(self.read(split), split)
        return self._examples[split]

    def tokenized(
        self, split: str, tokenizer: Tokenizer, max_length: int = MAX_LENGTH, cache_dir: str | os.PathLike | None = None
    ) -> TokenizedExamples:
        """The examples of a split as token ids, at most `max_length` an example, special tokens included.

        Args:
            split: name of the split.
            tokenizer: a `tfllm.text.Tokenizer`.
            max_length: longer examples are cut, and counted in `.truncated`.
            cache_dir: where token ids are kept from one run to the next; see `tfllm.data.tokenize`.
        """
        from tfllm.data.tokenized import tokenize

        key = (self.split(split), tokenizer.fingerprint, max_length, cache_dir and os.fspath(cache_dir))
        if key not in self._tokenized:
            self._tokenized[key] = tokenize(self.examples(split), tokenizer, max_length=max_length, cache_dir=cache_dir)
        return self._tokenized[key]

    def pipeline(
        self,
        split: str,
        tokenizer: Tokenizer,
        batch_size: int = 16,
        layout: str = "packed",
        shuffle: bool | None = None,
        seed: int = 0,
        max_length: int = MAX_LENGTH,
        pooled: str | None = None,
        replicas: int | None = None,
        cache_dir: str | os.PathLike | None = None,
        **options,
    ) -> Batches:
        """Static-shape batches of a split, with random access by step.

        Args:
            split: name of the split.
            tokenizer: the model's tokenizer.
            batch_size: examples an optimizer step, over all replicas.
            layout: `"packed"`, `"bucketed"` or `"padded"`.
            shuffle: default: `True` for `"train"`, `False` for every other split.
            seed: of the order.
            max_length: tokens that an example is cut to.
            pooled: the token that the model's head reads, `"first"` or `"last"`; default: `tokenizer.pooled`.
            replicas: default: those of the `tf.distribute` strategy whose scope this is called in.
            cache_dir: see `tokenized`.
            **options: further ones of `tfllm.data.Batches`, such as `shard`.
        """
        from tfllm.data.batches import Batches

        shuffle = self.split(split) == "train" if shuffle is None else shuffle
        tokenized = self.tokenized(split, tokenizer, max_length, cache_dir)
        return Batches(
            tokenized,
            batch_size=batch_size,
            layout=layout,
            max_length=max_length,
            shuffle=shuffle,
            seed=seed,
            pooled=tokenizer.pooled if pooled is None else pooled,
            pad_id=tokenizer.pad_id,
            replicas=_current_replicas() if replicas is None else replicas,
            **options,
        )

    def batches(self, split: str, tokenizer: Tokenizer, batch_size: int = 16, **options) -> tf.data.Dataset:
        """`pipeline(...).dataset()`, with the arguments of `pipeline`: one epoch for `model.fit()`."""
        return self.pipeline(split, tokenizer, batch_size, **options).dataset()

    def predict(
        self,
        model,
        split: str = "validation",
        *,
        tokenizer: Tokenizer | None = None,
        batch_size: int = 64,
        layout: str = "packed",
        max_length: int = MAX_LENGTH,
        cache_dir: str | os.PathLike | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """The model's logits for every example of a split.

        Args:
            model: a classifier or regressor: `model(x, training=False)` gives `(B, K, C)`.
            split: name of the split.
            tokenizer: default: `model.tokenizer`.
            batch_size: examples a step.
            layout: as in `pipeline`. The logits do not depend on it beyond float rounding.
            max_length: tokens that an example is cut to, and no more than the model's `config.max_positions`.
            cache_dir: see `tokenized`.
            progress: called with (steps done, steps in all).

        Returns:
            `(N, C)` float32, in the order of `examples(split)`.

        Raises:
            UserError: no tokenizer, or a model whose number of outputs is not the task's.
        """
        from tfllm.tasks.prediction import predict_logits

        tokenizer, max_length = self._model_tokenizer(model, tokenizer), _model_length(model, max_length)
        batches = self.pipeline(
            split,
            tokenizer,
            batch_size,
            layout,
            shuffle=False,
            max_length=max_length,
            pooled=getattr(model, "pooled", "first"),
            replicas=1,
            cache_dir=cache_dir,
        )
        return predict_logits(model, batches, len(self.examples(split)), self.num_outputs, self.name, progress)

    def score(self, logits: np.ndarray, labels: np.ndarray, confidence_interval: bool = True) -> dict:
        """The task's metrics.

        Args:
            logits: `(N, C)`, or predictions `(N,)`.
            labels: `(N,)`.
            confidence_interval: also give bootstrap intervals.

        Returns:
            `{metric: value, ..., "n": N, "ci95": {metric: [low, high]}, "ci_method": {metric: text}}`.
        """
        from tfllm import metrics

        logits = np.asarray(logits)
        if logits.ndim == 2 and logits.shape[1] != self.num_outputs:
            raise UserError(f"{self.name} has {self.num_outputs} outputs. Received: logits of shape {logits.shape}.")
        scores = {name: metrics.compute(name, logits, labels) for name in self.metrics}
        scores["n"] = len(labels)
        if confidence_interval:
            intervals = {name: metrics.bootstrap_ci(name, logits, labels) for name in self.metrics}
            scores["ci95"] = {name: [interval.low, interval.high] for name, interval in intervals.items()}
            scores["ci_method"] = {name: interval.method for name, interval in intervals.items()}
        return scores

    def evaluate(self, model, split: str = "validation", *, confidence_interval: bool = True, **options) -> dict:
        """Scores the model on a split with labels.

        Args:
            model: as in `predict`.
            split: name of the split.
            confidence_interval: as in `score`.
            **options: those of `predict`.

        Returns:
            What `score` gives, and `"split"`, `"truncated"` (examples cut to `max_length`) and `"skipped"` (rows of the
            source that were left out; `examples(split).report` says which and why).

        Raises:
            UserError: the split has no labels; also as `predict`.
        """
        examples = self.examples(split)
        if examples.labels is None:
            raise UserError(
                f"{self.name}: the split {split!r} has no labels, so it cannot be scored. "
                "Use write_predictions() for it, or give a split with labels."
            )
        logits = self.predict(model, split, **options)
        tokenizer = self._model_tokenizer(model, options.get("tokenizer"))
        tokenized = self.tokenized(
            split, tokenizer, _model_length(model, options.get("max_length", MAX_LENGTH)), options.get("cache_dir")
        )
        scores = self.score(logits, examples.labels, confidence_interval)
        return {
            **scores,
            "split": self.split(split),
            "truncated": int(tokenized.truncated),
            "skipped": examples.report.skipped,
        }

    def write_predictions(
        self, logits: np.ndarray, split: str, path: str | os.PathLike, overwrite: bool = False
    ) -> None:
        r"""Writes `index<TAB>prediction` lines, in the form that the benchmark wants for its test splits.

        Args:
            logits: `(N, C)`, or predictions `(N,)`, for the examples of `split` in their order.
            split: name of the split.
            path: file to write. Its directory must exist.
            overwrite: replace a file that is there.

        Raises:
            UserError: the file is there, or the number of predictions is not that of the examples.
        """
        from tfllm.tasks.predictions_file import predictions_table, write_new

        examples = self.examples(split)
        if len(logits) != len(examples):
            raise UserError(
                f"{self.name}: the split {split!r} has {len(examples)} examples. Received: {len(logits)} predictions."
            )
        write_new(path, predictions_table(self, logits, examples.ids).encode(), overwrite)

    def describe(self) -> dict:
        """A row about the task for people: name, kind, sizes, metric, licence, source."""
        return {
            "name": self.name,
            "kind": self.kind if self.labels is None else f"{self.kind} ({len(self.labels)})",
            "sizes": dict(self.sizes),
            "metric": ", ".join(self.metrics),
            "licence": self.licence,
            "source": self.source_url,
            "description": self.description,
        }

    def _checked(self, examples: Examples, split: str) -> Examples:
        if len(examples.texts) != len(self.text_fields):
            raise UserError(
                f"{self.name} has {len(self.text_fields)} texts an example. "
                f"Received: {len(examples.texts)} ({examples.source})."
            )
        if self.labels is not None and examples.labels is not None:
            if examples.labels.dtype.kind != "i" or not 0 <= examples.labels.min() <= examples.labels.max() < len(
                self.labels
            ):
                found = f"{examples.labels.min()} to {examples.labels.max()}"
                raise UserError(
                    f"{self.name}: labels must be class numbers from 0 to {len(self.labels) - 1}. Received: {found}."
                )
        elif examples.labels is not None:  # whole numbers are fine for a regression
            examples = replace(examples, labels=examples.labels.astype(np.float32))
        expected = self.sizes.get(split, len(examples))
        if len(examples) != expected:
            note = f"the official {split} split has {expected} rows, this source gave {len(examples)}"
            examples = replace(examples, report=replace(examples.report, notes=(*examples.report.notes, note)))
        return examples

    def _model_tokenizer(self, model, tokenizer: Tokenizer | None) -> Tokenizer:
        tokenizer = getattr(model, "tokenizer", None) if tokenizer is None else tokenizer
        if tokenizer is None:
            raise UserError(
                f"{self.name}: the model has no tokenizer. Give tokenizer=, for example tfllm.text.load(directory)."
            )
        return tokenizer


def _model_length(model, max_length: int) -> int:
    """`max_length`, or the longest sequence that the model has positions for."""
    positions = getattr(getattr(model, "config", None), "max_positions", None)
    return max_length if positions is None else min(max_length, positions)


def _current_replicas() -> int:
    tensorflow = sys.modules.get("tensorflow")  # without TensorFlow there is no strategy to ask
    return 1 if tensorflow is None else tensorflow.distribute.get_strategy().num_replicas_in_sync
