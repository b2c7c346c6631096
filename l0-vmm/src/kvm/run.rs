//! A virtual processor of KVM.
#![allow(unsafe_code, reason = "KVM is given memory by address")]

use super::{
    assist::{Assist, Assisted},
    caps, cpuid,
    exit::{self, Exit},
    state,
    watchdog::Watchdog,
};
use crate::{
    devices::Devices,
    engine::{EngineError, Job, L0What, Limit, Limits, Stats},
    machine::Machine,
    ram::Ram,
    vcpu::{Vcpu, VcpuExit},
};
use kvm_bindings::{
    KVM_GUESTDBG_ENABLE, KVM_GUESTDBG_USE_SW_BP, KVM_INTERNAL_ERROR_EMULATION, kvm_debugregs,
    kvm_guest_debug, kvm_regs, kvm_sregs, kvm_userspace_memory_region,
};
use kvm_ioctls::{Cap, Kvm, SyncReg, VcpuFd, VmFd};
use rig_abi::layout::RAM_SIZE;
use std::{cell::RefCell, rc::Rc, sync::Arc, time::Instant};
use x86_ref::{Profile, State};
use x86_spec::vmx::rules::Rule;

/// What a virtual processor is made from.
pub(crate) struct Setup<'a> {
    pub kvm: &'a Kvm,
    /// The profile without what KVM does not offer.
    pub narrow: &'a Profile,
    /// The profile as L1 sees it.
    pub profile: &'a Arc<Profile>,
    /// Whether the reference CPU does L1's VMX.
    pub assisted: bool,
}

/// The virtual processor. Fields are dropped in this order.
pub(crate) struct KvmVcpu {
    watchdog: Option<(Watchdog, Option<Instant>)>,
    vcpu: VcpuFd,
    /// KVM leaves registers in the run page at each exit and takes them from there, without further calls.
    sync: bool,
    /// The registers in the run page are those of the virtual processor.
    synced: bool,
    _vm: VmFd,
    assist: Option<Assist>,
    ram: Ram,
    devices: Rc<RefCell<Devices>>,
    /// Bits of CR4 that KVM would refuse.
    hidden_cr4: u64,
    /// The value of these bits.
    cr4_kept: u64,
}

fn failed(call: &'static str) -> impl Fn(kvm_ioctls::Error) -> EngineError {
    move |source| EngineError::Kvm { call, source }
}

impl KvmVcpu {
    pub fn new(setup: &Setup<'_>, machine: &Machine, job: &Job) -> Result<Self, EngineError> {
        let vm = setup.kvm.create_vm().map_err(failed("KVM_CREATE_VM"))?;
        let no_memory = || failed("address of the memory")(kvm_ioctls::Error::new(libc::EFAULT));
        let region = kvm_userspace_memory_region {
            slot: 0,
            flags: 0,
            guest_phys_addr: 0,
            memory_size: RAM_SIZE,
            userspace_addr: machine.ram.host(0).ok_or_else(no_memory)? as u64,
        };
        // SAFETY: the memory is mapped for longer than the virtual machine lives: `ram` is dropped after `_vm`.
        unsafe { vm.set_user_memory_region(region) }.map_err(failed("KVM_SET_USER_MEMORY_REGION"))?;
        let mut vcpu = vm.create_vcpu(0).map_err(failed("KVM_CREATE_VCPU"))?;
        let wanted = SyncReg::Register as i32 | SyncReg::SystemRegister as i32;
        let sync = setup.kvm.check_extension_int(Cap::SyncRegs) & wanted == wanted;
        if sync {
            vcpu.set_sync_valid_reg(SyncReg::Register);
            vcpu.set_sync_valid_reg(SyncReg::SystemRegister);
        }
        let too_many = || EngineError::Kvm {
            call: "table for KVM_SET_CPUID2",
            source: kvm_ioctls::Error::new(libc::E2BIG),
        };
        let table = cpuid::table(setup.narrow, !setup.assisted).ok_or_else(too_many)?;
        vcpu.set_cpuid2(&table).map_err(failed("KVM_SET_CPUID2"))?;
        let assist = if setup.assisted {
            let debug = kvm_guest_debug {
                control: KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP,
                ..kvm_guest_debug::default()
            };
            vcpu.set_guest_debug(&debug).map_err(failed("KVM_SET_GUEST_DEBUG"))?;
            Some(Assist::new(machine, job, setup.profile)?)
        } else {
            if !caps::apply(&vcpu, &setup.profile.caps) {
                return Err(failed("KVM_SET_MSRS of IA32_FEATURE_CONTROL")(kvm_ioctls::Error::new(
                    libc::EINVAL,
                )));
            }
            None
        };
        Ok(Self {
            watchdog: None,
            vcpu,
            sync,
            synced: false,
            _vm: vm,
            assist,
            ram: machine.ram.clone(),
            devices: Rc::clone(&machine.devices),
            hidden_cr4: cpuid::hidden_cr4(setup.narrow, !setup.assisted),
            cr4_kept: 0,
        })
    }

