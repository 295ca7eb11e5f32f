//! What becomes of a strategy's shapes.

use super::Spec;
use crate::pack::Standardise;
use crate::plan::{First, Floats, Inside, Lane, Order, Role};

/// What becomes of every shape of one role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewSpec {
    /// The role.
    pub role: Role,
    /// The array it fills; none where other shapes are made from it and nothing else.
    pub array: Option<usize>,
    /// Which mean and standard deviation its values have.
    pub values: usize,
    /// How its units are written.
    pub cut: CutSpec,
    /// In which numbers it is resized, as far as no option changes that.
    pub numbers: Lane,
}

/// How a shape's units are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutSpec {
    /// Tiles, row by row.
    Tiles {
        /// The order of a tile's elements.
        order: Order,
    },
    /// Patches merge block by merge block.
    Patches {
        /// The order of a patch's elements.
        inside: Inside,
    },
    /// Patches row by row, whatever is merged later.
    RasterPatches {
        /// The order of a patch's elements.
        inside: Inside,
    },
}

impl CutSpec {
    /// Tiles with their channels first.
    pub const TILES: Self = Self::Tiles { order: Order::ChannelsFirst };
}

impl ViewSpec {
    /// Tiles of that role in the first array.
    #[must_use]
    pub const fn tiles(role: Role) -> Self {
        Self { role, array: Some(0), values: 0, cut: CutSpec::TILES, numbers: Lane::Bytes }
    }

    /// The same of another role.
    #[must_use]
    pub const fn of(self, role: Role) -> Self {
        Self { role, ..self }
    }

    /// The same in another array, with the values of that number.
    #[must_use]
    pub const fn in_array(self, array: usize, values: usize) -> Self {
        Self { array: Some(array), values, ..self }
    }

    /// A shape that other shapes are made from and that fills nothing.
    pub const STEP: Self = Self { array: None, ..Self::tiles(Role::Step) };

    /// Patches of the only shape, in the first array.
    #[must_use]
    pub const fn patches(cut: CutSpec) -> Self {
        Self { cut, ..Self::tiles(Role::Whole) }
    }

    /// The same resized in floats.
    #[must_use]
    pub const fn in_floats(self, floats: Floats) -> Self {
        Self { numbers: Lane::Floats(floats), ..self }
    }

    /// The same resized by torchvision's rule, whatever the numerics.
    #[must_use]
    pub const fn by_torch(self) -> Self {
        Self { numbers: Lane::Torch, ..self }
    }

    /// In which numbers it is resized with the options of `spec`.
    #[must_use]
    pub fn lane(&self, spec: &Spec) -> Lane {
        let Lane::Floats(floats) = self.numbers else { return self.numbers };
        let common = &spec.common;
        let first = match floats.first {
            // Nothing makes floats of them before they are resized.
            First::Rescale if !common.do_rescale => return Lane::Bytes,
            First::Normalise if !common.do_rescale && !common.do_normalize => {
                return if floats.rule.antialias { Lane::Bytes } else { Lane::Sharp };
            }
            First::Standardise(_) if !common.do_normalize => First::Nothing,
            First::Standardise(_) if !spec.numerics.int16_weights() => {
                First::Standardise(Standardise::Numpy)
            }
            first => first,
        };
        Lane::Floats(Floats { first, ..floats })
    }
}
