"""A set of video options, ready to run."""

from __future__ import annotations

from typing import Final

from .._configured import Variant
from .._dynres_rs import Spec
from .._types import I64, Numerics, Options
from .rules import RULES, Known
from .sampling import sample_indices

__all__ = ["VideoVariant"]

#: Of a family that does not have them.
ABSENT: Final = {
    "num_frames": None,
    "video_start": None,
    "video_end": None,
    "min_frames": 4,
    "max_frames": None,
    "temporal_patch_size": 1,
    "draw_on_frames": False,
}


class VideoVariant(Variant):
    """What a call needs of its options, made once for each distinct set."""

    __slots__ = ("temporal",)

    def __init__(self, family: str, numerics: Numerics, options: Options) -> None:
        spec = Spec(family, numerics, options, True)
        convert = "transformers" if options["do_convert_rgb"] else "none"
        super().__init__(spec, numerics, options, convert)
        # A picture a frame has no temporal patches.
        self.temporal = int({**ABSENT, **self.options}["temporal_patch_size"])

    @property
    def draws(self) -> bool:
        """Whether upstream writes times on frames."""
        return bool({**ABSENT, **self.options}["draw_on_frames"])

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
