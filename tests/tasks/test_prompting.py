"""What tasks ask a language model, and how its answers are scored."""

import json
import random

import benchmark_files
import numpy as np
import pytest
from toy_judging import byte_lm, continuation_log_prob, letters_mlm

from tfllm import tasks
from tfllm.errors import UserError

SUPERGLUE = {
    "BoolQ": [{"question": "is it red", "passage": "It is {red}.", "idx": 0, "label": True}],
    "CB": [{"premise": "A: I think so.", "hypothesis": "it is so", "label": "neutral", "idx": 0}],
    "COPA": [
        {"premise": "It rained. ", "choice1": "I got wet.", "choice2": "He sang.", "question": "effect", "label": 1, "idx": 0},
        {"premise": "I fell.", "choice1": "I sang.", "choice2": "I slipped.", "question": "cause", "label": 0, "idx": 1},
    ],
    "RTE": [{"premise": "A dog.", "hypothesis": "An animal.", "label": "not_entailment", "idx": 0}],
    "WSC": [
        {
            "text": "Mark told Pete lies , which he put (in a book ).", "idx": 0, "label": True,
            "target": {"span1_text": "Mark", "span1_index": 0, "span2_text": "he", "span2_index": 6},
        }
    ],
    "MultiRC": [
        {
            "idx": 0,
            "passage": {
                "text": "A text.",
                "questions": [
                    {"question": "Who?", "idx": 0, "answers": [{"text": "I", "idx": 0, "label": 1}, {"text": "you", "idx": 1, "label": 0}]}
                ],
            },
        }
    ],
    "ReCoRD": [
        {
            "idx": 0,
            "passage": {"text": "Ann met Bob.", "entities": [{"start": 0, "end": 2}, {"start": 8, "end": 10}]},
            "qas": [{"query": "@placeholder smiled.", "idx": 0, "answers": [{"start": 0, "end": 2, "text": "Ann"}]}],
        }
    ],
    "WiC": [
        {
            "word": "place", "sentence1": "Come to my places.", "sentence2": "No place: none.", "idx": 0, "label": False,
            "start1": 11, "start2": 3, "end1": 17, "end2": 8,
        }
    ],
}  # fmt: skip

# Contexts and answers as lm-evaluation-harness 0.4 puts them, but for MultiRC, ReCoRD and WiC (see prompt_templates).
ASKED = {
    "boolq": ("It is {red}.\nQuestion: is it red?\nAnswer:", ("no", "yes"), (1,)),
    "cb": ("A: I think so.\nQuestion: it is so. True, False, or Neither?\nAnswer:", ("True", "False", "Neither"), (2,)),
    "copa": ("It rained therefore", (" i got wet.", " he sang."), (1,)),
    "rte": ("A dog.\nQuestion: An animal. True or False?\nAnswer:", ("True", "False"), (1,)),
    "wsc": (
        'Passage: Mark told Pete lies, which *he* put (in a book).\nQuestion: In the passage above, does the pronoun "*he*" '
        + 'refer to "*Mark*"?\nAnswer:',
        ("no", "yes"),
        (1,),
    ),
    "multirc": ("A text.\nQuestion: Who? I\nIs the answer correct?", ("no", "yes"), (1,)),
    "record": ("Ann met Bob.", ("  - Ann smiled.", "  - Bob smiled."), (0,)),
    "wic": (
        "Sentence 1: Come to my places.\nSentence 2: No place: none.\nQuestion: Is the word 'place' used in the same way in "
        + "the two sentences above?\nAnswer:",
        ("no", "yes"),
        (0,),
    ),
}


