"""Contrastive search and groups of beams of transformers 4, on golden toys: writes `hf4_decoding.json`.

transformers 5 has moved both out of its package. Run with version 4 in an environment of its own:

    pip install "transformers==4.49.0" torch && python tests/goldens/make_hf4_decoding.py
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
import transformers

HERE = Path(__file__).parent
TOYS = ("gpt2-causal_lm", "llama-causal_lm", "bloom-causal_lm", "bart-seq2seq_lm", "t5-seq2seq_lm")
PROMPTS = ([5, 9, 14, 7, 30, 8, 21], [17], [11, 12, 11, 12, 40])
NEW = 12
# In our words; `theirs` puts them in transformers'.
OPTIONS = {
    "contrastive": {"penalty_alpha": 0.6, "top_k": 4},
    "contrastive_mild": {"penalty_alpha": 0.2, "top_k": 7, "repetition_penalty": 1.2},
    "groups": {"num_beams": 6, "num_beam_groups": 3, "diversity_penalty": 0.7, "num_results": 6},
    "groups_of_one": {"num_beams": 3, "num_beam_groups": 3, "diversity_penalty": 2.5, "num_results": 3},
    "groups_early": {
        "num_beams": 4,
        "num_beam_groups": 2,
        "diversity_penalty": 1.5,
        "num_results": 2,
        "length_penalty": 2.0,
        "early_stopping": True,
        "repetition_penalty": 1.3,
    },
}


def theirs(options: dict) -> dict:
    return {{"num_results": "num_return_sequences"}.get(name, name): value for name, value in options.items()}


def decode(toy: str, prompt: list[int], options: dict) -> dict:
    head = transformers.AutoModelForSeq2SeqLM if "seq2seq" in toy else transformers.AutoModelForCausalLM
    model = head.from_pretrained(HERE / "hf_toys" / toy, attn_implementation="eager").eval()
    ids = torch.tensor([prompt])
    with torch.no_grad():
        output = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=NEW,
            do_sample=False,
            return_dict_in_generate=True,
            output_scores=True,
            **theirs(options),
        )
    start = 1 if model.config.is_encoder_decoder else len(prompt)
    rows, eos = [], model.config.eos_token_id
    for row in output.sequences[:, start:].tolist():
        rows.append(row[: row.index(eos) + 1] if eos in row else row)
    scores = output.get("sequences_scores")
    return {"token_ids": rows, "scores": None if scores is None else [round(x, 6) for x in scores.tolist()]}


def main() -> None:
    cases = [
        {"toy": toy, "name": name, "prompt": prompt, **decode(toy, prompt, options)}
        for toy in TOYS
        for name, options in OPTIONS.items()
        for prompt in PROMPTS
    ]
    made = {"transformers": transformers.__version__, "torch": torch.__version__, "max_new_tokens": NEW}
    lines = ",\n".join(json.dumps(case) for case in cases)
    head = json.dumps({**made, "options": OPTIONS})[:-1]
    (HERE / "hf4_decoding.json").write_text(f'{head}, "cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
