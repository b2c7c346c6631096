//! VM exits and what they report.

use super::*;
use x86_spec::{
    vector,
    vmx::intr_info::{IntrInfo, Kind},
};

impl Rig {
    fn qualification(&self) -> u64 {
        self.field(Field::EXIT_QUALIFICATION)
    }
}

#[test]
fn exception_bitmap() {
    let mut rig = Rig::ready();
    rig.set(Field::EXCEPTION_BITMAP, 1 << vector::UD | 1 << vector::BP);
    assert_eq!(rig.launch(b"\x0f\x0b\xcc"), 0);
    assert_eq!(
        rig.field(Field::VM_EXIT_INTR_INFO),
        u64::from(IntrInfo::new(Kind::HARDWARE_EXCEPTION, vector::UD, false).0)
    );
    assert_eq!(rig.field(Field::GUEST_RFLAGS), 2 | rflags::RF);
    rig.set(Field::GUEST_RIP, L2_CODE + 2);
    rig.set(Field::GUEST_RFLAGS, 2);
    assert_eq!(rig.resume(), 0);
    assert_eq!(
        rig.field(Field::VM_EXIT_INTR_INFO),
        u64::from(IntrInfo::new(Kind::SOFTWARE_EXCEPTION, vector::BP, false).0)
    );
    assert_eq!(rig.field(Field::VM_EXIT_INSTRUCTION_LEN), 1);
    assert_eq!(rig.field(Field::GUEST_RIP), L2_CODE + 2);
}

#[test]
fn page_fault_mask_and_match() {
    // mov rax, [0x40000000]: not present.
    let code = b"\x48\x8b\x04\x25\x00\x00\x00\x40";
    for (bitmap, mask, wanted, exits) in
        [(1 << 14, 0, 0, true), (1 << 14, 1, 1, false), (0, 1, 1, true), (0, 0, 0, false)]
    {
        let mut rig = Rig::ready();
        rig.set(Field::EXCEPTION_BITMAP, bitmap);
        rig.set(Field::PAGE_FAULT_ERROR_CODE_MASK, mask);
        rig.set(Field::PAGE_FAULT_ERROR_CODE_MATCH, wanted);
        let reason = rig.launch(code);
        if exits {
            assert_eq!((reason, rig.qualification()), (0, 0x4000_0000));
            assert_eq!(rig.cpu.cr2, 0);
        } else {
            // No IDT entry: triple fault.
            assert_eq!(reason, 2);
            assert_eq!(rig.cpu.cr2, 0x4000_0000);
        }
    }
}

#[test]
fn ept_violation() {
    let mut rig = Rig::ready();
    rig.ept();
    rig.ept_entry(0x5_0000, 0x5_0000 | 6 << 3 | 1);
    // mov [0x50008], rax; hlt
    assert_eq!(rig.launch(b"\x48\x89\x04\x25\x08\x00\x05\x00\xf4"), 48);
    assert_eq!(rig.qualification() & 0x1ff, 0x18a, "write, readable only, linear address, final access");
    assert_eq!(rig.field(Field::GUEST_PHYSICAL_ADDRESS), 0x5_0008);
    assert_eq!(rig.field(Field::GUEST_LINEAR_ADDRESS), 0x5_0008);
    assert_eq!(rig.field(Field::GUEST_RIP), L2_CODE);
    rig.ept_entry(0x5_0000, 0x5_1000 | 6 << 3 | 7);
    rig.write(L1_DATA, &[0; 16]);
    (rig.cpu.r[gpr::RAX], rig.cpu.r[gpr::RCX]) = (2, L1_DATA);
    assert_eq!(rig.insn(b"\x66\x0f\x38\x80\x01"), None);
    rig.cpu.r[gpr::RAX] = 0x55;
    assert_eq!(rig.resume(), 12);
    assert_eq!(rig.read(0x5_1008), 0x55);
}

