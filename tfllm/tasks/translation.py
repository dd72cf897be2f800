"""Translation: what its tasks have in common, and Multi30k (Elliott et al. 2016).

Options of `tfllm.tasks.get("translation/...", data_dir=..., **options)`:

- `files`: split to paths, the source first and then one or more references, for files that are not called as usual.
- `skip_bad_rows`: leave out lines that are damaged, and count them.
- `prompt`, `max_target`, `num_beams`, `generation`, `language`: see `tfllm.tasks.text_kind.GeneratedTextKind`.

Scores are sacrebleu's BLEU, chrF and TER, with their signatures.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from tfllm.data.examples import Examples
from tfllm.data.parallel import read_parallel
from tfllm.errors import DataError, UserError
from tfllm.tasks.registry import register
from tfllm.tasks.task import Task
from tfllm.tasks.text_kind import GeneratedTextKind, TextLines, with_options

METRICS = ("bleu", "chrf", "ter")
_TEXT_OPTIONS = ("prompt", "max_target", "num_beams", "generation", "language")
LANGUAGES = {
    "bn": "Bengali", "cs": "Czech", "da": "Danish", "de": "German", "en": "English", "es": "Spanish", "et": "Estonian",
    "fi": "Finnish", "fr": "French", "gu": "Gujarati", "ha": "Hausa", "hi": "Hindi", "is": "Icelandic", "ja": "Japanese",
    "kk": "Kazakh", "lt": "Lithuanian", "lv": "Latvian", "no": "Norwegian", "ro": "Romanian", "ru": "Russian",
    "tr": "Turkish", "xh": "Xhosa", "zh": "Chinese", "zu": "Zulu",
}  # fmt: skip


def translation_task(
    name: str,
    read: Callable[[str], Examples],
    source_language: str,
    target_language: str,
    *,
    options: Mapping,
    **details,
) -> Task:
    """A task of translation.

    Args:
        name: of the task.
        read: split to `Examples` with `references`.
        source_language, target_language: codes.
        options: those of `GeneratedTextKind` that the user gave.
        **details: further fields of `Task`.

    Raises:
        UserError: an option that there is not.
    """
    unknown = [option for option in options if option not in _TEXT_OPTIONS]
    if unknown:
        raise UserError(f"{name} has no option {unknown[0]!r}. For texts there are: {', '.join(_TEXT_OPTIONS)}.")
    from_to = " to ".join(LANGUAGES.get(code, code) for code in (source_language, target_language))
    details.setdefault("description", f"Translate {from_to}")
    details.setdefault("submission", TextLines({"test": f"{name.split('/')[-1]}.txt"}))
    return Task(
        name=name,
        kind="text",
        strategy=with_options(GeneratedTextKind(target_language=target_language), **options),
        text_fields=("source",),
        read=read,
        metrics=METRICS,
        main_metric="bleu",
        **details,
    )


def find_pair(data_dir: str, name: str, split: str, candidates: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The first of several sets of files that is there whole, each with `.gz` behind it or not.

    Args:
        data_dir: where they are.
        name, split: of the task, for messages.
        candidates: sets of names below `data_dir`.

    Raises:
        DataError: none of them is there.
    """
    for names in candidates:
        found = [_existing(os.path.join(data_dir, file)) for file in names]
        if all(found):
            return tuple(path for path in found if path is not None)
    looked = "; ".join(" and ".join(names) for names in candidates)
    what = "" if os.path.isdir(data_dir) else " There is no such directory."
    raise DataError(data_dir, None, f"no files for the {split} split of {name}. Looked for: {looked} (or .gz).{what}")


def given_files(
    name: str, files: Mapping[str, Sequence[str]] | None, splits: Mapping[str, object], data_dir: str | None
) -> dict[str, tuple[str, ...]]:
    """The option `files`, checked: split to paths, relative ones below `data_dir`.

    Raises:
        UserError: a split that there is not, or one path in place of several.
    """
    checked = {}
    for split, paths in (files or {}).items():
        if split not in splits:
            raise UserError(f"{name}: files= names the split {split!r}. Its splits are: {', '.join(splits)}.")
        if isinstance(paths, (str, os.PathLike)) or len(paths) < 2:
            raise UserError(
                f"{name}: files= gives a source and one or more references. Received: {paths!r} for {split}."
            )
        checked[split] = tuple(os.path.join(data_dir or "", os.path.expanduser(os.fspath(path))) for path in paths)
    return checked


def directory_of(name: str, data_dir: str | os.PathLike | None, what: str) -> str:
    """`data_dir`, which must be given for tasks that are read from files.

    Raises:
        UserError: it is not.
    """
    if data_dir is None:
        raise UserError(f"{name} is read from files: give data_dir= (--data_dir=), a directory with {what}.")
    return os.path.expanduser(os.fspath(data_dir))


def _existing(path: str) -> str | None:
    return next((p for p in (path, path + ".gz") if os.path.isfile(p)), None)


_MULTI30K_SIZES = {
    "train": 29000, "validation": 1014, "test": 1000, "flickr_2017": 1000, "mscoco_2017": 461,
}  # fmt: skip
_MULTI30K_FILES = {
    "train": "train", "validation": "val", "test": "test_2016_flickr", "flickr_2017": "test_2017_flickr",
    "mscoco_2017": "test_2017_mscoco",
}  # fmt: skip


def multi30k(
    source_language: str,
    target_language: str,
    data_dir: str | os.PathLike | None = None,
    files: Mapping[str, Sequence[str]] | None = None,
    skip_bad_rows: bool = False,
    **options,
) -> Task:
    """The task `translation/multi30k_<source>_<target>`. See the head of this module for the options."""
    name = f"translation/multi30k_{source_language}_{target_language}"
    given = given_files(name, files, _MULTI30K_SIZES, data_dir and os.fspath(data_dir))

    def read(split: str) -> Examples:
        paths = given.get(split)
        if paths is None:
            where = directory_of(name, data_dir, "train.en.gz and the like")
            stem = _MULTI30K_FILES[split]
            pair = [f"{stem}.{code}" for code in (source_language, target_language)]
            paths = find_pair(where, name, split, [pair, [os.path.join("data", "task1", "raw", file) for file in pair]])
        return read_parallel(paths[0], paths[1:], skip_bad_rows)

    return translation_task(
        name,
        read,
        source_language,
        target_language,
        options=options,
        splits={split: "captions of Flickr30k, raw text" for split in _MULTI30K_SIZES},
        sizes=_MULTI30K_SIZES,
        licence="CC BY-NC-SA 4.0 (texts), Flickr terms (images)",
        source_url="https://github.com/multi30k/dataset",
        citation="Elliott et al. 2016, Multi30K: Multilingual English-German Image Descriptions, VL",
    )


for _pair in (("en", "de"), ("en", "fr"), ("en", "cs"), ("de", "fr")):
    for _source, _target in (_pair, _pair[::-1]):
        register(f"translation/multi30k_{_source}_{_target}", partial(multi30k, _source, _target))
