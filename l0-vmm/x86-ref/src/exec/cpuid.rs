//! CPUID: the profile's leaves, with the bits that follow from the state.

use super::Handler;
use crate::{Cpu, cpu::gpr, fault::Exec, vmx::Intercept};
use iced_x86::{Instruction, Mnemonic};
use x86_spec::{cr::cr4, vmx::caps::Features};

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    (insn.mnemonic() == Mnemonic::Cpuid).then_some(cpuid)
}

/// First leaf of the extended ones.
const EXTENDED: u32 = 0x8000_0000;
/// First leaf of those that hypervisors use.
const HYPERVISOR: u32 = 0x4000_0000;
/// Leaf of features.
const FEATURES: u32 = 1;
/// Leaf of further features.
const MORE_FEATURES: u32 = 7;
/// Leaf of XSAVE.
const XSAVE: u32 = 0xd;
/// Leaf of extended features.
const EXTENDED_FEATURES: u32 = 0x8000_0001;

/// FEATURES, ECX.
const OSXSAVE: u32 = 1 << 27;
/// FEATURES, EDX.
const APIC: u32 = 1 << 9;
/// IA32_APIC_BASE: global enable.
const APIC_ENABLED: u64 = 1 << 11;
/// MORE_FEATURES, ECX.
const OSPKE: u32 = 1 << 4;
/// EXTENDED_FEATURES, EDX.
const SYSCALL: u32 = 1 << 11;
/// XSAVE subleaf 1, EAX: the compacted format.
const XSAVEC: u32 = 1 << 1;
/// The legacy area and the header of an XSAVE area, in bytes.
const XSAVE_BASE: u32 = 576;

/// A register of a CPUID leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    Ebx = 1,
    Ecx = 2,
}

fn cpuid(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.intercept(insn, Intercept::Cpuid)?;
    let regs = cpu.cpuid(cpu.r[gpr::RAX] as u32, cpu.r[gpr::RCX] as u32);
    for (register, value) in [gpr::RAX, gpr::RBX, gpr::RCX, gpr::RDX].into_iter().zip(regs) {
        cpu.r[register] = u64::from(value);
    }
    Ok(())
}

impl Cpu {
    /// What the profile says: EAX, EBX, ECX, EDX.
    pub(crate) fn cpuid_leaf(&self, leaf: u32, subleaf: u32) -> [u32; 4] {
        self.profile
            .cpuid
            .iter()
            .find(|l| l.leaf == leaf && l.subleaf.is_none_or(|s| s == subleaf))
            .map_or([0; 4], |l| l.regs)
    }

    /// Whether a bit of a leaf's subleaf 0 is set.
    pub(crate) fn cpuid_bit(&self, leaf: u32, output: Output, bit: u32) -> bool {
        self.cpuid_leaf(leaf, 0)[output as usize] >> bit & 1 != 0
    }

    /// What CPUID answers. SDM 2: "CPUID".
    pub(crate) fn cpuid(&self, leaf: u32, subleaf: u32) -> [u32; 4] {
        let top = |first| self.cpuid_leaf(first, 0)[0];
        let known = match leaf {
            HYPERVISOR..EXTENDED => self.profile.cpuid.iter().any(|l| l.leaf == leaf),
            EXTENDED.. => leaf <= top(EXTENDED),
            _ => leaf <= top(0),
        };
        // Beyond the last leaf: the data of the highest basic leaf.
        let leaf = if known { leaf } else { top(0) };
        let mut regs = self.cpuid_leaf(leaf, subleaf);
        let set = |at: &mut u32, bit: u32, on: bool| *at = *at & !bit | if on { bit } else { 0 };
        match leaf {
            FEATURES => {
                set(&mut regs[2], OSXSAVE, self.cr4 & cr4::OSXSAVE != 0);
                let apic = regs[3] & APIC != 0 && self.msr.apic_base & APIC_ENABLED != 0;
                set(&mut regs[3], APIC, apic);
            }
            MORE_FEATURES if subleaf == 0 => set(&mut regs[2], OSPKE, self.cr4 & cr4::PKE != 0),
            XSAVE if subleaf == 0 => regs[1] = self.xsave_size(self.xcr0),
            XSAVE if subleaf == 1 && regs[0] & XSAVEC != 0 => {
                regs[1] = self.xsave_compact_size(self.xcr0 | self.msr.xss);
            }
            // Intel processors show SYSCALL in 64-bit mode only.
            EXTENDED_FEATURES => {
                let on = self.profile.caps.features.contains(Features::SYSCALL) && self.long64();
                let on = on && regs[3] & SYSCALL != 0;
                set(&mut regs[3], SYSCALL, on);
            }
            _ => {}
        }
        regs
    }

    /// Size of the XSAVE area, in the standard format, for these features.
    fn xsave_size(&self, features: u64) -> u32 {
        if self.cpuid_leaf(XSAVE, 0) == [0; 4] {
            return 0;
        }
        (2..63)
            .filter(|n| features >> n & 1 != 0)
            .map(|n| self.cpuid_leaf(XSAVE, n))
            .map(|[size, offset, ..]| size.saturating_add(offset))
            .fold(XSAVE_BASE, u32::max)
    }

    /// Size of it in the compacted format.
    fn xsave_compact_size(&self, features: u64) -> u32 {
        (2..63).filter(|n| features >> n & 1 != 0).fold(XSAVE_BASE, |end, n| {
            let [size, _, flags, _] = self.cpuid_leaf(XSAVE, n);
            let start = if flags & 2 != 0 { end.next_multiple_of(64) } else { end };
            start.saturating_add(size)
        })
    }
}
