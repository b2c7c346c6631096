//! The processor's state.

use crate::{
    Bus, Profile, State,
    block::{Code, op::Out},
    exec::{cet::Cet, feature::Features},
    fault::Why,
    flags::{ARITH, Flags},
    mem::Mem,
    state::{DescTable, Segment},
    vmx::Vmx,
};
use std::{cell::RefCell, rc::Rc, sync::Arc};
use vm_memory::GuestMemoryMmap;
use x86_spec::cr::{cr0, cr4, efer, rflags};

/// Index of a segment register in [`Cpu::seg`]: the order of the encodings.
pub(crate) mod seg {
    pub const ES: usize = 0;
    pub const CS: usize = 1;
    pub const SS: usize = 2;
    pub const DS: usize = 3;
    pub const FS: usize = 4;
    pub const GS: usize = 5;
}

/// Number of a general-purpose register.
pub(crate) mod gpr {
    pub const RAX: usize = 0;
    pub const RCX: usize = 1;
    pub const RDX: usize = 2;
    pub const RBX: usize = 3;
    pub const RSP: usize = 4;
    pub const RBP: usize = 5;
    pub const RSI: usize = 6;
    pub const RDI: usize = 7;
    pub const R11: usize = 11;
    /// Always zero: stands for "no base" and "no index" in decoded ops.
    pub const ZERO: usize = 16;
    /// In a block of ops, the RIP of its first instruction: the base of RIP-relative operands.
    pub const RIP: usize = 17;
}

/// A bit of [`Cpu::attention`]: why the run loop must look before the next instruction.
pub(crate) mod attention {
    /// An interrupt or NMI is pending, or a window is waited for.
    pub const INTERRUPT: u32 = 1 << 0;
    /// TF is set, or a debug trap is pending.
    pub const TRAP: u32 = 1 << 1;
    /// The instruction before inhibits interrupts (STI) or debug traps too (MOV SS, POP SS).
    pub const SHADOW: u32 = 1 << 2;
    /// The CPU is not active (HLT, shutdown, wait for SIPI).
    pub const INACTIVE: u32 = 1 << 3;
    /// VMX: the monitor trap flag is set, a window exit is asked for, or the preemption timer has run out.
    pub const VMX: u32 = 1 << 4;
    /// A device asked to stop.
    pub const STOP: u32 = 1 << 5;
    /// Instruction breakpoints are enabled in DR7.
    pub const BREAKPOINT: u32 = 1 << 6;
}

/// Activity state, in the numbers of the VMCS field (SDM 3C, "Guest Non-Register State").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Activity {
    /// Executing.
    #[default]
    Active = 0,
    /// HLT.
    Hlt = 1,
    /// Shutdown.
    Shutdown = 2,
    /// Waiting for a SIPI.
    WaitForSipi = 3,
}

/// Model-specific registers that are more than storage elsewhere in [`Cpu`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Msrs {
    pub efer: u64,
    pub star: u64,
    pub lstar: u64,
    pub cstar: u64,
    pub fmask: u64,
    pub kernel_gs_base: u64,
    pub sysenter_cs: u64,
    pub sysenter_esp: u64,
    pub sysenter_eip: u64,
    pub pat: u64,
    pub debugctl: u64,
    pub perf_global_ctrl: u64,
    pub tsc_adjust: u64,
    pub bndcfgs: u64,
    pub cet: Cet,
    /// Protection keys of supervisor pages.
    pub pkrs: u64,
    pub tsc_aux: u64,
    pub tsc_offset: u64,
    pub apic_base: u64,
    pub feature_control: u64,
    pub xss: u64,
    pub spec_ctrl: u64,
    pub misc_enable: u64,
    /// What a profile lists and system software expects to read and write, but which does nothing here: index and value,
    /// sorted by index.
    pub plain: Vec<(u32, u64)>,
}

/// x87, SSE and AVX, and what XSAVE knows besides.
#[derive(Clone, Debug)]
pub(crate) struct Fpu {
    pub xmm: [u128; 16],
    /// Upper halves of the YMM registers.
    pub ymm: [u128; 16],
    pub mxcsr: u32,
    /// Protection-key rights of user pages.
    pub pkru: u32,
    pub fcw: u16,
    pub fsw: u16,
    pub ftw: u8,
    pub fop: u16,
    pub fip: u64,
    pub fdp: u64,
    /// 80-bit registers, by physical number.
    pub st: [u128; 8],
}

impl Default for Fpu {
    fn default() -> Self {
        Self {
            xmm: [0; 16],
            ymm: [0; 16],
            mxcsr: 0x1f80,
            pkru: 0,
            fcw: 0x37f,
            fsw: 0,
            ftw: 0,
            fop: 0,
            fip: 0,
            fdp: 0,
            st: [0; 8],
        }
    }
}

