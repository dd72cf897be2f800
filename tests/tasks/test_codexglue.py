"""CodeXGLUE: readers of its original layouts, prediction files, and the TFDS builder over the same readers."""

import gzip
import json
import zipfile

import benchmark_files
import numpy as np
import pytest

from tfllm import metrics, tasks
from tfllm.errors import DataError, UserError
from tfllm.metrics.text_scores import text_metric
from tfllm.tasks.codexglue import tfds_builder

LANGUAGE = "go"


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def json_lines(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


def function(url, name):
    return {
        "url": url, "code_tokens": ["func", name, "(", ")", "\n", "}"], "docstring_tokens": [name, "does\n", "it", "."],
        "docstring": "unused",
    }  # fmt: skip


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """The repository's directories, a few rows each, as they are downloaded."""
    root = tmp_path_factory.mktemp("CodeXGLUE")
    devign = root / "Code-Code/Defect-detection/dataset"
    write(
        devign / "function.json",
        json.dumps([{"func": f"int f{i};\n", "target": i % 2, "project": "q"} for i in range(5)]),
    )
    for split, rows in (("train", "3\n1\n0\n"), ("valid", "2\n"), ("test", "4\n")):
        write(devign / f"{split}.txt", rows)
    clones = root / "Code-Code/Clone-detection-BigCloneBench/dataset"
    write(clones / "data.jsonl", json_lines(*({"func": f"void g{i}() {{}}", "idx": str(i)} for i in (13, 14, 15))))
    for split, rows in (("train", "13\t14\t1\n15\t13\t0\n"), ("valid", "14\t15\t0\n"), ("test", "15\t15\t1\n")):
        write(clones / f"{split}.txt", rows)
    query = root / "Text-Code/NL-code-search-WebQuery/data"
    pair = {"idx": "q-0", "doc": "sort a list", "code": "def f(x):\n    return sorted(x)"}
    write(query / "cosqa-train.json", json.dumps([{**pair, "label": 1}, {**pair, "idx": "q-1", "label": 0}], indent=1))
    write(query / "cosqa-dev.json", json.dumps([{**pair, "label": 0}]))
    write(query / "test_webquery.json", json.dumps([pair]))
    for size in ("small", "medium"):
        for split in ("train", "valid", "test"):
            write(root / f"Code-Code/code-refinement/data/{size}/{split}.buggy-fixed.buggy", "a ( ) ; \nb ( ) ; \n")
            write(root / f"Code-Code/code-refinement/data/{size}/{split}.buggy-fixed.fixed", "a ( 1 ) ; \nb ( 2 ) ; \n")
    for split in ("train", "valid", "test"):
        write(root / f"Code-Code/code-to-code-trans/data/{split}.java-cs.txt.java", "void f() {}\n")
        write(root / f"Code-Code/code-to-code-trans/data/{split}.java-cs.txt.cs", "void F() {}\n")
    concode = root / "Text-Code/text-to-code/dataset/concode"
    for split in ("train", "dev", "test"):
        write(
            concode / f"{split}.json",
            json_lines({"nl": "count concode_field_sep int n", "code": "" if split == "test" else "n"}),
        )
    for split in ("train", "dev", "test"):
        for side in ("da", "en"):
            write(root / f"Text-Text/text-to-text/data/{split}/da-en.{split}.{side}", f"{side} {split}\n")
    summaries = root / "Code-Text/code-to-text/dataset"
    for split, urls in (("train", "u2\nu1\n"), ("valid", "u3\n"), ("test", "u4\n")):
        write(summaries / LANGUAGE / f"{split}.txt", urls)
    for number, split in enumerate(("train", "valid", "test")):
        records = [function(f"u{i}", f"f{i}") for i in ((1, 2), (3,), (4,))[number]]
        write(summaries / LANGUAGE / f"final/jsonl/{split}/go_{split}_0.jsonl.gz", json_lines(*records))
    search = root / "Text-Code/NL-code-search-Adv/dataset"
    for split in ("train", "valid", "test"):
        write(
            search / f"{split}.jsonl",
            json_lines({**function(f"{split}0", "f"), "idx": 7}, {**function(f"{split}1", "g"), "idx": 9}),
        )
    write(search / "test_code.jsonl", json_lines({"url": "test0", "function_tokens": ["def", "Func"]}))
    programs = root / "Code-Code/Clone-detection-POJ-104/dataset/ProgramData"
    for problem in range(1, 105):
        for number in (1, 2, 10):
            write(programs / str(problem) / f"{number}.txt", f"int main(){{/*{problem} {number}*/}}")
    (programs / "81" / "1.txt").write_bytes(b"// caf\xe9")
    for mode in ("all", "maxmin"):
        cloze = root / f"Code-Code/ClozeTesting-{mode}"
        item = {"nl_tokens": ["the", "largest"], "pl_tokens": ["return", "<mask>", "(", "x", ")"]}
        write(cloze / f"data/cloze-{mode}/{LANGUAGE}/clozeTest.json", json.dumps([{"idx": f"{mode}-1", **item}]))
        write(cloze / f"evaluator/answers/{LANGUAGE}/answers.txt", f"{mode}-1<CODESPLIT>max\n")
    write(root / "Code-Code/ClozeTesting-all/data/cloze-all/cloze_test_words.txt", "min\nmax\nsort\n")
    tokens = root / "Code-Code/CodeCompletion-token/dataset"
    for name, split in (("train", "training"), ("dev", "validation"), ("test", "test")):
        write(tokens / f"py150/token_completion/{name}.txt", "<s> import a <EOL> a . b </s>\n<s> x </s>\n")
        write(tokens / f"javaCorpus/token_completion/java_{split}_pre", "<s> package a ; </s>\n")
    for name in ("py150", "javaCorpus"):
        lines = root / f"Code-Code/CodeCompletion-line/dataset/{name}/line_completion/test.json"
        write(lines, json_lines({"id": 5, "input": "<s> a =", "gt": "<NUM_LIT:1>"}))
    return root


def get(name, root, **options):
    return tasks.get(f"codexglue/{name}", data_dir=root, **options)


def test_devign(repository):
    train = get("devign", repository).examples("train")
    assert train.ids == ["3", "1", "0"] and train.labels.tolist() == [1, 1, 0] and train.texts[0][0] == "int f3;\n"
    assert (
        get("devign", repository / "Code-Code/Defect-detection/dataset").examples("train").fingerprint
        == train.fingerprint
    )
    task = get("devign", repository)
    assert task.submission.content(task, np.array([[0.0, 1.0]]), task.examples("test")) == "4\t1\n"


def test_bigclonebench(repository):
    task = get("bigclonebench", repository)
    train = task.examples("train")
    assert train.texts == (["void g13() {}", "void g15() {}"], ["void g14() {}", "void g13() {}"])
    assert train.labels.tolist() == [1, 0] and task.metrics == ("f1", "accuracy")
    assert task.submission.content(task, np.array([1]), task.examples("validation")) == "14\t15\t1\n"
    assert task.strategy.rows(task, np.zeros((1, 2)), task.examples("validation"))[0]["second"] == "15"


def test_webquery(repository):
    task = get("webquery", repository)
    assert task.examples("train").labels.tolist() == [1, 0] and task.examples("train").ids == ["q-0", "q-1"]
    assert not task.labelled("test") and task.examples("test").texts[0] == ["sort a list"]


def test_generated_texts(repository):
    for name, source, target in (
        ("refinement_small", "a ( ) ;", "a ( 1 ) ;"),
        ("refinement_medium", "a ( ) ;", "a ( 1 ) ;"),
        ("translation_java_cs", "void f() {}", "void F() {}"),
        ("translation_cs_java", "void F() {}", "void f() {}"),
        ("concode", "count concode_field_sep int n", "n"),
        ("documentation_da_en", "da train", "en train"),
        ("documentation_en_da", "en train", "da train"),
        ("summarization_go", "func f2 ( ) }", "f2 does it ."),
    ):
        train = get(name, repository).examples("train")
        assert (train.texts[0][0], train.columns["references"][0]) == (source, (target,)), name
    assert not get("concode", repository).labelled("test")
    task = get("summarization_go", repository, num_beams=10)
    assert task.strategy.generation == {"num_beams": 10}
    assert task.submission.content(task, ["it does\nthis"], task.examples("test")) == "0\tit does this\n"
    scores = task.score_split(["f4 does it ."], "test", confidence_interval=False)
    assert scores == {"sentence_bleu": pytest.approx(100.0), "n": 1}
    task = get("refinement_small", repository)
    assert task.score_split(["a ( 1 ) ; ", "b"], "test", confidence_interval=False)["exact_match"] == 50.0


def test_preprocessed_and_downloaded_codesearchnet_are_the_same(repository, tmp_path):
    write(tmp_path / "go/train.jsonl", json_lines(function("u2", "f2"), function("u1", "f1")))
    ready = get("summarization_go", tmp_path).examples("train")
    assert ready.fingerprint == get("summarization_go", repository).examples("train").fingerprint
    write(tmp_path / "go/test.txt", "u9\n")
    write(tmp_path / "go/final/jsonl/test/go_test_0.jsonl.gz", json_lines(function("u4", "f4")))
    with pytest.raises(DataError, match="test.txt:1: none of 1 files of CodeSearchNet has 'u9'"):
        get("summarization_go", tmp_path).examples("test")


def test_poj104(repository):
    task = get("poj104", repository)
    validation = task.examples("validation")
    assert len(validation) == 16 * 3 and validation.columns["group"][:4] == ["65", "65", "65", "66"]
    assert validation.ids[0] == str(64 * 3) and validation.texts[0][2].endswith("65 10*/}")  # by number, not by name
    assert task.examples("test").texts[0][0] == "// café"


def test_advtest(repository):
    task = get("advtest", repository)
    assert task.examples("train").texts == (["f does it .", "g does it ."], ["func f ( ) }", "func g ( ) }"])
    test = task.examples("test")  # the function with its names replaced, where there is one
    assert test.texts[1] == ["def Func", "func g ( ) }"] and test.ids == ["7", "9"]
    from tfllm.tasks.retrieval import Rankings

    outputs = Rankings(np.array([1.0, 0.5]), np.array([[0, 1], [0, 1]]))
    assert task.score_split(outputs, "test")["mrr"] == 0.75
    assert json.loads(task.submission.content(task, outputs, test).splitlines()[1]) == {
        "url": "test1",
        "answers": [7, 9],
    }


def test_cloze(repository):
    task = get("cloze_all_go", repository)
    examples = task.examples("test")
    assert examples.label_names == ("min", "max", "sort") and examples.labels.tolist() == [1]
    assert examples.texts == (["the largest"], ["return <mask> ( x )"])
    outputs = np.array([[0.0, 2.0, -np.inf]])
    scores = task.score_split(outputs, "validation")
    assert scores["accuracy"] == 1.0 and scores["candidates_without_token"] == 1
    assert task.submission.content(task, outputs, examples) == "all-1<CODESPLIT>max\n"
    assert get("cloze_maxmin_go", repository).examples("test").labels.tolist() == [0]


def test_completion(repository):
    task = get("completion_token_py150", repository)
    assert task.examples("train").texts[0][0] == "<s> import a <EOL> a . b </s>"
    assert get("completion_token_javacorpus", repository).examples("train").texts[0] == ["<s> package a ; </s>"]
    line = get("completion_line_py150", repository)
    assert line.examples("test").ids == ["5"] and line.strategy.keep_end
    scores = line.score_split(["1"], "test", confidence_interval=False)
    assert scores["line_exact_match"] == 100.0 and scores["edit_similarity"] == 100.0


@pytest.mark.parametrize(
    "name, split, file, damage, message",
    [
        ("devign", "train", "Code-Code/Defect-detection/dataset/train.txt", "1\nx\n0\n", r"train.txt:2: expected a row number"),
        ("devign", "train", "Code-Code/Defect-detection/dataset/train.txt", "1\n99\n0\n", r"train.txt:2: expected a row number"),
        (
            "bigclonebench", "train", "Code-Code/Clone-detection-BigCloneBench/dataset/train.txt", "13\t14\t1\n13\t99\t0\n",
            r"train.txt:2: .* has no function '99'",
        ),
        (
            "webquery", "train", "Text-Code/NL-code-search-WebQuery/data/cosqa-train.json",
            json.dumps([{"doc": "a", "code": "b", "label": 1}, {"doc": "a", "label": 1}]), r"cosqa-train.json:2: no 'code'",
        ),
        (
            "concode", "train", "Text-Code/text-to-code/dataset/concode/train.json", '{"nl": "a", "code": "b"}\n{"nl": \n',
            r"train.json:2: broken JSON",
        ),
        (
            "summarization_go", "train", "Code-Text/code-to-text/dataset/go/train.jsonl",
            json_lines(function("u", "f"), {"code_tokens": "text", "docstring_tokens": []}),
            r"train.jsonl:2: 'code_tokens' must be a list of texts",
        ),
        (
            "completion_token_py150", "train", "Code-Code/CodeCompletion-token/dataset/py150/token_completion/train.txt",
            "<s> a </s>\nimport a\n", r"train.txt:2: expected code tokens from <s> to </s>",
        ),
    ],
)  # fmt: skip
def test_damaged_rows(name, split, file, damage, message, repository, tmp_path):
    import shutil

    folder = file.rsplit("/", 1)[0]
    shutil.copytree(repository / folder, tmp_path / folder)
    write(tmp_path / file, damage)
    with pytest.raises(DataError, match=message):
        get(name, tmp_path).examples(split)
    examples = get(name, tmp_path, skip_bad_rows=True).examples(split)
    assert examples.report.skipped == 1 and examples.report.rows_read == len(examples) + 1
    assert any("damaged rows left out" in note for note in examples.report.notes)


def test_missing_files_and_options(repository, tmp_path):
    with pytest.raises(DataError, match="no file for the train split of codexglue/devign. Looked for: .*function.json"):
        get("devign", tmp_path).examples("train")
    with pytest.raises(UserError, match="give data_dir="):
        tasks.get("codexglue/devign").examples("train")
    with pytest.raises(UserError, match="codexglue/devign has no option 'num_beams'"):
        get("devign", repository, num_beams=2)


def test_all_14_datasets_of_10_tasks_are_there():
    names = [name for name in tasks.names() if name.startswith("codexglue/")]
    groups = {name.split("/")[1].split("_")[0] for name in names}
    assert groups == {
        "devign", "bigclonebench", "poj104", "cloze", "completion", "refinement", "translation", "webquery", "advtest",
        "concode", "summarization", "documentation",
    }  # fmt: skip
    for name in names:
        described = tasks.get(name).describe()
        assert described["licence"] == "C-UDA" and described["sizes"] and "github.com/microsoft" in described["source"]


@pytest.mark.parametrize("name", ["devign", "bigclonebench", "refinement_small", "advtest", "cloze_all_go", "concode"])
def test_tfds_gives_the_examples_of_the_files(name, repository, tmp_path):
    tfds_builder.prepare(f"codexglue/{name}", files=repository, data_dir=tmp_path)
    ready, files = get(name, tmp_path), get(name, repository)
    for split in files.splits:
        examples, expected = ready.examples(split), files.examples(split)
        assert examples.source.startswith("tfds:") and examples.fingerprint == expected.fingerprint
        assert examples.texts == expected.texts and examples.label_names == expected.label_names
        assert ready.labelled(split) == files.labelled(split)
    with pytest.raises(UserError, match="must hold the split"):
        get("webquery", tmp_path, source="tfds").examples("train")


@pytest.mark.real
def test_published_predictions_of_code_translation():
    """CodeXGLUE's README: BLEU 77.46, accuracy 56.1 (RoBERTa (code), Java to C#)."""
    root = benchmark_files.path("codexglue")
    predictions = [
        t.strip() for t in benchmark_files.lines("codexglue/code-to-code-trans/saved_models/java-cs-model1.output")
    ]
    gold = benchmark_files.lines("codexglue/code-to-code-trans/saved_models/java-cs-model1.gold")
    assert round(metrics.smoothed_corpus_bleu(predictions, gold), 2) == 77.46
    assert text_metric("exact_match").compute(predictions, [[text] for text in gold]) == pytest.approx(56.1)
    # The repository's test file was revised since: 7 of its 1000 lines are other ones.
    task = get("translation_java_cs", root)
    references = task.examples("test").columns["references"]
    assert sum(group[0].split() != text.split() for group, text in zip(references, gold)) == 7
    assert task.score_split(predictions, "test", confidence_interval=False)["exact_match"] == pytest.approx(56.1)


@pytest.mark.real
def test_code_bleu_of_the_published_predictions():
    """README: 83.07, made with a C# grammar of 2020, whose trees are others; this pins what the pinned grammar gives."""
    predictions, gold = (
        benchmark_files.lines(f"codexglue/code-to-code-trans/saved_models/java-cs-model1.{name}")
        for name in ("output", "gold")
    )
    assert metrics.code_bleu_scores(predictions, gold, "c_sharp") == {
        "code_bleu": pytest.approx(82.489, abs=1e-3),
        "ngram": pytest.approx(77.446, abs=1e-3),
        "weighted_ngram": pytest.approx(78.157, abs=1e-3),
        "syntax": pytest.approx(86.197, abs=1e-3),
        "dataflow": pytest.approx(88.157, abs=1e-3),
        "without_dataflow": 250,
    }


def test_code_bleu_of_the_tasks(repository):
    for name, language in (("translation_java_cs", "c_sharp"), ("translation_cs_java", "java"), ("concode", "java")):
        task = get(name, repository)
        split = next(split for split in ("test", "validation", "train") if task.labelled(split))
        references = [group[0] for group in task.examples(split).columns["references"]]
        outputs = ["int f ( int x ) { return x ; }" for _ in references]
        scores = task.score_split(outputs, split)
        expected = metrics.code_bleu_scores(outputs, references, language)
        assert scores["code_bleu"] == pytest.approx(expected["code_bleu"])
        assert scores["parts"]["code_bleu"] == pytest.approx({k: v for k, v in expected.items() if k != "code_bleu"})
        assert scores["official"]["code_bleu syntax"] == scores["parts"]["code_bleu"]["syntax"]
        low, high = scores["ci95"]["code_bleu"]
        assert low <= scores["code_bleu"] <= high and scores["n"] == len(references)


@pytest.mark.real
def test_naive_copies():
    """README: 78.06 for small refinement. For translation it says 18.54 and 18.69, of data that are in the repository no more."""
    for name, expected in (("refinement_small", 78.06), ("translation_java_cs", 18.72), ("translation_cs_java", 18.58)):
        task = get(name, benchmark_files.path("codexglue"))
        scores = task.score_split(task.examples("test").texts[0], "test", confidence_interval=False)
        assert round(scores["smoothed_bleu"], 2) == expected and scores["exact_match"] == 0.0


@pytest.mark.real
def test_original_files_have_their_official_sizes():
    root = benchmark_files.path("codexglue")
    for name, split in (
        ("refinement_small", "validation"), ("refinement_small", "test"), ("translation_java_cs", "train"),
        ("concode", "validation"), ("documentation_lv_en", "train"), ("documentation_en_no", "test"),
        ("cloze_maxmin_go", "test"), ("cloze_maxmin_php", "test"), ("cloze_maxmin_ruby", "test"), ("webquery", "validation"),
    ):  # fmt: skip
        task = get(name, root)
        assert len(task.examples(split)) == task.sizes[split] and task.examples(split).report.notes == (), name


@pytest.mark.real
def test_slices_of_the_downloaded_layouts(tmp_path):
    for name, slice, rows in (
        ("bigclonebench", "cc_clone_detection_big_clone_bench.default", 3),
        ("completion_token_javacorpus", "cc_code_completion_token.java", 3),
    ):
        with zipfile.ZipFile(
            benchmark_files.path(f"codexglue_hf_slices/code_x_glue_{slice}.dummy_data.zip")
        ) as archive:
            archive.extractall(tmp_path / slice)
        assert len(get(name, tmp_path / slice / "dummy_data").examples("train")) == rows
    with zipfile.ZipFile(
        benchmark_files.path("codexglue_hf_slices/code_x_glue_ct_code_to_text.go.dummy_data.zip")
    ) as archive:
        archive.extractall(tmp_path / "go")
    inside = tmp_path / "go/dummy_data"
    (inside / "go.zip/go").rename(inside / "dataset.zip/dataset/go/go")
    examples = get("summarization_go", inside / "dataset.zip/dataset").examples("test")
    assert len(examples) == 2 and examples.texts[0][0].startswith("func mustWaitPinReady ( t * testing . T ,")
