"""SuperGLUE on made-up files in the official form, from TFDS, and on the real ones."""

import json
import zipfile

import benchmark_files
import numpy as np
import pytest

from tfllm import tasks
from tfllm.errors import DataError, UserError
from tfllm.tasks import superglue_check

RECORDS = {
    "BoolQ/train": [
        {"question": "is it red", "passage": "It is red.", "idx": 0, "label": True},
        {"question": "is it blue", "passage": "It's «red».", "idx": 1, "label": False},
    ],
    "BoolQ/val": [{"question": "was it", "passage": "It was.", "idx": 0, "label": "True"}],
    "BoolQ/test": [{"passage": "No.", "question": "is it", "idx": 0}],
    "CB/train": [
        {"premise": "A: I think so.", "hypothesis": "so", "label": "entailment", "idx": 0},
        {"premise": "B: Is it so?", "hypothesis": "it is so", "label": "neutral", "idx": 1},
    ],
    "CB/val": [{"premise": "No.", "hypothesis": "yes", "label": "contradiction", "idx": 0}],
    "CB/test": [{"premise": "No.", "hypothesis": "yes", "idx": 0}],
    "COPA/train": [
        {"premise": "It rained.", "choice1": "Wet.", "choice2": "Dry.", "question": "effect", "label": 0, "idx": 0},
        {"premise": "I fell.", "choice1": "I sang.", "choice2": "I slipped.", "question": "cause", "label": 1, "idx": 1},
    ],
    "COPA/val": [{"premise": "A.", "choice1": "B.", "choice2": "C.", "question": "cause", "label": 1, "idx": 0}],
    "COPA/test": [{"premise": "A.", "choice1": "B.", "choice2": "C.", "question": "cause", "idx": 0}],
    "MultiRC/train": [
        {
            "idx": 0,
            "version": 1.1,
            "passage": {
                "text": "A text. <b>Sent 2</b>",
                "questions": [
                    {
                        "question": "Who?",
                        "answers": [{"text": "I", "idx": 0, "label": 1}, {"text": "you", "idx": 1, "label": 0}],
                        "idx": 0,
                    },
                    {"question": "What?", "answers": [{"text": "it", "idx": 2, "label": 1}], "idx": 1},
                ],
            },
        }
    ],
    "ReCoRD/train": [
        {
            "source": "CNN",
            "idx": 0,
            "passage": {
                "text": "Ann met Bob.\n@highlight\nAnn is glad",
                "entities": [{"start": 0, "end": 2}, {"start": 8, "end": 10}, {"start": 24, "end": 26}],
            },
            "qas": [
                {"query": "@placeholder smiled.", "idx": 0, "answers": [{"start": 0, "end": 2, "text": "Ann"}]},
                {"query": "It was @placeholder.", "idx": 1, "answers": [{"start": 8, "end": 10, "text": "Bob"}]},
            ],
        }
    ],
    "RTE/train": [
        {"premise": "A cat.", "hypothesis": "A dog.", "label": "not_entailment", "idx": 0},
        {"premise": "A cat.", "hypothesis": "A pet.", "label": "entailment", "idx": 1},
    ],
    "WiC/train": [
        {
            "word": "place", "sentence1": "Come to my place.", "sentence2": "No place.", "idx": 0, "label": False,
            "start1": 11, "start2": 3, "end1": 16, "end2": 8, "version": 1.1,
        }
    ],
    "WSC/train": [
        {
            "text": "He said Mark saw that he lied.",
            "target": {"span2_index": 5, "span1_index": 2, "span1_text": "Mark", "span2_text": "he"},
            "idx": 0,
            "label": "True",
        }
    ],
    "AX-b/AX-b": [
        {"idx": "0", "label": "not_entailment", "sentence1": "It sat.", "sentence2": "It did not.", "logic": "Negation"},
        {"idx": "1", "label": "entailment", "sentence1": "It sat.", "sentence2": "It did."},
    ],
    "AX-g/AX-g": [
        {"premise": "He ate.", "hypothesis": "Ann ate.", "label": "entailment", "idx": 0},
        {"premise": "She ate.", "hypothesis": "Ann ate.", "label": "entailment", "idx": 1},
    ],
}  # fmt: skip
# Splits that tests of one do not need, so that every TFDS builder finds its files.
for _folder in ("MultiRC", "ReCoRD", "RTE", "WiC", "WSC"):
    for _split in ("val", "test"):
        RECORDS[f"{_folder}/{_split}"] = RECORDS[f"{_folder}/train"]

