"""One call with images, in four steps: `collect` pixels and plans, `allocate` arrays, `fill` them,
and `finish` what the caller gets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import numpy as np

from . import _dynres_rs as _native
from . import jpeg, memory
from ._configured import Variant
from ._dynres_rs import Plan, Spec, integer
from ._types import Batch, DType, ErrorPolicy, ImagesInput, Numerics, Options, Temporal
from .arguments import ERRORS, _check_name, _dtype, _torch
from .failures import Failures, placed
from .images import is_batch_array, prepare
from .options import family as family_of

__all__ = ["Call", "How", "ImageVariant"]

TEMPORAL: Final = ("expand", "compact")


class ImageVariant(Variant):
    """A set of options of images, ready to run."""

    __slots__ = ("plain",)

    def __init__(self, family: str, numerics: Numerics, options: Options) -> None:
        convert = family_of(family)[2]
        if not options["do_convert_rgb"]:
            convert = "none"
        elif convert == "none":
            convert = "transformers"
        super().__init__(Spec(family, numerics, options), numerics, options, convert)
        page, crops = self.spec.page, self.spec.crops_margins
        self.policy = self.policy._replace(crop_margin=crops, page=page)
        # Whether an array is what it looks like, with nothing said about its layout or done to it.
        self.plain = self.policy.layout is None and not crops and page is None

    def turned(self, height: int, width: int) -> tuple[int, int]:
        """The size of an image of this size once it is turned."""
        page = self.policy.page
        lies_across = page is not None and _native.is_across((height, width), page)
        return (width, height) if lies_across else (height, width)


class How(NamedTuple):
    """Arguments of a call, checked."""

    torch: Any
    """The module, where tensors are asked for."""
    dtype: DType | None
    temporal: Temporal
    errors: ErrorPolicy
    num_threads: int

    @classmethod
    def of(
        cls,
        return_tensors: str | None,
        dtype: Any,
        temporal: Temporal,
        errors: ErrorPolicy,
        num_threads: int,
    ) -> How:
        """Checks them.

        Raises:
            TypeError: one of the wrong type.
            ValueError: one of the wrong value.
            ImportError: tensors, without torch.
        """
        if return_tensors is not None:
            _check_name("return_tensors", return_tensors, ("np", "pt"))
        torch = _torch() if return_tensors == "pt" else None
        kind = None if dtype is None else _dtype(dtype)
        _check_name("temporal", temporal, TEMPORAL)
        _check_name("errors", errors, ERRORS)
        if type(num_threads) is not int:
            num_threads = integer("num_threads", num_threads)
        if num_threads < 0 or num_threads > 2**31:
            raise ValueError(f"num_threads: must be in 0..2**31, got {num_threads}")
        return cls(torch, kind, temporal, errors, num_threads)

    def returned(self, made: Any, *, half: bool = False) -> Any:
        """An array, or what a list holds of them, as the caller asked for it. `half`: arrays hold
        the bits of bfloat16."""
        if isinstance(made, list):
            return [self.returned(one, half=half) for one in made]
        if self.torch is None or not isinstance(made, np.ndarray):
            return made
        if half:
            return self.torch.from_numpy(made.view(np.int16)).view(self.torch.bfloat16)
        return self.torch.from_numpy(made)


class Call:
    """One call: its images, their plans, and the arrays they become."""

    __slots__ = (
        "_asked",
        "_by_rows",
        "_counts",
        "_failures",
        "_flat",
        "_given",
        "_how",
        "_outs",
        "_pixels",
        "_plans",
        "_policy",
        "_single",
        "_variant",
    )

    def __init__(self, variant: ImageVariant, decoding: jpeg.Decoding, how: How) -> None:
        self._variant = variant
        self._policy = variant.policy._replace(decoding=decoding)
        self._how = how
        self._by_rows = True

    def collect(self, images: ImagesInput, out: Any) -> None:
        """Plans every image and finds its pixels; notes which images have none, and why."""
        if type(images) is np.ndarray and images.ndim == 3:
            self._flat, self._counts, self._single = [images], [1], True
        else:
            self._flat, self._counts, self._single = _flatten(images, self._variant.spec.apart)
        # With an `out` whose shape tells how many images are good, that must be known before.
        self._by_rows &= out is None or self._how.errors == "raise"
        self._plans: list[Plan] = []
        self._pixels: list[Any] = []
        self._failures = Failures("image", self._how.errors, single=self._single)
        for index, image in enumerate(self._flat):
            try:
                ready = prepare(image, self._policy, by_rows=self._by_rows)
                plan = self._variant.spec.plan(ready.height, ready.width, self._counts[index])
                if ready.floating is not None:
                    resized = any(view.resized != plan.source for view in plan.views)
                    self._variant.check_floating("image", ready.floating, resized=resized)
            except Exception as error:
                self._failures.add(index, error)
                continue
            self._plans.append(plan)
            self._pixels.append(ready.pixels)

    def _indices(self) -> list[int]:
        """The numbers of the images that have pixels."""
        bad = {index for index, _ in self._failures}
        return [index for index in range(len(self._flat)) if index not in bad]

    def allocate(self, out: Any) -> None:
        """Asks the core for the arrays of the call, and finds memory for them."""
        how, samples = self._how, _samples(self._counts, self._failures)
        self._asked = self._variant.spec.batch(self._plans, samples, how.dtype, how.temporal)
        images = list(zip(self._indices(), self._pixels, strict=True))
        self._outs, self._given = self._asked.allocate(out, memory.OUTPUTS, images)

    def fill(self) -> bool:
        """Runs the core. False where it came out only now that a file is broken, and the others
        are wanted: then the call begins anew, and decodes every image first."""
        failed = self._asked.run(self._pixels, self._outs, self._how.num_threads)
        if failed is None:
            return True
        at, error = failed
        if self._how.errors == "collect" and isinstance(self._pixels[at], _native.Jpeg):
            self._by_rows = False
            return False
        raise error if self._single else placed(error, f"images[{self._indices()[at]}]: ")

    def finish(self) -> Batch:
        """The arrays by key, as the caller asked for them."""
        batch: Batch = self._asked.finish(self._outs, self._given)
        if self._how.torch is not None:
            half = {key for key, _, kind, _ in self._asked.arrays if kind == "bfloat16"}
            batch = {key: self._how.returned(batch[key], half=key in half) for key in batch}
        if self._how.errors == "collect":
            batch["errors"] = list(self._failures)
        return batch


def _flatten(images: ImagesInput, apart: bool) -> tuple[list[Any], list[int], bool]:
    """The images of a call in order, how many are in the sample of each, and whether it was one
    image. `apart`: each image of a flat list is a sample of its own."""
    if images is None:
        raise TypeError("images: must be an image or a list of images, got None")
    if is_batch_array(images):
        images = list(images)
    if not isinstance(images, list | tuple):
        return [images], [1], True
    nested = [isinstance(image, list | tuple) for image in images]
    samples: Iterable[Any] = images if images and all(nested) else [images]
    if any(nested) and samples is not images:
        raise ValueError("images: must be all images, or all lists of images, not both")
    flat: list[Any] = []
    counts: list[int] = []
    for sample in samples:
        group: list[Any] = []
        for image in sample:
            group.extend(image if is_batch_array(image) else [image])
        flat += group
        alone = apart and samples is not images
        counts += [1] * len(group) if alone else [len(group)] * len(group)
    if not flat:
        raise ValueError("images: must hold at least one image, got an empty list")
    return flat, counts, False


def _samples(counts: list[int], failures: list[tuple[int, Exception]]) -> list[int]:
    """How many good images each sample has. `counts`: by image, the images of its sample."""
    bad = {index for index, _ in failures}
    samples = []
    index = 0
    while index < len(counts):
        count = counts[index]
        samples.append(sum(number not in bad for number in range(index, index + count)))
        index += count
    return samples
