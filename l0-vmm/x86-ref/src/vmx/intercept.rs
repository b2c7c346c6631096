//! Which instructions exit in VMX non-root operation, and with what.
//!
//! SDM: "Instructions That Cause VM Exits", "Changes to Instruction Behavior in VMX Non-Root Operation", "Basic VM-Exit
//! Information".

use super::{
    bitmaps,
    exit::{Exit, Rf},
    info,
};
use crate::{Cpu, fault::Exec};
use iced_x86::{Instruction, Mnemonic};
use x86_spec::{
    cr::cr0,
    vmx::{
        controls::{Proc, Proc2},
        exit::Reason,
        field::Field,
        qual::{CrAccess, Io, MovDr},
    },
};

/// Something in an instruction that VMX non-root operation may turn into a VM exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "the list is the manual's: some of its instructions are not modelled")]
pub(crate) enum Intercept {
    Cpuid,
    Hlt,
    Invd,
    Wbinvd,
    Invlpg {
        linear: u64,
    },
    Invpcid,
    Rdpmc,
    Rdtsc,
    Rdtscp,
    Rdrand,
    Rdseed,
    Rsm,
    Getsec,
    Monitor,
    Mwait,
    Pause,
    Xsetbv,
    Rdmsr {
        index: u32,
    },
    Wrmsr {
        index: u32,
    },
    /// IN, OUT, INS, OUTS. `linear`: linear address of the string operand.
    Io {
        port: u16,
        size: u8,
        input: bool,
        string: bool,
        rep: bool,
        immediate: bool,
        linear: u64,
    },
    /// MOV from a control register; reading CR0 and CR4 goes on with [`Cpu::cr_view`], reading CR8 with [`Cpu::cr8_view`].
    ReadCr {
        cr: u8,
        gpr: u8,
    },
    /// MOV to a control register with that value; if it does not exit, go on with what [`Cpu::cr_merge`] makes of it, for CR8
    /// with [`Cpu::write_cr8`].
    WriteCr {
        cr: u8,
        gpr: u8,
        value: u64,
    },
    Clts,
    /// LMSW; `linear`: address of a memory operand.
    Lmsw {
        source: u16,
        linear: Option<u64>,
    },
    MovDr {
        dr: u8,
        write: bool,
        gpr: u8,
    },
    /// LGDT, LIDT, SGDT, SIDT, LLDT, LTR, SLDT, STR.
    DescriptorTable,
    TaskSwitch {
        selector: u16,
        source: u8,
    },
    /// XSAVES, XRSTORS with the features asked for (RFBM).
    Xsaves {
        mask: u64,
    },
    Xrstors {
        mask: u64,
    },
    /// LOADIWKEY, TPAUSE, UMWAIT, ENCLS, PCONFIG and others that have only a control of their own.
    Other {
        reason: u16,
    },
}

/// The bits of CR0 that LMSW can write.
const MSW: u64 = cr0::PE | cr0::MP | cr0::EM | cr0::TS;

impl Cpu {
    /// Called by every instruction that VMX may intercept, at the place that the manual gives the VM exit among its faults
    /// (SDM 3C, "Relative Priority of Faults and VM Exits"). Outside non-root operation it is a test and `Ok`.
    #[inline]
    pub(crate) fn intercept(&mut self, insn: &Instruction, what: Intercept) -> Exec {
        if !self.vmx.non_root {
            return Ok(());
        }
        self.intercept_guest(insn, what)
    }

    fn proc(&self, bit: u64) -> bool {
        self.vmx.ctl.proc & bit != 0
    }

    fn proc2(&self, bit: u64) -> bool {
        self.vmx.ctl.proc2 & bit != 0
    }

    #[inline(never)]
    fn intercept_guest(&mut self, insn: &Instruction, what: Intercept) -> Exec {
        if self.vmx_disables(what) {
            return Err(self.ud());
        }
        let (reason, exits) = match what {
            Intercept::Cpuid => (Reason::CPUID, true),
            Intercept::Getsec => (Reason::GETSEC, true),
            Intercept::Invd => (Reason::INVD, true),
            Intercept::Xsetbv => (Reason::XSETBV, true),
            Intercept::Rsm => (Reason::RSM, true),
            Intercept::Hlt => (Reason::HLT, self.proc(Proc::HLT_EXITING)),
            Intercept::Wbinvd => (Reason::WBINVD, self.proc2(Proc2::WBINVD_EXITING)),
            Intercept::Rdpmc => (Reason::RDPMC, self.proc(Proc::RDPMC_EXITING)),
            Intercept::Rdtsc => (Reason::RDTSC, self.proc(Proc::RDTSC_EXITING)),
            Intercept::Rdtscp => (Reason::RDTSCP, self.proc(Proc::RDTSC_EXITING)),
            Intercept::Monitor => (Reason::MONITOR_INSTRUCTION, self.proc(Proc::MONITOR_EXITING)),
            Intercept::Pause => (Reason::PAUSE_INSTRUCTION, self.pause_exits()),
            Intercept::Rdmsr { index } => (Reason::MSR_READ, self.msr_exits(index, false)),
            Intercept::Wrmsr { index } => (Reason::MSR_WRITE, self.msr_exits(index, true)),
            _ => return self.intercept_qualified(insn, what),
        };
        if exits { self.insn_exit(insn, reason, 0) } else { Ok(()) }
    }

