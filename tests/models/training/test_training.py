"""The training loop: a run that is killed and resumed ends with the same bits as an uninterrupted one."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from motion_adapt.models.training.batches import stream
from motion_adapt.models.training.course import Course, Schedule
from motion_adapt.models.training.loop import VALIDATION_SEED, mean_loss, train
from motion_adapt.models.training.resuming import BAD_STEPS_IN_A_ROW
from motion_adapt.models.training.state_file import StateFile


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 1))


def batches(step, rng):
    x = rng.standard_normal((8, 4)).astype(np.float32)
    return {"x": x, "y": x.sum(1, keepdims=True), "name": f"step {step}"}


def loss(module, batch):
    error = ((module(batch["x"]) - batch["y"]) ** 2).mean()
    return error, {"mse": error}


def run(module, steps=40, *, recipe=None, validation=None, extra=None, **options):
    given = {"recipe": recipe, "validation": validation, "extra": extra}
    schedule = Schedule.scaled(steps, 1e-2)
    train(module, batches, loss, Course(steps=steps, seed=3, **options), schedule=schedule, **given)


def weights(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def assert_same(first, second):
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


class Killed(Exception):
    pass


def kill_at(step):
    def on_step(now, terms):
        if now == step:
            raise Killed

    return on_step


def test_the_loss_falls_and_every_step_is_reported():
    losses = []
    run(network(), steps=200, on_step=lambda step, terms: losses.append(terms["loss"]))
    assert len(losses) == 200 and np.mean(losses[-20:]) < 0.5 * np.mean(losses[:20])


def test_the_same_seed_gives_the_same_weights_whatever_was_drawn_before():
    first, second = network(), network()
    run(first)
    torch.manual_seed(99)
    torch.rand(17)
    before = torch.get_rng_state()
    run(second)
    assert_same(weights(first), weights(second))
    assert torch.equal(before, torch.get_rng_state())  # the caller's random state is unchanged


def test_a_run_ends_with_the_weights_that_do_best_on_what_it_does_not_learn_from():
    """It learns y = sum(x) and is validated on y = 0, so the best weights are early ones."""

    def other(step, rng):
        return batches(step, rng) | {"y": np.zeros((8, 1), np.float32)}

    module, seen = network(), {}
    run(module, steps=200, validation=other, on_step=lambda step, terms: seen.setdefault(step + 1, terms))
    looks = {step: terms["validation"] for step, terms in seen.items() if "validation" in terms}
    assert sorted(looks) == list(range(10, 201, 10))
    found = mean_loss(
        module, loss, [other(i, np.random.default_rng([VALIDATION_SEED, i])) for i in range(8)], "cpu"
    )
    assert found == pytest.approx(min(looks.values())) and found < looks[200]


@pytest.mark.parametrize("death", [33, 150])
def test_a_killed_run_remembers_its_best_weights(tmp_path, death):
    whole, resumed, state = network(), network(), tmp_path / "state.pt"
    run(whole, steps=200, validation=batches)
    with pytest.raises(Killed):
        run(
            network(),
            steps=200,
            validation=batches,
            state=state,
            checkpoint_every=5,
            on_step=kill_at(death),
        )
    run(resumed, steps=200, validation=batches, state=state, checkpoint_every=5)
    assert_same(weights(whole), weights(resumed))


@pytest.mark.parametrize("death", [3, 17, 38])
def test_a_killed_run_continues_bit_for_bit(tmp_path, death):
    whole, state = network(), tmp_path / "state.pt"
    run(whole)
    with pytest.raises(Killed):
        run(network(), state=state, checkpoint_every=5, on_step=kill_at(death))
    torch.manual_seed(1234)
    seen = []
    continued = network()
    run(continued, state=state, checkpoint_every=5, on_step=lambda step, _: seen.append(step))
    assert_same(weights(whole), weights(continued))
    assert seen[0] == (death + 1) // 5 * 5  # no more than one interval is lost
    assert seen[-1] == 39


def test_a_finished_run_is_not_repeated(tmp_path):
    first, again, seen = network(), network(), []
    run(first, state=tmp_path / "state.pt")
    run(again, state=tmp_path / "state.pt", on_step=lambda step, _: seen.append(step))
    assert seen == []
    assert_same(weights(first), weights(again))


def test_a_damaged_state_gives_way_to_the_one_before(tmp_path):
    whole, state = network(), tmp_path / "state.pt"
    run(whole)
    with pytest.raises(Killed):
        run(network(), state=state, checkpoint_every=5, on_step=kill_at(22))
    state.write_bytes(state.read_bytes()[:100])
    continued, seen = network(), []
    with pytest.warns(UserWarning, match="damaged"):
        run(continued, state=state, checkpoint_every=5, on_step=lambda step, _: seen.append(step))
    assert seen[0] == 15
    assert_same(weights(whole), weights(continued))


@pytest.mark.parametrize("where", [0.1, 0.5, 0.9])
def test_a_flipped_byte_in_a_state_is_noticed_and_the_training_starts_anew(tmp_path, where):
    whole, state = network(), tmp_path / "state.pt"
    run(whole)
    with pytest.raises(Killed):
        run(network(), state=state, checkpoint_every=5, on_step=kill_at(22))
    file = StateFile(state)
    assert not file.faults()
    for path in (state, file.previous):
        data = bytearray(path.read_bytes())
        data[int(where * len(data))] ^= 0x01
        path.write_bytes(data)
    assert set(file.faults()) == {state, file.previous}
    anew, seen = network(), []
    with pytest.warns(UserWarning, match="bytes differ from those that were written"):
        run(anew, state=state, checkpoint_every=5, on_step=lambda step, _: seen.append(step))
    assert seen[0] == 0
    assert_same(weights(whole), weights(anew))


def test_no_byte_of_a_state_can_change_or_go_unnoticed(tmp_path):
    state = StateFile(tmp_path / "state.pt")
    state.write({"step": 3})
    whole = state.path.read_bytes()
    for place in range(0, len(whole), 7):
        state.path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x01]) + whole[place + 1 :])
        assert state.faults(), f"byte {place} of {len(whole)}"
    for place in range(len(whole) - 64, len(whole)):  # includes all of the seal, digest and mark
        state.path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x01]) + whole[place + 1 :])
        assert state.faults(), f"byte {place} of {len(whole)}"
        state.path.write_bytes(whole[:place])
        assert state.faults(), f"{place} of {len(whole)} bytes"
    state.path.write_bytes(whole)
    assert not state.faults() and state.read() == {"step": 3}


def test_a_state_of_another_run_is_refused(tmp_path):
    run(network(), state=tmp_path / "state.pt", recipe={"photos": "a"})
    with pytest.raises(ValueError, match=r"another run.*photos"):
        run(network(), state=tmp_path / "state.pt", recipe={"photos": "b"})


def spoiled(when):
    def batch(step, rng):
        made = batches(step, rng)
        return {**made, "x": made["x"] * np.float32("nan")} if when(step) else made

    return batch


def test_a_step_without_finite_loss_is_skipped_and_reported():
    module, schedule = network(), Schedule(1e-2)
    seen = {}
    train(
        module,
        spoiled(lambda s: s % 4 == 1),
        loss,
        Course(steps=20, on_step=seen.__setitem__),
        schedule=schedule,
    )
    assert [step for step, terms in seen.items() if math.isnan(terms["loss"])] == [1, 5, 9, 13, 17]
    assert all(torch.isfinite(w).all() for w in module.state_dict().values())


def test_too_many_bad_steps_in_a_row_are_an_error():
    with pytest.raises(FloatingPointError, match=str(BAD_STEPS_IN_A_ROW)):
        train(network(), spoiled(lambda s: True), loss, Course(steps=50), schedule=Schedule(1e-2))


def test_bad_steps_in_a_row_are_counted_across_a_kill(tmp_path):
    file = StateFile(tmp_path / "state.pt")
    course = Course(steps=60, state=file.path, checkpoint_every=5, on_step=kill_at(14))
    with pytest.raises(Killed):
        train(network(), spoiled(lambda s: True), loss, course, schedule=Schedule(1e-2))
    state = file.read()
    state["history"] |= {"entries": [{"step": 1.0, "loss": 2.0}], "stretch": [], "skipped": 10}  # as once
    file.write(state)
    seen = []
    course = replace(course, on_step=lambda step, _: seen.append(step))
    with pytest.raises(
        FloatingPointError, match=f"{BAD_STEPS_IN_A_ROW} steps up to {BAD_STEPS_IN_A_ROW - 1};"
    ):
        train(network(), spoiled(lambda s: True), loss, course, schedule=Schedule(1e-2))
    assert seen[0] == 10


def test_batches_made_by_other_processes_are_the_same():
    inline, ahead = network(), network()
    run(inline, steps=6)
    run(ahead, steps=6, workers=1)
    assert_same(weights(inline), weights(ahead))


def test_attention_learns_at_its_share_of_the_rate():
    """Adam's first step has the size of the rate, whatever the gradient."""
    whole = network()
    whole.attention_parts = ("0",)
    before = weights(whole)
    schedule = Schedule(1e-3, attention=0.2)
    train(whole, batches, loss, Course(steps=1), schedule=schedule)
    steps = {name: (tensor - before[name]).abs().max().item() for name, tensor in weights(whole).items()}
    assert steps["0.weight"] == pytest.approx(2e-4, rel=0.05)
    assert steps["3.weight"] == pytest.approx(1e-3, rel=0.05)
    assert Schedule.published().attention == 1.0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_fed_from_pinned_memory():
    (pinned,), (plain,) = (list(stream(batches, 0, 0, 1, 0, pinned=yes)) for yes in (True, False))
    assert pinned["x"].is_pinned() and not plain["x"].is_pinned()
    assert torch.equal(pinned["x"], plain["x"])


def test_schedules():
    published = Schedule.published()
    assert published.at(39_999) == pytest.approx(5e-5)
    assert published.at(19_999) == pytest.approx(2.5e-5)
    assert published.at(80_000) == pytest.approx(2.5e-5) and published.at(160_000) == pytest.approx(1.25e-5)
    short = Schedule.scaled(30, 1e-3)
    assert short.at(0) == pytest.approx(5e-4) and short.at(1) == pytest.approx(1e-3)
    assert short.at(24) == pytest.approx(1e-3 / 4)
    assert short.at(29) == pytest.approx(1e-3 / 4 / 5)  # cooled down except for the last of five steps
    assert short.at(27) > short.at(28) > short.at(29) > 0
    assert Schedule(2e-5).at(0) == Schedule(2e-5).at(10**6) == 2e-5
