"""Likelihoods of tokens under a language model's scores."""

import numpy as np
from numpy.typing import NDArray

_CHUNK = 2_000_000
"""Numbers that are worked on at a time: scores of whole splits in float64 would fill memory."""


def log_softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithms of the probabilities that scores (n, classes) stand for, (n, classes)."""
    highest = scores.max(axis=1, keepdims=True)
    logs: NDArray[np.float64] = scores - highest - np.log(np.exp(scores - highest).sum(axis=1, keepdims=True))
    return logs


def token_losses(
    scores: NDArray[np.floating], targets: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The sum of the negative log-likelihoods of each row's tokens in nats, and how many tokens were asked for.

    Args:
        scores: (n, tokens, vocabulary), or the same in fewer axes; a log-softmax is taken of them.
        targets: the true tokens (n, tokens); −1 where none is asked for.

    Returns:
        Sums (n,) and counts (n,). A score that is no number makes its row's sum infinite.
    """
    n, tokens = targets.shape
    shaped = scores.reshape(n, tokens, -1)
    sums, counts = np.zeros(n), (targets >= 0).sum(axis=1)
    step = max(1, _CHUNK // max(1, tokens * shaped.shape[2]))
    for start in range(0, n, step):
        part = shaped[start : start + step].astype(np.float64)
        wanted = targets[start : start + step]
        with np.errstate(invalid="ignore"):
            highest = part.max(axis=2, keepdims=True)
            logsum = highest[..., 0] + np.log(np.exp(part - highest).sum(axis=2))
            taken = np.take_along_axis(part, np.maximum(wanted, 0)[..., None], axis=2)[..., 0]
            lost = np.where(wanted >= 0, logsum - taken, 0.0).sum(axis=1)
        sums[start : start + step] = np.where(np.isfinite(lost), lost, np.inf)
    return sums, counts
