//! What becomes of a strategy's shapes.

use crate::plan::{Inside, Order, Role};

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
        Self { role, array: Some(0), values: 0, cut: CutSpec::TILES }
    }

    /// The same in another array, with the values of that number.
    #[must_use]
    pub const fn in_array(self, array: usize, values: usize) -> Self {
        Self { array: Some(array), values, ..self }
    }

    /// A shape that other shapes are made from and that fills nothing.
    pub const STEP: Self = Self { role: Role::Step, array: None, values: 0, cut: CutSpec::TILES };

    /// Patches of the only shape, in the first array.
    #[must_use]
    pub const fn patches(cut: CutSpec) -> Self {
        Self { role: Role::Whole, array: Some(0), values: 0, cut }
    }
}
