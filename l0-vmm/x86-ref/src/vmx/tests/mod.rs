//! VMX from outside: L1's instructions, one at a time, and a small L2.

mod apic;
mod debug;
mod entries;
mod ept;
mod exits;
mod instructions;
mod rules;

use crate::{Bus, Cpu, DescTable, Flow, Profile, Segment, State, Stop, cpu::gpr, exec, fault::Why};
use iced_x86::{Decoder, DecoderOptions};
use std::{cell::RefCell, rc::Rc, sync::Arc};
use vm_memory::{GuestAddress, GuestMemoryMmap};
use x86_spec::{
    cr::{cr0, cr4, efer, rflags},
    vmx::{
        caps::{Caps, Features},
        controls::{Entry, Exit, Pin, Proc, Proc2, Proc3},
        field::Field,
    },
};

const PML4: u64 = 0x1000;
const PDPT: u64 = 0x2000;
const PD: u64 = 0x3000;
const L1_CODE: u64 = 0x8000;
const L1_EXIT: u64 = 0x9000;
const L1_DATA: u64 = 0xa000;
const VMXON: u64 = 0x1_0000;
const VMCS: u64 = 0x1_1000;
const VMCS2: u64 = 0x1_2000;
const L2_CODE: u64 = 0x2_0000;
const L2_STACK: u64 = 0x2_2000;
const L2_IDT: u64 = 0x2_3000;
const L2_GDT: u64 = 0x2_4000;
const EPT: u64 = 0x3_0000;
const BITMAPS: u64 = 0x4_0000;
const REVISION: u32 = 0x11e5;
const PRESENT_WRITABLE: u64 = 3;
const LARGE: u64 = 1 << 7;
const CODE64: u32 = 0xa09b;
const DATA: u32 = 0xc093;
const BUSY_TSS: u32 = 0x8b;
const UNUSABLE: u32 = 1 << 16;

struct NoBus;

impl Bus for NoBus {
    fn io_in(&mut self, _: u16, _: u8) -> u32 {
        0
    }
    fn io_out(&mut self, _: u16, _: u8, _: u32) -> Flow {
        Flow::Continue
    }
    fn mmio_read(&mut self, _: u64, _: u8) -> u64 {
        u64::MAX
    }
    fn mmio_write(&mut self, _: u64, _: u8, _: u64) -> Flow {
        Flow::Continue
    }
}

/// Everything that can be 0 or 1 may be, but for what is not modelled.
fn caps() -> Caps {
    let word = |bits: u64| bits << 32;
    let mut caps = Caps::NONE.with_cpu(
        39,
        Features::LM
            | Features::NX
            | Features::SYSCALL
            | Features::RDTSCP
            | Features::INVPCID
            | Features::PAGE_1G,
    );
    caps.basic = u64::from(REVISION) | 0x1000 << 32 | 6 << 50 | 1 << 54 | 1 << 55;
    caps.true_pin = word(Pin::DEFINED);
    caps.true_proc = word(Proc::DEFINED);
    caps.true_exit = word(Exit::DEFINED & !Exit::ACTIVATE_SECONDARY_CONTROLS & !Exit::LOAD_CET_STATE);
    caps.true_entry = word(Entry::DEFINED & !Entry::LOAD_IA32_FRED & !Entry::LOAD_CET_STATE);
    (caps.pin, caps.proc, caps.exit, caps.entry) =
        (caps.true_pin, caps.true_proc, caps.true_exit, caps.true_entry);
    caps.proc2 = word(Proc2::DEFINED);
    caps.proc3 = Proc3::IPI_VIRT;
    // HLT, shutdown and wait-for-SIPI; IA-32e mode stored by exits; 4 CR3 targets; timer rate 2^2.
    caps.misc = 2 | 1 << 5 | 7 << 6 | 4 << 16;
    (caps.cr0_fixed0, caps.cr0_fixed1) = (cr0::PE | cr0::NE | cr0::PG, 0xffff_ffff);
    (caps.cr4_fixed0, caps.cr4_fixed1) = (cr4::VMXE, 0x37_67ff);
    caps.ept_vpid =
        1 | 1 << 6 | 1 << 8 | 1 << 14 | 3 << 16 | 1 << 20 | 1 << 21 | 3 << 25 | 1 << 32 | 0xf << 40;
    caps.vmcs_enum = 0x2e;
    caps.vmfunc = Caps::EPTP_SWITCHING;
    caps
}

