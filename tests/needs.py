"""Marks of tests that need a package which is optional, or which not every Python version has."""

from importlib.util import find_spec

import pytest

crf = pytest.mark.skipif(
    find_spec("pydensecrf") is None, reason="pydensecrf2 is not installed; it does not build for Python 3.13"
)

transformers = pytest.mark.skipif(
    find_spec("transformers") is None, reason="transformers is not installed: pip install transformers"
)
