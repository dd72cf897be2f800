"""What TensorFlow and malloc add to the tensors of a training step on a CPU."""

from __future__ import annotations

from tfllm.config import TransformerConfig
from tfllm.training.planning.parameters import is_sparse, stacks

_MIB = 2**20
# What tracing, Grappler's and XLA's compilation and the threads take on a CPU, beside the tensors; measured with models 16 wide
# (bench/memory.py): so much at all, and for each block, with dropout and without, and what is added where it is there twice.
_CPU_RUNTIME, _CPU_BLOCK, _CPU_PLAIN_BLOCK, _CPU_BLOCK_AGAIN = 165 * _MIB, 37 * _MIB, 22 * _MIB, 12 * _MIB
# glibc's malloc takes larger blocks from the system and gives them back; smaller ones stay in its heap (mallopt(3), M_MMAP_THRESHOLD).
_LARGEST_IN_HEAP = 32 * _MIB


def cpu_runtime(config: TransformerConfig, rematerialised: bool = False) -> float:
    """Bytes that training takes beside its tensors; `rematerialised`: blocks stand twice in the graph."""
    layers = config.num_layers + (config.num_decoder_layers or 0)
    has_dropout = config.dropout or config.attention_dropout
    block = _CPU_BLOCK if has_dropout else _CPU_PLAIN_BLOCK
    return _CPU_RUNTIME + layers * (block + (_CPU_BLOCK_AGAIN if rematerialised else 0))


def large_gradients(config: TransformerConfig, head: str) -> float:
    """Bytes of the gradients that are too large for malloc's heap: of tables and of wide layers."""
    c = config
    matrices = [c.vocab_size * c.embedding_size] * (
        2 if not c.tie_embeddings and head in ("masked_lm", "causal_lm", "seq2seq_lm") else 1
    )
    for stack in stacks(c):
        for i in range(stack.num_layer_groups):
            if is_sparse(stack, i):
                matrices += [stack.num_experts * stack.hidden_size * stack.expert_intermediate_size] * 3
            else:
                matrices += [stack.hidden_size * stack.intermediate_size] * (3 if stack.gated else 2)
            matrices += [stack.hidden_size * stack.num_heads * stack.head_dim] * 2
    return float(sum(4 * size for size in matrices if 4 * size > _LARGEST_IN_HEAP))
