"""Makes the golden adapters in `peft_toys/`: random PEFT adapters on toys of `hf_toys/`, and what PEFT computes with them.

    python tests/goldens/make_peft_toys.py

needs the extra `parity` (PyTorch, transformers and peft). One directory an adapter, named after the toy that it belongs to:

    adapter_config.json, adapter_model.safetensors   as PEFT's `save_pretrained` writes them
    expected.npz                                     the outputs for the inputs of the toy's own `expected.npz`
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from peft_toys import CASES, random_adapter
from toy_models import compute_outputs, in_plain_arithmetic

TOYS = ("bert-classifier", "gpt2-causal_lm", "phi3-causal_lm", "t5-seq2seq_lm")
_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "decoder_input_ids", "decoder_attention_mask")


def main() -> None:
    import transformers
    from hf_families import FAMILIES

    here = Path(__file__).parent
    for case in CASES:
        if case.name not in TOYS:
            continue
        source, directory = here / "hf_toys" / case.name, here / "peft_toys" / case.name
        shutil.rmtree(directory, ignore_errors=True)
        model_class = getattr(transformers, FAMILIES[case.family].class_name(case.head))
        base = in_plain_arithmetic(model_class.from_pretrained(source))
        adapter = random_adapter(base, case, seed=7)
        adapter.save_pretrained(directory)
        (directory / "README.md").unlink(missing_ok=True)
        file = directory / "adapter_config.json"
        config = {**json.loads(file.read_text()), "base_model_name_or_path": case.name}
        file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        with np.load(source / "expected.npz") as made:
            inputs = {name: made[name] for name in _INPUTS if name in made}
        np.savez_compressed(directory / "expected.npz", **compute_outputs(adapter, inputs))
        print(directory.name, sum(file.stat().st_size for file in directory.iterdir()), "bytes")


if __name__ == "__main__":
    main()
