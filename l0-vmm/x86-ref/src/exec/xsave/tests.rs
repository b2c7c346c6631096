use crate::{
    Cpu, CpuidLeaf, Profile,
    cpu::gpr,
    exec::{
        faults::{cpu64, fault, read, step, write},
        feature::Features,
    },
};
use std::sync::Arc;
use x86_spec::{cr::cr4, vector};

/// A CPU whose XSAVE knows AVX at 576 and PKRU at 832, not aligned.
fn cpu() -> Cpu {
    let mut cpu = cpu64();
    let leaf = |subleaf, regs| CpuidLeaf { leaf: 0xd, subleaf: Some(subleaf), regs };
    let mut cpuid = cpu.profile.cpuid.clone();
    cpuid.retain(|l| l.leaf != 0xd);
    cpuid.extend([
        leaf(0, [0x207, 0, 840, 0]),
        leaf(1, [0xf, 0, 0x100, 0]),
        leaf(2, [256, 576, 0, 0]),
        leaf(9, [8, 832, 0, 0]),
    ]);
    let profile = Profile { cpuid, ..Profile::clone(&cpu.profile) };
    cpu.features = Features::of(&profile);
    cpu.profile = Arc::new(profile);
    cpu.xcr0 = 0x207;
    cpu.cr4 |= cr4::PKE;
    (cpu.r[gpr::RBX], cpu.r[gpr::RAX], cpu.r[gpr::RDX]) = (0x2000, 0x207, 0);
    cpu
}

const XSAVEC: &[u8] = b"\x0f\xc7\x23";
const XSAVES: &[u8] = b"\x0f\xc7\x2b";
const XRSTOR: &[u8] = b"\x0f\xae\x2b";
const XRSTORS: &[u8] = b"\x0f\xc7\x1b";

#[test]
fn the_compacted_format_has_no_holes() {
    let mut cpu = cpu();
    // PKRU alone lies directly behind the header.
    (cpu.fpu.pkru, cpu.fpu.xmm[3], cpu.fpu.ymm[2]) = (0x54, 7, 9);
    cpu.r[gpr::RAX] = 0x203;
    assert_eq!(step(&mut cpu, XSAVEC), Ok(()));
    assert_eq!(read(&cpu, 0x2200), 0x202);
    assert_eq!(read(&cpu, 0x2208), 1 << 63 | 0x203);
    assert_eq!((read(&cpu, 0x2240), read(&cpu, 0x20d0)), (0x54, 7));
    // With AVX in between it is 256 bytes later.
    cpu.r[gpr::RAX] = 0x207;
    assert_eq!(step(&mut cpu, XSAVES), Ok(()));
    assert_eq!((read(&cpu, 0x2200), read(&cpu, 0x2208)), (0x206, 1 << 63 | 0x207));
    assert_eq!((read(&cpu, 0x2260), read(&cpu, 0x2340)), (9, 0x54));
    for back in [XRSTOR, XRSTORS] {
        (cpu.fpu.pkru, cpu.fpu.xmm[3], cpu.fpu.ymm[2], cpu.fpu.fcw) = (0, 0, 0, 0);
        assert_eq!(step(&mut cpu, back), Ok(()));
        // x87 was in its initial state and is again.
        assert_eq!((cpu.fpu.pkru, cpu.fpu.xmm[3], cpu.fpu.ymm[2], cpu.fpu.fcw), (0x54, 7, 9, 0x37f));
    }
    // A header that does not fit: a component that is not in the format; the standard format for XRSTORS.
    let gp = fault(vector::GP, Some(0));
    write(&mut cpu, 0x2208, &(1u64 << 63 | 3).to_le_bytes());
    assert_eq!(step(&mut cpu, XRSTOR), gp);
    write(&mut cpu, 0x2208, &0u64.to_le_bytes());
    assert_eq!(step(&mut cpu, XRSTOR), Ok(()));
    assert_eq!(step(&mut cpu, XRSTORS), gp);
    cpu.cpl = 3;
    assert_eq!(step(&mut cpu, XSAVES), gp);
}

#[test]
fn protection_keys_of_user_pages() {
    let mut cpu = cpu();
    // The first 2 MBytes become a user page with key 1, where this test's data lie.
    assert!(cpu.mem.phys_write(0x8_0000, &0x8_1007u64.to_le_bytes()));
    assert!(cpu.mem.phys_write(0x8_1000, &0x8_2007u64.to_le_bytes()));
    assert!(cpu.mem.phys_write(0x8_2000, &(1u64 << 59 | 0xe7).to_le_bytes()));
    cpu.flush_tlb();
    (cpu.r[gpr::RBX], cpu.r[gpr::RDX], cpu.r[gpr::RCX]) = (0x2000, 0, 0);
    let (load, store): (&[u8], &[u8]) = (b"\x0f\xaf\x03", b"\x0f\xc1\x03");
    for (pkru, read_fails, write_fails) in
        [(0u64, false, false), (4, true, true), (8, false, true), (0x10, false, false)]
    {
        cpu.r[gpr::RAX] = pkru;
        // WRPKRU, then RDPKRU.
        assert_eq!(step(&mut cpu, b"\x0f\x01\xef"), Ok(()));
        cpu.r[gpr::RAX] = 0;
        assert_eq!(step(&mut cpu, b"\x0f\x01\xee"), Ok(()));
        assert_eq!(cpu.r[gpr::RAX], pkru);
        // IMUL EAX, [RBX]; XADD [RBX], EAX.
        assert_eq!(step(&mut cpu, load).is_err(), read_fails, "read under {pkru:#x}");
        assert_eq!(step(&mut cpu, store).is_err(), write_fails, "write under {pkru:#x}");
    }
    cpu.r[gpr::RCX] = 1;
    assert_eq!(step(&mut cpu, b"\x0f\x01\xee"), fault(vector::GP, Some(0)));
    cpu.cr4 &= !cr4::PKE;
    assert_eq!(step(&mut cpu, b"\x0f\x01\xee"), fault(vector::UD, None));
}
