"""Properties of the public API, over random inputs, against the plain-Python reference."""

import copy
import pickle
from typing import Any

import dynres_rs as dr
import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray
from property_counts import property_test
from reference import families, normalise, pack, sizing
from reference.resample import resize
from strategies import (
    Setup,
    deviations,
    draw_images,
    dtypes,
    factors,
    filters,
    means,
    noise,
    numerics_names,
    pictures,
    same,
    same_output,
    seeds,
    setups,
    sides,
)

Array = NDArray[Any]


# Sizes


def either_size(function: Any, *args: Any, **kwargs: Any) -> Any:
    """What the function returns as a tuple, or the class of the error that both sides share."""
    try:
        return tuple(function(*args, **kwargs))
    except ValueError:
        return ValueError


image_sides = st.one_of(st.integers(1, 300), st.integers(1, 20_000))


@property_test(
    height=image_sides,
    width=image_sides,
    factor=st.sampled_from([1, 7, 14, 16, 28, 32, 56]),
    min_factors=st.integers(1, 300),
    more=st.integers(0, 20_000),
    odd=st.integers(0, 3),
)
def test_smart_resize(
    height: int, width: int, factor: int, min_factors: int, more: int, odd: int
) -> None:
    min_pixels = min_factors * factor**2 + odd
    max_pixels = (min_factors + more) * factor**2 + odd
    budget = {"min_pixels": min_pixels, "max_pixels": max_pixels}
    want = either_size(sizing.smart_resize, height, width, factor, **budget)
    assert either_size(dr.smart_resize, height, width, factor, **budget) == want


@pytest.mark.parametrize(("height", "width"), [(28, 5600), (5600, 28), (1, 200), (10, 2000)])
def test_a_ratio_of_exactly_200_is_allowed(height: int, width: int) -> None:
    assert tuple(dr.smart_resize(height, width)) == sizing.smart_resize(height, width)
    longer = (height, width + 1) if width > height else (height + 1, width)
    with pytest.raises(ValueError, match="200"):
        dr.smart_resize(*longer)


@property_test(
    frames=st.integers(1, 200),
    height=image_sides,
    width=image_sides,
    temporal_factor=st.integers(1, 4),
    factor=st.sampled_from([16, 28, 32]),
    min_factors=st.integers(1, 500),
    more=st.integers(0, 20_000),
)
def test_smart_resize_video(
    frames: int,
    height: int,
    width: int,
    temporal_factor: int,
    factor: int,
    min_factors: int,
    more: int,
) -> None:
    budget = {
        "min_pixels": min_factors * factor**2,
        "max_pixels": (min_factors + more) * factor**2,
    }
    args = (frames, height, width, temporal_factor, factor)
    want = either_size(sizing.smart_resize_video, *args, **budget)
    assert either_size(dr.smart_resize_video, *args, **budget) == want


@property_test(
    height=image_sides,
    width=image_sides,
    square=st.booleans(),
    tile_size=st.sampled_from([28, 224, 448]),
    min_tiles=st.integers(1, 12),
    more=st.integers(0, 30),
)
def test_closest_aspect_grid(
    height: int, width: int, square: bool, tile_size: int, min_tiles: int, more: int
) -> None:
    width = height if square else width
    tiles = {"min_tiles": min_tiles, "max_tiles": min_tiles + more}
    grid = dr.closest_aspect_grid(height, width, tile_size=tile_size, **tiles)
    assert (grid.rows, grid.columns) == tuple(grid)
    assert tuple(grid) == sizing.closest_aspect_grid(height, width, tile_size, **tiles)


# Sizes between two grids of as many tiles: the order of the candidates decides. (min, max, h, w)
TIES = [
    (4, 4, 100, 250),
    (6, 7, 200, 750),
    (8, 8, 800, 250),
    (8, 9, 50, 250),
    (9, 9, 50, 250),
    (10, 11, 200, 1250),
    (14, 14, 200, 1750),
    (16, 16, 400, 250),
    (17, 18, 200, 650),
    (21, 21, 1050, 250),
    (25, 25, 50, 650),
    (31, 34, 200, 250),
]


