//! APIC virtualization: the APIC-access page, x2APIC MSRs, virtual and posted interrupts.

use super::*;

const VAPIC: u64 = 0x5_0000;
const APIC: u64 = 0x5_1000;
const DESCRIPTOR: u64 = 0x5_2000;
const HANDLER: u64 = 0x2_1000;
const VECTOR: u8 = 0x61;

/// MOV EAX from an address.
fn load(at: u64) -> Vec<u8> {
    [b"\x8b\x04\x25", (at as u32).to_le_bytes().as_slice()].concat()
}

/// MOV EAX to an address.
fn store(at: u64) -> Vec<u8> {
    [b"\x89\x04\x25", (at as u32).to_le_bytes().as_slice()].concat()
}

fn halted(code: &[u8]) -> Vec<u8> {
    [code, b"\xf4"].concat()
}

impl Rig {
    fn apic(controls: u64) -> Self {
        let mut rig = Self::ready();
        rig.proc2(controls);
        rig.control(Field::CPU_BASED_VM_EXEC_CONTROL, Proc::TPR_SHADOW);
        rig.set(Field::VIRTUAL_APIC_PAGE_ADDR, VAPIC);
        rig.set(Field::APIC_ACCESS_ADDR, APIC);
        rig
    }

    /// With virtual-interrupt delivery, and a handler that halts.
    fn virtual_interrupts(controls: u64) -> Self {
        let mut rig = Self::apic(controls | Proc2::VIRTUAL_INTR_DELIVERY);
        rig.control(Field::PIN_BASED_VM_EXEC_CONTROL, Pin::EXT_INTR_EXITING);
        rig.gate(u64::from(VECTOR), HANDLER);
        rig.write(HANDLER, b"\xf4");
        rig
    }

    fn register(&self, at: u64) -> u32 {
        self.read(VAPIC + at) as u32
    }

    fn set_register(&mut self, at: u64, value: u32) {
        self.write(VAPIC + at, &value.to_le_bytes());
    }

    fn access(&self) -> (u64, u64) {
        (self.field(Field::VM_EXIT_REASON), self.field(Field::EXIT_QUALIFICATION))
    }
}

#[test]
fn without_tpr_shadow_every_access_to_the_page_exits() {
    for (code, kind) in
        [(load(APIC + 0x80), 0), (store(APIC + 0x80), 1), (b"\xe9\xfb\x0f\x03\x00".to_vec(), 2)]
    {
        let mut rig = Rig::ready();
        rig.proc2(Proc2::VIRTUALIZE_APIC_ACCESSES);
        rig.set(Field::APIC_ACCESS_ADDR, APIC);
        assert_eq!(rig.launch(&code), 44, "{code:x?}");
        let offset = if kind == 2 { 0 } else { 0x80 };
        assert_eq!(rig.field(Field::EXIT_QUALIFICATION), offset | kind << 12);
        let rip = if kind == 2 { APIC } else { L2_CODE };
        assert_eq!(rig.field(Field::GUEST_RIP), rip);
    }
}

#[test]
fn the_tpr_shadow_virtualizes_the_tpr_only() {
    let mut rig = Rig::apic(Proc2::VIRTUALIZE_APIC_ACCESSES);
    rig.set_register(0x80, 0x35);
    assert_eq!(rig.launch(&[load(APIC + 0x80), load(APIC + 0x20)].concat()), 44);
    assert_eq!(rig.cpu.r[gpr::RAX], 0x35);
    assert_eq!(rig.access(), (44, 0x20));
    for (code, qualification) in [
        // mov rax, [APIC + 0x80]: more than 32 bits.
        (b"\x48\x8b\x04\x25\x80\x10\x05\x00".to_vec(), 0x80),
        (load(APIC + 0x82), 0x82),
        (store(APIC + 0xb0), 0x10b0),
    ] {
        let mut rig = Rig::apic(Proc2::VIRTUALIZE_APIC_ACCESSES);
        assert_eq!(rig.launch(&code), 44);
        assert_eq!(rig.access(), (44, qualification));
    }
}

#[test]
fn a_write_to_the_tpr_below_the_threshold_exits_behind_it() {
    let mut rig = Rig::apic(Proc2::VIRTUALIZE_APIC_ACCESSES);
    rig.set(Field::TPR_THRESHOLD, 4);
    rig.set_register(0x80, 0x50);
    rig.cpu.r[gpr::RAX] = 0xabcd_ef3f;
    assert_eq!(rig.launch(&halted(&store(APIC + 0x80))), 43);
    assert_eq!(rig.field(Field::GUEST_RIP), L2_CODE + 7);
    assert_eq!(rig.register(0x80), 0x3f, "bytes 3:1 are cleared");
    rig.set_register(0x80, 0x50);
    rig.set(Field::GUEST_RIP, L2_CODE);
    rig.cpu.r[gpr::RAX] = 0x40;
    assert_eq!(rig.resume(), 12);
    // Below the threshold at the start already.
    rig.set_register(0x80, 0x30);
    rig.set(Field::GUEST_RIP, L2_CODE);
    assert_eq!(rig.resume(), 43);
    assert_eq!(rig.field(Field::GUEST_RIP), L2_CODE);
}

