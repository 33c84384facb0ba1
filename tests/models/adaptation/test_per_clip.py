"""Adaptation to one clip: held-out frames decide when to stop, and the result is never worse than the start."""

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
from test_adaptation import CORRECTOR, corrector_clip

from motion_adapt.models.adaptation.adapt_corrector import CorrectorClipBatches
from motion_adapt.models.adaptation.per_clip import PartOfClip, adapt_to_clip, held_out_frames
from motion_adapt.models.networks.checkpoints import save_checkpoint, tensors_digest
from motion_adapt.models.networks.corrector import MaskCorrector
from motion_adapt.models.pretraining.recipe import finished, fresh_network
from motion_adapt.models.training.course import Course

MARKS = tuple((frame, 0) for frame in range(2, 20, 2))  # nine exemplar frames


@pytest.fixture(scope="module")
def corrector():
    return finished("corrector", fresh_network(MaskCorrector, CORRECTOR, 0), network=CORRECTOR, training={})


def marks(*pairs, frames=12, objects=3):
    exemplars = np.zeros((frames, objects), bool)
    for frame, k in pairs:
        exemplars[frame, k] = True
    return exemplars


def test_every_fourth_exemplar_frame_is_held_out():
    held = held_out_frames(marks(*[(frame, 0) for frame in range(1, 12)]))
    assert np.flatnonzero(held).tolist() == [3, 7, 11]
    assert not held_out_frames(marks((1, 0), (4, 0), (6, 0))).any()


def test_an_object_keeps_an_exemplar_to_learn_from():
    held = held_out_frames(marks((0, 0), (2, 0), (4, 1), (6, 0), (8, 0)))
    assert not held[4]


def test_held_out_frames_are_never_learnt_from():
    clip = corrector_clip(marks=MARKS)
    held = held_out_frames(clip.exemplars)
    arrays = {item.name: getattr(clip, item.name) for item in dataclasses.fields(clip)}
    batches = CorrectorClipBatches([PartOfClip(**arrays, believed=~held)], window=7, limit=104, target=100)
    for step in range(20):
        (episode,) = batches(step, np.random.default_rng(step))["episodes"]
        assert episode["supervised"].any()
        assert not episode["supervised"][held[episode["frames"]]].any()


def test_frames_without_an_object_are_not_held_out(corrector):
    empty = tuple((frame, 1) for frame in range(1, 20, 2))
    seen = [
        adapt_to_clip(corrector, corrector_clip(marks=some), Course(steps=1)).settings["training"]["held_out"]
        for some in (empty, MARKS, MARKS + empty)
    ]
    assert seen[0] == [] and len(seen[1]) == len(seen[2]) == 2


def test_the_held_out_loss_is_that_of_the_masks_only(corrector):
    """The held-out loss before the first step does not depend on whether features are reconstructed."""
    losses = [
        adapt_to_clip(
            corrector, corrector_clip(marks=MARKS), Course(steps=1), reconstruction=learnt
        ).settings["training"]["held_out"][0]
        for learnt in (True, False)
    ]
    assert losses[0] == losses[1]


def test_it_learns_and_keeps_the_best_corrector(corrector):
    made = adapt_to_clip(corrector, corrector_clip(marks=MARKS), Course(steps=12, rate=3e-3), check_every=4)
    training = made.settings["training"]
    losses = dict(training["held_out"])
    assert list(losses) == [0, 4, 8, 12]
    assert training["kept_step"] == min(losses, key=losses.get) > 0
    assert losses[training["kept_step"]] < losses[0]
    assert tensors_digest(made.tensors) != tensors_digest(corrector.tensors)
    again = adapt_to_clip(corrector, corrector_clip(marks=MARKS), Course(steps=12, rate=3e-3), check_every=4)
    assert tensors_digest(again.tensors) == tensors_digest(made.tensors)


@pytest.mark.parametrize(
    ("rate", "death", "end"),
    # The last rate changes nothing: two checks in a row are not better.
    [(3e-3, 3, 12), (3e-3, 8, 12), (1e-20, 3, 4)],
)
def test_a_killed_run_resumes_with_its_held_out_losses(corrector, tmp_path, rate, death, end):
    clip, seen = corrector_clip(marks=MARKS), []
    course, options = Course(steps=12, rate=rate), {"check_every": 2, "patience": 2}
    whole = adapt_to_clip(corrector, clip, course, **options)
    told = whole.settings["training"]
    assert told["held_out"][-1][0] == end
    assert (told["kept_step"] > 0) == (end == 12)

    def die(step, terms):
        if step == death:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adapt_to_clip(corrector, clip, replace(course, state=tmp_path / "state.pt", on_step=die), **options)
    goes_on = {"state": tmp_path / "state.pt", "on_step": lambda step, terms: seen.append(step)}
    made = adapt_to_clip(corrector, clip, replace(course, **goes_on), **options)
    assert seen == list(range(death // 2 * 2, end))
    assert tensors_digest(made.tensors) == tensors_digest(whole.tensors)
    assert made.settings == whole.settings


def test_it_stops_early_and_keeps_its_start_if_nothing_is_better(corrector):
    seen = []
    made = adapt_to_clip(
        corrector,
        corrector_clip(marks=MARKS),
        Course(steps=200, rate=1e-20, on_step=lambda step, terms: seen.append(step)),
        check_every=1,
        patience=2,
    )
    assert seen == [0, 1]
    assert made.settings["training"]["kept_step"] == 0
    assert tensors_digest(made.tensors) == tensors_digest(corrector.tensors)


def test_a_loss_that_is_not_finite_is_not_better_and_can_be_saved(corrector, tmp_path):
    course = Course(steps=12, rate=1e30)
    made = adapt_to_clip(corrector, corrector_clip(marks=MARKS), course, check_every=2, patience=2)
    save_checkpoint(tmp_path / "corrector.safetensors", made)
    training = made.settings["training"]
    assert [step for step, _ in training["held_out"]] == [0] and training["kept_step"] == 0
    assert tensors_digest(made.tensors) == tensors_digest(corrector.tensors)


def test_a_clip_without_held_out_frames_is_trained_for_all_steps(corrector):
    seen = []
    clip = corrector_clip(marks=((2, 0), (9, 0)))
    made = adapt_to_clip(
        corrector, clip, Course(steps=3, on_step=lambda s, t: seen.append(s)), check_every=1, patience=1
    )
    assert seen == [0, 1, 2]
    assert made.settings["training"]["kept_step"] == 3 and made.settings["training"]["held_out"] == []


def test_nonsense_is_refused(corrector):
    with pytest.raises(ValueError, match="patience of at least 1"):
        adapt_to_clip(corrector, corrector_clip(marks=MARKS), Course(steps=1), patience=0)
