"""CodeBLEU against CodeXGLUE's own functions (`tests/goldens/make_code_bleu.py`), and where they have no answer."""

import importlib
import json
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfllm import metrics
from tfllm.errors import UserError
from tfllm.metrics import code_languages
from tfllm.metrics.code_languages import code_language, without_comments
from tfllm.metrics.code_structure import code_bleu_sums
from tfllm.metrics.data_flow import data_flow
from tfllm.metrics.text_scores import text_metric

GOLDENS = json.loads((Path(__file__).parents[1] / "goldens" / "code_bleu.json").read_text())
sys.path.insert(0, str(Path(__file__).parents[1] / "goldens"))
PAIRS = importlib.import_module("code_bleu_programs").PAIRS
LANGUAGES = sorted(PAIRS)


def flow_of(code: str, language: str) -> Counter:
    known = code_language(language)
    return data_flow(known.parse(code.encode()), known)


@pytest.mark.parametrize("language", LANGUAGES)
def test_goldens(language):
    predictions, references = zip(*PAIRS[language])
    scores = metrics.code_bleu_scores(predictions, references, language)
    rows = GOLDENS[language]["rows"]
    assert scores.pop("without_dataflow") == sum(not row["edges"][1] for row in rows) > 0
    assert scores == pytest.approx(GOLDENS[language]["scores"], abs=1e-9)
    for (prediction, reference), row in zip(PAIRS[language], rows, strict=True):
        sums = code_bleu_sums(prediction, reference, code_language(language))
        assert (sums[19:21], sums[21:23]) == (row["trees"], row["edges"]), reference
        expected = Counter((variable, kind, tuple(sources)) for variable, kind, sources in row["flow"])
        assert flow_of(without_comments(reference), language) == expected, reference


@pytest.mark.parametrize("language", LANGUAGES)
def test_itself(language):
    # of programs shorter than four tokens the official script counts a 4-gram that is never matched
    codes = [reference for _, reference in PAIRS[language] if len(reference.split()) >= 4]
    scores = metrics.code_bleu_scores(codes, codes, language)
    assert scores.pop("without_dataflow") < len(codes)
    assert set(scores) == {"code_bleu", "ngram", "weighted_ngram", "syntax", "dataflow"}
    assert list(scores.values()) == pytest.approx([100.0] * 5)


def test_names_do_not_count_for_syntax_and_flow():
    code = "int f ( int abc ) { int x = abc ; return x + abc ; }"
    renamed = code.replace("abc", "n").replace("x", "other")
    scores = metrics.code_bleu_scores([renamed], [code], "java")
    assert scores["syntax"] == scores["dataflow"] == 100.0 and scores["ngram"] < 90
    other = metrics.code_bleu_scores(["int f ( int abc ) { int x = abc ; return x + x ; }"], [code], "java")
    assert other["syntax"] == 100.0 and other["dataflow"] < 100.0


def test_no_data_flow():
    code = "boolean f ( ) { return true ; }"
    scores = metrics.code_bleu_scores([code], [code], "java")
    assert (scores["dataflow"], scores["without_dataflow"]) == (0.0, 1)
    assert scores["code_bleu"] == pytest.approx(75.0)
    # C#'s literals of text have parts, at which the official script gives up; Java's had none
    assert not flow_of('class A { void F() { var x = 1; x = x; var s = "a"; } }', "c_sharp")
    assert flow_of('class A { void f ( ) { int x = 1 ; x = x ; String s = "a" ; } }', "java")
    deep = "int x = 1 ; x = " + "1 + " * 3000 + "x ;"  # deeper than Python's stack
    assert not flow_of(f"class A {{ void f ( ) {{ {deep} }} }}", "java")


@pytest.mark.parametrize(
    "code", ["", " ", "}}}}", "((((", "é ü = 漢字 ;", "\x00", "// only a comment", 'String s = "open']
)
@pytest.mark.parametrize("language", LANGUAGES)
def test_text_that_is_no_program(code, language):
    reference = PAIRS[language][0][1]
    scores = metrics.code_bleu_scores([code], [reference], language)
    assert 0 <= scores["code_bleu"] < 40
    assert 0 <= metrics.code_bleu_scores([reference], [code], language)["code_bleu"] <= 100


TOKENS = [
    "int",
    "x",
    "y",
    "=",
    "+",
    ";",
    "{",
    "}",
    "(",
    ")",
    "if",
    "else",
    "for",
    "while",
    "return",
    "1",
    '"a"',
    "'",
    "foreach",
    "in",
    "var",
    ".",
    "++",
]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(TOKENS)))
def test_any_tokens(tokens):
    code = " ".join(tokens)
    for language in LANGUAGES:
        scores = metrics.code_bleu_scores([code], [code], language)
        assert scores["syntax"] == 100.0
        assert scores["dataflow"] == (0.0 if scores["without_dataflow"] else 100.0)


def test_comments():
    assert without_comments('a = "// no /* comment" ; // one\nb') == 'a = "// no /* comment" ;  \nb'
    assert without_comments("a /* 1\n2 */ b\n\n  \nc") == "a   b\nc"
    assert without_comments("'\\'' // x") == "'\\''  "


def test_metric_of_texts():
    metric = text_metric("code_bleu", "java")
    texts, references = (list(side) for side in zip(*PAIRS["java"]))
    groups = [[reference, "ignored ;"] for reference in references]
    scores = metrics.code_bleu_scores(texts, references, "java")
    assert metric.compute(texts, groups) == pytest.approx(scores["code_bleu"])
    sums = metric.sums_of(texts, groups)
    parts = metric.parts(sums.sum(axis=0))
    assert parts == pytest.approx({name: value for name, value in scores.items() if name != "code_bleu"})
    low, high, _ = metric.bootstrap_ci(sums, resamples=200)
    assert low < scores["code_bleu"] < high


def test_errors(monkeypatch):
    with pytest.raises(UserError, match="languages java, c_sharp. Received: 'python'"):
        metrics.code_bleu_scores(["a"], ["a"], "python")
    with pytest.raises(UserError, match="at least one. Received: 2 predictions and 1"):
        metrics.code_bleu_scores(["a", "b"], ["a"], "java")
    monkeypatch.setitem(sys.modules, "tree_sitter_java", None)
    code_languages._parser.cache_clear()
    with pytest.raises(UserError, match="pip install tree-sitter-java"):
        metrics.code_bleu_scores(["a"], ["a"], "java")
