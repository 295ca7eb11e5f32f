//! A family with its options: data that the planner interprets. No plans, no pixels.
//!
//! | file | holds |
//! |---|---|
//! | `view` | what becomes of a strategy's shapes, by role |
//! | `array` | arrays of pixels: keys and how images join; facts: all other arrays |
//! | `tokens` | what the language model sees, in order |
//! | `prompt` | the text that stands for an image or a video, and upstream's counts |
//! | `upstream` | the words of upstream's config files and arguments |

mod array;
mod prompt;
mod tokens;
mod upstream;
mod view;

use crate::error::{Error, Result, Size};
use crate::names::names;
use crate::options::{
    Budget, Choice, Deviation, Field, Flag, Mean, Options, Positive, Value, options,
};
use crate::pack::Arithmetic;
use crate::plan::Lane;
use crate::resample::{Filter, Numerics};
use crate::strategy::{Measure, Ready, Strategy};

pub use array::{ArraySpec, FactSpec, Form, Group, Number, Per, Rows, What};
pub use prompt::{
    Clock, Counts, Digits, Mark, Moment, NOTHING, Phrase, Positions, Prompt, Rate, Word,
};
pub use tokens::{Part, Share, TokenSpec};
pub use upstream::{
    Backends, IGNORED, Key, OwnFile, OwnForm, Preset, Sign, Upstream, VIDEO_IGNORED,
};
pub use view::{CutSpec, ViewSpec};

/// Mean and standard deviation of each channel.
pub type MeanStd = ([f64; 3], [f64; 3]);

names! {
    /// What a coordinate in the model's text means.
    pub enum Coords: "coords" {
        /// Pixels of the resized image.
        Resized = "resized",
        /// 0 to 1000 of the image.
        Norm1000 = "norm1000",
        /// 0 to 999 of the image.
        Norm999 = "norm999",
        /// 0 to 1 of the image.
        Norm1 = "norm1",
    }
}

names! {
    /// How upstream's own code turns what is not RGB into RGB. The facade acts on it.
    pub enum Convert: "convert" {
        /// transformers: alpha composited on white, grey repeated.
        Transformers = "transformers",
        /// `Image.convert("RGB")`: alpha dropped.
        Original = "original",
        /// `Inkling2ImageProcessor`: alpha composited on a checkerboard, grey repeated.
        Checkerboard = "checkerboard",
        /// Not at all: three channels or an error.
        Never = "none",
    }
}

/// Pillow refuses files above this many pixels.
const MAX_IMAGE_PIXELS: usize = 178_956_970;

options! {
    /// Options of every family.
    pub struct Common {
        /// Off: images must already have the size that the rule asks for.
        do_resize: Flag = true,
        /// The resampling filter.
        resample: Choice<Filter> = Filter::Bicubic,
        /// Multiply by `rescale_factor`.
        do_rescale: Flag = true,
        /// What a byte is multiplied by.
        rescale_factor: Positive = 1.0 / 255.0,
        /// Subtract the mean and divide by the standard deviation.
        do_normalize: Flag = true,
        /// Mean of each channel.
        image_mean: Mean = [0.5; 3],
        /// Standard deviation of each channel.
        image_std: Deviation = [0.5; 3],
        /// Most pixels of an image, going in or coming out.
        max_image_pixels: Budget = MAX_IMAGE_PIXELS,
        /// The coordinates that the family was trained to speak.
        coords: Choice<Coords> = Coords::Norm1000,
    }
}

/// All that a family is, but for its names: what its entry shares between images of any options.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    /// What becomes of each shape of the strategy.
    pub views: &'static [ViewSpec],
    /// Arrays of pixels.
    pub arrays: &'static [ArraySpec],
    /// All other arrays.
    pub facts: &'static [FactSpec],
    /// What the language model sees.
    pub tokens: TokenSpec,
    /// In which steps values are normalised, where it is not as the numerics have it.
    pub arithmetic: Option<Arithmetic>,
    /// Options of the strategy that the family does not have: they keep their values.
    pub lacks: &'static [&'static str],
    /// Those of `lacks`, where many families share it, that this one has all the same.
    pub has: &'static [&'static str],
}

impl Recipe {
    /// Whether an option of the strategy is none of the family.
    #[must_use]
    pub fn hides(&self, option: &str) -> bool {
        self.lacks.contains(&option) && !self.has.contains(&option)
    }
}