/// The processor.
pub struct Cpu {
    // What ops touch comes first.
    /// General-purpose registers; then [`gpr::ZERO`] and, for ops, [`gpr::RIP`].
    pub(crate) r: [u64; 32],
    /// Instruction pointer. In a block of ops: that of the block's first instruction; precise everywhere else.
    pub(crate) rip: u64,
    /// Arithmetic flags.
    pub(crate) flags: Flags,
    /// Instructions left in this slice; counted down by whole blocks when they are entered.
    pub(crate) budget: i64,
    /// Nonzero: go back to the run loop before the next block. Bits of [`attention`].
    pub(crate) attention: u32,
    /// Bases of the segments as address calculation uses them: ES, CS, SS, DS, FS, GS (in 64-bit mode 0 but for FS, GS).
    pub(crate) seg_base: [u64; 8],
    /// Mask of linear addresses: 32 bits outside 64-bit mode.
    pub(crate) linear_mask: u64,
    /// Memory and TLBs.
    pub(crate) mem: Mem,
    /// Why the last instruction stopped.
    pub(crate) why: Why,
    /// How the last chain of ops came back.
    pub(crate) out: Out,
    /// What [`Cpu::budget`] was when [`Cpu::retired`] was last brought up to date.
    pub(crate) slice: i64,
    /// Instructions of the current block that have been counted but not executed; 0 between blocks.
    pub(crate) ahead: i64,
    /// Memory accesses need a look: alignment checks or data breakpoints.
    pub(crate) watched: bool,

    /// RFLAGS without the arithmetic flags; bit 1 is set.
    pub(crate) sysflags: u64,
    /// Segment registers, by [`seg`].
    pub(crate) seg: [Segment; 6],
    pub(crate) ldtr: Segment,
    pub(crate) tr: Segment,
    pub(crate) gdtr: DescTable,
    pub(crate) idtr: DescTable,
    pub(crate) cr0: u64,
    pub(crate) cr2: u64,
    pub(crate) cr3: u64,
    pub(crate) cr4: u64,
    pub(crate) cr8: u64,
    pub(crate) xcr0: u64,
    /// DR0 to DR3, (unused), (unused), DR6, DR7.
    pub(crate) dr: [u64; 8],
    /// PAE page-directory-pointer-table entries, loaded by MOV CR3 and by VM entry.
    pub(crate) pdptr: [u64; 4],
    pub(crate) msr: Msrs,
    pub(crate) fpu: Fpu,
    /// Current privilege level.
    pub(crate) cpl: u8,
    pub(crate) activity: Activity,
    /// Blocking by STI (bit 0), MOV SS (bit 1), SMI (bit 2), NMI (bit 3): the format of the VMCS field.
    pub(crate) blocking: u32,
    /// Debug exceptions that are pending, in the format of the VMCS field GUEST_PENDING_DBG_EXCEPTIONS (DR6-like).
    pub(crate) pending_dbg: u64,
    /// An NMI waits.
    pub(crate) nmi_pending: bool,
    /// An external interrupt waits, with its vector.
    pub(crate) intr_pending: Option<u8>,
    /// The vectors that wait behind it, one bit each.
    pub(crate) intr_queue: [u64; 4],
    /// A platform with local APICs says which interrupt there is ([`Cpu::offer`]): their priorities are its affair.
    pub(crate) platform: bool,
    /// Instructions retired since the start, up to the last time that [`Cpu::budget`] was settled.
    pub(crate) retired: u64,
    /// The event that is being delivered through the IDT, for the IDT-vectoring fields of a VM exit and for double faults.
    pub(crate) delivering: Option<crate::event::Event>,
    /// The instruction that is single-stepped began with TF: a trap follows. Cleared by what delivers an event itself.
    pub(crate) step_tf: bool,
    /// It is a branch that is taken: what IA32_DEBUGCTL.BTF makes a trap of.
    pub(crate) step_branch: bool,
    /// RFLAGS.RF was set when it began and ends with it.
    pub(crate) step_rf: bool,
    /// The shadows ([`Cpu::blocking`]) that it began in and that end with it.
    pub(crate) step_shadow: u32,
    /// IRET took the blocking by NMI away and has not completed: "NMI unblocking due to IRET" if it exits.
    pub(crate) iret_unblocked_nmi: bool,
    /// MONITOR has armed an address range.
    pub(crate) monitor_armed: bool,
    /// With a platform: the monitored line as it was, and whether MWAIT waits for a write to it.
    pub(crate) line: crate::platform::Line,
    /// State of the generator behind RDRAND and RDSEED.
    pub(crate) random: u64,
    pub(crate) vmx: Vmx,
    pub(crate) profile: Arc<Profile>,
    /// What the profile's CPUID lists of the features that guard instructions.
    pub(crate) features: Features,
    pub(crate) bus: Rc<RefCell<dyn Bus>>,
    /// Decoded code; taken out while it runs.
    pub(crate) code: Option<Box<Code>>,
}

/// A CPU could not be made.
#[derive(Debug, thiserror::Error)]
pub enum NewCpuError {
    /// The memory is not one region that begins at address 0.
    #[error("guest memory must be one region at address 0, found {0}")]
    Memory(String),
}

