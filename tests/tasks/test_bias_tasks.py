"""BLiMP and the bias sets: readers of small files in the original layouts, and scores of toy models."""

import csv
import itertools
import json
import math
from pathlib import Path

import benchmark_files
import numpy as np
import pytest
from toy_judging import continuation_log_prob, row_log_probs

from tfllm import tasks
from tfllm.errors import DataError, UserError
from tfllm.metrics import bias
from tfllm.tasks.pseudo_likelihood import around_the_span

BOS = 257


def sentence_log_prob(model, text):
    return continuation_log_prob(model, [BOS], text.encode())


def pseudo_log_prob(model, text, places=None):
    ids = model.tokenizer.encode(text)
    total = 0.0
    for place in range(1, len(ids) - 1) if places is None else places:
        hidden = [*ids[:place], model.tokenizer.mask_id, *ids[place + 1 :]]
        total += row_log_probs(model, hidden)[place, ids[place]]
    return total


def write_lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


# BLiMP


@pytest.fixture
def blimp_dir(tmp_path):
    for name, term, pairs in (
        ("agreement", "verbs", [("a b.", "a c."), ("x", "yy")]),
        ("islands", "wh", [("cat", "act")]),
    ):
        records = [
            {
                "sentence_good": good,
                "sentence_bad": bad,
                "UID": name,
                "linguistics_term": term,
                "field": "syntax",
                "pairID": str(i),
            }
            for i, (good, bad) in enumerate(pairs)
        ]
        write_lines(tmp_path / f"{name}.jsonl", records)
    return tmp_path


def test_blimp(blimp_dir, causal, masked):
    task = tasks.get("blimp", data_dir=blimp_dir)
    assert task.examples("test").ids == ["agreement_0", "agreement_1", "islands_0"]
    pairs = list(zip(*task.examples("test").texts))
    for model, log_prob in (
        (causal, lambda text: sentence_log_prob(causal, " " + text)),
        (masked, lambda text: pseudo_log_prob(masked, text)),
    ):
        right = [log_prob(good) >= log_prob(bad) for good, bad in pairs]
        scores = task.evaluate(model)
        assert scores["accuracy"] == np.mean(right) and scores["n"] == 3
        groups = scores["groups"]
        assert groups["UID=agreement"]["accuracy"] == np.mean(right[:2]) and groups["UID=islands"]["n"] == 1
        assert groups["field=syntax"]["accuracy"] == np.mean(right) and "linguistics_term=wh" in groups
    assert "masked in turn" in scores["method"]
    some = tasks.get("blimp", data_dir=blimp_dir, paradigms=["islands"])
    assert some.examples("test").texts[0] == ["cat"]
    with pytest.raises(UserError, match="no file of the paradigm 'island'. There are: agreement, islands"):
        tasks.get("blimp", data_dir=blimp_dir, paradigms=["island"]).examples("test")


def test_blimp_from_tfds_is_the_same(tmp_path):
    import tensorflow_datasets as tfds
    from tensorflow_datasets.datasets.blimp import blimp_dataset_builder

    name, extra = (
        "adjunct_island",
        ("simple_LM_method", "one_prefix_method", "two_prefix_method", "lexically_identical"),
    )
    records = [
        {"sentence_good": f"good {i}", "sentence_bad": f"bad {i}", "UID": name, "linguistics_term": "island", "field": "syntax",
         "pairID": str(i), **dict.fromkeys(extra, True)}
        for i in range(12)
    ]  # fmt: skip
    write_lines(tmp_path / f"{name}.jsonl", records)
    out = tmp_path / "tfds"
    with tfds.core.registered.skip_registration():

        class LocalFiles:
            def download_and_extract(self, urls):
                return {key: str(tmp_path / f"{key}.jsonl") for key in urls}

        class Blimp(blimp_dataset_builder.Builder):
            name = "blimp"
            pkg_dir_path = Path(blimp_dataset_builder.__file__).parent

            def _split_generators(self, dl_manager):
                return super()._split_generators(LocalFiles())

        Blimp(config=name, data_dir=str(out)).download_and_prepare()
    ours = tasks.get("blimp", data_dir=tmp_path).examples("test")
    theirs = tasks.get("blimp", data_dir=out, source="tfds", paradigms=[name]).examples("test")
    assert ours.fingerprint == theirs.fingerprint and theirs.source == "tfds:blimp"
    with pytest.raises(UserError, match="name some with paradigms="):
        tasks.get("blimp", source="tfds").examples("test")


# CrowS-Pairs

