"""WMT's news translation: every pair that TFDS has of 2013 to 2019, in both directions, and the test sets of 2021.

`translation/wmt14_de_en` is German to English. Read from TFDS (`wmt14_translate/de-en`), or from WMT's own files below
`data_dir` or its directories `dev`, `test` and `training`:

- `newstest2014-deen-src.de.sgm` with `newstest2014-deen-ref.en.sgm`; or plain `newstest2014.de` with `newstest2014.en`, or
  `newstest2014.de-en.de` with `newstest2014.de-en.en`;
- 2021: `newstest2021.de-en.src.de` with all of `newstest2021.de-en.ref.*.en`, which are several references;
- for train: `train.de` with `train.en`, or all corpora `*.de-en.de` with `*.de-en.en`, one after the other by name.

TFDS keeps its own order of examples, and has no ids: the examples are the same, their order is not.

Options: as in `tfllm.tasks.translation`, and `source`: `"files"`, `"tfds"`, or `"auto"` (default): TFDS without a data_dir, or
where data_dir holds the prepared builder; else files.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from tfllm.data.examples import Examples, ReadReport
from tfllm.data.parallel import parallel_examples, read_parallel, read_sgm
from tfllm.data.row_reader import RowReader
from tfllm.errors import DataError
from tfllm.tasks.benchmark_files import pick_source
from tfllm.tasks.registry import register
from tfllm.tasks.task import Task
from tfllm.tasks.translation import directory_of, find_pair, given_files, translation_task

_OLD = ("newstest2012", "newstest2011", "newstest2010", "newstest2009", "newstest2008", "newssyscomb2009")

# Year, pair as TFDS names it: the sets that are its validation and its test split there.
PAIRS: dict[tuple[int, str], tuple[tuple[str, ...], tuple[str, ...]]] = {
    **{(13, f"{code}-en"): (_OLD, ("newstest2013",)) for code in ("cs", "de", "fr", "es")},
    (13, "ru-en"): (("newstest2012",), ("newstest2013",)),
    **{(14, f"{code}-en"): (("newstest2013",), ("newstest2014",)) for code in ("cs", "de", "fr", "ru")},
    (14, "hi-en"): (("newsdev2014",), ("newstest2014",)),
    **{(15, f"{code}-en"): (("newstest2014",), ("newstest2015",)) for code in ("cs", "de", "ru")},
    (15, "fi-en"): (("newsdev2015",), ("newstest2015",)),
    (15, "fr-en"): (("newsdiscussdev2015", "newstest2014"), ("newsdiscusstest2015",)),
    **{(16, f"{code}-en"): (("newstest2015",), ("newstest2016",)) for code in ("cs", "de", "ru")},
    (16, "fi-en"): (("newstest2015",), ("newstest2016", "newstestB2016")),
    **{(16, f"{code}-en"): (("newsdev2016",), ("newstest2016",)) for code in ("ro", "tr")},
    **{(17, f"{code}-en"): (("newstest2016",), ("newstest2017",)) for code in ("cs", "de", "ru", "tr")},
    (17, "fi-en"): (("newstest2016", "newstestB2016"), ("newstest2017", "newstestB2017")),
    **{(17, f"{code}-en"): (("newsdev2017",), ("newstest2017",)) for code in ("lv", "zh")},
    **{(18, f"{code}-en"): (("newstest2017",), ("newstest2018",)) for code in ("cs", "de", "ru", "tr", "zh")},
    (18, "et-en"): (("newsdev2018",), ("newstest2018",)),
    (18, "fi-en"): (("newstest2017", "newstestB2017"), ("newstest2018",)),
    **{(19, f"{code}-en"): (("newstest2018",), ()) for code in ("cs", "de", "fi", "ru", "zh")},
    **{(19, f"{code}-en"): (("newsdev2019",), ()) for code in ("gu", "kk", "lt")},
    (19, "fr-de"): (("euelections_dev2019",), ()),
}
_PAIRS_2021 = tuple(f"{code}-en" for code in ("cs", "de", "ha", "is", "ja", "ru", "zh")) + ("fr-de", "bn-hi", "xh-zu")
_TEST_SETS = ("newstest", "newsdev", "newsdiscuss", "newssyscomb", "euelections")


def make(
    year: int,
    source_language: str,
    target_language: str,
    pair: str,
    data_dir: str | os.PathLike | None = None,
    source: str = "auto",
    files: Mapping[str, Sequence[str]] | None = None,
    skip_bad_rows: bool = False,
    **options,
) -> Task:
    """The task `translation/wmt<year>_<source>_<target>`. See the head of this module for the options."""
    name = f"translation/wmt{year}_{source_language}_{target_language}"
    if (year, pair) in PAIRS:
        validation, test = PAIRS[year, pair]
        sets = {"train": (), "validation": validation, **({"test": test} if test else {})}
        builder = os.path.join(f"wmt{year}_translate", pair)
        data_dir, source = pick_source(name, data_dir, source, None, sets, "newstest files", builder)
    else:
        sets, source = {"test": (f"newstest20{year}",)}, "files"
    given = given_files(name, files, sets, data_dir and os.fspath(data_dir))

    def read(split: str) -> Examples:
        if split in given:
            return read_parallel(given[split][0], given[split][1:], skip_bad_rows)
        if source == "tfds":
            return _read_tfds(f"wmt{year}_translate/{pair}", split, data_dir, source_language, target_language)
        where = directory_of(name, data_dir, "WMT's files")
        if split == "train":
            parts = _corpora(where, name, pair, source_language, target_language)
            return _joined([read_parallel(*part, skip_bad_rows) for part in parts])
        found = [_read_set(where, name, split, one, pair, source_language, target_language) for one in sets[split]]
        return _joined([_read_files(paths, skip_bad_rows) for paths in found])

    return translation_task(
        name,
        read,
        source_language,
        target_language,
        options=options,
        splits={split: ", ".join(of) or "the year's parallel corpora" for split, of in sets.items()},
        licence="WMT: for research",
        source_url=f"https://www.statmt.org/wmt{year}/",
        citation=f"Findings of the 20{year} Conference (Workshop) on (Statistical) Machine Translation",
    )


def _read_tfds(builder: str, split: str, data_dir, source_language: str, target_language: str) -> Examples:
    from tfllm.data.sources_tfds import tfds_records

    where, _, records = tfds_records(builder, split, data_dir)
    if not records:
        raise DataError(where, None, "expected translations. Received: none.")
    reader = RowReader(where, rows=len(records))
    sources, targets = ([record[code] for record in records] for code in (source_language, target_language))
    return parallel_examples(sources, [(text,) for text in targets], reader, where)


def _read_files(paths: Sequence[str], skip_bad_rows: bool) -> Examples:
    if not paths[0].removesuffix(".gz").endswith(".sgm"):
        return read_parallel(paths[0], paths[1:], skip_bad_rows)
    columns = [read_sgm(path) for path in paths]
    if len({len(column) for column in columns}) > 1:
        counts = ", ".join(f"{path}: {len(column)}" for path, column in zip(paths, columns))
        raise DataError(paths[0], None, f"expected a reference for each segment. Received segments: {counts}.")
    reader = RowReader(paths[0], rows=len(columns[0]))
    return parallel_examples(columns[0], list(zip(*columns[1:])), reader, ", ".join(paths))


def _read_set(data_dir: str, name: str, split: str, one: str, pair: str, source: str, target: str) -> tuple[str, ...]:
    """The files of a test set: source, then references."""
    several = [
        (os.path.relpath(path, data_dir), *(os.path.relpath(ref, data_dir) for ref in references))
        for path in sorted(
            glob.glob(
                os.path.join(glob.escape(data_dir), "**", f"{one}.{source}-{target}.src.{source}"), recursive=True
            )
        )
        if (references := sorted(glob.glob(glob.escape(path.removesuffix(f".src.{source}")) + f".ref.*.{target}")))
    ]
    plain = [
        (f"{one}-{source}{target}-src.{source}.sgm", f"{one}-{source}{target}-ref.{target}.sgm"),
        (f"{one}.{source}-{target}.{source}", f"{one}.{source}-{target}.{target}"),
        (f"{one}.{pair}.{source}", f"{one}.{pair}.{target}"),
        (f"{one}.{source}", f"{one}.{target}"),
    ]
    usual = f"{one}.{source}-{target}.src.{source}", f"{one}.{source}-{target}.ref.A.{target}"
    folders = ("", "dev", "test", one)
    return find_pair(
        data_dir,
        name,
        split,
        [*several, *([os.path.join(folder, file) for file in files] for folder in folders for files in plain), usual],
    )


def _corpora(data_dir: str, name: str, pair: str, source: str, target: str) -> list[tuple[str, list[str]]]:
    """Source and targets of each parallel corpus."""
    folders = ("", "training", "train")
    try:
        one = find_pair(
            data_dir, name, "train", [[os.path.join(f, f"train.{code}") for code in (source, target)] for f in folders]
        )
        return [(one[0], [one[1]])]
    except DataError as error:
        found = []
        for folder in folders:
            base = os.path.join(glob.escape(data_dir), folder)
            for path in sorted(glob.glob(os.path.join(base, f"*.{pair}.{source}*"))):
                stem, ending = path.removesuffix(".gz"), ".gz" if path.endswith(".gz") else ""
                other = stem.removesuffix(f".{source}") + f".{target}" + ending
                if os.path.isfile(other) and not os.path.basename(path).startswith(_TEST_SETS):
                    found.append((path, [other]))
        if not found:
            raise DataError(
                data_dir, None, f"{error} Nor are there corpora *.{pair}.{source} and *.{pair}.{target}."
            ) from None
        return found


def _joined(parts: Sequence[Examples]) -> Examples:
    """Several sets one after the other."""
    if len(parts) == 1:
        return parts[0]
    report = ReadReport(
        sum(part.report.rows_read for part in parts),
        tuple(line for part in parts for line in part.report.skipped_lines),
        tuple(f"{part.source}: {note}" for part in parts for note in part.report.notes),
    )
    references = [group for part in parts for group in part.columns["references"]]
    texts = [text for part in parts for text in part.texts[0]]
    return replace(parts[0], texts=(texts,), ids=None, source="; ".join(p.source for p in parts), report=report,
                   columns={"references": references})  # fmt: skip


def _register_all() -> None:
    for year, pair in [*PAIRS, *((21, pair) for pair in _PAIRS_2021)]:
        one, other = pair.split("-")
        for source, target in ((one, other), (other, one)):
            register(f"translation/wmt{year}_{source}_{target}", partial(make, year, source, target, pair))


_register_all()
