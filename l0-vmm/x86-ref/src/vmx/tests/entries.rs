//! VM entries: their checks, what they load, what they inject.

use super::*;
use x86_spec::{
    vector,
    vmx::{
        controls::Word,
        intr_info::{IntrInfo, Kind},
    },
};

#[test]
fn launch_state() {
    let mut rig = Rig::ready();
    assert_eq!(rig.insn(INSN_VMRESUME), None);
    assert_eq!(rig.outcome(), 0x100 + 5);
    assert_eq!(rig.launch(b"\x0f\xa2\xf4"), 10, "CPUID");
    assert_eq!(rig.field(Field::GUEST_RIP), L2_CODE);
    assert_eq!(rig.field(Field::VM_EXIT_INSTRUCTION_LEN), 2);
    assert_eq!(rig.insn(INSN_VMLAUNCH), None);
    assert_eq!(rig.outcome(), 0x100 + 4);
    assert_eq!(rig.skip(), 12, "HLT");
    assert_eq!(rig.field(Field::GUEST_RIP), L2_CODE + 2);
    assert_eq!(rig.field(Field::VM_EXIT_INSTRUCTION_LEN), 1);
    // The launch state goes with the VMCS.
    assert_eq!(rig.vmptrld(VMCS2), 0);
    assert_eq!(rig.vmptrld(VMCS), 0);
    assert_eq!(rig.resume(), 12);
    assert_eq!(rig.vmclear(VMCS), 0);
    assert_eq!(rig.vmptrld(VMCS), 0);
    assert_eq!(rig.insn(INSN_VMRESUME), None);
    assert_eq!(rig.outcome(), 0x100 + 5);
}

#[test]
fn host_state_after_an_exit() {
    let mut rig = Rig::ready();
    rig.set(Field::HOST_FS_BASE, 0x1234);
    rig.set(Field::HOST_GDTR_BASE, 0x5678);
    rig.cpu.dr[7] = 0x401;
    assert_eq!(rig.launch(b"\xf4"), 12);
    let state = rig.cpu.state();
    assert_eq!((state.rip, state.gpr[gpr::RSP], state.rflags), (L1_EXIT, L1_DATA, 2));
    assert_eq!(state.dr[5], 0x400);
    assert_eq!(state.seg[1].rights, CODE64);
    assert_eq!((state.seg[2].selector, state.seg[2].rights), (0x10, DATA));
    assert_eq!(state.seg[3].rights, DATA | UNUSABLE, "DS with a null selector");
    assert_eq!(state.seg[4].base, 0x1234);
    assert_eq!((state.gdtr.base, state.gdtr.limit), (0x5678, 0xffff));
    assert_eq!((state.tr.limit, state.tr.rights, state.ldtr.rights), (0x67, BUSY_TSS, UNUSABLE));
}

#[test]
fn broken_rules() {
    let mut rig = Rig::ready();
    let legal = rig.field(Field::PIN_BASED_VM_EXEC_CONTROL);
    rig.set(Field::PIN_BASED_VM_EXEC_CONTROL, 1 << 31);
    assert_eq!(rig.insn(INSN_VMLAUNCH), None);
    assert_eq!(rig.outcome(), 0x100 + 7);
    assert_eq!(
        rig.cpu.last_entry_failure().map(|r| r.stage.outcome()),
        Some(x86_spec::vmx::rules::Stage::Controls.outcome())
    );
    rig.set(Field::PIN_BASED_VM_EXEC_CONTROL, legal);
    rig.set(Field::HOST_CS_SELECTOR, 0);
    assert_eq!(rig.insn(INSN_VMLAUNCH), None);
    assert_eq!(rig.outcome(), 0x100 + 8);
    rig.set(Field::HOST_CS_SELECTOR, 8);
    rig.set(Field::GUEST_RFLAGS, 0xa);
    assert_eq!(rig.launch(b"\xf4"), 0x8000_0021);
    assert_eq!(rig.field(Field::EXIT_QUALIFICATION), 0);
    assert_eq!(rig.field(Field::GUEST_RIP), L2_CODE);
    assert_eq!(rig.cpu.last_entry_failure().map(|r| r.fields[0]), Some(Field::GUEST_RFLAGS));
    rig.set(Field::GUEST_RFLAGS, 2);
    rig.set(Field::VMCS_LINK_POINTER, 1);
    assert_eq!(rig.launch(b"\xf4"), 0x8000_0021, "the launch state stays clear");
    assert_eq!(rig.field(Field::EXIT_QUALIFICATION), 4);
    rig.set(Field::VMCS_LINK_POINTER, u64::MAX);
    assert_eq!(rig.launch(b"\xf4"), 12);
}

#[test]
fn mov_ss_blocks_vm_entry() {
    let mut rig = Rig::ready();
    rig.cpu.blocking = 2;
    assert_eq!(rig.insn(INSN_VMLAUNCH), None);
    assert_eq!(rig.outcome(), 0x100 + 26);
}

