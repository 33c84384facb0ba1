"""The evaluation protocols against the official numbers, and their rules on small clips."""

import numpy as np
import pytest

from motion_adapt.models.scoring.protocols import (
    NothingToScore,
    averages,
    score_matched,
    score_objects,
    score_union,
)
from tests.models.reference_metrics import TOLERANCE, folder, label_maps, rows

SINGLE = ("bmx-trees", "dog", "drift-straight")
MULTI = ("dogs-jump", "india", "pigs")


# ---------------------------------------------------------------------------------- golden numbers


@pytest.mark.parametrize("convention", ["davis16", "all-frames"])
def test_single_object_rule(convention):
    golden = folder("MOTION_ADAPT_METRICS") / "single"
    annotations = folder("MOTION_ADAPT_DATA") / "DAVIS2016-half/Annotations/480p"
    wanted = {row["seq"]: row for row in rows(golden / "statistics.csv") if row["convention"] == convention}
    frames = {(row["seq"], int(row["frame"])): row for row in rows(golden / "per_frame.csv")}
    scores = []
    for seq in SINGLE:
        truths = label_maps(annotations / seq) != 0  # the one object is stored as 255
        pairs = zip(truths, label_maps(golden / "results" / seq), strict=True)
        score = score_union(pairs, clip=seq, skip_ends=convention == "davis16")
        scores.append(score)
        (one,) = score.objects
        assert len(score.frames) == int(wanted[seq]["frames"])
        for index, j, f in zip(score.frames, one.J, one.F, strict=True):
            assert j == pytest.approx(float(frames[seq, index]["J"]), abs=TOLERANCE)
            assert f == pytest.approx(float(frames[seq, index]["F"]), abs=TOLERANCE)
        compare(one, wanted[seq])
    compare_averages(averages(scores), wanted["AVERAGE"])


@pytest.mark.parametrize(
    "variant",
    ["plain", "void", "void-on-objects", "late-object", "two-proposals", "no-proposal", "gt-permuted", "K3"],
)
def test_multi_object_protocol(variant):
    golden = folder("MOTION_ADAPT_METRICS") / "multi"
    per_frame, costs = np.load(golden / "per_frame.npz"), np.load(golden / "cost_plain.npz")
    objects = {
        (r["seq"], int(r["object"])): r for r in rows(golden / "objects.csv") if r["variant"] == variant
    }
    scores = []
    for seq in MULTI:
        truths = label_maps(golden / "Annotations_unsupervised/480p" / seq)
        labels = label_maps(golden / "results" / seq)
        score = score_objects(zip(*VARIANTS[variant](truths.copy(), labels), strict=True), clip=seq)
        scores.append(score)
        for found in score.objects:
            row = objects[seq, found.object]
            compare(found, row)
            name = f"{variant}__{seq}__{found.object}"
            np.testing.assert_allclose(found.J, per_frame[f"{name}__J"], rtol=0, atol=TOLERANCE)
            np.testing.assert_allclose(found.F, per_frame[f"{name}__F"], rtol=0, atol=TOLERANCE)
            if variant == "plain":
                assert found.proposal == int(row["matched_proposal"])
                cost = costs[seq][found.proposal - 1, found.object - 1]
                assert (found.J.mean() + found.F.mean()) / 2 == pytest.approx(cost, abs=TOLERANCE)
    assert sum(len(score.objects) for score in scores) == len(objects)
    (row,) = (r for r in rows(golden / "global.csv") if r["variant"] == variant)
    compare_averages(averages(scores), row)
    assert averages(scores)["JF"] == pytest.approx(float(row["J&F_mean"]), abs=TOLERANCE)


def compare(found, row):
    for measure, got in (("J", found.region), ("F", found.contour)):
        wanted = [float(row[f"{measure}_{name}"]) for name in ("mean", "recall", "decay")]
        assert got == pytest.approx(wanted, abs=TOLERANCE)


