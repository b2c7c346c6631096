//! Memory as instructions see it: segmentation is done by the caller of the `linear` functions, paging and EPT here.

use crate::{Cpu, NewCpuError, fault::Exec};
use vm_memory::GuestMemoryMmap;

/// Guest memory and the TLBs over it.
pub(crate) struct Mem {
    memory: GuestMemoryMmap,
}

/// On whose behalf memory is accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The instruction: user mode when CPL is 3.
    Data,
    /// Implicit supervisor access (descriptor tables, TSS), whatever the CPL.
    System,
}

impl Mem {
    pub fn new(memory: GuestMemoryMmap) -> Result<Self, NewCpuError> {
        Ok(Self { memory })
    }

    /// Reads physical memory (RAM only): `None` outside of it.
    pub fn phys_read<const N: usize>(&self, address: u64) -> Option<[u8; N]> {
        let _ = (address, &self.memory);
        None
    }

    /// Writes physical memory (RAM only); false outside of it. Decoded code there is dropped.
    pub fn phys_write(&mut self, address: u64, bytes: &[u8]) -> bool {
        let _ = (address, bytes);
        false
    }
}

impl Cpu {
    /// Reads 1, 2, 4 or 8 bytes at a linear address (zero-extended).
    pub(crate) fn read_linear(&mut self, linear: u64, size: usize, mode: Mode) -> Exec<u64> {
        let _ = (linear, size, mode);
        Err(self.unsupported("memory"))
    }

    /// Writes the low 1, 2, 4 or 8 bytes of `value` at a linear address. All or nothing.
    pub(crate) fn write_linear(&mut self, linear: u64, size: usize, value: u64, mode: Mode) -> Exec {
        let _ = (linear, size, value, mode);
        Err(self.unsupported("memory"))
    }

    /// Checks that a write of `size` bytes would succeed, setting A and D as it would: for read-modify-write and for
    /// instructions that must fault before they change anything.
    pub(crate) fn probe_write(&mut self, linear: u64, size: usize, mode: Mode) -> Exec {
        let _ = (linear, size, mode);
        Err(self.unsupported("memory"))
    }

    /// Reads any number of bytes at a linear address.
    pub(crate) fn read_linear_bytes(&mut self, linear: u64, to: &mut [u8], mode: Mode) -> Exec {
        let _ = (linear, to, mode);
        Err(self.unsupported("memory"))
    }

    /// Writes any number of bytes at a linear address. All or nothing up to a page boundary.
    pub(crate) fn write_linear_bytes(&mut self, linear: u64, from: &[u8], mode: Mode) -> Exec {
        let _ = (linear, from, mode);
        Err(self.unsupported("memory"))
    }

    /// Flushes every translation of the current address space (MOV to CR3, CR0, CR4 ...), global ones too.
    pub(crate) fn flush_tlb(&mut self) {}

    /// Flushes what translates this linear address in the current address space (INVLPG).
    pub(crate) fn flush_page(&mut self, linear: u64) {
        let _ = linear;
    }

    /// Loads the PAE PDPTEs from CR3 into [`Cpu::pdptr`] (MOV to CR0, CR3, CR4 with PAE paging): #GP(0) on reserved bits.
    pub(crate) fn load_pdptrs(&mut self, cr3: u64) -> Exec {
        let _ = cr3;
        Ok(())
    }

    /// Recomputes what follows from CR0, CR4, EFER, CPL, CS and the segments: seg_base, block-cache mode bits, which TLB is
    /// current. Call it after any change of these.
    pub(crate) fn mode_changed(&mut self) {}
}
