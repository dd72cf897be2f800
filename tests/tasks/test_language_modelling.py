"""Perplexities and LAMBADA, on small files in the original layouts."""

import json
import math
import re
from pathlib import Path

import benchmark_files
import numpy as np
import pytest
from toy_judging import byte_lm, continuation_log_prob, letters_mlm, row_log_probs

from tfllm import tasks
from tfllm.errors import DataError, UserError
from tfllm.tasks.language_modelling import detokenized, pages

BOS = 257


@pytest.fixture(scope="module")
def model():
    return byte_lm()


def test_perplexities_are_the_harness(model, tmp_path):
    texts = {"a.txt": "One, two.\nthree \n", "b.txt": "Ünï x", "c.md": "not read"}
    for name, text in texts.items():
        (tmp_path / name).write_bytes(text.encode())
    scores = tasks.get("lm/text", data_dir=tmp_path).evaluate(model)
    read = [texts["a.txt"], texts["b.txt"]]
    total = sum(continuation_log_prob(model, [BOS], text.encode()) for text in read)
    words, size = sum(len(re.split(r"\s+", text)) for text in read), sum(len(text.encode()) for text in read)
    expected = {
        "word_perplexity": math.exp(-total / words),
        "byte_perplexity": math.exp(-total / size),
        "bits_per_byte": -total / size / math.log(2),
        "token_perplexity": math.exp(-total / size),  # a token is a byte
        "log_likelihood": total,
    }
    for name, value in expected.items():
        assert scores[name] == pytest.approx(value, rel=1e-5)
    assert (scores["n"], scores["texts"], scores["words"], scores["bytes"]) == (size, 2, words, size)
    assert (scores["window"], scores["stride"], scores["rows_read"]) == (512, 512, 2)
    for name in list(expected)[:4]:
        low, high = scores["ci95"][name]
        assert low < scores[name] < high and "bootstrap" in scores["ci_method"][name]


def test_windows_and_strides_are_said_and_used(model, tmp_path):
    file = tmp_path / "text"
    file.write_text("".join(chr(97 + i * i % 23) for i in range(60)))
    task = tasks.get("lm/text", text_file=file)
    found = task.judge(model, window=16, stride=4)
    assert (found.scores["window"], found.scores["stride"]) == (16, 4)
    ids = [BOS, *file.read_bytes()]
    total = sum(row_log_probs(model, ids[:17])[place - 1, ids[place]] for place in range(1, 17))
    for first in range(17, 61, 4):
        end = min(61, first + 4)
        table = row_log_probs(model, ids[end - 17 : end - 1])
        total += sum(table[place - 1 - (end - 17), ids[place]] for place in range(first, end))
    assert found.scores["log_likelihood"] == pytest.approx(total, rel=1e-5)
    assert found.rows[0]["tokens"] == 60


WIKI = (
    " \n = One @-@ two = \n \n It was , so . \n \n = = Section = = \n \n More ( 5 @.@ 5 ) . \n = Three = \n \n End . \n"
)


@pytest.mark.parametrize("name", ["wiki.valid.raw", "wikitext-2/valid.txt"])
def test_wikitext_is_read_as_pages(model, name, tmp_path):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(WIKI)
    examples = tasks.get("lm/wikitext-2", data_dir=tmp_path).examples("validation")
    first, second = WIKI[: WIKI.index("\n = Three")].split("\n", 1)[1], WIKI[WIKI.index(" = Three") :]
    assert list(pages(iter(WIKI.split("\n")))) == [first, second]
    assert examples.texts[0][0] == " = One-two =\n\nIt was, so.\n\n== Section ==\n\nMore (5.5). "
    assert examples.columns["words"] == [len(re.split(r"\s+", page)) for page in (first, second)]
    assert examples.columns["bytes"] == [len(first), len(second)]


def test_tokenization_is_undone_as_the_harness_does():
    """Values of `lm_eval/tasks/wikitext/preprocess_wikitext.py` 0.4.13, with its slips."""
    expected = {
        'a " b " ( c ) ; d : e ! f ? g': 'a "b" (c); d: e! f? g',
        "the dogs ' tails and it 's N times 5 ° C": "the dogs'tails and it's 1 times 5°C",
        "/' 5/ { x } [ y ] ' q ' ° d = = = = = = = h = =": "/'[0-9]/ {x} [y]' q '°d ======= h ==",
    }
    assert {text: detokenized(text) for text in expected} == expected


