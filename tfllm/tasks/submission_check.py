"""A validator of GLUE and SuperGLUE submissions. It shares no code and no table with what writes them."""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tfllm.errors import UserError
from tfllm.tasks import superglue_check
from tfllm.tasks.problems import Problem

_BINARY = frozenset(("0", "1"))
_ENTAILMENT = frozenset(("entailment", "not_entailment"))
_NLI = frozenset(("entailment", "neutral", "contradiction"))
_SCORE = None  # a number from 0 to 5

# File name to the number of test examples and the predictions allowed.
OFFICIAL = {
    "CoLA.tsv": (1063, _BINARY),
    "SST-2.tsv": (1821, _BINARY),
    "MRPC.tsv": (1725, _BINARY),
    "STS-B.tsv": (1379, _SCORE),
    "MNLI-m.tsv": (9796, _NLI),
    "MNLI-mm.tsv": (9847, _NLI),
    "QNLI.tsv": (5463, _ENTAILMENT),
    "QQP.tsv": (390965, _BINARY),
    "RTE.tsv": (3000, _ENTAILMENT),
    "WNLI.tsv": (146, _BINARY),
    "AX.tsv": (1104, _NLI),
}

_BYTES_A_LINE = 64  # no valid line is as long
_MOST_PROBLEMS = 20  # reported for one file
_MOST_ENTRIES = 1000
_MOST_BYTES = 64 * 2**20  # of the zip; a valid one has 6 MB, uncompressed


@dataclass(frozen=True)
class _Form:
    """What the zip of a benchmark holds: for each file name the most bytes, and a check of its content."""

    name: str
    limits: Mapping[str, int]
    check: Callable[[str, bytes], Iterator[Problem]]


def _forms() -> dict[str, _Form]:
    return {
        "glue": _Form(
            "GLUE", {name: (rows + 2) * _BYTES_A_LINE for name, (rows, _) in OFFICIAL.items()}, _check_content
        ),
        "superglue": _Form("SuperGLUE", superglue_check.LIMITS, superglue_check.check_content),
    }


def validate_submission(zip_path: str | os.PathLike, benchmark: str = "glue") -> list[Problem]:
    """Checks the zip of a submission: file names, headers, row counts, indices, predictions.

    Nothing is extracted, and no more of a file is unpacked than a valid one could hold, so a hostile zip does no harm.

    Args:
        zip_path: the zip file.
        benchmark: `"glue"` or `"superglue"`.

    Returns:
        The problems found (at most 20 a file); empty for a valid submission.

    Raises:
        UserError: no such file, or no such benchmark.

    Example:
        >>> validate_submission("submission.zip")  # doctest: +SKIP
        [Problem(file='CoLA.tsv', line=1064, message='expected 1063 rows. Received: 1062.')]
    """
    path, forms = os.fspath(zip_path), _forms()
    if benchmark not in forms:
        raise UserError(f"benchmark must be one of {', '.join(forms)}. Received: {benchmark!r}.")
    form = forms[benchmark]
    if not os.path.isfile(path):
        raise UserError(f"There is no file {path}. Expected the zip of a {form.name} submission.")
    shown = os.path.basename(path)
    if os.path.getsize(path) > _MOST_BYTES:
        return [
            Problem(shown, None, f"too large: expected at most {_MOST_BYTES} bytes. Received: {os.path.getsize(path)}.")
        ]
    problems = []
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if len(entries) > _MOST_ENTRIES:
                return [Problem(shown, None, f"expected {len(form.limits)} files. Received: {len(entries)}.")]
            seen = set()
            for entry in entries:
                if entry.filename not in form.limits:
                    problems.append(Problem(entry.filename, None, _name_problem(entry.filename, form)))
                elif entry.filename in seen:
                    problems.append(Problem(entry.filename, None, "the zip holds this file twice."))
                else:
                    problems += _check_entry(archive, entry, form)
                seen.add(entry.filename)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        return [*problems, Problem(shown, None, f"not a readable zip file: {error}")]
    problems += [Problem(name, None, "this file is missing.") for name in form.limits if name not in seen]
    return problems


def _name_problem(name: str, form: _Form) -> str:
    if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or ":" in name:
        return "unsafe name: it points outside of the directory that the zip is unpacked in."
    if "/" in name or "\\" in name:
        return "the files must stand at the top of the zip, not in a folder."
    return f"unexpected file. Expected: {', '.join(form.limits)}."


def _check_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, form: _Form) -> list[Problem]:
    name = entry.filename
    limit = form.limits[name]
    if entry.flag_bits & 1:
        return [Problem(name, None, "the file is encrypted.")]
    with archive.open(entry) as file:
        content = file.read(limit + 1)  # whatever size the zip's directory states
    if len(content) > limit:
        return [Problem(name, None, f"too large: expected at most {limit} bytes. Received: more.")]
    problems = list(form.check(name, content))
    if len(problems) > _MOST_PROBLEMS:
        more = len(problems) - _MOST_PROBLEMS
        problems = [*problems[:_MOST_PROBLEMS], Problem(name, None, f"and {more} more problems in this file.")]
    return problems


def _check_content(name: str, content: bytes):
    rows, allowed = OFFICIAL[name]
    try:
        lines = content.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        yield Problem(name, line, f"expected plain ASCII. Received: byte 0x{content[error.start]:02x}.")
        return
    if lines[-1] == "":
        lines.pop()
    if not lines or lines[0] != "index\tprediction":
        yield Problem(name, 1, f"expected the header 'index<TAB>prediction'. Received: {lines[0] if lines else ''!r}.")
    body = lines[1:]
    if len(body) != rows:
        yield Problem(name, len(lines), f"expected {rows} rows. Received: {len(body)}.")
    for index, line in enumerate(body):
        fields = line.split("\t")
        if len(fields) != 2:
            yield Problem(name, index + 2, f"expected 2 fields. Received: {len(fields)}.")
            continue
        if fields[0] != str(index):
            yield Problem(name, index + 2, f"expected index {index}. Received: {fields[0]!r}.")
        if allowed is not _SCORE:
            if fields[1] not in allowed:
                yield Problem(
                    name, index + 2, f"expected one of {', '.join(sorted(allowed))}. Received: {fields[1]!r}."
                )
        elif not _is_score(fields[1]):
            yield Problem(name, index + 2, f"expected a number from 0 to 5. Received: {fields[1]!r}.")


def _is_score(text: str) -> bool:
    return re.fullmatch(r"\d(\.\d+)?", text) is not None and float(text) <= 5
