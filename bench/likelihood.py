"""Likelihoods of 10,000 (context, continuation) pairs: tfllm and lm-evaluation-harness' own `hf` model in one run.

    python bench/likelihood.py [--pairs 10000] [--out result.json]

Both sides are models of lm-evaluation-harness and answer the same `loglikelihood` requests from text to numbers, on the same random
checkpoint of GPT-2's shape (its vocabulary of 50,257, few layers) and GPT-2's tokenizer. Pairs are multiple choice: `--choices`
continuations for a context of 8 to 96 words. The harness sorts by length and pads to the longest of a batch; it is timed with
several batch sizes, and the best counts. Their log-probabilities are compared: they must be the same.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import harness
from harness import Side

BENCH = Path(__file__).resolve().parent
SIDES = ("tfllm", "hf-8", "hf-32", "hf-128")


def write_checkpoint(directory: Path, tokenizer: Path, layers: int, width: int) -> None:
    """A random GPT-2 in Hugging Face's layout, with a tokenizer's files."""
    import shutil

    from load import write_gpt2

    write_gpt2(directory, width=width, layers=layers)
    for file in tokenizer.iterdir():
        if file.is_file():
            shutil.copy(file, directory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--tokenizer",
        type=Path,
        default=BENCH.parent.parent / "shared" / "models" / "tokenizer-gpt2",
        help="directory with GPT-2's vocab.json and merges.txt, or its tokenizer.json",
    )
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--choices", type=int, default=4)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--sides", default=",".join(SIDES), help="which to time (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="also write the result there, as JSON")
    parser.add_argument("--overwrite", action="store_true", help="replace --out if it exists")
    flags = parser.parse_args()
    names = flags.sides.split(",")
    if names[0] != "tfllm" or any(not name.startswith("hf-") for name in names[1:]):
        parser.error(f"--sides must begin with tfllm and name hf-BATCHSIZE after it. Received: {flags.sides}.")
    if not flags.tokenizer.is_dir():
        parser.error(f"expected GPT-2's tokenizer in --tokenizer. Received: {flags.tokenizer}, which is no directory.")
    if flags.out and flags.out.exists() and not flags.overwrite:
        parser.error(f"--out={flags.out} exists. Give another name, or --overwrite.")

    with tempfile.TemporaryDirectory() as temporary:
        write_checkpoint(Path(temporary), flags.tokenizer, flags.layers, flags.width)
        arguments = ["--checkpoint", temporary, "--pairs", str(flags.pairs), "--choices", str(flags.choices)]
        sides = [
            Side(name, [str(BENCH / "likelihood_side.py"), name, *arguments, "--threads", str(flags.threads)])
            for name in names
        ]
        try:
            with harness.started(sides, flags.threads) as running:
                harness.interleave(running, flags.rounds)
        except harness.BenchError as error:
            parser.exit(1, f"{error}\n")

    rows, result = [], {}
    for side in sides:
        ratios = [theirs["t"] / ours["t"] for theirs, ours in zip(side.replies, sides[0].replies, strict=True)]
        seconds = statistics.median(reply["t"] for reply in side.replies)
        difference = max(
            abs(mine - theirs)
            for mine, theirs in zip(sides[0].replies[-1]["sample"], side.replies[-1]["sample"], strict=True)
        )
        rows.append(
            [
                side.name,
                f"{seconds:.1f}",
                f"{flags.pairs / seconds:.0f}",
                f"{statistics.median(ratios):.2f}",
                f"{min(ratios):.2f}-{max(ratios):.2f}",
                f"{difference:.1e}",
                f"{side.replies[-1]['peak'] / 1e3:.2f}",
            ]
        )
        result[side.name] = {"seconds": seconds, "speed_of_tfllm": statistics.median(ratios), "rounds": side.replies}
    print(
        f"\n{flags.pairs} pairs, {flags.choices} to a context; GPT-2 of {flags.layers} layers, {flags.width} wide, vocabulary 50,257; "
        f"{flags.threads} threads, median of {flags.rounds} rounds.\n"
    )
    header = ["side", "s", "pairs/s", "speed of tfllm : side", "least-most", "largest difference", "peak GB"]
    harness.print_table(header, rows)
    harness.warn_if_disturbed(sides)
    harness.print_machine(harness.machine())
    if flags.out:
        harness.write_json(flags.out, {"bench": "likelihood", "machine": harness.machine(), "sides": result})


if __name__ == "__main__":
    main()