@pytest.mark.parametrize(("min_tiles", "max_tiles", "height", "width"), TIES)
def test_ties_between_grids(min_tiles: int, max_tiles: int, height: int, width: int) -> None:
    """InternVL's own code and transformers differ here; the public function is InternVL's."""
    args = (height, width, 2, min_tiles, max_tiles)
    original = sizing.closest_aspect_grid(*args, "internvl")
    assert original != sizing.closest_aspect_grid(*args, "transformers")
    assert tuple(dr.closest_aspect_grid(*args)) == original
    tile = 28
    scaled = (height * tile // 2, width * tile // 2)
    processor = dr.Processor("internvl", image_size=tile, min_num=min_tiles, max_num=max_tiles)
    assert tuple(processor.plan(*scaled).grid) == original
    processor = dr.Processor.from_config(
        {
            "image_processor_type": "GotOcr2ImageProcessor",
            "size": {"height": tile, "width": tile},
            "crop_to_patches": True,
            "min_patches": min_tiles,
            "max_patches": max_tiles,
        }
    )
    want = sizing.closest_aspect_grid(*scaled, tile, min_tiles, max_tiles, "transformers")
    assert tuple(processor.plan(*scaled).grid) == want


@property_test(
    height=image_sides,
    width=image_sides,
    candidates=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12),
    side=st.sampled_from([1, 14, 384]),
)
def test_best_canvas(height: int, width: int, candidates: list[tuple[int, int]], side: int) -> None:
    scaled = [(rows * side, columns * side) for rows, columns in candidates]
    want = sizing.best_canvas(height, width, scaled)
    assert tuple(dr.best_canvas(height, width, scaled)) == want


# Resizing


@property_test(
    seed=seeds,
    source=st.tuples(sides, sides),
    target=st.tuples(sides, sides),
    channels=st.sampled_from([3, 4]),
    resample=filters,
    numerics=numerics_names,
    layout=st.sampled_from(["plain", "rows apart", "cropped", "upside down", "read-only"]),
    threads=st.integers(0, 3),
    into=st.booleans(),
)
def test_resize(
    seed: int,
    source: tuple[int, int],
    target: tuple[int, int],
    channels: int,
    resample: str,
    numerics: str,
    layout: str,
    threads: int,
    into: bool,
) -> None:
    height, width = source
    if layout == "rows apart":
        image = noise(seed, 2 * height, width, channels)[::2]
    elif layout == "cropped":
        image = noise(seed, height + 2, width + 3, channels)[1 : 1 + height, 2 : 2 + width]
    elif layout == "upside down":
        image = noise(seed, height, width, channels)[::-1]
    else:
        image = noise(seed, height, width, channels)
        image.flags.writeable = layout != "read-only"
    before = image.copy()
    out = np.full((*target, channels), 77, np.uint8) if into else None
    kwargs: dict[str, Any] = {"resample": resample, "numerics": numerics, "num_threads": threads}
    result = dr.resize(image, target, out=out, **kwargs)
    same(result, resize(before, target, resample, numerics), "resized")  # type: ignore[arg-type]
    same(image, before, "the input after the call")
    assert not np.shares_memory(result, image)
    if out is not None:
        assert np.shares_memory(result, out)
        same(out, np.asarray(result), "out")


@property_test(
    seed=seeds,
    long=st.integers(400, 3000),
    short=st.integers(1, 8),
    target=st.tuples(st.integers(1, 64), st.integers(1, 64)),
    tall=st.booleans(),
    resample=filters,
    numerics=numerics_names,
)
def test_resize_of_slivers(
    seed: int,
    long: int,
    short: int,
    target: tuple[int, int],
    tall: bool,
    resample: str,
    numerics: str,
) -> None:
    """Long supports, and the releases of Pillow that turn at a ratio of 100."""
    image = noise(seed, *((long, short) if tall else (short, long)))
    want = resize(image, target, resample, numerics)  # type: ignore[arg-type]
    same(dr.resize(image, target, resample=resample, numerics=numerics), want)


@property_test(seed=seeds, size=st.tuples(sides, sides), resample=filters, numerics=numerics_names)
def test_the_same_size_is_a_copy(
    seed: int, size: tuple[int, int], resample: str, numerics: str
) -> None:
    image = noise(seed, *size)
    result = dr.resize(image, size, resample=resample, numerics=numerics)
    same(result, image)
    assert not np.shares_memory(result, image)


