"""The Hugging Face/PyTorch side of examples_per_second.py: fine-tuning a classifier as its Trainer does by default.

The examples are tokenised once; each batch is padded to its longest example by `DataCollatorWithPadding`, and the
examples come in random order, or grouped by length by the library's own `LengthGroupedSampler`. The loop has none of
Trainer's bookkeeping, and the optimizer is PyTorch's fused AdamW (Trainer's default), so this is not slower than what
a user gets.

A batch costs what its longest example costs. So that few steps stand for the whole epoch, those that are timed are
not the first ones but a stratified sample: an epoch's batches ordered by padded size, every k-th of them, in random
order.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
import transformers
from torch.utils.data import DataLoader

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from serving import serve


def epoch_batches(lengths: np.ndarray, batch_size: int, grouped: bool) -> list[list[int]]:
    """The index lists of one epoch's full batches."""
    generator = torch.Generator().manual_seed(0)
    if grouped:
        from transformers.trainer_pt_utils import LengthGroupedSampler

        order = list(LengthGroupedSampler(batch_size, lengths=lengths.tolist(), generator=generator))
    else:
        order = torch.randperm(len(lengths), generator=generator).tolist()
    return [order[i : i + batch_size] for i in range(0, len(order) - batch_size + 1, batch_size)]


def stratified(batches: list[list[int]], lengths: np.ndarray, count: int) -> list[list[int]]:
    """`count` batches whose padded sizes are spread as the epoch's are."""
    widths = np.array([lengths[batch].max() for batch in batches])
    ordered = np.argsort(widths, kind="stable")
    chosen = ordered[((np.arange(count) + 0.5) * len(batches) / count).astype(int)]
    return [batches[i] for i in np.random.default_rng(0).permutation(chosen)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--examples", type=Path, required=True, help="JSONL: one [[text, ...], label] a line")
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--num_outputs", type=int, default=2)
    parser.add_argument("--group_by_length", action="store_true")
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--max_length", type=int, default=128)
    parser.add_argument("--sample", type=int, default=60, help="batches to choose from the epoch")
    parser.add_argument("--threads", type=int, default=2)
    flags = parser.parse_args()
    torch.set_num_threads(flags.threads)
    torch.manual_seed(0)
    transformers.logging.disable_progress_bar()

    rows = [json.loads(line) for line in flags.examples.read_text(encoding="utf-8").splitlines()]
    tokenizer = transformers.AutoTokenizer.from_pretrained(flags.checkpoint)
    columns = [list(column) for column in zip(*(texts for texts, _ in rows), strict=True)]
    encoded = tokenizer(*columns, truncation=True, max_length=flags.max_length)
    features = [{**{name: encoded[name][i] for name in encoded}, "labels": label} for i, (_, label) in enumerate(rows)]
    lengths = np.array([len(ids) for ids in encoded["input_ids"]])

    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        flags.checkpoint,
        num_labels=flags.num_outputs,
        dtype=torch.float32,
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1,
    ).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=0.01, fused=True)
    collate = transformers.DataCollatorWithPadding(tokenizer)

    def train_one(batch) -> float:
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    epoch = epoch_batches(lengths, flags.batch_size, flags.group_by_length)
    sample = stratified(epoch, lengths, min(flags.sample, len(epoch)))
    widest = max(sample, key=lambda batch: lengths[batch].max())
    for batch in DataLoader(features, batch_sampler=[widest, *sample[:2]], collate_fn=collate):  # warm up
        train_one(batch)

    def batches():
        while True:
            yield from DataLoader(features, batch_sampler=sample, collate_fn=collate)

    iterator = batches()

    def steps(count: int) -> dict:
        examples = tokens = 0
        for _ in range(count):
            batch = next(iterator)
            train_one(batch)
            examples += batch["input_ids"].shape[0]
            tokens += batch["input_ids"].numel()
        return {"examples": examples, "tokens": tokens}

    computed = sum(len(batch) * int(lengths[batch].max()) for batch in epoch)
    serve(
        steps,
        epoch_tokens_an_example=computed / sum(map(len, epoch)),
        real_tokens_an_example=float(lengths.mean()),
        parameters=model.num_parameters(),
    )


if __name__ == "__main__":
    main()
