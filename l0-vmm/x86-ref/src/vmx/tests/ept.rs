//! What EPT does besides translating: the page-modification log, virtualization exceptions, modes of execution, sub-pages,
//! EPTP switching.

use super::*;

const LOG: u64 = 0x5_0000;
const AREA: u64 = 0x5_1000;
const TABLES: u64 = 0x5_4000;
const EPTP_LIST: u64 = 0x5_8000;
const PAGE: u64 = 0x6_0000;
const HANDLER: u64 = 0x2_1000;
const WB: u64 = 6 << 3;
const ALL: u64 = 7;
const EPTP: u64 = EPT | 6 | 3 << 3;
const ACCESSED_DIRTY: u64 = 1 << 6;
const SUPPRESS: u64 = 1 << 63;
/// mov [PAGE + 8], rax; hlt
const WRITE: &[u8] = b"\x48\x89\x04\x25\x08\x00\x06\x00\xf4";

fn with(controls: u64) -> Rig {
    let mut rig = Rig::ready();
    rig.ept();
    rig.proc2(controls);
    rig
}

#[test]
fn the_log_takes_the_pages_that_become_dirty() {
    let mut rig = with(Proc2::ENABLE_PML);
    rig.set(Field::EPT_POINTER, EPTP | ACCESSED_DIRTY);
    rig.set(Field::PML_ADDRESS, LOG);
    rig.set(Field::GUEST_PML_INDEX, 511);
    assert_eq!(rig.launch(WRITE), 12);
    let index = rig.field(Field::GUEST_PML_INDEX);
    let logged: Vec<u64> = (index + 1..=511).map(|n| rig.read(LOG + 8 * n)).collect();
    assert!(logged.contains(&PAGE), "{logged:x?}");
    assert!(
        logged.contains(&PML4),
        "guest paging structures are written, with accessed and dirty flags: {logged:x?}"
    );
    // A page that is dirty is not logged again.
    rig.set(Field::GUEST_RIP, L2_CODE);
    assert_eq!(rig.resume(), 12);
    assert_eq!(rig.field(Field::GUEST_PML_INDEX), index);
}

#[test]
fn a_full_log_exits_before_the_access() {
    let mut rig = with(Proc2::ENABLE_PML);
    rig.set(Field::EPT_POINTER, EPTP | ACCESSED_DIRTY);
    rig.set(Field::PML_ADDRESS, LOG);
    rig.set(Field::GUEST_PML_INDEX, 511);
    assert_eq!(rig.launch(b"\xf4"), 12);
    rig.set(Field::GUEST_PML_INDEX, 0xffff);
    rig.write(L2_CODE, WRITE);
    rig.set(Field::GUEST_RIP, L2_CODE);
    rig.cpu.r[gpr::RAX] = 0x77;
    assert_eq!(rig.resume(), 62);
    assert_eq!((rig.field(Field::GUEST_RIP), rig.field(Field::EXIT_QUALIFICATION)), (L2_CODE, 0));
    assert_eq!((rig.read(PAGE + 8), rig.read(EPT + 0x3000 + (PAGE >> 12) * 8) >> 8 & 3), (0, 0));
    rig.set(Field::GUEST_PML_INDEX, 0);
    rig.cpu.r[gpr::RAX] = 0x77;
    assert_eq!(rig.resume(), 12);
    assert_eq!((rig.field(Field::GUEST_PML_INDEX), rig.read(LOG), rig.read(PAGE + 8)), (0xffff, PAGE, 0x77));
}

