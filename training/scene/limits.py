"""The limits between which the scene classifier is unsure, from probabilities of pictures that it has not seen."""

from typing import Any

import numpy as np
import numpy.typing as npt

from crowdserve.scene.classifier import LABELS
from crowdserve.scene.decision import Decision

LOST, GAINED = 0.01, 0.01
"""Shares of the dense and of the sparse pictures that may be taken for the other scene without being called unsure."""

NOBODY, ALIKE = 2.0, 0.5
"""See `Decision`; measured with the shipped networks, see the log of 2026-11-27."""

_STEPS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 0.99)

_Probabilities = npt.NDArray[np.float64]


def choose_decision(dense: _Probabilities, labels: npt.NDArray[np.int64]) -> Decision:
    """Limits that few pictures are beyond on the wrong side.

    Args:
        dense: Probabilities of a dense scene by classifiers that have not seen the picture, [pictures].
        labels: Labels of the pictures, [pictures].
    """
    of_dense, of_sparse = dense[labels == LABELS["dense"]], dense[labels == LABELS["sparse"]]
    sparse_up_to = float(np.quantile(of_dense, LOST, method="lower"))
    dense_from = float(np.quantile(of_sparse, 1 - GAINED, method="higher"))
    if sparse_up_to >= dense_from:  # nothing lies between: never unsure
        sparse_up_to = dense_from = float(np.clip(0.5, dense_from, sparse_up_to))
    return Decision(round(dense_from, 4), round(sparse_up_to, 4), NOBODY, ALIKE)


def curve(dense: _Probabilities, labels: npt.NDArray[np.int64]) -> list[dict[str, Any]]:
    """For each threshold the shares of dense pictures below it and of sparse ones above."""
    of_dense, of_sparse = dense[labels == LABELS["dense"]], dense[labels == LABELS["sparse"]]
    return [
        {
            "dense_from": step,
            "dense_lost": round(float((of_dense < step).mean()), 4),
            "sparse_gained": round(float((of_sparse >= step).mean()), 4),
        }
        for step in _STEPS
    ]


def describe(decision: Decision, dense: _Probabilities, labels: npt.NDArray[np.int64]) -> dict[str, Any]:
    """What the decision does to the pictures, for the record."""
    unsure = np.array([decision.is_unsure(p) for p in dense])
    return {
        "pictures": len(dense),
        "unsure": {route: round(float(unsure[labels == label].mean()), 4) for route, label in LABELS.items()},
        "dense_taken_for_sparse": round(float((dense[labels == LABELS["dense"]] <= decision.sparse_up_to).mean()), 4),
        "sparse_taken_for_dense": round(float((dense[labels == LABELS["sparse"]] >= decision.dense_from).mean()), 4),
        "curve": curve(dense, labels),
    }
