"""Processors that turn the largest logit into a random draw: what cuts the distribution, and the draw itself."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from tfllm.generation.processors import FORBIDDEN
from tfllm.generation.view import View


@dataclasses.dataclass(frozen=True)
class Temperature:
    """Divides the logits: below 1 sharpens the distribution, above 1 flattens it."""

    value: float

    def __call__(self, logits, view: View):
        return logits / self.value


@dataclasses.dataclass(frozen=True)
class TopK:
    """Keeps the `k` most likely tokens (Fan et al., 2018); all that tie with the last of them, too."""

    k: int

    def __call__(self, logits, view: View):
        return tf.where(largest_until(logits, tf.ones_like(logits), self.k), logits, FORBIDDEN)


@dataclasses.dataclass(frozen=True)
class TopP:
    """Keeps the fewest most likely tokens whose probabilities sum to at least `mass` (nucleus sampling, Holtzman et al., 2020)."""

    mass: float

    def __call__(self, logits, view: View):
        return tf.where(largest_until(logits, tf.nn.softmax(logits), self.mass), logits, FORBIDDEN)


@dataclasses.dataclass(frozen=True)
class MinP:
    """Keeps tokens whose probability is at least `ratio` times the most likely one's (Nguyen et al., 2024)."""

    ratio: float

    def __call__(self, logits, view: View):
        least = tf.reduce_max(logits, axis=-1, keepdims=True) + tf.math.log(self.ratio)
        return tf.where(logits < least, FORBIDDEN, logits)


@dataclasses.dataclass(frozen=True)
class TypicalP:
    """Keeps the tokens whose surprise is nearest to the expected one, up to probabilities of `mass` (Meister et al., 2023)."""

    mass: float

    def __call__(self, logits, view: View):
        log_probs = tf.nn.log_softmax(logits)
        probs = tf.exp(log_probs)
        entropy = -tf.reduce_sum(tf.where(probs > 0, log_probs * probs, 0.0), axis=-1, keepdims=True)
        distance = tf.abs(-log_probs - entropy)  # inf for a forbidden token
        return tf.where(largest_until(-distance, probs, self.mass), logits, FORBIDDEN)


@dataclasses.dataclass(frozen=True)
class GumbelNoise:
    """Draws a token: the largest logit plus Gumbel noise has exactly the softmax's distribution (Gumbel, 1954; Maddison et al., 2014).

    The noise is a function of the row's seed and of the token's position in the row, and of nothing else: not of the other rows, of
    the padding, or of what was drawn before.
    """

    def __call__(self, logits, view: View):
        vocab_size = logits.shape[-1]

        def uniform(seed_and_position):
            # Bits, not floats: XLA makes other floats of the same bits.
            bits = tf.random.stateless_uniform(
                (vocab_size,), seed_and_position, minval=None, maxval=None, dtype=tf.uint32, alg="philox"
            )
            # 23 bits and a half: with one bit more the largest would be rounded to 1, whose noise is infinite.
            upper = tf.cast(tf.bitwise.right_shift(bits, tf.constant(9, tf.uint32)), tf.int32)
            return (tf.cast(upper, tf.float32) + 0.5) * 2.0**-23  # above 0 and below 1

        seeds = tf.stack([view.seeds, view.positions], axis=1)
        uniforms = tf.map_fn(uniform, seeds, fn_output_signature=tf.TensorSpec((vocab_size,), tf.float32))
        return logits - tf.math.log(-tf.math.log(uniforms))


def largest_until(keys: tf.Tensor, weights: tf.Tensor, target) -> tf.Tensor:
    """The fewest largest keys of each row whose weights sum to at least `target`, and all that tie with the smallest of them.

    The threshold is found bit by bit, in 32 passes over the row: a vocabulary's sort takes several times as long under XLA on a CPU.

    Args:
        keys, weights: `(B, V)` float32, weights of at least 0.
        target: scalar. All keys are taken if their weights do not sum to it.

    Returns:
        `(B, V)` bool.
    """
    bits = tf.bitcast(keys, tf.int32)
    # Integers in the order of the floats: negative floats order backwards by their bits.
    order = tf.where(bits < 0, tf.bitwise.bitwise_xor(bits, 0x7FFFFFFF), bits)

    def one_bit(i, threshold):
        # The sign bit first: setting it takes the threshold from the least integer to 0.
        candidate = tf.bitwise.bitwise_xor(threshold, tf.bitwise.left_shift(1, 31 - i))
        taken = tf.reduce_sum(tf.where(order >= candidate, weights, 0.0), axis=-1, keepdims=True)
        return i + 1, tf.where(taken >= target, candidate, threshold)

    least = tf.fill((keys.shape[0], 1), tf.int32.min)
    threshold = tf.while_loop(lambda i, _: i < 32, one_bit, (tf.constant(0), least), parallel_iterations=1)[1]
    return order >= threshold