@pytest.fixture(scope="module")
def superglue(tmp_path_factory):
    root = tmp_path_factory.mktemp("superglue")
    for folder, records in SUPERGLUE.items():
        (root / folder).mkdir()
        for split in ("train", "val"):
            (root / folder / f"{split}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return root


def questions_of(task, split="validation"):
    return task.prompt.questions(task.examples(split))


@pytest.mark.parametrize("name", ASKED)
def test_superglue_is_asked_in_the_harness_words(name, superglue):
    question = questions_of(tasks.get(f"superglue/{name}", data_dir=superglue))[0]
    assert (question.context, question.choices, question.right) == ASKED[name]


def test_causes_are_joined_by_because(superglue):
    question = questions_of(tasks.get("superglue/copa", data_dir=superglue))[1]
    assert (question.context, question.rows) == ("I fell because", (2, 3))


@pytest.mark.parametrize(
    ("name", "context", "choices"),
    [
        ("cola", "Who did go?\nQuestion: Does this sentence make sense?\nAnswer:", ("no", "yes")),
        (
            "sst2",
            "it 's charming . \nQuestion: Is this sentence positive or negative?\nAnswer:",
            ("negative", "positive"),
        ),
        (
            "qqp",
            "Question 1: What?\nQuestion 2: Who?\nQuestion: Do both questions ask the same thing?\nAnswer:",
            ("no", "yes"),
        ),
        (
            "mnli",
            "The new rights.\nQuestion: Everyone likes it. True, False or Neither?\nAnswer:",
            ("True", "Neither", "False"),
        ),
        (
            "qnli",
            "What came?\nAs of that day.\nQuestion: Does this response answer the question?\nAnswer:",
            ("yes", "no"),
        ),
        ("rte", "Dana Reeve.\nQuestion: Christopher. True or False?\nAnswer:", ("True", "False")),
        ("wnli", "The drain.\nQuestion: The hair. True or False?\nAnswer:", ("False", "True")),
    ],
)
def test_glue_is_asked_in_the_harness_words(name, context, choices, glue_dir):
    task = tasks.get(f"glue/{name}", data_dir=glue_dir)
    question = questions_of(task)[0]
    assert (question.context, question.choices) == (context, choices)
    assert len(question.choices) == len(task.labels)


def test_a_hypothesis_without_a_full_stop_gets_one():
    from tfllm.data.examples import Examples
    from tfllm.tasks.prompt_templates import GLUE

    examples = Examples((["A."], [" no stop "]))
    assert GLUE["mnli"].questions(examples)[0].context == "A.\nQuestion: no stop. True, False or Neither?\nAnswer:"


def sentiment(size=12):
    from tfllm.tasks.prompting import template

    draw = np.random.default_rng(0)
    columns = {
        "text": ["".join(draw.choice(list("abcdef "), 9)) for _ in range(size)],
        "label": (np.arange(size) % 2).tolist(),
    }
    prompt = template("{text}?", ("no", "yes!"), ("text",))
    return tasks.from_memory(columns, columns, name="toy/yes", prompt=prompt)


def test_answers_are_ranked_by_likelihood_and_by_likelihood_a_character():
    model, task = byte_lm(), sentiment()
    found = task.judge(model)
    plain, normed = [], []
    for row, text in enumerate(task.examples("validation").texts[0]):
        values = [continuation_log_prob(model, f"{text}?".encode(), f" {choice}".encode()) for choice in ("no", "yes!")]
        np.testing.assert_allclose(found.rows[row]["log_probs"], values, atol=1e-4)
        plain.append(int(np.argmax(values)) == row % 2)
        normed.append(int(np.argmax([values[0] / 2, values[1] / 4])) == row % 2)
    scores = found.scores
    assert (scores["accuracy"], scores["acc_norm"]) == (np.mean(plain), np.mean(normed))
    assert (scores["n"], scores["shots"], scores["truncated"], scores["skipped"]) == (12, 0, 0, 0)
    low, high = scores["ci95"]["accuracy"]
    assert low <= scores["accuracy"] <= high and "bootstrap" in scores["ci_method"]["acc_norm"]
    assert task.judge(model, batch_tokens=128).scores == scores


def test_solved_examples_are_drawn_as_the_harness_draws_them():
    model, task = byte_lm(), sentiment()
    rows = task.judge(model, shots=2, limit=3).rows
    texts, draw = task.examples("train").texts[0], random.Random(1234)
    for number, row in enumerate(rows):
        drawn = draw.sample(range(12), 3)[:2]  # one more than needed
        solved = [f"{texts[i]}? {('no', 'yes!')[i % 2]}\n\n" for i in drawn]
        assert row["context"] == "".join(solved) + f"{texts[number]}?"
    assert len(rows) == 3
    other = task.judge(model, shots=2, limit=3, seed=7).rows
    assert [row["context"] for row in other] != [row["context"] for row in rows]


def test_without_a_train_split_a_question_is_never_solved_before_itself():
    task = sentiment()
    rows = task.judge(byte_lm(), "train", shots=5).rows  # the same split
    for row, text in zip(rows, task.examples("train").texts[0]):
        *solved, last = row["context"].split("\n\n")
        assert last == f"{text}?" and len(solved) == 5
        assert not any(one.startswith(last) for one in solved)


def test_choices_in_rows_of_their_own_are_scored_by_questions(superglue):
    model = byte_lm()
    task = tasks.get("superglue/copa", data_dir=superglue)
    found = task.judge(model)
    right = [row["chosen"] == row["right"][0] for row in found.rows]
    assert found.scores["accuracy"] == np.mean(right) and found.scores["n"] == 2
    assert found.scores["limit"] is None
    assert task.judge(model, limit=1).scores["accuracy"] == right[0]
    record = tasks.get("superglue/record", data_dir=superglue).judge(model)
    assert record.scores["exact_match"] == float(record.rows[0]["chosen"] == 0)


def test_what_cannot_be_asked_is_refused(superglue, glue_dir):
    model = byte_lm()
    with pytest.raises(UserError, match="glue/stsb has no prompt"):
        tasks.get("glue/stsb", data_dir=glue_dir).judge(model)
    with pytest.raises(UserError, match="the split 'test' has no labels"):
        tasks.get("glue/rte", data_dir=glue_dir).judge(model, "test")
    with pytest.raises(UserError, match="9 solved examples are to be drawn from 1"):
        tasks.get("superglue/rte", data_dir=superglue).judge(model, shots=9)
    with pytest.raises(UserError, match="no option 'shot'. Its options are: shots, seed, limit"):
        sentiment().judge(model, shot=1)
    with pytest.raises(UserError, match="limit must be at least 1"):
        sentiment().judge(model, limit=0)
    with pytest.raises(UserError, match="causal language model"):
        sentiment().judge(letters_mlm())


@pytest.mark.real
def test_the_real_boolq_and_rte_are_asked():
    for name, size in (("rte", 277), ("boolq", 3270), ("copa", 100)):
        task = tasks.get(f"superglue/{name}", data_dir=benchmark_files.path("superglue"))
        questions = questions_of(task)
        assert len(questions) == size and all(question.context and question.right for question in questions)
