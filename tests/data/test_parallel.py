"""Parallel text: plain files, tables, TMX and SGM, and what is said of damaged ones."""

import gzip
import json

import benchmark_files
import pytest

from tfllm.data.parallel import read_parallel, read_sgm, read_text_table
from tfllm.data.tmx import read_tmx
from tfllm.errors import DataError, UserError

TMX = """<?xml version="1.0" encoding="utf-8"?>
<tmx version="1.4"><header srclang="en"/><body>
<tu><tuv xml:lang="en-GB"><seg>A <bpt i="1">&lt;b&gt;</bpt>cat<ept i="1">&lt;/b&gt;</ept> &amp; a dog</seg></tuv>
    <tuv xml:lang="de"><seg>Eine Katze &amp; ein Hund</seg></tuv></tu>
<tu><tuv xml:lang="en"><seg>Only English</seg></tuv></tu>
<tu><tuv xml:lang="DE"><seg>Ja</seg></tuv><tuv lang="en"><seg>Yes</seg></tuv><tuv xml:lang="de-AT"><seg>Jo</seg></tuv></tu>
</body></tmx>
"""


def write(path, lines, ends="\n"):
    data = "".join(line + ends for line in lines).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def test_lines_belong_together_whatever_is_in_them(tmp_path):
    source = write(tmp_path / "a.en", ['He said "no".', "x\u2028y", "", "tab\there"], "\r\n")
    targets = [
        write(tmp_path / "a.de.gz", ["1", "2", "3", "4"]),
        write(tmp_path / "a.ref2", ["eins", "zwei", "", "vier"]),
    ]
    examples = read_parallel(source, targets)
    assert examples.texts == (['He said "no".', "x\u2028y", "", "tab\there"],)
    assert examples.columns["references"] == [("1", "eins"), ("2", "zwei"), ("3", ""), ("4", "vier")]
    assert examples.report.rows_read == 4 and examples.report.notes == ("1 empty sources, kept",)
    assert "references" not in read_parallel(source).columns


def test_files_of_different_lengths(tmp_path):
    source, target = write(tmp_path / "a.en", ["1", "2", "3"]), write(tmp_path / "a.de", ["1", "2"])
    with pytest.raises(
        DataError, match=r"a.de: parallel files must have the same number of lines.*before line 3 of .*a.en"
    ):
        read_parallel(source, [target], skip_bad_rows=True)  # this is no damaged row


def test_a_damaged_line_is_an_error_or_counted(tmp_path):
    source, target = write(tmp_path / "a.en", ["1", "2", "3"]), tmp_path / "a.de"
    target.write_bytes(b"eins\nzw\xe9i\ndrei\n")
    with pytest.raises(DataError, match=r"a.de:2: expected UTF-8 text. Received: byte 0xe9 at place 2"):
        read_parallel(source, [target])
    examples = read_parallel(source, [target], skip_bad_rows=True)
    assert examples.texts == (["1", "3"],) and examples.report.skipped_lines == (2,) and examples.report.rows_read == 3
    assert "1 damaged rows left out (lines 2)" in examples.report.notes[0]
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"eins\n" * 1000)[:-20])
    with pytest.raises(DataError, match="damaged gzip"):
        read_parallel(tmp_path / "cut.gz")


def test_tables_of_four_formats_give_the_same_examples(tmp_path):
    rows = [("A cat", 'Eine "Katze"'), ("Yes", "Ja")]
    write(tmp_path / "a.tsv", ["en\tde", *("\t".join(row) for row in rows)])
    write(tmp_path / "a.csv", ["de,en", '"Eine ""Katze""",A cat', "Ja,Yes"])
    write(tmp_path / "a.jsonl", [json.dumps({"translation": dict(zip(("en", "de"), row))}) for row in rows])
    tsv = read_text_table(tmp_path / "a.tsv", "en", "de")
    assert tsv.texts == (["A cat", "Yes"],) and tsv.columns["references"] == [('Eine "Katze"',), ("Ja",)]
    assert read_text_table(tmp_path / "a.csv", "en", "de").fingerprint == tsv.fingerprint
    assert read_text_table(tmp_path / "a.jsonl", "translation.en", "translation.de").fingerprint == tsv.fingerprint
    assert read_text_table(tmp_path / "a.tsv", 0, 1, header=False).texts == (["en", "A cat", "Yes"],)


def test_references_in_several_columns_or_a_list(tmp_path):
    write(tmp_path / "a.tsv", ["s\tr1\tr2", "x\ta\tb"])
    write(tmp_path / "b.jsonl", ['{"s": "x", "r": ["a", "b"]}'])
    for examples in (
        read_text_table(tmp_path / "a.tsv", "s", ["r1", "r2"]),
        read_text_table(tmp_path / "b.jsonl", "s", "r"),
    ):
        assert examples.columns["references"] == [("a", "b")]


