"""Examples as token ids: flat arrays that are made once, kept on disk and memory-mapped from there."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import shutil
import sys
import uuid
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfllm.errors import UserError

if TYPE_CHECKING:
    from tfllm.data.examples import Examples
    from tfllm.text.tokenizer import Tokenizer

logger = logging.getLogger(__name__)

# Part of every cache key: raise it when the files of an entry or the way they are made change.
FORMAT = 1

# Examples that are tokenised between two movements of the progress bar.
_CHUNK = 8192


@dataclass(frozen=True, eq=False)
class TokenizedExamples:
    """N examples as token ids, in flat arrays. Made by `tokenize` (memory-mapped) or `TokenizedExamples.from_ids`.

    Attributes:
        token_ids: int32, the ids of all examples one after the other.
        offsets: int64 `(N + 1,)`; example i is `token_ids[offsets[i]:offsets[i + 1]]`.
        type_ids: uint8 like `token_ids`, the token types; `None` if the tokenizer has none.
        labels: `(N,)` int32 class numbers or float32 values; `None` if there are none.
        truncated: how many examples were cut to fit the maximum length.
        token_labels: int32 like `token_ids`, a label for each token, -1 where there is none (a tagger's tags, or the
            next token of a language model); `None` if single tokens have no labels.
    """

    token_ids: np.ndarray
    offsets: np.ndarray
    type_ids: np.ndarray | None = None
    labels: np.ndarray | None = None
    truncated: int = 0
    token_labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of each example, int64 `(N,)`."""
        return np.diff(self.offsets)

    @classmethod
    def from_ids(
        cls,
        ids: Sequence[Sequence[int]],
        labels: Sequence[int] | Sequence[float] | np.ndarray | None = None,
        type_ids: Sequence[Sequence[int]] | None = None,
    ) -> TokenizedExamples:
        """Make them from token ids that are already there, in memory.

        Args:
            ids: the token ids of each example.
            labels: a class number or a real number for each.
            type_ids: the token types of each.

        Raises:
            UserError: no examples, an example without tokens, or numbers of things that do not fit each other.

        Example:
            >>> TokenizedExamples.from_ids([[101, 7, 102], [101, 102]], labels=[1, 0]).lengths
            array([3, 2])
        """
        offsets = np.cumsum([0, *map(len, ids)], dtype=np.int64)
        _check_lengths(offsets, [str(i) for i in range(len(ids))], "the ids given")
        if type_ids is not None:
            if [len(t) for t in type_ids] != [len(i) for i in ids]:
                raise UserError("Every token needs a type. Received: type_ids whose lengths are not those of the ids.")
            type_ids = np.concatenate([np.asarray(t, np.uint8) for t in type_ids])
        if labels is not None:
            labels = np.asarray(labels)
            labels = labels.astype(np.float32 if labels.dtype.kind == "f" else np.int32)
            if labels.shape != (len(ids),):
                raise UserError(f"There must be a label for each of the {len(ids)} examples. Received: {labels.shape}.")
        return cls(np.concatenate([np.asarray(i, np.int32) for i in ids]), offsets, type_ids, labels)


def tokenize(
    examples: Examples,
    tokenizer: Tokenizer,
    *,
    max_length: int | None,
    cache_dir: str | os.PathLike | None = None,
) -> TokenizedExamples:
    """Tokenise examples once; the next call with the same examples, tokenizer and length reads the cache.

    An entry of the cache is found by a hash of the contents of the examples, everything that determines the tokenizer's
    ids, and `max_length`: it is never stale. It appears whole or not at all, so processes may race for it. One that has
    been damaged since is made anew, with a warning. Examples that are cut are counted and logged, from the cache too.

    Args:
        examples: one or two columns of text.
        tokenizer: see `tfllm.text.load`.
        max_length: most tokens of an example, special tokens included; longer ones are cut. `None`: no limit.
        cache_dir: where the cache is; default: the environment's `TFLLM_CACHE`, or else `~/.cache/tfllm`.

    Returns:
        `TokenizedExamples`, whose flat arrays are memory-mapped and read-only.

    Raises:
        UserError: no examples, an example without any token, or a cache directory that cannot be written.

    Example:
        >>> examples = tfllm.data.from_memory(["a good film", "a bad one"], labels=[1, 0])
        >>> tokens = tokenize(examples, tfllm.text.load("path/to/bert"), max_length=128)
        >>> tokens.lengths
        array([5, 5])
    """
    root = Path(cache_dir or os.environ.get("TFLLM_CACHE") or Path.home() / ".cache" / "tfllm").expanduser()
    identity = json.dumps([FORMAT, examples.fingerprint, tokenizer.fingerprint, max_length])
    entry = root / "tokens" / hashlib.sha256(identity.encode()).hexdigest()
    try:
        tokens = _read(entry, examples.labels)
    except FileNotFoundError:
        tokens = None
    except _DamagedEntry as error:
        logger.warning("The token cache %s is damaged (%s): it is made anew.", entry, error)
        tokens = None
    if tokens is None:
        tokens = _encode(examples, tokenizer, max_length)
        try:
            _write(entry, tokens, about={"source": examples.source, "max_length": max_length})
        except OSError as error:
            raise UserError(
                f"The token cache must be in a directory that can be written. Received: {root} ({error}). "
                "Give another one as cache_dir or in the environment variable TFLLM_CACHE."
            ) from error
        # Another process may have replaced the entry this very moment. What is in memory is right in any case.
        with contextlib.suppress(FileNotFoundError, _DamagedEntry):
            tokens = _read(entry, examples.labels)
    if tokens.truncated:
        logger.warning(
            "%d of %d examples (%s) are longer than max_length=%d and were cut.",
            *(tokens.truncated, len(tokens), examples.source, max_length),
        )
    return tokens


