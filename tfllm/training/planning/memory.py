"""Memory of a training step on one device: state, activations, and what comes and goes."""

from __future__ import annotations

import dataclasses

from tfllm.config import TransformerConfig
from tfllm.errors import UserError
from tfllm.training.planning.activations import (
    Kept,
    block_activations,
    embedding_activations,
    language_model_activations,
    top_activations,
)
from tfllm.training.planning.cpu import cpu_runtime, large_gradients
from tfllm.training.planning.parameters import (
    ParameterCount,
    block_parameters,
    count_parameters,
    feed_forward_parameters,
    is_sparse,
    stacks,
)

_LANGUAGE_MODELS = ("masked_lm", "causal_lm", "seq2seq_lm")
REMATS = ("none", "selective", "full")
# Float32 values that an optimizer keeps for each weight. Keras' Adafactor has a whole slot beside its factors, which are small.
SLOTS = {"adamw": 2, "adafactor": 1, "lion": 1, "muon": 1, "sgd": 1}
_F = 4


@dataclasses.dataclass(frozen=True)
class Setup:
    """How a model is trained.

    Attributes:
        batch: rows an optimizer step, over all devices.
        length: tokens a row; of the source, in an encoder-decoder.
        target_length: tokens a row of the target; default `length`.
        accumulation: parts that a device's rows are computed in, one after another.
        data, tensor, pipeline: the number of shares; their product is the number of devices.
        shard_state: gradients and optimizer state (and float32 master weights) are divided over the data shares, too (ZeRO, FSDP).
        sequence_parallel: what tensor parallelism leaves whole is divided along the sequence.
        dtype: `"float32"`, `"mixed_bfloat16"` or `"mixed_float16"`.
        optimizer: a name in `SLOTS`; sgd with its momentum.
        ema: an exponential moving average of the weights is kept.
        remat: `"none"`, `"selective"` (attention's scores are computed again) or `"full"` (all of a block but its input).
        on_cpu: count what TensorFlow's own machinery takes on a CPU.
    """

    batch: int = 16
    length: int = 128
    target_length: int | None = None
    accumulation: int = 1
    data: int = 1
    tensor: int = 1
    pipeline: int = 1
    shard_state: bool = False
    sequence_parallel: bool = False
    dtype: str = "float32"
    optimizer: str = "adamw"
    ema: bool = False
    remat: str = "none"
    on_cpu: bool = False

    @property
    def devices(self) -> int:
        return self.data * self.tensor * self.pipeline

    @property
    def rows(self) -> float:
        """Rows that a device has in memory at once: those of a micro-batch."""
        return self.batch / (self.data * self.accumulation)

    @property
    def value_bytes(self) -> int:
        return 4 if self.dtype == "float32" else 2

    def replace(self, **changes) -> Setup:
        return dataclasses.replace(self, **changes)


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes on the fullest device at the peak of a step.

    Attributes:
        weights: float32; under mixed precision the master weights.
        weight_copies: in 16 bits, that forward and backward pass compute with; in float32, transposed kernels of experts.
        optimizer: its slots, and the moving average.
        gradients: as many as there are at the peak.
        activations: kept for the backward pass; at `"update"`, on a CPU, their memory that malloc has not given back.
        logits: those of a language model, with what its loss makes of them.
        workspace: one block's backward pass, or the sum of a tied table's gradients.
        runtime: TensorFlow's own, on a CPU.
        peak_at: `"backward"` (activations are largest) or `"update"` (gradients are complete).
    """

    weights: float
    weight_copies: float
    optimizer: float
    gradients: float
    activations: float
    logits: float
    workspace: float
    runtime: float
    peak_at: str

    @property
    def total(self) -> float:
        return sum(value for value in dataclasses.astuple(self) if not isinstance(value, str))


def memory(config: TransformerConfig, head: str, setup: Setup, *, num_labels: int = 2) -> Memory:
    """The peak of a training step.

    Two moments are compared: the start of the backward pass, when all activations are there and no gradients (with accumulation:
    those of the parts before), and its end, when all gradients are and no activations; on a CPU their memory is, as far as the
    allocator keeps it. With rematerialisation, a third: the bottom block's backward pass. Against runs: bench/memory.py.

    Args:
        config, head, num_labels: as for `count_parameters`.
        setup: how it is trained.

    Example:
        >>> config = TransformerConfig(30522, 384, 6, 12, 1536, type_vocab_size=2)
        >>> round(memory(config, "classifier", Setup(batch=16, length=128)).activations / 2**20)
        621
    """
    check(config, setup)
    c, s = config, setup
    parameters = count_parameters(c, head, num_labels=num_labels)
    held = _parameters_of_a_device(c, parameters, s)
    spread = s.data if s.shard_state else 1
    weights = _F * held / spread
    weight_copies = _transposed_experts(c) / s.tensor if s.value_bytes == _F else 2 * held
    optimizer = _F * slots_per_weight(c, parameters, s) * held / spread
    all_gradients = _F * held / spread
    activations = _activations(c, head, s)
    logits, workspace = _logits(c, head, s), _backward_of_a_block(c, s)
    runtime = cpu_runtime(c, s.remat == "full") if s.on_cpu else 0.0
    state = {"weights": weights, "weight_copies": weight_copies, "optimizer": optimizer, "runtime": runtime}

    kept = all_gradients if s.accumulation > 1 else 0.0
    backward = Memory(
        **state, gradients=kept, activations=activations, logits=logits, workspace=workspace, peak_at="backward"
    )
    # The gradient of a tied table comes from both of its uses: two tables and their sum.
    table = _F * c.vocab_size * c.embedding_size / (s.tensor * spread)
    summing = 2 * table if head in _LANGUAGE_MODELS and c.tie_embeddings else 0.0
    # Where blocks are computed again, the bottom one's comes when the gradients of all above it are there.
    bottom = dataclasses.replace(backward, gradients=kept + all_gradients - min(table, all_gradients), logits=0.0)
    # Under accumulation the part's own gradients stand beside the sum of those before.
    parts = 2 if s.accumulation > 1 else 1
    # What was activations serves gradients of the heap's size; the rest of it is not given back.
    freed = activations - min(activations, parts * all_gradients - large_gradients(c, head)) if s.on_cpu else 0.0
    update = Memory(
        **state, gradients=parts * all_gradients, activations=freed, logits=0.0, workspace=summing, peak_at="update"
    )
    moments = (backward, update) if s.remat == "none" else (backward, bottom, update)
    return max(moments, key=lambda moment: moment.total)


def slots_per_weight(config: TransformerConfig, parameters: ParameterCount, setup: Setup) -> float:
    """How many values an optimizer keeps for each weight, on average."""
    slots = SLOTS[setup.optimizer] + setup.ema
    if setup.optimizer == "muon":
        # Adam's second slot, for what is no kernel of a block: tables, heads, and experts, which are stacked.
        kernels = sum(_kernels_of_a_block(stack, i) for stack in stacks(config) for i in range(stack.num_layer_groups))
        slots += 1 - kernels / parameters.total
    return slots


def _kernels_of_a_block(stack: TransformerConfig, index: int) -> int:
    """With its vectors, which are few."""
    experts = feed_forward_parameters(stack, index) if is_sparse(stack, index) else 0
    return block_parameters(stack, index) - experts


def check(config: TransformerConfig, setup: Setup) -> None:
    """Refuses shares that do not go into each other.

    Raises:
        UserError: they do not.
    """
    c, s = config, setup
    if s.batch % (s.data * s.accumulation):
        raise UserError(
            "batch must be a multiple of data shares x accumulation. "
            f"Received: batch={s.batch}, {s.data} data shares, accumulation={s.accumulation}."
        )
    if c.num_heads % s.tensor or c.num_kv_heads % s.tensor and s.tensor % c.num_kv_heads:
        raise UserError(
            "tensor shares must divide the heads. "
            f"Received: tensor={s.tensor}, {c.num_heads} heads, {c.num_kv_heads} key heads."
        )
    layers = c.num_layers + (c.num_decoder_layers or 0)
    if s.pipeline > layers:
        raise UserError(
            f"pipeline stages must not outnumber the layers. Received: pipeline={s.pipeline}, {layers} layers."
        )
    if s.pipeline > 1 and c.num_layer_groups != c.num_layers:
        raise UserError(
            "layers that share weights cannot be dealt out to pipeline stages. "
            f"Received: pipeline={s.pipeline}, {c.num_layers} layers of {c.num_layer_groups} groups."
        )
    longest = max(s.length, s.target_length or 0)
    if c.position == "learned" and longest > c.max_positions:
        raise UserError(
            f"length must be at most {c.max_positions}, the rows of the position table. Received: length={longest}."
        )


def _parameters_of_a_device(config: TransformerConfig, parameters: ParameterCount, s: Setup) -> float:
    """Of the fullest one: a share of the blocks, and embeddings or head."""
    if s.pipeline == 1:
        return parameters.total / s.tensor
    blocks = [block_parameters(stack, i) for stack in stacks(config) for i in range(stack.num_layers)]
    stage = -(-len(blocks) // s.pipeline)
    fullest = max(sum(blocks[i : i + stage]) for i in range(0, len(blocks), stage))
    # The last stage computes logits: it has a copy of a tied table.
    tied = config.vocab_size * config.embedding_size if config.tie_embeddings else 0
    ends = max(parameters.embedding, parameters.head + parameters.shared + tied)
    return (fullest + ends) / s.tensor


def _activations(config: TransformerConfig, head: str, s: Setup) -> float:
    """Of the fullest device: one micro-batch, or in a pipeline as many as there are stages (1F1B, Narayanan et al., 2021)."""
    b, total, layers = s.value_bytes, 0.0, 0
    stage_share = 0.0
    for number, stack in enumerate(stacks(config)):
        length = (s.target_length or s.length) if number else s.length
        tokens = s.rows * length
        for i, count in _kinds_of_layers(stack).items():
            kept = block_activations(stack, i, length=length, context_length=s.length, value_bytes=b)
            stage_share += count * tokens * _of_a_device(_rematerialised(kept, stack, s), s)
        layers += stack.num_layers
        whole = embedding_activations(stack, b) + top_activations(stack, b)
        total += tokens * whole / (s.tensor if s.sequence_parallel else 1)
    if head in _LANGUAGE_MODELS:
        tokens = s.rows * ((s.target_length or s.length) if config.is_encoder_decoder else s.length)
        total += tokens * language_model_activations(config, b)
    if s.pipeline == 1:
        return total + stage_share
    # The first stage holds the micro-batches on their way through all stages: a stage's layers times the stages in flight.
    in_flight = min(s.pipeline, s.accumulation)
    return stage_share / layers * -(-layers // s.pipeline) * in_flight + total


def _kinds_of_layers(stack: TransformerConfig) -> dict[int, int]:
    """A layer of each kind, and how many there are like it."""
    kinds: dict[tuple[bool, bool], list[int]] = {}
    for i in range(stack.num_layers):
        kinds.setdefault((i == 0, is_sparse(stack, i)), []).append(i)
    return {layers[0]: len(layers) for layers in kinds.values()}


def _rematerialised(kept: Kept, stack: TransformerConfig, s: Setup) -> Kept:
    if s.remat == "full":
        return Kept(stream=s.value_bytes * stack.hidden_size)
    return Kept(kept.stream, kept.inner) if s.remat == "selective" else kept


def _of_a_device(kept: Kept, s: Setup) -> float:
    stream = kept.stream / (s.tensor if s.sequence_parallel else 1)
    return stream + (kept.inner + kept.scores) / s.tensor


def _logits(config: TransformerConfig, head: str, s: Setup) -> float:
    """Float32 logits, the softmax's gradient, that times the weights of the tokens, and one copy on its way to the product."""
    if head not in _LANGUAGE_MODELS:
        return 0.0
    tokens = s.rows * ((s.target_length or s.length) if config.is_encoder_decoder else s.length)
    return 4 * _F * tokens * config.vocab_size / s.tensor


def _backward_of_a_block(config: TransformerConfig, s: Setup) -> float:
    """What is computed again under rematerialisation, one block's worth; else nothing beyond the block's own activations."""
    if s.remat == "none":
        return 0.0
    largest = 0.0
    for number, stack in enumerate(stacks(config)):
        length = (s.target_length or s.length) if number else s.length
        kept = block_activations(stack, 0, length=length, context_length=s.length, value_bytes=s.value_bytes)
        again = kept if s.remat == "full" else Kept(scores=kept.scores)
        largest = max(largest, s.rows * length * _of_a_device(again, s))
    return largest


def _transposed_experts(config: TransformerConfig) -> float:
    """Gate and up of all experts: the product over tokens and experts keeps a transposed copy of them."""
    return sum(
        2.0 * _F * stack.num_experts * stack.hidden_size * stack.expert_intermediate_size
        for stack in stacks(config)
        for i in range(stack.num_layers)
        if is_sparse(stack, i)
    )
