//! Options declared once: field, kind, default and doc in one line each.
//!
//! `options!` makes of them a struct, its default, setting and reading by name, and the schema that Python validates
//! by and that the docs show. It knows no family and no strategy.

use crate::error::{Error, Result, Size};
use crate::names::Named;
use std::fmt;
use std::marker::PhantomData;

/// The value of an option, as it comes in from and goes out to Python.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No value.
    Nothing,
    /// A flag.
    Bool(bool),
    /// A count or a size.
    Int(i64),
    /// An integer beyond 64 bits, rounded; infinite where no float holds it.
    Wide(f64),
    /// A number.
    Float(f64),
    /// A name.
    Text(String),
    /// Several numbers.
    Numbers(Vec<f64>),
    /// Red, green and blue.
    Colour([u8; 3]),
    /// A height and a width.
    Size(Size),
    /// Pairs of sizes.
    Pairs(Vec<(usize, usize)>),
}

/// How many items of a list a message shows.
const SHOWN: usize = 16;

fn write_items<T: fmt::Debug>(f: &mut fmt::Formatter<'_>, items: &[T]) -> fmt::Result {
    if items.len() > SHOWN {
        write!(f, "{:?} and {} more", &items[..SHOWN], items.len() - SHOWN)
    } else {
        write!(f, "{items:?}")
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("None"),
            Self::Bool(true) => f.write_str("True"),
            Self::Bool(false) => f.write_str("False"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value}"),
            Self::Wide(value) if value.is_infinite() => f.write_str("one of more than 1024 bits"),
            Self::Wide(value) => write!(f, "{value:e}"),
            Self::Text(value) => write!(f, "{value:?}"),
            Self::Numbers(value) => write_items(f, value),
            Self::Colour(value) => write!(f, "{value:?}"),
            Self::Size(value) => write!(f, "{value:?}"),
            Self::Pairs(value) => write_items(f, value),
        }
    }
}

/// The error of a value outside its range.
#[must_use]
#[cold]
#[inline(never)]
pub fn wrong(name: &'static str, rule: &'static str, given: &Value) -> Error {
    Error::Option { name, rule, given: given.to_string() }
}

/// One option, as Python and the docs see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// The name of its [`Kind`].
    pub kind: &'static str,
    /// Whether `None` is a value.
    pub optional: bool,
    /// What a value must be.
    pub rule: &'static str,
    /// The names it can have, where it is one of a list.
    pub choices: &'static [&'static str],
    /// What it means.
    pub doc: &'static str,
}

/// How the values of an option are read and written.
pub trait Kind {
    /// What the core holds.
    type Type: Clone + fmt::Debug + PartialEq;
    /// The kind's name in the schema.
    const NAME: &'static str;
    /// What a value must be.
    const RULE: &'static str;
    /// The names it can have, where it is one of a list.
    const CHOICES: &'static [&'static str] = &[];
    /// Whether `None` is a value.
    const OPTIONAL: bool = false;

    /// Takes a value.
    ///
    /// # Errors
    /// `Option` for one that breaks the rule, `Unknown` for a name that no list has.
    fn read(name: &'static str, value: &Value) -> Result<Self::Type>;

    /// Gives it back.
    fn write(value: &Self::Type) -> Value;
}

