//! Open enums: a number with names for the values we know.

/// Defines a transparent integer newtype whose known values have names.
///
/// One list gives the constants, `name`, `from_name` and `ALL`; a value outside the list stays a value.
#[macro_export]
macro_rules! open_enum {
    ($(#[$m:meta])* $v:vis struct $T:ident($int:ty) { $($(#[$vm:meta])* $ID:ident = $val:literal, $name:literal;)* }) => {
        $(#[$m])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)]
        #[repr(transparent)]
        $v struct $T(pub $int);

        impl $T {
            $($(#[$vm])* pub const $ID: Self = Self($val);)*

            /// Every value that has a name, in the order of the list.
            pub const ALL: &'static [Self] = &[$(Self::$ID),*];

            /// The name, as scenarios and traces spell it; `None` for a number we do not know.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 { $($val => Some($name),)* _ => None }
            }

            /// The value of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$ID),)* _ => None }
            }
        }
    };
}
