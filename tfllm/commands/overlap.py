"""`tfllm overlap`: how much of one set of texts is in another."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Iterator

from tfllm.errors import UserError
from tfllm.training.options import Options, option

_FOR_BOTH = ("task", "data_dir", "split", "file", "fields")  # given twice, the first is A's and the second B's


@dataclasses.dataclass(frozen=True)
class Config(Options):
    """Flags of `tfllm overlap`."""

    task: str = option("", "Task of both sides; --task=A --task=B is --task_a=A --task_b=B, and so for the next three.")
    data_dir: str | None = option(None, "Directory with the data of both.")
    split: str | None = option(None, "Split of both.")
    fields: str | None = option(None, "Which texts of an example count, with commas between them; default: all.")
    task_a: str = option("", "Task whose examples are judged, such as a test set.")
    data_dir_a: str | None = option(None, "Directory with its original files.")
    split_a: str | None = option(None, "Its split; default: validation.")
    file_a: str = option("", "In place of a task: a .jsonl file, or a text file with an example a line.")
    fields_a: str | None = option(None, "As fields; of a .jsonl file its columns (default: text).")
    task_b: str = option("", "Task that the examples may be in.")
    data_dir_b: str | None = option(None, "Directory with its original files.")
    split_b: str | None = option(None, "Its split; default: train.")
    file_b: str = option(
        "", "In place of a task: a .jsonl file, or a text file, in which n-grams run on over the ends of lines."
    )
    fields_b: str | None = option(None, "As fields_a.")
    ngram: int = option(13, "Words in a row that two texts must share (13: GPT-3's check).", minimum=1)
    min_words: int | None = option(
        None,
        "Examples whose longest text has fewer words are judged by exact duplicates alone; default: 8, or ngram if less.",
        minimum=1,
    )
    list: int = option(0, "Also print so many of the examples that were found; -1: all.", minimum=-1)
    format: str = option("text", "What to print; json lists all examples.", choices=("text", "json"))


def arguments(given: list[str]) -> list[str]:
    """`--task=A --task=B` as `--task_a=A --task_b=B`, and so for the other flags that both sides have."""
    places: dict[str, list[int]] = {}
    for place, argument in enumerate(given):
        places.setdefault(argument.split("=")[0], []).append(place)
    given = [*given]
    for flag in (f"--{name}" for name in _FOR_BOTH):
        found = places.get(flag, [])
        if len(found) > 2:
            raise UserError(f"overlap is between two sets: give {flag} at most twice. Received: {len(found)} times.")
        for place, side in zip(found, "ab") if len(found) == 2 else ():
            given[place] = given[place].replace(flag, f"{flag}_{side}", 1)
    return given


def run(config: Config) -> None:
    """Prints how many examples of A are in B, with 95 % intervals."""
    from scipy.stats import binomtest

    from tfllm.data.overlap import MIN_WORDS, find_overlap

    sides = [_Place.of(config, "a", "validation"), _Place.of(config, "b", "train")]
    if sides[0] == sides[1]:
        raise UserError(
            f"A and B are the same set, {sides[0].name}. Give another split, task or file for one of them, "
            "for example --split_a=validation --split_b=train."
        )
    min_words = min(MIN_WORDS, config.ngram) if config.min_words is None else config.min_words
    a, b = sides[0].side(running=False), sides[1].side(running=True)
    progress = _progress if sys.stderr.isatty() else None
    found = find_overlap(a, b, ngram=config.ngram, min_words=min_words, progress=progress)

    def interval(count: int, size: int) -> list[float] | None:
        return list(binomtest(count, size).proportion_ci(method="wilson")) if size else None

    result = {
        "a": sides[0].name,
        "b": sides[1].name,
        **{field.name: getattr(found, field.name) for field in dataclasses.fields(found) if field.name != "matches"},
        "share": found.share,
        "duplicate_share": found.duplicate_share,
        "ci95": {
            "share": interval(found.overlapping, found.judged),
            "duplicate_share": interval(found.duplicates, found.size),
        },
        "ci_method": "Wilson",
    }
    if config.format == "json":
        print(json.dumps({**result, "matches": list(map(dataclasses.asdict, found.matches))}, ensure_ascii=False))
        return
    _print(result)
    matches = found.matches if config.list < 0 else found.matches[: config.list]
    for match in matches:
        kind = "exact" if match.exact else f"{match.share:.0%} of its n-grams"
        print(f"A {match.id} in B {match.other} ({kind}): {match.text}")
    if config.list and len(matches) < len(found.matches):
        print(f"... and {len(found.matches) - len(matches)} more: --list=-1 prints all.")


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where one side's texts come from."""

    which: str = dataclasses.field(compare=False)
    task: str
    data_dir: str | None
    split: str
    file: str
    fields: tuple[str, ...]

    @classmethod
    def of(cls, config: Config, which: str, split: str) -> _Place:
        own = {name: getattr(config, f"{name}_{which}") for name in _FOR_BOTH}
        task = own["task"] or ("" if own["file"] else config.task)
        if bool(task) == bool(own["file"]):
            raise UserError(
                f"side {which.upper()} needs a task or a file: --task_{which}=NAME (`tfllm tasks` lists them; with "
                f"--data_dir_{which}=DIR) or --file_{which}=FILE. Received: {'both' if task else 'neither'}."
            )
        fields = own["fields"] if own["fields"] is not None else config.fields
        fields = tuple(filter(None, (fields or "").split(",")))
        if not task:
            extra = [name for name in ("data_dir", "split") if own[name]]
            if extra:
                raise UserError(f"{extra[0]}_{which} goes with a task. Received: file_{which}={own['file']}.")
            return cls(which, "", None, "", os.path.abspath(os.path.expanduser(own["file"])), fields)
        data_dir = own["data_dir"] or config.data_dir
        from tfllm import tasks

        split = tasks.get(task, data_dir).split(own["split"] or config.split or split)
        return cls(which, task, data_dir, split, "", fields)

    @property
    def name(self) -> str:
        return self.file or f"{self.task} ({self.split})"

    def side(self, running: bool):
        from tfllm.data.overlap import Side

        if self.file.endswith((".jsonl", ".ndjson")):
            return Side(self._json_rows())
        if self.file:
            if self.fields:
                raise UserError(f"fields_{self.which} are of tasks and .jsonl files. Received: {self.file}.")
            return Side(self._lines(), running)
        rows = self._task_rows()
        return Side(rows, size=len(rows))

    def _lines(self) -> Iterator[tuple[str, list[str]]]:
        from tfllm.data.lines import decoded_lines

        return ((f"line {number}", [line]) for number, line in decoded_lines(self.file) if line.strip())

    def _json_rows(self) -> Iterator[tuple[str, list[str]]]:
        from tfllm.data.json_records import json_object, member
        from tfllm.data.lines import decoded_lines

        for number, line in decoded_lines(self.file):
            if line.strip():
                record = json_object(self.file, number, line)
                texts = [member(self.file, number, record, name, str) for name in self.fields or ("text",)]
                yield f"line {number}", texts

    def _task_rows(self) -> list[tuple[str, list[str]]]:
        from tfllm import tasks

        task = tasks.get(self.task, self.data_dir)
        examples = task.examples(self.split)
        columns = dict(zip(task.text_fields, examples.texts))
        for name, values in examples.columns.items():  # a translation's references, a question's answers
            if all(isinstance(value, str) for value in values):
                columns.setdefault(name, values)
            elif all(isinstance(value, (list, tuple)) and all(isinstance(t, str) for t in value) for value in values):
                columns.setdefault(name, [" ".join(value) for value in values])
        unknown = [name for name in self.fields if name not in columns]
        if unknown:
            raise UserError(
                f"{self.task} has no text {unknown[0]!r}. Its texts are: {', '.join(columns)}. "
                f"Give fields_{self.which} among them."
            )
        chosen = [columns[name] for name in self.fields or task.text_fields]
        return [(id_, list(texts)) for id_, *texts in zip(examples.ids, *chosen)]


def _print(result: dict) -> None:
    from tfllm.commands.tables import print_table

    rows = []
    for label, count, size, share in (
        (f"share {result['ngram']} words in a row", "overlapping", "judged", "share"),
        ("are exact duplicates", "duplicates", "size", "duplicate_share"),
    ):
        interval = result["ci95"][share]
        rows.append(
            [
                label,
                f"{result[count]:,}",
                f"{result[size]:,}",
                None if interval is None else f"{result[share]:.2%}",
                None if interval is None else f"{interval[0]:.2%} to {interval[1]:.2%}",
            ]
        )
    title = f"A: {result['a']}, {result['size']:,} examples. B: {result['b']}, {result['other_size']:,} rows."
    print_table(["examples of A that", "count", "of", "share", "95 % interval (Wilson)"], rows, title=title)
    print("Words are compared in lower case, without punctuation; an example of fewer words must be there as a whole.")
    if result["short"]:
        print(
            f"{result['short']:,} examples of A have fewer than {result['min_words']} words: judged by exact duplicates alone."
        )


def _progress(done: int, total: int | None) -> None:
    of = "" if total is None else f" of {total:,}"
    print(f"\r{done:,}{of} rows of B", end="\n" if done == total else "", file=sys.stderr, flush=True)
