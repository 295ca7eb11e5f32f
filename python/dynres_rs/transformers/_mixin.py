"""What our image and video processors share: which numbers, which calls, and the first check.

Upstream reads configs, completes and checks the arguments of a call, fetches images and nests them.
Then its `_preprocess` turns pixels into arrays, and that method alone is replaced. Whatever cannot
be reproduced bit for bit is handed on to it, with the arguments as they came.

Three things stand between a call and our path:

1. the arguments and inputs are of types that both sides read alike (`_arguments`);
2. nobody has replaced a part of upstream's path (`_genuine`);
3. the first call of its kind runs small inputs through both paths. Every bit must agree, or
   upstream's own code runs for calls of that kind from then on. The same result shows in which
   containers upstream returns its arrays (`_forms`).
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple, cast

import numpy as np

from ..numerics import installed_pillow, resolve
from ..patching import equal
from ._arguments import PLUMBING, Elsewhere, frozen, kind_of, vocabulary
from ._forms import Form, Unlearnt, form_of, joined
from ._genuine import Path
from ._table import Row

__all__ = ["Checked", "Exact", "Made", "State", "noise"]

_NUMERICS: Final = "_dynres_numerics"
_MOST_WARNINGS: Final = 64
#: Sets of options, and kinds of calls, that a class remembers.
_MOST_MADE: Final = 128
_MOST_KINDS: Final = 256
_warned: set[str] = set()


class Made(NamedTuple):
    """A set of arguments, ready to run."""

    run: Callable[[Any, Mapping[str, Any]], Mapping[str, Any]]
    """Inputs and their arguments -> arrays by key."""
    kind: Any
    """What its calls have in common; the first of them is checked."""
    options: Mapping[str, Any]


class Checked:
    """What upstream's results of one kind of call look like."""

    def __init__(self) -> None:
        self.forms: dict[str, Form] = {}
        self.keys: list[str] = []
        self.renamed: dict[str, str] = {}
        """Our keys that upstream's `preprocess` gives their names only afterwards."""
        self.skipped: Any = None
        self.made: Any = None
        """The class of the results: transformers has two of one name."""

    def learn(self, theirs: Any) -> None:
        """Notes the keys of a result of upstream, in order, and their forms.

        Raises:
            Unlearnt: a value that is no array, number or list of them.
        """
        if type(theirs) not in batch_features():
            raise Unlearnt(f"a {type(theirs).__name__}")
        for key, value in theirs.items():
            known = self.forms.get(key)
            form = form_of(value)
            self.forms[key] = form if known is None else joined((known, form))
        new = list(theirs)
        if set(new) >= set(self.keys):
            self.keys = new
        elif not set(new) <= set(self.keys):
            self.keys += [key for key in new if key not in self.keys]
        self.skipped = getattr(theirs, "skip_tensor_conversion", None)
        self.made = type(theirs)

    def rename(self, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
        """Takes the one key that ours have and theirs do not for the one that theirs have alone."""
        alone = [key for key in ours if key not in theirs]
        other = [key for key in theirs if key not in ours]
        if len(alone) == len(other) == 1:
            self.renamed = {alone[0]: other[0]}

    def shaped(self, ours: Mapping[str, Any]) -> Any:
        """Our arrays as upstream's `BatchFeature`.

        Raises:
            Unlearnt: upstream has not shown such a result yet.
        """
        ours = {self.renamed.get(key, key): value for key, value in ours.items()}
        if not ours.keys() <= self.forms.keys():
            raise Unlearnt("a key that upstream has not returned yet")
        data = {key: self.forms[key].shaped(ours[key]) for key in self.keys if key in ours}
        made = self.made(data=data)
        made.skip_tensor_conversion = self.skipped
        return made


class State:
    """What one of our classes has learnt in this process. No lock: two threads learn the same."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.made: dict[Any, Made] = {}
        #: None: upstream's own code runs for this kind.
        self.checked: dict[Any, Checked | None] = {}
        #: Kinds of images that both convert to RGB alike, or do not.
        self.conversions: dict[Any, bool] = {}


class Exact(ABC):
    """Mixed in before a class of transformers, it replaces the pixel path."""

    _dynres_row: ClassVar[Row]
    _dynres_upstream: ClassVar[Any]
    _dynres_torchvision: ClassVar[bool]
    #: The class to load for numerics of the other kind.
    _dynres_other: ClassVar[Any]
    _dynres_state: ClassVar[State]

    def __init__(self, *args: Any, numerics: str | None = None, **kwargs: Any) -> None:
        upstream = cast(Any, super())
        upstream.__init__(*args, **kwargs)
        self._dynres_pin(numerics)

    def _dynres_pin(self, numerics: str | None) -> None:
        if numerics is not None:
            rule = resolve(numerics)
            if rule != self._dynres_native():
                self.__dict__[_NUMERICS] = rule

    def _dynres_numerics_now(self) -> str:
        return self.__dict__.get(_NUMERICS) or self._dynres_native()

    @classmethod
    def _dynres_native(cls) -> str:
        """The numbers of the upstream class underneath."""
        return "torchvision" if cls._dynres_torchvision else installed_pillow()

    @classmethod
    def from_pretrained(cls, *args: Any, numerics: str | None = None, **kwargs: Any) -> Any:
        """transformers' `from_pretrained`, with the numbers to reproduce.

        Args:
            *args, **kwargs: as upstream.
            numerics: `"torchvision"`, `"pillow"` or `"pillow-<version>"`; None is the backend's
                own. Pillow's numbers come from the PIL backend's class, where both are installed.

        Raises:
            TypeError, ValueError: unknown numerics.
        """
        if kwargs.get("backend") in (None, "dynres"):
            kwargs.pop("backend", None)
        maker: Any = cls
        if numerics is not None and (resolve(numerics) == "torchvision") != cls._dynres_torchvision:
            maker = cls._dynres_other or cls
        if maker is not cls:
            return maker.from_pretrained(*args, numerics=numerics, **kwargs)
        made = cast(Any, super()).from_pretrained(*args, **kwargs)
        (made[0] if isinstance(made, tuple) else made)._dynres_pin(numerics)
        return made

    def to_dict(self) -> dict[str, Any]:
        """Upstream's dict: nothing in it says that this class made it."""
        found: dict[str, Any] = cast(Any, super()).to_dict()
        found.pop(_NUMERICS, None)
        return found

    # What images and videos differ in

    @abstractmethod
    def _dynres_make(self, inputs: Any, arguments: Mapping[str, Any]) -> Made:
        """The arguments as options, ready to run."""

    @abstractmethod
    def _dynres_check_inputs(self, inputs: Any, made: Made) -> None:
        """Refuses inputs that are not known to be read as upstream reads them."""

    @abstractmethod
    def _dynres_small(self, inputs: Any, made: Made) -> Sequence[Any]:
        """Small inputs in the layout of these, each to be tried if upstream refuses the one
        before."""

    # The call

    def _dynres_call(
        self,
        inputs: Any,
        arguments: dict[str, Any],
        theirs: Callable[[Any, Mapping[str, Any]], Any],
    ) -> Any:
        """Our path, and where that refuses upstream's, which then decides.

        With numerics that are not upstream's own its result would be a wrong one, so the refusal
        stands.
        """
        try:
            return self._dynres_ours(inputs, arguments, theirs)
        except (TypeError, ValueError, OSError) as error:
            if _NUMERICS in self.__dict__:
                raise
            reason = str(error)
        result = theirs(inputs, arguments)
        _warn(type(self).__name__, reason)
        return result

    def _dynres_ours(
        self,
        inputs: Any,
        arguments: dict[str, Any],
        theirs: Callable[[Any, Mapping[str, Any]], Any],
    ) -> Any:
        state = self._dynres_state
        state.path.check(self)
        made = self._dynres_make(inputs, arguments)
        self._dynres_check_inputs(inputs, made)
        checked = state.checked.get(made.kind)
        if checked is None:
            if made.kind in state.checked:
                raise Elsewhere(_OTHER_NUMBERS)
            checked = self._dynres_learn(inputs, arguments, made, theirs)
        if checked is not None:
            ours = made.run(inputs, arguments)
            try:
                return checked.shaped(ours)
            except Unlearnt:
                if _NUMERICS in self.__dict__:
                    raise
        # No small input would do, or this one's result has a form of its own.
        result = theirs(inputs, arguments)
        if checked is None:
            ours = made.run(inputs, arguments)
        self._dynres_note(made, ours, result, checked or Checked())
        return result

    def _dynres_learn(
        self,
        inputs: Any,
        arguments: dict[str, Any],
        made: Made,
        theirs: Callable[[Any, Mapping[str, Any]], Any],
    ) -> Checked | None:
        """Runs both on small inputs. None: upstream refuses them all, whatever they are."""
        for small in self._dynres_small(inputs, made):
            few = _for_samples(arguments, inputs, small)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    result = theirs(small, few)
            except Exception:  # whatever upstream says of a size that the caller did not ask for
                continue
            try:
                ours = made.run(small, few)
            except (TypeError, ValueError):
                continue
            checked = Checked()
            self._dynres_note(made, ours, result, checked)
            if self._dynres_state.checked.get(made.kind) is None:
                raise Elsewhere(_OTHER_NUMBERS)
            return checked
        return None

    def _dynres_note(self, made: Made, ours: Any, result: Any, checked: Checked) -> None:
        """Compares a result of ours with upstream's, and keeps what follows for its kind."""
        state = self._dynres_state
        good = False
        try:
            checked.learn(result)
            checked.rename(ours, result)
            shaped = checked.shaped(ours)
            good = list(shaped) == list(result)
            if good and _NUMERICS not in self.__dict__:
                good = equal(shaped, result)
        except Unlearnt:
            good = False
        if len(state.checked) >= _MOST_KINDS:
            state.checked.clear()
        state.checked[made.kind] = checked if good else None

    def _dynres_kind(
        self, inputs_kind: Any, arguments: Mapping[str, Any], skipped: frozenset[str]
    ) -> Any:
        """What all calls of a kind have in common."""
        filters = vocabulary(self._dynres_row).filters
        tensors = arguments.get("return_tensors")
        return (
            self._dynres_numerics_now(),
            None if tensors is None else str(getattr(tensors, "value", tensors)),
            inputs_kind,
            tuple(
                [
                    (name, kind_of(name, value, filters))
                    for name, value in arguments.items()
                    if name not in PLUMBING and name not in skipped
                ]
            ),
        )

    def _dynres_key(self, arguments: Mapping[str, Any]) -> Any:
        """All that options are made of: the arguments, and what is read from the object."""
        fields = vocabulary(self._dynres_row).fields
        own = self.__dict__
        return (
            self._dynres_numerics_now(),
            tuple([(name, frozen(name, value)) for name, value in arguments.items()]),
            tuple(
                [
                    (name, frozen(name, getattr(self, name)))
                    for name in fields
                    if name not in arguments and (name in own or hasattr(type(self), name))
                ]
            ),
        )

    def _dynres_kept(self, key: Any, make: Callable[[], Made]) -> Made:
        made = self._dynres_state.made
        found = made.get(key)
        if found is None:
            found = make()
            if len(made) >= _MOST_MADE:
                made.clear()
            made[key] = found
        return found

    def _dynres_check_torch(self, arguments: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        """Upstream computes in torch, on the device and with the default dtype of the moment."""
        torch: Any = sys.modules["torch"]
        device = arguments.get("device")
        if device is not None and torch.device(device).type != "cpu":
            raise Elsewhere(f"device={str(device)!r}")
        if torch.get_default_dtype() != torch.float32:
            raise Elsewhere("torch's default dtype is not float32")
        if torch.get_default_device().type != "cpu":
            raise Elsewhere("torch's default device is not the CPU")
        if self._dynres_row.serial and torch.get_num_threads() > 1:
            raise Elsewhere("numbers that depend on torch's threads, of which there are several")
        if options.get("do_resize"):
            for name in vocabulary(self._dynres_row).filters:
                if not _integer(options[name]):
                    raise Elsewhere(f"{name}={options[name]!r} on this machine or this torchvision")


_OTHER_NUMBERS: Final = "its numbers are not those of this release of transformers"


def _for_samples(arguments: dict[str, Any], inputs: Any, small: Any) -> dict[str, Any]:
    """The arguments of a call of small inputs: what there is one of for each is as long as they."""
    few = dict(arguments)
    if (name := samples_of(arguments, inputs)) is not None:
        few[name] = [1] * len(small)
    if arguments.get("video_metadata"):
        few["video_metadata"] = [arguments["video_metadata"][0]] * len(small)
    return few


def named(method: Any, args: tuple[Any, ...], arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call by their names; the first one, the inputs, is not among them."""
    if not args:
        return arguments
    names = list(inspect.signature(method).parameters)[1 : len(args) + 1]
    return {**dict(zip(names, args, strict=True)), **arguments}


def samples_of(arguments: Mapping[str, Any], inputs: Sequence[Any]) -> str | None:
    """The argument that says how many of the images each sample has, where upstream counts them
    before it forgets the nesting."""
    for name, value in arguments.items():
        if (
            type(value) is list
            and value
            and all(type(item) is int and item > 0 for item in value)
            and sum(value) == len(inputs)
            and name.startswith("batch_")
        ):
            return name
    return None


@functools.cache
def batch_features() -> tuple[type, ...]:
    """transformers' classes of results."""
    modules = ("transformers.image_processing_base", "transformers.feature_extraction_utils")
    return tuple([importlib.import_module(module).BatchFeature for module in modules])


@functools.cache
def noise(height: int, width: int) -> Any:
    """(height, width, 3) uint8 of every value, the same each time."""
    numbers = np.arange(height * width * 3, dtype=np.uint32)
    pixels = ((numbers + 1) * np.uint32(2654435761) >> np.uint32(24)).astype(np.uint8)
    return pixels.reshape(height, width, 3)


@functools.cache
def _integer(filter_name: str) -> bool:
    """Whether torchvision resizes bytes in integers with this filter, here: bilinear needs AVX2,
    and Lanczos torchvision 0.27."""
    functional: Any = importlib.import_module("torchvision.transforms.v2.functional._geometry")
    if filter_name == "lanczos":
        utils = importlib.import_module("transformers.utils.import_utils")
        return bool(utils.is_torchvision_greater_or_equal("0.27"))
    if filter_name not in ("bilinear", "bicubic"):
        return False
    mode = functional.InterpolationMode(filter_name)
    return bool(functional._do_native_uint8_resize_on_cpu(mode))


def _warn(name: str, reason: str) -> None:
    """Says once for each kind of reason that upstream's own path ran."""
    key = f"{name}: " + re.sub(r"\d+", "#", reason)
    if key in _warned or len(_warned) >= _MOST_WARNINGS:
        return
    _warned.add(key)
    warnings.warn(
        f"dynres_rs: {name} used transformers' own path, for a call that cannot be reproduced"
        f" exactly here ({reason}). Its result is right, and not faster. Said once.",
        UserWarning,
        stacklevel=6,
    )
