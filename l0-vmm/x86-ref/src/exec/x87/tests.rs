use super::soft::F80;
use crate::{
    Cpu,
    cpu::gpr,
    exec::faults::{cpu64, fault, read, write},
};

fn step(cpu: &mut Cpu, bytes: &[u8]) {
    assert_eq!(crate::exec::faults::step(cpu, bytes), Ok(()), "{bytes:02x?}");
}

/// ST(0) after a double was loaded and instructions executed.
fn after(values: &[f64], code: &[&[u8]]) -> f64 {
    let mut cpu = cpu64();
    cpu.r[gpr::RBX] = 0x2000;
    for value in values {
        write(&mut cpu, 0x2000, &value.to_le_bytes());
        // FLD qword [RBX]
        step(&mut cpu, &[0xdd, 0x03]);
    }
    for bytes in code {
        step(&mut cpu, bytes);
    }
    // FSTP qword [RBX]
    step(&mut cpu, &[0xdd, 0x1b]);
    f64::from_bits(read(&cpu, 0x2000))
}

#[test]
fn transcendental_functions_are_near() {
    let near = |a: f64, b: f64| assert!((a - b).abs() <= b.abs() * 4e-16 + 1e-300, "{a:e} for {b:e}");
    for x in [1e-5, 0.1, 0.5, 0.785, 1.0, 1.5, 2.0, 3.0, 100.0, 1e10, -0.7, -2.5, -4.0] {
        near(after(&[x], &[b"\xd9\xfe"]), x.sin());
        near(after(&[x], &[b"\xd9\xff"]), x.cos());
        // FSINCOS; FDIVP gives the tangent; FPTAN, then the 1 is popped.
        near(after(&[x], &[b"\xd9\xfb", b"\xde\xf9"]), x.tan());
        near(after(&[x], &[b"\xd9\xf2", b"\xdd\xd8"]), x.tan());
        near(after(&[x, 1.0], &[b"\xd9\xf3"]), x.atan());
        near(after(&[1.0, x], &[b"\xd9\xf3"]), 1f64.atan2(x));
        near(after(&[-2.0, x], &[b"\xd9\xf3"]), (-2f64).atan2(x));
        if x > 0.0 && x != 1.0 {
            near(after(&[3.0, x], &[b"\xd9\xf1"]), 3.0 * x.log2());
        }
        if (-0.5..=0.5).contains(&x) {
            near(after(&[1.0, x], &[b"\xd9\xf9"]), x.ln_1p() / std::f64::consts::LN_2);
        }
        if x.abs() <= 1.0 {
            near(after(&[x], &[b"\xd9\xf0"]), (x * std::f64::consts::LN_2).exp_m1());
        }
    }
    assert_eq!(after(&[2.0, 0.0], &[b"\xd9\xf1"]), f64::NEG_INFINITY);
    assert!(after(&[2.0, -1.0], &[b"\xd9\xf1"]).is_nan());
    assert_eq!(after(&[0.0], &[b"\xd9\xff"]), 1.0);
}

#[test]
fn environment_and_state_come_back() {
    let mut cpu = cpu64();
    cpu.r[gpr::RBX] = 0x2000;
    // FLDPI, FLD1, FNSAVE [RBX], FRSTOR [RBX].
    step(&mut cpu, b"\xd9\xeb");
    step(&mut cpu, b"\xd9\xe8");
    let before = cpu.fpu.clone();
    step(&mut cpu, b"\xdd\x33");
    assert_eq!((cpu.fpu.fcw, cpu.fpu.fsw, cpu.fpu.ftw), (0x37f, 0, 0));
    let mut environment = [0u8; 28];
    assert!(cpu.mem.phys_read_bytes(0x2000, &mut environment));
    // Tags: 6 (1.0) and 7 (pi) valid, the others empty.
    assert_eq!(environment[..12], *b"\x7f\x03\xff\xff\x00\x30\xff\xff\xff\x0f\xff\xff");
    step(&mut cpu, b"\xdd\x23");
    assert_eq!((cpu.fpu.fcw, cpu.fpu.fsw, cpu.fpu.ftw), (before.fcw, before.fsw, before.ftw));
    assert_eq!(cpu.st(0), Some(F80::ONE));
    assert_eq!(cpu.st(1).map(|v| v.significand), Some(0xc90f_daa2_2168_c235));
    // FNSTENV masks everything; the short form has words.
    cpu.fpu.fcw = 0x340;
    step(&mut cpu, b"\x66\xd9\x73\x40");
    assert_eq!(cpu.fpu.fcw, 0x37f);
    assert_eq!(read(&cpu, 0x2040) & 0xffff_ffff_ffff, 0x0fff_3000_0340);
}

#[test]
fn an_unmasked_exception_waits_for_the_next_instruction() {
    let mut cpu = cpu64();
    // FLDZ, FLD1, FDIV ST, ST(1) with ZE unmasked: nothing is written, then #MF.
    cpu.fpu.fcw = 0x37b;
    step(&mut cpu, b"\xd9\xee");
    step(&mut cpu, b"\xd9\xe8");
    step(&mut cpu, b"\xd8\xf1");
    assert_eq!(cpu.st(0), Some(F80::ONE));
    assert_eq!(cpu.fpu.fsw & 0x80ff, 0x8084);
    let stopped = crate::exec::faults::step(&mut cpu, b"\xd9\xe8");
    assert_eq!(stopped, fault(x86_spec::vector::MF, None));
}