    /// Whether a control that enables this instruction in non-root operation is 0, so that it is invalid (#UD): RDTSCP and
    /// RDPID, INVPCID, XSAVES and XRSTORS, the user wait instructions.
    pub(crate) fn vmx_disables(&self, what: Intercept) -> bool {
        if !self.vmx.non_root {
            return false;
        }
        let enable = match what {
            Intercept::Rdtscp => Proc2::ENABLE_RDTSCP,
            Intercept::Invpcid => Proc2::ENABLE_INVPCID,
            Intercept::Xsaves { .. } | Intercept::Xrstors { .. } => Proc2::ENABLE_XSAVES,
            Intercept::Other { reason } => match Reason(reason) {
                Reason::UMWAIT | Reason::TPAUSE => Proc2::ENABLE_USR_WAIT_PAUSE,
                Reason::PCONFIG => Proc2::ENABLE_PCONFIG,
                _ => return false,
            },
            _ => return false,
        };
        !self.proc2(enable)
    }

    fn msr_exits(&self, index: u32, write: bool) -> bool {
        !self.proc(Proc::USE_MSR_BITMAPS)
            || bitmaps::msr_exits(&self.mem, self.vmx.vmcs.v[Field::MSR_BITMAP], index, write)
    }

    /// PAUSE: always with "PAUSE exiting", else in a loop at privilege level 0 that runs for longer than the PLE window.
    fn pause_exits(&mut self) -> bool {
        if self.proc(Proc::PAUSE_EXITING) {
            return true;
        }
        if !self.proc2(Proc2::PAUSE_LOOP_EXITING) || self.cpl != 0 {
            return false;
        }
        let v = &self.vmx.vmcs.v;
        let (gap, window, now) = (v[Field::PLE_GAP], v[Field::PLE_WINDOW], self.now());
        let first = match self.vmx.windows.pause_loop {
            Some((first, last)) if now - last <= gap => first,
            _ => now,
        };
        self.vmx.windows.pause_loop = Some((first, now));
        now - first > window
    }

    /// Exits with more than a reason and a length.
    fn intercept_qualified(&mut self, insn: &Instruction, what: Intercept) -> Exec {
        let mut exit = Exit { length: insn.len() as u32, rf: Rf::Clear, ..Exit::new(Reason::CR_ACCESS) };
        let exits = match what {
            Intercept::ReadCr { .. }
            | Intercept::WriteCr { .. }
            | Intercept::Clts
            | Intercept::Lmsw { .. } => self.cr_access(what, &mut exit),
            Intercept::Mwait => {
                exit.reason = Reason::MWAIT_INSTRUCTION;
                exit.qualification = u64::from(self.monitor_armed);
                self.proc(Proc::MWAIT_EXITING)
            }
            Intercept::Invlpg { linear } => {
                exit.reason = Reason::INVLPG;
                exit.qualification = linear;
                self.proc(Proc::INVLPG_EXITING)
            }
            Intercept::Invpcid => {
                exit.reason = Reason::INVPCID;
                exit.info = info::information(insn, exit.reason);
                exit.qualification = info::displacement(insn);
                self.proc(Proc::INVLPG_EXITING)
            }
            Intercept::Rdrand | Intercept::Rdseed => {
                let (reason, control) = if what == Intercept::Rdrand {
                    (Reason::RDRAND, Proc2::RDRAND_EXITING)
                } else {
                    (Reason::RDSEED, Proc2::RDSEED_EXITING)
                };
                exit.reason = reason;
                exit.info = info::information(insn, reason);
                self.proc2(control)
            }
            Intercept::Io { .. } => self.io_access(insn, what, &mut exit),
            Intercept::MovDr { dr, write, gpr } => {
                exit.reason = Reason::DR_ACCESS;
                exit.qualification = MovDr::new(dr & 7, !write, gpr).0;
                self.proc(Proc::MOV_DR_EXITING)
            }
            Intercept::DescriptorTable => {
                exit.reason = match insn.mnemonic() {
                    Mnemonic::Sgdt | Mnemonic::Sidt | Mnemonic::Lgdt | Mnemonic::Lidt => Reason::GDTR_IDTR,
                    _ => Reason::LDTR_TR,
                };
                exit.info = info::information(insn, exit.reason);
                exit.qualification = info::displacement(insn);
                self.proc2(Proc2::DESC)
            }
            Intercept::TaskSwitch { selector, source } => {
                self.task_switch_exit(selector, source, insn.len() as u32)?;
                return self.vmx_switched();
            }
            Intercept::Xsaves { mask } | Intercept::Xrstors { mask } => {
                let save = matches!(what, Intercept::Xsaves { .. });
                exit.reason = if save { Reason::XSAVES } else { Reason::XRSTORS };
                exit.info = info::information(insn, exit.reason);
                exit.qualification = info::displacement(insn);
                mask & self.msr.xss & self.vmx.vmcs.v[Field::XSS_EXIT_BITMAP] != 0
            }
            Intercept::Other { reason } => {
                exit.reason = Reason(reason);
                match exit.reason {
                    Reason::UMWAIT | Reason::TPAUSE => {
                        exit.info = info::information(insn, exit.reason);
                        self.proc(Proc::RDTSC_EXITING)
                    }
                    _ => return Err(self.unsupported("a rare instruction in VMX non-root operation")),
                }
            }
            _ => false,
        };
        if !exits {
            return Ok(());
        }
        self.vm_exit(&exit)?;
        self.vmx_switched()
    }