macro_rules! kind {
    ($(#[$doc:meta])* $kind:ident: $type:ty, $name:literal, $rule:literal, $read:expr, $write:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $kind;

        impl Kind for $kind {
            type Type = $type;
            const NAME: &'static str = $name;
            const RULE: &'static str = $rule;

            // Not inlined: there are hundreds of options, and few kinds.
            #[inline(never)]
            fn read(name: &'static str, value: &Value) -> Result<$type> {
                let read: fn(&Value) -> Option<$type> = $read;
                read(value).ok_or_else(|| wrong(name, Self::RULE, value))
            }

            fn write(value: &$type) -> Value {
                let write: fn(&$type) -> Value = $write;
                write(value)
            }
        }
    };
}

/// Sizes and counts stay below this, so that products of two fit in 64 bits.
pub const MOST: i64 = 1 << 31;

fn as_count(value: &Value) -> Option<usize> {
    match value {
        Value::Int(given) if (1..MOST).contains(given) => Some(*given as usize),
        _ => None,
    }
}

fn as_number(value: &Value) -> Option<f64> {
    match value {
        Value::Float(number) | Value::Wide(number) if number.is_finite() => Some(*number),
        Value::Int(number) => Some(*number as f64),
        _ => None,
    }
}

fn as_three(value: &Value) -> Option<[f64; 3]> {
    match value {
        Value::Numbers(numbers) if numbers.iter().all(|v| v.is_finite()) => {
            numbers.as_slice().try_into().ok()
        }
        _ => None,
    }
}

fn as_colour(value: &Value) -> Option<[u8; 3]> {
    let byte = |v: &f64| v.fract() == 0.0 && (0.0..=255.0).contains(v);
    match value {
        Value::Colour(colour) => Some(*colour),
        Value::Numbers(three) if three.len() == 3 && three.iter().all(byte) => {
            Some([three[0] as u8, three[1] as u8, three[2] as u8])
        }
        _ => None,
    }
}

fn as_size(value: &Value) -> Option<Size> {
    let fits = |side: usize| (1..MOST as usize).contains(&side);
    match value {
        Value::Size(size) if fits(size.0) && fits(size.1) => Some(*size),
        Value::Int(_) => as_count(value).map(|side| (side, side)),
        _ => None,
    }
}

kind!(
    /// On or off.
    Flag: bool, "flag", "True or False",
    |value| if let Value::Bool(value) = value { Some(*value) } else { None },
    |value| Value::Bool(*value)
);
kind!(
    /// A size or a count.
    Count: usize, "count", "an integer in 1..2**31",
    as_count,
    |value| Value::Int(*value as i64)
);
kind!(
    /// A count that may be zero.
    CountOrZero: usize, "count", "an integer in 0..2**31",
    |value| if *value == Value::Int(0) { Some(0) } else { as_count(value) },
    |value| Value::Int(*value as i64)
);
kind!(
    /// A budget of pixels or tokens, as large as an integer goes: above 2^63 as good as 2^63 - 1, since no image has so
    /// many pixels.
    Budget: usize, "budget", "an integer of at least 1",
    |value| match value {
        Value::Int(given) if *given >= 1 => Some(*given as usize),
        Value::Wide(given) if *given > 0.0 => Some(i64::MAX as usize),
        _ => None,
    },
    |value| Value::Int(*value as i64)
);
kind!(
    /// A number.
    Number: f64, "number", "a finite number",
    as_number,
    |value| Value::Float(*value)
);
kind!(
    /// A number above zero.
    Positive: f64, "number", "a finite number above 0",
    |value| as_number(value).filter(|number| *number > 0.0),
    |value| Value::Float(*value)
);
kind!(
    /// A mean a channel.
    Mean: [f64; 3], "three", "three finite numbers",
    as_three,
    |value| Value::Numbers(value.to_vec())
);
kind!(
    /// A standard deviation a channel.
    Deviation: [f64; 3], "three", "three finite numbers above 0",
    |value| as_three(value).filter(|three| three.iter().all(|v| *v > 0.0)),
    |value| Value::Numbers(value.to_vec())
);
kind!(
    /// Red, green and blue.
    Colour: [u8; 3], "colour", "three integers in 0..=255",
    as_colour,
    |value| Value::Colour(*value)
);
kind!(
    /// A side, or a height and a width.
    SideOrSize: Size, "size", "an integer or (height, width), at least 1",
    as_size,
    |value| if value.0 == value.1 { Value::Int(value.0 as i64) } else { Value::Size(*value) }
);
kind!(
    /// A count, or one for each of two sides, that may be zero.
    SidesOrZero: Size, "size", "an integer or a pair of integers, at least 0",
    |value| match value {
        Value::Int(0) => Some((0, 0)),
        Value::Size(size) if size.0.max(size.1) < MOST as usize => Some(*size),
        _ => as_size(value),
    },
    |value| if value.0 == value.1 { Value::Int(value.0 as i64) } else { Value::Size(*value) }
);
kind!(
    /// A list of pairs of sizes.
    Pairs: Vec<(usize, usize)>, "pairs", "a list of pairs of integers",
    |value| if let Value::Pairs(pairs) = value { Some(pairs.clone()) } else { None },
    |value| Value::Pairs(value.clone())
);

/// One of a list of names.
pub struct Choice<T>(PhantomData<T>);

impl<T: Named> Kind for Choice<T> {
    type Type = T;
    const NAME: &'static str = "name";
    const RULE: &'static str = "a name";
    const CHOICES: &'static [&'static str] = T::NAMES;

    fn read(name: &'static str, value: &Value) -> Result<T> {
        let Value::Text(text) = value else { return Err(wrong(name, Self::RULE, value)) };
        T::parse(text)
    }

    fn write(value: &T) -> Value {
        Value::Text(value.name().into())
    }
}

