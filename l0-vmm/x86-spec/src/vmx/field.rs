//! VMCS fields. SDM: "Virtual-Machine Control Structures", "Field Encoding in VMCS".

mod requires;
mod table;

use super::caps::Caps;
use core::ops::{Index, IndexMut};
pub use requires::Requires;
use table::for_each_field;

/// A VMCS field, as its index in [`Field::ALL`]. The names are those of Linux KVM.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Field(u8);

/// Width of a field. SDM: "Field Encoding in VMCS".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Width {
    /// 16 bits.
    W16,
    /// 64 bits, also outside 64-bit mode.
    W64,
    /// 32 bits.
    W32,
    /// 64 bits on processors that support Intel 64.
    Natural,
}

impl Width {
    /// The bits of a value of this width.
    pub const fn mask(self) -> u64 {
        match self {
            Self::W16 => 0xffff,
            Self::W32 => 0xffff_ffff,
            Self::W64 | Self::Natural => u64::MAX,
        }
    }
}

/// The area that a field is in. SDM: "Organization of VMCS Data".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// VM-execution, VM-exit and VM-entry control fields.
    Control,
    /// VM-exit information fields. VMWRITE to them is an error, except where IA32_VMX_MISC bit 29 allows it.
    ReadOnly,
    /// Guest-state area.
    Guest,
    /// Host-state area.
    Host,
}

struct Row {
    requires: Requires,
    name: &'static str,
    description: &'static str,
}

macro_rules! define {
    ($($name:ident = $encoding:literal, $requires:ident, $text:literal;)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "numbers the rows")]
        #[repr(u8)]
        enum Row_ { $($name,)* }

        impl Field {
            $(#[doc = concat!($text, ".")] pub const $name: Self = Self(Row_::$name as u8);)*

            /// Every field, in the order of the encodings.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$name),*];
            /// The number of fields.
            pub const COUNT: usize = [$($encoding as u16),*].len();
        }

        static ROWS: [Row; Field::COUNT] = [$(Row {
            requires: Requires::$requires,
            name: stringify!($name),
            description: $text,
        }),*];
        /// The encodings alone: what the hot paths read.
        const ENCODINGS: [u16; Field::COUNT] = [$($encoding),*];
    };
}
for_each_field!(define);

/// Bits of an encoding: access type, index, type, width.
const HIGH: u32 = 1;
const INDEX_SHIFT: u32 = 1;
const INDEX_BITS: u32 = 6;
const TYPE_SHIFT: u32 = 10;
const WIDTH_SHIFT: u32 = 13;
const ABSENT: u8 = u8::MAX;
const SLOTS: usize = 1 << (INDEX_BITS + 4);

/// The place of an encoding in [`BY_ENCODING`], if every bit that it sets has a meaning.
const fn slot(encoding: u32) -> Option<usize> {
    let index = (encoding & 0x3ff) >> INDEX_SHIFT;
    let group = ((encoding >> WIDTH_SHIFT & 3) << 2) | (encoding >> TYPE_SHIFT & 3);
    if encoding & !0x6fff != 0 || index >= 1 << INDEX_BITS {
        return None;
    }
    Some(((group << INDEX_BITS) | index) as usize)
}

static BY_ENCODING: [u8; SLOTS] = {
    let mut table = [ABSENT; SLOTS];
    let mut i = 0;
    while i < Field::COUNT {
        match slot(ENCODINGS[i] as u32) {
            Some(slot) => {
                assert!(table[slot] == ABSENT, "two fields have one encoding");
                table[slot] = i as u8;
            }
            None => panic!("an encoding is outside of the table"),
        }
        i += 1;
    }
    table
};

impl Field {
    /// The index in [`Field::ALL`].
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The field with this index.
    pub const fn from_index(index: usize) -> Option<Self> {
        if index < Self::COUNT { Some(Self(index as u8)) } else { None }
    }

    /// The operand of VMREAD and VMWRITE that names the field, with access type "full".
    #[inline]
    pub const fn encoding(self) -> u32 {
        ENCODINGS[self.index()] as u32
    }

    /// The name, as in Linux KVM.
    pub const fn name(self) -> &'static str {
        ROWS[self.index()].name
    }

    /// What the field holds.
    pub const fn description(self) -> &'static str {
        ROWS[self.index()].description
    }

    /// What a processor must support for the field to exist.
    pub const fn requires(self) -> Requires {
        ROWS[self.index()].requires
    }

    /// The width, from bits 14:13 of the encoding.
    #[inline]
    pub const fn width(self) -> Width {
        match self.encoding() >> WIDTH_SHIFT & 3 {
            0 => Width::W16,
            1 => Width::W64,
            2 => Width::W32,
            _ => Width::Natural,
        }
    }

    /// The area, from bits 11:10 of the encoding.
    #[inline]
    pub const fn kind(self) -> Kind {
        match self.encoding() >> TYPE_SHIFT & 3 {
            0 => Kind::Control,
            1 => Kind::ReadOnly,
            2 => Kind::Guest,
            _ => Kind::Host,
        }
    }

    /// The bits of a value of this field.
    #[inline]
    pub const fn mask(self) -> u64 {
        self.width().mask()
    }

    /// The field that an operand of VMREAD or VMWRITE names, and whether the access type is "high" (bits 63:32 of a
    /// 64-bit field).
    #[inline]
    pub const fn from_encoding(encoding: u32) -> Option<(Self, bool)> {
        let Some(slot) = slot(encoding) else { return None };
        let index = BY_ENCODING[slot];
        let high = encoding & HIGH != 0;
        if index == ABSENT || (high && !matches!(Self(index).width(), Width::W64)) {
            return None;
        }
        Some((Self(index), high))
    }

    /// The field with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }

    /// Whether the field exists on a processor with these capabilities.
    pub const fn exists(self, caps: &Caps) -> bool {
        self.requires().met(caps)
    }
}

impl core::fmt::Debug for Field {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

impl core::fmt::Display for Field {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// A value for every field: the data of a VMCS. A value has no bits beyond the width of its field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Values([u64; Field::COUNT]);

impl Values {
    /// All fields zero.
    pub const fn new() -> Self {
        Self([0; Field::COUNT])
    }

    /// The value of a field.
    #[inline]
    pub const fn get(&self, field: Field) -> u64 {
        self.0[field.index()]
    }

    /// Sets a field; bits beyond its width are dropped.
    #[inline]
    pub const fn set(&mut self, field: Field, value: u64) {
        self.0[field.index()] = value & field.mask();
    }
}

impl Default for Values {
    fn default() -> Self {
        Self::new()
    }
}

impl Index<Field> for Values {
    type Output = u64;

    #[inline]
    fn index(&self, field: Field) -> &u64 {
        &self.0[field.index()]
    }
}

impl IndexMut<Field> for Values {
    #[inline]
    fn index_mut(&mut self, field: Field) -> &mut u64 {
        &mut self.0[field.index()]
    }
}

#[cfg(test)]
mod tests;
