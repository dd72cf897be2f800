"""One side of likelihood.py: a model of lm-evaluation-harness. Speaks the protocol of serving.py.

A step is one `loglikelihood` call with all requests. What is read back is a sample of the log-probabilities.
"""

from __future__ import annotations

import argparse
import logging
import random

from serving import serve

_TEXT = """the of and a to in is was he for it with as his on be at by I this had not are but from or have an they which one you
were all her she there would their we him been has when who will no more if out so up said what its about than into them can only other
time new some could these two may first then do any like my now over such our man me even most made after also did many off before"""
WORDS = _TEXT.split()


def pairs(count: int, choices: int) -> list[tuple[str, str]]:
    draw, result = random.Random(0), []
    while len(result) < count:
        context = " ".join(draw.choices(WORDS, k=draw.randint(8, 96)))
        result += [(context, " " + " ".join(draw.choices(WORDS, k=draw.randint(1, 12)))) for _ in range(choices)]
    return result[:count]


def load(name: str, checkpoint: str, threads: int):
    if name == "tfllm":
        from tfllm.harness import TfllmLM

        return TfllmLM(pretrained=checkpoint)
    import torch
    from lm_eval.models.huggingface import HFLM

    torch.set_num_threads(threads)
    return HFLM(pretrained=checkpoint, batch_size=int(name.removeprefix("hf-")), device="cpu", dtype="float32")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name")
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--pairs", type=int, required=True)
    parser.add_argument("--choices", type=int, required=True)
    parser.add_argument("--threads", type=int, default=2)
    flags = parser.parse_args()
    logging.disable(logging.INFO)
    model = load(flags.name, flags.checkpoint, flags.threads)

    from lm_eval.api.instance import Instance

    requests = [
        Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=i)
        for i, pair in enumerate(pairs(flags.pairs, flags.choices))
    ]
    model.loglikelihood(requests[: min(400, len(requests))], disable_tqdm=True)  # warm up and compile

    def steps(count: int) -> dict:
        for _ in range(count):
            found = model.loglikelihood(requests, disable_tqdm=True)
        return {"sample": [value for value, _ in found[:: max(1, len(found) // 50)]]}

    serve(steps)


if __name__ == "__main__":
    main()