@property_test(
    colour=st.tuples(*[st.integers(0, 255)] * 3),
    source=st.tuples(sides, sides),
    target=st.tuples(sides, sides),
    resample=filters,
    numerics=numerics_names,
)
def test_a_constant_image_stays_constant(
    colour: tuple[int, int, int],
    source: tuple[int, int],
    target: tuple[int, int],
    resample: str,
    numerics: str,
) -> None:
    image = np.empty((*source, 3), np.uint8)
    image[:] = colour
    want = resize(image, target, resample, numerics)  # type: ignore[arg-type]
    result = dr.resize(image, target, resample=resample, numerics=numerics)
    same(result, want)
    assert (result == colour).all()


# Normalising and packing


def as_dtype(dtype: str, values: NDArray[np.float32], pixels: NDArray[np.uint8]) -> Array:
    """What `dtype=` makes of the same patches or tiles; bfloat16 is carried in uint16."""
    if dtype == "float16":
        return values.astype(np.float16)
    if dtype == "bfloat16":
        return normalise.round_to_bfloat16(values)
    return pixels if dtype == "uint8" else values


@property_test(
    seed=seeds,
    blocks=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    patch_size=st.sampled_from([1, 2, 7, 14, 16]),
    merge_size=st.integers(1, 3),
    temporal=st.integers(1, 3),
    mean=means,
    std=deviations,
    factor=factors,
    numerics=numerics_names,
    dtype=dtypes,
)
def test_patchify(
    seed: int,
    blocks: tuple[int, int],
    patch_size: int,
    merge_size: int,
    temporal: int,
    mean: list[float],
    std: list[float],
    factor: float,
    numerics: str,
    dtype: str,
) -> None:
    cell = patch_size * merge_size
    image = noise(seed, blocks[0] * cell, blocks[1] * cell)
    sizes = (patch_size, merge_size, temporal)
    values = normalise.apply(image, normalise.table(numerics, mean, std, factor))  # type: ignore
    got = dr.patchify(
        image,
        patch_size=patch_size,
        merge_size=merge_size,
        temporal_patch_size=temporal,
        image_mean=mean,
        image_std=std,
        rescale_factor=factor,
        numerics=numerics,
        dtype=dtype,
    )
    want = as_dtype(dtype, pack.patchify(values, *sizes), pack.patchify(image, *sizes))  # type: ignore
    same(got, want, "patches")


@property_test(
    seed=seeds,
    grid=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    side=st.sampled_from([1, 5, 16, 28]),
    mean=means,
    std=deviations,
    factor=factors,
    numerics=numerics_names,
    dtype=dtypes,
)
def test_tile(
    seed: int,
    grid: tuple[int, int],
    side: int,
    mean: list[float],
    std: list[float],
    factor: float,
    numerics: str,
    dtype: str,
) -> None:
    image = noise(seed, grid[0] * side, grid[1] * side)
    values = normalise.apply(image, normalise.table(numerics, mean, std, factor))  # type: ignore
    got = dr.tile(
        image,
        tile_size=side,
        image_mean=mean,
        image_std=std,
        rescale_factor=factor,
        numerics=numerics,
        dtype=dtype,
    )
    size = (side, side)
    same(got, as_dtype(dtype, pack.tile(values, size), pack.tile(image, size)), "tiles")  # type: ignore


def test_many_small_tiles() -> None:
    image = noise(1, 400, 396)
    want = pack.tile(image, (4, 4))
    same(dr.tile(image, tile_size=4, dtype="uint8"), want)


@property_test(mean=means, std=deviations, factor=factors, numerics=numerics_names)
def test_every_byte_value(
    mean: list[float], std: list[float], factor: float, numerics: str
) -> None:
    image = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    got = dr.tile(
        image,
        tile_size=16,
        image_mean=mean,
        image_std=std,
        rescale_factor=factor,
        numerics=numerics,
    )
    table = normalise.table(numerics, mean, std, factor)  # type: ignore[arg-type]
    same(got, np.ascontiguousarray(table.T).reshape(1, 3, 16, 16))


