"""PyTorch's DataLoader: workers send uint8 patches, once each; the device makes floats of them.

python examples/dataloader.py FOLDER
"""

import sys
from pathlib import Path
from typing import Any

import dynres_rs as dr
import torch
from dynres_rs.torch import Normalize, collate
from torch.utils.data import DataLoader, Dataset


class Images(Dataset[dict[str, Any]]):
    def __init__(self, folder: str, processor: dr.Processor) -> None:
        self.paths = sorted(map(str, Path(folder).glob("*.jpg")))
        self.processor = processor

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.processor(
            self.paths[index], dtype="uint8", temporal="compact", return_tensors="pt"
        )


def main(folder: str) -> None:
    processor = dr.Processor("qwen2-vl", max_pixels=1_003_520)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    normalize = Normalize(processor, dtype=torch.bfloat16, temporal="expand").to(device)
    loader = DataLoader(
        Images(folder, processor),
        batch_size=2,
        num_workers=2,
        collate_fn=collate,
        persistent_workers=True,
        pin_memory=device == "cuda",
    )
    for batch in loader:
        pixels = normalize(batch["pixel_values"].to(device, non_blocking=True))
        print(tuple(pixels.shape), pixels.dtype, batch["image_grid_thw"].tolist())


if __name__ == "__main__":
    main(sys.argv[1])