#[test]
fn ept_misconfiguration_and_fetch() {
    let mut rig = Rig::ready();
    rig.ept();
    rig.ept_entry(0x5_0000, 0x5_0000 | 6 << 3 | 2);
    rig.ept_entry(0x6_0000, 0x6_0000 | 6 << 3 | 3);
    // mov rax, [0x50000]; jmp 0x60000 by rbx
    assert_eq!(rig.launch(b"\x48\x8b\x04\x25\x00\x00\x05\x00\xff\xe3"), 49);
    assert_eq!(rig.field(Field::GUEST_PHYSICAL_ADDRESS), 0x5_0000);
    rig.set(Field::GUEST_RIP, L2_CODE + 8);
    rig.cpu.r[gpr::RBX] = 0x6_0000;
    rig.cpu.r[gpr::RAX] = 0;
    assert_eq!(rig.resume(), 48);
    assert_eq!(rig.qualification() & 0x1ff, 0x19c, "fetch, readable and writable");
    assert_eq!(rig.field(Field::GUEST_RIP), 0x6_0000);
}

#[test]
fn ept_violation_during_delivery() {
    let mut rig = Rig::ready();
    rig.ept();
    rig.gate(0x80, L2_CODE + 0x100);
    // The stack's page is gone.
    rig.ept_entry(L2_STACK - 0x1000, 0);
    assert_eq!(rig.launch(b"\xcd\x80"), 48);
    assert_eq!(
        rig.field(Field::IDT_VECTORING_INFO_FIELD),
        u64::from(IntrInfo::new(Kind::SOFTWARE_INTERRUPT, 0x80, false).0)
    );
    assert_eq!(rig.field(Field::VM_EXIT_INSTRUCTION_LEN), 2);
    assert_eq!(rig.field(Field::GUEST_RIP), L2_CODE);
}

#[test]
fn monitor_trap_flag() {
    let mut rig = Rig::ready();
    rig.control(Field::CPU_BASED_VM_EXEC_CONTROL, Proc::MONITOR_TRAP_FLAG);
    assert_eq!(rig.launch(b"\x90\x90\xeb\xfc"), 37);
    assert_eq!(rig.field(Field::GUEST_RIP), L2_CODE + 1);
    assert_eq!(rig.resume(), 37);
    assert_eq!(rig.resume(), 37);
    assert_eq!(rig.field(Field::GUEST_RIP), L2_CODE);
    // With an injected event it comes before the handler's first instruction.
    rig.gate(0x80, L2_CODE + 0x100);
    rig.set(Field::VM_ENTRY_INTR_INFO_FIELD, IntrInfo::new(Kind::SOFTWARE_INTERRUPT, 0x80, false).0.into());
    rig.set(Field::VM_ENTRY_INSTRUCTION_LEN, 2);
    assert_eq!(rig.resume(), 37);
    assert_eq!(rig.field(Field::GUEST_RIP), L2_CODE + 0x100);
}

#[test]
fn monitor_trap_flag_in_repeated_instructions() {
    const RCX: usize = gpr::RCX;
    // rep stosb; rep outsb; repne scasb, which finds what it looks for
    for (bytes, count, left) in [(b"\xf3\xaa", 3, 0), (b"\xf3\x6e", 2, 0), (b"\xf2\xae", 3, 2)] {
        let mut rig = Rig::ready();
        rig.control(Field::CPU_BASED_VM_EXEC_CONTROL, Proc::MONITOR_TRAP_FLAG);
        (rig.cpu.r[RCX], rig.cpu.r[gpr::RDI], rig.cpu.r[gpr::RSI]) = (count, L1_DATA, L1_DATA);
        rig.cpu.r[gpr::RAX] = 0;
        assert_eq!(rig.launch(bytes), 37);
        assert_eq!(rig.cpu.r[RCX], count - 1);
        while rig.cpu.r[RCX] > left {
            assert_eq!(rig.field(Field::GUEST_RIP), L2_CODE);
            let before = rig.cpu.r[RCX];
            assert_eq!(rig.resume(), 37);
            assert_eq!(rig.cpu.r[RCX], before - 1);
        }
        assert_eq!((rig.field(Field::GUEST_RIP), rig.cpu.r[RCX]), (L2_CODE + 2, left));
    }
}

#[test]
fn pending_mtf_exit() {
    let mut rig = Rig::ready();
    rig.set(Field::VM_ENTRY_INTR_INFO_FIELD, IntrInfo::new(Kind::OTHER, 0, false).0.into());
    assert_eq!(rig.launch(b"\x90"), 37);
    assert_eq!(rig.field(Field::GUEST_RIP), L2_CODE);
}

