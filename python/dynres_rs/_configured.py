"""What `Processor` and `VideoProcessor` share: a family with its options, and sets of options that
are ready to run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Generic, Self, TypeVar

from ._dynres_rs import Spec
from ._types import Numerics, Options
from .files import as_key
from .images import Policy
from .numerics import resolve
from .options import FACADE, canonical, freeze, preset

__all__ = ["Configured", "Variant"]

#: Sets of options of calls that a processor keeps at most.
_CACHED: Final = 64


class Variant:
    """A set of options, ready to run: what one call needs, built once for each distinct set."""

    __slots__ = ("options", "policy", "spec", "torchvision")

    def __init__(self, spec: Spec, numerics: Numerics, options: Options, convert: str) -> None:
        self.spec = spec
        self.options: Options = {
            **{key: plain(value) for key, value in spec.options.items()},
            **{key: options[key] for key in FACADE},
        }
        self.torchvision = numerics == "torchvision"
        self.policy = Policy(
            convert,
            self.torchvision,
            options["input_data_format"],
            int(self.options["max_image_pixels"]),
        )

    def check_floating(self, name: str, floating: str, *, resized: bool) -> None:
        """Refuses floating-point input that is not exact as uint8: upstream makes a difference.

        transformers' PIL backend goes through uint8 itself; its torchvision backend resizes in
        floating point and does not round, which equals the uint8 path only where nothing is
        resized. Without rescaling and normalising the input's dtype would show in the output.

        Args:
            name: what errors call it: `"image"` or `"video"`.
            floating: the name of its dtype.
            resized: whether it is resized.
        """
        if not self.spec.scales:
            raise TypeError(
                f"{name}: must be uint8 unless do_rescale and do_normalize are on, got {floating}"
            )
        if self.torchvision and resized:
            parts = "frames" if name == "video" else "images"
            raise TypeError(
                f"{name}: must be uint8 where it is resized by numerics='torchvision', which keeps"
                f" fractions of floating-point {parts}; got {floating}"
            )


V = TypeVar("V", bound=Variant)


class Configured(ABC, Generic[V]):
    """A family with its options. Immutable, hashable, and safe to share between threads."""

    __slots__ = ("_base", "_family", "_numerics", "_variants")

    _of_videos: ClassVar[bool] = False
    _family: str
    _numerics: Numerics
    _base: V
    _variants: dict[Any, V]

    @abstractmethod
    def __init__(self, family: str, *, numerics: str | None = None, **options: Any) -> None: ...

    @abstractmethod
    def _prepared(self, options: Options) -> V:
        """All options, ready to run."""

    def _set(self, family: str, numerics: str, options: Options) -> None:
        self._family = family
        self._numerics = resolve(numerics)
        self._base = self._prepared(options)
        self._variants = {}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The processor that `to_dict` described.

        Args:
            data: what `to_dict` returned.

        Raises:
            TypeError: `data` is no dict.
            ValueError: no family in it, or what the constructor raises.
        """
        if not isinstance(data, Mapping):
            raise TypeError(f"data: must be a dict, got {type(data).__name__}")
        options = {as_key(key): value for key, value in data.items()}
        family = options.pop("family", None)
        if family is None:
            raise ValueError("data: must have 'family', as to_dict() writes it")
        return cls(family, numerics=options.pop("numerics", None), **options)

    def to_dict(self) -> dict[str, Any]:
        """The family, the resolved numerics and all options, as values that JSON can hold."""
        return {"family": self._family, "numerics": self._numerics, **self.options}

    @property
    def family(self) -> str:
        """The family's name, a key of `dynres_rs.families()`."""
        return self._family

    @property
    def numerics(self) -> Numerics:
        """The rule in use: `"torchvision"`, `"pillow-12.0"`, `"pillow-12.2"` or `"pillow-13"`."""
        return self._numerics

    @property
    def options(self) -> Options:
        """All options under their canonical names; a copy."""
        return {key: plain(value) for key, value in self._base.options.items()}

    def _variant(self, given: dict[str, Any]) -> V:
        """The options of one call, laid over the processor's and kept for the next call like it."""
        if not given:
            return self._base
        key: Any
        found: V | None
        try:
            key = tuple([(name, type(value), value) for name, value in given.items()])
            found = self._variants.get(key)
        except Exception:  # a value that cannot be hashed, or whose hash raises
            try:
                key = freeze(given)
                found = self._variants.get(key)
            except Exception:
                key, found = None, None
        if found is None:
            found = self._prepared(self._canonical(given))
            if key is not None:
                if len(self._variants) >= _CACHED:
                    self._variants.clear()
                self._variants[key] = found
        return found

    def _canonical(self, given: dict[str, Any]) -> Options:
        """All options under their canonical names: those `given` over the processor's own."""
        return canonical(given, self._base.options, "options", self._family, self._of_videos)

    def _said(self) -> list[str]:
        """The arguments of the call that makes this processor again."""
        defaults = self._prepared(preset(self._family, self._of_videos)).options
        changed = {key: value for key, value in self.options.items() if value != defaults[key]}
        return [
            repr(self._family),
            f"numerics={self._numerics!r}",
            *(f"{key}={value!r}" for key, value in changed.items()),
        ]

    def __repr__(self) -> str:
        """The call that makes this processor again."""
        return f"{type(self).__name__}({', '.join(self._said())})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self._family, self._numerics, freeze(self._base.options)))

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self).from_dict, (self.to_dict(),))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


def plain(value: Any) -> Any:
    """Tuples as lists, so that a dict that went through JSON compares equal; lists as copies."""
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value
