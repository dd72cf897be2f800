"""A training step of a MiniLM-L6 classifier at 16 x 128, no padding: tfllm, Hugging Face/PyTorch, KerasHub in one run.

    python bench/train_step.py [--peers ../shared/bench] [--out result.json]

Every side: the same shape (6 layers, 384 wide, 12 heads, 22.7M parameters), float32, dropout 0.1, AdamW at 5e-5,
gradients clipped to a global norm of 1, the same number of threads. KerasHub is timed as it comes, and with oneDNN
switched on and off: which of the two TensorFlow comes with depends on the processor. GFLOP/s counts the matrix
products of forward and backward pass (3 x forward); the peak is the best rate of plain matrix products of such
shapes.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import harness
from harness import Side

BENCH = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--peers",
        type=Path,
        default=BENCH.parent.parent / "shared" / "bench",
        help="directory with peer_train_hf.py, peer_train_kerashub.py and peer_gemm.py",
    )
    parser.add_argument(
        "--sides",
        default="tfllm,hf,kerashub,kerashub-onednn,kerashub-no-onednn",
        help="which to time (default: %(default)s)",
    )
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=3, help="steps a side does in a round")
    parser.add_argument("--jit_compile", choices=("auto", "true", "false"), default="auto", help="of the tfllm side")
    parser.add_argument("--out", type=Path, help="also write the result there, as JSON")
    parser.add_argument("--overwrite", action="store_true", help="replace --out if it exists")
    flags = parser.parse_args()

    hf, kerashub, gemm = (flags.peers / name for name in ("peer_train_hf.py", "peer_train_kerashub.py", "peer_gemm.py"))
    for script in (hf, kerashub, gemm):
        if not script.is_file():
            parser.error(
                f"expected the peer script {script.name} in --peers. Received: --peers={flags.peers}, which has none. "
                "Give the directory of the peer scripts."
            )
    if flags.out and flags.out.exists() and not flags.overwrite:
        parser.error(f"--out={flags.out} exists. Give another name, or --overwrite.")

    shape = ["--batch", str(flags.batch_size), "--seq", str(flags.length), "--serve"]
    ours = [
        "train_step",
        "--batch_size",
        str(flags.batch_size),
        "--length",
        str(flags.length),
        "--jit_compile",
        flags.jit_compile,
    ]
    known = [
        # tfllm switches oneDNN on by itself: unset, so that this is measured too.
        Side("tfllm", [str(BENCH / "tfllm_side.py"), *ours], flags.steps, {"TF_ENABLE_ONEDNN_OPTS": None}),
        Side("hf", [str(hf), *shape, "--threads", str(flags.threads)], flags.steps),
        Side("kerashub", [str(kerashub), *shape], flags.steps, {"TF_ENABLE_ONEDNN_OPTS": None}),
        Side("kerashub-onednn", [str(kerashub), *shape], flags.steps, {"TF_ENABLE_ONEDNN_OPTS": "1"}),
        Side("kerashub-no-onednn", [str(kerashub), *shape], flags.steps, {"TF_ENABLE_ONEDNN_OPTS": "0"}),
    ]
    wanted = flags.sides.split(",")
    unknown = set(wanted) - {side.name for side in known}
    if unknown or "tfllm" not in wanted:
        parser.error(f"--sides must name tfllm and any of {[side.name for side in known]}. Received: {flags.sides}.")

    try:
        peaks = {}
        for backend, environment in (("tf", {"TF_ENABLE_ONEDNN_OPTS": "1"}), ("torch", {})):
            found = harness.run_once(
                [str(gemm), "--backend", backend, "--threads", str(flags.threads)], flags.threads, environment
            )
            peaks[backend] = max(result["gflops_best"] for result in found["res"].values())
        with harness.started((side for side in known if side.name in wanted), flags.threads) as sides:
            harness.interleave(sides, flags.rounds)
    except harness.BenchError as error:
        parser.exit(1, f"{error}\n")

    ours = sides[0]
    peak = max(peaks.values())
    rows, result = [], {}
    for side in sides:
        seconds = statistics.median(reply["t"] for reply in side.replies)
        gflops = side.facts["flops"] / seconds / 1e9
        ratios = [theirs["t"] / mine["t"] for theirs, mine in zip(side.replies, ours.replies, strict=True)]
        rows.append(
            [
                side.name,
                f"{1e3 * seconds:.0f}",
                f"{gflops:.1f}",
                f"{gflops / peak:.0%}",
                f"{statistics.median(ratios):.2f}",
                f"{min(ratios):.2f}-{max(ratios):.2f}",
                f"{side.replies[-1]['peak'] / 1e3:.2f}",
            ]
        )
        result[side.name] = {
            "step_seconds": seconds,
            "gflops": gflops,
            "speed_of_tfllm": statistics.median(ratios),
            "ready": side.facts,
            "rounds": side.replies,
        }

    print(f"\nMiniLM-L6 classifier, {flags.batch_size} x {flags.length}, {flags.threads} threads, median of")
    print(f"{flags.rounds} rounds of {flags.steps} steps. Matrix product peak, GFLOP/s: {peaks}.\n")
    harness.print_table(
        ["side", "ms a step", "GFLOP/s", "of peak", "speed of tfllm : side", "least-most", "peak GB"], rows
    )
    facts = harness.machine()
    harness.print_machine(facts)
    harness.warn_if_disturbed(sides)
    if flags.out:
        harness.write_json(
            flags.out,
            {
                "bench": "train_step",
                "batch_size": flags.batch_size,
                "length": flags.length,
                "threads": flags.threads,
                "peak_gflops": peaks,
                "machine": facts,
                "sides": result,
            },
        )


if __name__ == "__main__":
    main()
