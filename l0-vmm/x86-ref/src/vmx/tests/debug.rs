//! Debug registers and debug exceptions in VMX non-root operation.

use super::*;
use x86_spec::{
    cr::{dr6, dr7},
    vector,
    vmx::intr_info::{IntrInfo, Kind},
};

const EXCEPTION: u64 = 0;
const MOV_DR: u64 = 29;

/// The vector of the exception that exited.
fn exception(rig: &Rig) -> u64 {
    rig.field(Field::VM_EXIT_INTR_INFO) & 0xff
}

#[test]
fn mov_dr_exits_before_its_faults() {
    // mov rax, dr4 with CR4.DE; mov dr0, rax at CPL 3; mov rax, dr7 with DR7.GD
    let rows: &[(&[u8], Field, u64, u64, u8)] = &[
        (b"\x0f\x21\xe0", Field::GUEST_CR4, cr4::DE, 0x14, vector::UD),
        (b"\x0f\x23\xc0", Field::GUEST_SS_AR_BYTES, 3 << 5, 0, vector::GP),
        (b"\x0f\x21\xf8", Field::GUEST_DR7, dr7::GD, 0x17, vector::DB),
    ];
    for &(bytes, field, bits, qualification, fault) in rows {
        let mut rig = Rig::ready();
        rig.control(Field::VM_ENTRY_CONTROLS, Entry::LOAD_DEBUG_CONTROLS);
        rig.control(field, bits);
        if field == Field::GUEST_SS_AR_BYTES {
            const USER: u64 = PRESENT_WRITABLE | 4;
            rig.write(PML4, &(PDPT | USER).to_le_bytes());
            rig.write(PDPT, &(PD | USER).to_le_bytes());
            rig.write(PD, &(USER | LARGE).to_le_bytes());
            rig.control(Field::GUEST_CS_AR_BYTES, bits);
            for selector in [Field::GUEST_CS_SELECTOR, Field::GUEST_SS_SELECTOR] {
                rig.control(selector, 3);
            }
        }
        rig.set(Field::EXCEPTION_BITMAP, u64::from(u32::MAX));
        let without = rig.field(Field::CPU_BASED_VM_EXEC_CONTROL);
        rig.control(Field::CPU_BASED_VM_EXEC_CONTROL, Proc::MOV_DR_EXITING);
        assert_eq!(rig.launch(bytes), MOV_DR, "{bytes:02x?}");
        assert_eq!(rig.field(Field::EXIT_QUALIFICATION), qualification);
        assert_eq!(rig.field(Field::VM_EXIT_INSTRUCTION_LEN), 3);
        rig.set(Field::CPU_BASED_VM_EXEC_CONTROL, without);
        assert_eq!(rig.resume(), EXCEPTION, "{bytes:02x?}");
        assert_eq!(exception(&rig), u64::from(fault));
    }
    // There is no DR8: that #UD comes first.
    let mut rig = Rig::ready();
    rig.set(Field::EXCEPTION_BITMAP, u64::from(u32::MAX));
    rig.control(Field::CPU_BASED_VM_EXEC_CONTROL, Proc::MOV_DR_EXITING);
    assert_eq!(rig.launch(b"\x44\x0f\x21\xc0"), EXCEPTION);
    assert_eq!(exception(&rig), u64::from(vector::UD));
}

#[test]
fn a_debug_exception_that_exits_leaves_btf() {
    const BTF: u64 = 2;
    let mut rig = Rig::ready();
    rig.control(Field::VM_ENTRY_CONTROLS, Entry::LOAD_DEBUG_CONTROLS);
    rig.control(Field::VM_EXIT_CONTROLS, Exit::SAVE_DEBUG_CONTROLS);
    rig.set(Field::GUEST_IA32_DEBUGCTL, BTF);
    rig.set(Field::GUEST_RFLAGS, 2 | rflags::TF);
    rig.set(Field::EXCEPTION_BITMAP, 1 << vector::DB);
    assert_eq!(rig.launch(b"\x90\xeb\x00\xf4"), EXCEPTION);
    let info = IntrInfo::new(Kind::HARDWARE_EXCEPTION, vector::DB, false);
    assert_eq!(rig.field(Field::VM_EXIT_INTR_INFO), u64::from(info.0));
    assert_eq!(rig.field(Field::EXIT_QUALIFICATION), dr6::BS);
    assert_eq!(rig.field(Field::GUEST_RIP), L2_CODE + 3);
    assert_eq!(rig.field(Field::GUEST_IA32_DEBUGCTL), BTF);
    // Delivered, it clears the bit before the handler's first instruction.
    rig.gate(1, L2_CODE + 0x100);
    rig.write(L2_CODE + 0x100, b"\xf4");
    rig.set(Field::EXCEPTION_BITMAP, 0);
    rig.set(Field::GUEST_RIP, L2_CODE);
    assert_eq!(rig.resume(), 12);
    assert_eq!(rig.field(Field::GUEST_RIP), L2_CODE + 0x100);
    assert_eq!(rig.field(Field::GUEST_IA32_DEBUGCTL), 0);
}