struct Rig {
    cpu: Cpu,
}

impl Rig {
    /// L1 in 64-bit mode, 2 MiB mapped one to one.
    fn new() -> Self {
        Self::with(caps())
    }

    fn with(caps: Caps) -> Self {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 4 << 20)]).unwrap();
        let profile = Arc::new(Profile { name: "test".into(), caps, ..Profile::default() });
        let mut cpu = Cpu::new(profile, memory, Rc::new(RefCell::new(NoBus))).unwrap();
        cpu.msr.feature_control = 5;
        let mut rig = Self { cpu };
        rig.write(PML4, &(PDPT | PRESENT_WRITABLE).to_le_bytes());
        rig.write(PDPT, &(PD | PRESENT_WRITABLE).to_le_bytes());
        rig.write(PD, &(PRESENT_WRITABLE | LARGE).to_le_bytes());
        rig.write(VMXON, &REVISION.to_le_bytes());
        rig.write(VMCS, &REVISION.to_le_bytes());
        rig.write(VMCS2, &REVISION.to_le_bytes());
        let data = Segment { selector: 0x10, base: 0, limit: u32::MAX, rights: DATA };
        let mut seg = [data; 6];
        seg[1] = Segment { selector: 8, rights: CODE64, ..data };
        let state = State {
            rip: L1_CODE,
            rflags: 2,
            seg,
            ldtr: Segment { rights: UNUSABLE, ..Segment::default() },
            tr: Segment { selector: 0x18, base: 0, limit: 0x67, rights: BUSY_TSS },
            gdtr: DescTable { base: 0, limit: 0xffff },
            cr0: cr0::PE | cr0::PG | cr0::NE | cr0::ET,
            cr3: PML4,
            cr4: cr4::PAE | cr4::VMXE | cr4::OSFXSR,
            efer: efer::LME | efer::LMA,
            dr: [0, 0, 0, 0, 0xffff_0ff0, 0x400],
            ..State::default()
        };
        rig.cpu.set_state(&state);
        rig
    }

    fn write(&mut self, at: u64, bytes: &[u8]) {
        assert!(self.cpu.mem.phys_write(at, bytes));
    }

    fn read(&self, at: u64) -> u64 {
        u64::from_le_bytes(self.cpu.mem.phys_read(at).unwrap())
    }

    /// Executes one instruction by its handler; the reason if it did not complete.
    fn insn(&mut self, bytes: &[u8]) -> Option<Why> {
        let insn = Decoder::with_ip(64, bytes, self.cpu.rip, DecoderOptions::NONE).decode();
        let handler = exec::find(&insn).unwrap();
        self.cpu.why = Why::None;
        handler(&mut self.cpu, &insn).is_err().then_some(self.cpu.why)
    }

    /// The vector of the exception that the instruction raises.
    fn fault(&mut self, bytes: &[u8]) -> Option<u8> {
        match self.insn(bytes) {
            Some(Why::Exception(e)) => Some(e.vector),
            other => panic!("{other:?}"),
        }
    }

    /// An instruction with a 64-bit operand at [`L1_DATA`]: VMXON and its like.
    fn pointer(&mut self, opcode: &[u8], value: u64) -> Option<Why> {
        self.write(L1_DATA, &value.to_le_bytes());
        self.cpu.r[gpr::RAX] = L1_DATA;
        self.insn(opcode)
    }

    /// 0: VMsucceed; 1: VMfailInvalid; otherwise 0x100 + the number of VMfailValid.
    fn outcome(&self) -> u64 {
        match self.cpu.rflags()
            & (rflags::CF | rflags::ZF | rflags::OF | rflags::SF | rflags::PF | rflags::AF)
        {
            0 => 0,
            rflags::CF => 1,
            rflags::ZF => 0x100 + self.field(Field::VM_INSTRUCTION_ERROR),
            other => panic!("flags {other:#x}"),
        }
    }

    fn vmxon(&mut self, at: u64) -> u64 {
        assert_eq!(self.pointer(INSN_VMXON, at), None);
        self.outcome()
    }

    fn vmclear(&mut self, at: u64) -> u64 {
        assert_eq!(self.pointer(INSN_VMCLEAR, at), None);
        self.outcome()
    }

    fn vmptrld(&mut self, at: u64) -> u64 {
        assert_eq!(self.pointer(INSN_VMPTRLD, at), None);
        self.outcome()
    }

    fn vmwrite(&mut self, encoding: u64, value: u64) -> u64 {
        (self.cpu.r[gpr::RAX], self.cpu.r[gpr::RBX]) = (encoding, value);
        assert_eq!(self.insn(b"\x0f\x79\xc3"), None);
        self.outcome()
    }

    fn vmread(&mut self, encoding: u64) -> Result<u64, u64> {
        (self.cpu.r[gpr::RAX], self.cpu.r[gpr::RBX]) = (encoding, 0);
        assert_eq!(self.insn(b"\x0f\x78\xc3"), None);
        match self.outcome() {
            0 => Ok(self.cpu.r[gpr::RBX]),
            error => Err(error),
        }
    }

    fn set(&mut self, field: Field, value: u64) {
        assert_eq!(self.vmwrite(u64::from(field.encoding()), value), 0, "{field}");
    }

    fn field(&self, field: Field) -> u64 {
        self.cpu.vmx.vmcs.v[field]
    }

    /// A VMCS whose guest is 64-bit code at [`L2_CODE`] on L1's page tables.
    fn ready() -> Self {
        Self::ready_with(caps())
    }

    fn ready_with(caps: Caps) -> Self {
        let mut rig = Self::with(caps);
        assert_eq!(rig.vmxon(VMXON), 0);
        assert_eq!(rig.vmclear(VMCS), 0);
        assert_eq!(rig.vmptrld(VMCS), 0);
        let fields = [
            (Field::VM_EXIT_CONTROLS, Exit::HOST_ADDR_SPACE_SIZE),
            (Field::VM_ENTRY_CONTROLS, Entry::IA32E_MODE),
            (Field::CPU_BASED_VM_EXEC_CONTROL, Proc::HLT_EXITING),
            (Field::VMCS_LINK_POINTER, u64::MAX),
            (Field::HOST_CR0, rig.cpu.cr0),
            (Field::HOST_CR3, PML4),
            (Field::HOST_CR4, rig.cpu.cr4),
            (Field::HOST_CS_SELECTOR, 8),
            (Field::HOST_SS_SELECTOR, 0x10),
            (Field::HOST_TR_SELECTOR, 0x18),
            (Field::HOST_RIP, L1_EXIT),
            (Field::HOST_RSP, L1_DATA),
            (Field::GUEST_CR0, rig.cpu.cr0),
            (Field::GUEST_CR3, PML4),
            (Field::GUEST_CR4, rig.cpu.cr4),
            (Field::GUEST_RFLAGS, 2),
            (Field::GUEST_RIP, L2_CODE),
            (Field::GUEST_RSP, L2_STACK),
            (Field::GUEST_DR7, 0x400),
            (Field::GUEST_CS_SELECTOR, 8),
            (Field::GUEST_CS_LIMIT, 0xffff_ffff),
            (Field::GUEST_CS_AR_BYTES, u64::from(CODE64)),
            (Field::GUEST_TR_SELECTOR, 0x18),
            (Field::GUEST_TR_LIMIT, 0x67),
            (Field::GUEST_TR_AR_BYTES, u64::from(BUSY_TSS)),
            (Field::GUEST_LDTR_AR_BYTES, u64::from(UNUSABLE)),
            (Field::GUEST_GDTR_BASE, L2_GDT),
            (Field::GUEST_GDTR_LIMIT, 0xff),
            (Field::GUEST_IDTR_BASE, L2_IDT),
            (Field::GUEST_IDTR_LIMIT, 0xfff),
        ];
        for (field, value) in fields {
            rig.set(field, value);
        }
        for (limit, rights) in [
            (Field::GUEST_ES_LIMIT, Field::GUEST_ES_AR_BYTES),
            (Field::GUEST_SS_LIMIT, Field::GUEST_SS_AR_BYTES),
            (Field::GUEST_DS_LIMIT, Field::GUEST_DS_AR_BYTES),
            (Field::GUEST_FS_LIMIT, Field::GUEST_FS_AR_BYTES),
            (Field::GUEST_GS_LIMIT, Field::GUEST_GS_AR_BYTES),
        ] {
            rig.set(limit, 0xffff_ffff);
            rig.set(rights, u64::from(DATA));
        }
        // A flat 64-bit code segment for L2's gates.
        rig.write(L2_GDT + 8, &0x00af_9b00_0000_ffff_u64.to_le_bytes());
        rig
    }

    /// Adds control bits.
    fn control(&mut self, field: Field, bits: u64) {
        let value = self.field(field) | bits;
        self.set(field, value);
    }

    fn proc2(&mut self, bits: u64) {
        self.control(Field::CPU_BASED_VM_EXEC_CONTROL, Proc::ACTIVATE_SECONDARY_CONTROLS);
        self.control(Field::SECONDARY_VM_EXEC_CONTROL, bits);
    }

    /// Executes an instruction of L1 and, if it enters L2, everything up to the VM exit.
    fn step(&mut self, bytes: &[u8]) -> Stop {
        self.write(L1_CODE, bytes);
        self.cpu.rip = L1_CODE;
        self.cpu.step_root(10_000)
    }

    /// VMLAUNCH of that L2, up to the VM exit: its reason.
    fn launch(&mut self, l2: &[u8]) -> u64 {
        self.write(L2_CODE, l2);
        self.enter(INSN_VMLAUNCH)
    }

    fn resume(&mut self) -> u64 {
        self.enter(INSN_VMRESUME)
    }

    fn enter(&mut self, insn: &[u8]) -> u64 {
        assert_eq!(self.step(insn), Stop::Root);
        assert!(!self.cpu.vmx.non_root);
        assert_eq!(self.cpu.rip, L1_EXIT, "{:?} {:?}", self.outcome(), self.cpu.last_entry_failure());
        self.field(Field::VM_EXIT_REASON)
    }

    /// VMRESUME behind the instruction that exited.
    fn skip(&mut self) -> u64 {
        let next = self.field(Field::GUEST_RIP) + self.field(Field::VM_EXIT_INSTRUCTION_LEN);
        self.set(Field::GUEST_RIP, next);
        self.resume()
    }

    /// EPT that maps the first 2 MiB one to one in pages of 4 KiB.
    fn ept(&mut self) {
        const ALL: u64 = 7;
        const WB: u64 = 6 << 3;
        self.write(EPT, &((EPT + 0x1000) | ALL).to_le_bytes());
        self.write(EPT + 0x1000, &((EPT + 0x2000) | ALL).to_le_bytes());
        self.write(EPT + 0x2000, &((EPT + 0x3000) | ALL).to_le_bytes());
        for page in 0..512 {
            self.ept_entry(page << 12, page << 12 | ALL | WB);
        }
        self.proc2(Proc2::ENABLE_EPT);
        self.set(Field::EPT_POINTER, EPT | 6 | 3 << 3);
    }

    fn ept_entry(&mut self, guest: u64, entry: u64) {
        self.write(EPT + 0x3000 + (guest >> 12) * 8, &entry.to_le_bytes());
    }

    /// A 64-bit gate in L2's IDT.
    fn gate(&mut self, vector: u64, handler: u64) {
        const INTERRUPT_GATE: u64 = 0x8e00 << 32;
        let low = handler & 0xffff | 8 << 16 | INTERRUPT_GATE | (handler & 0xffff_0000) << 32;
        self.write(L2_IDT + 16 * vector, &low.to_le_bytes());
        self.write(L2_IDT + 16 * vector + 8, &(handler >> 32).to_le_bytes());
    }
}

const INSN_VMXON: &[u8] = b"\xf3\x0f\xc7\x30";
const INSN_VMCLEAR: &[u8] = b"\x66\x0f\xc7\x30";
const INSN_VMPTRLD: &[u8] = b"\x0f\xc7\x30";
const INSN_VMPTRST: &[u8] = b"\x0f\xc7\x38";
const INSN_VMLAUNCH: &[u8] = b"\x0f\x01\xc2";
const INSN_VMRESUME: &[u8] = b"\x0f\x01\xc3";
const INSN_VMXOFF: &[u8] = b"\x0f\x01\xc4";
const INSN_VMCALL: &[u8] = b"\x0f\x01\xc1";
