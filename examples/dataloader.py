"""PyTorch's DataLoader: workers write uint8 patches into memory that this process has already, and
the device makes floats of them.

python examples/dataloader.py FOLDER
"""

import sys
from pathlib import Path
from typing import Any

import dynres_rs as dr
import torch
from dynres_rs.torch import Normalize, SharedRing, collate
from torch.utils.data import DataLoader, Dataset


class Images(Dataset[dict[str, Any]]):
    def __init__(self, folder: str, processor: dr.Processor, ring: SharedRing) -> None:
        self.paths = sorted(map(str, Path(folder).glob("*.jpg")))
        self.processor = processor
        self.ring = ring

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.ring.put(self.processor, self.paths[index], dtype="uint8", temporal="compact")


def main(folder: str) -> None:
    processor = dr.Processor("qwen2-vl", max_pixels=1_003_520)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    normalize = Normalize(processor, dtype=torch.bfloat16, temporal="expand").to(device)
    batch_size, workers, prefetch = 2, 2, 2
    slots = batch_size * (workers * (prefetch + 1) + 2)
    ring = SharedRing.for_processor(processor, slots, dtype="uint8", temporal="compact")
    loader = DataLoader(
        Images(folder, processor, ring),
        batch_size=batch_size,
        num_workers=workers,
        prefetch_factor=prefetch,
        collate_fn=list,  # samples stay in their slots until they are here
        persistent_workers=True,
        pin_memory=device == "cuda",
    )
    for samples in ring.batches(loader):
        batch = collate(
            [{key: x.to(device, non_blocking=True) for key, x in s.items()} for s in samples]
        )
        pixels = normalize(batch["pixel_values"])
        print(tuple(pixels.shape), pixels.dtype, batch["image_grid_thw"].tolist())


if __name__ == "__main__":
    main(sys.argv[1])