CROWS = [
    ("0", 'he said, "a cat" ran', 'she said, "a cat" ran', "stereo", "gender"),
    ("1", "the old cat", "the new cat", "antistereo", "age"),
    ("2", "abc", "abc", "stereo", "age"),
]


@pytest.fixture
def crows_dir(tmp_path):
    with open(tmp_path / "crows_pairs_anonymized.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["", "sent_more", "sent_less", "stereo_antistereo", "bias_type", "annotations"])
        writer.writerows([*row, "[['gender']]"] for row in CROWS)
    return tmp_path


def test_crows_pairs_by_masking_the_shared_tokens(crows_dir, masked):
    from tfllm.tasks.pseudo_likelihood import shared_places

    task = tasks.get("crows_pairs", data_dir=crows_dir)
    more, less = [], []
    for _, first, second, _, _ in CROWS:
        places = shared_places(masked, first, second)
        more.append(pseudo_log_prob(masked, first, places[0]))
        less.append(pseudo_log_prob(masked, second, places[1]))
    found = task.judge(masked)
    np.testing.assert_allclose([row["scores"] for row in found.rows], np.transpose([more, less]), atol=1e-3)
    computed = np.transpose([row["scores"] for row in found.rows])
    assert {name: found.scores[name] for name in bias.CROWS_PAIRS} == bias.crows_pairs(
        *computed, [row[3] for row in CROWS]
    )
    assert found.scores["neutral"] == pytest.approx(100 / 3) and found.scores["n"] == 3
    assert set(found.scores["groups"]) == {"bias_type=gender", "bias_type=age"}
    assert "pct_stereotype" not in found.scores


def test_crows_pairs_by_whole_sentences(crows_dir, causal):
    found = tasks.get("crows_pairs", data_dir=crows_dir).judge(causal)
    values = np.array([[sentence_log_prob(causal, text) for text in row[1:3]] for row in CROWS])
    assert found.scores["pct_stereotype"] == np.mean(values[:, 0] > values[:, 1])
    assert found.scores["likelihood_diff"] == pytest.approx(np.mean(np.abs(values[:, 0] - values[:, 1])), abs=1e-4)
    assert set(found.scores["ci95"]) >= {"metric_score", "pct_stereotype", "likelihood_diff"}


def test_damaged_rows_of_crows_pairs(crows_dir):
    file = crows_dir / "crows_pairs_anonymized.csv"
    file.write_text(file.read_text() + "3,a,b,other,age,x\n4,a,b\n5,,b,stereo,age,x\n6,a,b,stereo,age,x\n")
    with pytest.raises(DataError, match=r"csv:5: 'stereo_antistereo' must be stereo or antistereo. Received: 'other'"):
        tasks.get("crows_pairs", data_dir=crows_dir).examples("test")
    examples = tasks.get("crows_pairs", data_dir=crows_dir, skip_bad_rows=True).examples("test")
    assert examples.ids == ["0", "1", "2", "6"] and examples.report.skipped_lines == (5, 6, 7)
    file.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="expected the columns sent_more, sent_less"):
        tasks.get("crows_pairs", data_dir=crows_dir).examples("test")


# StereoSet


def stereoset_record(number, context, sentences, target="chef", kind="profession"):
    labels = ("anti-stereotype", "stereotype", "unrelated")
    listed = [
        {"id": f"s{number}{k}", "sentence": text, "gold_label": label, "labels": []}
        for k, (label, text) in enumerate(zip(labels, sentences))
    ]
    return {"id": f"c{number}", "target": target, "bias_type": kind, "context": context, "sentences": listed}


INTRA = [
    stereoset_record(0, "the chef is BLANK.", ["the chef is old.", "the chef is mad.", "the chef is sky."]),
    stereoset_record(
        1, "BLANK guides sing", ["tall guides sing", "odd guides sing", "x guides sing"], "guide", "gender"
    ),
]
INTER = [stereoset_record(2, "a chef came.", ["he sang.", "he cooked.", "it rains."])]


@pytest.fixture
def stereoset_dir(tmp_path):
    content = {"version": "1.1", "data": {"intrasentence": INTRA, "intersentence": INTER}}
    (tmp_path / "dev.json").write_text(json.dumps(content, indent=1))
    return tmp_path