    fn regs(&self) -> Result<kvm_regs, EngineError> {
        if self.synced {
            return Ok(self.vcpu.sync_regs().regs);
        }
        self.vcpu.get_regs().map_err(failed("KVM_GET_REGS"))
    }

    fn sregs(&self) -> Result<kvm_sregs, EngineError> {
        if self.synced {
            return Ok(self.vcpu.sync_regs().sregs);
        }
        self.vcpu.get_sregs().map_err(failed("KVM_GET_SREGS"))
    }

    fn set_regs(&mut self, regs: kvm_regs) -> Result<(), EngineError> {
        if self.synced {
            self.vcpu.sync_regs_mut().regs = regs;
            self.vcpu.set_sync_dirty_reg(SyncReg::Register);
            return Ok(());
        }
        self.vcpu.set_regs(&regs).map_err(failed("KVM_SET_REGS"))
    }

    fn set_sregs(&mut self, sregs: kvm_sregs) -> Result<(), EngineError> {
        if self.synced {
            self.vcpu.sync_regs_mut().sregs = sregs;
            self.vcpu.set_sync_dirty_reg(SyncReg::SystemRegister);
            return Ok(());
        }
        self.vcpu.set_sregs(&sregs).map_err(failed("KVM_SET_SREGS"))
    }

    fn debugregs(&self) -> Result<kvm_debugregs, EngineError> {
        self.vcpu.get_debug_regs().map_err(failed("KVM_GET_DEBUGREGS"))
    }

    /// An instruction that KVM cannot execute, or a planted one.
    fn assist(&mut self, limits: &Limits, why: Option<String>) -> Result<Option<VcpuExit>, EngineError> {
        let Some(mut assist) = self.assist.take() else { return Ok(None) };
        let result = self.assist_with(&mut assist, limits, why);
        self.assist = Some(assist);
        result
    }

    fn assist_with(
        &mut self,
        assist: &mut Assist,
        limits: &Limits,
        why: Option<String>,
    ) -> Result<Option<VcpuExit>, EngineError> {
        let (regs, sregs) = (self.regs()?, self.sregs()?);
        // Each call to KVM can cost as much as the assist: what this instruction cannot touch stays where it is.
        let deep = if assist.is_shallow(regs.rip) {
            None
        } else {
            let area = self.vcpu.get_xsave().map_err(failed("KVM_GET_XSAVE"))?;
            assist.set_vectors(&state::to_image(&area));
            Some((area, assist.vectors(), self.debugregs()?))
        };
        let debugregs = deep.as_ref().map_or_else(|| state::to_debugregs(&assist.state()), |d| d.2);
        let before = state::from_kvm(&regs, &sregs, &debugregs, self.cr4_kept);
        self.devices.borrow_mut().note(Some(before.rip), why.map_or(L0What::Assist, L0What::Note));
        let deadline = self.watchdog.as_ref().and_then(|w| w.1);
        let after = match assist.step(&before, limits, deadline) {
            Assisted::Root(after) => after,
            Assisted::End(exit) => return Ok(Some(exit)),
        };
        self.cr4_kept = after.cr4 & self.hidden_cr4;
        self.set_regs(state::to_regs(&after))?;
        let new = state::to_sregs(&after, &sregs, self.hidden_cr4);
        if new != sregs {
            self.set_sregs(new)?;
        }
        if after.dr != before.dr {
            let debugregs = state::to_debugregs(&after);
            self.vcpu.set_debug_regs(&debugregs).map_err(failed("KVM_SET_DEBUGREGS"))?;
        }
        if let Some((mut area, vectors, _)) = deep {
            let new = assist.vectors();
            if new != vectors {
                state::from_image(&new, &mut area);
                // SAFETY: no feature is enabled whose state would need more than the 4096 bytes of the structure.
                unsafe { self.vcpu.set_xsave(&area) }.map_err(failed("KVM_SET_XSAVE"))?;
            }
        }
        Ok(None)
    }

