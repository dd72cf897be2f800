"""A picture of a sweep: the score by one option, a line for each combination of the others."""

from __future__ import annotations

import io
import os

from tfllm.tasks.predictions_file import write_new


def plot_sweep(result: dict, image_path: str | os.PathLike) -> None:
    """Draws what `sweep` returned into a PNG.

    Args:
        result: with `grid`, `runs`, `metric` and `split`.
        image_path: file to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    along = _option_to_draw_along(result["grid"])
    values, others = result["grid"][along], [name for name in result["grid"] if name != along]
    numeric = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel=along, ylabel=f"{result['metric']} on {result['split']}")
    if numeric and min(values) > 0 and max(values) >= 8 * min(values):
        axes.set_xscale("log")
    lines: dict[tuple, list[dict]] = {}
    for run in result["runs"]:
        if run["score"] is not None:
            lines.setdefault(tuple(run["settings"][name] for name in others), []).append(run)
    for key, runs in lines.items():
        runs = sorted(runs, key=lambda run: values.index(run["settings"][along]))
        if numeric:
            runs.sort(key=lambda run: run["settings"][along])
        x = [run["settings"][along] if numeric else str(run["settings"][along]) for run in runs]
        y = [run["score"] for run in runs]
        intervals = [run["ci95"] or (run["score"], run["score"]) for run in runs]
        errors = [
            [score - low for score, (low, _) in zip(y, intervals)],
            [high - score for score, (_, high) in zip(y, intervals)],
        ]
        label = ", ".join(f"{name}={value}" for name, value in zip(others, key))
        axes.errorbar(x, y, yerr=errors, marker="o", capsize=3, label=label or None)
    if others:
        figure.legend(loc="outside upper center", ncols=2)
    image = io.BytesIO()
    FigureCanvasAgg(figure).print_png(image)
    write_new(image_path, image.getvalue(), overwrite=True)


def _option_to_draw_along(grid: dict[str, list]) -> str:
    """The numeric option with the most values, else the one with the most."""
    numbers = {name for name, values in grid.items() if all(isinstance(value, (int, float)) for value in values)}
    return max(grid, key=lambda name: (name in numbers and len(grid[name]) > 1, len(grid[name])))
