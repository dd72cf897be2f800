"""The kind of tasks whose answer is a text that the model writes: translation, summaries, code.

An encoder-decoder reads the source and is taught each next token of the target; a decoder alone reads source and target in one
row, and only the target's tokens count in the loss. Predictions are generated, and scored by metrics of texts.

The examples of such a task have one text, the source, and a column `references`: a tuple of one or more targets each. It is
trained on the first one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tfllm.data.parallel import read_sgm
from tfllm.data.row_reader import as_text, raw_lines
from tfllm.errors import DataError, UserError
from tfllm.metrics.text_scores import TextMetric, text_metric
from tfllm.tasks.given_predictions import ById, GivenPredictions
from tfllm.tasks.kinds import Kind
from tfllm.tasks.submission_file import SubmissionFile

SOURCE = "{source}"


@dataclass(frozen=True)
class GeneratedTextKind(Kind):
    r"""A text for each source.

    Attributes:
        prompt: what the model reads, with `{source}` in it; default: the source alone, and for a decoder alone the source and
            a line end. T5 was trained on prompts such as `"translate English to German: {source}"`.
        max_target: tokens that a target is cut to in training, and most that are generated; default: `max_length` for an
            encoder-decoder, half of it for a decoder alone (whose source and target share a row).
        generation: options of `tfllm.generation.generate`, such as `{"num_beams": 5}`.
        language: token of the target's language in multilingual models, such as `"de_DE"`.
        target_language: code that BLEU's tokenizer is chosen by; for CodeBLEU the programming language.
        keep_end: a source that is too long loses its beginning, as the end is what is continued; for a decoder alone.

    Example:
        >>> GeneratedTextKind(prompt="fix: {source}", generation={"num_beams": 4}).prompt
        'fix: {source}'
    """

    prompt: str | None = None
    max_target: int | None = None
    generation: Mapping[str, Any] = field(default_factory=dict)
    language: str | None = None
    target_language: str = ""
    keep_end: bool = False

    head = "generator"
    layouts = ("packed", "bucketed", "padded")

    def __post_init__(self):
        if self.prompt is not None and self.prompt.count(SOURCE) != 1:
            raise UserError(f"prompt must have {SOURCE} in it, once. Received: prompt={self.prompt!r}.")
        if self.max_target is not None and self.max_target < 2:
            raise UserError(f"max_target must be at least 2. Received: max_target={self.max_target}.")

    def check(self, task):
        if task.labels is not None:
            raise UserError(f"{task.name}: generated texts have no labels. Received: labels={task.labels}.")
        if task.main_metric == "ter":
            raise UserError(f"{task.name}: the best checkpoint is the one with the highest main_metric. Received: ter.")

    def num_outputs(self, task):
        return 0

    def head_options(self, task):
        return {}

    def labelled(self, examples):
        return "references" in examples.columns

    def checked(self, task, examples):
        if self.labelled(examples) and not all(map(len, examples.columns["references"])):
            raise UserError(
                f"{task.name}: every example needs a reference. Received: none for some ({examples.source})."
            )
        return examples

    def tokenize(self, examples, tokenizer, max_length, cache_dir):
        from tfllm.tasks.text_tokens import continuation_tokens, pair_tokens

        form = tokenizer.target_form
        if form is None:
            raise UserError(
                "The tokenizer must know how its model writes: load both with tfllm.load(..., head='generator'), or set "
                "tokenizer.target_form = tfllm.text.target_form.TargetForm.of(model.config). Received: target_form=None."
            )
        before, after = self._around(form.encoder_decoder)
        sources = [before + text for text in examples.texts[0]]
        targets = [group[0] for group in examples.columns["references"]] if self.labelled(examples) else None
        longest = self._longest_target(form, max_length)
        if form.encoder_decoder:
            return pair_tokens(
                [text + after for text in sources],
                targets,
                tokenizer,
                form,
                max_source=max_length,
                max_target=longest,
                language=self.language,
            )
        return continuation_tokens(
            sources,
            targets,
            tokenizer,
            form,
            after=after,
            max_source=max_length - longest,
            max_target=longest,
            keep_end=self.keep_end,
        )

    def default_layout(self, tokenizer):
        form = tokenizer.target_form
        return "bucketed" if form is not None and form.encoder_decoder else "packed"

    def batches(self, tokenized, **options):
        from tfllm.data.batches import Batches
        from tfllm.data.text_pairs import PairBatches, TokenizedPairs

        return (PairBatches if isinstance(tokenized, TokenizedPairs) else Batches)(tokenized, **options)

    def predict(self, task, model, split, batches, progress):
        from tfllm.generation import generator_of  # a room above this one

        tokenized, form = batches.tokenized, model.tokenizer.target_form
        longest = self._longest_target(form, batches.max_length)
        prompts = _prompts(tokenized)
        options = {
            "max_new_tokens": longest,
            "batch_size": batches.batch_size,
            **({} if self.language is None else {"language": self.language}),
            **self.generation,
        }
        generator, texts = generator_of(model), []
        step = options["batch_size"] * 4
        for begin in range(0, len(prompts), step):
            texts += [result.text.strip() for result in generator(prompts[begin : begin + step], **options)]
            if progress is not None:
                progress(min(begin + step, len(prompts)), len(prompts))
        return texts

    def metrics_of(self, task) -> dict[str, TextMetric]:
        """The task's metrics by name."""
        return {name: text_metric(name, self.target_language) for name in task.metrics}

    def score(self, task, outputs, examples, confidence_interval):
        references, metrics = examples.columns["references"], self.metrics_of(task)
        sums = {name: metric.sums_of(outputs, references) for name, metric in metrics.items()}
        scores: dict[str, Any] = {
            name: float(metric.score(sums[name].sum(axis=0)[None])[0]) for name, metric in metrics.items()
        }
        scores["n"] = len(examples)
        signatures = {name: str(m.signature) for name, m in metrics.items() if m.signature is not None}
        if signatures:
            scores["signature"] = signatures
            scores["official"] = {f"{name} signature": text for name, text in signatures.items()}
        parts = {name: m.parts(sums[name].sum(axis=0)) for name, m in metrics.items() if m.parts is not None}
        if parts:
            scores["parts"] = parts
            shown = {f"{name} {part}": value for name, values in parts.items() for part, value in values.items()}
            scores["official"] = {**scores.get("official", {}), **shown}
        if confidence_interval:
            intervals = {name: metric.bootstrap_ci(sums[name]) for name, metric in metrics.items()}
            scores["ci95"] = {name: [interval.low, interval.high] for name, interval in intervals.items()}
            scores["ci_method"] = {name: interval.method for name, interval in intervals.items()}
        return scores

    def rows(self, task, outputs, examples):
        rows: list[dict[str, str | float]] = [
            {"id": id_, "prediction": text} for id_, text in zip(examples.ids, outputs, strict=True)
        ]
        if self.labelled(examples):
            most = max(map(len, examples.columns["references"]))
            for row, group in zip(rows, examples.columns["references"]):
                for number in range(most):
                    name = "reference" if number == 0 else f"reference_{number + 1}"
                    row[name] = group[number] if number < len(group) else ""
        return rows

    def plain_file(self):
        return TextLines({})

    def sums_of_rows(self, task, metric, columns):
        if "reference" not in columns:
            return None
        names = [name for name in columns if name.split("_")[0] == "reference"]
        references = [[text for text in group if text] or [""] for group in zip(*(columns[name] for name in names))]
        found = text_metric(metric, self.target_language)
        return found.sums_of(columns["prediction"], references), found.score

    def files(self, task, outputs, examples):
        return {"predictions.txt": (task.submission or self.plain_file()).content(task, outputs, examples)}

    def _around(self, encoder_decoder: bool) -> tuple[str, str]:
        prompt = self.prompt or (SOURCE if encoder_decoder else SOURCE + "\n")
        before, after = prompt.split(SOURCE)
        return before, after

    def _longest_target(self, form, max_length: int) -> int:
        if not form.encoder_decoder:
            return self.max_target or max(2, max_length // 2)
        longest = self.max_target or max_length
        return longest if form.longest is None else min(longest, form.longest)


@dataclass(frozen=True)
class TextLines(SubmissionFile):
    """A prediction a line; line ends inside of one become spaces.

    Attributes:
        files: split to file name.
        numbered: each line begins with the example's id and a tab (CodeXGLUE's summaries).
    """

    numbered: bool = False

    def content(self, task, outputs, examples):
        lines = [" ".join(text.split("\n")).replace("\r", " ") for text in outputs]
        if self.numbered:
            lines = [f"{id_}\t{line}" for id_, line in zip(examples.ids, lines, strict=True)]
        return "".join(f"{line}\n" for line in lines)

    def read(self, task, path, examples):
        """A text a line, in the order of the examples; with `numbered` by their ids. Segments of an `.sgm` file too."""
        if os.fspath(path).removesuffix(".gz").endswith(".sgm"):
            lines = read_sgm(path)
        else:
            lines = [as_text(path, line, raw) for line, raw in raw_lines(path)]
        if self.numbered and any("\t" in line for line in lines):
            found = ById(path)
            for number, line in enumerate(lines, 1):
                id_, _, text = line.partition("\t")
                found.add(number, id_.strip(), text)
            return GivenPredictions(*found.of(examples.ids))
        if len(lines) != len(examples):
            raise DataError(
                path,
                None,
                f"expected a line for each of the {len(examples)} examples of {examples.source}. Received: {len(lines)} lines.",
            )
        return GivenPredictions(lines)


def with_options(kind: GeneratedTextKind, num_beams: int | None = None, **options) -> GeneratedTextKind:
    """The kind with other options; those that are `None` stay."""
    given = {name: value for name, value in options.items() if value is not None}
    if num_beams is not None:
        given["generation"] = {**kind.generation, **given.get("generation", {}), "num_beams": num_beams}
    return replace(kind, **given)


def _prompts(tokenized) -> list[list[int]]:
    """What is read before the target, as ids: the very tokens of training."""
    from tfllm.data.text_pairs import TokenizedPairs

    offsets, ids, labels = tokenized.offsets, tokenized.token_ids, tokenized.token_labels
    ends = offsets[1:]
    if labels is not None and not isinstance(tokenized, TokenizedPairs):
        import numpy as np

        first = np.flatnonzero(labels >= 0)
        ends = first[np.searchsorted(first, offsets[:-1])] + 1
    return [ids[begin:end].tolist() for begin, end in zip(offsets[:-1], ends)]
