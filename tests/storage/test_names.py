import os
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from motion_adapt.storage.names import count_of, natural_key, printable, safe_name, unique_names

# What os.listdir can return: any text, and bytes that are not UTF-8 as surrogates.
file_names = st.text(min_size=1) | st.binary(min_size=1, max_size=255).map(os.fsdecode)


def test_natural_order_sorts_numbers_by_value() -> None:
    names = ["frame_10", "frame_9", "Frame_11", "frame_1", "frame_2"]
    assert sorted(names, key=natural_key) == ["frame_1", "frame_2", "frame_9", "frame_10", "Frame_11"]


@given(st.lists(st.integers(0, 10**9), unique=True), st.sampled_from(["", "frame_", "été 1-"]))
def test_natural_order_is_the_order_of_the_numbers(numbers: list[int], prefix: str) -> None:
    names = sorted((f"{prefix}{number}" for number in numbers), key=natural_key)
    assert names == [f"{prefix}{number}" for number in sorted(numbers)]


@given(st.lists(file_names, unique=True))
def test_natural_order_does_not_depend_on_how_names_come(names: list[str]) -> None:
    backwards = names[::-1]
    assert sorted(names, key=natural_key) == sorted(backwards, key=natural_key)


def test_one_has_no_plural() -> None:
    assert [count_of(number, "clip") for number in (0, 1, 2)] == ["0 clips", "1 clip", "2 clips"]


def test_safe_names_are_unchanged() -> None:
    for name in ("dog", "été sequence (1) ünï日本", "bike-packing", "a.b_c [2]", "x" * 125, "100% cotton"):
        assert safe_name(name) == name


def test_bytes_that_are_not_utf8_are_escaped() -> None:
    assert safe_name(os.fsdecode(b"bad\xff\xfename")) == "bad%FF%FEname"
    assert printable(os.fsdecode(b"bad\xff")) == "bad%FF"


@given(file_names)
def test_safe_names_are_one_printable_path_component(name: str) -> None:
    safe = safe_name(name)
    assert 1 <= len(safe.encode()) <= 200
    assert os.path.basename(safe) == safe and "\\" not in safe  # noqa: PTH119
    assert not safe.startswith(".")
    assert not {unicodedata.category(sign) for sign in safe} & {"Cc", "Cs", "Zl", "Zp"}
    assert safe_name(safe) == safe


def test_long_names_stay_different() -> None:
    assert safe_name("x" * 300 + "a") != safe_name("x" * 300 + "b")


@given(st.lists(file_names | st.sampled_from(["a", "A", "a-2", "é", "e\u0301", "x" * 250])))
def test_unique_names_never_collide_on_any_file_system(names: list[str]) -> None:
    unique = unique_names(names)
    assert len({unicodedata.normalize("NFC", name).casefold() for name in unique}) == len(names)
    assert [safe_name(name) for name in unique] == unique
