//! Exits of KVM: copied out of the run page, with every byte that it gives.
#![allow(unsafe_code, reason = "the run page is a union that the exit reason selects")]

use crate::devices::Devices;
use kvm_bindings::{KVM_EXIT_IO_IN, kvm_run};
use kvm_ioctls::{VcpuExit as KvmExit, VcpuFd};
use x86_ref::{Bus, Flow};

/// An exit, copied out of the run page.
pub(super) enum Exit {
    /// The devices have answered.
    Done,
    /// A signal came.
    Interrupted,
    /// HLT.
    Halted,
    /// Triple fault.
    Shutdown,
    /// An INT3, or another event that a debugger asks for.
    Debug { pc: u64 },
    /// KVM_EXIT_INTERNAL_ERROR, with all of its data.
    Internal { suberror: u32, data: Vec<u64> },
    /// Something that no machine of this kind should see.
    Other(String),
}

/// Enters the guest once and lets the devices answer.
pub(super) fn enter(vcpu: &mut VcpuFd, devices: &mut Devices) -> Exit {
    let exit = match vcpu.run() {
        Ok(exit) => exit,
        Err(e) if matches!(e.errno(), libc::EINTR | libc::EAGAIN) => return Exit::Interrupted,
        Err(e) => return Exit::Other(format!("KVM_RUN: {e}")),
    };
    devices.exits += 1;
    match exit {
        KvmExit::IoOut(..) | KvmExit::IoIn(..) => {
            io(vcpu.get_kvm_run(), devices);
            Exit::Done
        }
        KvmExit::MmioRead(address, data) => {
            let value = devices.mmio_read(address, data.len() as u8).to_le_bytes();
            for (to, from) in data.iter_mut().zip(value) {
                *to = from;
            }
            Exit::Done
        }
        KvmExit::MmioWrite(address, data) => {
            let mut value = [0; 8];
            for (to, from) in value.iter_mut().zip(data) {
                *to = *from;
            }
            devices.mmio_write(address, data.len() as u8, u64::from_le_bytes(value));
            Exit::Done
        }
        KvmExit::Hlt => Exit::Halted,
        KvmExit::Shutdown => Exit::Shutdown,
        KvmExit::Intr => Exit::Interrupted,
        KvmExit::Debug(arch) => Exit::Debug { pc: arch.pc },
        KvmExit::InternalError => {
            // SAFETY: the exit reason says that `internal` is the member in use.
            let internal = unsafe { vcpu.get_kvm_run().__bindgen_anon_1.internal };
            let data = internal.data.get(..internal.ndata as usize).unwrap_or(&internal.data).to_vec();
            Exit::Internal { suberror: internal.suberror, data }
        }
        KvmExit::FailEntry(reason, cpu) => {
            Exit::Other(format!("KVM_EXIT_FAIL_ENTRY: hardware reason {reason:#x} on CPU {cpu}"))
        }
        other => Exit::Other(format!("exit that this machine does not know: {other:?}")),
    }
}

/// Lets the devices answer an access to a port; a string instruction may have several in one exit.
fn io(run: &mut kvm_run, devices: &mut Devices) {
    // SAFETY: the exit reason says that `io` is the member in use.
    let io = unsafe { run.__bindgen_anon_1.io };
    let len = usize::from(io.size) * io.count as usize;
    let start = std::ptr::from_mut(run).cast::<u8>();
    // SAFETY: the kernel put that many bytes at that offset of the run page, all of which is mapped.
    let data = unsafe { std::slice::from_raw_parts_mut(start.add(io.data_offset as usize), len) };
    for item in data.chunks_exact_mut(usize::from(io.size).max(1)) {
        if u32::from(io.direction) == KVM_EXIT_IO_IN {
            let value = devices.io_in(io.port, io.size).to_le_bytes();
            for (to, from) in item.iter_mut().zip(value) {
                *to = from;
            }
        } else {
            let mut value = [0; 4];
            for (to, from) in value.iter_mut().zip(&*item) {
                *to = *from;
            }
            if devices.io_out(io.port, io.size, u32::from_le_bytes(value)) == Flow::Stop {
                break;
            }
        }
    }
}

/// The instruction's bytes, from the data of an emulation failure.
pub(super) fn instruction_bytes(data: &[u64]) -> Option<Vec<u8>> {
    const HAS_BYTES: u64 = 1;
    let (flags, rest) = data.split_first()?;
    if flags & HAS_BYTES == 0 {
        return None;
    }
    let bytes: Vec<u8> = rest.iter().flat_map(|d| d.to_le_bytes()).collect();
    let (size, bytes) = bytes.split_first()?;
    bytes.get(..usize::from(*size)).map(<[u8]>::to_vec)
}