    fn internal(
        &mut self,
        suberror: u32,
        data: &[u64],
        limits: &Limits,
    ) -> Result<Option<VcpuExit>, EngineError> {
        let rip = self.regs()?.rip;
        let emulation = suberror == KVM_INTERNAL_ERROR_EMULATION;
        if emulation && let Some(assist) = &self.assist {
            let planted = assist.is_planted(rip);
            let bytes = exit::instruction_bytes(data).unwrap_or_else(|| self.ram.bytes(rip, 15));
            let why = (!planted).then(|| format!("KVM cannot emulate {bytes:02x?}"));
            return self.assist(limits, why);
        }
        let words: Vec<String> = data.iter().map(|d| format!("{d:#x}")).collect();
        let bytes = self.ram.bytes(rip, 15);
        Ok(Some(VcpuExit::Fault(format!(
            "KVM_EXIT_INTERNAL_ERROR: suberror {suberror}, data [{}], at {rip:#x} (bytes {bytes:02x?})",
            words.join(", ")
        ))))
    }
}

impl Vcpu for KvmVcpu {
    fn set_state(&mut self, state: &State) -> Result<(), EngineError> {
        self.cr4_kept = state.cr4 & self.hidden_cr4;
        let sregs = state::to_sregs(state, &self.sregs()?, self.hidden_cr4);
        self.set_sregs(sregs)?;
        self.set_regs(state::to_regs(state))?;
        self.vcpu.set_debug_regs(&state::to_debugregs(state)).map_err(failed("KVM_SET_DEBUGREGS"))
    }

    fn state(&mut self) -> Result<State, EngineError> {
        Ok(state::from_kvm(&self.regs()?, &self.sregs()?, &self.debugregs()?, self.cr4_kept))
    }

    fn run(&mut self, limits: &Limits) -> Result<VcpuExit, EngineError> {
        if self.watchdog.is_none() {
            let dog = Watchdog::new(limits.wall).map_err(EngineError::Watchdog)?;
            self.watchdog = Some((dog, Instant::now().checked_add(limits.wall)));
        }
        loop {
            if self.watchdog.as_ref().is_some_and(|w| w.0.expired()) {
                return Ok(VcpuExit::Budget(Limit::Wall(limits.wall)));
            }
            self.synced = self.sync;
            let exit = exit::enter(&mut self.vcpu, &mut self.devices.borrow_mut());
            let end = match exit {
                Exit::Done => {
                    let devices = self.devices.borrow();
                    (devices.exit.is_some() || devices.exhausted().is_some()).then_some(VcpuExit::Device)
                }
                Exit::Interrupted => None,
                Exit::Halted => Some(VcpuExit::Halted { rip: self.regs()?.rip }),
                Exit::Shutdown => Some(VcpuExit::Shutdown),
                Exit::Debug { pc } if self.assist.is_some() => {
                    // Of an INT3 that L1 has itself, RIP may be behind it already: the reference CPU executes it.
                    let mut regs = self.regs()?;
                    if regs.rip != pc {
                        regs.rip = pc;
                        self.set_regs(regs)?;
                    }
                    self.assist(limits, None)?
                }
                Exit::Debug { pc } => {
                    Some(VcpuExit::Fault(format!("KVM_EXIT_DEBUG at {pc:#x}, which nobody asked for")))
                }
                Exit::Internal { suberror, data } => self.internal(suberror, &data, limits)?,
                Exit::Other(text) => Some(VcpuExit::Fault(text)),
            };
            if let Some(end) = end {
                return Ok(end);
            }
        }
    }

    fn refusals(&self) -> Vec<&'static Rule> {
        self.assist.as_ref().map_or_else(Vec::new, |assist| assist.refusals().to_vec())
    }

    fn stats(&self) -> Stats {
        let assist = self.assist.as_ref();
        Stats {
            assists: assist.map_or(0, |a| a.count),
            assist_wall: assist.map_or_else(Default::default, |a| a.wall),
            ..Stats::default()
        }
    }
}
