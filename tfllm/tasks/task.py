"""`Task`: a benchmark task from its source to its score."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tfllm.data.examples import Examples
from tfllm.errors import UserError
from tfllm.tasks import kinds

if TYPE_CHECKING:
    import tensorflow as tf

    from tfllm.data.batches import Batches
    from tfllm.data.tokenized import TokenizedExamples
    from tfllm.metrics.grouped import GroupedMetric
    from tfllm.tasks.given_predictions import GivenPredictions
    from tfllm.tasks.judging import Judgement, Prompt
    from tfllm.tasks.kinds import Kind
    from tfllm.tasks.submission_file import SubmissionFile
    from tfllm.text import Tokenizer

MAX_LENGTH = 128  # tokens that an example is cut to, unless told otherwise


@dataclass(frozen=True, eq=False)
class Task:
    """A benchmark task: where its examples come from, what its labels mean, and how it is scored.

    Made by `tfllm.tasks.get`, `from_files` and `from_memory`; a factory given to `tfllm.tasks.register` makes them too.

    Attributes:
        name: for example `"glue/mrpc"`.
        kind: `"classification"`, `"regression"`, `"span"`, or one of those that are judged by likelihoods alone: `"choice"`,
            `"continuation"`, `"perplexity"`, `"preference"`.
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
        group_metrics: those of `metrics` that are over groups of examples, by name.
        strategy: what the kind needs, with options of its own; default: `tfllm.tasks.kinds.get(kind)`.
        baseline: split to the scores of a trivial method, as `score` gives them; `None` where there is none.
        prompt: how a language model is asked without training, for `judge`; `None` where it cannot be.

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
    submission: SubmissionFile | None = None
    group_metrics: Mapping[str, GroupedMetric] = field(default_factory=dict, repr=False)
    strategy: Kind | None = field(default=None, repr=False)
    baseline: Callable[[str], dict] | None = field(default=None, repr=False)
    prompt: Prompt | None = field(default=None, repr=False)
    _examples: dict = field(default_factory=dict, init=False, repr=False)
    _tokenized: dict = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self):
        if self.strategy is None:
            object.__setattr__(self, "strategy", kinds.get(self.kind))
        self.strategy.check(self)
        if self.main_metric not in self.metrics:
            raise UserError(
                f"{self.name}: main_metric must be one of {', '.join(self.metrics)}. Received: {self.main_metric!r}."
            )

    @property
    def num_outputs(self) -> int:
        """Logits that a model needs: the number of classes, 1 for a regression, 2 for spans."""
        return self.strategy.num_outputs(self)

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
        key = (
            self.split(split),
            tokenizer.fingerprint,
            getattr(tokenizer, "target_form", None),
            max_length,
            cache_dir and os.fspath(cache_dir),
        )
        if key not in self._tokenized:
            self._tokenized[key] = self.strategy.tokenize(self.examples(split), tokenizer, max_length, cache_dir)
        return self._tokenized[key]

    def pipeline(
        self,
        split: str,
        tokenizer: Tokenizer,
        batch_size: int = 16,
        layout: str | None = None,
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
            layout: `"packed"`, `"bucketed"` or `"padded"`; default: the first that the task's kind allows.
            shuffle: default: `True` for `"train"`, `False` for every other split.
            seed: of the order.
            max_length: tokens that an example is cut to.
            pooled: the token that the model's head reads, `"first"` or `"last"`; default: `tokenizer.pooled`.
            replicas: default: those of the `tf.distribute` strategy whose scope this is called in.
            cache_dir: see `tokenized`.
            **options: further ones of `tfllm.data.Batches`, such as `shard`.
        """
        shuffle = self.split(split) == "train" if shuffle is None else shuffle
        tokenized = self.tokenized(split, tokenizer, max_length, cache_dir)
        return self.strategy.batches(
            tokenized,
            batch_size=batch_size,
            layout=layout or self.strategy.default_layout(tokenizer),
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
        layout: str | None = None,
        max_length: int = MAX_LENGTH,
        cache_dir: str | os.PathLike | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Any:
        """The model's outputs for every example of a split.

        Args:
            model: with the head of the task's kind; for a class or a number, `model(x, training=False)` gives `(B, K, C)`.
            split: name of the split.
            tokenizer: default: `model.tokenizer`.
            batch_size: examples a step.
            layout: as in `pipeline`; default: the first that the model and the task's kind allow. The outputs do not depend
                on it beyond float rounding.
            max_length: tokens that an example is cut to, and no more than the model's `config.max_positions`.
            cache_dir: see `tokenized`.
            progress: called with (steps done, steps in all).

        Returns:
            Logits `(N, C)` float32, in the order of `examples(split)`; for spans `tfllm.tasks.span.Answers`.

        Raises:
            UserError: no tokenizer, or a model whose number of outputs is not the task's.
        """
        tokenizer, max_length = self._model_tokenizer(model, tokenizer), model_length(model, max_length)
        batches = self.pipeline(
            split,
            tokenizer,
            batch_size,
            model_layout(model, layout, self.strategy.layouts),
            shuffle=False,
            max_length=max_length,
            pooled=getattr(model, "pooled", "first"),
            replicas=1,
            cache_dir=cache_dir,
        )
        return self.strategy.predict(self, model, self.split(split), batches, progress)

    def score(
        self,
        logits: np.ndarray,
        labels: np.ndarray,
        confidence_interval: bool = True,
        columns: Mapping[str, Sequence] | None = None,
    ) -> dict:
        """The task's metrics of classes or numbers; `score_split` has those of every kind.

        Args:
            logits: `(N, C)`, or predictions `(N,)`.
            labels: `(N,)`.
            confidence_interval: also give bootstrap intervals.
            columns: those of the examples, which metrics over groups need.

        Returns:
            `{metric: value, ..., "n": N, "ci95": {metric: [low, high]}, "ci_method": {metric: text}}`; `n` counts groups
            where all metrics are over groups.

        Raises:
            UserError: logits of another width, or a metric over groups without its columns.
        """
        from tfllm import metrics

        logits = np.asarray(logits)
        if logits.ndim == 2 and logits.shape[1] != self.num_outputs:
            raise UserError(f"{self.name} has {self.num_outputs} outputs. Received: logits of shape {logits.shape}.")
        if self.group_metrics and "group" not in (columns or {}):
            raise UserError(f"{self.name} is scored by groups of examples: give columns=examples(split).columns.")
        plain = [name for name in self.metrics if name not in self.group_metrics]
        scores = {
            name: metrics.compute(name, logits, labels)
            if name in plain
            else self.group_metrics[name].compute(logits, labels, columns)
            for name in self.metrics
        }
        scores["n"] = len(labels) if plain else len(set(columns["group"]))
        if confidence_interval:
            intervals = {
                name: metrics.bootstrap_ci(name, logits, labels)
                if name in plain
                else self.group_metrics[name].bootstrap_ci(logits, labels, columns)
                for name in self.metrics
            }
            scores["ci95"] = {name: [interval.low, interval.high] for name, interval in intervals.items()}
            scores["ci_method"] = {name: interval.method for name, interval in intervals.items()}
        return scores

    def score_split(self, outputs: Any, split: str, confidence_interval: bool = True) -> dict:
        """Scores what `predict` gave for a split with labels; the result is as `score`'s, with more for some kinds."""
        return self.strategy.score(self, outputs, self.examples(split), confidence_interval)

    def labelled(self, split: str) -> bool:
        """Whether a split can be trained on and scored."""
        return self.strategy.labelled(self.examples(split))

    def evaluate(self, model, split: str = "validation", *, confidence_interval: bool = True, **options) -> dict:
        """Scores the model on a split with labels.

        Args:
            model: as in `predict`.
            split: name of the split.
            confidence_interval: as in `score`.
            **options: those of `predict`; of a task that is judged by likelihoods alone, those of `judge`.

        Returns:
            What `score` gives, and `"split"`, `"truncated"` (examples cut to `max_length`) and `"skipped"` (rows of the
            source that were left out; `examples(split).report` says which and why).

        Raises:
            UserError: the split has no labels; also as `predict`.
        """
        if not self.strategy.trained:
            return self.judge(model, split, confidence_interval=confidence_interval, **options).scores
        examples = self.examples(split)
        if not self.labelled(split):
            raise UserError(
                f"{self.name}: the split {split!r} has no labels, so it cannot be scored. "
                "Use write_predictions() for it, or give a split with labels."
            )
        outputs = self.predict(model, split, **options)
        tokenizer = self._model_tokenizer(model, options.get("tokenizer"))
        tokenized = self.tokenized(
            split, tokenizer, model_length(model, options.get("max_length", MAX_LENGTH)), options.get("cache_dir")
        )
        scores = self.score_split(outputs, split, confidence_interval)
        return {
            **scores,
            "split": self.split(split),
            "truncated": int(tokenized.truncated),
            "skipped": examples.report.skipped,
        }

    def judge(self, model, split: str = "validation", **options) -> Judgement:
        """Judges a language model as it is, by how likely it finds answers: zero-shot, or after `shots` solved examples.

        Args:
            model: with its language-model head and a tokenizer; the task's `prompt` says of which kind.
            split: name of the split.
            **options: those of `tfllm.tasks.judging.Asking`: `shots=0`, `seed=1234` of their draw, `limit=None`,
                `window=None`, `stride=None`, `batch_tokens=4096`, `confidence_interval=True`, `progress=None`.

        Returns:
            `Judgement`: `.scores` as `evaluate` gives them, `.rows` with a record an example.

        Raises:
            UserError: the task has no prompt, the model is of another kind, the split has no labels, or an option is wrong.

        Example:
            >>> task = tfllm.tasks.get("superglue/rte", data_dir="superglue")  # doctest: +SKIP
            >>> task.judge(tfllm.load("path/to/gpt2"), shots=2).scores["accuracy"]  # doctest: +SKIP
            0.531
        """
        from tfllm.tasks.judging import asking, judge

        return judge(self, model, split, asking(options))

    def write_predictions(self, outputs: Any, split: str, path: str | os.PathLike, overwrite: bool = False) -> None:
        r"""Writes predictions in the form that the benchmark wants for its test splits; else `index<TAB>prediction` lines.

        Args:
            outputs: what `predict` gave: logits `(N, C)`, or predictions `(N,)`, for the examples of `split` in their order.
            split: name of the split.
            path: file to write. Its directory must exist.
            overwrite: replace a file that is there.

        Raises:
            UserError: the file is there, or the number of predictions is not that of the examples.
        """
        from tfllm.tasks.predictions_file import write_new

        examples = self.examples(split)
        if len(outputs) != len(examples):
            raise UserError(
                f"{self.name}: the split {split!r} has {len(examples)} examples. Received: {len(outputs)} predictions."
            )
        write_new(
            path, (self.submission or self.strategy.plain_file()).content(self, outputs, examples).encode(), overwrite
        )

    def read_predictions(self, path: str | os.PathLike, split: str = "validation", **options) -> GivenPredictions:
        """Predictions that are in a file, in the form that `write_predictions` writes and the benchmark's official scorer takes.

        Args:
            path: the file; it may be compressed (`.gz`) where it is of lines.
            split: name of the split that they are for.
            **options: of questions that may have no answer: `null_odds`, a file of question id to the score of "no answer",
                and `null_threshold`.

        Returns:
            `.outputs`, which `score_split` takes, and `.notes` for the user.

        Raises:
            DataError: a damaged file, or predictions that are not those of the split's examples.
            UserError: a task that has no predictions, or an option that it does not have.

        Example:
            >>> task = tfllm.tasks.get("glue/cola", data_dir="glue")  # doctest: +SKIP
            >>> task.score_split(task.read_predictions("CoLA.tsv").outputs, "validation")["n"]  # doctest: +SKIP
            1043
        """
        from tfllm.tasks.span import SpanKind

        if not self.strategy.trained:
            raise UserError(f"{self.name} is judged by likelihoods: there are no prediction files of it to read.")
        given = {name: value for name, value in options.items() if value is not None}
        if given and not isinstance(self.strategy, SpanKind):
            name = next(iter(given))
            raise UserError(
                f"{self.name} has no {name}: that is for questions without an answer. Received: {given[name]}."
            )
        return (self.submission or self.strategy.plain_file()).read(self, path, self.examples(split), **given)

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
        examples = self.strategy.checked(self, examples)
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


def model_length(model, max_length: int) -> int:
    """`max_length`, or the longest sequence that the model has positions for."""
    positions = getattr(getattr(model, "config", None), "max_positions", None)
    return max_length if positions is None else min(max_length, positions)


def model_layout(model, layout: str | None = None, allowed: Sequence[str] = ("packed", "bucketed", "padded")) -> str:
    """`layout`; by default the first of `allowed` that is among the model's `layouts`, if it declares any.

    Raises:
        UserError: the model or the task does not take rows of that layout.
    """
    layouts = getattr(model, "layouts", None)
    if layouts is not None and layout is not None and layout not in layouts:
        raise UserError(
            f"{type(model).__name__} takes layout={' or '.join(layouts)}: one example a row, as its backbone cannot keep "
            f"several apart. Received: layout={layout!r}."
        )
    if layout is not None and layout not in allowed:
        raise UserError(
            f"This task takes layout={' or '.join(allowed)}: its answer is looked for in a row of its own. "
            f"Received: layout={layout!r}."
        )
    return layout or next(name for name in layouts or allowed if name in allowed)


def _current_replicas() -> int:
    keras = sys.modules.get("keras")  # without Keras and TensorFlow there is nothing to ask
    distribution = None if keras is None else keras.distribution.distribution()
    if distribution is not None:
        return distribution.num_model_replicas
    tensorflow = sys.modules.get("tensorflow")
    return 1 if tensorflow is None else tensorflow.distribute.get_strategy().num_replicas_in_sync
