//! VMCSs that obey every rule.

use super::World;
use crate::cr::{cr0, cr4, rflags};
use crate::vmx::caps::{Caps, Features};
use crate::vmx::controls::{Entry, Exit, Exit2, Pin, Proc, Proc2, Proc3};
use crate::vmx::field::{Field as F, Values};
use crate::vmx::rules::{CpuState, PhysRead};

/// What the guest is.
#[derive(Clone, Copy, Debug)]
pub enum Base {
    /// 64-bit mode.
    Long,
    /// Compatibility mode.
    Compat,
    /// 32-bit paging.
    Protected,
    /// PAE paging.
    Pae,
    /// Real-address mode, with "unrestricted guest".
    Real,
    /// Virtual-8086 mode.
    V86,
    /// 32-bit paging, below a host that is not in IA-32e mode either.
    Host32,
}

pub const REVISION: u32 = 0x12;
/// Where things are in memory.
pub const VMCS: u64 = 0x7000;
pub const LINKED: u64 = 0x8000;
/// What looks like a VMCS but is not where one can be.
pub const NOT_ALIGNED: u64 = LINKED + 0x800;
pub const TOO_HIGH: u64 = LINKED | BEYOND;
pub const SHADOW: u64 = 0x9000;
pub const VAPIC: u64 = 0xa000;
pub const PDPT: u64 = 0xb000;
pub const BAD_PDPT: u64 = 0xb020;
pub const MSRS: u64 = 0xc000;
pub const PHYSICAL_BITS: u8 = 39;
/// The first address that is too large.
pub const BEYOND: u64 = 1 << PHYSICAL_BITS;

pub struct Memory;
pub const MEMORY: Memory = Memory;

impl PhysRead for Memory {
    fn read_u32(&self, gpa: u64) -> Option<u32> {
        match gpa {
            VMCS | LINKED | NOT_ALIGNED | TOO_HIGH => Some(REVISION),
            SHADOW => Some(REVISION | 1 << 31),
            0xa080 => Some(0x53),
            0..0x10000 => Some(0),
            _ => None,
        }
    }

    fn read_u64(&self, gpa: u64) -> Option<u64> {
        match gpa {
            // Present, PWT, PCD; not present, all else set; present; present.
            0xb000 => Some(0x1_0019),
            0xb008 => Some(!1),
            0xb010 | 0xb018 => Some(0x2_0001),
            // The last entry of the second table has bit 5 set.
            0xb020..0xb038 => Some(0),
            0xb038 => Some(0x2_0021),
            // MSR list: PAT, then one of each kind that is refused.
            0xc000 => Some(0x277),
            0xc010 => Some(1 << 32 | 0x277),
            0xc020 => Some(0xc000_0101),
            0xc030 => Some(0x808),
            0xc040 => Some(0x9b),
            0xc050 => Some(0x79),
            _ => None,
        }
    }
}

/// A processor that has everything.
pub fn caps() -> Caps {
    let both = |zero: u64, one: u64| zero | (zero | one) << 32;
    let mut caps = Caps::NONE.with_cpu(PHYSICAL_BITS, Features::all());
    caps.basic = u64::from(REVISION) | 1 << 55;
    caps.true_pin = both(0x16, Pin::DEFINED);
    caps.true_proc = both(0x0400_6172, Proc::DEFINED);
    caps.proc = both(0x0401_e172, Proc::DEFINED);
    caps.true_exit = both(0x3_6dfb, Exit::DEFINED);
    caps.exit = both(0x3_6dff, Exit::DEFINED);
    caps.true_entry = both(0x11fb, Entry::DEFINED);
    caps.proc2 = Proc2::DEFINED << 32;
    caps.proc3 = Proc3::DEFINED;
    caps.exit2 = Exit2::DEFINED;
    caps.vmfunc = Caps::EPTP_SWITCHING;
    // Four CR3 targets, all activity states, software events of length 0.
    caps.misc = 4 << 16 | 7 << 6 | 1 << 30;
    // Walks of 4, UC, WB, accessed and dirty flags, supervisor shadow stacks, an HLAT prefix of 1.
    caps.ept_vpid = 1 << 6 | 1 << 8 | 1 << 14 | 1 << 21 | 1 << 23 | 1 << 48;
    caps.cr0_fixed0 = cr0::PE | cr0::NE | cr0::PG;
    caps.cr0_fixed1 = 0xffff_ffff;
    caps.cr4_fixed0 = cr4::VMXE;
    caps.cr4_fixed1 = cr4::BITS.iter().fold(0, |all, bit| all | bit.mask());
    caps
}

const PAT: u64 = 0x0007_0406_0007_0406;

fn host(v: &mut Values) {
    for (field, value) in [
        (F::HOST_CR0, 0x8001_0031),
        (F::HOST_CR3, 0x1000),
        (F::HOST_CR4, cr4::VMXE | cr4::PAE),
        (F::HOST_CS_SELECTOR, 0x08),
        (F::HOST_SS_SELECTOR, 0x10),
        (F::HOST_TR_SELECTOR, 0x18),
        (F::HOST_RIP, 0x10_0000),
        (F::HOST_IA32_EFER, 0xd01),
        (F::HOST_IA32_PAT, PAT),
    ] {
        v.set(field, value);
    }
}