#[test]
fn msr_loading() {
    let mut rig = Rig::ready();
    let list = L1_DATA + 0x100;
    rig.set(Field::VM_ENTRY_MSR_LOAD_ADDR, list);
    rig.set(Field::VM_ENTRY_MSR_LOAD_COUNT, 2);
    rig.write(list, &0xc000_0082_u64.to_le_bytes());
    rig.write(list + 8, &0x7777_u64.to_le_bytes());
    rig.write(list + 16, &0xc000_0100_u64.to_le_bytes());
    assert_eq!(rig.launch(b"\xf4"), 0x8000_0022, "FS base cannot be loaded");
    assert_eq!(rig.field(Field::EXIT_QUALIFICATION), 2);
    rig.set(Field::VM_ENTRY_MSR_LOAD_COUNT, 1);
    rig.cpu.msr.lstar = 1;
    rig.set(Field::VM_EXIT_MSR_STORE_ADDR, list + 0x40);
    rig.set(Field::VM_EXIT_MSR_STORE_COUNT, 1);
    rig.write(list + 0x40, &0xc000_0082_u64.to_le_bytes());
    rig.set(Field::VM_EXIT_MSR_LOAD_ADDR, list + 0x80);
    rig.set(Field::VM_EXIT_MSR_LOAD_COUNT, 1);
    rig.write(list + 0x80, &0xc000_0082_u64.to_le_bytes());
    rig.write(list + 0x88, &0x8888_u64.to_le_bytes());
    assert_eq!(rig.launch(b"\xf4"), 12);
    assert_eq!(rig.read(list + 0x48), 0x7777);
    assert_eq!(rig.cpu.msr.lstar, 0x8888);
}

#[test]
fn blocking_by_nmi_survives_an_entry_that_fails() {
    for (blocked, guest) in [(8, 0), (0, 8)] {
        for pin in [0, Pin::NMI_EXITING | Pin::VIRTUAL_NMIS] {
            let mut rig = Rig::ready();
            rig.control(Field::PIN_BASED_VM_EXEC_CONTROL, pin);
            rig.set(Field::GUEST_INTERRUPTIBILITY_INFO, guest);
            rig.cpu.blocking = blocked;
            rig.set(Field::GUEST_RFLAGS, 0);
            assert_eq!(rig.launch(b"\xf4"), 0x8000_0021);
            assert_eq!(rig.cpu.blocking, blocked);
            rig.set(Field::GUEST_RFLAGS, 2);
            rig.set(Field::VM_ENTRY_MSR_LOAD_ADDR, L1_DATA + 0x100);
            rig.set(Field::VM_ENTRY_MSR_LOAD_COUNT, 1);
            rig.write(L1_DATA + 0x100, &0xc000_0100_u64.to_le_bytes());
            assert_eq!(rig.launch(b"\xf4"), 0x8000_0022);
            assert_eq!(rig.cpu.blocking, blocked);
        }
    }
}

#[test]
fn bits_of_dr7_that_do_not_change() {
    let mut rig = Rig::ready();
    rig.control(Field::VM_ENTRY_CONTROLS, Entry::LOAD_DEBUG_CONTROLS);
    rig.control(Field::VM_EXIT_CONTROLS, Exit::SAVE_DEBUG_CONTROLS);
    rig.set(Field::GUEST_DR7, 0xd855);
    assert_eq!(rig.launch(b"\xf4"), 12);
    assert_eq!(rig.field(Field::GUEST_DR7), 0x455);
}

#[test]
fn injection() {
    let mut rig = Rig::ready();
    rig.gate(vector::PF.into(), L2_CODE + 0x100);
    rig.write(L2_CODE + 0x100, b"\xf4");
    let pf = IntrInfo::new(Kind::HARDWARE_EXCEPTION, vector::PF, true);
    rig.set(Field::VM_ENTRY_INTR_INFO_FIELD, pf.0.into());
    rig.set(Field::VM_ENTRY_EXCEPTION_ERROR_CODE, 2);
    rig.cpu.cr2 = 0x99;
    assert_eq!(rig.launch(b"\x90\xf4"), 12);
    assert_eq!(rig.field(Field::GUEST_RIP), L2_CODE + 0x100);
    assert_eq!(rig.field(Field::VM_ENTRY_INTR_INFO_FIELD), u64::from(pf.0 & !IntrInfo::VALID));
    assert_eq!(rig.cpu.cr2, 0x99, "injection leaves CR2 alone");
    let rsp = rig.field(Field::GUEST_RSP);
    assert_eq!(rsp, L2_STACK - 48);
    assert_eq!((rig.read(rsp), rig.read(rsp + 8)), (2, L2_CODE));
    assert_eq!(rig.read(rsp + 24), 2, "RF is as it was loaded");
}