def test_stereoset_fills_blanks(stereoset_dir, masked, causal):
    task = tasks.get("stereoset/intrasentence", data_dir=stereoset_dir)
    found = task.judge(masked)
    ids = masked.tokenizer.encode("the chef is s[MASK].")
    table = row_log_probs(masked, ids)[ids.index(masked.tokenizer.mask_id)]
    first, third = (masked.tokenizer.encode(f"the chef is {begun}[MASK].") for begun in ("", "sk"))
    tokens = [masked.tokenizer.token_to_id(token) for token in ("s", "##k", "##y")]
    expected = [
        row_log_probs(masked, row)[row.index(masked.tokenizer.mask_id), token]
        for row, token in ((first, tokens[0]), (third, tokens[2]))
    ]
    assert found.rows[0]["unrelated"] == pytest.approx(np.mean(np.exp([*expected, table[tokens[1]]])), rel=1e-4)
    scores = np.array([[row[label] for row in found.rows] for label in ("stereotype", "anti-stereotype", "unrelated")])
    assert {name: found.scores[name] for name in bias.STEREOSET} == bias.stereoset(*scores, ["chef", "guide"])
    assert set(found.scores["groups"]) == {"bias_type=profession", "bias_type=gender"} and found.scores["terms"] == 2

    # A causal model: the first token after bos alone, the others after the sentence's own tokens.
    text = b"the chef is mad."
    table = row_log_probs(causal, list(text[:-1]))
    values = [row_log_probs(causal, [BOS])[0, text[0]], *(table[k, token] for k, token in enumerate(text[1:]))]
    assert task.judge(causal).rows[0]["stereotype"] == pytest.approx(math.exp(np.mean(values)), rel=1e-4)


def test_stereoset_follows_contexts(stereoset_dir, masked, causal):
    task = tasks.get("stereoset/intersentence", data_dir=stereoset_dir)
    value = task.judge(causal).rows[0]["stereotype"]
    assert value == pytest.approx(continuation_log_prob(causal, b"a chef came.", b" he cooked.") / 11, abs=1e-4)
    ids = masked.tokenizer.encode("a chef came. he cooked.")
    begin = len(masked.tokenizer.encode("a chef came.")) - 1
    places = range(begin, len(ids) - 1)
    expected = pseudo_log_prob(masked, "a chef came. he cooked.", places) / len(places)
    assert task.judge(masked).rows[0]["stereotype"] == pytest.approx(expected, abs=1e-4)


def test_stereoset_as_a_list_and_damaged(tmp_path):
    file = tmp_path / "dev.json"
    file.write_text(json.dumps([*INTRA, *INTER]))
    assert len(tasks.get("stereoset/intrasentence", data_dir=file).examples("validation")) == 2
    assert len(tasks.get("stereoset/intersentence", data_dir=file).examples("validation")) == 1
    broken = [
        INTRA[0],
        stereoset_record(1, "no blank", ["a", "b", "c"]),
        {**INTRA[1], "sentences": INTRA[1]["sentences"][:2]},
    ]
    file.write_text(json.dumps({"data": {"intrasentence": broken}}, indent=0))
    line = file.read_text()[: file.read_text().index('"c1"')].count("\n") + 1
    with pytest.raises(DataError, match=rf"dev.json:{line}: record c1: no word for a BLANK in the context 'no blank'"):
        tasks.get("stereoset/intrasentence", data_dir=tmp_path).examples("validation")
    report = tasks.get("stereoset/intrasentence", data_dir=tmp_path, skip_bad_rows=True).examples("validation").report
    assert (report.rows_read, report.skipped) == (3, 2)
    file.write_text('{"data": ')
    with pytest.raises(DataError, match="broken JSON"):
        tasks.get("stereoset/intrasentence", data_dir=tmp_path).examples("validation")


# WinoBias and Winogender


@pytest.fixture
def winobias_dir(tmp_path):
    (tmp_path / "male_occupations.txt").write_text("developer\nconstruction worker\nCEO\n")
    (tmp_path / "female_occupations.txt").write_text("designer\nnurse\n")
    pro = [
        "1 [The developer] met the designer because [he] was late.",
        "2 The CEO saw [the nurse] 's work because [she] asked.",
    ]
    (tmp_path / "pro_stereotyped_type1.txt.dev").write_text("\n".join(pro) + "\n")
    anti = [pro[0].replace("[he]", "[she]"), pro[1].replace("[she]", "[he]")]
    (tmp_path / "anti_stereotyped_type1.txt.dev").write_text("\n".join(anti) + "\n")
    return tmp_path


