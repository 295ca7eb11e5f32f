"""WebDataset: the JPEG bytes of a shard go to the processor undecoded.

python examples/webdataset_map.py SHARD.tar
"""

import sys
from typing import Any

import dynres_rs as dr
import webdataset as wds

PROCESSOR = dr.Processor("qwen2-vl", max_pixels=1_003_520)


def preprocess(sample: dict[str, Any]) -> dict[str, Any]:
    return sample | PROCESSOR(sample.pop("jpg"), dtype="uint8", temporal="compact")


def main(shard: str) -> None:
    # wds.warn_and_continue as the handler leaves images out that cannot be decoded
    samples = wds.WebDataset(shard, shardshuffle=False).map(
        preprocess, handler=wds.warn_and_continue
    )
    for sample in samples:
        pixels = sample["pixel_values"]
        print(sample["__key__"], pixels.shape, pixels.dtype, sample["image_grid_thw"].tolist())


if __name__ == "__main__":
    main(sys.argv[1])
