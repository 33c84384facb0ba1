"""Networks of the paper's size on the longest clips that they process at once, in a separate process."""

import subprocess
import sys

import pytest

SELECT_100_FRAMES = """
import resource, torch
from motion_adapt.models.networks.selector import MaskSelector
net = MaskSelector().eval()
with torch.inference_mode():
    masks = torch.rand(1, 100, 3, 128, 224) > 0.5
    maps = net(masks, torch.randn(1, 100, 3, 128, 224), torch.randn(1, 100, 8, 14, 384))
assert maps.isfinite().all()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


@pytest.mark.slow
def test_the_selector_processes_100_frames_in_3_gib() -> None:
    done = subprocess.run([sys.executable, "-c", SELECT_100_FRAMES], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 3