def compare_averages(table, row):
    for measure in ("J", "F"):
        assert table[measure] == pytest.approx(float(row[f"{measure}_mean"]), abs=TOLERANCE)
        for name in ("recall", "decay"):
            assert table[f"{measure}_{name}"] == pytest.approx(float(row[f"{measure}_{name}"]), abs=TOLERANCE)


def void_rows(truths, labels):
    truths[:, :96] = 255
    return truths, labels


def void_columns(truths, labels):
    truths[:, :, 400:480] = 255
    return truths, labels


def late_object(truths, labels):
    truths[0][truths[0] == 3] = 0
    return truths, labels


def permuted(truths, labels):
    return np.array([0, 2, 3, 1], np.uint8)[truths], labels


def largest_three(truths, labels):
    sizes = np.bincount(labels.ravel(), minlength=21)[1:]
    table = np.zeros(256, np.uint8)
    for rank, index in enumerate(np.argsort(-sizes, kind="stable")[:3]):
        table[index + 1] = rank + 1
    return truths, table[labels]


VARIANTS = {
    "plain": lambda truths, labels: (truths, labels),
    "void": void_rows,
    "void-on-objects": void_columns,
    "late-object": late_object,
    "two-proposals": lambda truths, labels: (truths, np.where(labels > 2, 0, labels).astype(np.uint8)),
    "no-proposal": lambda truths, labels: (truths, np.zeros_like(labels)),
    "gt-permuted": permuted,
    "K3": largest_three,
}


# --------------------------------------------------------------------------------------- small clips


def clip_of(*boxes, size=(40, 60), frames=5):
    """Return label maps u8 (frames, H, W): the k-th box (top, bottom, left, right) is object k + 1."""
    labels = np.zeros((frames, *size), np.uint8)
    for k, (top, bottom, left, right) in enumerate(boxes):
        labels[:, top:bottom, left:right] = k + 1
    return labels


LEFT, RIGHT = (5, 25, 5, 25), (5, 25, 35, 55)


def test_matched_takes_one_channel_and_union_all():
    truth, prediction = clip_of(RIGHT), clip_of(LEFT, RIGHT)
    matched = score_matched(zip(truth, prediction, strict=True)).objects[0]
    assert (matched.proposal, matched.region.mean) == (2, 1.0)
    assert score_union(zip(truth, prediction, strict=True)).objects[0].region.mean == 0.5
    assert score_matched(zip(truth, prediction, strict=True)).frames == (1, 2, 3)


def test_matched_is_one_channel_for_the_whole_clip():
    truth, prediction = clip_of(LEFT), clip_of(LEFT)
    prediction[3:] *= 2
    matched = score_matched(zip(truth, prediction, strict=True)).objects[0]
    assert (matched.proposal, matched.region.mean) == (1, pytest.approx(2 / 3))


def test_two_frames_leave_nothing_to_score():
    truth = clip_of(LEFT, frames=2)
    with pytest.raises(NothingToScore, match="two-frames"):
        score_union(zip(truth, truth, strict=True), clip="two-frames")
    assert score_union(zip(truth, truth, strict=True), skip_ends=False).frames == (0, 1)
    with pytest.raises(NothingToScore):
        averages([])


def test_frames_without_annotation_are_not_scored():
    truth = clip_of(LEFT)
    sparse = [truth[0], None, truth[2], None, truth[4]]
    assert score_union(zip(sparse, truth, strict=True)).frames == (2,)
    assert score_objects(zip(sparse, truth, strict=True)).frames == (0, 2, 4)


def test_objects_find_their_proposals():
    truth, prediction = clip_of(LEFT, RIGHT), clip_of((30, 38, 5, 9), RIGHT, LEFT)
    score = score_objects(zip(truth, prediction, strict=True))
    assert [o.proposal for o in score.objects] == [3, 2]
    assert averages([score])["JF"] == 1


