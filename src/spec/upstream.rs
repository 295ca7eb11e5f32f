//! The words of upstream's config files and arguments, as data.

use crate::names::names;

names! {
    /// The backends that upstream has for a class.
    pub enum Backends: "backends" {
        /// torchvision and Pillow.
        Both = "both",
        /// torchvision alone.
        Torchvision = "torchvision",
        /// Pillow alone.
        Pillow = "pillow",
    }
}

/// One class of upstream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Upstream {
    /// Its name, without `Fast` or `Pil`.
    pub class: &'static str,
    /// Its backends.
    pub backends: Backends,
    /// The model types that use it and mean this family.
    pub model_types: &'static [&'static str],
    /// Names of processors that use it and mean this family.
    pub processors: &'static [&'static str],
    /// Keys of its config, beyond those that every class has.
    pub keys: &'static [Key],
    /// The class's defaults where they differ from the family's preset.
    pub defaults: &'static [(&'static str, Default)],
}

/// What a key of a config file or an argument of a call becomes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Key {
    /// The option of the same name.
    Same(&'static str),
    /// Another option; a dot reaches into a dict.
    To(&'static str, &'static str),
    /// Cannot change what comes out.
    Ignore(&'static str),
}

/// The value of a default.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Default {
    /// No value.
    Nothing,
    /// A flag.
    Bool(bool),
    /// A count or a size.
    Int(i64),
    /// A number.
    Float(f64),
    /// A name.
    Text(&'static str),
    /// Several numbers.
    Numbers(&'static [f64]),
    /// Pairs of sizes.
    Pairs(&'static [(usize, usize)]),
}
