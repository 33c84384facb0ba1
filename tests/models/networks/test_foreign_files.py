"""A file that was downloaded in place of a checkpoint is named as what it is, without advice to run what it holds."""

import io
import pickle
import tarfile
from pathlib import Path

import pytest

from motion_adapt.models.inputs.timm_vits import load_vit
from motion_adapt.models.networks.checkpoints import read_checkpoint
from motion_adapt.models.networks.official_checkpoints import import_official

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935\nsize 12345\n"
PAGE = b"\n<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>\n"


class Code:
    """Something that is more than tensors."""


def tar() -> bytes:
    """A tar archive of one file."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as files:
        files.addfile(tarfile.TarInfo("oclr.pth"))
    return archive.getvalue()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (POINTER, "Git LFS pointer"),
        (PAGE, "web page"),
        *(
            (content, "oclr.pth")
            for content in (pickle.dumps(Code()), pickle.dumps([1, 2]), tar(), b"x", b"")
        ),
    ],
    ids=["pointer", "page", "code", "list", "tar", "byte", "empty"],
)
def test_what_is_no_checkpoint_is_named(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "oclr.pth"
    path.write_bytes(content)
    for read in (
        lambda: import_official(path, "oclr"),
        lambda: read_checkpoint(path),
        lambda: load_vit("vit_tiny_patch16_224", path),
    ):
        with pytest.raises(ValueError, match=told) as caught:
            read()
        assert str(path) in str(caught.value)
        assert "weights_only" not in str(caught.value) and "\n" not in str(caught.value)