#[test]
fn preemption_timer() {
    let mut rig = Rig::ready();
    rig.control(Field::PIN_BASED_VM_EXEC_CONTROL, Pin::VMX_PREEMPTION_TIMER);
    rig.set(Field::VMX_PREEMPTION_TIMER_VALUE, 25);
    // inc rax; jmp back
    rig.cpu.r[gpr::RAX] = 0;
    rig.write(L2_CODE, b"\x48\xff\xc0\xeb\xfb");
    let before = rig.cpu.retired();
    assert_eq!(rig.enter(INSN_VMLAUNCH), 52);
    let ran = rig.cpu.retired() - before;
    // 25 ticks of 4 instructions; the first tick may have begun before the entry.
    assert!((96..=102).contains(&ran), "{ran}");
    assert_eq!(rig.field(Field::VMX_PREEMPTION_TIMER_VALUE), 25, "not saved");
    rig.control(Field::VM_EXIT_CONTROLS, Exit::SAVE_VMX_PREEMPTION_TIMER);
    assert_eq!(rig.resume(), 52);
    assert_eq!(rig.field(Field::VMX_PREEMPTION_TIMER_VALUE), 0);
    let rip = rig.field(Field::GUEST_RIP);
    assert_eq!(rig.resume(), 52, "a timer of 0 exits before the first instruction");
    assert_eq!(rig.field(Field::GUEST_RIP), rip);
    rig.set(Field::VMX_PREEMPTION_TIMER_VALUE, 1000);
    rig.write(L2_CODE, b"\xf4\xf4\xf4\xf4\xf4");
    assert_eq!(rig.resume(), 12);
    assert!((990..=1000).contains(&rig.field(Field::VMX_PREEMPTION_TIMER_VALUE)));
}

#[test]
fn preemption_timer_wakes_a_halted_guest() {
    let mut rig = Rig::ready();
    rig.set(Field::CPU_BASED_VM_EXEC_CONTROL, 0);
    rig.control(Field::PIN_BASED_VM_EXEC_CONTROL, Pin::VMX_PREEMPTION_TIMER);
    rig.set(Field::VMX_PREEMPTION_TIMER_VALUE, 100);
    assert_eq!(rig.launch(b"\xf4"), 52);
    assert_eq!(rig.field(Field::GUEST_ACTIVITY_STATE), 1);
    assert_eq!(rig.field(Field::GUEST_RIP), L2_CODE + 1);
}

#[test]
fn interrupt_window() {
    let mut rig = Rig::ready();
    rig.control(Field::CPU_BASED_VM_EXEC_CONTROL, Proc::INTR_WINDOW_EXITING);
    // sti; nop; nop; hlt: the window opens behind the instruction after STI.
    assert_eq!(rig.launch(b"\xfb\x90\x90\xf4"), 7);
    assert_eq!(rig.field(Field::GUEST_RIP), L2_CODE + 2);
    assert_eq!(rig.resume(), 7);
    assert_eq!(rig.field(Field::GUEST_RIP), L2_CODE + 2);
}

#[test]
fn nmi_window_opens_with_iret() {
    let mut rig = Rig::ready();
    rig.control(Field::PIN_BASED_VM_EXEC_CONTROL, Pin::NMI_EXITING | Pin::VIRTUAL_NMIS);
    rig.control(Field::CPU_BASED_VM_EXEC_CONTROL, Proc::NMI_WINDOW_EXITING);
    rig.set(Field::GUEST_INTERRUPTIBILITY_INFO, 8);
    let frame = L2_STACK - 40;
    rig.set(Field::GUEST_RSP, frame);
    for (n, value) in [L2_CODE + 0x80, 8, 2, L2_STACK, 0x10].into_iter().enumerate() {
        rig.write(frame + 8 * n as u64, &value.to_le_bytes());
    }
    rig.write(L2_GDT + 0x10, &0x00cf_9300_0000_ffff_u64.to_le_bytes());
    // nop; iretq
    assert_eq!(rig.launch(b"\x90\x48\xcf"), 8);
    assert_eq!(rig.field(Field::GUEST_RIP), L2_CODE + 0x80);
    assert_eq!(rig.field(Field::GUEST_INTERRUPTIBILITY_INFO), 0);
}

#[test]
fn external_interrupts() {
    for (ack, info) in [(false, 0), (true, 0x8000_0055)] {
        let mut rig = Rig::ready();
        rig.control(Field::PIN_BASED_VM_EXEC_CONTROL, Pin::EXT_INTR_EXITING);
        if ack {
            rig.control(Field::VM_EXIT_CONTROLS, Exit::ACK_INTR_ON_EXIT);
        }
        rig.cpu.interrupt(0x55);
        assert_eq!(rig.launch(b"\xeb\xfe"), 1, "whatever RFLAGS.IF is");
        assert_eq!(rig.field(Field::VM_EXIT_INTR_INFO), info);
        assert_eq!(rig.cpu.intr_pending.is_some(), !ack);
    }
}

