"""Lines of a UTF-8 text file, with their numbers."""

from __future__ import annotations

import codecs
import gzip
import os
import zlib
from collections.abc import Iterator

from tfllm.errors import DataError


def decoded_lines(
    path: str | os.PathLike, *, keep_ends: bool = False, give_errors: bool = False
) -> Iterator[tuple[int, str]]:
    r"""Yields `(line number from 1, text)`.

    Only `\n` and `\r\n` end a line: the other characters that Python's `splitlines` cuts at (U+2028, U+0085, a lone
    `\r`, ...) occur inside of texts. A byte order mark at the start is dropped.

    Args:
        path: the file; it may be compressed (`.gz`).
        keep_ends: leave the line ends in, as the `csv` module needs them.
        give_errors: in place of a line that is not UTF-8 yield the `DataError` that says so, and go on.

    Raises:
        DataError: no such file, an empty file, damaged compression, or bytes that are not UTF-8 (with line and byte offset).
    """
    if not os.path.isfile(path):
        what = "is a directory, not a file" if os.path.isdir(path) else "there is no such file"
        raise DataError(path, None, f"{what}. Check the path.")
    offset, lines = 0, 0
    with (gzip.open if os.fspath(path).endswith(".gz") else open)(path, "rb") as file:
        for number, raw in _numbered(path, file):
            start = offset
            offset += len(raw)
            if number == 1:
                if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                    raise DataError(
                        path, 1, "expected UTF-8 text. Received: UTF-16. Convert it: iconv -f utf-16 -t utf-8."
                    )
                if raw.startswith(codecs.BOM_UTF8):
                    raw, start = raw[len(codecs.BOM_UTF8) :], len(codecs.BOM_UTF8)
            if not raw:  # a file of a byte order mark alone
                break
            lines += 1
            try:
                text = raw.decode("utf-8")
            except UnicodeDecodeError as error:
                damage = DataError(
                    path,
                    number,
                    f"expected UTF-8 text. Received: byte 0x{raw[error.start]:02x} at byte offset "
                    f"{start + error.start} of the file. Convert it, for example: iconv -f latin1 -t utf-8.",
                )
                if not give_errors:
                    raise damage from None
                yield number, damage
                continue
            if not keep_ends and text.endswith("\n"):
                text = text[:-2] if text.endswith("\r\n") else text[:-1]
            yield number, text
    if not lines:
        raise DataError(path, None, "the file is empty. Expected rows of data.")


def _numbered(path: str | os.PathLike, file) -> Iterator[tuple[int, bytes]]:
    number = 0
    try:
        for number, raw in enumerate(file, 1):
            yield number, raw
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(path, number + 1, f"damaged gzip: {error}. Is the file cut short?") from None
