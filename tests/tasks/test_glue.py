"""GLUE: the table, and its two readers, the original files and TFDS' own builder fed with the same files."""

import os
import shutil

import numpy as np
import pytest

from tfllm import tasks
from tfllm.errors import DataError, UserError
from tfllm.tasks import glue

NAMES = ["cola", "sst2", "mrpc", "qqp", "stsb", "mnli", "qnli", "rte", "wnli", "ax"]


def test_table_is_complete():
    assert [name for name in tasks.names() if name.startswith("glue/")] == sorted(f"glue/{name}" for name in NAMES)
    rows = {name: tasks.get(f"glue/{name}").describe() for name in NAMES}
    for row in rows.values():
        assert all(row[key] for key in ("name", "kind", "sizes", "metric", "licence", "source", "description"))
    assert rows["mnli"]["kind"] == "classification (3)" and rows["stsb"]["kind"] == "regression"
    # Wang et al. 2019, table 1, and the sizes that TFDS states
    assert rows["qqp"]["sizes"] == {"train": 363846, "validation": 40430, "test": 390965}
    assert rows["mnli"]["sizes"]["test_mismatched"] == 9847
    metrics = {name: rows[name]["metric"] for name in NAMES}
    assert metrics == {
        "cola": "matthews_corrcoef",
        "sst2": "accuracy",
        "mrpc": "f1, accuracy",
        "qqp": "f1, accuracy",
        "stsb": "pearson, spearman",
        "mnli": "accuracy",
        "qnli": "accuracy",
        "rte": "accuracy",
        "wnli": "accuracy",
        "ax": "matthews_corrcoef",
    }


def test_label_order_and_fields_are_those_of_tfds():
    from tensorflow_datasets.text import glue as tfds_glue

    for config in tfds_glue.Glue.BUILDER_CONFIGS:
        if config.name in NAMES:
            task = tasks.get(f"glue/{config.name}")
            assert (list(task.labels) if task.labels else None) == config.label_classes
            assert list(task.text_fields) == list(config.text_features)