def test_winobias(winobias_dir, causal):
    task = tasks.get("winobias/type1", data_dir=winobias_dir)
    examples = task.examples("validation")
    assert examples.texts[0][2] == "The CEO saw the nurse's work because she asked."
    assert examples.columns["choices"][1:3] == [["developer", "designer"], ["CEO", "nurse"]]
    assert examples.labels.tolist() == [0, 0, 1, 1] and examples.columns["side"] == ["pro", "anti"] * 2
    found = task.judge(causal)
    assert found.rows[1]["context"] == "The developer met the designer because she was late. ‘She’ refers to the"
    right = [row["chosen"] == row["right"][0] for row in found.rows]
    assert found.scores["accuracy_pro"] == np.mean(right[::2]) and found.scores["accuracy_anti"] == np.mean(right[1::2])
    assert found.scores["difference"] == found.scores["accuracy_pro"] - found.scores["accuracy_anti"]
    assert found.scores["n"] == 4 and "pairs drawn" in found.scores["ci_method"]["difference"]


def test_damaged_rows_of_winobias(winobias_dir):
    file = winobias_dir / "pro_stereotyped_type1.txt.dev"
    file.write_text(
        file.read_text() + "3 The baker saw [the cook] because [he] was late.\nno number [the nurse] [he]\n"
    )
    with pytest.raises(DataError, match=r"type1.txt.dev:3: expected 'cook' and another of the listed occupations"):
        tasks.get("winobias/type1", data_dir=winobias_dir).examples("validation")
    report = tasks.get("winobias/type1", data_dir=winobias_dir, skip_bad_rows=True).examples("validation").report
    assert (report.rows_read, report.skipped_lines) == (6, (3, 4))


def test_winogender(tmp_path, causal):
    lines = ["sentid\tsentence"]
    for gender, pronoun in (("female", "her"), ("male", "his"), ("neutral", "their")):
        lines.append(f"nurse.patient.0.{gender}.txt\tThe nurse told the patient that {pronoun} shift was over.")
        lines.append(f"nurse.someone.1.{gender}.txt\tThe nurse told someone that {pronoun} blood was drawn.")
    (tmp_path / "all_sentences.tsv").write_text("\n".join(lines) + "\n")
    task = tasks.get("winogender", data_dir=tmp_path)
    found = task.judge(causal)
    assert found.rows[0]["context"].endswith("her shift was over. ‘Her’ refers to the")
    assert (found.rows[1]["choices"], found.rows[1]["right"]) == (["nurse", "someone"], [1])
    chosen = [row["chosen"] for row in found.rows]
    assert found.scores["parity"] == np.mean([chosen[0] == chosen[2], chosen[1] == chosen[3]])
    right = [row["chosen"] == row["right"][0] for row in found.rows]
    assert found.scores["accuracy_neutral"] == np.mean(right[4:])
    assert found.scores["difference"] == np.mean(right[2:4]) - np.mean(right[:2])
    (tmp_path / "all_sentences.tsv").write_text("\n".join([*lines, "nurse.patient.2.male.txt\tHe sang."]) + "\n")
    with pytest.raises(DataError, match=r"tsv:8: expected occupation.participant.0-or-1.gender.txt"):
        tasks.get("winogender", data_dir=tmp_path).examples("test")


def around(model, texts):
    """Pseudo-log-likelihoods of what is the same at the beginning and at the end of all texts, by the slow way."""
    encoded = [model.tokenizer.encode(text) for text in texts]
    before = len(list(itertools.takewhile(lambda some: len(set(some)) == 1, zip(*encoded))))
    after = len(list(itertools.takewhile(lambda some: len(set(some)) == 1, zip(*(ids[::-1] for ids in encoded)))))
    return [
        pseudo_log_prob(model, text, [*range(1, before), *range(len(ids) - after, len(ids) - 1)])
        for text, ids in zip(texts, encoded)
    ]


def test_winobias_of_a_masked_model(winobias_dir, masked):
    found = tasks.get("winobias/type1", data_dir=winobias_dir).judge(masked)
    for row in found.rows:
        expected = around(masked, [f"{row['context']} {choice}" for choice in row["choices"]])
        assert row["log_probs"] == pytest.approx(expected, abs=1e-3)
        assert row["chosen"] == np.argmax(expected)
    right = [row["chosen"] == row["right"][0] for row in found.rows]
    assert found.scores["accuracy"] == np.mean(right) and "around the answer" in found.scores["method"]


def test_bbq_of_a_masked_model(tmp_path, masked):
    write_lines(tmp_path / "Age.jsonl", BBQ[:2])
    found = tasks.get("bbq", data_dir=tmp_path).judge(masked)
    for row in found.rows:
        assert len(row["choices"]) == 12
        expected = around(masked, [f"{row['context']} {choice}" for choice in row["choices"]])
        assert row["log_probs"] == pytest.approx(expected, abs=1e-3)
    assert "around the answer" in found.scores["method"]