/// A family with its options.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The family's name in the table.
    pub family: &'static str,
    /// How sizes follow from an image's size, with its options.
    pub strategy: Strategy,
    /// Options of every family.
    pub common: Common,
    /// Whose numbers to reproduce.
    pub numerics: Numerics,
    /// What follows from the sizes.
    pub recipe: Recipe,
}

/// The colour that upstream pads with unless it is told another: its mean as a byte, truncated.
#[must_use]
pub fn mean_colour(mean: [f64; 3]) -> [u8; 3] {
    mean.map(|value| (value * 255.0) as u8)
}

impl Spec {
    /// Sets one option by its name.
    ///
    /// # Errors
    /// `Unknown` for a name that the family does not have, `Option` for a value outside its range.
    pub fn set(&mut self, name: &str, value: &Value) -> Result<()> {
        if !self.recipe.hides(name)
            && (self.common.set(name, value)? || self.strategy.set(name, value)?)
        {
            return Ok(());
        }
        let known = self.options().into_iter().map(|(name, _)| name).collect();
        Err(Error::Unknown { what: "option", given: name.into(), known })
    }

    /// Every option with its value.
    #[must_use]
    pub fn options(&self) -> Vec<(&'static str, Value)> {
        let mut values = Vec::new();
        self.common.values(&mut values);
        let common = values.len();
        self.strategy.values(&mut values);
        for (name, value) in &mut values[common..] {
            let held = std::mem::replace(value, Value::Nothing);
            *value = self.strategy.shown(&self.common, name, held);
        }
        values.retain(|(name, _)| !self.recipe.hides(name));
        values
    }

    /// Whether the array of pixels of that number has floats even where nothing is rescaled or normalised.
    #[must_use]
    pub fn is_of_floats(&self, array: usize) -> bool {
        let mut views = self.recipe.views.iter().filter(|view| view.array == Some(array));
        let floats = |view: &ViewSpec| match view.lane(self) {
            Lane::Floats(floats) => !floats.are_bytes(),
            Lane::Bytes | Lane::Torch | Lane::Sharp | Lane::Reduced => false,
        };
        let kept = |array: &ArraySpec| {
            array.with(&self.strategy).floats.is_some_and(|on| on.has(self.numerics))
        };
        views.any(floats) || self.recipe.arrays.get(array).is_some_and(kept)
    }

    /// The description of every option.
    #[must_use]
    pub fn schema(&self) -> Vec<Field> {
        let mut fields = Vec::new();
        self.common.schema(&mut fields);
        self.strategy.schema(&mut fields);
        fields.retain(|field| !self.recipe.hides(field.name));
        fields
    }

    /// Makes what its strategy makes once.
    ///
    /// # Errors
    /// `Option` where options contradict each other, `OutOfMemory`.
    pub fn prepare(self) -> Result<Prepared> {
        let ready = self.strategy.prepare(&self.common)?;
        Ok(Prepared { spec: self, ready })
    }
}

/// A spec whose options go together, with what its strategy made once.
pub struct Prepared {
    /// The spec.
    pub spec: Spec,
    /// What the strategy made.
    pub ready: Ready,
}

impl std::ops::Deref for Prepared {
    type Target = Spec;

    fn deref(&self) -> &Spec {
        &self.spec
    }
}

impl Prepared {
    /// Checks that an image or a resized image has no more pixels than the limit.
    ///
    /// # Errors
    /// `TooLarge`.
    pub fn check_area(&self, what: &'static str, size: Size) -> Result<()> {
        let limit = self.common.max_image_pixels as u64;
        let area = size.0 as u128 * size.1 as u128;
        if area > u128::from(limit) { Err(Error::TooLarge { what, size, limit }) } else { Ok(()) }
    }

    /// Checks that the canvas of a resized image has no more pixels than the limit, and no side of what lies on it: of a
    /// side that is cut down to a crop every sample still has its weights.
    ///
    /// # Errors
    /// `TooLarge`.
    pub fn check_resized(&self, what: &'static str, resized: Size, canvas: Size) -> Result<()> {
        self.check_area(what, canvas)?;
        let limit = self.common.max_image_pixels as u64;
        if resized.0.max(resized.1) as u64 > limit {
            return Err(Error::TooLarge { what, size: resized, limit });
        }
        Ok(())
    }
}
