"""Scores of rankings, from 0 to 1: mean reciprocal rank, and MAP@R and precision at R of retrieval by likeness."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from tfllm.errors import UserError


def mean_reciprocal_rank(rankings: Sequence[Sequence[Hashable]], answers: Sequence[Hashable]) -> float:
    """Mean of 1 / rank of the answer, 0 where it is not in the ranking: AdvTest's score.

    Args:
        rankings: candidates, the best first, for each of N queries.
        answers: the right candidate of each.

    Raises:
        UserError: no queries, or not an answer for each.

    Example:
        >>> mean_reciprocal_rank([[3, 1], [2, 5]], [1, 2])
        0.75
    """
    if len(rankings) != len(answers) or not len(rankings):
        raise UserError(
            "Expected an answer for each ranking, and at least one. "
            f"Received: {len(rankings)} rankings and {len(answers)} answers."
        )
    ranks = [_rank(ranking, answer) for ranking, answer in zip(rankings, answers)]
    return float(np.mean([1 / rank if rank else 0.0 for rank in ranks]))


def map_at_r(scores, labels) -> float:
    """MAP@R (Musgrave et al. 2020): mean over queries of the average precision among the R best, R of them being right.

    Every example is a query for the others of its class. The precision counts at the places of right ones, and their
    sum is divided by R. CodeXGLUE's POJ-104 has R = 499; its training script computes this, its leaderboard's script
    `precision_at_r`.

    Args:
        scores: likeness `(N, N)`, the higher the more alike; the diagonal is not looked at.
        labels: classes `(N,)`, each with at least two members.

    Raises:
        UserError: another shape, or a class with one member.

    Example:
        >>> map_at_r([[9, 2, 1], [2, 9, 1], [2, 1, 9]], [0, 0, 0])
        1.0
    """
    hits, relevant = _hits(scores, labels)
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    return float(np.mean((precision * hits).sum(axis=1) / relevant))


def average_precisions(scores, labels, own, label_of_all) -> np.ndarray:
    """What `map_at_r` is the mean of, for some of the queries, `(Q,)`: so that the likenesses of all need not be in memory.

    Args:
        scores: likeness of Q queries to all N examples, `(Q, N)`.
        labels: classes of the queries `(Q,)`.
        own: the place of each query among the N, `(Q,)`: it does not retrieve itself.
        label_of_all: classes `(N,)`.

    Example:
        >>> average_precisions([[9, 2, 1]], [0], [0], [0, 0, 1])
        array([1.])
    """
    scores, label_of_all = np.array(scores, np.float64), np.asarray(label_of_all)
    scores[np.arange(len(scores)), own] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :-1]
    hits = label_of_all[order] == np.asarray(labels)[:, None]
    relevant = hits.sum(axis=1)
    if not relevant.all():
        raise UserError("Every class needs two members to retrieve one by the other. Received: one of a single member.")
    hits &= np.arange(hits.shape[1]) < relevant[:, None]
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    return (precision * hits).sum(axis=1) / relevant


def precision_at_r(scores, labels) -> float:
    """The share of right ones among the R best; arguments and errors as `map_at_r`."""
    hits, relevant = _hits(scores, labels)
    return float(np.mean(hits.sum(axis=1) / relevant))


def _hits(scores, labels) -> tuple[np.ndarray, np.ndarray]:
    """Whether the k-th best of each query is right, 0 beyond R, `(N, N - 1)`; and R, `(N,)`."""
    scores, labels = np.array(scores, np.float64), np.asarray(labels)
    if scores.ndim != 2 or scores.shape != (len(labels),) * 2:
        raise UserError(
            f"Expected likenesses of shape (N, N) and N labels. Received: {scores.shape} and {labels.shape}."
        )
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    relevant = counts[classes] - 1
    if not relevant.all():
        raise UserError(
            f"Every class needs two members to retrieve one by the other. Received: one of {labels[relevant == 0][0]!r}."
        )
    np.fill_diagonal(scores, -np.inf)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :-1]
    hits = labels[order] == labels[:, None]
    return hits & (np.arange(hits.shape[1]) < relevant[:, None]), relevant


def _rank(ranking: Sequence[Hashable], answer: Hashable) -> int | None:
    return next((place for place, candidate in enumerate(ranking, 1) if candidate == answer), None)
