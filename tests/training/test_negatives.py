import numpy as np

from training.negatives import GREYS, SIDE_PX, make_negatives


def test_negatives_are_repeatable_pictures_that_differ():
    pictures = make_negatives(20, seed=1)
    assert {(p.shape, p.dtype) for p in pictures} == {((SIDE_PX, SIDE_PX, 3), np.dtype(np.uint8))}
    assert len({p.tobytes() for p in pictures}) == 20  # no two alike
    assert [p.tobytes() for p in make_negatives(9, seed=1)] == [p.tobytes() for p in pictures[:9]]


def test_every_other_picture_is_an_even_grey():
    pictures = make_negatives(2 * len(GREYS), seed=0)
    assert [int(p.mean()) for p in pictures[::2]] == list(GREYS)
    assert all(p.std() == 0 for p in pictures[::2])
    assert any(p.std() > 0 for p in pictures[1::2])
