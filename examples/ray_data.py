"""Ray Data: a folder of images to Parquet, on all machines of a cluster; bad images are kept, with
the reason.

python examples/ray_data.py FOLDER OUT
"""

import sys

import dynres_rs as dr
import ray
from dynres_rs.ray import preprocess


def main(folder: str, out: str) -> None:
    processor = dr.Processor("qwen2-vl", max_pixels=1_003_520)
    dataset = ray.data.read_binary_files(folder, include_paths=True)
    dataset = preprocess(dataset, processor, column="bytes", dtype="uint8", temporal="compact")
    dataset.write_parquet(out)
    for row in ray.data.read_parquet(out).sort("path").iter_rows():
        print(row["path"].rpartition("/")[2], row["pixel_values"].shape, row["error"])


if __name__ == "__main__":
    main(*sys.argv[1:])
