"""Reader of TensorFlow Datasets builders, to `Examples`."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from tfllm.data.examples import Examples, ReadReport
from tfllm.errors import DataError, UserError

_ROWS_A_READ = 4096


def read_tfds(
    builder: str,
    split: str,
    *,
    text: str | tuple[str, ...],
    label: str | None = "label",
    id: str | None = "idx",
    labels: Sequence[str] | None = None,
    label_range: tuple[float, float] | None = None,
    data_dir: str | os.PathLike | None = None,
    download: bool = True,
) -> Examples:
    """Reads a split of a TFDS builder.

    TFDS shuffles the examples when it writes them. Where there is an id feature they are put in its order again, so
    that the result equals what is read from the original files.

    Args:
        builder: TFDS name, with its config and version where it has them: `"glue/sst2"`, `"glue/sst2:2.0.0"`.
        split: name of the split in TFDS; slices (`"train[:100]"`) work too.
        text: the text feature, or a pair of them.
        label: the label feature (a class label or a number); `None` for data without labels. A split whose labels are
            all -1 has none.
        id: whole-number feature that orders and names the examples; `None`: numbered in the order that TFDS gives.
        labels: class names expected, in order; another list in TFDS is an error.
        label_range: lowest and highest value allowed for a number.
        data_dir: TFDS data directory; default: TFDS' own, `~/tensorflow_datasets`.
        download: whether to download and prepare what is not there.

    Returns:
        `Examples`; labels int32 for class labels, float32 for numbers.

    Raises:
        UserError: no such builder, split or feature; not there and not to be downloaded, or the download failed.
        DataError: a label out of range, or a text that is not UTF-8.
    """
    made = _open(builder, split, data_dir, download)
    names = (text,) if isinstance(text, str) else tuple(text)
    features = made.info.features
    wanted = [*names, *(name for name in (label, id) if name is not None)]
    missing = [name for name in wanted if name not in features]
    if missing:
        raise UserError(
            f"{builder} has no feature {', '.join(map(repr, missing))}. Its features are: {', '.join(features)}."
        )

    columns = _read_columns(made, split, wanted)
    # Without an id, the order is the one on disk, which TFDS keeps fixed when files are not shuffled.
    order = np.argsort(columns[id], kind="stable") if id is not None else np.arange(len(columns[names[0]]))
    where = f"tfds:{builder}/{split}"
    texts = tuple(_decode(columns[name][order], name, where) for name in names)
    class_names = getattr(features[label], "names", None) if label is not None else None
    if labels is not None and class_names is not None and list(class_names) != list(labels):
        raise UserError(f"{where}: expected the classes {', '.join(labels)}. Received: {', '.join(class_names)}.")
    values = None if label is None else _labels(columns[label][order], class_names, label_range, where)
    ids = [str(i) for i in (columns[id][order] if id is not None else order)]
    blank = sum(not entry for column in texts for entry in column)
    notes = (f"{blank} empty texts, kept",) if blank else ()
    return Examples(
        texts,
        values,
        ids,
        f"{where} {made.version}",
        ReadReport(len(ids), (), notes),
        class_names and tuple(class_names),
    )


def tfds_records(
    builder: str, split: str, data_dir: str | os.PathLike | None = None, download: bool = True
) -> tuple[str, list[str] | None, list[dict]]:
    """A split of a TFDS builder as plain records, in the order on disk: for features that are lists or nested.

    Args:
        builder, split, data_dir, download: as in `read_tfds`.

    Returns:
        Where they come from, the names of the classes of `label` (`None` where it has none), and a dictionary a record with
        texts as `str`, numbers as `int` and lists as `list`.

    Raises:
        UserError, DataError: as `read_tfds`.
    """
    import tensorflow as tf

    made = _open(builder, split, data_dir, download)
    where = f"tfds:{builder}/{split} {made.version}"
    with tf.device("CPU:0"):
        data = made.as_dataset(split=split, shuffle_files=False).as_numpy_iterator()
        records = [_plain(record, where, row) for row, record in enumerate(data, 1)]
    features = made.info.features
    names = getattr(features["label"], "names", None) if "label" in features else None
    return where, names, records


def _plain(value, where: str, row: int):
    if isinstance(value, dict):
        return {name: _plain(member, where, row) for name, member in value.items()}
    if isinstance(value, np.ndarray):
        return (
            [_plain(member, where, row) for member in value.tolist()] if value.ndim else _plain(value[()], where, row)
        )
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(where, row, f"expected UTF-8 text. Received: byte 0x{value[error.start]:02x}.") from None
    return value.item() if hasattr(value, "item") else value


def _open(builder: str, split: str, data_dir: str | os.PathLike | None, download: bool):
    """The prepared builder, which has the split."""
    import tensorflow_datasets as tfds

    data_dir = None if data_dir is None else os.path.expanduser(os.fspath(data_dir))
    try:
        made = tfds.builder(builder, data_dir=data_dir)
    except (
        ValueError,
        AttributeError,
    ) as error:  # DatasetNotFoundError, and a config that is not there, are ValueErrors
        raise UserError(f"TFDS has no builder {builder!r}: {str(error).strip().splitlines()[0]}") from error
    _prepare(made, builder, download)
    base = split.split("[")[0]
    if base not in made.info.splits:
        raise UserError(f"{builder} has no split {base!r}. Its splits are: {', '.join(made.info.splits)}.")
    return made


def _prepare(made, builder: str, download: bool) -> None:
    if made.is_prepared():
        return
    where = f"{builder} is not in the TFDS directory ({made.data_path})"
    hint = "Give data_dir= with a TFDS directory that holds it, or with the benchmark's original files"
    if not download:
        raise UserError(f"{where}, and download=False. {hint}, or set download=True.")
    try:
        made.download_and_prepare()
    # Whatever a download can raise (network, proxy, checksum, disk) is the same message to the user, with its cause.
    except Exception as error:
        cause = str(error).strip().splitlines()
        raise UserError(
            f"{where}, and downloading it failed. {hint}. Cause: {type(error).__name__}: {cause[0] if cause else ''}"
        ) from error


def _read_columns(made, split: str, wanted: list[str]) -> dict[str, np.ndarray]:
    import tensorflow as tf

    data = made.as_dataset(split=split, shuffle_files=False, batch_size=_ROWS_A_READ)
    parts = {name: [] for name in wanted}
    with tf.device("CPU:0"):
        for batch in data.as_numpy_iterator():
            for name in wanted:
                parts[name].append(batch[name])
    if not parts[wanted[0]]:
        raise UserError(f"{made.name}: the split {split!r} has no examples.")
    return {name: np.concatenate(part) for name, part in parts.items()}


def _decode(values: np.ndarray, name: str, where: str) -> list[str]:
    texts = []
    for row, value in enumerate(values):
        try:
            texts.append(value.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise DataError(
                where, row + 1, f"feature {name!r}: expected UTF-8 text. Received: byte 0x{value[error.start]:02x}."
            ) from None
        except AttributeError:
            raise UserError(f"{where}: feature {name!r} must hold text. Received: {values.dtype}.") from None
    return texts


def _labels(values: np.ndarray, class_names, label_range: tuple[float, float] | None, where: str) -> np.ndarray | None:
    if (values == -1).all():
        return None
    # TFDS itself holds class labels to 0 .. C-1, and -1 for "no label".
    low, high = (0, len(class_names) - 1) if class_names is not None else label_range or (-np.inf, np.inf)
    bad = np.flatnonzero(~((values >= low) & (values <= high)))
    if len(bad):
        raise DataError(
            where, int(bad[0]) + 1, f"label out of range. Expected {low:g} to {high:g}. Received: {values[bad[0]]}."
        )
    return values.astype(np.int32 if values.dtype.kind in "iu" else np.float32)
