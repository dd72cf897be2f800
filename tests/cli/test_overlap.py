"""`tfllm overlap`."""

from __future__ import annotations

import json
import random
import subprocess
import sys

import pytest
from scipy.stats import binomtest

from tfllm.cli import main
from tfllm.data.overlap import Side, find_overlap, normalised_words
from tfllm.errors import UserError

THIRTEEN = "one two three four five six seven eight nine ten eleven twelve thirteen"


def words(start: int, count: int) -> str:
    return " ".join(f"w{number}" for number in range(start, start + count))


def rte(directory, split: str, rows: list[tuple[str, str]]):
    (directory / "RTE").mkdir(exist_ok=True, parents=True)
    lines = [f"{i}\t{first}\t{second}\tentailment" for i, (first, second) in enumerate(rows)]
    (directory / "RTE" / f"{split}.tsv").write_text("\n".join(["index\tsentence1\tsentence2\tlabel", *lines]) + "\n")
    return directory


def overlap(capsys, *flags: str) -> dict:
    assert main(["overlap", *flags, "--format=json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_words_are_normalised():
    assert " ".join(normalised_words("It's  A—TEST,\n(ok)! naïve ÉTÉ 3.5")) == "it s a test ok naïve été 3 5"
    assert normalised_words("naïve") == normalised_words("nai\u0308ve")  # composed or not
    assert normalised_words("私は学生です。") == list("私は学生です")
    assert normalised_words("हिन्दी भाषा") == ["हिन्दी", "भाषा"]  # vowel signs are no ends of words
    assert normalised_words("...") == []


def test_twelve_words_in_a_row_are_not_enough():
    b = [("b", [THIRTEEN])]
    twelve = f"{THIRTEEN.rsplit(' ', 1)[0]} other words and some more of them"
    a = [("twelve", [twelve]), ("thirteen", [f"before, {THIRTEEN.upper()}! After that."])]
    found = find_overlap(Side(a), Side(b))
    assert (found.judged, found.overlapping, found.duplicates) == (2, 1, 0)
    (match,) = found.matches
    assert (match.id, match.other, match.text, match.exact) == ("thirteen", "b", THIRTEEN, False)
    assert match.share == 1 / 4  # "before ... after that": 16 words, of whose 4 n-grams B has one
    assert find_overlap(Side(a), Side(b), ngram=12).overlapping == 2


def test_short_examples_are_looked_for_as_a_whole_and_very_short_ones_only_as_duplicates():
    nine, seven = words(0, 9), words(100, 7)
    b = Side([("0", [f"x {nine} y"]), ("1", [f"x {seven} y"]), ("2", ["yes"]), ("3", [""])])
    a = Side([("nine", [nine]), ("seven", [seven]), ("yes", ["Yes!"]), ("empty", ["..."])])
    found = find_overlap(a, b)
    assert (found.size, found.judged, found.short) == (4, 1, 3)
    assert {match.id: (match.other, match.exact) for match in found.matches} == {
        "nine": ("0", False),
        "yes": ("2", True),
    }
    assert (found.overlapping, found.duplicates) == (1, 1)


def test_n_grams_do_not_go_from_one_text_to_the_next_unless_lines_run_on():
    a, cut = [("a", [THIRTEEN])], THIRTEEN.split()
    lines = [("1", [" ".join(cut[:5])]), ("2", [" ".join(cut[5:])])]
    assert find_overlap(Side(a), Side(lines)).overlapping == 0
    found = find_overlap(Side(a), Side(lines, running=True))
    assert found.overlapping == 1 and found.matches[0].other == "2" and found.duplicates == 0
    assert find_overlap(Side([("a", [words(0, 7), words(7, 7)])]), Side([("b", [words(0, 14)])])).overlapping == 0


@pytest.mark.parametrize("ngram, alphabet", [(2, "abcdefghijklmnopqrstuvwxyz"), (3, "abcdefghij"), (4, "abcdefg")])
def test_it_finds_what_a_search_for_substrings_finds(ngram, alphabet):
    rng = random.Random(ngram)

    def texts(count: int, most: int) -> list[tuple[str, list[str]]]:
        return [
            (str(i), [" ".join(rng.choices(alphabet, k=rng.randint(0, most))) for _ in range(2)]) for i in range(count)
        ]

    a, b = texts(60, 8), texts(40, 7)
    found = find_overlap(Side(a), Side(b), ngram=ngram, min_words=2)
    everything = [f" {text} " for _, both in b for text in both]
    expected, judged = set(), 0
    for id_, both in a:
        longest = max(both, key=lambda text: len(text.split())).split()
        size = min(ngram, len(longest))
        judged += size >= 2
        grams = [g.split()[i : i + size] for g in both for i in range(len(g.split()) - size + 1)] if size >= 2 else []
        if any(f" {' '.join(gram)} " in text for gram in grams for text in everything):
            expected.add(id_)
    assert 0 < len(expected) < judged == found.judged
    assert (
        found.overlapping == len(expected) == len({match.id for match in found.matches if match.share > 0} & expected)
    )


def test_b_is_streamed():
    """Rows of B are asked for one by one, and not kept."""
    alive, most = [0], [0]

    class Text(str):
        def __new__(cls, text):
            alive[0] += 1
            most[0] = max(most[0], alive[0])
            return super().__new__(cls, text)

        def __del__(self):
            alive[0] -= 1

    seen = []
    b = Side((str(i), [Text(words(i * 20, 20))]) for i in range(20_500))
    found = find_overlap(Side([("a", [words(400, 15)])]), b, progress=lambda *steps: seen.append(steps))
    assert found.matches[0].other == "20" and found.other_size == 20_500
    assert most[0] <= 3, most
    assert seen == [(10_000, None), (20_000, None), (20_500, 20_500)]


@pytest.mark.parametrize("ngram, min_words", [(0, 1), (5, 6), (5, 0)])
def test_a_bad_length_is_refused(ngram, min_words):
    with pytest.raises(UserError, match=f"ngram={ngram}, min_words={min_words}"):
        find_overlap(Side([("a", ["x"])]), Side([("b", ["x"])]), ngram=ngram, min_words=min_words)


def test_two_tasks_by_the_repeated_flag(tmp_path, capsys):
    one = rte(tmp_path / "one", "dev", [(words(0, 20), "short"), (words(50, 20), words(80, 9)), ("a b", "c")])
    two = rte(tmp_path / "two", "train", [("nothing", "here"), (words(3, 14), "else"), ("A, b", "c.")])
    result = overlap(
        capsys, "--task=glue/rte", f"--data_dir={one}", "--task", "glue/rte", "--data_dir", str(two), "--ngram=13"
    )
    assert (result["a"], result["b"]) == ("glue/rte (validation)", "glue/rte (train)")
    assert (result["size"], result["judged"], result["short"], result["other_size"]) == (3, 2, 1, 3)
    assert (result["overlapping"], result["duplicates"], result["share"]) == (1, 1, 0.5)
    assert result["ci95"]["share"] == pytest.approx(list(binomtest(1, 2).proportion_ci(method="wilson")))
    assert [(match["id"], match["other"], match["exact"]) for match in result["matches"]] == [
        ("0", "1", False),
        ("2", "2", True),
    ]


def test_splits_of_one_task_and_one_of_its_texts(tmp_path, capsys):
    data = rte(tmp_path, "dev", [(words(0, 20), words(40, 20))])
    rte(tmp_path, "train", [(words(0, 20), words(60, 20))])
    assert overlap(capsys, "--task=glue/rte", f"--data_dir={data}")["overlapping"] == 1
    second = overlap(capsys, "--task=glue/rte", f"--data_dir={data}", "--fields=sentence2")
    assert (second["judged"], second["overlapping"], second["duplicates"]) == (1, 0, 0)


def test_files_are_sides_too_and_examples_are_listed(tmp_path, capsys):
    test, corpus = tmp_path / "test.jsonl", tmp_path / "corpus.txt"
    rows = [{"text": words(0, 15)}, {"text": words(5, 15)}, {"text": words(200, 15)}]
    test.write_text("".join(json.dumps(row) + "\n" for row in rows))
    corpus.write_text(f"Title\n\n{words(0, 10)}\n{words(10, 12)}\n")
    assert main(["overlap", f"--file_a={test}", f"--file_b={corpus}", "--list=1"]) == 0
    out = capsys.readouterr().out
    assert "share 13 words in a row  2      3   66.67%  20.77% to 93.85%" in out
    assert f"A line 1 in B line 4 (100% of its n-grams): {' '.join(words(0, 13).split())}" in out
    assert "and 1 more: --list=-1 prints all." in out


def test_it_imports_nothing_heavy(tmp_path):
    (tmp_path / "a.txt").write_text(THIRTEEN + "\n")
    (tmp_path / "b.txt").write_text(f"so {THIRTEEN} it is\n")
    script = (
        "import sys; from tfllm.cli import main\n"
        f"assert main(['overlap', '--file_a={tmp_path}/a.txt', '--file_b={tmp_path}/b.txt']) == 0\n"
        "heavy = {'tensorflow', 'keras', 'sklearn', 'matplotlib', 'tokenizers'} & set(sys.modules)\nassert not heavy, heavy"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "100.00%" in result.stdout and result.stderr == ""


@pytest.mark.parametrize(
    "flags, message",
    [
        ([], "side A needs a task or a file"),
        (["--file_a={dir}/a.txt"], "side B needs a task or a file"),
        (["--file_a={dir}/a.txt", "--task_a=glue/rte", "--file_b={dir}/b.txt"], "Received: both"),
        (["--file_a={dir}/a.txt", "--file_b={dir}/a.txt"], "A and B are the same set"),
        (["--file_a={dir}/a.txt", "--file_b={dir}/none.txt"], "there is no such file"),
        (["--file_a={dir}/a.txt", "--split_a=train", "--file_b={dir}/b.txt"], "split_a goes with a task"),
        (["--file_a={dir}/a.txt", "--fields_a=x", "--file_b={dir}/b.txt"], "fields_a are of tasks and .jsonl files"),
        (["--file_a={dir}/c.jsonl", "--fields_a=words", "--file_b={dir}/b.txt"], "c.jsonl:1: no 'words'"),
        (["--file_a={dir}/blank.txt", "--file_b={dir}/b.txt"], "there are no examples in A"),
        (["--file_a={dir}/b.txt", "--file_b={dir}/blank.txt"], "there are no examples in B"),
        (["--task=glue/rte", "--task=glue/rte", "--task=glue/mnli"], "give --task at most twice"),
        (["--task=glue/rtee", "--file_b={dir}/b.txt"], "did you mean glue/rte?"),
        (["--task=glue/rte", "--split_a=dev", "--data_dir={dir}"], "has no split 'dev'"),
        (["--task=glue/rte", "--data_dir={dir}", "--fields=text"], "Its texts are: sentence1, sentence2"),
        (["--file_a={dir}/a.txt", "--file_b={dir}/b.txt", "--ngram=4", "--min_words=5"], "min_words from 1 to ngram"),
        (["--file_a={dir}/a.txt", "--file_b={dir}/b.txt", "--ngram=0"], "ngram must be at least 1"),
    ],
)
def test_nonsense_is_one_line(flags, message, tmp_path, capsys):
    (tmp_path / "a.txt").write_text("a text\n")
    (tmp_path / "b.txt").write_text("b text\n")
    (tmp_path / "blank.txt").write_text("\n \n")
    (tmp_path / "c.jsonl").write_text('{"text": "x"}\n')
    rte(tmp_path, "dev", [("a", "b")])
    assert main(["overlap", *(flag.format(dir=tmp_path) for flag in flags)]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.count("\n") == 1 and captured.out == ""
