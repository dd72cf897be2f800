"""CodeXGLUE (Lu et al. 2021): 14 datasets of 10 tasks, read from the repository's original files.

`data_dir` is a directory of the repository (with `Code-Code/Defect-detection/dataset/` and so on), one of these directories, or
a flat one with the files in it. Two layouts of most datasets are read: as they are downloaded, and as the repository's
`preprocess.py` leaves them. Options of `tfllm.tasks.get("codexglue/...", data_dir=..., **options)`:

- `skip_bad_rows`: leave damaged rows out, and count them, in place of an error with file and line.
- `source`: `"files"`, or `"tfds"`: a data directory that `tfllm.tasks.codexglue.tfds_builder` has prepared; default `"auto"`.
- of texts: `prompt`, `max_target`, `num_beams`, `generation`: see `tfllm.tasks.text_kind.GeneratedTextKind`.
"""

from __future__ import annotations

from tfllm.tasks.codexglue import classification, cloze, completion, retrieval, text

__all__ = ["classification", "cloze", "completion", "retrieval", "text"]
