"""The kind of tasks that ask a masked language model for the word behind a mask, among candidates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfllm.data.row_reader import as_text, raw_lines
from tfllm.errors import DataError, UserError
from tfllm.metrics.bootstrap import bootstrap_ci
from tfllm.tasks.given_predictions import ById, GivenPredictions
from tfllm.tasks.kinds import Kind
from tfllm.tasks.submission_file import SubmissionFile

MASK = "<mask>"


@dataclass(frozen=True)
class ClozeKind(Kind):
    """Texts in pairs, the second with one `<mask>`; labels are numbers of `examples.label_names`, the candidates.

    The candidate with the highest probability at the mask is the prediction. One that is no single token of the vocabulary
    cannot be predicted: scores say how many there are (`candidates_without_token`).
    """

    head = "masked_lm"
    layouts = ("bucketed", "padded")

    def check(self, task):
        if task.metrics != ("accuracy",):
            raise UserError(f"{task.name}: the metric of a cloze test is accuracy. Received: {task.metrics}.")

    def num_outputs(self, task):
        return 0

    def head_options(self, task):
        return {}

    def labelled(self, examples):
        return examples.labels is not None

    def checked(self, task, examples):
        for row, text in enumerate(examples.texts[-1]):
            if text.count(MASK) != 1:
                raise UserError(
                    f"{task.name}: expected one {MASK} a text. Received: {text.count(MASK)} in example {examples.ids[row]}."
                )
        return examples

    def tokenize(self, examples, tokenizer, max_length, cache_dir):
        return masked_pairs(*examples.texts, tokenizer, max_length)

    def predict(self, task, model, split, batches, progress):
        from keras import ops

        from tfllm.tasks.prediction import compiled_call

        words, call = task.examples(split).label_names, compiled_call(model)
        ids = [candidate_id(model.tokenizer, word) for word in words]
        scores = np.full((len(batches.tokenized), len(words)), -np.inf, np.float32)
        scored = [number for number, token in enumerate(ids) if token is not None]
        if not scored:
            raise UserError(f"{task.name}: none of the {len(words)} candidates is one token of the model's vocabulary.")
        tokens = [ids[number] for number in scored]
        for step in range(batches.steps_per_epoch):
            x, _, _ = batches.batch(step)
            masks = (x["token_ids"] == model.tokenizer.mask_id).argmax(axis=1)
            x["head_positions"] = masks[:, None].astype(np.int32)
            logits = ops.convert_to_numpy(call(x))[:, 0]  # (B, V)
            rows = batches.example_indices(step)[:, 0]
            for row, example in enumerate(rows):
                if example >= 0:
                    scores[example, scored] = logits[row, tokens]
            if progress is not None:
                progress(step + 1, batches.steps_per_epoch)
        return scores

    def score(self, task, outputs, examples, confidence_interval):
        predicted = np.asarray(outputs).argmax(axis=1)
        scores = {"accuracy": float(np.mean(predicted == examples.labels)), "n": len(examples)}
        scores["candidates_without_token"] = int(np.isneginf(outputs).all(axis=0).sum())
        if confidence_interval:
            interval = bootstrap_ci("accuracy", predicted == examples.labels, np.ones(len(examples), int))
            scores["ci95"] = {"accuracy": [interval.low, interval.high]}
            scores["ci_method"] = {"accuracy": interval.method}
        return scores

    def rows(self, task, outputs, examples):
        words = examples.label_names
        rows = [{"id": id_, "prediction": words[n]} for id_, n in zip(examples.ids, np.asarray(outputs).argmax(axis=1))]
        if self.labelled(examples):
            for row, label in zip(rows, examples.labels):
                row["label"] = words[label]
        return rows

    def plain_file(self):
        return ClozeAnswers({})


@dataclass(frozen=True)
class ClozeAnswers(SubmissionFile):
    """`id<CODESPLIT>word` lines."""

    def content(self, task, outputs, examples):
        rows = task.strategy.rows(task, outputs, examples)
        return "".join(f"{row['id']}<CODESPLIT>{row['prediction']}\n" for row in rows)

    def read(self, task, path, examples):
        words = examples.label_names
        found, numbers = ById(path), {word: number for number, word in enumerate(words)}
        for line, raw in raw_lines(path):
            id_, separator, word = as_text(path, line, raw).partition("<CODESPLIT>")
            if not id_.strip():
                continue
            if not separator or word.strip() not in numbers:
                raise DataError(
                    path,
                    line,
                    f"expected id<CODESPLIT>word, with one of the {len(words)} words. Received: {word.strip()[:60]!r}.",
                )
            found.add(line, id_.strip(), numbers[word.strip()])
        values, notes = found.of(examples.ids)
        return GivenPredictions(np.eye(len(words), dtype=np.float32)[values], notes)


def candidate_id(tokenizer, word: str) -> int | None:
    """The one token of a word without a space before it, as it follows a mask in RoBERTa's vocabulary; `None` if it has none."""
    found = tokenizer.token_to_id(word)
    if found is not None:
        return found
    ids = tokenizer.encode(word, add_special_tokens=False)
    return ids[0] if len(ids) == 1 and ids[0] != tokenizer.unk_id else None


def masked_pairs(first, second, tokenizer, max_length: int):
    """Tokens of pairs with one mask in the second text. What is too long is cut around the mask, never at it.

    Args:
        first, second: N texts each.
        tokenizer: with a mask token.
        max_length: tokens of a pair, special ones included. The first text gets at most a quarter of them where both do not fit.

    Raises:
        UserError: the tokenizer has no mask token.
    """
    from tfllm.data.tokenized import TokenizedExamples

    if tokenizer.mask_id is None:
        raise UserError("A cloze test needs a masked language model, whose tokenizer has a mask token. Received: none.")
    layout = tokenizer.template.pair
    room = tokenizer.room(max_length, layout.num_specials)
    mask = tokenizer.id_to_token(tokenizer.mask_id)
    encoded = [
        tokenizer.encode_batch(texts, add_special_tokens=False)
        for texts in (first, [text.replace(MASK, mask) for text in second])
    ]
    parts, truncated = ([], []), 0
    for row in range(len(first)):
        texts, codes = (side[row] for side in encoded)
        if len(texts) + len(codes) > room:
            truncated += 1
            texts = texts[: max(room // 4, room - len(codes))]
            codes = _around_mask(codes, tokenizer.mask_id, room - len(texts))
        parts[0].append(texts)
        parts[1].append(codes)
    flat = [(np.concatenate(side).astype(np.int32), np.array([len(ids) for ids in side])) for side in parts]
    ids, offsets, types = layout.assemble(flat, tokenizer.has_type_ids)
    return TokenizedExamples(ids, offsets, types, truncated=truncated)


def _around_mask(ids: np.ndarray, mask_id: int, room: int) -> np.ndarray:
    if len(ids) <= room:
        return ids
    place = int((ids == mask_id).argmax())
    begin = min(max(0, place - room // 2), len(ids) - room)
    return ids[begin : begin + room]
