"""Readers of parallel text: plain files line by line, tables, JSON lines, TMX and WMT's SGM, to `Examples`.

The examples have one text, the source, and a column `references` with one or more targets each, as the kind `"text"` wants
them. Lines are taken as they are; blank ones are counted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from xml.sax.saxutils import unescape

from tfllm.data.examples import Examples
from tfllm.data.records import column, format_of, has_column, read_records, text_value
from tfllm.data.row_reader import RowReader, as_text, raw_lines
from tfllm.errors import DataError, UserError


def parallel_examples(
    sources: Sequence[str],
    references: Sequence[Sequence[str]] | None,
    reader: RowReader,
    source: str,
    ids: Sequence[str] | None = None,
    notes: Sequence[str] = (),
) -> Examples:
    """`Examples` of sources and their references, with notes on blank texts.

    Args:
        sources: N texts.
        references: one or more targets of each; `None` where there are none.
        reader: what read them.
        source: where they come from, for people.
        ids: their names; default: row numbers.
        notes: further ones.
    """
    blank = sum(not text.strip() for text in sources)
    notes = list(notes) + ([f"{blank} empty sources, kept"] if blank else [])
    columns = {}
    if references is not None:
        empty = sum(not group[0].strip() for group in references)
        notes += [f"{empty} empty targets, kept"] if empty else []
        columns["references"] = [tuple(group) for group in references]
    return Examples(
        (list(sources),), None, None if ids is None else list(ids), source, reader.report(notes), None, columns
    )


def read_parallel(
    source: str | os.PathLike,
    targets: Sequence[str | os.PathLike] = (),
    skip_bad_rows: bool = False,
) -> Examples:
    """Reads plain parallel files: line i of each belongs to line i of the others. They may be compressed (`.gz`).

    Args:
        source: the file of sources.
        targets: one file of targets, or several of references; none for a test set without them.
        skip_bad_rows: leave out lines that are not UTF-8 in one of the files.

    Raises:
        DataError: a missing or empty file, files of different lengths, a line that is not UTF-8.

    Example:
        >>> read_parallel("train.en", ["train.de"]).columns["references"][0]  # doctest: +SKIP
        ('Zwei junge Männer sind im Freien.',)
    """
    paths = [os.fspath(path) for path in (source, *targets)]
    reader = RowReader(paths[0], skip_bad_rows)
    rows = reader.read(_in_parallel(paths), lambda line, raws: [as_text(p, line, r) for p, r in zip(paths, raws)])
    references = [row[1:] for row in rows] if targets else None
    return parallel_examples([row[0] for row in rows], references, reader, ", ".join(paths))


def _in_parallel(paths: Sequence[str]) -> Iterator[tuple[int, list[bytes]]]:
    files = [raw_lines(path) for path in paths]
    while True:
        lines = [next(file, None) for file in files]
        if all(line is None for line in lines):
            return
        if any(line is None for line in lines):
            short = next(i for i, line in enumerate(lines) if line is None)
            long = next(i for i, line in enumerate(lines) if line is not None)
            raise DataError(
                paths[short],
                None,
                f"parallel files must have the same number of lines. Received: it ends before line {lines[long][0]} of "
                f"{paths[long]}.",
            )
        yield lines[0][0], [raw for _, raw in lines]


def read_text_table(
    path: str | os.PathLike,
    source: str | int,
    target: str | int | Sequence[str | int] | None,
    *,
    id: str | int | None = None,
    format: str | None = None,
    header: bool = True,
    target_optional: bool = False,
    skip_bad_rows: bool = False,
) -> Examples:
    """Reads sources and targets from a table: TSV (quotes are text), CSV, JSON lines, or TMX.

    Args:
        path: the file; all but CSV may be compressed (`.gz`).
        source: the column of sources, by name or 0-based number; a dot goes into JSON objects (`"translation.en"`); of a TMX
            file the language.
        target: the column of targets, or several of references; `None`: there are none. A list in JSON is several
            references.
        id: the column of ids; default: row numbers.
        format: `"tsv"`, `"csv"`, `"jsonl"` or `"tmx"`; default: by the file's ending.
        header: whether the first line of TSV and CSV names the columns.
        target_optional: the file may be without targets.
        skip_bad_rows: leave damaged rows out, and count them.

    Raises:
        DataError: a missing file or column, a row of another width, a value that is no text, damaged JSON, CSV or XML.
        UserError: a format that is not known.
    """
    targets = [] if target is None else [target] if isinstance(target, (str, int)) else list(target)
    kind = format_of(path, format, {".tmx": "tmx"})
    if kind == "tmx":
        from tfllm.data.tmx import read_tmx

        if len(targets) != 1:
            raise UserError(f"{os.fspath(path)}: of a TMX file give one target language. Received: {targets}.")
        return read_tmx(path, str(source), str(targets[0]), skip_bad_rows=skip_bad_rows)
    reader = RowReader(path, skip_bad_rows)

    def parse(line: int, record: dict) -> tuple[str, str, list[str]]:
        text = text_value(path, line, source, column(path, line, record, source))
        name = "" if id is None else str(column(path, line, record, id))
        references: list[str] = []
        for wanted in targets:
            if target_optional and not has_column(record, wanted):
                continue
            value = column(path, line, record, wanted)
            references += [
                text_value(path, line, wanted, one) for one in (value if isinstance(value, list) else [value])
            ]
        return text, name, references

    rows = read_records(reader, kind, parse, header)
    without = sum(not references for *_, references in rows)
    if without and without != len(rows):
        raise DataError(
            path, None, f"{without} of {len(rows)} rows have no target. Expected one in every row, or in none."
        )
    references = None if without else [references for *_, references in rows]
    ids = None if id is None else [name for _, name, _ in rows]
    return parallel_examples([text for text, *_ in rows], references, reader, os.fspath(path), ids)


_SEGMENT = re.compile(r'<seg\s+id="?([^">]*)"?\s*>(.*?)</seg>', re.IGNORECASE | re.DOTALL)


def read_sgm(path: str | os.PathLike) -> list[str]:
    """The segments of a WMT set in SGM (`newstest2014-deen-src.de.sgm`), in the order of the file.

    Raises:
        DataError: no segments, or one that is not closed.
    """
    lines = [(line, as_text(path, line, raw)) for line, raw in raw_lines(path)]
    text = "\n".join(line for _, line in lines)
    found = [unescape(" ".join(match[2].split()), _ENTITIES) for match in _SEGMENT.finditer(text)]
    opened = len(re.findall(r"<seg\b", text, re.IGNORECASE))
    if not found or opened != len(found):
        raise DataError(
            path, None, f"expected segments <seg id=...>...</seg>. Received: {opened} begun, {len(found)} whole."
        )
    return found


_ENTITIES: Mapping[str, str] = {"&quot;": '"', "&apos;": "'", "&#39;": "'"}