#[test]
fn register_virtualization_reads_and_reports_writes() {
    let mut rig = Rig::apic(Proc2::VIRTUALIZE_APIC_ACCESSES | Proc2::APIC_REGISTER_VIRT);
    rig.set_register(0x30, 0x55);
    rig.cpu.r[gpr::RAX] = 0x1ff;
    let code = [store(APIC + 0xf0), load(APIC + 0x30), load(APIC + 0xa0)].concat();
    assert_eq!(rig.launch(&code), 56);
    assert_eq!(rig.access(), (56, 0xf0));
    assert_eq!((rig.register(0xf0), rig.field(Field::GUEST_RIP)), (0x1ff, L2_CODE + 7));
    assert_eq!(rig.resume(), 44);
    assert_eq!(rig.cpu.r[gpr::RAX], 0x55);
    assert_eq!(rig.access(), (44, 0xa0));
    // The high half of the ICR is the destination only.
    let mut rig = Rig::apic(Proc2::VIRTUALIZE_APIC_ACCESSES | Proc2::APIC_REGISTER_VIRT);
    rig.cpu.r[gpr::RAX] = 0x1234_5678;
    assert_eq!(rig.launch(&halted(&store(APIC + 0x310))), 12);
    assert_eq!(rig.register(0x310), 0x1200_0000);
    assert_eq!(rig.read(APIC + 0x310), 0);
}

#[test]
fn virtual_interrupts_are_delivered_by_priority() {
    for (rvi, tpr, svi, if_, delivered) in [
        (VECTOR, 0, 0, true, true),
        (VECTOR, 0x60, 0, true, false),
        (VECTOR, 0x50, 0, true, true),
        (VECTOR, 0, 0x62, true, false),
        (VECTOR, 0, 0, false, false),
    ] {
        let mut rig = Rig::virtual_interrupts(0);
        rig.set(Field::GUEST_INTR_STATUS, u64::from(rvi) | svi << 8);
        rig.set_register(0x80, tpr);
        rig.set_register(0x230, 1 << (rvi & 31));
        rig.set_register(0x210, 1 << 3);
        rig.set(Field::GUEST_RFLAGS, if if_ { 0x202 } else { 2 });
        assert_eq!(rig.launch(b"\x90\xf4"), 12);
        let rip = if delivered { HANDLER } else { L2_CODE + 1 };
        assert_eq!(rig.field(Field::GUEST_RIP), rip, "{rvi:#x} {tpr:#x} {svi:#x} {if_}");
        if delivered {
            assert_eq!(rig.field(Field::GUEST_INTR_STATUS), u64::from(VECTOR) << 8 | 0x23);
            assert_eq!((rig.register(0x130), rig.register(0x230)), (1 << (VECTOR & 31), 0));
            assert_eq!(rig.register(0xa0), 0x60);
        }
    }
}

#[test]
fn a_virtual_interrupt_wakes_the_processor() {
    let mut rig = Rig::virtual_interrupts(0);
    rig.set(Field::GUEST_INTR_STATUS, u64::from(VECTOR));
    rig.set(Field::GUEST_RFLAGS, 0x202);
    rig.set(Field::GUEST_ACTIVITY_STATE, 1);
    assert_eq!(rig.launch(b"\x90"), 12);
    assert_eq!(rig.field(Field::GUEST_RIP), HANDLER);
    // STI holds it up by one instruction.
    let mut rig = Rig::virtual_interrupts(0);
    rig.set(Field::GUEST_INTR_STATUS, u64::from(VECTOR));
    rig.write(HANDLER, b"\x58\xf4");
    assert_eq!(rig.launch(b"\xfb\x90\xf4"), 12);
    assert_eq!(rig.cpu.r[gpr::RAX], L2_CODE + 2);
}

