//! VM-exit instruction information. SDM: "Information for VM Exits Due to Instruction Execution" (the tables of the
//! VM-exit instruction-information field).

use super::{
    exit::Reason,
    qual::{GPR, Io},
};
use core::fmt::{self, Display, Formatter};

/// Which of the field's formats an instruction has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// INS and OUTS.
    StringIo,
    /// INVEPT, INVPCID, INVVPID: a memory operand and a register.
    Invalidate,
    /// LGDT, LIDT, SGDT, SIDT.
    DescriptorTable,
    /// LLDT, LTR, SLDT, STR.
    Selector,
    /// RDRAND, RDSEED, TPAUSE, UMWAIT: a destination register.
    Register,
    /// VMCLEAR, VMPTRLD, VMPTRST, VMXON, XRSTORS, XSAVES: a memory operand.
    Memory,
    /// VMREAD and VMWRITE: two operands, the first of them maybe in memory.
    VmcsAccess,
    /// LOADIWKEY: two registers.
    TwoRegisters,
}

impl Layout {
    /// The format that an exit reason has.
    pub const fn of(reason: Reason) -> Option<Self> {
        Some(match reason {
            Reason::IO_INSTRUCTION => Self::StringIo,
            Reason::INVEPT | Reason::INVPCID | Reason::INVVPID => Self::Invalidate,
            Reason::GDTR_IDTR => Self::DescriptorTable,
            Reason::LDTR_TR => Self::Selector,
            Reason::RDRAND | Reason::RDSEED | Reason::TPAUSE | Reason::UMWAIT => Self::Register,
            Reason::VMCLEAR
            | Reason::VMPTRLD
            | Reason::VMPTRST
            | Reason::VMXON
            | Reason::XRSTORS
            | Reason::XSAVES => Self::Memory,
            Reason::VMREAD | Reason::VMWRITE => Self::VmcsAccess,
            Reason::LOADIWKEY => Self::TwoRegisters,
            _ => return None,
        })
    }

    /// The bits that mean something in this format with these operands; the others are undefined.
    pub const fn defined(self, info: u32) -> u32 {
        const ADDRESS: u32 = 0x3 | 0x7 << 7 | 0x7 << 15 | 0xf << 18 | 1 << 22 | 0xf << 23 | 1 << 27;
        const REGISTER_FORM: u32 = 1 << 10;
        match self {
            Self::StringIo => 0x7 << 7 | 0x7 << 15,
            Self::Invalidate => ADDRESS | 0xf << 28 | REGISTER_FORM,
            Self::DescriptorTable => ADDRESS | REGISTER_FORM | 1 << 11 | 0x3 << 28,
            Self::Selector if info & REGISTER_FORM != 0 => 0xf << 3 | REGISTER_FORM | 0x3 << 28,
            Self::Selector => ADDRESS | REGISTER_FORM | 0x3 << 28,
            Self::Register => 0xf << 3 | 0x3 << 11,
            Self::Memory => ADDRESS | REGISTER_FORM,
            Self::VmcsAccess if info & REGISTER_FORM != 0 => 0xf << 3 | REGISTER_FORM | 0xf << 28,
            Self::VmcsAccess => ADDRESS | REGISTER_FORM | 0xf << 28,
            Self::TwoRegisters => 0xf << 3 | 0xf << 28,
        }
    }
}

/// The operands of an instruction as the field tells them; what a format does not have is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operands {
    /// Scale of the index: 0, 1, 2, 3 for 1, 2, 4, 8.
    pub scaling: u8,
    /// First register operand.
    pub reg1: u8,
    /// Address size: 0, 1, 2 for 16, 32, 64 bits.
    pub address_size: u8,
    /// The operand is a register, not memory.
    pub register_form: bool,
    /// Operand size. Descriptor tables: 0, 1 for 16, 32 bits; [`Layout::Register`]: 0, 1, 2 for 16, 32, 64 bits.
    pub operand_size: u8,
    /// Segment register: ES, CS, SS, DS, FS, GS.
    pub segment: u8,
    /// Index register, if there is one.
    pub index: Option<u8>,
    /// Base register, if there is one.
    pub base: Option<u8>,
    /// Which of the four instructions of the format it is.
    pub identity: u8,
    /// Second register operand.
    pub reg2: u8,
}

impl Operands {
    /// The field's value.
    pub const fn pack(self, layout: Layout) -> u32 {
        let (index, no_index) = match self.index {
            Some(n) => (n as u32, 0),
            None => (0, 1),
        };
        let (base, no_base) = match self.base {
            Some(n) => (n as u32, 0),
            None => (0, 1),
        };
        let all = self.scaling as u32
            | (self.reg1 as u32) << 3
            | (self.address_size as u32) << 7
            | (self.register_form as u32) << 10
            | (self.operand_size as u32) << 11
            | (self.segment as u32) << 15
            | index << 18
            | no_index << 22
            | base << 23
            | no_base << 27
            | (match layout {
                Layout::DescriptorTable | Layout::Selector => self.identity,
                _ => self.reg2,
            } as u32)
                << 28;
        all & layout.defined(all)
    }

