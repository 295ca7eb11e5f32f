//! Enums with a name for each choice in Python.

/// Declares an enum whose choices have names: `ALL`, `name` and `parse` follow.
///
/// The text after the enum's name is the argument or option that errors speak of.
macro_rules! names {
    (
        $(#[$meta:meta])*
        pub enum $name:ident: $what:literal {
            $( $(#[$doc:meta])* $choice:ident = $text:literal ),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $( $(#[$doc])* $choice, )+
        }

        impl $name {
            /// Every choice.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$choice),+];
            /// The name of every choice, in the same order.
            pub const NAMES: &'static [&'static str] = &[$($text),+];

            /// Its name in Python.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$choice => $text,)+
                }
            }

            /// The choice of that name.
            ///
            /// # Errors
            /// `Unknown`.
            pub fn parse(name: &str) -> $crate::error::Result<Self> {
                match name {
                    $($text => Ok(Self::$choice),)+
                    _ => Err($crate::error::Error::Unknown {
                        what: $what,
                        given: name.into(),
                        known: Self::NAMES.to_vec(),
                    }),
                }
            }
        }

        impl $crate::names::Named for $name {
            const NAMES: &'static [&'static str] = Self::NAMES;

            fn name(self) -> &'static str {
                Self::name(self)
            }

            fn parse(name: &str) -> $crate::error::Result<Self> {
                Self::parse(name)
            }
        }
    };
}

pub(crate) use names;

/// What `names!` declares, for code that does not know which enum it has.
pub trait Named: Copy + std::fmt::Debug + PartialEq + 'static {
    /// The name of every choice.
    const NAMES: &'static [&'static str];
    /// Its name in Python.
    fn name(self) -> &'static str;
    /// The choice of that name.
    ///
    /// # Errors
    /// `Unknown`.
    fn parse(name: &str) -> crate::error::Result<Self>;
}
