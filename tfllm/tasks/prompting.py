"""Questions in words: a context, the answers to choose from, and the one that a language model finds most likely."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tfllm.data.examples import Examples
from tfllm.errors import UserError
from tfllm.tasks.judging import Asking, Judgement, Prompt, chosen_rows, mean_of, measured

if TYPE_CHECKING:
    from tfllm.tasks.task import Task


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        context: what the model reads first; may be empty.
        choices: the answers, without the blank before them.
        right: numbers of the right choices, none of them where no choice is right; `None` where they are not known.
        rows: the examples that it is made of: one, or one for each choice.
    """

    context: str
    choices: tuple[str, ...]
    right: tuple[int, ...] | None
    rows: tuple[int, ...]


@dataclass(frozen=True)
class ChoicePrompt(Prompt):
    """Ranks answers by likelihood, with solved examples before the question if there are to be some.

    Attributes:
        questions: examples to `Question`s, in order.
        delimiter: between a context and an answer.
        separator: between two questions of a few-shot prompt.

    The rules are lm-evaluation-harness' (`lm_eval/api/task.py`): the answer with the highest log-probability is taken, for
    `acc_norm` the one with the highest log-probability a character. Solved examples come from the train split, or from the same one
    where there is no train split, drawn anew for each question by `random.Random(seed)`; never the question itself.
    """

    questions: Callable[[Examples], list[Question]]
    delimiter: str = " "
    separator: str = "\n\n"
    few_shot = True
    masked = False  # whether masked language models are asked too: by what the texts with each answer share

    def judge(self, task: Task, model, split: str, asking: Asking) -> Judgement:
        questions, likelihoods, rows = self.asked(task, model, split, asking)
        if any(question.right is None for question in questions):
            raise UserError(
                f"{task.name}: the split {split!r} has no labels, so it cannot be judged. Give another split."
            )
        examples = task.examples(split)
        used = [row for question in questions for row in question.rows]
        outputs = np.concatenate([_outputs(*pair) for pair in zip(questions, likelihoods)])
        few = chosen_rows(examples, used)
        scores = task.score(outputs, few.labels, asking.confidence_interval, columns=few.columns)
        normed = [
            int(np.argmax([one.log_prob / len(text) for one, text in zip(found, question.choices)])) in question.right
            for question, found in zip(questions, likelihoods)
        ]
        extra = measured({"acc_norm": mean_of(normed, "questions drawn")}, len(questions), asking.confidence_interval)
        return Judgement({**with_scores(scores, extra), "truncated": truncated(likelihoods)}, rows)

    def asked(self, task: Task, model, split: str, asking: Asking):
        """The questions, a list of `Likelihood`s (one a choice) for each, and records of both."""
        from tfllm.models import MaskedLM
        from tfllm.tasks.likelihood import continuations
        from tfllm.tasks.pseudo_likelihood import around_the_span

        examples = task.examples(split)
        questions = self.questions(examples)
        before = [""] * len(questions)
        if asking.shots:
            before = self._solved(task, split, questions, asking)
        count = len(questions) if asking.limit is None else min(asking.limit, len(questions))
        questions = questions[:count]
        pairs = [
            (start + question.context, self._answer(question, number))
            for start, question in zip(before, questions)
            for number in range(len(question.choices))
        ]
        places = np.cumsum([0, *(len(question.choices) for question in questions)])
        if self.masked and isinstance(model, MaskedLM):
            texts = [context + answer for context, answer in pairs]
            groups = [texts[begin:end] for begin, end in itertools.pairwise(places)]
            likelihoods = around_the_span(model, groups, **asking.reading())
        else:
            flat = continuations(model, pairs, **asking.reading())
            likelihoods = [flat[begin:end] for begin, end in itertools.pairwise(places)]
        rows = [
            {
                "id": examples.ids[question.rows[0]],
                "context": start + question.context,
                "choices": list(question.choices),
                "log_probs": [one.log_prob for one in found],
                "right": None if question.right is None else list(question.right),
                "chosen": int(np.argmax([one.log_prob for one in found])),
            }
            for start, question, found in zip(before, questions, likelihoods)
        ]
        return questions, likelihoods, rows

    @staticmethod
    def method_of(model) -> str:
        """How `asked` scores answers, for people."""
        from tfllm.models import MaskedLM

        if isinstance(model, MaskedLM):
            return "pseudo-log-likelihood of the tokens around the answer, each masked in turn"
        return "log-likelihood of the answer"

    def _answer(self, question: Question, number: int) -> str:
        return self.delimiter + question.choices[number]

    def _solved(self, task: Task, split: str, questions: Sequence[Question], asking: Asking) -> list[str]:
        """What stands before each question."""
        same = "train" not in task.splits or split == "train"
        pool = questions if same else self.questions(task.examples("train"))
        if any(question.right is None for question in pool):
            raise UserError(f"{task.name}: solved examples need a split with labels to be drawn from.")
        pool = [question for question in pool if question.right]
        if asking.shots > len(pool) - same:
            raise UserError(
                f"{task.name}: {asking.shots} solved examples are to be drawn from {len(pool) - same}. Give fewer shots."
            )
        draw, result = random.Random(asking.seed), []
        for question in questions if asking.limit is None else questions[: asking.limit]:
            # One more than needed, in case the question itself is among them: so the harness draws for a task without a test split.
            drawn = draw.sample(pool, min(asking.shots + 1, len(pool)))
            others = [one for one in drawn if one is not question][: asking.shots]
            solved = [one.context + self._answer(one, one.right[0]) for one in others]
            result.append("".join(text + self.separator for text in solved))
        return result


