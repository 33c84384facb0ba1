"""What a checkpoint was trained on is known through all its trainings, and never guessed."""

import pytest

from motion_adapt.flows.run.start_weights import SHIPPED
from motion_adapt.models.networks.checkpoints import read_checkpoint
from motion_adapt.models.networks.lineage import TrainedOn, Training, is_supervised, trainings_of


def test_supervision_is_remembered_through_later_trainings() -> None:
    start = {"on": "annotations", "start": {"steps": 1}}
    assert is_supervised({"training": {"on": "pseudo-labels", "start": start}})
    assert not is_supervised({"training": {"on": "pseudo-labels", "start": {"steps": 1, "start": None}}})
    assert not is_supervised({"training": None})


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*/*.safetensors")), ids=lambda path: path.stem)
def test_shipped_networks_saw_synthetic_clips_or_masks_of_the_method(path) -> None:
    found = trainings_of(read_checkpoint(path).settings)
    assert found and found[-1].from_scratch
    if path.stem == "clip_network":
        assert [training.on for training in found] == [TrainedOn.MASKS_OF_CLIPS]
    else:
        later = [training for training in found if training.on is not TrainedOn.PSEUDO_LABELS]
        assert later and all(training.on is not None and training.on.is_synthetic for training in later)
    assert not any(training.by_hand for training in found)


def test_an_imported_checkpoint_states_no_data() -> None:
    release = {"source": "authors' release", "file": "corrector.pth"}
    adapted = {"on": "pseudo-labels", "steps": 200, "start": release}
    assert trainings_of({"training": adapted}) == (
        Training(TrainedOn.PSEUDO_LABELS, 200, False),
        Training(None, None, True),
    )


def test_training_data_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match='trained on "hearsay"; this version knows synthetic clips'):
        is_supervised({"training": {"on": "pseudo-labels", "start": {"on": "hearsay"}}})