    /// The operands that a value tells.
    pub const fn unpack(info: u32) -> Self {
        Self {
            scaling: (info & 3) as u8,
            reg1: (info >> 3 & 0xf) as u8,
            address_size: (info >> 7 & 7) as u8,
            register_form: info >> 10 & 1 != 0,
            operand_size: (info >> 11 & 3) as u8,
            segment: (info >> 15 & 7) as u8,
            index: if info >> 22 & 1 == 0 { Some((info >> 18 & 0xf) as u8) } else { None },
            base: if info >> 27 & 1 == 0 { Some((info >> 23 & 0xf) as u8) } else { None },
            identity: (info >> 28 & 3) as u8,
            reg2: (info >> 28 & 0xf) as u8,
        }
    }

    const fn segment_name(&self) -> &'static str {
        ["es", "cs", "ss", "ds", "fs", "gs", "segment 6", "segment 7"][self.segment as usize & 7]
    }

    const fn address_bits(&self) -> &'static str {
        ["16", "32", "64", "?", "?", "?", "?", "?"][self.address_size as usize & 7]
    }

    fn address(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}:[", self.segment_name())?;
        let mut separator = "";
        if let Some(base) = self.base {
            f.write_str(GPR[base as usize & 15])?;
            separator = "+";
        }
        if let Some(index) = self.index {
            write!(f, "{separator}{}*{}", GPR[index as usize & 15], 1 << self.scaling)?;
        }
        write!(f, "] address size {}", self.address_bits())
    }
}

/// Bit 11 in the format of [`Layout::DescriptorTable`].
const OPERAND_SIZE: u32 = 1 << 11;
/// Bits 17:15: the segment register.
const SEGMENT: u32 = 0x7 << 15;

/// The bits of a value that mean something with an exit. The operand size of LGDT and its siblings is undefined for exits
/// from 64-bit mode (`ia32e`), the segment for INS.
pub const fn defined(reason: Reason, qualification: u64, info: u32, ia32e: bool) -> u32 {
    let Some(layout) = Layout::of(reason) else { return info };
    let undefined = match layout {
        Layout::DescriptorTable if ia32e => OPERAND_SIZE,
        Layout::StringIo if Io(qualification).input() => SEGMENT,
        _ => 0,
    };
    info & layout.defined(info) & !undefined
}

/// The field in words; bits that the format leaves undefined are not shown.
pub fn words(reason: Reason, info: u32) -> impl Display {
    Words { reason, info }
}

struct Words {
    reason: Reason,
    info: u32,
}

impl Display for Words {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(layout) = Layout::of(self.reason) else { return f.write_str("instruction information") };
        let o = Operands::unpack(self.info);
        let operand = |f: &mut Formatter<'_>| {
            if o.register_form { f.write_str(GPR[o.reg1 as usize & 15]) } else { o.address(f) }
        };
        match layout {
            Layout::StringIo => write!(f, "{} address size {}", o.segment_name(), o.address_bits()),
            Layout::Memory => o.address(f),
            Layout::Invalidate => {
                write!(f, "{}, ", GPR[o.reg2 as usize & 15])?;
                o.address(f)
            }
            Layout::DescriptorTable => {
                f.write_str(["sgdt ", "sidt ", "lgdt ", "lidt "][o.identity as usize & 3])?;
                o.address(f)?;
                f.write_str(if o.operand_size & 1 == 0 { "" } else { " operand size 32" })
            }
            Layout::Selector => {
                f.write_str(["sldt ", "str ", "lldt ", "ltr "][o.identity as usize & 3])?;
                operand(f)
            }
            Layout::Register => {
                let size = ["16", "32", "64", "?"][o.operand_size as usize & 3];
                write!(f, "{} operand size {size}", GPR[o.reg1 as usize & 15])
            }
            Layout::VmcsAccess => {
                operand(f)?;
                write!(f, ", {}", GPR[o.reg2 as usize & 15])
            }
            Layout::TwoRegisters => {
                write!(f, "{}, {}", GPR[o.reg1 as usize & 15], GPR[o.reg2 as usize & 15])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn packs_unpacks_and_prints() {
        let o = Operands {
            address_size: 2,
            segment: 3,
            base: Some(0),
            index: Some(1),
            scaling: 3,
            reg2: 2,
            ..Operands::default()
        };
        let info = o.pack(Layout::VmcsAccess);
        assert_eq!(words(Reason::VMREAD, info).to_string(), "ds:[rax+rcx*8] address size 64, rdx");
        let o = Operands { register_form: true, reg1: 5, reg2: 9, ..Operands::default() };
        let info = o.pack(Layout::VmcsAccess);
        assert_eq!(words(Reason::VMWRITE, info).to_string(), "rbp, r9");
        assert_eq!(Operands::unpack(info).reg1, 5);
    }

    #[test]
    fn undefined_bits_are_not_set() {
        let o = Operands { register_form: true, reg1: 1, segment: 3, identity: 2, ..Operands::default() };
        assert_eq!(o.pack(Layout::Selector), 1 << 3 | 1 << 10 | 2 << 28);
    }
}
