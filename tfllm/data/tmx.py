"""Translation memories (TMX 1.4) to `Examples`, element by element: the file is never in memory as a whole."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from dataclasses import replace
from xml.parsers import expat

from tfllm.data.examples import Examples
from tfllm.data.parallel import parallel_examples
from tfllm.data.row_reader import RowReader
from tfllm.errors import DataError

_BLOCK = 1 << 16
# Inline elements whose content is markup of the original document, not text. (`hi`, `mrk` and the like mark text.)
_MARKUP = frozenset(("bpt", "ept", "ph", "it", "ut"))
_LANGUAGE = ("xml:lang", "lang")


def read_tmx(path: str | os.PathLike, source: str, target: str, *, skip_bad_rows: bool = False) -> Examples:
    """Reads the translation units that have both languages.

    A language is matched as it is written or by its first part: `"en"` finds `en-GB`. A unit without one of both is left out
    and counted. Several segments of the target are several references.

    Args:
        path: the file; it may be compressed (`.gz`).
        source, target: codes of the languages.
        skip_bad_rows: leave out units without a segment in a language that they name, in place of an error.

    Raises:
        DataError: XML that is broken, that declares entities of its own (they could be a bomb, or read other files), no unit
            with both languages, a unit whose variant is empty.
    """
    reader = RowReader(path, skip_bad_rows)
    absent: list[int] = []

    def parse(line: int, unit: dict[str, list[str | None]]) -> tuple[str, list[str]] | None:
        both = [_of_language(unit, language) for language in (source, target)]
        if not all(both):
            absent.append(line)
            return None
        if any(text is None for texts in both for text in texts):
            raise DataError(path, line, "a <tuv> of this unit has no <seg>.")
        return both[0][0], both[1]

    rows = [row for row in reader.read(_units(path), parse) if row is not None]
    if not rows:
        raise DataError(path, None, f"no unit has both {source} and {target}, of {reader.rows} units.")
    notes = (
        [f"{len(absent)} units without {source} or {target} left out, the first on line {absent[0]}"] if absent else []
    )
    examples = parallel_examples(
        [row[0] for row in rows], [row[1] for row in rows], reader, os.fspath(path), None, notes
    )
    skipped = tuple(sorted({*examples.report.skipped_lines, *absent}))
    return replace(examples, report=replace(examples.report, skipped_lines=skipped))


def _of_language(unit: dict[str, list[str | None]], language: str) -> list[str | None]:
    wanted = language.lower()
    exact = [text for name, texts in unit.items() if name.lower() == wanted for text in texts]
    return exact or [
        text for name, texts in unit.items() if name.lower().replace("_", "-").split("-")[0] == wanted for text in texts
    ]


def _units(path: str | os.PathLike) -> Iterator[tuple[int, dict[str, list[str | None]]]]:
    """Yields `(line, language to segments)` for each `<tu>`; `None` where a variant has no segment."""
    if not os.path.isfile(path):
        raise DataError(path, None, "there is no such file. Check the path.")
    parser, units = expat.ParserCreate(), []
    state: dict = {"unit": None, "language": None, "text": None, "markup": 0, "line": 0}

    def refuse(*_):
        raise DataError(
            path, parser.CurrentLineNumber, "entities declared in the file are refused. Remove its <!ENTITY ...>."
        )

    def start(name, attributes):
        if name == "tu":
            state["unit"], state["line"] = {}, parser.CurrentLineNumber
        elif name == "tuv" and state["unit"] is not None:
            state["language"] = next((attributes[key] for key in _LANGUAGE if key in attributes), "")
            state["segment"] = None
        elif name == "seg":
            state["text"] = []
        elif name in _MARKUP and state["text"] is not None:
            state["markup"] += 1

    def end(name):
        if name == "seg":
            state["segment"], state["text"] = "".join(state["text"]), None
        elif name in _MARKUP and state["text"] is not None:
            state["markup"] -= 1
        elif name == "tuv" and state["unit"] is not None:
            state["unit"].setdefault(state["language"], []).append(state["segment"])
        elif name == "tu":
            units.append((state["line"], state["unit"]))
            state["unit"] = None

    def text(data):
        if state["text"] is not None and not state["markup"]:
            state["text"].append(data)

    parser.EntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    with (gzip.open if os.fspath(path).endswith(".gz") else open)(path, "rb") as file:
        try:
            while block := file.read(_BLOCK):
                parser.Parse(block, False)
                yield from units
                units.clear()
            parser.Parse(b"", True)
            yield from units
        except expat.ExpatError as error:
            raise DataError(path, error.lineno, f"broken XML: {expat.errors.messages[error.code]}.") from None
        except (EOFError, gzip.BadGzipFile) as error:
            raise DataError(path, None, f"damaged gzip: {error}.") from None
