"""Numbers of a set of logits."""

import math

import numpy as np


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities, float32 (n, classes), of logits of that shape."""
    from scipy import special

    return special.softmax(np.asarray(logits, dtype=np.float64), axis=1).astype(np.float32)


def losses_of(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Cross-entropy of each row in nats, shape (n,)."""
    from scipy import special

    return -special.log_softmax(np.asarray(logits, dtype=np.float64), axis=1)[np.arange(len(logits)), labels]


def scores(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """What a history keeps of a set of images.

    Args:
        logits: shape (n, classes).
        labels: shape (n,).

    Returns:
        `accuracy`, `cross_entropy`, and the mean top probability of right and of wrong predictions,
        `confidence_right` and `confidence_wrong` (NaN: there are none).
    """
    top, right = softmax(logits).max(axis=1), logits.argmax(axis=1) == labels
    return {
        "accuracy": float(right.mean()),
        "cross_entropy": float(losses_of(logits, labels).mean()),
        "confidence_right": float(top[right].mean()) if right.any() else math.nan,
        "confidence_wrong": float(top[~right].mean()) if not right.all() else math.nan,
    }
