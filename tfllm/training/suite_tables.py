"""The table of a suite's results, as columns and rows, as Markdown and as LaTeX."""

from __future__ import annotations

import math
from collections.abc import Mapping

_COLUMNS = ("task", "how", "split", "metric", "score", "95 % interval", "n", "note")
_LATEX = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def suite_table(result: Mapping) -> tuple[list[str], list[list[str]]]:
    """Columns, and a row for each task, split and metric, and for the suite's average.

    Args:
        result: what `run_suite` returned.

    Returns:
        `(columns, rows)`, all texts. What is not known is `"-"`; the reason is in the column `note`, which is left out if it is empty.

    Example:
        >>> scores = {"validation": {"accuracy": 0.5, "n": 8, "ci95": {"accuracy": [0.25, 0.75]}}}
        >>> row = {"name": "rte", "how": "0 shots", "status": "ok", "metrics": ["accuracy"], "scores": scores, "score": 0.5}
        >>> suite_table({"suite": "one", "rows": [row], "average": {"value": None, "reason": "no official average", "ci95": None}})[1][0]
        ['rte', '0 shots', 'validation', 'accuracy', '0.5000', '0.2500 to 0.7500', '8', '']
    """
    rows = []
    for row in result["rows"]:
        if row["status"] != "ok":
            note = row["error"] if row["status"] == "failed" else f"left out: {row['error']}"
            rows.append([row["name"], row["how"] or "-", "-", "-", "-", "-", "-", note])
        for split, scores in row["scores"].items():
            intervals = scores.get("ci95") or {}
            for number, metric in enumerate(dict.fromkeys([*row["metrics"], *intervals])):
                note = ", ".join(filter(None, [_counts(scores) if number == 0 else "", _spread(scores, metric)]))
                values = [_number(scores.get(metric)), _interval(intervals.get(metric)), str(scores.get("n", "-"))]
                rows.append([row["name"], row["how"], split, metric, *values, note])
    average = result["average"]
    values = [_number(average["value"]), _interval(average["ci95"]), "-"]
    seeds = average.get("over_seeds")
    spread = f"of {len(seeds['values'])} seeds, deviation {seeds['std']:.4f}" if seeds else ""
    rows.append(["average", "-", "-", "official", *values, average["reason"] or spread])
    columns = list(_COLUMNS)
    if not any(row[-1] for row in rows):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    return columns, rows


def to_markdown(result: Mapping) -> str:
    """The table in Markdown, numbers to the right."""
    columns, rows = suite_table(result)
    rule = ["---:" if column in ("score", "95 % interval", "n") else "---" for column in columns]
    return "".join(_markdown_row(row) for row in (columns, rule, *rows))


def to_latex(result: Mapping) -> str:
    """The table as a LaTeX `tabular` with the lines of the package booktabs."""
    columns, rows = suite_table(result)
    places = "".join("r" if column in ("score", "95 % interval", "n") else "l" for column in columns)
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            f"\\begin{{tabular}}{{{places}}}",
            "\\toprule",
            _latex_row(columns),
            "\\midrule",
            *map(_latex_row, rows[:-1]),
            "\\midrule",
            _latex_row(rows[-1]),
            "\\bottomrule",
            "\\end{tabular}",
            "",
        ]
    )


def _markdown_row(values: list[str]) -> str:
    return "| " + " | ".join(" ".join(value.split()).replace("|", "\\|") for value in values) + " |\n"


def _latex_row(values: list[str]) -> str:
    cells = ("".join(_LATEX.get(character, character) for character in " ".join(value.split())) for value in values)
    return " & ".join(cells) + r" \\"


def _counts(scores: Mapping) -> str:
    told = [f"mean of {scores['seeds']} seeds"] if scores.get("seeds") else []
    told += [
        f"{scores[name]} {text}" for name, text in (("truncated", "cut"), ("skipped", "skipped")) if scores.get(name)
    ]
    return ", ".join(told)


def _spread(scores: Mapping, metric: str) -> str:
    deviation = (scores.get("std") or {}).get(metric)
    return "" if deviation is None else f"deviation {deviation:.4f}"


def _number(value: float | None) -> str:
    return "-" if _undefined(value) else f"{value:.4f}"


def _interval(value) -> str:
    return "-" if value is None or any(map(_undefined, value)) else f"{value[0]:.4f} to {value[1]:.4f}"


def _undefined(value: float | None) -> bool:
    """Whether there is no such score: `None` where it was read from JSON, which has no NaN."""
    return value is None or math.isnan(value)
