"""Hugging Face datasets: each row is preprocessed when it is asked for, from its encoded bytes.

python examples/datasets_transform.py FOLDER
"""

import sys
from pathlib import Path
from typing import Any

import datasets
import dynres_rs as dr

PROCESSOR = dr.Processor("qwen2-vl", max_pixels=1_003_520)


def transform(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
    images = [row["bytes"] or row["path"] for row in rows.pop("image")]
    made = [PROCESSOR(image, dtype="uint8", temporal="compact") for image in images]
    return rows | {key: [one[key] for one in made] for key in made[0]}


def main(folder: str) -> None:
    paths = sorted(map(str, Path(folder).glob("*.jpg")))
    dataset = datasets.Dataset.from_dict({"image": paths})
    # decode=False: rows hold bytes or paths, and no Pillow image is made in between
    dataset = dataset.cast_column("image", datasets.Image(decode=False))
    for row in dataset.with_transform(transform):
        print(row["pixel_values"].shape, row["pixel_values"].dtype, row["image_grid_thw"].tolist())


if __name__ == "__main__":
    main(sys.argv[1])