#[test]
fn nmis() {
    let mut rig = Rig::ready();
    rig.control(Field::PIN_BASED_VM_EXEC_CONTROL, Pin::NMI_EXITING);
    // L1 itself cannot take it.
    rig.cpu.blocking = 8;
    rig.cpu.signal_nmi();
    assert_eq!(rig.launch(b"\xeb\xfe"), 0);
    assert_eq!(rig.field(Field::VM_EXIT_INTR_INFO), u64::from(IntrInfo::new(Kind::NMI, 2, false).0));
    assert_eq!(rig.cpu.blocking, 8);
}

#[test]
fn control_registers() {
    let mut rig = Rig::ready();
    rig.set(Field::CR0_GUEST_HOST_MASK, cr0::TS | cr0::WP);
    rig.set(Field::CR0_READ_SHADOW, cr0::WP);
    rig.set(Field::CR4_GUEST_HOST_MASK, cr4::VMXE);
    // mov rbx, cr0; mov cr0, rbx; mov rdx, cr4; hlt
    assert_eq!(rig.launch(b"\x0f\x20\xc3\x0f\x22\xc3\x0f\x20\xe2\xf4"), 12);
    let real = rig.field(Field::GUEST_CR0);
    assert_eq!(rig.cpu.r[gpr::RBX], real | cr0::WP);
    assert_eq!(real & cr0::WP, 0, "the host's bit stays");
    assert_eq!(rig.cpu.r[gpr::RDX] & cr4::VMXE, 0);
    // or ebx, 8 (TS); mov cr0, rbx
    rig.write(L2_CODE + 0x10, b"\x83\xcb\x08\x0f\x22\xc3");
    rig.set(Field::GUEST_RIP, L2_CODE + 0x10);
    assert_eq!(rig.resume(), 28);
    assert_eq!(rig.qualification(), 3 << 8);
    // clts with TS in the shadow
    rig.set(Field::CR0_READ_SHADOW, cr0::TS);
    rig.write(L2_CODE + 0x20, b"\x0f\x06");
    rig.set(Field::GUEST_RIP, L2_CODE + 0x20);
    assert_eq!(rig.resume(), 28);
    assert_eq!(rig.qualification(), 2 << 4);
    // mov cr3, rax: a target, then not one
    rig.control(Field::CPU_BASED_VM_EXEC_CONTROL, Proc::CR3_LOAD_EXITING);
    rig.set(Field::CR3_TARGET_COUNT, 1);
    rig.set(Field::CR3_TARGET_VALUE0, PML4);
    rig.write(L2_CODE + 0x30, b"\x0f\x22\xd8\xff\xc0\x0f\x22\xd8");
    rig.set(Field::GUEST_RIP, L2_CODE + 0x30);
    rig.cpu.r[gpr::RAX] = PML4;
    assert_eq!(rig.resume(), 28);
    assert_eq!(rig.field(Field::GUEST_RIP), L2_CODE + 0x35);
    assert_eq!(rig.qualification(), 3);
}

