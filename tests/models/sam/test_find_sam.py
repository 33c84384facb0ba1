"""Models are found in folders and in the cache of the hub; what is missing is told of with its remedy."""

import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from motion_adapt.models.inputs.downloads import WeightsMissing
from motion_adapt.models.sam import find_sam as module
from motion_adapt.models.sam.find_sam import SamUnusable, find_sam
from tests.needs import transformers

pytestmark = transformers


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and no network."""
    cache = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return cache


@pytest.mark.parametrize("kind", ["sam", "sam_hq", "sam2", "sam2_video"])
def test_a_folder_tells_its_kind(kind: str, tiny_sams: Any) -> None:
    found = find_sam(str(tiny_sams(kind)))
    assert found.kind == kind and found.folder == tiny_sams(kind) and len(found.content) == 64
    assert 0 < found.megabytes < 10 and found.address == str(tiny_sams(kind))


def test_the_content_is_that_of_the_files_wherever_they_are(tiny_sams: Any, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_sams("sam"), tmp_path / "copy")
    first = find_sam(str(tiny_sams("sam"))).content
    assert find_sam(str(folder)).content == first
    config = folder / "processor_config.json"
    config.write_text(config.read_text().replace("0.485", "0.5"))
    assert find_sam(str(folder)).content != first


def test_a_model_in_the_cache_is_known_by_its_revision(tiny_sams: Any, offline: Path) -> None:
    repository = offline / "models--facebook--sam-vit-base"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0123abcd" * 5)
    shutil.copytree(tiny_sams("sam"), repository / "snapshots" / ("0123abcd" * 5))
    found = find_sam("facebook/sam-vit-base")
    assert found.content == "facebook/sam-vit-base@" + "0123abcd" * 5 and found.kind == "sam"
    assert found.address == "facebook/sam-vit-base"


def test_a_missing_model_is_told_with_its_size_and_how_to_get_it(offline: Path) -> None:
    with pytest.raises(WeightsMissing) as raised:
        find_sam("facebook/sam-vit-huge")
    text = str(raised.value)
    assert "2564 MB" in text and "HF_HUB_OFFLINE" in text and "hf download facebook/sam-vit-huge" in text
    assert str(offline) in text
    with pytest.raises(WeightsMissing, match="no such folder"):
        find_sam("./nowhere")


@pytest.mark.parametrize("name", ["not a name!", "-x/y"])
def test_what_can_be_no_name_is_told(name: str, offline: Path) -> None:
    with pytest.raises(SamUnusable, match="no name of a model"):
        find_sam(name)


def test_other_models_are_refused(tiny_sams: Any, tmp_path: Path) -> None:
    with pytest.raises(SamUnusable, match=r"no config\.json"):
        find_sam(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(SamUnusable, match="'bert'"):
        find_sam(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "sam"}')
    with pytest.raises(WeightsMissing, match=r"no \.safetensors"):
        find_sam(str(tmp_path))


def test_without_transformers_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(SamUnusable, match="pip install transformers"):
        find_sam("facebook/sam-vit-base")