#[test]
fn an_eoi_takes_the_next_or_exits() {
    let code = halted(&[store(APIC + 0xb0), b"\xfb\x90".to_vec()].concat());
    let mut rig = Rig::virtual_interrupts(Proc2::VIRTUALIZE_APIC_ACCESSES);
    rig.set(Field::GUEST_INTR_STATUS, 0x8561);
    rig.set_register(0x130, 1 << 2);
    rig.set_register(0x140, 1 << 5);
    rig.set(Field::EOI_EXIT_BITMAP2, 1 << 5);
    assert_eq!(rig.launch(&code), 45);
    assert_eq!(rig.access(), (45, 0x85));
    assert_eq!(rig.field(Field::GUEST_RIP), L2_CODE + 7);
    assert_eq!(rig.field(Field::GUEST_INTR_STATUS), 0x6261, "the next in service");
    assert_eq!((rig.register(0x140), rig.register(0xa0), rig.register(0xb0)), (0, 0x60, 0));
    // Without the bit, and nothing in service behind it: the pending one is delivered after STI.
    let mut rig = Rig::virtual_interrupts(Proc2::VIRTUALIZE_APIC_ACCESSES);
    rig.set(Field::GUEST_INTR_STATUS, 0x8561);
    rig.set_register(0x140, 1 << 5);
    assert_eq!(rig.launch(&code), 12);
    assert_eq!(rig.field(Field::GUEST_RIP), HANDLER);
}

#[test]
fn self_ipis() {
    // A shorthand of self is virtual; a destination or an illegal vector is the host's.
    for (icr, reason) in [(0x4_0061, 12), (0x4_0005, 56), (0x61, 56), (0x4_8061, 56), (0x4_1061, 56)] {
        let mut rig = Rig::virtual_interrupts(Proc2::VIRTUALIZE_APIC_ACCESSES);
        rig.set(Field::GUEST_RFLAGS, 0x202);
        rig.cpu.r[gpr::RAX] = icr;
        assert_eq!(rig.launch(&halted(&store(APIC + 0x300))), reason, "{icr:#x}");
        if reason == 12 {
            assert_eq!(rig.field(Field::GUEST_RIP), HANDLER);
        } else {
            assert_eq!(rig.access(), (56, 0x300));
        }
    }
}

#[test]
fn x2apic_msrs() {
    const RDMSR: &[u8] = b"\x0f\x32\xf4";
    const WRMSR: &[u8] = b"\x0f\x30\xf4";
    let x2apic = Proc2::VIRTUALIZE_X2APIC_MODE;
    let run = |controls, ecx, eax, code: &[u8]| {
        let mut rig = Rig::virtual_interrupts(controls);
        rig.control(Field::CPU_BASED_VM_EXEC_CONTROL, Proc::USE_MSR_BITMAPS);
        rig.set(Field::MSR_BITMAP, BITMAPS);
        rig.set(Field::GUEST_RFLAGS, 0x202);
        rig.set(Field::EXCEPTION_BITMAP, 1 << 13);
        rig.set_register(0x80, 0x44);
        rig.set_register(0x20, 7);
        (rig.cpu.r[gpr::RCX], rig.cpu.r[gpr::RAX], rig.cpu.r[gpr::RDX]) = (ecx, eax, 0);
        let reason = rig.launch(code);
        (rig, reason)
    };
    let (rig, reason) = run(x2apic, 0x808, 0, RDMSR);
    assert_eq!((reason, rig.cpu.r[gpr::RAX]), (12, 0x44));
    let (_, reason) = run(x2apic, 0x802, 0, RDMSR);
    assert_eq!(reason, 0, "no MSR: #GP");
    let (rig, reason) = run(x2apic | Proc2::APIC_REGISTER_VIRT, 0x802, 0, RDMSR);
    assert_eq!((reason, rig.cpu.r[gpr::RAX]), (12, 7));
    let (rig, reason) = run(x2apic, 0x808, 0x70, WRMSR);
    assert_eq!((reason, rig.register(0x80), rig.register(0xa0)), (12, 0x70, 0x70));
    assert_eq!(run(x2apic, 0x808, 0x100, WRMSR).1, 0, "reserved bits: #GP");
    assert_eq!(run(x2apic, 0x80b, 1, WRMSR).1, 0);
    assert_eq!(run(x2apic, 0x80b, 0, WRMSR).1, 12);
    let (rig, reason) = run(x2apic, 0x83f, 0x61, WRMSR);
    assert_eq!((reason, rig.field(Field::GUEST_RIP)), (12, HANDLER));
    let (rig, reason) = run(x2apic, 0x83f, 5, WRMSR);
    assert_eq!((reason, rig.access()), (56, (56, 0x3f0)));
    assert_eq!(run(0, 0x808, 0, RDMSR).1, 0, "not virtualized: #GP");
}