#[test]
fn io_and_msr_bitmaps() {
    let mut rig = Rig::ready();
    let (a, b, msr) = (BITMAPS, BITMAPS + 0x1000, BITMAPS + 0x2000);
    rig.control(Field::CPU_BASED_VM_EXEC_CONTROL, Proc::USE_IO_BITMAPS | Proc::USE_MSR_BITMAPS);
    rig.set(Field::IO_BITMAP_A, a);
    rig.set(Field::IO_BITMAP_B, b);
    rig.set(Field::MSR_BITMAP, msr);
    // Port 0x83 only.
    rig.write(a + 0x83 / 8, &[1 << (0x83 % 8)]);
    // out 0x80, al; out 0x80, eax (four ports)
    assert_eq!(rig.launch(b"\xe6\x80\xe7\x80"), 30);
    assert_eq!(rig.field(Field::GUEST_RIP), L2_CODE + 2);
    assert_eq!(rig.qualification(), 3 | 1 << 6 | 0x80 << 16);
    // in ax, dx at 0xffff wraps around
    rig.write(L2_CODE + 0x10, b"\x66\xed");
    rig.set(Field::GUEST_RIP, L2_CODE + 0x10);
    rig.cpu.r[gpr::RDX] = 0xffff;
    assert_eq!(rig.resume(), 30);
    assert_eq!(rig.qualification(), 1 | 1 << 3 | 0xffff << 16);
    // rdmsr of LSTAR with its bit clear, wrmsr with its bit set, rdmsr outside the bitmaps
    rig.write(msr + 2048 + 1024 + 0x82 / 8, &[1 << (0x82 % 8)]);
    rig.write(L2_CODE + 0x20, b"\x0f\x32\x0f\x30");
    rig.set(Field::GUEST_RIP, L2_CODE + 0x20);
    rig.cpu.r[gpr::RCX] = 0xc000_0082;
    assert_eq!(rig.resume(), 32);
    rig.set(Field::GUEST_RIP, L2_CODE + 0x20);
    rig.cpu.r[gpr::RCX] = 0x4000_0000;
    assert_eq!(rig.resume(), 31);
}

#[test]
fn vmx_instructions_in_l2() {
    // vmclear [rax + rcx * 4 + 0x12]
    let mut rig = Rig::ready();
    rig.set(Field::GUEST_CR4, rig.cpu.cr4 | cr4::OSXSAVE);
    assert_eq!(rig.launch(b"\x66\x0f\xc7\x74\x88\x12"), 19);
    assert_eq!(rig.qualification(), 0x12);
    let info = 2 | 2 << 7 | 3 << 15 | 1 << 18;
    assert_eq!(rig.field(Field::VMX_INSTRUCTION_INFO), info);
    for (code, reason, info) in [
        (b"\x0f\x78\xc3".as_slice(), 23, Some(1 << 10 | 3 << 3)),
        (b"\x0f\x79\xc3", 25, Some(1 << 10 | 3 << 3)),
        (b"\x0f\x01\xc1", 18, None),
        (b"\x0f\x01\xc2", 20, None),
        (b"\x0f\x01\xc3", 24, None),
        (b"\x0f\x01\xc4", 26, None),
        (b"\x66\x0f\x38\x80\x01", 50, None),
        (b"\x0f\xa2", 10, None),
        (b"\x0f\x01\xd1", 55, None),
        (b"\x0f\x08", 13, None),
    ] {
        rig.write(L2_CODE, code);
        rig.set(Field::GUEST_RIP, L2_CODE);
        assert_eq!(rig.resume(), reason);
        assert_eq!(rig.field(Field::VM_EXIT_INSTRUCTION_LEN), code.len() as u64);
        if let Some(info) = info {
            assert_eq!(rig.field(Field::VMX_INSTRUCTION_INFO), info);
        }
    }
}

#[test]
fn shadow_vmcs() {
    let mut rig = Rig::ready();
    rig.write(VMCS2, &(REVISION | 1 << 31).to_le_bytes());
    assert_eq!(rig.vmptrld(VMCS2), 0);
    rig.set(Field::GUEST_RIP, 0x4242);
    assert_eq!(rig.vmptrld(VMCS), 0);
    rig.proc2(Proc2::SHADOW_VMCS);
    rig.set(Field::VMCS_LINK_POINTER, VMCS2);
    rig.set(Field::VMREAD_BITMAP, BITMAPS);
    rig.set(Field::VMWRITE_BITMAP, BITMAPS + 0x1000);
    // vmread rbx, rax; vmwrite rcx, rbx; vmread rbx, rcx
    rig.write(BITMAPS + (u64::from(Field::GUEST_CR3.encoding())) / 8, &[0xff]);
    rig.cpu.r[gpr::RAX] = Field::GUEST_RIP.encoding().into();
    rig.cpu.r[gpr::RCX] = Field::GUEST_CR3.encoding().into();
    assert_eq!(rig.launch(b"\x0f\x78\xc3\x0f\x79\xcb\x0f\x78\xcb"), 23);
    assert_eq!(rig.field(Field::GUEST_RIP), L2_CODE + 6);
    assert_eq!(rig.cpu.r[gpr::RBX], 0x4242);
    assert_eq!(rig.vmptrld(VMCS2), 0);
    assert_eq!(rig.field(Field::GUEST_CR3), 0x4242);
}

