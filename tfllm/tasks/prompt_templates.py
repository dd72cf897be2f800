r"""What GLUE's and SuperGLUE's tasks ask a language model: the wording of lm-evaluation-harness, so that numbers can be compared.

`lm_eval/tasks/glue/*/default.yaml` and `lm_eval/tasks/super_glue/*/default.yaml` of lm-evaluation-harness 0.4
(https://github.com/EleutherAI/lm-evaluation-harness); its COPA answers begin with a second blank, and so do ours. Four differ:

- ReCoRD: the harness asks once for each accepted answer, by the name alone. Here, as in GPT-3's paper (Brown et al. 2020) and in
  the harness before version 0.3, the passage is followed by the query with each name filled in, `"\n  - {query}"`, and
  scores are the official ones, over queries.
- MultiRC: the harness' "yes" stands for class 0, which is false, in version 2.0 of its task. Here "yes" is true, and the
  answer to be judged is in the question.
- WiC: the word stands in the form that its `start1` and `end1` cut out, which this package's examples do not keep: the
  dictionary form is asked for.
- AX, AX-b and AX-g, which the harness has not, are asked as MNLI and RTE are.
"""

from __future__ import annotations

import re

from tfllm.tasks.prompting import ChoicePrompt, by_group, template

_MNLI = "{premise}\nQuestion: {hypothesis} True, False or Neither?\nAnswer:"
_TRUE_FALSE = "\nQuestion: {%s} True or False?\nAnswer:"
_NO_YES = ("no", "yes")
_SENTENCES = ("sentence1", "sentence2")


def _with_full_stop(values: dict) -> dict:
    hypothesis = values["hypothesis"].strip()
    return {**values, "hypothesis": hypothesis if hypothesis.endswith(".") else hypothesis + "."}


GLUE: dict[str, ChoicePrompt] = {
    "cola": template("{sentence}\nQuestion: Does this sentence make sense?\nAnswer:", _NO_YES, ("sentence",)),
    "sst2": template(
        "{sentence}\nQuestion: Is this sentence positive or negative?\nAnswer:", ("negative", "positive"), ("sentence",)
    ),
    "mrpc": template(
        "Sentence 1: {sentence1}\nSentence 2: {sentence2}\nQuestion: Do both sentences mean the same thing?\nAnswer:",
        _NO_YES,
        _SENTENCES,
    ),
    "qqp": template(
        "Question 1: {question1}\nQuestion 2: {question2}\nQuestion: Do both questions ask the same thing?\nAnswer:",
        _NO_YES,
        ("question1", "question2"),
    ),
    "mnli": template(_MNLI, ("True", "Neither", "False"), ("premise", "hypothesis"), _with_full_stop),
    "qnli": template(
        "{question}\n{sentence}\nQuestion: Does this response answer the question?\nAnswer:",
        ("yes", "no"),
        ("question", "sentence"),
    ),
    "rte": template("{sentence1}" + _TRUE_FALSE % "sentence2", ("True", "False"), _SENTENCES),
    "wnli": template("{sentence1}" + _TRUE_FALSE % "sentence2", ("False", "True"), _SENTENCES),
    "ax": template(_MNLI, ("True", "Neither", "False"), ("premise", "hypothesis"), _with_full_stop),
}


def _copa_context(premise: str, _: str) -> str:
    """Our first text ends with the question for cause or effect: it becomes a conjunction in place of the full stop."""
    for question, word in (("What was the cause?", "because"), ("What happened as a result?", "therefore")):
        if premise.endswith(question):
            return f"{premise[: -len(question)].strip()[:-1]} {word}"
    return premise


def _wic(values: dict) -> dict:
    word, _, sentence = values["sentence1"].partition(": ")
    return {"word": word, "sentence1": sentence, "sentence2": values["sentence2"]}


_DETOKENIZED = ((" n't", "n't"), (" )", ")"), ("( ", "("), ('" ', '"'), (' "', '"'))


def _wsc(values: dict) -> dict:
    """The pronoun from its asterisks, and blanks before punctuation taken out, as the harness does."""
    text = values["text"]
    found = re.search(r"(?<!\w)\*(.+?)\*(?!\w)", text)
    for old, new in _DETOKENIZED:
        text = text.replace(old, new)
    return {"text": re.sub(r" (['.,])", r"\1", text), "noun": values["noun"], "pronoun": found[1] if found else ""}


_RTE = "{premise}" + _TRUE_FALSE % "hypothesis"

SUPERGLUE: dict[str, ChoicePrompt] = {
    "boolq": template("{passage}\nQuestion: {question}?\nAnswer:", _NO_YES, ("question", "passage")),
    "cb": template(
        "{premise}\nQuestion: {hypothesis}. True, False, or Neither?\nAnswer:",
        ("True", "False", "Neither"),
        ("premise", "hypothesis"),
    ),
    "copa": by_group(_copa_context, lambda _, choice: " " + choice[0].lower() + choice[1:]),
    "multirc": template("{paragraph}\nQuestion: {answer}\nIs the answer correct?", _NO_YES, ("paragraph", "answer")),
    "record": by_group(lambda passage, _: passage, lambda _, query: "  - " + query, delimiter="\n"),
    "rte": template(_RTE, ("True", "False"), ("premise", "hypothesis")),
    "wic": template(
        "Sentence 1: {sentence1}\nSentence 2: {sentence2}\nQuestion: Is the word '{word}' used in the same way in the two "
        "sentences above?\nAnswer:",
        _NO_YES,
        _SENTENCES,
        _wic,
    ),
    "wsc": template(
        'Passage: {text}\nQuestion: In the passage above, does the pronoun "*{pronoun}*" refer to "*{noun}*"?\nAnswer:',
        _NO_YES,
        ("text", "noun"),
        _wsc,
    ),
    "axb": template("{sentence1}" + _TRUE_FALSE % "sentence2", ("True", "False"), _SENTENCES),
    "axg": template(_RTE, ("True", "False"), ("premise", "hypothesis")),
}
