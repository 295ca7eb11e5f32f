"""Videos: `VideoProcessor`, and what it takes and tells.

    processor = dr.VideoProcessor("qwen2.5-vl", fps=2, do_sample_frames=True)
    batch = processor("clip.mp4")  # pixel_values_videos, video_grid_thw: upstream's own bits

A video is an array (T, H, W, 3) or (T, 3, H, W), a list of frames, an iterator of frames, a path,
or the bytes of a file. A frame is whatever `dynres_rs.images` takes for an image; all frames of a
video have one size. Frames of arrays and lists are read where they lie. Iterators and files are
streamed: beside the output there are never more than a few frames in memory.

| module | what it knows |
|---|---|
| `processor` | `VideoProcessor`: options, plans, the call |
| `variant` | a set of options, ready to run |
| `call` | one call: plans, output, frames into their places |
| `frames` | arrays, lists, iterators and files as frames that are taken one by one |
| `file` | video files through PyAV |
| `metadata` | `VideoMetadata` |
| `sampling` | which frames, and the times that the model is told |
| `sheet` | the contact sheet of `dynres show` |
"""

from .frames import VideosInput
from .metadata import VideoMetadata
from .processor import Taken, VideoProcessor

__all__ = ["Taken", "VideoMetadata", "VideoProcessor", "VideosInput"]
