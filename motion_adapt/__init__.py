"""motion-adapt: moving-object segmentation that teaches itself on your own unlabelled videos.

    import motion_adapt

    result = motion_adapt.segment("clip.mp4", output="results")
    result.masks["clip"]  # u8 (T, H, W): 0 background, 1, 2, 3 the objects
    result.clips  # figures of each clip, a DataFrame

Names are imported when they are first used, so that `import motion_adapt` takes milliseconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from motion_adapt.api import adapt, compare_rounds, evaluate, segment
    from motion_adapt.flows.reports.run_report import Report
    from motion_adapt.flows.run.errors import RunError
    from motion_adapt.flows.run.presets import SettingsError, load_settings
    from motion_adapt.masks import Masks, load_masks
    from motion_adapt.results import Adaptation, Evaluation, Picture, Segmentation
    from motion_adapt.tasks.settings import Settings

__all__ = [
    "Adaptation",
    "Evaluation",
    "Masks",
    "Picture",
    "Report",
    "RunError",
    "Segmentation",
    "Settings",
    "SettingsError",
    "adapt",
    "compare_rounds",
    "evaluate",
    "load_masks",
    "load_settings",
    "segment",
]

_MODULES = {
    "api": ("adapt", "compare_rounds", "evaluate", "segment"),
    "flows.reports.run_report": ("Report",),
    "flows.run.errors": ("RunError",),
    "flows.run.presets": ("SettingsError", "load_settings"),
    "masks": ("Masks", "load_masks"),
    "results": ("Adaptation", "Evaluation", "Picture", "Segmentation"),
    "tasks.settings": ("Settings",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


if not TYPE_CHECKING:  # type checkers read the imports above

    def __getattr__(name):
        """Import a public name (PEP 562)."""
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """Return the public names, for completion."""
    return sorted({*globals(), *__all__})
