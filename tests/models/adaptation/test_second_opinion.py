"""The foreground that the shared network sees, divided among the objects of a clip."""

import hypothesis.strategies as st
import numpy as np
from hypothesis import given
from hypothesis.extra.numpy import arrays

from motion_adapt.models.adaptation.second_opinion import AmongObjects

shares = st.floats(0, 1, width=16)


@given(arrays(np.float16, (3, 1, 6, 7), elements=shares), arrays(np.float16, (3, 2, 6, 7), elements=shares))
def test_the_foreground_stays_as_it_is_and_every_pixel_has_one_owner(foreground, masks):
    divided = AmongObjects(foreground, masks)
    found = divided[0:3]
    assert divided.shape == found.shape == masks.shape and found.dtype == np.float32
    np.testing.assert_array_equal(found.max(axis=1, keepdims=True), foreground)
    assert ((found > 0).sum(axis=1) <= 1).all()
    np.testing.assert_array_equal(divided[[2, 0]], found[[2, 0]])


def test_pixels_belong_to_the_object_there_or_nearby_or_to_the_largest():
    masks = np.zeros((2, 2, 40, 80), np.float16)
    masks[0, 0, 10:30, 5:25] = 0.9
    masks[0, 1, 10:20, 60:70] = 0.8
    foreground = np.ones((2, 1, 40, 80), np.float16)
    found = AmongObjects(foreground, masks)[:]
    owner = found.argmax(axis=1)
    assert (owner[0][masks[0, 0] > 0] == 0).all() and (owner[0][masks[0, 1] > 0] == 1).all()
    assert owner[0, 15, 30] == 0 and owner[0, 15, 56] == 1  # beside them
    assert (owner[1] == 0).all()  # the second frame shows neither


def test_one_object_gets_all_of_it():
    foreground = np.random.default_rng(0).random((4, 1, 8, 8), np.float32)
    np.testing.assert_array_equal(AmongObjects(foreground, np.zeros((4, 1, 8, 8), np.float16))[:], foreground)