fn long(v: &mut Values) {
    for (field, value) in [
        (F::PIN_BASED_VM_EXEC_CONTROL, 0x16),
        (F::CPU_BASED_VM_EXEC_CONTROL, 0x0400_6172 | Proc::ACTIVATE_SECONDARY_CONTROLS),
        (F::SECONDARY_VM_EXEC_CONTROL, Proc2::ENABLE_EPT),
        (F::VM_EXIT_CONTROLS, 0x3_6dfb | Exit::HOST_ADDR_SPACE_SIZE),
        (F::VM_ENTRY_CONTROLS, 0x11fb | Entry::IA32E_MODE),
        (F::EPT_POINTER, 0x2_005e),
        (F::VMCS_LINK_POINTER, !0),
        (F::GUEST_CR0, 0x8001_0031),
        (F::GUEST_CR3, 0x1000),
        (F::GUEST_CR4, cr4::VMXE | cr4::PAE),
        (F::GUEST_DR7, 0x400),
        (F::GUEST_RFLAGS, rflags::FIXED),
        (F::GUEST_RIP, 0x10_0000),
        (F::GUEST_IA32_EFER, 0xd01),
        (F::GUEST_IA32_PAT, PAT),
        (F::GUEST_CS_SELECTOR, 0x08),
        (F::GUEST_CS_AR_BYTES, 0xa09b),
        (F::GUEST_CS_LIMIT, 0xffff_ffff),
        (F::GUEST_TR_SELECTOR, 0x18),
        (F::GUEST_TR_AR_BYTES, 0x8b),
        (F::GUEST_TR_LIMIT, 0x67),
        (F::GUEST_LDTR_AR_BYTES, 0x1_0000),
    ] {
        v.set(field, value);
    }
    for (selector, ar, limit) in DATA {
        v.set(selector, 0x10);
        v.set(ar, 0xc093);
        v.set(limit, 0xffff_ffff);
    }
}

const DATA: [(F, F, F); 5] = [
    (F::GUEST_SS_SELECTOR, F::GUEST_SS_AR_BYTES, F::GUEST_SS_LIMIT),
    (F::GUEST_DS_SELECTOR, F::GUEST_DS_AR_BYTES, F::GUEST_DS_LIMIT),
    (F::GUEST_ES_SELECTOR, F::GUEST_ES_AR_BYTES, F::GUEST_ES_LIMIT),
    (F::GUEST_FS_SELECTOR, F::GUEST_FS_AR_BYTES, F::GUEST_FS_LIMIT),
    (F::GUEST_GS_SELECTOR, F::GUEST_GS_AR_BYTES, F::GUEST_GS_LIMIT),
];
const BASES: [F; 5] =
    [F::GUEST_SS_BASE, F::GUEST_DS_BASE, F::GUEST_ES_BASE, F::GUEST_FS_BASE, F::GUEST_GS_BASE];

/// All six segments, as real-address and virtual-8086 mode have them.
fn segments16(v: &mut Values, code: u64, data: u64) {
    v.set(F::GUEST_CS_SELECTOR, 0x1000);
    v.set(F::GUEST_CS_BASE, 0x10000);
    v.set(F::GUEST_CS_LIMIT, 0xffff);
    v.set(F::GUEST_CS_AR_BYTES, code);
    for ((selector, ar, limit), base) in DATA.into_iter().zip(BASES) {
        v.set(selector, 0x1000);
        v.set(base, 0x10000);
        v.set(limit, 0xffff);
        v.set(ar, data);
    }
}

impl Base {
    pub const ALL: [Self; 7] =
        [Self::Long, Self::Compat, Self::Protected, Self::Pae, Self::Real, Self::V86, Self::Host32];

    pub fn world(self) -> World {
        let mut v = Values::new();
        host(&mut v);
        long(&mut v);
        let entry32 = v[F::VM_ENTRY_CONTROLS] & !Entry::IA32E_MODE;
        if !matches!(self, Self::Long) {
            v.set(F::GUEST_CS_AR_BYTES, 0xc09b);
        }
        if !matches!(self, Self::Long | Self::Compat) {
            v.set(F::VM_ENTRY_CONTROLS, entry32);
            v.set(F::GUEST_IA32_EFER, 1);
            v.set(F::GUEST_CR4, cr4::VMXE);
        }
        match self {
            Self::Long | Self::Compat | Self::Protected => {}
            Self::Pae => {
                v.set(F::GUEST_CR4, cr4::VMXE | cr4::PAE);
                v.set(F::GUEST_PDPTR0, 0x1_0019);
                v.set(F::GUEST_PDPTR1, !1);
                v.set(F::GUEST_CR3, PDPT);
            }
            Self::Real => {
                v.set(F::SECONDARY_VM_EXEC_CONTROL, Proc2::ENABLE_EPT | Proc2::UNRESTRICTED_GUEST);
                v.set(F::GUEST_CR0, cr0::NE | cr0::ET);
                segments16(&mut v, 0x9b, 0x93);
            }
            Self::V86 => {
                v.set(F::GUEST_RFLAGS, rflags::FIXED | rflags::VM);
                segments16(&mut v, 0xf3, 0xf3);
            }
            Self::Host32 => {
                v.set(F::VM_EXIT_CONTROLS, v[F::VM_EXIT_CONTROLS] & !Exit::HOST_ADDR_SPACE_SIZE);
                v.set(F::HOST_IA32_EFER, 1);
            }
        }
        let cpu = CpuState { lma: !matches!(self, Self::Host32), in_smm: false, vmcs_pointer: VMCS };
        World { v, caps: caps(), cpu }
    }
}
