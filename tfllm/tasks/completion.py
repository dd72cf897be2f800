"""The kind of tasks that ask a causal language model for each next token of code (CodeXGLUE's code completion).

Texts are code tokens with a space between them. A code token is right where the model's most likely next token is right at each
of the subtokens that it is made of, the true ones before it given. `<s>`, `</s>`, `<EOL>` and `<pad>` do not count. A text is cut
into blocks of `max_length` tokens, as the official script does; a block's first token has no prediction and counts as wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfllm.data.row_reader import as_text, raw_lines
from tfllm.data.tokenized import TokenizedExamples
from tfllm.errors import DataError, UserError
from tfllm.metrics.bootstrap import bootstrap_of_sums
from tfllm.metrics.code_completion import SKIPPED_TOKENS
from tfllm.tasks.given_predictions import GivenPredictions
from tfllm.tasks.kinds import Kind
from tfllm.tasks.submission_file import SubmissionFile


@dataclass(frozen=True, eq=False)
class Blocks(TokenizedExamples):
    """Blocks of texts as tokens.

    Attributes:
        owners: `(tokens,)` which code token of all texts each token is of.
    """

    owners: np.ndarray | None = None


@dataclass(frozen=True)
class Completions:
    """Which code tokens were predicted: `right` and `counted` `(code tokens,)` bool, `texts` `(code tokens,)` text numbers."""

    right: np.ndarray
    counted: np.ndarray
    texts: np.ndarray
    size: int

    def __len__(self) -> int:
        return self.size


@dataclass(frozen=True)
class CompletionKind(Kind):
    """The next token of code, scored by `token_accuracy`."""

    head = "causal_lm"
    layouts = ("packed", "bucketed", "padded")

    def check(self, task):
        if task.metrics != ("token_accuracy",):
            raise UserError(f"{task.name}: the metric of completions is token_accuracy. Received: {task.metrics}.")

    def num_outputs(self, task):
        return 0

    def head_options(self, task):
        return {}

    def labelled(self, examples):
        return True

    def checked(self, task, examples):
        return examples

    def tokenize(self, examples, tokenizer, max_length, cache_dir):
        return code_blocks(examples.texts[0], tokenizer, max_length)

    def predict(self, task, model, split, batches, progress):
        from keras import ops

        from tfllm.tasks.prediction import compiled_call

        tokenized, call = batches.tokenized, compiled_call(model)
        predicted = np.full(len(tokenized.token_ids), -1, np.int64)
        for step in range(batches.steps_per_epoch):
            x, _, _ = batches.batch(step)
            best = ops.convert_to_numpy(ops.argmax(call(x), axis=-1))
            indices = batches.example_indices(step)
            rows, places = np.nonzero(x["example_ids"])
            blocks = indices[rows, x["example_ids"][rows, places] - 1]
            sources = tokenized.offsets[blocks] + x["position_ids"][rows, places]
            inside = sources + 1 < tokenized.offsets[blocks + 1]
            predicted[sources[inside] + 1] = best[rows[inside], places[inside]]
            if progress is not None:
                progress(step + 1, batches.steps_per_epoch)
        return completions(predicted == tokenized.token_ids, tokenized.owners, task.examples(split).texts[0])

    def score(self, task, outputs, examples, confidence_interval):
        sums = _sums(outputs)
        scores = {"token_accuracy": float(sums[:, 0].sum() / sums[:, 1].sum()), "n": int(sums[:, 1].sum())}
        if confidence_interval:
            interval = bootstrap_of_sums(sums, lambda s: s[..., 0] / s[..., 1], "files drawn")
            scores["ci95"] = {"token_accuracy": [interval.low, interval.high]}
            scores["ci_method"] = {"token_accuracy": interval.method}
        return scores

    def rows(self, task, outputs, examples):
        sums = _sums(outputs)
        return [
            {
                "id": id_,
                "prediction": f"{int(right)} of {int(counted)} tokens",
                "token_accuracy": right / max(counted, 1),
            }
            for id_, (right, counted) in zip(examples.ids, sums)
        ]

    def plain_file(self):
        return CompletedLines({})


@dataclass(frozen=True)
class CompletedLines(SubmissionFile):
    """A line a file of code: the predicted token at the place of each token, with spaces between them. It is read alone."""

    def content(self, task, outputs, examples):
        raise UserError(
            f"{task.name}: which tokens a model predicted is not kept, so there is no file of them to write."
        )

    def read(self, task, path, examples):
        right, lines = [], [(line, as_text(path, line, raw).split()) for line, raw in raw_lines(path)]
        if len(lines) != len(examples):
            raise DataError(
                path, None, f"expected a line for each of the {len(examples)} examples. Received: {len(lines)} lines."
            )
        tokens = [text.split(" ") for text in examples.texts[0]]
        for (line, predicted), true in zip(lines, tokens):
            if len(predicted) != len(true):
                raise DataError(
                    path, line, f"expected {len(true)} tokens, as in the example. Received: {len(predicted)}."
                )
            right += [p == t for p, t in zip(predicted, true)]
        owners = np.arange(len(right))
        return GivenPredictions(completions(np.array(right), owners, examples.texts[0]))


def code_blocks(texts, tokenizer, max_length: int) -> Blocks:
    """Texts of code tokens as blocks of tokens, each labelled with its next one.

    Args:
        texts: code tokens with a space between them.
        tokenizer: with offsets.
        max_length: tokens of a block.
    """
    ids, counts, spans = tokenizer.encode_with_offsets(texts)
    owners, begin, code_tokens = np.empty(len(ids), np.int64), 0, 0
    for text, count in zip(texts, counts):
        # The code token that holds a subtoken's last character: a space belongs to the token behind it.
        ends = np.cumsum([len(token) + 1 for token in text.split(" ")]) - 1
        owners[begin : begin + count] = code_tokens + np.searchsorted(
            ends, spans[begin : begin + count, 1] - 1, side="right"
        )
        begin, code_tokens = begin + count, code_tokens + len(ends)
    starts = np.cumsum(counts) - counts
    offsets = np.concatenate([np.arange(s, s + c, max_length) for s, c in zip(starts, counts) if c] + [[len(ids)]])
    labels = np.append(ids[1:], -1).astype(np.int32)
    labels[offsets[1:] - 1] = -1
    return Blocks(ids.astype(np.int32), offsets.astype(np.int64), token_labels=labels, owners=owners)


def completions(right_subtokens: np.ndarray, owners: np.ndarray, texts) -> Completions:
    """Which code tokens are right in all of their subtokens."""
    tokens = [text.split(" ") for text in texts]
    total = sum(map(len, tokens))
    pieces = np.bincount(owners, minlength=total)
    right = np.bincount(owners, right_subtokens, minlength=total)
    counted = np.array([token not in SKIPPED_TOKENS and token != "" for line in tokens for token in line])
    numbers = np.repeat(np.arange(len(tokens)), [len(line) for line in tokens])
    return Completions((pieces > 0) & (right == pieces) & counted, counted, numbers, len(tokens))


def _sums(outputs: Completions) -> np.ndarray:
    right = np.bincount(outputs.texts, outputs.right, minlength=outputs.size)
    counted = np.bincount(outputs.texts, outputs.counted, minlength=outputs.size)
    return np.stack([right, counted], axis=1)