#[test]
fn violations_become_exceptions() {
    let start = |entry: u64, busy: u32| {
        let mut rig = with(Proc2::EPT_VIOLATION_VE);
        rig.set(Field::VE_INFORMATION_ADDRESS, AREA);
        rig.set(Field::EPTP_INDEX, 3);
        rig.write(AREA + 4, &busy.to_le_bytes());
        rig.ept_entry(PAGE, entry);
        rig.gate(20, HANDLER);
        rig.write(HANDLER, b"\xf4");
        rig
    };
    for entry in [0, PAGE | WB | 1] {
        let mut rig = start(entry, 0);
        assert_eq!(rig.launch(WRITE), 12);
        assert_eq!(rig.field(Field::GUEST_RIP), HANDLER);
        assert_eq!(rig.read(AREA), 0xffff_ffff_0000_0030);
        assert_eq!(rig.read(AREA + 8) & 0x1ff, 0x182 | (entry & 1) << 3);
        assert_eq!((rig.read(AREA + 16), rig.read(AREA + 24)), (PAGE + 8, PAGE + 8));
        assert_eq!(rig.read(AREA + 32) as u16, 3);
    }
    for (entry, busy) in [(SUPPRESS, 0), (PAGE | WB | 1 | SUPPRESS, 0), (0, 1)] {
        let mut rig = start(entry, busy);
        assert_eq!(rig.launch(WRITE), 48, "{entry:#x} {busy}");
        assert_eq!(rig.read(AREA), u64::from(busy) << 32);
    }
    // A misconfiguration is none, and the exception bitmap has its bit.
    assert_eq!(start(PAGE | 2, 0).launch(WRITE), 49);
    let mut rig = start(0, 0);
    rig.set(Field::EXCEPTION_BITMAP, 1 << 20);
    assert_eq!(rig.launch(WRITE), 0);
    assert_eq!(rig.field(Field::VM_EXIT_INTR_INFO), 1 << 31 | 3 << 8 | 20);
    assert_eq!(rig.read(AREA), 0xffff_ffff_0000_0030);
    // During the delivery of an event it exits.
    let mut rig = start(0, 0);
    rig.set(Field::GUEST_IDTR_BASE, PAGE);
    assert_eq!(rig.launch(b"\xcc"), 48);
    assert_eq!(rig.read(AREA), 0);
}

/// Execute access for user-mode linear addresses.
const USER: u64 = 1 << 10;

/// Mode-based execute control, and tables that leave the decision to the page.
fn with_modes() -> Rig {
    let mut rig = with(Proc2::MODE_BASED_EPT_EXEC);
    for table in [EPT, EPT + 0x1000, EPT + 0x2000] {
        let entry = rig.read(table) | USER;
        rig.write(table, &entry.to_le_bytes());
    }
    rig
}

#[test]
fn execution_by_mode() {
    // jmp PAGE: the page of L1's tables is a supervisor page.
    const JMP: &[u8] = b"\xe9\xfb\xff\x03\x00";
    for (rights, reason, qualification) in
        [(1 | 4, 12, 0), (1 | USER, 48, 0x184 | 1 << 3 | 1 << 6), (1, 48, 0x184 | 1 << 3)]
    {
        let mut rig = with_modes();
        rig.ept_entry(PAGE, PAGE | WB | rights);
        rig.write(PAGE, b"\xf4");
        assert_eq!(rig.launch(JMP), reason, "{rights:#x}");
        if reason == 48 {
            assert_eq!(rig.field(Field::EXIT_QUALIFICATION) & 0x1ff, qualification);
        }
    }
    // User pages go by bit 10.
    for (rights, reason) in [(1 | 4, 48), (1 | USER, 12)] {
        let mut rig = with_modes();
        for (table, entry) in [(PML4, PDPT | 7), (PDPT, PD | 7), (PD, LARGE | 7)] {
            rig.write(table, &entry.to_le_bytes());
        }
        rig.ept_entry(L2_CODE, L2_CODE | WB | ALL | USER);
        rig.ept_entry(PAGE, PAGE | WB | rights);
        rig.write(PAGE, b"\xf4");
        assert_eq!(rig.launch(JMP), reason, "{rights:#x}");
    }
}

#[test]
fn sub_pages() {
    const SUB_PAGE: u64 = 1 << 61;
    let start = |vector: u64| {
        let mut rig = with(Proc2::SPP);
        rig.ept_entry(PAGE, PAGE | WB | 5 | SUB_PAGE);
        rig.set(Field::SPPTP, TABLES);
        for level in 0..3 {
            let next = TABLES + 0x1000 * (level + 1);
            rig.write(TABLES + 0x1000 * level, &(next | 1).to_le_bytes());
        }
        rig.write(TABLES + 0x3000 + (PAGE >> 12) * 8, &vector.to_le_bytes());
        rig
    };
    // Sub-page 0 is writable; the next write is to sub-page 1.
    let both = [&WRITE[..8], b"\x48\x89\x04\x25\x80\x00\x06\x00\xf4"].concat();
    let mut rig = start(1);
    rig.cpu.r[gpr::RAX] = 0x77;
    assert_eq!(rig.launch(&both), 48);
    assert_eq!((rig.read(PAGE + 8), rig.field(Field::GUEST_PHYSICAL_ADDRESS)), (0x77, PAGE + 0x80));
    assert_eq!(start(5).launch(&both), 12);
    // mov [PAGE + 0x7c], rax: both sub-pages.
    const CROSSING: &[u8] = b"\x48\x89\x04\x25\x7c\x00\x06\x00\xf4";
    assert_eq!(start(1).launch(CROSSING), 48);
    assert_eq!(start(5).launch(CROSSING), 12);
    // Reserved bits, and no entry.
    let mut rig = start(2);
    assert_eq!(rig.launch(WRITE), 66);
    assert_eq!(rig.field(Field::EXIT_QUALIFICATION), 0);
    let mut rig = start(1);
    rig.write(TABLES + 0x1000, &0u64.to_le_bytes());
    assert_eq!(rig.launch(WRITE), 66);
    assert_eq!(rig.field(Field::EXIT_QUALIFICATION), 1 << 11);
    assert_eq!(rig.field(Field::GUEST_PHYSICAL_ADDRESS), PAGE + 8);
}