/// A kind, or `None`.
pub struct Maybe<K>(PhantomData<K>);

impl<K: Kind> Kind for Maybe<K> {
    type Type = Option<K::Type>;
    const NAME: &'static str = K::NAME;
    const RULE: &'static str = K::RULE;
    const CHOICES: &'static [&'static str] = K::CHOICES;
    const OPTIONAL: bool = true;

    fn read(name: &'static str, value: &Value) -> Result<Self::Type> {
        if *value == Value::Nothing { Ok(None) } else { K::read(name, value).map(Some) }
    }

    fn write(value: &Self::Type) -> Value {
        value.as_ref().map_or(Value::Nothing, K::write)
    }
}

/// A struct of options that can be set, read and described by name.
pub trait Options {
    /// Sets one by its name; false where it has none of that name.
    ///
    /// # Errors
    /// `Option` for a value outside its range, `Unknown` for a name that no list has.
    fn set(&mut self, name: &str, value: &Value) -> Result<bool>;

    /// Adds every option with its value.
    fn values(&self, into: &mut Vec<(&'static str, Value)>);

    /// Adds the description of every option.
    fn schema(&self, into: &mut Vec<Field>);
}

/// Adds an option's value.
#[inline(never)]
pub(crate) fn add(into: &mut Vec<(&'static str, Value)>, name: &'static str, value: Value) {
    into.push((name, value));
}

/// Adds the descriptions of options.
#[inline(never)]
pub(crate) fn describe(into: &mut Vec<Field>, fields: &[Field]) {
    into.extend_from_slice(fields);
}

/// Declares a struct of options; each line is a doc, a name, a [`Kind`] and a default. After `fixed` come fields that a
/// family's entry sets and nobody else: they are part of the family's rule.
macro_rules! options {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $( $(#[doc = $doc:literal])+ $field:ident: $kind:ty = $default:expr ),+ $(,)?
        }
        $(fixed {
            $( $(#[doc = $fixed_doc:literal])+ $fixed:ident: $type:ty = $fixed_default:expr ),+ $(,)?
        })?
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $field: <$kind as $crate::options::Kind>::Type, )+
            $($( $(#[doc = $fixed_doc])+ pub $fixed: $type, )+)?
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)+ $($($fixed: $fixed_default,)+)? }
            }
        }

        impl $crate::options::Options for $name {
            fn set(
                &mut self,
                name: &str,
                value: &$crate::options::Value,
            ) -> $crate::error::Result<bool> {
                match name {
                    $(stringify!($field) => {
                        self.$field =
                            <$kind as $crate::options::Kind>::read(stringify!($field), value)?;
                    })+
                    _ => return Ok(false),
                }
                Ok(true)
            }

            fn values(&self, into: &mut Vec<(&'static str, $crate::options::Value)>) {
                $($crate::options::add(
                    into,
                    stringify!($field),
                    <$kind as $crate::options::Kind>::write(&self.$field),
                );)+
            }

            fn schema(&self, into: &mut Vec<$crate::options::Field>) {
                const FIELDS: &[$crate::options::Field] = &[$($crate::options::Field {
                    name: stringify!($field),
                    kind: <$kind as $crate::options::Kind>::NAME,
                    optional: <$kind as $crate::options::Kind>::OPTIONAL,
                    rule: <$kind as $crate::options::Kind>::RULE,
                    choices: <$kind as $crate::options::Kind>::CHOICES,
                    doc: concat!($($doc),+).trim_ascii(),
                }),+];
                $crate::options::describe(into, FIELDS);
            }
        }
    };
}

pub(crate) use options;
