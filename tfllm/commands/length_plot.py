"""A picture of how long a task's examples are."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping

import numpy as np

from tfllm.tasks.predictions_file import write_new


def plot_lengths(
    lengths: Mapping[str, np.ndarray], title: str, unit: str, image_path: str | os.PathLike, overwrite: bool = False
) -> None:
    """Draws the distribution of lengths into a PNG, a line a split.

    Args:
        lengths: split to the lengths of its examples, `(N,)` each.
        title: above the picture.
        unit: `"tokens"` or `"words"`.
        image_path: file to write.
        overwrite: replace a file that is there.

    Raises:
        UserError: the file is there, or its directory is not.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    longest = max(int(values.max()) for values in lengths.values())
    end = max(2, *(int(np.percentile(values, 99.5)) + 1 for values in lengths.values()))
    edges = np.linspace(0, end, min(60, end) + 1)
    for split, values in lengths.items():
        # Longer ones are in the last bin, so that a few very long examples do not flatten the rest.
        weights = np.full(len(values), 1 / len(values))
        axes.hist(
            np.minimum(values, end),
            edges,
            weights=weights,
            histtype="step",
            label=f"{split} ({len(values):,} examples)",
        )
    cut = f" (longest {longest:,}; beyond {end:,} in the last bin)" if longest > end else ""
    axes.set(title=title, xlabel=f"{unit} an example{cut}", ylabel="share of examples", xlim=(0, end))
    axes.legend()
    image = io.BytesIO()
    FigureCanvasAgg(figure).print_png(image)
    write_new(image_path, image.getvalue(), overwrite)