def test_texts_that_differ_in_a_span(masked):
    groups = [["ab cd ef", "ab x ef", "ab xyz ef"], ["aa", "aa a"]]
    found = around_the_span(masked, groups)
    assert [[one.tokens for one in group] for group in found] == [[4, 4, 4], [2, 2]]
    assert [one.log_prob for one in found[0]] == pytest.approx(around(masked, groups[0]), abs=1e-4)
    # One text begins and ends like the other, but a token is not counted twice.
    first, second = (one.log_prob for one in found[1])
    assert first == pytest.approx(pseudo_log_prob(masked, "aa"), abs=1e-4) and second != pytest.approx(first, abs=1e-2)
    with pytest.raises(UserError, match="share a token to be compared. Received: 'ab', 'cd'"):
        around_the_span(masked, [["ab", "cd"]])


def test_other_choices_are_not_asked_of_masked_models(masked, glue_dir):
    with pytest.raises(UserError, match="causal"):
        tasks.get("glue/sst2", data_dir=glue_dir).judge(masked)


# BBQ


def bbq_record(number, polarity, condition, label, category="Age", groups=("old",)):
    return {
        "example_id": number, "question_polarity": polarity, "context_condition": condition, "category": category, "label": label,
        "context": f"A and B met {number}.", "question": "Who?", "ans0": "The old man", "ans1": "Not known", "ans2": "The boy",
        "answer_info": {"ans0": ["grandfather", "old"], "ans1": ["Not known", "unknown"], "ans2": ["grandson", "nonOld"]},
        "additional_metadata": {"stereotyped_groups": list(groups)},
    }  # fmt: skip


BBQ = [
    bbq_record(0, "neg", "ambig", 1),
    bbq_record(1, "nonneg", "ambig", 1),
    bbq_record(2, "neg", "disambig", 0),
    bbq_record(3, "nonneg", "disambig", 2, "SES", ("nonold", "x")),
]


def test_bbq(tmp_path, causal):
    write_lines(tmp_path / "Age.jsonl", BBQ)
    task = tasks.get("bbq", data_dir=tmp_path)
    examples = task.examples("test")
    # Negative: the stereotyped group; not negative: the other one.
    assert examples.columns["biased"] == [[0], [2], [0], [0]] and examples.columns["unknown"] == [1] * 4
    found = task.judge(causal)
    assert found.rows[0]["context"] == "A and B met 0.\n\nQ: Who?\nA:"
    assert found.rows[0]["choices"][:3] == ["The old man", "The boy", "Unknown"] and len(found.rows[0]["choices"]) == 12
    assert found.rows[0]["right"] == list(range(2, 12)) and found.rows[3]["right"] == [1]
    flags = [[row[name] for row in found.rows] for name in ("correct", "biased", "unknown", "ambiguous")]
    for row, places in zip(found.rows, examples.columns["biased"]):
        person = (0, 2)[row["chosen"]] if row["chosen"] < 2 else None
        assert row["biased"] == (person in places) and row["unknown"] == (person is None)
    assert {name: found.scores[name] for name in bias.BBQ} == pytest.approx(bias.bbq(*flags))
    assert set(found.scores["groups"]) == {"category=Age", "category=SES"}
    write_lines(tmp_path / "Age.jsonl", [BBQ[0], {**BBQ[1], "label": 3}])
    with pytest.raises(DataError, match=r"Age.jsonl:2: 'label' must be one of 0, 1, 2. Received: 3"):
        tasks.get("bbq", data_dir=tmp_path).examples("test")


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "place", "split", "size"),
    [
        ("blimp", "blimp", "test", 2000),
        ("crows_pairs", "crows_pairs", "test", 1508),
        ("stereoset/intrasentence", "stereoset/intrasentence.dev.json", "validation", 799),
        ("stereoset/intrasentence", "stereoset/dev.slice.json", "validation", 5),
        ("stereoset/intersentence", "stereoset/dev.slice.json", "validation", 5),
        ("winobias/type1", "winobias", "validation", 792),
        ("winobias/type2", "winobias", "validation", 792),
        ("bbq", "bbq", "test", 3132),
    ],
)
def test_the_real_files_are_read_whole(name, place, split, size):
    examples = tasks.get(name, data_dir=benchmark_files.path(place)).examples(split)
    assert len(examples) == size and examples.report.skipped == 0
    if name == "bbq":
        assert all(len(places) == 1 for places in examples.columns["biased"])