#[test]
fn posted_interrupts() {
    let start = || {
        let mut rig = Rig::virtual_interrupts(0);
        rig.control(Field::PIN_BASED_VM_EXEC_CONTROL, Pin::POSTED_INTR);
        rig.control(Field::VM_EXIT_CONTROLS, Exit::ACK_INTR_ON_EXIT);
        rig.set(Field::POSTED_INTR_NV, 0xf2);
        rig.set(Field::POSTED_INTR_DESC_ADDR, DESCRIPTOR);
        rig.write(DESCRIPTOR + 12, &(1u32 << (VECTOR & 31) | 1).to_le_bytes());
        rig.write(DESCRIPTOR + 32, &0x00f2_0001_u32.to_le_bytes());
        rig
    };
    for rflags in [0x202, 2] {
        let mut rig = start();
        rig.set(Field::GUEST_RFLAGS, rflags);
        rig.cpu.interrupt(0xf2);
        assert_eq!(rig.launch(b"\x90\xf4"), 12);
        let open = rflags & rflags::IF != 0;
        assert_eq!(rig.field(Field::GUEST_RIP), if open { HANDLER } else { L2_CODE + 1 });
        assert_eq!(rig.field(Field::GUEST_INTR_STATUS), if open { 0x6160 } else { 0x61 });
        assert_eq!((rig.read(DESCRIPTOR + 12) as u32, rig.read(DESCRIPTOR + 32)), (0, 0x00f2_0000));
        assert_eq!(rig.register(0x230), if open { 1 } else { 3 });
    }
    let mut rig = start();
    rig.cpu.interrupt(0xf1);
    assert_eq!(rig.launch(b"\x90\xf4"), 1);
    assert_eq!(rig.field(Field::VM_EXIT_INTR_INFO), 1 << 31 | 0xf1);
    assert_eq!(rig.read(DESCRIPTOR + 32), 0x00f2_0001);
}

#[test]
fn ipi_virtualization() {
    const TABLE: u64 = 0x5_3000;
    let start = |valid: u64| {
        let mut rig = Rig::virtual_interrupts(Proc2::VIRTUALIZE_APIC_ACCESSES);
        rig.control(Field::PIN_BASED_VM_EXEC_CONTROL, Pin::POSTED_INTR);
        rig.control(Field::VM_EXIT_CONTROLS, Exit::ACK_INTR_ON_EXIT);
        rig.control(Field::CPU_BASED_VM_EXEC_CONTROL, Proc::ACTIVATE_TERTIARY_CONTROLS);
        rig.control(Field::TERTIARY_VM_EXEC_CONTROL, Proc3::IPI_VIRT);
        rig.set(Field::POSTED_INTR_NV, 0xf2);
        rig.set(Field::POSTED_INTR_DESC_ADDR, DESCRIPTOR);
        rig.set(Field::PID_POINTER_TABLE, TABLE);
        rig.set(Field::LAST_PID_POINTER_INDEX, 1);
        rig.write(TABLE + 8, &(DESCRIPTOR | valid).to_le_bytes());
        rig.write(DESCRIPTOR + 32, &0x00f2_0000_u32.to_le_bytes());
        rig.set(Field::GUEST_RFLAGS, 0x202);
        rig.set_register(0x310, 1 << 24);
        rig.cpu.r[gpr::RAX] = u64::from(VECTOR);
        rig
    };
    let mut rig = start(1);
    assert_eq!(rig.launch(&halted(&store(APIC + 0x300))), 12);
    assert_eq!(rig.field(Field::GUEST_RIP), HANDLER, "the notification comes to this processor");
    let mut rig = start(0);
    assert_eq!(rig.launch(&halted(&store(APIC + 0x300))), 56, "no descriptor");
    let mut rig = start(1);
    rig.set_register(0x310, 2 << 24);
    assert_eq!(rig.launch(&halted(&store(APIC + 0x300))), 56, "beyond the table");
}

#[test]
fn accesses_during_event_delivery_have_kinds_of_their_own() {
    // INT 0x61 with its gate on the page (linear), and with the page tables of the gate there (guest-physical).
    let mut rig = Rig::apic(Proc2::VIRTUALIZE_APIC_ACCESSES);
    rig.set(Field::GUEST_IDTR_BASE, APIC);
    assert_eq!(rig.launch(b"\xcd\x61"), 44);
    assert_eq!(rig.field(Field::EXIT_QUALIFICATION), 3 << 12 | 0x610);
    assert_eq!(rig.field(Field::IDT_VECTORING_INFO_FIELD), 1 << 31 | 4 << 8 | 0x61);
    let mut rig = Rig::apic(Proc2::VIRTUALIZE_APIC_ACCESSES);
    rig.ept();
    rig.ept_entry(PML4, APIC | 6 << 3 | 7);
    assert_eq!(rig.launch(b"\x90"), 44);
    assert_eq!(rig.field(Field::EXIT_QUALIFICATION), 15 << 12);
}