    /// Control-register accesses. SDM: "Guest/Host Masks and Read Shadows for CR0 and CR4", "CR3-Target Controls".
    fn cr_access(&self, what: Intercept, exit: &mut Exit) -> bool {
        let owned = |cr: u8, value: u64| {
            let (mask, shadow) = self.cr_mask(cr);
            mask & (value ^ shadow)
        };
        match what {
            Intercept::ReadCr { cr, gpr } => {
                exit.qualification = CrAccess::mov(cr, true, gpr).0;
                match cr {
                    3 => self.proc(Proc::CR3_STORE_EXITING),
                    8 => self.proc(Proc::CR8_STORE_EXITING),
                    _ => false,
                }
            }
            Intercept::WriteCr { cr, gpr, value } => {
                exit.qualification = CrAccess::mov(cr, false, gpr).0;
                match cr {
                    0 | 4 => owned(cr, value) != 0,
                    3 => self.proc(Proc::CR3_LOAD_EXITING) && !self.cr3_target(value),
                    8 => self.proc(Proc::CR8_LOAD_EXITING),
                    _ => false,
                }
            }
            Intercept::Clts => {
                exit.qualification = CrAccess::clts().0;
                owned(0, 0) & cr0::TS != 0
            }
            Intercept::Lmsw { source, linear } => {
                exit.qualification = CrAccess::lmsw(source, linear.is_some()).0;
                exit.linear = linear.unwrap_or(0);
                let source = u64::from(source);
                // LMSW cannot clear PE: only setting it counts.
                let pe_stays = source & cr0::PE == 0;
                owned(0, source) & MSW & if pe_stays { !cr0::PE } else { !0 } != 0
            }
            _ => false,
        }
    }

    fn cr3_target(&self, value: u64) -> bool {
        const TARGETS: [Field; 4] = [
            Field::CR3_TARGET_VALUE0,
            Field::CR3_TARGET_VALUE1,
            Field::CR3_TARGET_VALUE2,
            Field::CR3_TARGET_VALUE3,
        ];
        let v = &self.vmx.vmcs.v;
        let count = v[Field::CR3_TARGET_COUNT] as usize;
        TARGETS.into_iter().take(count).any(|target| v[target] == value)
    }

    fn io_access(&self, insn: &Instruction, what: Intercept, exit: &mut Exit) -> bool {
        let Intercept::Io { port, size, input, string, rep, immediate, linear } = what else { return false };
        exit.reason = Reason::IO_INSTRUCTION;
        exit.qualification = Io::new(port, size.max(1), input, string, rep, immediate).0;
        if string {
            exit.linear = linear;
            if self.profile.caps.ins_outs_info() {
                exit.info = info::information(insn, exit.reason);
            }
        }
        if !self.proc(Proc::USE_IO_BITMAPS) {
            return self.proc(Proc::UNCOND_IO_EXITING);
        }
        let v = &self.vmx.vmcs.v;
        bitmaps::io_exits(&self.mem, v[Field::IO_BITMAP_A], v[Field::IO_BITMAP_B], port, size)
    }
}