#[test]
fn tpr_shadow() {
    let mut rig = Rig::ready();
    let page = BITMAPS;
    rig.control(Field::CPU_BASED_VM_EXEC_CONTROL, Proc::TPR_SHADOW);
    rig.set(Field::VIRTUAL_APIC_PAGE_ADDR, page);
    rig.set(Field::TPR_THRESHOLD, 4);
    rig.write(page + 0x80, &[0x60]);
    // mov rax, cr8; dec eax; mov cr8, rax; dec eax; dec eax; mov cr8, rax; hlt
    let code = b"\x44\x0f\x20\xc0\xff\xc8\x44\x0f\x22\xc0\xff\xc8\xff\xc8\x44\x0f\x22\xc0\xf4";
    assert_eq!(rig.launch(code), 43);
    assert_eq!(rig.field(Field::GUEST_RIP), L2_CODE + 18);
    assert_eq!(rig.read(page + 0x80), 0x30);
    assert_eq!(rig.cpu.cr8, 0);
}

#[test]
fn instructions_that_a_control_enables() {
    let mut rig = Rig::ready();
    rig.set(Field::EXCEPTION_BITMAP, 1 << vector::UD);
    assert_eq!(rig.launch(b"\x0f\x01\xf9"), 0, "RDTSCP");
    rig.control(Field::CPU_BASED_VM_EXEC_CONTROL, Proc::RDTSC_EXITING);
    rig.proc2(Proc2::ENABLE_RDTSCP);
    assert_eq!(rig.resume(), 51);
}

#[test]
fn tsc_offset() {
    let mut rig = Rig::ready();
    rig.control(Field::CPU_BASED_VM_EXEC_CONTROL, Proc::USE_TSC_OFFSETTING);
    rig.set(Field::TSC_OFFSET, 1 << 40);
    // rdtsc; hlt
    assert_eq!(rig.launch(b"\x0f\x31\xf4"), 12);
    assert_eq!(rig.cpu.r[gpr::RDX], 1 << 8);
}

#[test]
fn vpids_keep_translations_apart() {
    let mut rig = Rig::ready();
    rig.ept();
    rig.proc2(Proc2::ENABLE_VPID);
    rig.set(Field::VIRTUAL_PROCESSOR_ID, 1);
    // Guest-physical 0x50000 is elsewhere: L2 must not see L1's page.
    rig.ept_entry(0x5_0000, 0x5_1000 | 6 << 3 | 7);
    rig.write(0x5_0000, b"L1");
    rig.write(0x5_1000, b"L2");
    // movzx eax, word [0x50000]; hlt; jmp back
    let code = b"\x0f\xb7\x04\x25\x00\x00\x05\x00\xf4\xeb\xf5";
    assert_eq!(rig.launch(code), 12);
    for _ in 0..3 {
        assert_eq!(rig.cpu.r[gpr::RAX], u64::from(u16::from_le_bytes(*b"L2")));
        rig.write(L1_CODE, &code[..8]);
        rig.cpu.rip = L1_CODE;
        assert_eq!(rig.cpu.step_root(2), Stop::Root);
        assert_eq!(rig.cpu.r[gpr::RAX], u64::from(u16::from_le_bytes(*b"L1")));
        assert_eq!(rig.skip(), 12);
    }
}

/// A run of L1's own: CPUID in L2, handled by VMREAD, VMWRITE and VMRESUME.
#[test]
fn exits_in_a_loop() {
    let mut rig = Rig::ready();
    rig.ept();
    rig.proc2(Proc2::ENABLE_VPID);
    rig.set(Field::VIRTUAL_PROCESSOR_ID, 1);
    // cpuid; jmp back
    rig.write(L2_CODE, b"\x0f\xa2\xeb\xfc");
    // mov eax, GUEST_RIP; vmread rbx, rax; add rbx, 2; inc rsi; vmwrite rax, rbx; vmresume
    let mut handler = vec![0xb8];
    handler.extend(Field::GUEST_RIP.encoding().to_le_bytes());
    handler.extend(b"\x0f\x78\xc3\x48\x83\xc3\x02\x48\xff\xc6\x0f\x79\xc3\x0f\x01\xc3");
    rig.write(L1_EXIT, &handler);
    rig.write(L1_CODE, INSN_VMLAUNCH);
    rig.cpu.rip = L1_CODE;
    rig.cpu.r[gpr::RSI] = 0;
    assert_eq!(rig.cpu.run(8_000), Stop::Budget);
    let exits = rig.cpu.r[gpr::RSI];
    assert!((8_000 / 11..=8_000 / 6).contains(&exits), "{exits}");
}