# Whole pipelines


def reference(
    setup: Setup, images: list[NDArray[np.uint8]], numerics: str, **more: Any
) -> dict[str, Array]:
    return families.run(setup.family, images, setup.config | more, numerics)  # type: ignore


@property_test(
    setup=setups(), given=pictures, numerics=numerics_names, threads=st.sampled_from([1, 1, 2, 0])
)
def test_pipeline(setup: Setup, given: list[Any], numerics: str, threads: int) -> None:
    images, inputs = draw_images(setup, given)
    result = setup.processor(numerics)(inputs, num_threads=threads)
    same_output(result, reference(setup, images, numerics))


@property_test(setup=setups(), given=pictures, numerics=numerics_names)
def test_a_batch_is_its_singles_one_after_the_other(
    setup: Setup, given: list[Any], numerics: str
) -> None:
    """Each image as a request of its own, where the number of images could matter."""
    _, inputs = draw_images(setup, given)
    processor = setup.processor(numerics)
    singles = [processor(image) for image in inputs]
    want = {key: np.concatenate([single[key] for single in singles]) for key in singles[0]}
    same_output(processor([[image] for image in inputs]), want)
    if setup.family != "deepseek-vl2" or len(inputs) <= 2:
        same_output(processor(inputs), want)


def nested_noise(groups: list[int], seed: int) -> list[list[NDArray[np.uint8]]]:
    generator = np.random.Generator(np.random.PCG64(seed))
    return [
        [noise(seed + n, *(int(s) for s in generator.integers(5, 80, 2))) for n in range(count)]
        for count in groups
    ]


request_sizes = st.lists(st.integers(1, 4), min_size=1, max_size=3)


@property_test(
    groups=request_sizes,
    seed=seeds,
    numerics=numerics_names,
    setup=st.sampled_from(
        [
            # Above two images in a request there is no tiling.
            (
                "deepseek-vl2",
                {"candidate_resolutions": [[28, 28], [56, 28], [28, 56], [56, 56]]},
            ),
            # The images of a request share the tiles.
            ("internvl", {"image_size": 28, "max_num": 9, "multi_image": "divide"}),
        ]
    ),
)
def test_plans_that_depend_on_the_request(
    groups: list[int], seed: int, numerics: str, setup: tuple[str, dict[str, Any]]
) -> None:
    """Nested lists are requests."""
    family, config = setup
    nested = nested_noise(groups, seed)
    parts = [families.run(family, group, config, numerics) for group in nested]  # type: ignore
    want = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    processor = dr.Processor(family, numerics=numerics, **config)
    same_output(processor(nested), want)
    for group in nested:
        sizes = [image.shape[:2] for image in group]
        counts = [families.counts(family, size, config, len(group)) for size in sizes]
        plans = [processor.plan(*size, num_images=len(group)) for size in sizes]
        assert [plan.num_tokens for plan in plans] == [count.tokens for count in counts]
        assert [plan.num_tiles for plan in plans] == [count.tiles for count in counts]


@property_test(setup=setups(), given=pictures, numerics=numerics_names)
def test_threads_do_not_show(setup: Setup, given: list[Any], numerics: str) -> None:
    _, inputs = draw_images(setup, given)
    processor = setup.processor(numerics)
    serial = processor(inputs)
    for threads in (0, 2, 5):
        same_output(processor(inputs, num_threads=threads), serial)


@property_test(
    setup=setups(),
    given=pictures,
    numerics=numerics_names,
    dtype=st.sampled_from(["float32", "float16", "bfloat16"]),
)
def test_smaller_floats_are_rounded_float32(
    setup: Setup, given: list[Any], numerics: str, dtype: str
) -> None:
    images, inputs = draw_images(setup, given)
    result = setup.processor(numerics)(inputs, dtype=dtype)
    for key, values in reference(setup, images, numerics).items():
        want = as_dtype(dtype, values, values) if values.dtype == np.float32 else values
        same(result[key], want, key)


