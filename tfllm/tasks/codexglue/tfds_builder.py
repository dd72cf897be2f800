"""CodeXGLUE as a TensorFlow Datasets builder, over the same readers as the tasks: one config a task.

    from tfllm.tasks.codexglue.tfds_builder import prepare
    prepare("codexglue/devign", files="CodeXGLUE", data_dir="~/tensorflow_datasets")
    tfllm.tasks.get("codexglue/devign", data_dir="~/tensorflow_datasets")

The files are in TFDS' manual directory. What is read back are the same examples in the same order, with the same fingerprint.
"""

from __future__ import annotations

import functools
import json
import os
from typing import ClassVar

import numpy as np

from tfllm.data.examples import Examples, ReadReport
from tfllm.errors import DataError, UserError

_BUILDER = "code_x_glue"
VERSION = "1.0.0"


def config_name(task: str) -> str:
    """`"codexglue/devign"` to `"devign"`."""
    return task.split("/", 1)[1]


def is_prepared(task: str, data_dir: str) -> bool:
    """Whether a TFDS data directory holds the task's data."""
    return os.path.isdir(os.path.join(data_dir, _BUILDER, config_name(task), VERSION))


def builder(task: str, data_dir: str | os.PathLike | None = None):
    """The `tfds.core.GeneratorBasedBuilder` of a task.

    Args:
        task: name, such as `"codexglue/devign"`.
        data_dir: TFDS data directory; default: TFDS' own.
    """
    return _builder_class()(config=config_name(task), data_dir=data_dir and os.path.expanduser(os.fspath(data_dir)))


def prepare(task: str, files: str | os.PathLike, data_dir: str | os.PathLike | None = None) -> None:
    """Writes a task's data to a TFDS data directory.

    Args:
        task: name of the task.
        files: directory of CodeXGLUE's files. Splits whose files are missing are left out.
        data_dir: as in `builder`.
    """
    import tensorflow_datasets as tfds

    config = tfds.download.DownloadConfig(manual_dir=os.path.expanduser(os.fspath(files)))
    builder(task, data_dir).download_and_prepare(download_config=config)


def read_prepared(task: str, split: str, data_dir: str) -> Examples:
    """The examples of a split of a prepared builder.

    Raises:
        UserError: it was not prepared, or without this split.
    """
    import tensorflow as tf

    made = builder(task, data_dir)
    if not made.is_prepared() or split not in made.info.splits:
        there = ", ".join(made.info.splits) if made.is_prepared() else "nothing"
        raise UserError(
            f"{task}: the TFDS directory {data_dir} must hold the split {split!r}. Received: {there}. "
            "Make it with tfllm.tasks.codexglue.tfds_builder.prepare(...)."
        )
    with tf.device("CPU:0"):
        records = list(made.as_dataset(split=split, shuffle_files=False).as_numpy_iterator())
    records.sort(key=lambda record: record["row"])
    first = records[0]
    texts = tuple([record[key].decode() for record in records] for key in ("text", "pair")[: int(first["texts"])])
    labels = None if first["label"] == b"" else np.array([json.loads(record["label"]) for record in records])
    extra = [json.loads(record["columns"]) for record in records]
    columns = {name: [_hashable(row[name]) for row in extra] for name in extra[0]}
    names = json.loads(first["label_names"])
    return Examples(
        texts,
        labels,
        [record["id"].decode() for record in records],
        f"tfds:{_BUILDER}/{config_name(task)}/{split} {VERSION}",
        ReadReport(len(records)),
        None if names is None else tuple(names),
        columns,
    )


def _hashable(value):
    return tuple(value) if isinstance(value, list) else value


@functools.cache  # TFDS registers a class once
def _builder_class():
    import tensorflow_datasets as tfds

    from tfllm.tasks import registry

    class CodeXGlue(tfds.core.GeneratorBasedBuilder):
        """CodeXGLUE, from the repository's files in the manual directory."""

        name = _BUILDER
        VERSION = tfds.core.Version(VERSION)
        MANUAL_DOWNLOAD_INSTRUCTIONS = "The files of https://github.com/microsoft/CodeXGLUE, in its directories."
        BUILDER_CONFIGS: ClassVar = [
            tfds.core.BuilderConfig(name=config_name(name), version=VERSION)
            for name in registry.names()
            if name.startswith("codexglue/")
        ]

        def _info(self):
            text = tfds.features.Text()
            features = {key: text for key in ("id", "text", "pair", "label", "label_names", "columns")}
            features |= {"row": np.int64, "texts": np.int64}
            return tfds.core.DatasetInfo(
                builder=self,
                description=registry.get(f"codexglue/{self.builder_config.name}").description,
                features=tfds.features.FeaturesDict(features),
                homepage="https://github.com/microsoft/CodeXGLUE",
                disable_shuffling=True,
            )

        def _split_generators(self, dl_manager):
            task = registry.get(f"codexglue/{self.builder_config.name}", str(dl_manager.manual_dir), source="files")
            found, missing = {}, {}
            for split in task.splits:
                try:
                    task.examples(split)
                except DataError as error:
                    if error.line is not None:  # a damaged row is no missing file
                        raise
                    missing[split] = error
                else:
                    found[split] = self._generate_examples(task, split)
            if not found:
                raise next(iter(missing.values()))
            return found

        def _generate_examples(self, task, split):
            examples = task.examples(split)
            names = json.dumps(examples.label_names)
            for row, id_ in enumerate(examples.ids):
                columns = {name: values[row] for name, values in examples.columns.items()}
                yield (
                    row,
                    {
                        "row": row,
                        "id": id_,
                        "texts": len(examples.texts),
                        "text": examples.texts[0][row],
                        "pair": examples.texts[1][row] if len(examples.texts) > 1 else "",
                        "label": "" if examples.labels is None else json.dumps(examples.labels[row].item()),
                        "label_names": names,
                        "columns": json.dumps(columns, ensure_ascii=False),
                    },
                )

    return CodeXGlue