impl Cpu {
    /// A processor of that profile in its state after INIT ... RESET, over that memory (one region at physical address 0).
    pub fn new(
        profile: Arc<Profile>,
        memory: GuestMemoryMmap,
        bus: Rc<RefCell<dyn Bus>>,
    ) -> Result<Self, NewCpuError> {
        let mut cpu = Self {
            r: [0; 32],
            rip: 0,
            flags: Flags::default(),
            budget: 0,
            attention: 0,
            seg_base: [0; 8],
            linear_mask: 0xffff_ffff,
            mem: Mem::new(memory)?,
            why: Why::None,
            out: Out::Lookup,
            slice: 0,
            ahead: 0,
            watched: false,
            sysflags: 2,
            seg: [Segment::default(); 6],
            ldtr: Segment::default(),
            tr: Segment::default(),
            gdtr: DescTable::default(),
            idtr: DescTable::default(),
            cr0: 0,
            cr2: 0,
            cr3: 0,
            cr4: 0,
            cr8: 0,
            xcr0: 1,
            dr: [0, 0, 0, 0, 0, 0, 0xffff_0ff0, 0x400],
            pdptr: [0; 4],
            msr: Msrs::default(),
            fpu: Fpu::default(),
            cpl: 0,
            activity: Activity::Active,
            blocking: 0,
            pending_dbg: 0,
            nmi_pending: false,
            intr_pending: None,
            intr_queue: [0; 4],
            platform: false,
            retired: 0,
            delivering: None,
            step_tf: false,
            step_branch: false,
            step_rf: false,
            step_shadow: 0,
            iret_unblocked_nmi: false,
            monitor_armed: false,
            line: crate::platform::Line::default(),
            random: 0,
            vmx: Vmx::new(&profile),
            features: Features::of(&profile),
            profile,
            bus,
            code: Some(Box::default()),
        };
        cpu.mem.describe(&cpu.profile.caps);
        cpu.reset();
        cpu.reset_msrs();
        cpu.mode_changed();
        Ok(cpu)
    }

    /// RFLAGS.
    pub(crate) fn rflags(&self) -> u64 {
        self.sysflags | self.flags.bits()
    }

    /// Sets all of RFLAGS (reserved bits are forced). Does what follows from TF.
    pub(crate) fn set_rflags(&mut self, value: u64) {
        self.flags = Flags::from_bits(value);
        let before = self.sysflags;
        self.sysflags = value & !ARITH & 0x3f_7fd7 | 2;
        if (before ^ self.sysflags) & (rflags::VM | rflags::AC) != 0 {
            self.mode_changed();
        }
        self.attention_changed();
    }

    /// What boot code and other engines deal in.
    pub fn state(&self) -> State {
        let mut gpr = [0; 16];
        gpr.copy_from_slice(&self.r[..16]);
        State {
            gpr,
            rip: self.rip,
            rflags: self.rflags(),
            seg: self.seg,
            ldtr: self.ldtr,
            tr: self.tr,
            gdtr: self.gdtr,
            idtr: self.idtr,
            cr0: self.cr0,
            cr2: self.cr2,
            cr3: self.cr3,
            cr4: self.cr4,
            cr8: self.cr8,
            efer: self.msr.efer,
            dr: [self.dr[0], self.dr[1], self.dr[2], self.dr[3], self.dr[6], self.dr[7]],
        }
    }

    /// Puts that state in. TLBs are flushed where paging changed.
    pub fn set_state(&mut self, s: &State) {
        let paging = (self.cr0, self.cr3, self.cr4, self.msr.efer) != (s.cr0, s.cr3, s.cr4, s.efer);
        self.r[..16].copy_from_slice(&s.gpr);
        self.rip = s.rip;
        self.seg = s.seg;
        self.ldtr = s.ldtr;
        self.tr = s.tr;
        self.gdtr = s.gdtr;
        self.idtr = s.idtr;
        self.cr0 = s.cr0;
        self.cr2 = s.cr2;
        self.cr3 = s.cr3;
        self.cr4 = s.cr4;
        self.cr8 = s.cr8;
        self.msr.efer = s.efer;
        self.dr = [s.dr[0], s.dr[1], s.dr[2], s.dr[3], 0, 0, s.dr[4], s.dr[5]];
        self.cpl = (s.seg[seg::SS].rights >> 5 & 3) as u8;
        self.set_rflags(s.rflags);
        self.mode_changed();
        if paging {
            self.flush_tlb();
            // Those that are in memory now; bad ones are found when they are used.
            let pae = s.cr0 & cr0::PG != 0 && s.cr4 & cr4::PAE != 0 && s.efer & efer::LMA == 0;
            if pae && self.load_pdptrs(s.cr3).is_err() {
                self.pdptr = [0; 4];
            }
        }
    }

    /// Instructions retired since the start: the CPU's clock.
    pub fn retired(&self) -> u64 {
        self.retired
    }

    /// Whether the CPU is in VMX non-root operation (L2 runs).
    pub fn in_non_root(&self) -> bool {
        self.vmx.non_root
    }
}