#[test]
fn eptp_switching_reports_its_index() {
    // A second hierarchy, in which PAGE is elsewhere.
    let mut rig = with(Proc2::ENABLE_VMFUNC | Proc2::EPT_VIOLATION_VE | Proc2::ENABLE_VPID);
    rig.set(Field::VIRTUAL_PROCESSOR_ID, 1);
    rig.set(Field::VM_FUNCTION_CONTROL, 1);
    rig.set(Field::EPTP_LIST_ADDRESS, EPTP_LIST);
    rig.set(Field::VE_INFORMATION_ADDRESS, AREA);
    let copy = EPT + 0x8000;
    rig.write(copy, &((copy + 0x1000) | ALL).to_le_bytes());
    rig.write(copy + 0x1000, &((copy + 0x2000) | ALL).to_le_bytes());
    rig.write(copy + 0x2000, &((copy + 0x3000) | ALL).to_le_bytes());
    for page in 0..512 {
        let to = if page == PAGE >> 12 { PAGE + 0x1000 } else { page << 12 };
        rig.write(copy + 0x3000 + 8 * page, &(to | ALL | WB).to_le_bytes());
    }
    rig.write(EPTP_LIST + 16, &(copy | 6 | 3 << 3).to_le_bytes());
    rig.write(PAGE + 8, &1u64.to_le_bytes());
    rig.write(PAGE + 0x1008, &2u64.to_le_bytes());
    // mov rbx, [PAGE + 8]; vmfunc; mov rdx, [PAGE + 8]; hlt
    let code = b"\x48\x8b\x1c\x25\x08\x00\x06\x00\x0f\x01\xd4\x48\x8b\x14\x25\x08\x00\x06\x00\xf4";
    (rig.cpu.r[gpr::RAX], rig.cpu.r[gpr::RCX]) = (0, 2);
    assert_eq!(rig.launch(code), 12);
    assert_eq!((rig.cpu.r[gpr::RBX], rig.cpu.r[gpr::RDX]), (1, 2));
    assert_eq!((rig.field(Field::EPTP_INDEX), rig.field(Field::EPT_POINTER)), (2, copy | 6 | 3 << 3));
    // What is no EPTP exits.
    rig.set(Field::GUEST_RIP, L2_CODE);
    (rig.cpu.r[gpr::RAX], rig.cpu.r[gpr::RCX]) = (0, 3);
    assert_eq!(rig.resume(), 59);
    assert_eq!(rig.field(Field::EPTP_INDEX), 2);
}

#[test]
fn mwait_says_whether_the_monitor_is_armed() {
    // MONITOR is there only where CPUID says so.
    let mut rig = Rig::ready();
    rig.control(Field::CPU_BASED_VM_EXEC_CONTROL, Proc::MWAIT_EXITING);
    let profile = Arc::make_mut(&mut rig.cpu.profile);
    profile.cpuid.push(crate::CpuidLeaf { leaf: 1, subleaf: None, regs: [0, 0, 1 << 3, 0] });
    (rig.cpu.r[gpr::RAX], rig.cpu.r[gpr::RCX], rig.cpu.r[gpr::RDX]) = (PAGE, 0, 0);
    assert_eq!(rig.launch(b"\x0f\x01\xc8\x0f\x01\xc9"), 36);
    assert_eq!(rig.field(Field::EXIT_QUALIFICATION), 1);
    assert_eq!(rig.resume(), 36);
    assert_eq!(rig.field(Field::EXIT_QUALIFICATION), 0, "VM entry has disarmed it");
}
