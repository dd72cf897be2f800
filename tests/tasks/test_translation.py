"""Multi30k, WMT and parallel files as tasks."""

import gzip
from typing import ClassVar

import benchmark_files
import pytest

from tfllm import metrics, tasks
from tfllm.errors import DataError, UserError
from tfllm.tasks.wmt import PAIRS


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


@pytest.fixture
def wmt(tmp_path):
    write(tmp_path / "training" / "europarl-v7.de-en.de", "Hallo", "Welt")
    write(tmp_path / "training" / "europarl-v7.de-en.en", "Hello", "world")
    write(tmp_path / "training" / "commoncrawl.de-en.de.gz", "Baum")
    write(tmp_path / "training" / "commoncrawl.de-en.en.gz", "tree")
    write(tmp_path / "training" / "newstest2013.de-en.de", "is no training data")
    write(tmp_path / "training" / "newstest2013.de-en.en", "is no training data")
    write(tmp_path / "dev" / "newstest2013.de", "Haus")
    write(tmp_path / "dev" / "newstest2013.en", "house")
    for side, kind, text in (("de", "src", "Hund &amp; Katze"), ("en", "ref", "dog &amp; cat")):
        write(
            tmp_path / "test" / f"newstest2014-deen-{kind}.{side}.sgm", "<doc>", f'<seg id="1">{text}</seg>', "</doc>"
        )
    return tmp_path


def test_wmt_of_files(wmt):
    task = tasks.get("translation/wmt14_de_en", data_dir=wmt)
    train = task.examples("train")
    assert train.texts == (["Baum", "Hallo", "Welt"],)  # corpora by name, the test set among them left out
    assert train.columns["references"] == [("tree",), ("Hello",), ("world",)]
    assert task.examples("validation").columns["references"] == [("house",)]
    assert task.examples("test").texts == (["Hund & Katze"],) and task.labelled("test")
    other = tasks.get("translation/wmt14_en_de", data_dir=wmt)
    assert other.examples("train").texts == (["tree", "Hello", "world"],)
    with pytest.raises(
        DataError, match=r"no files for the test split of translation/wmt14_en_de. Looked for: newstest2014-ende"
    ):
        other.examples("test")  # German to English was translated for this set


def test_wmt_with_files_given(wmt):
    paths = ("test/a", "test/b", "test/c")
    for path, text in zip(paths, ("Hund", "dog", "hound")):
        write(wmt / path, text)
    task = tasks.get("translation/wmt14_de_en", data_dir=wmt, files={"test": paths})
    assert task.examples("test").columns["references"] == [("dog", "hound")]
    with pytest.raises(UserError, match="gives a source and one or more references. Received: 'a' for test"):
        tasks.get("translation/wmt14_de_en", data_dir=wmt, files={"test": "a"})
    with pytest.raises(UserError, match="has no option 'promt'. For texts there are: prompt"):
        tasks.get("translation/wmt14_de_en", data_dir=wmt, promt="x")


def test_wmt_of_several_references(tmp_path):
    write(tmp_path / "newstest2021.en-cs.src.en", "a dog", "a cat")
    write(tmp_path / "newstest2021.en-cs.ref.A.cs", "pes", "kočka")
    write(tmp_path / "newstest2021.en-cs.ref.B.cs", "psík", "kočička")
    task = tasks.get("translation/wmt21_en_cs", data_dir=tmp_path)
    assert task.examples("test").columns["references"] == [("pes", "psík"), ("kočka", "kočička")]
    scores = task.score_split(["psík", "kočka"], "test")
    assert scores["chrf"] == 100.0 and scores["signature"]["bleu"].startswith("nrefs:2|")


def test_wmt_has_every_pair_of_tfds():
    from tensorflow_datasets import translate

    theirs = {
        (year, config.name)
        for year in range(13, 20)
        for config in getattr(translate, f"Wmt{year}Translate").BUILDER_CONFIGS
    }
    assert theirs == set(PAIRS)
    names = set(tasks.names())
    for year, pair in PAIRS:
        one, other = pair.split("-")
        assert {f"translation/wmt{year}_{one}_{other}", f"translation/wmt{year}_{other}_{one}"} <= names