def test_five_objects_and_three_proposals():
    boxes = [(2, 12, 2 + 11 * k, 10 + 11 * k) for k in range(5)]
    score = score_objects(zip(clip_of(*boxes), clip_of(*boxes[:3]), strict=True))
    assert sorted(o.region.mean for o in score.objects) == [0, 0, 1, 1, 1]
    assert [o.proposal for o in score.objects] == [1, 2, 3, 0, 0]


def test_ids_that_do_not_occur_are_no_objects():
    truth = np.array([0, 12, 15], np.uint8)[clip_of(LEFT, RIGHT)]
    perfect = score_objects(zip(truth, clip_of(RIGHT, LEFT), strict=True))
    assert [(o.object, o.proposal, o.region.mean) for o in perfect.objects] == [(12, 2, 1), (15, 1, 1)]
    empty = score_objects(zip(truth, clip_of(), strict=True))
    assert [(o.object, o.proposal, o.region.mean) for o in empty.objects] == [(12, 0, 0), (15, 0, 0)]
    truth[0][truth[0] == 12] = 0  # below the first frame's largest id: an object that appears later
    assert [o.object for o in score_objects(zip(truth, clip_of(), strict=True)).objects] == [12, 15]


def test_more_objects_than_proposals_are_allowed():
    boxes = [(2, 12, 2 * k, 2 * k + 2) for k in range(25)]
    truth = clip_of(*boxes)
    found = score_objects(zip(truth, np.where(truth > 20, 0, truth).astype(np.uint8), strict=True)).objects
    assert [o.object for o in found if o.region.mean == 1] == list(range(1, 21))
    assert [(o.object, o.proposal) for o in found if o.region.mean == 0] == [(k, 0) for k in range(21, 26)]


def test_objects_that_appear_too_late_are_named():
    truth = clip_of(LEFT)
    truth[2:, 5:25, 35:55] = 4
    score = score_objects(zip(truth, clip_of(LEFT, RIGHT), strict=True))
    assert [o.object for o in score.objects] == [1] and score.late == (4,)


def test_empty_annotations():
    empty, full = clip_of(), clip_of(LEFT)
    assert averages([score_union(zip(empty, empty, strict=True))])["JF"] == 1
    assert averages([score_union(zip(empty, full, strict=True))])["JF"] == 0
    with pytest.raises(NothingToScore, match="no object"):
        score_objects(zip(empty, full, strict=True))


@pytest.mark.parametrize("score", [score_objects, score_union, score_matched])
def test_void_is_no_object_and_costs_nothing(score):
    truth = clip_of(LEFT)
    truth[:, :, 25:] = 255
    for prediction in (clip_of(LEFT), clip_of((5, 25, 5, 60))):
        found = score(zip(truth, prediction, strict=True))
        assert len(found.objects) == 1 and found.objects[0].region.mean == found.objects[0].contour.mean == 1


@pytest.mark.parametrize("score", [score_union, score_matched])
def test_an_object_that_is_gone_may_leave_void_but_void_alone_is_no_annotation(score):
    truth = clip_of(LEFT)
    truth[1:][truth[1:] > 0] = 255
    assert score(zip(truth, clip_of(), strict=True)).objects[0].region.mean == 1
    with pytest.raises(ValueError, match=r"clip-a: .* 255, which is void, and no object"):
        score(zip(clip_of(LEFT) * 255, clip_of(), strict=True), clip="clip-a")


def test_bad_predictions_are_named():
    truth = clip_of(LEFT)
    with pytest.raises(ValueError, match=r"clip-a, frame 0.*up to 20, got 21"):
        score_objects(zip(truth, np.full_like(truth, 21), strict=True), clip="clip-a")
    with pytest.raises(ValueError, match="up to 3, got 4"):
        score_matched(zip(truth, np.full_like(truth, 4), strict=True))
    with pytest.raises(ValueError, match=r"frame 1.*60x40.*30x40"):
        score_union(zip(truth, clip_of(size=(40, 30)), strict=True))
    with pytest.raises(ValueError, match="label map u8"):
        score_union(zip(truth, truth.astype(np.int64), strict=True))
