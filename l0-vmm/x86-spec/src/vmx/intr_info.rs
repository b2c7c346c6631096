//! Interruption information: one format for the VM-entry field, the VM-exit field and the IDT-vectoring field. SDM:
//! "VM-Entry Controls for Event Injection", "Information for VM Exits Due to Vectored Events", "Information for VM
//! Exits That Occur During Event Delivery".

use crate::vector;
use core::fmt;

/// Interruption information.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IntrInfo(pub u32);

/// Interruption type: bits 10:8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(pub u8);

macro_rules! kinds {
    ($($ID:ident = $number:literal, $name:literal;)*) => {
        impl Kind {
            $(#[doc = concat!("The interruption type \"", $name, "\".")] pub const $ID: Self = Self($number);)*

            /// Every type that has a name.
            pub const ALL: &'static [Self] = &[$(Self::$ID),*];

            /// The name; `reserved type` for the one that has none.
            pub const fn name(self) -> &'static str {
                match self.0 { $($number => $name,)* _ => "reserved type" }
            }
        }
    };
}

kinds! {
    EXTERNAL = 0, "external interrupt";
    NMI = 2, "NMI";
    HARDWARE_EXCEPTION = 3, "hardware exception";
    SOFTWARE_INTERRUPT = 4, "software interrupt";
    PRIVILEGED_SOFTWARE_EXCEPTION = 5, "privileged software exception";
    SOFTWARE_EXCEPTION = 6, "software exception";
    OTHER = 7, "other event";
}

impl IntrInfo {
    /// Bit 11: there is an error code.
    pub const ERROR_VALID: u32 = 1 << 11;
    /// Bit 12 of the VM-exit field: NMI unblocking due to IRET.
    pub const NMI_UNBLOCKING: u32 = 1 << 12;
    /// Bit 31: the rest means something.
    pub const VALID: u32 = 1 << 31;
    /// Bits that have no meaning in any of the three fields.
    pub const RESERVED: u32 = 0x7fff_e000;

    /// Valid information.
    pub const fn new(kind: Kind, vector: u8, error: bool) -> Self {
        let error = if error { Self::ERROR_VALID } else { 0 };
        Self(Self::VALID | error | (kind.0 as u32) << 8 | vector as u32)
    }

    /// Bits 7:0.
    pub const fn vector(self) -> u8 {
        self.0 as u8
    }

    /// Bits 10:8.
    pub const fn kind(self) -> Kind {
        Kind((self.0 >> 8 & 7) as u8)
    }

    /// Bit 11.
    pub const fn error_valid(self) -> bool {
        self.0 & Self::ERROR_VALID != 0
    }

    /// Bit 12.
    pub const fn nmi_unblocking(self) -> bool {
        self.0 & Self::NMI_UNBLOCKING != 0
    }

    /// Bit 31.
    pub const fn valid(self) -> bool {
        self.0 & Self::VALID != 0
    }

    /// Whether it is an exception, of hardware or software.
    pub const fn is_exception(self) -> bool {
        matches!(
            self.kind(),
            Kind::HARDWARE_EXCEPTION | Kind::PRIVILEGED_SOFTWARE_EXCEPTION | Kind::SOFTWARE_EXCEPTION
        )
    }

    /// Whether an instruction asked for it: then there is an instruction length.
    pub const fn is_software(self) -> bool {
        matches!(
            self.kind(),
            Kind::SOFTWARE_INTERRUPT | Kind::PRIVILEGED_SOFTWARE_EXCEPTION | Kind::SOFTWARE_EXCEPTION
        )
    }
}

impl fmt::Display for IntrInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            Kind::HARDWARE_EXCEPTION if vector::name(self.vector()) != "vector" => {
                f.write_str(vector::name(self.vector()))?;
            }
            Kind::NMI if self.vector() == vector::NMI => f.write_str("NMI")?,
            kind if self.is_exception() && vector::name(self.vector()) != "vector" => {
                write!(f, "{} ({})", vector::name(self.vector()), kind.name())?;
            }
            kind => write!(f, "{} {:#x}", kind.name(), self.vector())?,
        }
        if self.nmi_unblocking() {
            f.write_str(" NMI unblocking due to IRET")?;
        }
        if self.0 & Self::RESERVED != 0 {
            write!(f, " reserved bits {:#x}", self.0 & Self::RESERVED)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn packs_and_prints() {
        let pf = IntrInfo::new(Kind::HARDWARE_EXCEPTION, vector::PF, true);
        assert_eq!(pf.0, 0x8000_0b0e);
        assert_eq!(pf.to_string(), "#PF");
        assert_eq!(IntrInfo::new(Kind::SOFTWARE_EXCEPTION, 3, false).to_string(), "#BP (software exception)");
        assert_eq!(IntrInfo::new(Kind::EXTERNAL, 0x20, false).to_string(), "external interrupt 0x20");
        assert!(IntrInfo::new(Kind::SOFTWARE_EXCEPTION, 3, false).is_software());
        assert_eq!(IntrInfo(0x8000_1102).to_string(), "reserved type 0x2 NMI unblocking due to IRET");
    }
}