FOLDERS = {
    "boolq": "BoolQ", "cb": "CB", "copa": "COPA", "multirc": "MultiRC", "record": "ReCoRD", "rte": "RTE", "wic": "WiC",
    "wsc": "WSC", "axb": "AX-b", "axg": "AX-g",
}  # fmt: skip


def write(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    root = tmp_path_factory.mktemp("superglue")
    for name, records in RECORDS.items():
        write(root / f"{name}.jsonl", records)
    return root


@pytest.fixture(scope="module")
def tfds_dir(directory, tmp_path_factory):
    """TFDS' own builder, run on the same files."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.text import super_glue

    class LocalFiles:
        def download_and_extract(self, url):
            return str(directory)

    out = tmp_path_factory.mktemp("tfds_superglue")
    with tfds.core.registered.skip_registration():

        class SuperGlue(super_glue.SuperGlue):
            pkg_dir_path = out

            def _split_generators(self, dl_manager):
                return super()._split_generators(LocalFiles())

    for name in FOLDERS:
        SuperGlue(config=name, data_dir=str(out)).download_and_prepare()
    return out


@pytest.mark.parametrize("name", FOLDERS)
def test_files_and_tfds_give_the_same_examples(name, directory, tfds_dir):
    from_files = tasks.get(f"superglue/{name}", data_dir=directory)
    from_tfds = tasks.get(f"superglue/{name}", data_dir=tfds_dir)
    split = "test" if name in ("axb", "axg") else "train"
    ours, theirs = from_files.examples(split), from_tfds.examples(split)
    assert ours.texts == theirs.texts and ours.ids == theirs.ids
    np.testing.assert_array_equal(ours.labels, theirs.labels)
    assert ours.columns == theirs.columns
    assert ours.fingerprint == theirs.fingerprint and theirs.source.startswith("tfds:")


def test_texts_and_labels(directory):
    def first(name, split="train", row=0):
        examples = tasks.get(f"superglue/{name}", data_dir=directory).examples(split)
        label = None if examples.labels is None else examples.label_names[examples.labels[row]]
        return (*(column[row] for column in examples.texts), label)

    assert first("boolq") == ("is it red", "It is red.", "true")
    assert first("boolq", "validation") == ("was it", "It was.", "true")
    assert first("boolq", "test") == ("is it", "No.", None)
    assert first("cb", row=1) == ("B: Is it so?", "it is so", "neutral")
    assert first("copa") == ("It rained. What happened as a result?", "Wet.", "right")
    assert first("copa", row=2) == ("I fell. What was the cause?", "I sang.", "wrong")
    assert first("multirc", row=1) == ("A text. <b>Sent 2</b>", "Who? you", "false")
    assert first("record", row=3) == ("Ann met Bob. Ann is glad", "It was Bob.", "right")
    assert first("wic") == ("place: Come to my place.", "No place.", "false")
    assert first("wsc") == ("He said Mark saw that *he* lied.", "Mark", "true")
    assert first("axb", "test") == ("It sat.", "It did not.", "not_entailment")


def logits_of(classes, surety=2.0):
    return np.eye(2, dtype=np.float32)[classes] * surety


def test_scores_over_groups(directory):
    copa = tasks.get("superglue/copa", data_dir=directory)
    # Both choices of a premise may be called right: the surer one counts.
    logits = np.array([[0, 2.0], [0, 1], [0, 3], [0, 2]])
    scores = copa.score_split(logits, "train")
    assert scores["accuracy"] == 0.5 and scores["n"] == 2 and len(scores["ci95"]["accuracy"]) == 2
    with pytest.raises(UserError, match="scored by groups"):
        copa.score(logits, copa.examples("train").labels)

    multirc = tasks.get("superglue/multirc", data_dir=directory)
    scores = multirc.score_split(logits_of([1, 1, 1]), "train", confidence_interval=False)
    assert scores == {"f1a": pytest.approx(4 / 5), "exact_match": 0.5, "n": 2}

    record = tasks.get("superglue/record", data_dir=directory)
    assert record.examples("train").columns["entity"] == ["Ann", "Bob"] * 2
    scores = record.score_split(logits_of([1, 0, 1, 0]), "train", confidence_interval=False)
    assert scores == {"f1": 0.5, "exact_match": 0.5, "n": 2}

    axg = tasks.get("superglue/axg", data_dir=directory)
    scores = axg.score_split(logits_of([0, 1]), "test", confidence_interval=False)
    assert scores == {"accuracy": 0.5, "gender_parity": 0.0, "n": 2}
    assert axg.split("validation") == "test"


def test_submission_lines(directory):
    def lines(name, logits, split="test"):
        task = tasks.get(f"superglue/{name}", data_dir=directory)
        text = task.submission.content(task, np.asarray(logits, float), task.examples(split))
        return [json.loads(line) for line in text.splitlines()]

    assert lines("boolq", [[0, 1]]) == [{"idx": 0, "label": "true"}]
    assert lines("cb", [[0, 0, 1]]) == [{"idx": 0, "label": "neutral"}]
    assert lines("copa", [[0, 1], [0, 2]]) == [{"idx": 0, "label": 1}]
    assert lines("wsc", [[1, 0]]) == [{"idx": 0, "label": "False"}]
    assert lines("record", [[1, 0], [0, 0], [0, 1], [0, 2]]) == [{"idx": 0, "label": "Bob"}, {"idx": 1, "label": "Bob"}]
    answers = [[{"idx": 0, "label": 1}, {"idx": 1, "label": 0}], [{"idx": 2, "label": 1}]]
    questions = [{"idx": number, "answers": of} for number, of in enumerate(answers)]
    assert lines("multirc", [[0, 1], [1, 0], [0, 1]]) == [{"idx": 0, "passage": {"questions": questions}}]
    with pytest.raises(UserError, match="has 2 outputs"):
        lines("copa", [[0, 1, 2]] * 2)


@pytest.mark.parametrize(
    "name, change, message",
    [
        (
            "boolq",
            {"label": "yes"},
            r"train.jsonl:2: unknown label. Expected one of: false, true, 0, 1. Received: 'yes'",
        ),
        ("boolq", {"passage": None}, "train.jsonl:2: 'passage' must be text. Received: 'None'"),
        ("boolq", {"label": None}, "train.jsonl:2: this row has no label"),
        ("boolq", {"idx": "x"}, "train.jsonl:2: 'idx' must be a whole number"),
        ("copa", {"question": "why"}, "train.jsonl:2: 'question' must be cause or effect. Received: 'why'"),
        ("copa", {"label": 2}, "train.jsonl:2: 'label' must be 0 or 1. Received: '2'"),
    ],
)
def test_what_is_wrong_in_a_file(name, change, message, tmp_path):
    first, second = RECORDS[f"{FOLDERS[name]}/train"]
    write(tmp_path / FOLDERS[name] / "train.jsonl", [first, {**second, **change}])
    with pytest.raises(DataError, match=message):
        tasks.get(f"superglue/{name}", data_dir=tmp_path).examples("train")


def test_missing_keys_and_places(tmp_path):
    write(tmp_path / "MultiRC" / "train.jsonl", [{"idx": 0, "passage": {"text": "x"}}])
    with pytest.raises(DataError, match="train.jsonl:1: no 'questions'. Expected a list of that name. Received: text"):
        tasks.get("superglue/multirc", data_dir=tmp_path).examples("train")
    with pytest.raises(
        DataError, match="no file for the train split of superglue/boolq. Looked for: BoolQ/train.jsonl"
    ):
        tasks.get("superglue/boolq", data_dir=tmp_path).examples("train")


@pytest.fixture(scope="module")
def submitted(tmp_path_factory):
    """A valid submission's zip, from files of the official sizes."""
    root = tmp_path_factory.mktemp("official")
    for name, (rows, _) in superglue_check.OFFICIAL.items():
        folder = name.removesuffix(".jsonl")
        record = RECORDS[f"{folder}/{folder if 'AX' in folder else 'test'}"][0]
        if name == "MultiRC.jsonl":  # 9693 answers of 166 passages
            answers = [58] * 165 + [9693 - 58 * 165]
            records = [
                {
                    "idx": i,
                    "passage": {
                        "text": "x",
                        "questions": [
                            {"question": "q", "idx": i, "answers": [{"text": "a", "idx": k} for k in range(count)]}
                        ],
                    },
                }
                for i, count in enumerate(answers)
            ]
        elif name == "ReCoRD.jsonl":
            records = [{**record, "idx": i, "qas": [{"query": "@placeholder", "idx": i}]} for i in range(rows)]
        else:
            records = [{**record, "idx": i} for i in range(rows)]
        write(root / folder / (name if "AX" in folder else "test.jsonl"), records)
    path = root / "submission.zip"
    report = tasks.write_submission(
        {"superglue/rte": logits_of([1] * 3000), "BoolQ": logits_of([1] * 3245)},
        path,
        benchmark="superglue",
        data_dir=root,
        fill_missing=True,
    )
    assert sorted(report.files) == sorted(superglue_check.OFFICIAL) and len(report.filled) == 8
    return path


def test_valid_submission(submitted):
    assert tasks.validate_submission(submitted, "superglue") == []
    with zipfile.ZipFile(submitted) as archive:
        assert archive.read("BoolQ.jsonl").count(b'"true"') == 3245
    assert any("unexpected file" in problem.message for problem in tasks.validate_submission(submitted))
    with pytest.raises(UserError, match="benchmark must be one of glue, superglue. Received: 'x'"):
        tasks.validate_submission(submitted, "x")


CHANGES = {
    "label": ("BoolQ.jsonl", lambda t: t.replace('"true"', '"yes"', 1), 1, "expected a label among true, false"),
    "number for a label": ("COPA.jsonl", lambda t: t.replace('"label": 0', '"label": 2', 1), 1, "Received: 2"),
    "true for 1": ("COPA.jsonl", lambda t: t.replace('"label": 0', '"label": true', 1), 1, "Received: True"),
    "idx": ("CB.jsonl", lambda t: t.replace('"idx": 5,', '"idx": 6,'), 6, "expected idx 5. Received: 6"),
    "missing line": ("WSC.jsonl", lambda t: t[: t.rindex("{")], 145, "expected 146 lines. Received: 145"),
    "no JSON": ("WSC.jsonl", lambda t: "x" + t, 1, "expected a JSON object"),
    "answers": ("MultiRC.jsonl", lambda t: t.replace('{"idx": 0, "label": 0}, ', "", 1), None, "expected 9693 answers"),
    "form": ("MultiRC.jsonl", lambda t: t.replace('"questions"', '"question"', 1), 1, "expected {"),
    "entity": ("ReCoRD.jsonl", lambda t: t.replace('"Ann"', "1", 1), 1, "expected the text of an entity"),
}


@pytest.mark.parametrize("name, change, line, message", CHANGES.values(), ids=CHANGES.keys())
def test_validator_finds(submitted, name, change, line, message, tmp_path):
    with zipfile.ZipFile(submitted) as source, zipfile.ZipFile(tmp_path / "c.zip", "w") as target:
        for entry in source.namelist():
            text = source.read(entry).decode()
            target.writestr(entry, change(text) if entry == name else text)
    problems = tasks.validate_submission(tmp_path / "c.zip", "superglue")
    assert {problem.file for problem in problems} == {name}
    assert any(problem.line == line and message in problem.message for problem in problems), problems


@pytest.mark.real
@pytest.mark.parametrize(
    "name, split, size, ones",
    [
        ("boolq", "validation", 3270, 2033),
        ("copa", "train", 800, 400),
        ("multirc", "train", 27243, 12025),
        ("rte", "validation", 277, 131),
        ("wic", "train", 5428, 2714),
        ("wsc", "validation", 104, 38),
        ("axb", "test", 1104, 644),
        ("multirc", "test", 9693, None),
        ("wsc", "test", 146, None),
    ],
)
def test_real_files(name, split, size, ones):
    examples = tasks.get(f"superglue/{name}", data_dir=benchmark_files.path("superglue")).examples(split)
    assert len(examples) == size and not examples.report.notes
    assert ones is None if examples.labels is None else examples.labels.sum() == ones
    if name == "wsc":  # every pronoun is found
        assert all("*" in text for text in examples.texts[0])


@pytest.mark.parametrize("label", [True, "true", "True", 1])
def test_every_form_of_a_label(label, tmp_path):
    write(tmp_path / "BoolQ" / "val.jsonl", [{"question": "q", "passage": "p", "idx": 0, "label": label}])
    examples = tasks.get("superglue/boolq", data_dir=tmp_path).examples("validation")
    assert examples.labels.tolist() == [1] and examples.label_names == ("false", "true")
