//! The extended control register: XGETBV, XSETBV.

use super::Handler;
use crate::{Cpu, cpu::gpr, fault::Exec, vmx::Intercept};
use iced_x86::{Instruction, Mnemonic};
use x86_spec::cr::cr4;

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    Some(match insn.mnemonic() {
        Mnemonic::Xgetbv => xgetbv,
        Mnemonic::Xsetbv => xsetbv,
        _ => return None,
    })
}

/// Bits of XCR0. SDM 1: "XSAVE-Supported Features and State-Component Bitmaps".
mod xcr0 {
    pub const X87: u64 = 1 << 0;
    pub const SSE: u64 = 1 << 1;
    pub const AVX: u64 = 1 << 2;
    pub const MPX: u64 = 3 << 3;
    pub const AVX512: u64 = 7 << 5;
    pub const AMX: u64 = 3 << 17;
}

/// Whether XCR0 may have this value: bits that go together or need others. SDM 2: "XSETBV".
pub(crate) fn xcr0_ok(value: u64, supported: u64) -> bool {
    let together = |bits: u64| value & bits == 0 || value & bits == bits;
    let needs = |bits: u64, needed: u64| value & bits == 0 || value & needed == needed;
    value & !supported == 0
        && value & xcr0::X87 != 0
        && needs(xcr0::AVX, xcr0::SSE)
        && together(xcr0::MPX)
        && together(xcr0::AVX512)
        && needs(xcr0::AVX512, xcr0::AVX)
        && together(xcr0::AMX)
}

fn xsave_enabled(cpu: &mut Cpu) -> Exec {
    if cpu.cr4 & cr4::OSXSAVE == 0 { Err(cpu.ud()) } else { Ok(()) }
}

/// XCR0 bits of the profile.
fn xcr0_supported(cpu: &Cpu) -> u64 {
    let [low, _, _, high] = cpu.cpuid_leaf(0xd, 0);
    u64::from(low) | u64::from(high) << 32
}

fn xgetbv(cpu: &mut Cpu, _: &Instruction) -> Exec {
    xsave_enabled(cpu)?;
    let in_use = cpu.cpuid_leaf(0xd, 1)[0] & 1 << 2 != 0;
    let value = match cpu.r[gpr::RCX] & 0xffff_ffff {
        0 => cpu.xcr0,
        // XINUSE: every component counts as in use, which is allowed.
        1 if in_use => cpu.xcr0,
        _ => return Err(cpu.gp(0)),
    };
    cpu.r[gpr::RAX] = value & 0xffff_ffff;
    cpu.r[gpr::RDX] = value >> 32;
    Ok(())
}

fn xsetbv(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    xsave_enabled(cpu)?;
    if cpu.vm86() {
        return Err(cpu.gp(0));
    }
    cpu.need_cpl0()?;
    cpu.intercept(insn, Intercept::Xsetbv)?;
    let value = cpu.r[gpr::RAX] & 0xffff_ffff | cpu.r[gpr::RDX] << 32;
    if cpu.r[gpr::RCX] & 0xffff_ffff != 0 || !xcr0_ok(value, xcr0_supported(cpu)) {
        return Err(cpu.gp(0));
    }
    cpu.xcr0 = value;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xcr0_rules() {
        let all = !0 >> 1;
        for (value, ok) in [
            (1, true),
            (0, false),
            (3, true),
            (5, false),
            (7, true),
            (0x9, false),
            (0x19, true),
            (0xe7, true),
            (0xe3, false),
            (0x27, false),
            (0x2_0001, false),
            (0x6_0001, true),
        ] {
            assert_eq!(xcr0_ok(value, all), ok, "{value:#x}");
        }
        assert!(!xcr0_ok(7, 3));
    }
}
