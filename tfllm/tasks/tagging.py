"""The kind of tasks that give a tag to each word of a sentence: named entities, parts of speech.

The examples have one text, the words with a space between them, and the columns `words` and `tags`, tuples of texts. The model
tags the first token of each word; other tokens count neither in the loss nor in the scores. Words beyond `max_length`, or without
a token, are predicted as the first class (`O` where there is one), and cut sentences are counted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tfllm.data.row_reader import as_text, raw_lines
from tfllm.data.tokenized import TokenizedExamples
from tfllm.errors import DataError, UserError
from tfllm.metrics.bootstrap import bootstrap_of_sums
from tfllm.metrics.entities import SCORES, has_entities, tag_sums
from tfllm.tasks.given_predictions import GivenPredictions
from tfllm.tasks.kinds import Kind
from tfllm.tasks.submission_file import SubmissionFile
from tfllm.text.template import ranges


@dataclass(frozen=True, eq=False)
class TaggedTokens(TokenizedExamples):
    """Sentences as tokens.

    Attributes:
        firsts: where the first token of each word of all sentences is in `token_ids`, -1 for a word without one `(words,)`.
    """

    firsts: np.ndarray | None = None


@dataclass(frozen=True)
class TaggingKind(Kind):
    """A tag for each word."""

    head = "token_classifier"
    layouts = ("packed", "bucketed", "padded")

    def check(self, task):
        if task.labels is None or len(task.labels) < 2:
            raise UserError(f"{task.name}: tagging needs at least two tags. Received: {task.labels}.")
        unknown = [name for name in task.metrics if name not in SCORES]
        if unknown:
            raise UserError(f"{task.name}: the metrics of tags are {', '.join(SCORES)}. Received: {unknown[0]!r}.")

    def num_outputs(self, task):
        return len(task.labels)

    def head_options(self, task):
        return {"num_labels": len(task.labels), "label_names": task.labels}

    def labelled(self, examples):
        return "tags" in examples.columns

    def checked(self, task, examples):
        known = set(task.labels)
        for row, tags in enumerate(examples.columns.get("tags", ())):
            if len(tags) != len(examples.columns["words"][row]):
                raise UserError(
                    f"{task.name}: expected a tag for each of the {len(examples.columns['words'][row])} words of example "
                    f"{examples.ids[row]}. Received: {len(tags)}."
                )
            for tag in tags:
                if tag not in known:
                    raise UserError(
                        f"{task.name}: expected one of the tags {', '.join(task.labels)}. Received: {tag!r} in example "
                        f"{examples.ids[row]} ({examples.source})."
                    )
        return replace(examples, label_names=task.labels)  # class numbers are the task's

    def tokenize(self, examples, tokenizer, max_length, cache_dir):
        numbers = {tag: number for number, tag in enumerate(examples.label_names)}
        tags = examples.columns.get("tags")
        tags = None if tags is None else [[numbers[tag] for tag in row] for row in tags]
        return tag_tokens(examples.columns["words"], tags, tokenizer, max_length)

    def predict(self, task, model, split, batches, progress):
        from tfllm.tasks.prediction import predict_token_logits

        logits = predict_token_logits(model, batches, task.name, progress)
        if logits.shape[1] != len(task.labels):
            raise UserError(
                f"{task.name} has {len(task.labels)} tags. Received: a model with {logits.shape[1]} outputs."
            )
        firsts, outside = batches.tokenized.firsts, task.labels.index("O") if "O" in task.labels else 0
        classes = np.where(firsts >= 0, logits[firsts].argmax(axis=1), outside)
        ends = np.cumsum([len(words) for words in task.examples(split).columns["words"]])
        return [tuple(task.labels[number] for number in row) for row in np.split(classes, ends[:-1])]

    def score(self, task, outputs, examples, confidence_interval):
        sums = np.array([tag_sums(*pair) for pair in zip(outputs, examples.columns["tags"], strict=True)], np.float64)
        scores = {name: float(SCORES[name](sums.sum(axis=0))) for name in task.metrics}
        scores["n"] = len(examples)
        if confidence_interval:
            intervals = {name: bootstrap_of_sums(sums, SCORES[name], "sentences drawn") for name in task.metrics}
            scores["ci95"] = {name: [interval.low, interval.high] for name, interval in intervals.items()}
            scores["ci_method"] = {name: interval.method for name, interval in intervals.items()}
        return scores

    def rows(self, task, outputs, examples):
        rows = [{"id": id_, "prediction": " ".join(tags)} for id_, tags in zip(examples.ids, outputs, strict=True)]
        if self.labelled(examples):
            for row, tags in zip(rows, examples.columns["tags"]):
                row["reference"] = " ".join(tags)
        return rows

    def sums_of_rows(self, task, metric, columns):
        if metric not in SCORES or "reference" not in columns:
            return None
        pairs = zip(columns["prediction"], columns["reference"])
        return np.array([tag_sums(p.split(), t.split()) for p, t in pairs], np.float64), SCORES[metric]

    def plain_file(self):
        return TaggedLines({})

    def files(self, task, outputs, examples):
        return {"predictions.conll": self.plain_file().content(task, outputs, examples)}


@dataclass(frozen=True)
class TaggedLines(SubmissionFile):
    """A word and its tag a line, and a blank line behind each sentence."""

    def content(self, task, outputs, examples):
        sentences = zip(examples.columns["words"], outputs, strict=True)
        return "".join("".join(f"{word}\t{tag}\n" for word, tag in zip(*pair)) + "\n" for pair in sentences)

    def read(self, task, path, examples):
        """Of a line the first field is the word and the last one the predicted tag, as conlleval takes them."""
        sentences, open_ = [], False
        for line, raw in raw_lines(path):
            fields = as_text(path, line, raw).split()
            if fields and len(fields) < 2:
                raise DataError(path, line, "expected a word and its tag. Received: one field.")
            if fields and not open_:
                sentences.append([])
            open_ = bool(fields)
            if open_:
                row, place = len(sentences) - 1, len(sentences[-1])
                words = examples.columns["words"][row] if row < len(examples) else ()
                wanted = words[place] if place < len(words) else None
                if wanted != fields[0]:
                    raise DataError(
                        path,
                        line,
                        f"expected the words of {examples.source}: here {wanted!r} "
                        f"(word {place + 1} of sentence {row + 1}). Received: {fields[0]!r}.",
                    )
                sentences[-1].append(fields[-1])
        if [len(tags) for tags in sentences] != [len(words) for words in examples.columns["words"]]:
            raise DataError(
                path,
                None,
                f"expected a tag for each word of {len(examples)} sentences, with a blank line between these. "
                f"Received: {len(sentences)} sentences, {sum(map(len, sentences))} words.",
            )
        return GivenPredictions([tuple(tags) for tags in sentences])


def metrics_of(labels) -> tuple[str, ...]:
    """Entity scores where the tags are of entities; else the accuracy alone."""
    return tuple(SCORES) if has_entities(labels) else ("token_accuracy",)


def tag_tokens(sentences, tags, tokenizer, max_length: int) -> TaggedTokens:
    """Tokens of sentences, the first one of each word labelled.

    Args:
        sentences: N sequences of words.
        tags: class numbers, as many; `None` where they are not known.
        tokenizer: with offsets.
        max_length: tokens of a sentence, special ones included.
    """
    layout = tokenizer.template.single
    room = tokenizer.room(max_length, layout.num_specials)
    ids, counts, spans = tokenizer.encode_with_offsets([" ".join(words) for words in sentences])
    kept = np.minimum(counts, room)
    starts = np.cumsum(counts) - counts
    sources = np.repeat(starts, kept) + ranges(kept)
    token_ids, offsets, types = layout.assemble([(ids[sources], kept)], tokenizer.has_type_ids)
    places = offsets[:-1] + len(layout.specials[0])
    labels = None if tags is None else np.full(len(token_ids), -1, np.int32)
    firsts = []
    for row, words in enumerate(sentences):
        ends = np.cumsum([len(word) + 1 for word in words])  # one after the space behind each word
        # By a token's last character: byte-level tokens begin with the space before the word.
        of = np.searchsorted(ends, spans[starts[row] : starts[row] + kept[row], 1] - 1, side="right")
        found = np.full(len(words), -1, np.int64)
        present, first = np.unique(of, return_index=True)
        found[present[present < len(words)]] = places[row] + first[present < len(words)]
        firsts.append(found)
        if labels is not None:
            labels[found[found >= 0]] = np.asarray(tags[row], np.int32)[found >= 0]
    return TaggedTokens(
        token_ids,
        offsets,
        types,
        truncated=int((kept < counts).sum()),
        token_labels=labels,
        firsts=np.concatenate(firsts),
    )
