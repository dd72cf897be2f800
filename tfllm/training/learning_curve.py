"""A picture of a run: loss and score by step."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

from tfllm.tasks.predictions_file import write_new


def plot_learning_curve(metrics_path: str | os.PathLike, image_path: str | os.PathLike, *, score: str) -> None:
    """Draws `loss` and the evaluations' `score` of a `metrics.jsonl` into a PNG.

    Args:
        metrics_path: a file that `JsonlMetrics` wrote.
        image_path: file to write.
        score: name of the evaluation metric, such as `"val_f1"`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = [json.loads(line) for line in Path(metrics_path).read_text(encoding="utf-8").splitlines()]
    figure = Figure(figsize=(7, 4), layout="constrained")
    loss_axes = figure.add_subplot()
    loss_axes.set(xlabel="optimizer step", ylabel="training loss")
    _draw(loss_axes, lines, "loss", color="tab:blue", marker="")
    score_axes = loss_axes.twinx()
    score_axes.set(ylabel=score)
    _draw(score_axes, lines, score, color="tab:orange", marker="o")
    figure.legend(loc="outside upper center", ncols=2)
    image = io.BytesIO()
    FigureCanvasAgg(figure).print_png(image)
    write_new(image_path, image.getvalue(), overwrite=True)


def _draw(axes, lines: list[dict], name: str, **style) -> None:
    points = [(line["step"], line[name]) for line in lines if line.get(name) is not None]
    if points:
        axes.plot(*zip(*points), label=name, **style)