def test_wmt_of_tfds_gives_the_examples_of_the_files(wmt, tmp_path):
    """A prepared directory of TFDS, written by TFDS itself from the same sentences."""
    tfds = pytest.importorskip("tensorflow_datasets")
    files = tasks.get("translation/wmt14_de_en", data_dir=wmt)

    with tfds.core.registered.skip_registration():

        class Wmt14Translate(tfds.core.GeneratorBasedBuilder):
            name = "wmt14_translate"
            VERSION = tfds.core.Version("1.0.0")
            BUILDER_CONFIGS: ClassVar = [tfds.core.BuilderConfig(name="de-en", version="1.0.0")]

            def _info(self):
                return tfds.core.DatasetInfo(builder=self, features=tfds.features.Translation(("de", "en")))

            def _split_generators(self, dl_manager):
                return {split: self._generate_examples(split) for split in ("train", "validation", "test")}

            def _generate_examples(self, split):
                examples = files.examples(split)
                for row, (text, group) in enumerate(zip(examples.texts[0], examples.columns["references"])):
                    yield row, {"de": text, "en": group[0]}

    Wmt14Translate(config="de-en", data_dir=tmp_path / "tfds").download_and_prepare()
    # TFDS reads a directory by its files, without the builder's code.
    task = tasks.get("translation/wmt14_de_en", data_dir=tmp_path / "tfds")
    for split in task.splits:
        both = [sorted(zip(e.texts[0], e.columns["references"])) for e in (task.examples(split), files.examples(split))]
        assert both[0] == both[1] and task.examples(split).source.startswith("tfds:")


def test_multi30k(tmp_path):
    write(tmp_path / "train.en.gz", "A man", "A dog")
    write(tmp_path / "train.de.gz", "Ein Mann", "Ein Hund")
    write(tmp_path / "test_2016_flickr.en", "A cat")
    write(tmp_path / "test_2016_flickr.de", "Eine Katze")
    task = tasks.get("translation/multi30k_de_en", data_dir=tmp_path, num_beams=2, max_target=40)
    assert task.examples("train").texts == (["Ein Mann", "Ein Hund"],)
    assert task.strategy.generation == {"num_beams": 2} and task.strategy.max_target == 40
    assert "the official train split has 29000 rows, this source gave 2" in task.examples("train").report.notes
    assert task.examples("test").columns["references"] == [("A cat",)]
    with pytest.raises(DataError, match="no files for the validation split of .*Looked for: val.de and val.en"):
        task.examples("validation")
    with pytest.raises(UserError, match="give data_dir="):
        tasks.get("translation/multi30k_de_en").examples("train")


def test_parallel_files_as_a_task(tmp_path):
    for name, lines in (
        ("a.en", ["x", "y"]),
        ("a.de", ["X", "Y"]),
        ("b.en", ["z"]),
        ("b.de", ["Z"]),
        ("b2.de", ["ZZ"]),
    ):
        write(tmp_path / name, *lines)
    path = lambda *names: tuple(tmp_path / name for name in names)
    task = tasks.from_parallel(path("a.en", "a.de"), path("b.en", "b.de", "b2.de"), path("b.en"), target_language="de")
    assert task.metrics == ("bleu", "chrf", "ter") and task.examples("validation").columns["references"] == [
        ("Z", "ZZ")
    ]
    assert not task.labelled("test")
    with pytest.raises(UserError, match="the train split needs a file of targets beside"):
        tasks.from_parallel(path("a.en"))


@pytest.mark.real
def test_published_translations_score_as_sacrebleu_scores_them():
    """The first 60 sentences of a published system: TER with three references takes its time."""
    task = tasks.get("translation/wmt21_en_de", data_dir=benchmark_files.path("wmt/newstest2021"))
    groups = task.examples("test").columns["references"]
    assert len(groups) == 1002 and {len(group) for group in groups} == {3}
    texts = benchmark_files.lines("wmt/newstest2021/system-outputs/newstest2021.en-de.hyp.Facebook-AI.de")[:60]
    expected = metrics.corpus_scores(texts, list(zip(*groups[:60])))
    for name, metric in task.strategy.metrics_of(task).items():
        assert metric.compute(texts, groups[:60]) == pytest.approx(expected[name].value, abs=1e-9)
        assert str(metric.signature) == expected[name].signature


@pytest.mark.real
def test_multi30k_as_it_is():
    task = tasks.get("translation/multi30k_en_de", data_dir=benchmark_files.path("multi30k"))
    for split in ("train", "validation", "test"):
        assert len(task.examples(split)) == task.sizes[split] and task.examples(split).report.notes == ()
