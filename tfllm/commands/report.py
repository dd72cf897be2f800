"""A run's scores, for people."""

from __future__ import annotations

import math

from tfllm.commands.tables import print_table


def print_results(results: dict) -> None:
    """Prints what `tfllm.training.finetune` returned."""
    if "scores_over_seeds" in results:
        _print_seeds(results)
    elif "scores" not in results:  # one of several workers
        print("This worker has trained to the end; the first one scores the model and writes the run.")
    else:
        _print_run(results)
    print(f"\nrun directory: {results['run_dir']}")


def print_scores(scores: dict[str, dict], baseline: dict[str, dict], title: str) -> None:
    """Prints scores by split, as `Task.score` gives them, with the trivial baseline beside them where there is one."""
    rows = []
    for split, values in scores.items():
        for name, interval in values["ci95"].items():
            row = [split, name, _number(values[name]) or "undefined", _interval(interval), values["n"]]
            rows.append(row + ([_number(baseline.get(split, {}).get(name))] if baseline else []))
    print_table(
        ["split", "metric", "score", "95 % interval", "examples", *_baseline_name(baseline)],
        rows,
        title=title,
    )


def _baseline_name(baseline: dict[str, dict]) -> list[str]:
    return [f"baseline ({scores['name']})" if "name" in scores else "baseline" for scores in baseline.values()][:1]


def _print_run(results: dict) -> None:
    title = f"{results['model']['base']} on {results['task']['name']}"
    print_scores(results["scores"], results["baseline"], title)
    for name, signature in next(iter(results["scores"].values()), {}).get("signature", {}).items():
        print(f"{name}: {signature}")
    for split, count in results["truncated"].items():
        if count:
            print(f"{count} examples of {split} were longer than {results['max_length']} tokens and were cut.")
    for split, count in results["skipped_rows"].items():
        if count:
            print(f"{count} rows of {split} could not be read and were left out.")
    speed = results["throughput"]
    facts = [f"{results['steps']} steps in {results['seconds']['train']:.0f} s, best at step {results['best_step']}"]
    if "examples_per_second" in speed:
        facts.append(f"{speed['examples_per_second']:.0f} examples/s, {speed['tokens_per_second']:.0f} real tokens/s")
        reached = f", MFU {speed['mfu']:.0%} of a measured GEMM peak" if "mfu" in speed else ""
        facts.append(f"padding {speed['padding_waste']:.1%}{reached}")
    print("; ".join(facts))


def _print_seeds(results: dict) -> None:
    rows = []
    for split, metrics in results["scores_over_seeds"].items():
        for name, value in metrics.items():
            each = " ".join(_number(score) or "undefined" for score in value["values"])
            rows.append(
                [
                    split,
                    name,
                    _number(value["mean"]) or "undefined",
                    _number(value["std"]),
                    _interval(value["ci95"]),
                    each,
                ]
            )
    title = f"{results['model']['base']} on {results['task']['name']}, {len(results['runs'])} seeds"
    print_table(["split", "metric", "mean", "std", "95 % interval", "each seed"], rows, title=title)
    for split, scores in results["baseline"].items():
        known = [name for name in results["scores_over_seeds"][split] if name in scores]
        title = _baseline_name(results["baseline"])[0]
        print(f"{title} on {split}: " + ", ".join(f"{name} {scores[name]:.4f}" for name in known))


def _number(value: float | None) -> str | None:
    return None if value is None or math.isnan(value) else f"{value:.4f}"


def _interval(value: list[float] | None) -> str | None:
    undefined = value is None or any(end is None or math.isnan(end) for end in value)
    return None if undefined else f"{value[0]:.4f} to {value[1]:.4f}"
