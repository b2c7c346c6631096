use super::*;
use crate::{Stop, testing::*};
use iced_x86::code_asm::*;
use x86_spec::vector;

/// JMP FAR to 32-bit offset.
fn ptr32(opcode: u8, selector: u16, offset: u32) -> Vec<u8> {
    let mut bytes = vec![opcode];
    bytes.extend(offset.to_le_bytes());
    bytes.extend(selector.to_le_bytes());
    bytes
}

const JMP: u8 = 0xea;
const CALL: u8 = 0x9a;

#[test]
fn jumps_check_their_target() {
    for (selector, expected) in [
        (0, Some((vector::GP, 0))),
        (DATA32, Some((vector::GP, u64::from(DATA32)))),
        (USER_CODE32, Some((vector::GP, u64::from(USER_CODE32 & !3)))),
        (0xf0, Some((vector::GP, 0xf0))),
        (CODE32 | 1, Some((vector::GP, u64::from(CODE32)))),
        (CODE32, None),
        (CONFORMING, None),
    ] {
        let mut m = Machine::new(Start::Protected);
        m.write(DATA, &[0xf4]);
        let stop = m.run_bytes(&ptr32(JMP, selector, DATA as u32));
        match expected {
            Some((vector, error)) => m.faulted(stop, vector, error),
            None => {
                assert_eq!(stop, Stop::Halted);
                assert_eq!((m.cpu.rip, m.cpu.seg[seg::CS].selector), (DATA + 1, selector));
            }
        }
    }
}

#[test]
fn an_offset_beyond_the_limit() {
    let mut m = Machine::new(Start::Protected);
    let stop = m.run_bytes(&ptr32(JMP, CODE16, 0x1_0000));
    m.faulted(stop, vector::GP, 0);
    assert_eq!(m.slot(1), CODE);
}

#[test]
fn call_and_return_at_one_level() {
    let mut m = Machine::new(Start::Protected);
    m.write(DATA, &[0xca, 4, 0]); // retf 4
    let mut bytes = ptr32(CALL, CODE32, DATA as u32);
    bytes.push(0xf4);
    m.cpu.r[gpr::RSP] = STACK - 4;
    assert_eq!(m.run_bytes(&bytes), Stop::Halted);
    assert_eq!((m.cpu.rip, m.cpu.r[gpr::RSP]), (CODE + 8, STACK));
    assert_eq!([m.read32(STACK - 12), m.read32(STACK - 8)], [CODE as u32 + 7, u32::from(CODE32)]);
}

#[test]
fn into_long_mode_and_compatibility_mode() {
    // 64-bit code returns to compatibility mode, which jumps back.
    let mut m = Machine::new(Start::Long);
    m.assemble_at(DATA, 32, |a| {
        a.mov(ebx, esp)?;
        a.inc(ecx)
    });
    m.write(DATA + 3, &ptr32(JMP, CODE64, (DATA + 0x100) as u32));
    m.assemble_at(DATA + 0x100, 64, |a| {
        a.mov(rdx, 0x1234_5678_9abc_def0u64)?;
        a.hlt()
    });
    let stop = m.go(|a| {
        a.push(i32::from(CODE32))?;
        a.push(DATA as i32)?;
        a.db(&[0x48, 0xcb])
    });
    assert_eq!(stop, Stop::Halted, "{:#x}", m.cpu.rip);
    assert_eq!((m.cpu.r[gpr::RDX], m.cpu.r[gpr::RCX]), (0x1234_5678_9abc_def0, 1));
    assert_eq!(m.cpu.r[gpr::RBX], STACK);
    assert!(m.cpu.long64());
}