def test_damaged_tables(tmp_path):
    write(tmp_path / "a.tsv", ["s\tt", "x\ty", "cut", "z\tw"])
    with pytest.raises(DataError, match=r"a.tsv:3: expected 2 fields \(s, t\). Received: 1."):
        read_text_table(tmp_path / "a.tsv", "s", "t")
    examples = read_text_table(tmp_path / "a.tsv", "s", "t", skip_bad_rows=True)
    assert examples.texts == (["x", "z"],) and examples.report.skipped_lines == (3,)
    write(tmp_path / "a.jsonl", ['{"s": "x", "t": "y"}', '{"s": 1, "t": "y"}', '{"s": "x"'])
    with pytest.raises(DataError, match="a.jsonl:2: column 's' must hold text. Received: 1"):
        read_text_table(tmp_path / "a.jsonl", "s", "t")
    assert read_text_table(tmp_path / "a.jsonl", "s", "t", skip_bad_rows=True).report.skipped_lines == (2, 3)
    with pytest.raises(DataError, match="expected rows of data. Received: none. All 3 were damaged"):
        read_text_table(tmp_path / "a.jsonl", "other", "t", skip_bad_rows=True)
    with pytest.raises(UserError, match="give format=, one of tsv, csv, jsonl, tmx"):
        read_text_table(tmp_path / "a.xyz", "s", "t")


def test_tmx(tmp_path):
    (tmp_path / "a.tmx").write_text(TMX)
    examples = read_text_table(tmp_path / "a.tmx", "en", "de")
    assert examples.texts == (["A cat & a dog", "Yes"],)  # the markup of the document is no text
    assert examples.columns["references"] == [("Eine Katze & ein Hund",), ("Ja",)]
    assert examples.report.rows_read == 3 and examples.report.skipped == 1
    assert examples.report.notes == ("1 units without en or de left out, the first on line 5",)
    assert read_tmx(tmp_path / "a.tmx", "de", "en").texts == (["Eine Katze & ein Hund", "Ja"],)
    with pytest.raises(DataError, match="no unit has both en and fr, of 3 units"):
        read_tmx(tmp_path / "a.tmx", "en", "fr")


def test_tmx_with_entities_of_its_own_is_refused(tmp_path):
    bomb = '<!DOCTYPE tmx [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'
    (tmp_path / "bomb.tmx").write_text(TMX.replace("<tmx", bomb + "\n<tmx"))
    with pytest.raises(DataError, match="entities declared in the file are refused"):
        read_tmx(tmp_path / "bomb.tmx", "en", "de")
    (tmp_path / "file.tmx").write_text(
        TMX.replace("<tmx", '<!DOCTYPE tmx [<!ENTITY a SYSTEM "file:///etc/hosts">]>\n<tmx')
    )
    with pytest.raises(DataError, match="entities declared in the file are refused"):
        read_tmx(tmp_path / "file.tmx", "en", "de")


def test_broken_tmx(tmp_path):
    (tmp_path / "a.tmx").write_text(TMX[:-30])
    with pytest.raises(DataError, match="broken XML"):
        read_tmx(tmp_path / "a.tmx", "en", "de")
    (tmp_path / "b.tmx").write_text(TMX.replace("<seg>Yes</seg>", ""))
    with pytest.raises(DataError, match="b.tmx:6: a <tuv> of this unit has no <seg>"):
        read_tmx(tmp_path / "b.tmx", "en", "de")
    assert read_tmx(tmp_path / "b.tmx", "en", "de", skip_bad_rows=True).report.skipped_lines == (5, 6)


def test_sgm(tmp_path):
    (tmp_path / "a.sgm").write_text(
        '<srcset><doc>\n<seg id="1">A &amp; B</seg>\n<seg id="2"> two\nlines </seg></doc></srcset>'
    )
    assert read_sgm(tmp_path / "a.sgm") == ["A & B", "two lines"]
    (tmp_path / "b.sgm").write_text('<seg id="1">A</seg><seg id="2">B')
    with pytest.raises(DataError, match="2 begun, 1 whole"):
        read_sgm(tmp_path / "b.sgm")


@pytest.mark.real
def test_jsonl_of_the_translation_examples():
    examples = read_text_table(benchmark_files.path("wmt16_en_ro_sample/val.json"), "translation.en", "translation.ro")
    assert len(examples) == 16 and "parolă" not in examples.texts[0] and all(examples.columns["references"])