#[test]
fn vmx_abort() {
    let mut rig = Rig::ready();
    rig.set(Field::VM_EXIT_MSR_LOAD_ADDR, L1_DATA + 0x100);
    rig.set(Field::VM_EXIT_MSR_LOAD_COUNT, 1);
    rig.write(L1_DATA + 0x100, &0xc000_0100_u64.to_le_bytes());
    rig.write(L2_CODE, b"\xf4");
    rig.write(L1_CODE, INSN_VMLAUNCH);
    rig.cpu.rip = L1_CODE;
    assert_eq!(rig.cpu.run(1000), Stop::Shutdown);
    assert_eq!(rig.read(VMCS) >> 32, 4, "the VMX-abort indicator");
}

#[test]
fn an_ept_root_at_address_0() {
    let mut rig = Rig::ready();
    rig.ept();
    let root = rig.read(EPT);
    rig.write(0, &root.to_le_bytes());
    rig.set(Field::EPT_POINTER, 6 | 3 << 3);
    rig.proc2(Proc2::ENABLE_VPID);
    rig.set(Field::VIRTUAL_PROCESSOR_ID, 1);
    rig.ept_entry(0x5_0000, 0);
    assert_eq!(rig.launch(b"\xa1\x00\x00\x05\x00\x00\x00\x00\x00\xf4"), 48);
}

#[test]
fn xsaves_and_user_waits() {
    use crate::{CpuidLeaf, exec::feature};
    let mut rig = Rig::ready();
    let leaf = |leaf, subleaf, regs| CpuidLeaf { leaf, subleaf: Some(subleaf), regs };
    let cpuid =
        vec![leaf(7, 0, [0, 0, 1 << 5, 0]), leaf(0xd, 0, [3, 0, 576, 0]), leaf(0xd, 1, [0xb, 0, 0x100, 0])];
    let profile = Profile { cpuid, ..Profile::clone(&rig.cpu.profile) };
    rig.cpu.features = feature::Features::of(&profile);
    rig.cpu.profile = Arc::new(profile);
    let cr4 = rig.cpu.cr4 | cr4::OSXSAVE;
    rig.set(Field::GUEST_CR4, cr4);
    rig.set(Field::EXCEPTION_BITMAP, 1 << vector::UD);
    // XSAVES [RBX]; TPAUSE ECX: invalid without the controls that enable them.
    assert_eq!(rig.launch(b"\x0f\xc7\x2b\x66\x0f\xae\xf1\xf4"), 0);
    rig.set(Field::GUEST_RIP, L2_CODE + 3);
    assert_eq!(rig.resume(), 0);
    rig.proc2(Proc2::ENABLE_XSAVES | Proc2::ENABLE_USR_WAIT_PAUSE);
    rig.control(Field::CPU_BASED_VM_EXEC_CONTROL, Proc::RDTSC_EXITING);
    rig.set(Field::XSS_EXIT_BITMAP, 0x100);
    rig.set(Field::GUEST_RIP, L2_CODE);
    rig.cpu.msr.xss = 0x100;
    (rig.cpu.r[gpr::RAX], rig.cpu.r[gpr::RDX], rig.cpu.r[gpr::RBX]) = (0x101, 0, L1_DATA);
    assert_eq!(rig.resume(), 63);
    // [RBX] with 64-bit addresses in DS, without an index.
    let information = 2 << 7 | 3 << 15 | 1 << 22 | 3 << 23;
    assert_eq!((rig.field(Field::VMX_INSTRUCTION_INFO), rig.qualification()), (information, 0));
    // None of the components asked for is in the bitmap: it saves.
    (rig.cpu.r[gpr::RAX], rig.cpu.r[gpr::RDX], rig.cpu.r[gpr::RBX], rig.cpu.r[gpr::RCX]) = (1, 0, L1_DATA, 0);
    assert_eq!(rig.resume(), 68);
    assert_eq!(rig.read(L1_DATA + 520), 1 << 63 | 1);
    assert_eq!(rig.field(Field::GUEST_RIP), L2_CODE + 3);
    // TPAUSE of ECX.
    assert_eq!(rig.field(Field::VMX_INSTRUCTION_INFO) >> 3 & 15, 1);
}