#[test]
fn software_interrupts_return_behind_themselves() {
    let mut rig = Rig::ready();
    rig.gate(0x80, L2_CODE + 0x100);
    rig.write(L2_CODE + 0x100, b"\xf4");
    rig.set(Field::VM_ENTRY_INTR_INFO_FIELD, IntrInfo::new(Kind::SOFTWARE_INTERRUPT, 0x80, false).0.into());
    rig.set(Field::VM_ENTRY_INSTRUCTION_LEN, 2);
    assert_eq!(rig.launch(b"\xcd\x80\xf4"), 12);
    assert_eq!(rig.read(rig.field(Field::GUEST_RSP)), L2_CODE + 2);
}

#[test]
fn a_failing_injection_exits_with_vectoring_information() {
    let mut rig = Rig::ready();
    // No gate: #GP during delivery, which the exception bitmap catches.
    rig.set(Field::EXCEPTION_BITMAP, 1 << vector::GP);
    rig.set(Field::VM_ENTRY_INTR_INFO_FIELD, IntrInfo::new(Kind::EXTERNAL, 0x40, false).0.into());
    rig.set(Field::GUEST_RFLAGS, 0x202);
    assert_eq!(rig.launch(b"\xf4"), 0);
    assert_eq!(
        rig.field(Field::VM_EXIT_INTR_INFO),
        u64::from(IntrInfo::new(Kind::HARDWARE_EXCEPTION, vector::GP, true).0)
    );
    assert_eq!(rig.field(Field::VM_EXIT_INTR_ERROR_CODE), 0x40 << 3 | 3);
    assert_eq!(
        rig.field(Field::IDT_VECTORING_INFO_FIELD),
        u64::from(IntrInfo::new(Kind::EXTERNAL, 0x40, false).0)
    );
    assert_eq!(rig.field(Field::GUEST_RIP), L2_CODE);
}

#[test]
fn an_injection_can_end_in_a_triple_fault() {
    let mut rig = Rig::ready();
    rig.set(Field::GUEST_IDTR_LIMIT, 0);
    let gp = IntrInfo::new(Kind::HARDWARE_EXCEPTION, vector::GP, true);
    rig.set(Field::VM_ENTRY_INTR_INFO_FIELD, gp.0.into());
    assert_eq!(rig.launch(b"\xf4"), 2);
    assert_eq!(rig.field(Field::IDT_VECTORING_INFO_FIELD), 0);
}

#[test]
fn an_injected_nmi_blocks_nmis() {
    let mut rig = Rig::ready();
    rig.gate(2, L2_CODE + 0x100);
    rig.write(L2_CODE + 0x100, b"\xf4");
    rig.set(Field::VM_ENTRY_INTR_INFO_FIELD, IntrInfo::new(Kind::NMI, 2, false).0.into());
    rig.control(Field::PIN_BASED_VM_EXEC_CONTROL, Pin::NMI_EXITING | Pin::VIRTUAL_NMIS);
    assert_eq!(rig.launch(b"\xf4"), 12);
    assert_eq!(rig.field(Field::GUEST_INTERRUPTIBILITY_INFO), 8);
    assert_eq!(rig.cpu.blocking, 0, "virtual NMIs do not block those of L1");
}

#[test]
fn unrestricted_real_mode_guest() {
    let mut rig = Rig::ready();
    rig.ept();
    rig.proc2(Proc2::UNRESTRICTED_GUEST);
    rig.set(Field::VM_ENTRY_CONTROLS, 0);
    rig.set(Field::GUEST_CR0, cr0::NE | cr0::ET);
    rig.set(Field::GUEST_CR4, cr4::VMXE);
    let segments = [
        (
            Field::GUEST_CS_SELECTOR,
            Field::GUEST_CS_BASE,
            Field::GUEST_CS_LIMIT,
            Field::GUEST_CS_AR_BYTES,
            0x9b,
        ),
        (
            Field::GUEST_SS_SELECTOR,
            Field::GUEST_SS_BASE,
            Field::GUEST_SS_LIMIT,
            Field::GUEST_SS_AR_BYTES,
            0x93,
        ),
    ];
    for (selector, base, limit, rights, value) in segments {
        rig.set(selector, L2_CODE >> 4);
        rig.set(base, L2_CODE);
        rig.set(limit, 0xffff);
        rig.set(rights, value);
    }
    rig.set(Field::GUEST_RIP, 0);
    rig.set(Field::GUEST_RSP, 0x1000);
    // mov ax, 0x1234; push ax; hlt
    assert_eq!(rig.launch(b"\xb8\x34\x12\x50\xf4"), 12);
    assert_eq!(rig.field(Field::GUEST_RIP), 4);
    assert_eq!(rig.read(L2_CODE + 0xffe) & 0xffff, 0x1234);
    assert_eq!(rig.cpu.state().efer & efer::LMA, efer::LMA);
}

#[test]
fn a_control_that_the_profile_lacks() {
    let mut less = caps();
    less.true_proc &= !(Proc::HLT_EXITING << 32);
    assert!(!less.allows(Word::Proc, Proc::HLT_EXITING));
    let mut rig = Rig::ready_with(less);
    assert_eq!(rig.insn(INSN_VMLAUNCH), None);
    assert_eq!(rig.outcome(), 0x100 + 7);
}