def template(text: str, choices: Sequence[str], fields: Sequence[str], prepare=None) -> ChoicePrompt:
    """A prompt for examples that have one class each.

    Args:
        text: the context, with the names of `fields` in braces.
        choices: an answer for each class.
        fields: names of the texts of an example.
        prepare: `{name: text}` to the same, before they are filled in.

    Example:
        >>> prompt = template("{premise} Really?", ("yes", "no"), ("premise",))
        >>> prompt.questions(Examples((["It rains."],), np.array([1])))
        [Question(context='It rains. Really?', choices=('yes', 'no'), right=(1,), rows=(0,))]
    """

    def questions(examples: Examples) -> list[Question]:
        result = []
        for row, texts in enumerate(zip(*examples.texts)):
            values = dict(zip(fields, texts))
            right = None if examples.labels is None else (int(examples.labels[row]),)
            context = text.format(**(prepare(values) if prepare else values))
            result.append(Question(context, tuple(choices), right, (row,)))
        return result

    return ChoicePrompt(questions)


def by_group(
    context: Callable[[str, str], str], choice: Callable[[str, str], str], delimiter: str = " "
) -> ChoicePrompt:
    """A prompt for examples that are one choice each, of the question that the column `group` names.

    Args:
        context: the two texts of a group's first example to what is asked.
        choice: the two texts of an example to its answer.
        delimiter: as in `ChoicePrompt`.
    """

    def questions(examples: Examples) -> list[Question]:
        groups: dict[str, list[int]] = {}
        for row, group in enumerate(examples.columns["group"]):
            groups.setdefault(group, []).append(row)
        first, second = examples.texts
        result = []
        for rows in groups.values():
            labels = examples.labels
            right = None if labels is None else tuple(n for n, row in enumerate(rows) if labels[row] == 1)
            choices = tuple(choice(first[row], second[row]) for row in rows)
            result.append(Question(context(first[rows[0]], second[rows[0]]), choices, right, tuple(rows)))
        return result

    return ChoicePrompt(questions, delimiter)


def with_scores(scores: dict, more: dict) -> dict:
    """`scores` with the metrics and intervals of `more`; `n` is that of `scores`."""
    merged = {**more, **scores}
    for key in ("ci95", "ci_method"):
        if key in scores:
            merged[key] = {**scores[key], **more[key]}
    return merged


def truncated(likelihoods) -> int:
    """Questions of which the model could not read the beginning."""
    return sum(any(one.truncated for one in found) for found in likelihoods)


def _outputs(question: Question, likelihoods) -> np.ndarray:
    """Log-probabilities as logits: of the classes of one example, or of class 1 over class 0 for an example a choice."""
    values = np.array([one.log_prob for one in likelihoods])
    if len(question.rows) == len(question.choices):
        return np.stack([np.zeros(len(values)), values], axis=1)
    return values[None]
