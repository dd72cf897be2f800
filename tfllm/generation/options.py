"""`GenerationOptions`: everything that can be asked of generation, checked when it is made."""

from __future__ import annotations

import dataclasses
import difflib
import math
from typing import Any

from tfllm.errors import UserError
from tfllm.generation.grammars import check_constraint, json_text
from tfllm.generation.method_checks import check_methods
from tfllm.training.options import Options, option

_SAMPLING = {"top_k": None, "top_p": 1.0, "min_p": 0.0, "typical_p": 1.0}
_BEAMS = {"length_penalty": 1.0, "early_stopping": "false", "num_beam_groups": 1, "diversity_penalty": 0.0}


@dataclasses.dataclass(frozen=True)
class GenerationOptions(Options):
    """How text is generated: greedily unless `temperature` or `num_beams` says otherwise.

    Raises:
        UserError: a value is of the wrong type or out of range, or two contradict each other.

    Example:
        >>> GenerationOptions(temperature=0.8, top_p=0.95, seed=7).sampled
        True
    """

    max_new_tokens: int = option(128, "Most tokens to generate.", minimum=1)
    min_new_tokens: int = option(0, "The end token is forbidden before so many tokens.", minimum=0)
    temperature: float = option(0.0, "0 takes the most likely token; above 0, tokens are drawn.", minimum=0.0)
    top_k: int | None = option(
        None, "Draw among the k most likely tokens; with penalty_alpha, the number of candidates.", minimum=1
    )
    top_p: float = option(1.0, "Draw among the fewest tokens that have this probability together.", above=0, maximum=1)
    min_p: float = option(0.0, "Draw among tokens at least so likely, relative to the likeliest.", minimum=0, below=1)
    typical_p: float = option(1.0, "Draw among the most typical tokens up to this probability.", above=0, maximum=1)
    seed: int = option(0, "Seed of the draws; prompt i is drawn with seed + i.", minimum=0, maximum=2**31 - 1)
    repetition_penalty: float = option(1.0, "Above 1: tokens in prompt or text become less likely.", above=0)
    presence_penalty: float = option(0.0, "Taken from the logits of tokens that were generated.")
    frequency_penalty: float = option(0.0, "Taken from them for every time that they were.")
    no_repeat_ngram_size: int | None = option(None, "No n-gram of this size occurs twice.", minimum=1)
    logit_bias: tuple = option((), "`{token id: bias}`, added to the logits.")
    language: str | None = option(
        None, "Token that the target begins with in a multilingual translation model, such as `__de__` or `de_DE`."
    )
    bad_words: tuple[str, ...] = option((), "Strings that must not be generated.")
    stop: tuple[str, ...] = option((), "Strings that end the text.")
    choices: tuple[str, ...] = option((), "The text is one of these strings. (Beams rank them.)")
    regex: str | None = option(
        None,
        "Regular expression that the whole text matches (Rust's syntax: no look-around, no backreferences; \\d is 0 to 9).",
    )
    json_schema: str | None = option(
        None, "JSON schema that the text follows, as a dictionary or as its JSON; `true` or `{}` for any JSON."
    )
    prompt_lookup: int = option(
        0,
        "Guess so many tokens ahead from the text itself: the same text, sooner where it repeats. A row at a time.",
        minimum=0,
    )
    draft_tokens: int | None = option(
        None, "Tokens that the draft model guesses at a time (4 if not given). A row at a time.", minimum=1
    )
    penalty_alpha: float = option(
        0.0,
        "Above 0: contrastive search among the top_k likeliest tokens; the weight of being unlike the text so far.",
        minimum=0,
        maximum=1,
    )
    guidance_scale: float = option(
        1.0, "Above 1: classifier-free guidance, away from what the negative prompt would give."
    )
    num_beams: int = option(1, "Above 1: beam search with so many beams.", minimum=1)
    num_results: int = option(1, "Texts for a prompt: the best beams, or as many draws.", minimum=1)
    length_penalty: float = option(
        1.0, "Beam search: exponent of the length that a text's log-probability is divided by."
    )
    num_beam_groups: int = option(
        1, "Diverse beam search: groups of beams, each kept from what those before it choose.", minimum=1
    )
    diversity_penalty: float = option(
        0.0, "Taken from a token's log-probability for every beam of the groups before that chooses it.", minimum=0
    )
    early_stopping: str = option(
        "false",
        "Beam search ends: true, with as many texts as beams; false, when no running beam looks better; never, when none can become better.",
        choices=("true", "false", "never"),
    )
    too_long: str = option(
        "error",
        "A prompt longer than the model's longest sequence: refuse it, or cut its left or right end and count that.",
        choices=("error", "cut_left", "cut_right"),
    )
    batch_size: int = option(8, "Most prompts at a time.", minimum=1)
    continuous: bool = option(
        True,
        "With more prompts than batch_size, the next takes the place of one that has ended. The same texts, sooner.",
    )
    chunk: int = option(16, "Tokens generated between two looks for stop strings.", minimum=1)

    def __post_init__(self):
        super().__post_init__()
        if not self.sampled:
            drawing = {name: value for name, value in _SAMPLING.items() if name != "top_k" or not self.penalty_alpha}
            self._refuse(drawing, "tokens to be drawn: give temperature above 0", f"temperature={self.temperature}")
        if self.num_beams == 1:
            self._refuse(_BEAMS, "beam search: give num_beams above 1", f"num_beams={self.num_beams}")
        if self.sampled and self.num_beams > 1:
            raise UserError(
                "beam search takes the most likely tokens and does not draw. Give temperature=0 or num_beams=1. "
                f"Received: temperature={self.temperature}, num_beams={self.num_beams}."
            )
        if self.num_beams > 1 and self.stop:
            raise UserError(
                "stop strings go with one text at a time, not with beam search. Give num_beams=1, or cut the results yourself. "
                f"Received: num_beams={self.num_beams}, stop={self.stop}."
            )
        if self.num_beams > 1 and self.prompt_lookup:
            raise UserError(
                "prompt_lookup goes with one text at a time, not with beam search. "
                f"Received: prompt_lookup={self.prompt_lookup}, num_beams={self.num_beams}."
            )
        if self.num_results > 1 and not self.sampled and self.num_results > self.num_beams:
            raise UserError(
                "num_results must be at most num_beams, or tokens must be drawn (temperature above 0). "
                f"Received: num_results={self.num_results}, num_beams={self.num_beams}."
            )
        check_methods(self)
        check_constraint(self)
        if self.min_new_tokens > self.max_new_tokens:
            raise UserError(
                "min_new_tokens must be at most max_new_tokens. "
                f"Received: min_new_tokens={self.min_new_tokens}, max_new_tokens={self.max_new_tokens}."
            )
        for name in ("stop", "bad_words"):
            if not all(isinstance(word, str) and word for word in getattr(self, name)):
                raise UserError(f"{name} must be strings that are not empty. Received: {getattr(self, name)!r}.")

        for pair in self.logit_bias:
            token, bias = pair if isinstance(pair, (tuple, list)) and len(pair) == 2 else (None, None)
            numbers = isinstance(token, int) and isinstance(bias, (int, float)) and not isinstance(token, bool)
            if not numbers or token < 0 or math.isnan(bias):
                raise UserError(f"logit_bias must map token ids to numbers. Received: {pair!r}.")

    def _refuse(self, defaults: dict[str, Any], needs: str, because: str) -> None:
        given = [name for name, default in defaults.items() if getattr(self, name) != default]
        if given:
            values = ", ".join(f"{name}={getattr(self, name)}" for name in given)
            raise UserError(
                f"{', '.join(given)} need{'s' if len(given) == 1 else ''} {needs}. Received: {values}, {because}."
            )

    @property
    def sampled(self) -> bool:
        return self.temperature > 0


