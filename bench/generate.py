"""Greedy generation with GPT-2 small's shape: tfllm, Hugging Face/PyTorch, KerasHub in one run.

    python bench/generate.py [--batch_sizes 1,8] [--rounds 3] [--out result.json]

Every side: 124M random float32 weights, a prompt of 32 tokens, 128 new ones, the same number of threads, warm (the first call,
with its compilation, is shown apart). The limit is what reading all weights once a token takes at the bandwidth that TensorFlow
reaches when it sums an array of their size.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import harness
from harness import Side

BENCH = Path(__file__).resolve().parent
NAMES = ("tfllm", "hf", "kerashub")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sides", default=",".join(NAMES), help="which to time (default: %(default)s)")
    parser.add_argument("--batch_sizes", default="1,8", help="rows (default: %(default)s)")
    parser.add_argument("--prompt_length", type=int, default=32)
    parser.add_argument("--new_tokens", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="also write the result there, as JSON")
    parser.add_argument("--overwrite", action="store_true", help="replace --out if it exists")
    flags = parser.parse_args()
    wanted = flags.sides.split(",")
    if set(wanted) - set(NAMES) or "tfllm" not in wanted:
        parser.error(f"--sides must name tfllm and any of {NAMES}. Received: {flags.sides}.")
    if flags.out and flags.out.exists() and not flags.overwrite:
        parser.error(f"--out={flags.out} exists. Give another name, or --overwrite.")

    results = {}
    for batch_size in map(int, flags.batch_sizes.split(",")):
        arguments = ["--batch_size", str(batch_size), "--prompt_length", str(flags.prompt_length)]
        arguments += ["--new_tokens", str(flags.new_tokens), "--threads", str(flags.threads)]
        sides = [
            # tfllm switches oneDNN on by itself; KerasHub is timed as it comes.
            Side(name, [str(BENCH / "generate_side.py"), name, *arguments], 1, {"TF_ENABLE_ONEDNN_OPTS": None})
            for name in NAMES
            if name in wanted
        ]
        try:
            with harness.started(sides, flags.threads) as sides:
                harness.interleave(sides, flags.rounds)
        except harness.BenchError as error:
            parser.exit(1, f"{error}\n")
        results[batch_size] = report(sides, batch_size, flags)
    facts = harness.machine()
    harness.print_machine(facts)
    if flags.out:
        harness.write_json(
            flags.out,
            {
                "bench": "generate",
                "prompt_length": flags.prompt_length,
                "new_tokens": flags.new_tokens,
                "threads": flags.threads,
                "machine": facts,
                "batch_sizes": results,
            },
        )


def report(sides: list[Side], batch_size: int, flags: argparse.Namespace) -> dict:
    """Prints one batch size's table; its numbers."""
    ours = sides[0]
    bandwidth, weights = ours.facts["bandwidth"], 4 * ours.facts["parameters"]
    limit = weights / bandwidth / 1e9
    rows, result = [], {"bandwidth": bandwidth, "limit_seconds_a_step": limit}
    for side in sides:
        seconds = statistics.median(reply["t"] for reply in side.replies) / flags.new_tokens
        ratios = [theirs["t"] / mine["t"] for theirs, mine in zip(side.replies, ours.replies, strict=True)]
        rows.append(
            [
                side.name,
                f"{1e3 * seconds:.1f}",
                f"{batch_size / seconds:.1f}",
                f"{limit / seconds:.0%}",
                f"{statistics.median(ratios):.2f}",
                f"{min(ratios):.2f}-{max(ratios):.2f}",
                f"{side.facts['first_call']:.1f}",
                f"{side.replies[-1]['peak'] / 1e3:.2f}",
            ]
        )
        result[side.name] = {
            "step_seconds": seconds,
            "speed_of_tfllm": statistics.median(ratios),
            "ready": side.facts,
            "rounds": side.replies,
        }
    print(f"\nGPT-2 small's shape, {batch_size} x {flags.prompt_length} tokens to {flags.new_tokens} more, greedy,")
    print(
        f"{flags.threads} threads, median of {flags.rounds} rounds. Limit: {weights / 1e6:.0f} MB of weights a step at"
    )
    print(f"{bandwidth:.1f} GB/s = {1e3 * limit:.1f} ms.\n")
    columns = [
        "side",
        "ms a step",
        "tokens/s",
        "of limit",
        "speed of tfllm : side",
        "least-most",
        "first call s",
        "peak GB",
    ]
    harness.print_table(columns, rows)
    harness.warn_if_disturbed(sides)
    return result


if __name__ == "__main__":
    main()
