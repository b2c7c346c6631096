use super::*;
use crate::{Stop, testing::*};
use x86_spec::{cr::cr4, vector};

fn write(m: &mut Machine, index: u32, value: u64) -> Stop {
    m.cpu.r[gpr::RCX] = u64::from(index) | 0xdead << 32;
    m.cpu.r[gpr::RAX] = value & 0xffff_ffff | 0xdead << 32;
    m.cpu.r[gpr::RDX] = value >> 32 | 0xdead << 32;
    m.run_bytes(&[0x0f, 0x30, 0xf4])
}

fn read(m: &mut Machine, index: u32) -> Option<u64> {
    m.cpu.r[gpr::RCX] = u64::from(index);
    m.cpu.rip = DATA;
    m.cpu.activity = crate::cpu::Activity::Active;
    m.cpu.attention_changed();
    match m.run_bytes(&[0x0f, 0x32, 0xf4]) {
        Stop::Halted if m.cpu.rip == DATA + 3 => Some(m.cpu.r[gpr::RAX] | m.cpu.r[gpr::RDX] << 32),
        _ => None,
    }
}

#[test]
fn what_msrs_take() {
    const NON_CANONICAL: u64 = 1 << 47;
    for (index, value, good) in [
        (msr::IA32_EFER, efer::LME | efer::LMA | efer::SCE, true),
        (msr::IA32_EFER, efer::SCE, false),
        (msr::IA32_EFER, efer::LME | efer::LMA | 2, false),
        (msr::IA32_LSTAR, NON_CANONICAL, false),
        (msr::IA32_LSTAR, !0 << 47, true),
        (msr::IA32_FMASK, 1 << 32, false),
        (msr::IA32_FMASK, 0x300, true),
        (msr::IA32_FS_BASE, NON_CANONICAL, false),
        (msr::IA32_GS_BASE, 0x1234_5678_9000, true),
        (msr::IA32_KERNEL_GS_BASE, NON_CANONICAL, false),
        (msr::IA32_SYSENTER_EIP, NON_CANONICAL, false),
        (msr::IA32_PAT, 0x0007_0406_0007_0401, true),
        (msr::IA32_PAT, 0x0007_0406_0007_0402, false),
        (msr::IA32_PAT, 0x0807_0406_0007_0406, false),
        (msr::IA32_FEATURE_CONTROL, 5, false),
        (msr::IA32_APIC_BASE, 0xfee0_0900, true),
        (msr::IA32_APIC_BASE, 0xfee0_0901, false),
        (msr::IA32_APIC_BASE, 0xfee0_0500, false),
        (msr::IA32_APIC_BASE, 1 << 39 | 0x900, false),
        (msr::IA32_MTRR_PHYSBASE0, 0x1000_0006, true),
        (msr::IA32_MTRR_PHYSBASE0, 0x1000_0007, false),
        (msr::IA32_MTRR_PHYSMASK0, 0x7f_f000_0800, true),
        (msr::IA32_MTRR_PHYSMASK0, 1 << 39, false),
        (msr::IA32_MTRR_FIX64K_00000, 0x0606_0606_0606_0606, true),
        (msr::IA32_MTRR_FIX64K_00000, 0x0606_0606_0606_0603, false),
        (msr::IA32_MTRR_DEF_TYPE, 0xc06, true),
        (msr::IA32_MTRR_DEF_TYPE, 0x1006, false),
        (msr::IA32_MTRRCAP, 0x508, false),
        (msr::IA32_TSC_AUX, 7, true),
        (msr::IA32_TSC_AUX, 1 << 32, false),
        (msr::IA32_DEBUGCTL, 3, true),
        (msr::IA32_DEBUGCTL, 1 << 4, false),
        (msr::IA32_XSS, 0x100, true),
        (msr::IA32_XSS, 1, false),
        (0x17, 5, true),
        (0x18, 5, false),
        (0x1234_5678, 0, false),
    ] {
        let mut m = Machine::new(Start::Long);
        let stop = write(&mut m, index, value);
        if good {
            assert_eq!((stop, m.cpu.rip), (Stop::Halted, CODE + 3), "{index:#x}");
            assert_eq!(read(&mut m, index), Some(value), "{index:#x}");
        } else {
            m.faulted(stop, vector::GP, 0);
            assert_ne!(
                read(&mut m, index),
                Some(value).filter(|_| index != msr::IA32_FEATURE_CONTROL && index != msr::IA32_MTRRCAP),
                "{index:#x}"
            );
        }
    }
}