def make_options(given: dict[str, Any]) -> GenerationOptions:
    """Options from keyword arguments. One string stands for a list of one; `early_stopping` may be a bool.

    Raises:
        UserError: an unknown name, or see `GenerationOptions`.
    """
    known = [field.name for field in dataclasses.fields(GenerationOptions)]
    for name, value in given.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise UserError(
                f"unknown option of generate().{hint} Received: {name}={value!r}. There are: {', '.join(known)}."
            )
    given = dict(given)
    for name in ("stop", "bad_words", "choices"):
        if isinstance(given.get(name), str):
            given[name] = (given[name],)
        elif given.get(name) == [] and name == "choices":
            raise UserError("choices must be at least one string. Received: choices=[].")
    if given.get("json_schema") is not None:
        given["json_schema"] = json_text(given["json_schema"])
    if isinstance(given.get("logit_bias"), dict):
        # Numbers of NumPy as Python's.
        plain = [tuple(x.item() if hasattr(x, "item") else x for x in pair) for pair in given["logit_bias"].items()]
        given["logit_bias"] = tuple(sorted(plain, key=lambda pair: str(pair[0])))
    if isinstance(given.get("early_stopping"), bool):
        given["early_stopping"] = str(given["early_stopping"]).lower()
    return GenerationOptions(**given)
