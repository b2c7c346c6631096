//! The control words of the VMCS, bit by bit. SDM: "VM-Execution Control Fields", "VM-Exit Control Fields",
//! "VM-Entry Control Fields".

mod table;

use super::field::Field;
pub use table::{Entry, Exit, Exit2, Pin, Proc, Proc2, Proc3};

/// One defined bit of a control word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bit {
    /// The position, 0 the least significant.
    pub bit: u8,
    /// The name of the constant, as in Linux KVM without its prefix: `HLT_EXITING`.
    pub ident: &'static str,
    /// The manual's name: `HLT exiting`.
    pub name: &'static str,
}

impl Bit {
    /// The bit as a mask.
    pub const fn mask(&self) -> u64 {
        1 << self.bit
    }
}

/// A word of controls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Word {
    /// Pin-based VM-execution controls.
    Pin,
    /// Primary processor-based VM-execution controls.
    Proc,
    /// Secondary processor-based VM-execution controls.
    Proc2,
    /// Tertiary processor-based VM-execution controls.
    Proc3,
    /// Primary VM-exit controls.
    Exit,
    /// Secondary VM-exit controls.
    Exit2,
    /// VM-entry controls.
    Entry,
}

impl Word {
    /// Every control word.
    pub const ALL: [Self; 7] =
        [Self::Pin, Self::Proc, Self::Proc2, Self::Proc3, Self::Exit, Self::Exit2, Self::Entry];

    /// The VMCS field that holds the word.
    pub const fn field(self) -> Field {
        match self {
            Self::Pin => Field::PIN_BASED_VM_EXEC_CONTROL,
            Self::Proc => Field::CPU_BASED_VM_EXEC_CONTROL,
            Self::Proc2 => Field::SECONDARY_VM_EXEC_CONTROL,
            Self::Proc3 => Field::TERTIARY_VM_EXEC_CONTROL,
            Self::Exit => Field::VM_EXIT_CONTROLS,
            Self::Exit2 => Field::SECONDARY_VM_EXIT_CONTROLS,
            Self::Entry => Field::VM_ENTRY_CONTROLS,
        }
    }

    /// The word that a VMCS field holds.
    pub fn of_field(field: Field) -> Option<Self> {
        Self::ALL.into_iter().find(|word| word.field() == field)
    }

    /// The defined bits, from the least significant.
    pub const fn bits(self) -> &'static [Bit] {
        match self {
            Self::Pin => Pin::BITS,
            Self::Proc => Proc::BITS,
            Self::Proc2 => Proc2::BITS,
            Self::Proc3 => Proc3::BITS,
            Self::Exit => Exit::BITS,
            Self::Exit2 => Exit2::BITS,
            Self::Entry => Entry::BITS,
        }
    }

    /// The bit with this constant's name or this manual's name, in any case of letters.
    pub fn bit_by_name(self, name: &str) -> Option<&'static Bit> {
        self.bits()
            .iter()
            .find(|bit| bit.ident.eq_ignore_ascii_case(name) || bit.name.eq_ignore_ascii_case(name))
    }

    /// The bit at this position, where it is defined.
    pub fn bit(self, position: u8) -> Option<&'static Bit> {
        self.bits().iter().find(|bit| bit.bit == position)
    }

    /// The short name: `pin`, `proc`, `proc2`, `proc3`, `exit`, `exit2`, `entry`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pin => "pin",
            Self::Proc => "proc",
            Self::Proc2 => "proc2",
            Self::Proc3 => "proc3",
            Self::Exit => "exit",
            Self::Exit2 => "exit2",
            Self::Entry => "entry",
        }
    }
}

#[cfg(test)]
mod tests;
