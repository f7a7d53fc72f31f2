import numpy as np

from training.negatives import SIDE_PX, make_negatives


def test_negatives_are_repeatable_pictures_that_differ():
    pictures = make_negatives(20, seed=1)
    assert {(p.shape, p.dtype) for p in pictures} == {((SIDE_PX, SIDE_PX, 3), np.dtype(np.uint8))}
    assert len({p.tobytes() for p in pictures}) == 20
    assert [p.tobytes() for p in make_negatives(9, seed=1)] == [p.tobytes() for p in pictures[:9]]


def test_black_white_and_grey_come_first():
    assert [int(p.mean()) for p in make_negatives(3, seed=0)] == [0, 255, 128]
