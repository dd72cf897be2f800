"""lm-evaluation-harness (EleutherAI) on tfllm's models: the harness' model `tfllm`.

The harness finds models by a list of its own, so it has to be told of ours. On the command line, this package does so and hands over to the
harness, whose flags follow:

    python -m tfllm.harness --model tfllm --model_args pretrained=DIR --tasks lambada_openai --limit 100

In Python, importing it is enough: `import tfllm.harness`, then `lm_eval.simple_evaluate(model="tfllm",
model_args="pretrained=DIR", ...)`, or `model=TfllmLM(pretrained=model)` with a model that is loaded already.

Needs the package `lm-eval` (extra `harness`). Likelihoods come from `tfllm.tasks.likelihood`, as those of `Task.judge` do.
"""

from __future__ import annotations

import logging
from typing import Any

from tfllm.errors import UserError

try:
    from lm_eval.api.instance import Instance
    from lm_eval.api.model import LM
    from lm_eval.api.registry import register_model
except ModuleNotFoundError as missing:
    if missing.name is None or missing.name.split(".")[0] != "lm_eval":
        raise
    raise UserError(
        "tfllm.harness needs lm-evaluation-harness, which is not installed: pip install 'tfllm[harness]', or pip install lm-eval."
    ) from None

_log = logging.getLogger(__name__)


@register_model("tfllm")
class TfllmLM(LM):
    """A causal language model of tfllm, as the harness asks for one.

    Args:
        pretrained: directory or hub handle of the checkpoint, or a loaded model with its tokenizer.
        batch_size: prompts generated at a time. Likelihoods are packed, `batch_tokens` tokens a step.
        batch_tokens: tokens a step.
        max_length: tokens that the model reads at a time; default: the most that it can.
        max_gen_toks: tokens generated where a task does not say how many.
        max_batch_size, device: what the harness' command line passes to every model; not used.

    Raises:
        UserError: no causal language model, or one without a tokenizer.
    """

    def __init__(
        self,
        pretrained: Any = None,
        batch_size: int | str = 8,
        batch_tokens: int = 4096,
        max_length: int | None = None,
        max_gen_toks: int = 256,
        max_batch_size: int | None = None,
        device: str | None = None,
    ):
        super().__init__()
        import tfllm
        from tfllm.tasks.likelihood import causal
        from tfllm.tasks.token_likelihoods import longest_row

        if pretrained is None:
            raise UserError("The harness' model tfllm needs model_args pretrained=DIR, a checkpoint.")
        self.name = pretrained if isinstance(pretrained, str) else type(pretrained).__name__
        self.model = causal(tfllm.load(pretrained) if isinstance(pretrained, str) else pretrained)
        self.batch_tokens, self.max_gen_toks = int(batch_tokens), int(max_gen_toks)
        self.batch_size = int(batch_size) if str(batch_size).isdecimal() else 8  # "auto"
        longest = longest_row(self.model)
        if max_length is not None and longest is not None and int(max_length) > longest:
            raise UserError(f"max_length must be at most {longest}, what the model reads. Received: {max_length}.")
        self.max_length = longest if max_length is None else int(max_length)

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """(log-probability, whether greedy) of each request's (context, continuation)."""
        from tfllm.tasks.likelihood import continuations

        found = continuations(
            self.model, [request.args for request in requests], window=self.max_length, batch_tokens=self.batch_tokens
        )
        cut = sum(one.truncated for one in found)
        if cut:
            _log.warning("%d of %d contexts are longer than the model reads and lost their beginning.", cut, len(found))
        results = [(one.log_prob, one.greedy) for one in found]
        for request, result in zip(requests, results):
            self.cache_hook.add_partial("loglikelihood", request.args, result)
        return results

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Log-probability of each request's text, in windows that do not overlap."""
        from tfllm.tasks.likelihood import whole_texts

        texts = [request.args[0] for request in requests]
        found = whole_texts(self.model, texts, window=self.max_length, batch_tokens=self.batch_tokens)
        for request, one in zip(requests, found):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, one.log_prob)
        return [one.log_prob for one in found]

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """The text generated after each request's context, up to the first of its stop strings."""
        results: list[str | None] = [None] * len(requests)
        for options, members in _by_options(requests, self.max_gen_toks):
            for i, text in zip(members, self._generated([requests[i].args[0] for i in members], dict(options))):
                results[i] = text
                self.cache_hook.add_partial("generate_until", requests[i].args, text)
        return results

    def _generated(self, contexts: list[str], options: dict) -> list[str]:
        from tfllm.generation import generator_of
        from tfllm.tasks.likelihood import encode

        stop = options.pop("stop")
        room = None if self.max_length is None else self.max_length - options["max_new_tokens"]
        if room is not None and room < 1:
            raise UserError(
                f"max_gen_toks must leave room for a prompt in the {self.max_length} tokens that the model reads. "
                f"Received: {options['max_new_tokens']}."
            )
        prompts = encode(self.model.tokenizer, contexts)
        if room is not None:
            cut = sum(len(ids) > room for ids in prompts)
            if cut:
                _log.warning(
                    "%d prompts are longer than the %d tokens that are left and lost their beginning.", cut, room
                )
            prompts = [ids[-room:] for ids in prompts]
        found = generator_of(self.model)(prompts, stop=stop, batch_size=self.batch_size, **options)
        texts = []
        for one in found:
            text = one.text
            for end in stop:  # a stop string within the last token's text
                text = text.split(end)[0]
            texts.append(text)
        return texts

    @property
    def tokenizer_name(self) -> str:
        return self.name.replace("/", "__")

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The conversation in the form of the checkpoint's chat template."""
        from tfllm.generation import chat_template

        return chat_template(self.model.tokenizer).render(chat_history, add_generation_prompt=add_generation_prompt)

    def chat_template(self, chat_template: bool | str = False) -> str:
        """The name of the template in use; the harness notes it with the results."""
        return "default" if chat_template else ""

    def get_model_info(self) -> dict:
        return {"model_num_parameters": self.model.count_params(), "model_dtype": str(self.model.compute_dtype)}


def _by_options(requests: list[Instance], max_gen_toks: int):
    """Requests that are generated with the same options: `((options), numbers)`."""
    from lm_eval.models.utils import normalize_gen_kwargs

    groups: dict[tuple, list[int]] = {}
    for i, request in enumerate(requests):
        asked = normalize_gen_kwargs(request.args[1], max_gen_toks)
        until = tuple(text for text in asked.pop("until", None) or () if text)
        options = {
            "stop": until,
            "max_new_tokens": asked.pop("max_gen_toks"),
            "temperature": asked.pop("temperature", 0.0),
        }
        if not asked.pop("do_sample", False):
            options["temperature"] = 0.0
        options |= {
            name: asked.pop(name) for name in ("top_k", "top_p", "min_p", "repetition_penalty") if name in asked
        }
        if not options["temperature"]:
            options = {name: value for name, value in options.items() if name not in ("top_k", "top_p", "min_p")}
        if asked:
            raise UserError(
                f"The harness' generation options {sorted(asked)} are not known here. Take them out of gen_kwargs."
            )
        groups.setdefault(tuple(options.items()), []).append(i)
    return groups.items()
