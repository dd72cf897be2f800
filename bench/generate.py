"""Greedy generation with GPT-2 small's shape: tfllm, Hugging Face/PyTorch, KerasHub; int8 weights; continuous batching.

    python bench/generate.py [--parts batches,int8,continuous] [--batch_sizes 1,8] [--rounds 3] [--out result.json] [--quick]

Every side: 124M random float32 weights, a prompt of 32 tokens, 128 new ones, the same number of threads, warm (the first call,
with its compilation, is shown apart). The limit is what reading all weights once a token takes at the bandwidth that TensorFlow
reaches when it sums an array of their size.

The part `int8` is ours with int8 weights beside ours in float32, a row at a time; its own limit is that of its fewer bytes. The part
`continuous` takes 64 prompts of 4 to 256 tokens, each with a limit of 4 to 256 new ones, through `--slots` rows, beside the same 64 in
one batch that runs until the longest ends; their limits are the fewest steps, each of all weights.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import harness
from generate_side import mixed_lengths
from harness import Side

BENCH = Path(__file__).resolve().parent
NAMES = ("tfllm", "hf", "kerashub")
PARTS = ("batches", "int8", "continuous")
MIXED = 64, 256, 256  # prompts, and the longest of them and of what is generated
INT8_SHARE = 0.25  # of the bytes: all kernels are int8 (biases, norms and positions, less than 1 %, are not)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--parts", default=",".join(PARTS), help="what to measure (default: %(default)s)")
    parser.add_argument("--slots", type=int, default=8, help="rows of continuous batching (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="toy sizes and one round, to try the bench")
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

    parts = flags.parts.split(",")
    if set(parts) - set(PARTS):
        parser.error(f"--parts must be of {PARTS}. Received: {flags.parts}.")
    if flags.quick:
        flags.new_tokens, flags.rounds = 16, 1

    results, int8, continuous = {}, None, None
    try:
        for batch_size in map(int, flags.batch_sizes.split(",")) if "batches" in parts else ():
            names = [name for name in NAMES if name in wanted]
            results[batch_size] = report(timed(names, batch_size, flags), batch_size, flags)
        if "int8" in parts:
            int8 = report(timed(["int8", "tfllm"], 1, flags), 1, flags)
        if "continuous" in parts:
            continuous = report_continuous(flags)
    except harness.BenchError as error:
        parser.exit(1, f"{error}\n")
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
                "int8": int8,
                "continuous": continuous,
            },
        )


def timed(
    names: list[str], batch_size: int, flags: argparse.Namespace, *, prompt_length: int = 0, new_tokens: int = 0
) -> list[Side]:
    """The sides after all rounds."""
    arguments = ["--batch_size", str(batch_size), "--prompt_length", str(prompt_length or flags.prompt_length)]
    arguments += ["--new_tokens", str(new_tokens or flags.new_tokens), "--threads", str(flags.threads)]
    arguments += ["--slots", str(flags.slots), *(["--quick"] if flags.quick else [])]
    sides = [
        # tfllm switches oneDNN on by itself; KerasHub is timed as it comes.
        Side(name, [str(BENCH / "generate_side.py"), name, *arguments], 1, {"TF_ENABLE_ONEDNN_OPTS": None})
        for name in names
    ]
    with harness.started(sides, flags.threads) as sides:
        harness.interleave(sides, flags.rounds)
    return sides


def report_continuous(flags: argparse.Namespace) -> dict:
    """Measures and prints continuous batching beside one static batch; the numbers."""
    count, prompt_length, new_tokens = (16, 32, 32) if flags.quick else MIXED
    sides = timed(["continuous", "static"], count, flags, prompt_length=prompt_length, new_tokens=new_tokens)
    mixed = argparse.Namespace(batch_size=count, prompt_length=prompt_length, new_tokens=new_tokens)
    lengths, limits = mixed_lengths(mixed)
    ours = sides[0]
    bandwidth, weights = ours.facts["bandwidth"], 4 * ours.facts["parameters"]
    fewest = {"continuous": max(max(limits), sum(limits) / flags.slots), "static": max(limits)}
    rows, result = [], {"bandwidth": bandwidth, "slots": flags.slots, "lengths": lengths, "limits": limits}
    for side in sides:
        seconds = statistics.median(reply["t"] for reply in side.replies)
        limit = fewest[side.name] * weights / bandwidth / 1e9
        ratios = [theirs["t"] / mine["t"] for theirs, mine in zip(side.replies, ours.replies, strict=True)]
        rows.append(
            [
                side.name,
                f"{seconds:.2f}",
                f"{sum(limits) / seconds:.1f}",
                f"{limit:.2f}",
                f"{limit / seconds:.0%}",
                f"{statistics.median(ratios):.2f}",
                f"{min(ratios):.2f}-{max(ratios):.2f}",
                f"{side.facts['first_call']:.1f}",
                f"{side.replies[-1]['peak'] / 1e3:.2f}",
            ]
        )
        result[side.name] = {"seconds": seconds, "limit_seconds": limit, "ready": side.facts, "rounds": side.replies}
    result["speed_of_continuous"] = statistics.median(
        theirs["t"] / mine["t"] for theirs, mine in zip(sides[1].replies, ours.replies, strict=True)
    )
    print(f"\n{count} prompts of 4 to {prompt_length} tokens, 4 to {new_tokens} new ones each, {sum(limits)} in all:")
    print(f"{flags.slots} slots beside one batch of {count}, {flags.threads} threads, median of {flags.rounds} rounds.")
    print(f"Limit: the fewest steps times {weights / 1e6:.0f} MB of weights at {bandwidth:.1f} GB/s.\n")
    columns = ["side", "seconds", "tokens/s", "limit s", "of limit", "speed of continuous : side", "least-most"]
    harness.print_table([*columns, "first call s", "peak GB"], rows)
    harness.warn_if_disturbed(sides)
    return result


def report(sides: list[Side], batch_size: int, flags: argparse.Namespace) -> dict:
    """Prints one batch size's table; its numbers."""
    ours = sides[0]
    bandwidth, weights = ours.facts["bandwidth"], 4 * ours.facts["parameters"]
    limit = weights / bandwidth / 1e9
    rows, result = [], {"bandwidth": bandwidth, "limit_seconds_a_step": limit}
    for side in sides:
        seconds = statistics.median(reply["t"] for reply in side.replies) / flags.new_tokens
        own = limit * INT8_SHARE if side.name == "int8" else limit
        ratios = [theirs["t"] / mine["t"] for theirs, mine in zip(side.replies, ours.replies, strict=True)]
        rows.append(
            [
                side.name,
                f"{1e3 * seconds:.1f}",
                f"{batch_size / seconds:.1f}",
                f"{1e3 * own:.1f}",
                f"{own / seconds:.0%}",
                f"{statistics.median(ratios):.2f}",
                f"{min(ratios):.2f}-{max(ratios):.2f}",
                f"{side.facts['first_call']:.1f}",
                f"{ours.facts['first_call'] / side.facts['first_call']:.2f}",
                f"{side.replies[-1]['peak'] / 1e3:.2f}",
            ]
        )
        result[side.name] = {
            "limit_seconds": own,
            "step_seconds": seconds,
            "speed_of_tfllm": statistics.median(ratios),
            "ready": side.facts,
            "rounds": side.replies,
        }
    shape = "A toy's shape" if flags.quick else "GPT-2 small's shape"
    print(f"\n{shape}, {batch_size} x {flags.prompt_length} tokens to {flags.new_tokens} more, greedy,")
    print(
        f"{flags.threads} threads, median of {flags.rounds} rounds. Limit: {weights / 1e6:.0f} MB of weights a step at"
    )
    print(f"{bandwidth:.1f} GB/s = {1e3 * limit:.1f} ms.\n")
    columns = [
        "side",
        "ms a step",
        "tokens/s",
        "limit ms",
        "of limit",
        f"speed of {ours.name} : side",
        "least-most",
        "first call s",
        f"first call {ours.name} / side",
        "peak GB",
    ]
    harness.print_table(columns, rows)
    harness.warn_if_disturbed(sides)
    return result


if __name__ == "__main__":
    main()