#[test]
fn through_a_call_gate_and_back() {
    for start in [Start::Protected, Start::Long] {
        let mut m = Machine::new(start);
        let long = start == Start::Long;
        // One parameter.
        let code = if long { CODE64 } else { CODE32 };
        m.write64(GDT + u64::from(GATE), gate_entry(code, DATA, 0xec, if long { 0 } else { 1 }));
        if long {
            m.write64(DATA + 0x100, 0);
            m.write(DATA + 0x108, &(GATE | 3).to_le_bytes());
        }
        m.assemble_at(DATA, if long { 64 } else { 32 }, |a| {
            if long {
                a.mov(rsi, rsp)?;
                a.mov(eax, ss)?;
                a.db(&[0x48, 0xcb])
            } else {
                a.mov(esi, esp)?;
                a.mov(edi, dword_ptr(esp + 8))?;
                a.mov(eax, ss)?;
                a.retf_1(4)
            }
        });
        m.enter_user();
        let bytes: Vec<u8> = if long {
            // mov ebp, DATA + 0x100; call far qword [rbp]; hlt
            let mut b = vec![0xbd];
            b.extend((DATA as u32 + 0x100).to_le_bytes());
            b.extend([0x48, 0xff, 0x5d, 0x00, 0xf4]);
            b
        } else {
            let mut b = vec![0x6a, 0x42]; // push 0x42
            b.extend(ptr32(CALL, GATE | 3, 0));
            b.push(0xf4);
            b
        };
        let stop = m.run_bytes(&bytes);
        // HLT at CPL 3 after the return.
        m.faulted(stop, vector::GP, 0);
        assert_eq!(m.slot(1), USER_CODE + bytes.len() as u64 - 1);
        let size = if long { 8 } else { 4 };
        let frame = if long { 4 } else { 5 };
        assert_eq!(m.cpu.r[gpr::RSI], INNER_STACK - frame * size);
        assert_eq!(m.cpu.r[gpr::RAX] & 0xffff, if long { 0 } else { u64::from(DATA32) });
        if !long {
            assert_eq!(m.cpu.r[gpr::RDI], 0x42);
        }
        // The stack of the user is as it was before the call's parameters.
        assert_eq!(m.slot(4), USER_STACK);
        assert_eq!(m.slot(2), u64::from(if long { USER_CODE64 } else { USER_CODE32 }));
    }
}

#[test]
fn return_to_an_inner_level_is_refused() {
    let mut m = Machine::new(Start::Protected);
    let stop = m.go_user(|a| {
        a.push(i32::from(CODE32))?;
        a.push(DATA as i32)?;
        a.retf()
    });
    m.faulted(stop, vector::GP, u64::from(CODE32));
}

#[test]
fn outer_returns_drop_segments_of_the_inner_level() {
    let mut m = Machine::new(Start::Protected);
    m.write(USER_CODE, &[0xf4]);
    m.cpu.seg[seg::FS] = m.cpu.seg[seg::DS];
    let stop = m.go(|a| {
        a.mov(ecx, u32::from(USER_DATA))?;
        a.mov(es, ecx)?;
        a.push(i32::from(USER_DATA))?;
        a.push(USER_STACK as i32)?;
        a.push(i32::from(USER_CODE32))?;
        a.push(USER_CODE as i32)?;
        a.retf()
    });
    m.faulted(stop, vector::GP, 0);
    assert_eq!(m.slot(4), USER_STACK);
    assert!(m.cpu.seg[seg::ES].usable());
    assert!(!m.cpu.seg[seg::DS].usable() && !m.cpu.seg[seg::FS].usable());
}

#[test]
fn real_mode_far() {
    let mut m = Machine::new(Start::Real);
    m.write(0x1_2340, &[0xcb]); // retf
    // call 0x1234:0; hlt
    let stop = m.run_bytes(&[CALL, 0, 0, 0x34, 0x12, 0xf4]);
    assert_eq!(stop, Stop::Halted);
    assert_eq!((m.cpu.rip, m.cpu.seg[seg::CS].base), (0x7006, 0));
}

#[test]
fn task_switches_are_not_modelled() {
    let mut m = Machine::new(Start::Protected);
    m.write64(GDT + u64::from(TSS_SELECTOR), descriptor(TSS, 0x67, 0x89, 0));
    let stop = m.run_bytes(&ptr32(JMP, TSS_SELECTOR, 0));
    assert!(matches!(stop, Stop::Unsupported(u) if u.what == "task switch" && u.rip == CODE));
}