@pytest.fixture(scope="module")
def tfds_dir(glue_dir, tmp_path_factory):
    """TFDS' own GLUE builder, run on the files of `glue_dir` in place of its downloads."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.text import glue as tfds_glue

    class LocalFiles:
        def download_and_extract(self, url):
            return str(glue_dir)

        def download(self, urls):
            mrpc = {"dev_ids": "dev_ids.tsv", "train": "msr_paraphrase_train.txt", "test": "msr_paraphrase_test.txt"}
            return (
                {key: str(glue_dir / "MRPC" / name) for key, name in mrpc.items()}
                if isinstance(urls, dict)
                else str(glue_dir / "AX/AX.tsv")
            )

    out = tmp_path_factory.mktemp("tfds_glue")
    with tfds.core.registered.skip_registration():

        class Glue(tfds_glue.Glue):
            pkg_dir_path = out

            def _split_generators(self, dl_manager):
                return super()._split_generators(LocalFiles())

    for name in NAMES:
        Glue(config=name, data_dir=str(out)).download_and_prepare()
    return out


@pytest.mark.parametrize("name", NAMES)
def test_files_and_tfds_give_the_same_examples(name, glue_dir, tfds_dir):
    from_files = tasks.get(f"glue/{name}", data_dir=glue_dir)
    from_tfds = tasks.get(f"glue/{name}", data_dir=tfds_dir)
    for split in from_files.splits:
        if split == "diagnostic":
            continue
        ours, theirs = from_files.examples(split), from_tfds.examples(split)
        assert theirs.source.startswith("tfds:") and ours.source.startswith(str(glue_dir))
        assert ours.texts == theirs.texts
        assert ours.ids == theirs.ids
        assert (ours.labels is None) == (theirs.labels is None) == ("test" in split)
        assert ours.labels is None or ours.labels.tolist() == theirs.labels.tolist()
        assert ours.fingerprint == theirs.fingerprint
        assert ours.label_names == theirs.label_names == from_files.labels


def test_traps_of_the_original_files(glue_dir):
    cola = tasks.get("glue/cola", data_dir=glue_dir)
    assert cola.examples("train").texts == (['The "sailors" rode.', "The sailors rode the ", "I\u2028am here."],)
    assert cola.examples("train").labels.tolist() == [1, 0, 1]
    assert cola.examples("test").texts == (["Bill pushed.", 'Bill\'s "mother".'],)
    qqp = tasks.get("glue/qqp", data_dir=glue_dir).examples("train")
    assert qqp.report.skipped_lines == (3, 4) and qqp.ids == ["0", "3"]
    mnli = tasks.get("glue/mnli", data_dir=glue_dir)
    assert mnli.examples("train").labels.tolist() == [1, 0, 2] and mnli.examples("train").report.skipped == 1
    assert mnli.examples("validation") is mnli.examples("validation_matched")
    assert mnli.examples("validation_mismatched").texts[1][1] == "No mismatched site."
    mrpc = tasks.get("glue/mrpc", data_dir=glue_dir)
    assert mrpc.examples("validation").ids == ["0", "2"] and mrpc.examples("train").ids == ["1", "3"]
    ax = tasks.get("glue/ax", data_dir=glue_dir)
    assert ax.examples("test").labels is None
    assert (
        ax.examples("diagnostic").labels.tolist() == [2, 0]
        and ax.examples("diagnostic").texts == ax.examples("test").texts
    )
    assert "the official test split has 1104 rows, this source gave 2" in ax.examples("test").report.notes


def test_mnli_rows_without_a_gold_label_are_counted(glue_dir, tmp_path):
    shutil.copytree(glue_dir / "MNLI", tmp_path / "MNLI")
    with open(tmp_path / "MNLI/dev_matched.tsv", "a") as file:
        file.write("2\t3\t3n\tslate\tx\tx\tx\tx\ta\tb\tneutral\tneutral\tentailment\tentailment\tcontradiction\t-\n")
    examples = tasks.get("glue/mnli", data_dir=tmp_path).examples("validation")
    assert len(examples) == 2 and examples.report.skipped_lines == (4,)
    assert "1 rows skipped, label '-': line 4" in examples.report.notes


def test_mrpc_in_the_layout_of_glue(tmp_path):
    (tmp_path / "MRPC").mkdir()
    head = "#1 ID\t#2 ID\t#1 String\t#2 String\n"
    (tmp_path / "MRPC/train.tsv").write_text("Quality\t" + head + '1\t1\t2\t"a" b\tc\n')
    (tmp_path / "MRPC/dev.tsv").write_text("\ufeffQuality\t" + head + "0\t1\t2\td\te\n")
    (tmp_path / "MRPC/test.tsv").write_text("index\t" + head + "0\t1\t2\tf\tg\n")
    task = tasks.get("glue/mrpc", data_dir=tmp_path)
    assert task.examples("train").texts == (['"a" b'], ["c"]) and task.examples("train").labels.tolist() == [1]
    assert task.examples("validation").labels.tolist() == [0]
    assert task.examples("test").texts == (["f"], ["g"]) and task.examples("test").labels is None


def test_mrpc_needs_the_list_of_its_dev_set(glue_dir, tmp_path):
    shutil.copy(glue_dir / "MRPC/msr_paraphrase_train.txt", tmp_path)
    with pytest.raises(DataError, match="Expected dev_ids.tsv"):
        tasks.get("glue/mrpc", data_dir=tmp_path).examples("train")


def test_data_dir_may_be_the_task_s_own(glue_dir, tmp_path):
    whole = tasks.get("glue/sst2", data_dir=glue_dir).examples("train")
    assert tasks.get("glue/sst2", data_dir=glue_dir / "SST-2").examples("train").fingerprint == whole.fingerprint
    shutil.copytree(glue_dir / "SST-2", tmp_path / "my_sentiment")
    assert tasks.get("glue/sst2", data_dir=tmp_path / "my_sentiment").examples("train").fingerprint == whole.fingerprint
    # WNLI's files have the columns of RTE's: another task's directory is never taken.
    with pytest.raises(DataError, match="no file for the test split of glue/rte. Looked for: RTE/test.tsv"):
        tasks.get("glue/rte", data_dir=glue_dir / "WNLI").examples("test")


def test_files_of_other_names(glue_dir, tmp_path):
    (tmp_path / "QQP").mkdir()
    shutil.copy(glue_dir / "QQP/train.tsv", tmp_path / "QQP/subset.tsv")
    task = tasks.get(
        "glue/qqp", data_dir=tmp_path, files={"train": "subset.tsv", "validation": str(glue_dir / "QQP/dev.tsv")}
    )
    assert len(task.examples("train")) == 2
    assert task.examples("validation").report.notes[0] == "1 empty texts, kept"


@pytest.mark.parametrize(
    "options, message",
    [
        ({"source": "web"}, "source must be auto, files or tfds. Received: 'web'."),
        ({"source": "files"}, "source='files' and files= need data_dir="),
        ({"files": {"train": "x"}}, "source='files' and files= need data_dir="),
        ({"files": {"train": "x"}, "source": "tfds", "data_dir": "."}, "files= is for the original files"),
        ({"files": {"dev": "x"}}, "files= names the split 'dev'. Its splits are: train, validation, test."),
        ({"splits": 3}, "glue/sst2 has no option 'splits'. Its options are: data_dir, source, files."),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(UserError, match=message):
        tasks.get("glue/sst2", **options)


def test_wrong_places(tmp_path, glue_dir):
    with pytest.raises(DataError, match="there is no such directory. Expected GLUE's files, in SST-2/ for glue/sst2"):
        tasks.get("glue/sst2", data_dir=tmp_path / "none").examples("train")
    with pytest.raises(DataError, match="Looked for: SST-2/train.tsv, train.tsv."):
        tasks.get("glue/sst2", data_dir=tmp_path).examples("train")
    with pytest.raises(UserError, match="glue/mnli has no split 'dev'. Its splits are: train, validation_matched,"):
        tasks.get("glue/mnli", data_dir=glue_dir).examples("dev")


def test_bad_rows_of_a_benchmark_file(glue_dir, tmp_path):
    shutil.copytree(glue_dir / "STS-B", tmp_path / "STS-B")
    path = tmp_path / "STS-B/train.tsv"
    good = path.read_text()
    for bad, message in (
        (
            good.replace("3.800", "5.5"),
            "train.tsv:3: label out of range in column 'score'. Expected 0 to 5. Received: '5.5'.",
        ),
        (good[: good.index("\t3.800")], "train.tsv:3: the line is cut short: expected 10 fields"),
        (good.replace("score", "points"), "train.tsv:1: no column 'score'. The columns are: index, genre,"),
    ):
        path.write_text(bad)
        with pytest.raises(DataError, match=message):
            tasks.get("glue/stsb", data_dir=tmp_path).examples("train")


REAL_SIZES = {
    "cola": {"train": 8551, "validation": 1043},
    "sst2": {"train": 67349, "validation": 872, "test": 1821},
    "stsb": {"train": 5749, "validation": 1500, "test": 1379},
    "rte": {"train": 2490, "validation": 277},
    "wnli": {"train": 635, "validation": 71},
    "qqp": {"train": 23496, "validation": 2, "test": 1},
    "mnli": {"train": 480, "validation_matched": 2, "validation_mismatched": 2, "test_matched": 1},
}
REAL_FILES = {
    "qqp": {"train": "train_subset.tsv", "validation": "dev.slice.tsv", "test": "test.slice.tsv"},
    "mnli": {
        "train": "train_kshot_union.tsv",
        "validation_matched": "dev_matched.slice.tsv",
        "validation_mismatched": "dev_mismatched.slice.tsv",
        "test_matched": "test_matched.slice.tsv",
    },
}


@pytest.mark.real
@pytest.mark.parametrize("name", REAL_SIZES)
def test_real_files(name):
    root = os.environ.get("TFLLM_DATA", os.path.join(os.path.dirname(__file__), "..", "..", "..", "shared", "data"))
    data_dir = os.path.join(root, "glue")
    if not os.path.isdir(data_dir):
        pytest.skip(f"no benchmark files in {root}: set TFLLM_DATA")
    task = tasks.get(f"glue/{name}", data_dir=data_dir, files=REAL_FILES.get(name))
    for split, size in REAL_SIZES[name].items():
        examples = task.examples(split)
        assert len(examples) == examples.report.rows_read == size
        assert examples.report.skipped == 0
        assert all(text for column in examples.texts for text in column)
        assert (examples.labels is None) == ("test" in split)
        if examples.labels is not None and task.labels is not None and size > 10:
            assert set(np.unique(examples.labels)) == set(range(len(task.labels)))
    official = glue.TASKS[name].sizes
    assert (official["train"] == len(task.examples("train"))) == (name not in REAL_FILES)