def test_lambada(model, tmp_path):
    texts = ['He said "yes".\n\nThen he went home', "one two"]
    (tmp_path / "lambada_test.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    task = tasks.get("lambada/openai", data_dir=tmp_path)
    assert task.examples("test").texts == (['He said "yes".\n\nThen he went', "one"], [" home", " two"])
    found = task.judge(model)
    values = [
        continuation_log_prob(model, text.rpartition(" ")[0].encode(), b" " + text.rpartition(" ")[2].encode())
        for text in texts
    ]
    assert found.scores["perplexity"] == pytest.approx(math.exp(-np.mean(values)), rel=1e-5)
    assert found.scores["accuracy"] == np.mean([row["greedy"] for row in found.rows])
    assert found.scores["n"] == 2 and set(found.scores["ci95"]) == {"accuracy", "perplexity"}
    assert task.evaluate(model, limit=1)["n"] == 1


def test_lambada_in_its_original_form_and_from_tfds(tmp_path, tmp_path_factory):
    import tensorflow_datasets as tfds
    from tensorflow_datasets.datasets.lambada import lambada_dataset_builder

    files = tmp_path / "files"
    files.mkdir()
    for split, lines in {"development": ["a b c .", "x y"], "test": ["d e f", "é , « g » h", "i j"]}.items():
        (files / f"lambada_{split}_plain_text.txt").write_text("".join(f"{line}\n" for line in lines))
    out = tmp_path / "tfds"
    with tfds.core.registered.skip_registration():

        class LocalFiles:
            def download_and_extract(self, url):
                return str(files)

        class Lambada(lambada_dataset_builder.Builder):
            name = "lambada"
            pkg_dir_path = Path(lambada_dataset_builder.__file__).parent

            def _split_generators(self, dl_manager):
                return super()._split_generators(LocalFiles())

        Lambada(data_dir=str(out)).download_and_prepare()
    for split in ("validation", "test"):
        ours = tasks.get("lambada/standard", data_dir=files).examples(split)
        theirs = tasks.get("lambada/standard", data_dir=out).examples(split)
        assert theirs.source.startswith("tfds:") and sorted(zip(*ours.texts)) == sorted(zip(*theirs.texts))
    assert ours.texts == (["d e", "é , « g »", "i"], [" f", " h", " j"])


def test_damaged_rows_are_errors_with_their_line_or_counted(model, tmp_path):
    file = tmp_path / "lambada_test.jsonl"
    file.write_text('{"text": "a b"}\n\n{"text": "one"}\n{"passage": "a b"}\n{broken\n{"text": "c d"}\n')
    with pytest.raises(DataError, match=r"lambada_test.jsonl:3: expected a passage of two words"):
        tasks.get("lambada/openai", data_dir=tmp_path).examples("test")
    report = tasks.get("lambada/openai", data_dir=file, skip_bad_rows=True).examples("test").report
    assert (report.rows_read, report.skipped_lines) == (5, (3, 4, 5))
    assert report.notes[0].startswith("3 damaged rows skipped, the first:")
    scores = tasks.get("lambada/openai", data_dir=file, skip_bad_rows=True).evaluate(model)
    assert (scores["n"], scores["skipped"], scores["rows_read"]) == (2, 3, 5)


def test_what_is_missing_is_said(model, tmp_path):
    with pytest.raises(UserError, match="lambada/openai needs data_dir=, LAMBADA's file lambada_test.jsonl"):
        tasks.get("lambada/openai").examples("test")
    with pytest.raises(
        DataError, match="Looked for: wiki.test.raw, wiki.test.tokens, test.txt, wikitext-2-raw/wiki.test.raw"
    ):
        tasks.get("lm/wikitext-2", data_dir=tmp_path).examples("test")
    with pytest.raises(DataError, match="there is no such directory or file"):
        tasks.get("lm/text", text_file=tmp_path / "no").examples("test")
    with pytest.raises(UserError, match="give data_dir= or text_file=, not both"):
        tasks.get("lm/text", data_dir=tmp_path, text_file=tmp_path / "a")
    (tmp_path / "a.txt").write_text("some text")
    task = tasks.get("lm/text", data_dir=tmp_path)
    with pytest.raises(UserError, match="causal language model"):
        task.evaluate(letters_mlm())
    with pytest.raises(UserError, match="asked without solved examples"):
        task.judge(model, shots=1)
    with pytest.raises(UserError, match="judged by likelihoods alone"):
        task.predict(model, "test")


@pytest.mark.real
def test_the_real_files_are_read():
    examples = tasks.get("lambada/openai", data_dir=benchmark_files.path("lambada")).examples("test")
    assert len(examples) == 5153 and examples.report.skipped == 0
    wiki = tasks.get("lm/wikitext-2", data_dir=benchmark_files.path("wikitext-2")).examples("validation")
    assert len(wiki) == 60 and sum(wiki.columns["bytes"]) == 1121681 - 59 - 2