#[test]
fn feature_control_can_be_written_until_it_is_locked() {
    let mut m = Machine::new(Start::Long);
    m.cpu.msr.feature_control = 0;
    assert_eq!(write(&mut m, msr::IA32_FEATURE_CONTROL, 5), Stop::Halted);
    m.cpu.activity = crate::cpu::Activity::Active;
    m.cpu.attention_changed();
    m.cpu.rip = CODE;
    let stop = write(&mut m, msr::IA32_FEATURE_CONTROL, 1);
    m.faulted(stop, vector::GP, 0);
    assert_eq!(m.cpu.msr.feature_control, 5);
}

#[test]
fn msrs_are_for_level_0() {
    let mut m = Machine::new(Start::Long);
    m.enter_user();
    let stop = write(&mut m, msr::IA32_EFER, 0);
    m.faulted(stop, vector::GP, 0);
}

#[test]
fn the_tsc_counts_instructions_and_can_be_set() {
    let mut m = Machine::new(Start::Long);
    // rdtsc; mov ebx, eax; nop; rdtsc; hlt
    assert_eq!(m.run_bytes(&[0x0f, 0x31, 0x89, 0xc3, 0x90, 0x0f, 0x31, 0xf4]), Stop::Halted);
    assert_eq!(m.cpu.r[gpr::RAX] - m.cpu.r[gpr::RBX], 3);
    let mut m = Machine::new(Start::Long);
    assert_eq!(write(&mut m, msr::IA32_TIME_STAMP_COUNTER, 1 << 40), Stop::Halted);
    // WRMSR, HLT.
    assert_eq!(read(&mut m, msr::IA32_TIME_STAMP_COUNTER), Some((1 << 40) + 2));
    assert_eq!(read(&mut m, msr::IA32_TSC_ADJUST), Some(1 << 40));
}

#[test]
fn rdtsc_under_tsd() {
    let mut m = Machine::new(Start::Long);
    m.cpu.cr4 |= cr4::TSD;
    m.enter_user();
    let stop = m.run_bytes(&[0x0f, 0x31]);
    m.faulted(stop, vector::GP, 0);
    let mut m = Machine::new(Start::Long);
    m.cpu.cr4 |= cr4::TSD;
    m.cpu.msr.tsc_aux = 0x77;
    // rdtscp; hlt
    assert_eq!(m.run_bytes(&[0x0f, 0x01, 0xf9, 0xf4]), Stop::Halted);
    assert_eq!(m.cpu.r[gpr::RCX], 0x77);
}

#[test]
fn cpuid_follows_the_state() {
    let mut m = Machine::new(Start::Long);
    assert_eq!(m.cpu.cpuid(1, 0)[2] >> 27 & 1, 0);
    m.cpu.cr4 |= cr4::OSXSAVE | cr4::PKE;
    assert_eq!(m.cpu.cpuid(1, 0)[2] >> 27 & 1, 1);
    assert_eq!(m.cpu.cpuid(7, 0)[2] >> 4 & 1, 1);
    assert_eq!(m.cpu.cpuid(0x8000_0001, 0)[3] >> 11 & 1, 1);
    assert_eq!(m.cpu.cpuid(0xd, 0)[1], 576);
    m.cpu.xcr0 = 7;
    assert_eq!(m.cpu.cpuid(0xd, 0)[1], 0x340);
    assert_eq!(m.cpu.cpuid(0xd, 1)[1], 0x340);
    // Beyond the last leaf.
    assert_eq!(m.cpu.cpuid(0x99, 0), m.cpu.cpuid(0xd, 0));
    let mut m = Machine::new(Start::Protected);
    assert_eq!(m.cpu.cpuid(0x8000_0001, 0)[3] >> 11 & 1, 0);
    (m.cpu.r[gpr::RAX], m.cpu.r[gpr::RBX]) = (0, !0);
    assert_eq!(m.run_bytes(&[0x0f, 0xa2, 0xf4]), Stop::Halted);
    assert_eq!((m.cpu.r[gpr::RAX], m.cpu.r[gpr::RBX]), (0xd, 0));
}
