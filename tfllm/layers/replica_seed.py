"""Random numbers that differ from one replica to the next, from seed generators that are in the same state on all of them."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

import keras
from keras import ops

# An odd number of about the size of the seeds: the seeds of one layer's replicas are as far apart as those of two layers.
_APART = 461_845_907

_drawn: contextvars.ContextVar = contextvars.ContextVar("drawn", default=None)
_replica: contextvars.ContextVar = contextvars.ContextVar("replica", default=None)


@contextlib.contextmanager
def drawing_for(replica) -> Iterator[None]:
    """Inside, in this thread, `of_this_replica` draws the numbers of that replica.

    Args:
        replica: its number, an int or an integer scalar tensor; `None` where there is one only.
    """
    token = _replica.set(replica)
    try:
        yield
    finally:
        _replica.reset(token)


@contextlib.contextmanager
def drawn_seeds(seeds: dict) -> Iterator[None]:
    """Inside, in this thread, `of_this_replica` gives seeds that were drawn before, and generators stay as they are: for computing
    the same thing twice.

    Args:
        seeds: `id` of a generator to its seed. One that is asked for several seeds gives others, the same in the same order.
    """
    token = _drawn.set(dict(seeds))
    try:
        yield
    finally:
        _drawn.reset(token)


def of_this_replica(generator: keras.random.SeedGenerator) -> keras.random.SeedGenerator:
    """What a layer gives `keras.random` functions as `seed`: `generator`, with the replica's number in what it draws.

    Replica 0 draws what a single device draws. The generator's state moves on in the same way everywhere, so that a saved state is right
    for any number of replicas.

    Example:
        >>> generator = keras.random.SeedGenerator(1)
        >>> with drawing_for(2):
        ...     numbers = keras.random.uniform((3,), seed=of_this_replica(generator))
    """
    seeds = _drawn.get()
    if seeds is not None and id(generator) in seeds:
        return _Drawn(seeds, id(generator))
    replica = _replica.get()
    return generator if replica is None else _OfReplica(generator, replica)


class _OfReplica(keras.random.SeedGenerator):
    """Another generator's seeds, moved by the replica's number. It has no state of its own, and Keras' constructor would make one."""

    def __init__(self, generator: keras.random.SeedGenerator, replica):
        self._generator, self._replica = generator, replica

    def next(self, ordered=True):
        seed = self._generator.next(ordered)
        shift = ops.cast(self._replica, seed.dtype) * _APART
        return seed + ops.stack([shift, ops.zeros_like(shift)])


class _Drawn(keras.random.SeedGenerator):
    """A seed that was drawn before. It has no state of its own, and Keras' constructor would make one."""

    def __init__(self, seeds: dict, key: int):
        self._seeds, self._key = seeds, key

    def next(self, ordered=True):
        seed = self._seeds[self._key]
        self._seeds[self._key] = seed + ops.cast(_APART, seed.dtype)
        return seed