def _encode(examples: Examples, tokenizer: Tokenizer, max_length: int | None) -> TokenizedExamples:
    from rich.console import Console
    from rich.progress import track

    starts = range(0, len(examples), _CHUNK)
    quiet = len(starts) < 4 or not sys.stderr.isatty()
    parts = []
    for start in track(starts, "Tokenising", console=Console(stderr=True), transient=True, disable=quiet):
        columns = [column[start : start + _CHUNK] for column in examples.texts]
        parts.append(tokenizer.encode_batch(*columns, max_length=max_length))
    offsets = np.cumsum(np.concatenate([[0], *(np.diff(part.offsets) for part in parts)]), dtype=np.int64)
    _check_lengths(offsets, examples.ids, examples.source)
    return TokenizedExamples(
        token_ids=np.concatenate([part.ids for part in parts]).astype(np.int32, copy=False),
        offsets=offsets,
        type_ids=np.concatenate([part.type_ids for part in parts]) if tokenizer.has_type_ids else None,
        labels=examples.labels,
        truncated=sum(part.truncated for part in parts),
    )


def _check_lengths(offsets: np.ndarray, ids: Sequence[str], source: str) -> None:
    if len(offsets) == 1:
        raise UserError(f"There must be at least one example. Received: none ({source}).")
    empty = np.flatnonzero(np.diff(offsets) == 0)
    if len(empty):
        raise UserError(
            f"Every example must have at least one token. Received: none in row {ids[empty[0]]!r} and "
            f"{len(empty) - 1} more ({source}). Leave these rows out, or take a tokenizer that sets special tokens."
        )


class _DamagedEntry(Exception):
    """A cache entry that is not as it was written."""


def _read(entry: Path, labels: np.ndarray | None) -> TokenizedExamples:
    """Map the arrays of a cache entry. Raises `FileNotFoundError` if there is none, `_DamagedEntry` if it is damaged.

    Labels are not kept in the cache: the caller has them.
    """
    if not entry.is_dir():
        raise FileNotFoundError(entry)
    try:
        meta = json.loads((entry / "meta.json").read_bytes())
        arrays = {}
        for name, checksum in meta["crc32"].items():
            if _crc32(entry / name) != checksum:
                raise _DamagedEntry(f"{name} is not as it was written")
            # A plain array on the same memory: indexing the memmap class is slower.
            arrays[name] = np.asarray(np.load(entry / name, mmap_mode="r", allow_pickle=False))
        return TokenizedExamples(
            token_ids=arrays["token_ids.npy"],
            offsets=arrays["offsets.npy"],
            type_ids=arrays.get("type_ids.npy"),
            labels=labels,
            truncated=int(meta["truncated"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _DamagedEntry(f"{type(error).__name__}: {error}") from error


def _write(entry: Path, tokens: TokenizedExamples, about: dict) -> None:
    """Write a cache entry beside its place and move it there. One that is there and sound stays."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    temporary = entry.with_name(f"{entry.name}.{uuid.uuid4().hex}")
    temporary.mkdir()
    try:
        arrays = {"token_ids.npy": tokens.token_ids, "offsets.npy": tokens.offsets, "type_ids.npy": tokens.type_ids}
        checksums = {}
        for name, array in arrays.items():
            if array is not None:
                np.save(temporary / name, array, allow_pickle=False)
                checksums[name] = _crc32(temporary / name)
        meta = {"format": FORMAT, **about, "examples": len(tokens), "truncated": tokens.truncated, "crc32": checksums}
        (temporary / "meta.json").write_text(json.dumps(meta, indent=1))
        _install(temporary, entry)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _install(temporary: Path, entry: Path) -> None:
    """Move the directory `temporary` to `entry`, unless another process has put a sound entry there."""
    while True:
        try:
            os.replace(temporary, entry)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        with contextlib.suppress(FileNotFoundError):  # another process has taken it away: try again
            try:
                _read(entry, labels=None)
                return
            except _DamagedEntry:
                damaged = temporary.with_name(f"{temporary.name}.damaged")
                os.replace(entry, damaged)
                shutil.rmtree(damaged)


def _crc32(path: Path) -> int:
    checksum = 0
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            checksum = zlib.crc32(block, checksum)
    return checksum