@property_test(setup=setups(), given=pictures, numerics=numerics_names, by_dtype=st.booleans())
def test_uint8_is_the_resized_pixels(
    setup: Setup, given: list[Any], numerics: str, by_dtype: bool
) -> None:
    """Asked for as a dtype, or by switching both steps off."""
    images, inputs = draw_images(setup, given)
    off = {"do_rescale": False, "do_normalize": False}
    kwargs: dict[str, Any] = {"dtype": "uint8"} if by_dtype else off
    result = setup.processor(numerics)(inputs, **kwargs)
    want = reference(setup, images, numerics, **off)
    patches = setup.upstream_class == "Qwen2VLImageProcessor"
    if patches and not by_dtype and numerics != "torchvision":
        # transformers' PIL backend turns the bytes into floats while it lays the patches out.
        want["pixel_values"] = want["pixel_values"].astype(np.float32)
    same_output(result, want)


@property_test(
    setup=setups(), given=pictures, numerics=numerics_names, rescale=st.booleans(), factor=factors
)
def test_only_one_of_rescale_and_normalise(
    setup: Setup, given: list[Any], numerics: str, rescale: bool, factor: float
) -> None:
    images, inputs = draw_images(setup, given)
    switches = {"do_rescale": rescale, "do_normalize": not rescale, "rescale_factor": factor}
    result = setup.processor(numerics)(inputs, **switches)
    same_output(result, reference(setup, images, numerics, **switches))


qwen_setups = setups().filter(lambda setup: setup.family.startswith("qwen"))


@property_test(setup=qwen_setups, given=pictures, numerics=numerics_names)
def test_compact_keeps_one_frame(setup: Setup, given: list[Any], numerics: str) -> None:
    images, inputs = draw_images(setup, given)
    result = setup.processor(numerics)(inputs, temporal="compact")
    same_output(result, reference(setup, images, numerics, temporal_patch_size=1))


@property_test(setup=setups(), given=pictures, numerics=numerics_names)
def test_out(setup: Setup, given: list[Any], numerics: str) -> None:
    images, inputs = draw_images(setup, given)
    want = reference(setup, images, numerics)
    pixels = {key: v for key, v in want.items() if key.endswith("pixel_values")}
    out = {key: np.empty(v.shape, v.dtype) for key, v in pixels.items()}
    result = setup.processor(numerics)(inputs, out=out)
    same_output(result, want)
    for key, buffer in out.items():
        assert np.shares_memory(result[key], buffer)


@property_test(setup=setups(), given=pictures, numerics=numerics_names)
def test_the_plan_keeps_its_word(setup: Setup, given: list[Any], numerics: str) -> None:
    images, _ = draw_images(setup, given)
    processor = setup.processor(numerics)
    sizes = [image.shape[:2] for image in images]
    plans = [processor.plan(*size, num_images=len(images)) for size in sizes]
    pixels = reference(setup, images, numerics)["pixel_values"]
    assert sum(plan.shape[0] for plan in plans) == pixels.shape[0]
    assert all(tuple(plan.shape[1:]) == pixels.shape[1:] for plan in plans)
    counts = [families.counts(setup.family, s, setup.config, len(images)) for s in sizes]
    tokens = processor.num_tokens(np.array(sizes, np.int64), num_images=len(images))
    assert tokens.dtype == np.int64
    assert tokens.tolist() == [plan.num_tokens for plan in plans]
    # DeepSeek-VL's squares are no tiles, and its tokens count for towers of a fixed size.
    if setup.family not in ("deepseek-vl", "deepseek-vl-hybrid"):
        assert [plan.num_tiles for plan in plans] == [count.tiles for count in counts]
        assert tokens.tolist() == [count.tokens for count in counts]


@property_test(setup=setups(), picture=pictures.map(lambda p: p[:1]), numerics=numerics_names)
def test_copies_of_a_processor(setup: Setup, picture: list[Any], numerics: str) -> None:
    _, inputs = draw_images(setup, picture)
    processor = setup.processor(numerics)
    want = processor(inputs)
    for twin in (
        pickle.loads(pickle.dumps(processor)),
        copy.deepcopy(processor),
        dr.Processor.from_dict(processor.to_dict()),
    ):
        assert twin == processor and repr(twin) == repr(processor)
        assert twin.numerics == processor.numerics == numerics
        same_output(twin(inputs), want)
