"""A set of video options, ready to run."""

from __future__ import annotations

from typing import Final

from .._dynres_rs import Spec
from .._types import I64, Numerics, Options
from ..images import Policy
from .rules import RULES, Known
from .sampling import sample_indices

__all__ = ["Variant"]

#: Options that never reach the compiled core.
FACADE: Final = ("do_convert_rgb", "input_data_format")
#: Of a family that does not have them.
ABSENT: Final = {
    "num_frames": None,
    "video_start": None,
    "video_end": None,
    "min_frames": 4,
    "max_frames": None,
    "temporal_patch_size": 1,
}


class Variant:
    """What a call needs of its options, made once for each distinct set."""

    __slots__ = ("options", "policy", "spec", "temporal", "torchvision")

    def __init__(self, family: str, numerics: Numerics, options: Options) -> None:
        core = {key: value for key, value in options.items() if key not in FACADE}
        self.spec = Spec(family, numerics, core, True)
        self.options: Options = {
            **self.spec.options,
            **{key: options[key] for key in FACADE},
        }
        self.torchvision = numerics == "torchvision"
        # A picture a frame has no temporal patches.
        self.temporal = int(self.options.get("temporal_patch_size", 1))
        self.policy = Policy(
            "transformers" if options["do_convert_rgb"] else "none",
            self.torchvision,
            options["input_data_format"],
            int(self.options["max_image_pixels"]),
        )

    def sample(
        self, total_num_frames: int, video_fps: float | None, duration: float | None = None
    ) -> I64:
        """The frames that are taken of a video, whatever `do_sample_frames` says."""
        # Every rule finds the options of all of them: those that the family lacks have no value.
        options = {**ABSENT, **self.options}
        rule = options["sampling"]
        if rule in RULES:
            return RULES[rule](Known(total_num_frames, video_fps, duration), options)
        return sample_indices(
            total_num_frames,
            video_fps,
            rule=rule,
            num_frames=options["num_frames"],
            fps=options["fps"],
            min_frames=options["min_frames"],
            max_frames=options["max_frames"],
            temporal_patch_size=self.temporal,
            video_start=options["video_start"],
            video_end=options["video_end"],
        )
