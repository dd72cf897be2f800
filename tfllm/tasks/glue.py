"""GLUE (Wang et al. 2019): its nine tasks and the diagnostic set AX, as a table, and their two readers.

The original files and TFDS give the same examples in the same order with the same ids (the 0-based row number in the
file), so the same fingerprint. Class order is that of TFDS and of Hugging Face's `datasets`.

Options of `tfllm.tasks.get("glue/...", data_dir=..., **options)`:

- `source`: `"files"`, `"tfds"`, or `"auto"` (default): TFDS without a data_dir, or where data_dir holds a prepared
  `glue/`; else files.
- `files`: split to file name (in the task's directory) or path, for files that are not called as in GLUE:
  `files={"train": "train_subset.tsv"}`.
- `skip_bad_rows`: leave damaged rows of files out, and count them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from tfllm.data.examples import Examples, ReadReport
from tfllm.data.sources import read_tsv
from tfllm.data.sources_tfds import read_tfds
from tfllm.errors import DataError
from tfllm.tasks import prompt_templates
from tfllm.tasks.benchmark_files import find_file, pick_source
from tfllm.tasks.registry import register
from tfllm.tasks.submission_file import TsvFile
from tfllm.tasks.task import Task

_GLUE = "Wang et al. 2019, GLUE: A Multi-Task Benchmark and Analysis Platform for Natural Language Understanding, ICLR"
_ENTAILMENT = ("entailment", "not_entailment")
_NLI = ("entailment", "neutral", "contradiction")
_BITS = ("0", "1")


@dataclass(frozen=True)
class GlueTask:
    """A line of the table.

    Attributes:
        folders: directories of the task in the GLUE download, the usual one first.
        text_fields: names of the texts, as in TFDS.
        columns: the text columns of the original files.
        label_column: the label column of the original files.
        labels: class names, `None` for STS-B's score.
        file_labels: what the files say for these; default: the names.
        metrics: the official ones, the main one first.
        sizes: official number of rows of each split.
        files: split to the names its file may have.
        submission: split to file name.
        skip_ragged: lines that are cut short are left out, as the official readers do.
    """

    folders: tuple[str, ...]
    text_fields: tuple[str, ...]
    columns: tuple[str, ...]
    label_column: str
    labels: tuple[str, ...] | None
    metrics: tuple[str, ...]
    sizes: Mapping[str, int]
    submission: Mapping[str, str]
    description: str
    licence: str
    source_url: str
    citation: str
    file_labels: tuple[str, ...] | None = None
    skip_ragged: bool = False
    drop_labels: tuple[str, ...] = ()
    split_aliases: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: {"train": ("train.tsv",), "validation": ("dev.tsv",), "test": ("test.tsv",)}
    )


def _sizes(train: int, validation: int, test: int) -> dict[str, int]:
    return {"train": train, "validation": validation, "test": test}


TASKS: dict[str, GlueTask] = {
    "cola": GlueTask(
        folders=("CoLA",),
        text_fields=("sentence",),
        columns=("sentence",),  # of test.tsv; the other two have no header, see _read_cola
        label_column="label",
        labels=("unacceptable", "acceptable"),
        file_labels=_BITS,
        metrics=("matthews_corrcoef",),
        sizes=_sizes(8551, 1043, 1063),
        submission={"test": "CoLA.tsv"},
        description="Is the sentence grammatically acceptable?",
        licence="unstated (published linguistics examples)",
        source_url="https://nyu-mll.github.io/CoLA/",
        citation="Warstadt, Singh and Bowman 2018, Neural Network Acceptability Judgments, arXiv:1805.12471",
    ),
    "sst2": GlueTask(
        folders=("SST-2",),
        text_fields=("sentence",),
        columns=("sentence",),
        label_column="label",
        labels=("negative", "positive"),
        file_labels=_BITS,
        metrics=("accuracy",),
        sizes=_sizes(67349, 872, 1821),
        submission={"test": "SST-2.tsv"},
        description="Is the phrase from a film review positive?",
        licence="unstated (research)",
        source_url="https://nlp.stanford.edu/sentiment/",
        citation="Socher et al. 2013, Recursive Deep Models for Semantic Compositionality, EMNLP",
    ),
    "mrpc": GlueTask(
        folders=("MRPC",),
        text_fields=("sentence1", "sentence2"),
        columns=("#1 String", "#2 String"),
        label_column="Quality",
        labels=("not_equivalent", "equivalent"),
        file_labels=_BITS,
        metrics=("f1", "accuracy"),
        sizes=_sizes(3668, 408, 1725),
        submission={"test": "MRPC.tsv"},
        description="Do two sentences from the news mean the same?",
        licence="Microsoft Research terms",
        source_url="https://www.microsoft.com/en-us/download/details.aspx?id=52398",
        citation="Dolan and Brockett 2005, Automatically Constructing a Corpus of Sentential Paraphrases, IWP",
        files={
            "train": ("train.tsv", "msr_paraphrase_train.txt"),
            "validation": ("dev.tsv", "msr_paraphrase_train.txt"),
            "test": ("test.tsv", "msr_paraphrase_test.txt"),
        },
    ),
    "qqp": GlueTask(
        folders=("QQP",),
        text_fields=("question1", "question2"),
        columns=("question1", "question2"),
        label_column="is_duplicate",
        labels=("not_duplicate", "duplicate"),
        file_labels=_BITS,
        metrics=("f1", "accuracy"),
        sizes=_sizes(363846, 40430, 390965),
        submission={"test": "QQP.tsv"},
        skip_ragged=True,
        description="Do two questions from Quora ask the same?",
        licence="Quora's terms (non-commercial)",
        source_url="https://data.quora.com/First-Quora-Dataset-Release-Question-Pairs",
        citation="Iyer, Dandekar and Csernai 2017, First Quora Dataset Release: Question Pairs",
    ),
    "stsb": GlueTask(
        folders=("STS-B",),
        text_fields=("sentence1", "sentence2"),
        columns=("sentence1", "sentence2"),
        label_column="score",
        labels=None,
        metrics=("pearson", "spearman"),
        sizes=_sizes(5749, 1500, 1379),
        submission={"test": "STS-B.tsv"},
        description="How alike are two sentences, from 0 to 5?",
        licence="CC BY-SA and others (LICENSE.txt in the data)",
        source_url="http://ixa2.si.ehu.es/stswiki/index.php/STSbenchmark",
        citation="Cer et al. 2017, SemEval-2017 Task 1: Semantic Textual Similarity, SemEval",
    ),
    "mnli": GlueTask(
        folders=("MNLI",),
        text_fields=("premise", "hypothesis"),
        columns=("sentence1", "sentence2"),
        label_column="gold_label",
        labels=_NLI,
        metrics=("accuracy",),
        sizes={
            "train": 392702,
            "validation_matched": 9815,
            "validation_mismatched": 9832,
            "test_matched": 9796,
            "test_mismatched": 9847,
        },
        split_aliases={"validation": "validation_matched", "test": "test_matched"},
        files={
            "train": ("train.tsv",),
            "validation_matched": ("dev_matched.tsv",),
            "validation_mismatched": ("dev_mismatched.tsv",),
            "test_matched": ("test_matched.tsv",),
            "test_mismatched": ("test_mismatched.tsv",),
        },
        submission={"test_matched": "MNLI-m.tsv", "test_mismatched": "MNLI-mm.tsv"},
        skip_ragged=True,
        drop_labels=("-",),  # the annotators did not agree
        description="Does the premise entail or contradict the hypothesis, or neither?",
        licence="OANC, CC BY 3.0 and CC BY-SA 3.0 (by genre)",
        source_url="https://cims.nyu.edu/~sbowman/multinli/",
        citation="Williams, Nangia and Bowman 2018, A Broad-Coverage Challenge Corpus, NAACL",
    ),
    "qnli": GlueTask(
        folders=("QNLI", "QNLIv2"),
        text_fields=("question", "sentence"),
        columns=("question", "sentence"),
        label_column="label",
        labels=_ENTAILMENT,
        metrics=("accuracy",),
        sizes=_sizes(104743, 5463, 5463),
        submission={"test": "QNLI.tsv"},
        description="Does the sentence hold the answer to the question?",
        licence="CC BY-SA 4.0 (SQuAD)",
        source_url="https://rajpurkar.github.io/SQuAD-explorer/",
        citation="Rajpurkar et al. 2016, SQuAD: 100,000+ Questions for Machine Comprehension of Text, EMNLP",
    ),
    "rte": GlueTask(
        folders=("RTE",),
        text_fields=("sentence1", "sentence2"),
        columns=("sentence1", "sentence2"),
        label_column="label",
        labels=_ENTAILMENT,
        metrics=("accuracy",),
        sizes=_sizes(2490, 277, 3000),
        submission={"test": "RTE.tsv"},
        description="Does the first text entail the second?",
        licence="unstated (research)",
        source_url="https://aclweb.org/aclwiki/Recognizing_Textual_Entailment",
        citation="Dagan et al. 2006, Bar Haim et al. 2006, Giampiccolo et al. 2007, Bentivogli et al. 2009",
    ),
    "wnli": GlueTask(
        folders=("WNLI",),
        text_fields=("sentence1", "sentence2"),
        columns=("sentence1", "sentence2"),
        label_column="label",
        labels=("not_entailment", "entailment"),
        file_labels=_BITS,
        metrics=("accuracy",),
        sizes=_sizes(635, 71, 146),
        submission={"test": "WNLI.tsv"},
        description="Does the text entail the sentence whose pronoun was replaced?",
        licence="CC BY 4.0",
        source_url="https://cs.nyu.edu/~davise/papers/WinogradSchemas/WS.html",
        citation="Levesque, Davis and Morgenstern 2012, The Winograd Schema Challenge, KR",
    ),
    "ax": GlueTask(
        folders=("AX", "diagnostic"),
        text_fields=("premise", "hypothesis"),
        columns=("sentence1", "sentence2"),
        label_column="Label",
        labels=_NLI,
        metrics=("matthews_corrcoef",),
        sizes={"test": 1104, "diagnostic": 1104},
        split_aliases={"validation": "diagnostic"},
        files={"test": ("AX.tsv", "diagnostic.tsv"), "diagnostic": ("diagnostic-full.tsv",)},
        submission={"test": "AX.tsv"},
        description="Diagnostic set for models trained on MNLI; split diagnostic has the labels (diagnostic-full.tsv)",
        licence="unstated (GLUE)",
        source_url="https://gluebenchmark.com/diagnostics",
        citation=_GLUE,
    ),
}

# These are handed in by class name, the others by 0 and 1.
_BY_NAME = ("mnli", "ax", "qnli", "rte")

_SPLIT_NOTES = {"diagnostic": "labelled, original files only"}


def make(
    key: str,
    data_dir: str | os.PathLike | None = None,
    source: str = "auto",
    files: Mapping[str, str] | None = None,
    skip_bad_rows: bool = False,
) -> Task:
    """The task `glue/<key>`. See the head of this module for the options."""
    entry = TASKS[key]
    name = f"glue/{key}"
    prepared = os.path.join("glue", key)
    data_dir, source = pick_source(name, data_dir, source, files, entry.files, entry.folders[0], prepared)
    if source == "tfds":
        read = partial(_read_from_tfds, key, data_dir)
    else:
        read = partial(_read_from_files, key, data_dir, dict(files or {}), skip_bad_rows)
    by_name = key in _BY_NAME
    return Task(
        name=name,
        kind="regression" if entry.labels is None else "classification",
        text_fields=entry.text_fields,
        read=read,
        metrics=entry.metrics,
        main_metric=entry.metrics[0],
        labels=entry.labels,
        label_range=(0.0, 5.0) if entry.labels is None else None,
        splits={
            split: _SPLIT_NOTES.get(split, "no labels" if split in entry.submission else "labelled")
            for split in entry.files
        },
        sizes=entry.sizes,
        split_aliases=entry.split_aliases,
        licence=entry.licence,
        source_url=entry.source_url,
        description=entry.description,
        citation=f"{entry.citation}; {_GLUE}" if entry.citation != _GLUE else _GLUE,
        submission=TsvFile(entry.submission, _BITS if entry.labels and not by_name else None, decimals=3),
        prompt=prompt_templates.GLUE.get(key),
    )


def _read_from_tfds(key: str, data_dir: str | None, split: str) -> Examples:
    entry = TASKS[key]
    label_range = (0.0, 5.0) if entry.labels is None and split not in entry.submission else None
    return read_tfds(
        f"glue/{key}", split, text=entry.text_fields, labels=entry.labels, label_range=label_range, data_dir=data_dir
    )


def _read_from_files(key: str, data_dir: str, files: Mapping[str, str], skip_bad_rows: bool, split: str) -> Examples:
    entry = TASKS[key]
    others = {name: other.folders for name, other in TASKS.items()}
    path = find_file(
        "GLUE", f"glue/{key}", data_dir, entry.folders, entry.files[split], files.get(split), split, others
    )
    is_test = split in entry.submission
    options = {
        "kind": "regression" if entry.labels is None else "classification",
        "labels": entry.file_labels or entry.labels,
        "label_range": (0.0, 5.0) if entry.labels is None else None,
        "label_optional": is_test,
        "drop_labels": entry.drop_labels,
        "skip_ragged": entry.skip_ragged,
        "skip_bad_rows": skip_bad_rows,
    }
    if key == "cola" and not is_test:  # source, label, the author's own mark, sentence; no header
        examples = read_tsv(path, header=False, text=3, label=1, **options)
    elif split == "diagnostic":
        examples = read_tsv(path, text=("Premise", "Hypothesis"), label=entry.label_column, **options)
    elif os.path.basename(path).startswith("msr_paraphrase"):
        examples = _read_msr_paraphrase(path, split, entry, options)
    else:
        examples = read_tsv(path, text=entry.columns, label=entry.label_column, **options)
    return replace(examples, label_names=entry.labels)


def _read_msr_paraphrase(path: str, split: str, entry: GlueTask, options: dict) -> Examples:
    """Microsoft's own MRPC files: GLUE's dev set is the part of the train file that dev_ids.tsv lists."""
    if split == "test":  # Microsoft's test file has labels; in GLUE (and TFDS) its test split has none
        return read_tsv(path, text=entry.columns, **options)
    examples = read_tsv(path, text=entry.columns, label=entry.label_column, **options)
    ids = read_tsv(path, text=("#1 ID", "#2 ID"), skip_bad_rows=options["skip_bad_rows"])
    pair_of = dict(zip(ids.ids, zip(*ids.texts)))  # by row number: a row may be left out for its label
    pairs = [pair_of[row] for row in examples.ids]
    directory = os.path.dirname(path)
    listed = [
        os.path.join(directory, name)
        for name in ("dev_ids.tsv", "mrpc_dev_ids.tsv")
        if os.path.isfile(os.path.join(directory, name))
    ]
    if not listed:
        raise DataError(
            path,
            None,
            "GLUE's dev set is a part of this file. Expected dev_ids.tsv (GLUE's mrpc_dev_ids.tsv) beside it.",
        )
    dev = set(zip(*read_tsv(listed[0], header=False, text=(0, 1)).texts))
    rows = [row for row, pair in enumerate(pairs) if (pair in dev) == (split == "validation")]
    if not rows:
        raise DataError(
            listed[0], None, f"no row of {path} belongs to the {split} split by this list. Check that both are MRPC's."
        )
    return replace(
        examples,
        texts=tuple([column[row] for row in rows] for column in examples.texts),
        labels=examples.labels[rows],
        ids=[examples.ids[row] for row in rows],
        report=ReadReport(
            len(rows) + examples.report.skipped,
            examples.report.skipped_lines,
            (
                *examples.report.notes,
                f"the {split} part of {examples.report.rows_read} rows, by {os.path.basename(listed[0])}",
            ),
        ),
    )


for _key in TASKS:
    register(f"glue/{_key}", partial(make, _key))
