"""Low-rank updates: fine-tuning a small part of a model (LoRA), over a quantized base or not (QLoRA)."""

from __future__ import annotations

from tfllm.errors import UserError
from tfllm.models import TransformerModel, adaptation
from tfllm.training.freezing import matches
from tfllm.zoo.adapters import head_paths

TARGETS = r"attention/(query|value)$"


def lora(
    model: TransformerModel,
    rank: int = 8,
    alpha: float = 16,
    targets: str = TARGETS,
    dropout: float = 0.0,
    *,
    also_train: str | None = None,
) -> TransformerModel:
    """Adds low-rank updates to a model (Hu et al., 2022, LoRA) and freezes the rest, save a labelled head's weights and fresh ones.

    A projection then computes `x W + b + alpha / rank * dropout(x) A B`, of which A and B are trained. B starts at 0, so the model
    computes what it did. `.keras` files and weights files keep kernels and updates apart. With `quantize(model, "int4")` first, this is
    QLoRA (Dettmers et al., 2023).

    Args:
        model: a tfllm model, before its first training step; changed in place.
        rank: of each update.
        alpha: the updates are scaled by `alpha / rank`.
        targets: a regular expression that is searched for in the paths of the projections, such as
            `encoder/block_0/attention/query`; default: queries and values, as in the paper.
        dropout: rate on what enters the updates.
        also_train: a regular expression over the paths of weights to train beside the updates; default: the head's, where the
            model has labels, and those that are freshly initialised.

    Returns:
        The model.

    Raises:
        UserError: a value is out of range, a pattern matches nothing, the model is none of tfllm's, or it has updates already.

    Example:
        >>> config = tfllm.TransformerConfig(vocab_size=9, hidden_size=8, num_layers=1, num_heads=2, intermediate_size=8)
        >>> model = lora(tfllm.models.SequenceClassifier(config), rank=2)
        >>> [weight.path.split("/", 1)[1] for weight in model.trainable_weights if "lora" in weight.path][:2]
        ['encoder/block_0/attention/query/lora_a', 'encoder/block_0/attention/query/lora_b']
    """
    if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1 or alpha <= 0 or not 0 <= dropout < 1:
        raise UserError(
            "lora takes a whole rank of at least 1, alpha above 0 and dropout in [0, 1). "
            f"Received: {rank=}, {alpha=}, {dropout=}."
        )
    layers = adaptation.projections(model)
    if not layers or not isinstance(model, TransformerModel):
        raise UserError(f"Expected a model of tfllm's own layers to adapt. Received: a {type(model).__name__}.")
    if adaptation.adapted(model):
        raise UserError("This model has low-rank updates already: merge_lora adds them to its kernels.")
    chosen = matches(targets, list(layers), "targets")
    weights = list(model.named_weights())
    trained = head_paths(model) if also_train is None else set(matches(also_train, weights, "also_train"))
    update = {"rank": rank, "alpha": float(alpha), "dropout": float(dropout)}
    adaptation.add_updates(model, dict.fromkeys(chosen, update), trained=trained.__contains__)
    return model


def merge_lora(model: TransformerModel) -> TransformerModel:
    """Adds a model's low-rank updates to its kernels, in place: a plain model that computes the same (to rounding).

    Quantized kernels become floating point, so that `tfllm.save` can write them. The kernels are trained again; what else `lora` has
    frozen stays so.

    Raises:
        UserError: there are no updates and no quantized kernels.
    """
    if not adaptation.record(model):
        raise UserError("merge_lora takes a model with low-rank updates or quantized kernels. Received: a plain one.")
    for layer in adaptation.projections(model).values():
        if layer.lora is not None or layer.quantization_mode is not None:
            layer.merge_lora()
    return model


def quantize(model: TransformerModel, mode: str) -> TransformerModel:
    """Quantizes the kernels of a model's attention and feed-forward layers with Keras' quantizers, in place; biases, norms, embeddings
    and heads stay as they are. The kernels are no longer trained: `lora` comes next.

    Args:
        mode: `"int8"` (a scale for each column) or `"int4"` (scale and zero point for each 64 rows of a column).

    Raises:
        UserError: another mode, a model that is quantized or has updates, or a Keras that is too old.
    """
    adaptation.quantize(model, mode)
    return model
