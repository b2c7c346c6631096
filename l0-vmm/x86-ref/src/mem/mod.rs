//! Memory as instructions see it: segmentation is done by the caller of the `linear` functions, paging and EPT here.

mod access;
pub(crate) mod ept;
pub(crate) mod paging;
#[allow(
    unsafe_code,
    reason = "guest memory is shared with devices and KVM: raw accesses, behind a safe interface"
)]
pub(crate) mod ram;
mod tlb;

#[cfg(test)]
mod tests;

use crate::{Cpu, NewCpuError, block::mode as bits, cpu::seg, state::Segment};
use ram::Ram;
pub(crate) use tlb::{ContextKey, Mem, Others};
use vm_memory::GuestMemoryMmap;
use x86_spec::vmx::caps::{Caps, Features};

/// On whose behalf memory is accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The instruction: user mode when CPL is 3.
    Data,
    /// Implicit supervisor access (descriptor tables, TSS), whatever the CPL.
    System,
}

/// What is done to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
    Fetch,
}

impl Mem {
    pub fn new(memory: GuestMemoryMmap) -> Result<Self, NewCpuError> {
        Ok(Self::over(Ram::new(memory)?))
    }

    /// Takes on what the processor model says about addresses.
    pub fn describe(&mut self, caps: &Caps) {
        // 32 bits are the least that there were, 52 the most that entries have room for; 0 stands for a model that says
        // nothing.
        self.physical_bits = match caps.maxphyaddr {
            0 => 36,
            bits => u32::from(bits).clamp(32, 52),
        };
        self.huge_pages = caps.features.contains(Features::PAGE_1G);
    }

    /// Reads physical memory (RAM only): `None` outside of it.
    pub fn phys_read<const N: usize>(&self, address: u64) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.ram.read(address, &mut bytes).then_some(bytes)
    }

    /// Reads any number of bytes of physical memory (RAM only); false outside of it.
    pub fn phys_read_bytes(&self, address: u64, to: &mut [u8]) -> bool {
        self.ram.read(address, to)
    }

    /// Writes physical memory (RAM only); false outside of it. Decoded code there is dropped.
    pub fn phys_write(&mut self, address: u64, bytes: &[u8]) -> bool {
        let done = self.ram.write(address, bytes);
        if done {
            self.written(address, bytes.len() as u64);
        }
        done
    }

    /// Bytes of RAM: it begins at address 0.
    pub fn ram_size(&self) -> u64 {
        self.ram.len()
    }
}

/// Whether every offset of a segment can be read and written without a look at it: a writable data segment that grows up,
/// with a limit of 4 GBytes.
fn flat(s: &Segment) -> bool {
    const UNUSABLE: u32 = 1 << 16;
    // Type: writable data, expand-up.
    s.rights & UNUSABLE == 0 && s.rights & 0b1110 == 0b0010 && s.limit == u32::MAX
}

impl Cpu {
    /// Flushes every translation of the current address space (MOV to CR3, CR0, CR4 ...), global ones too.
    pub(crate) fn flush_tlb(&mut self) {
        self.mem.flush();
    }

    /// Flushes what translates this linear address in the current address space (INVLPG).
    pub(crate) fn flush_page(&mut self, linear: u64) {
        self.mem.flush_page(linear);
    }

    /// Another owner of the memory (a device, KVM) may have written to it, or another processor's run changed translations:
    /// decoded code is compared with memory before it runs again, and translations are made anew.
    pub fn memory_changed(&mut self) {
        self.mem.generation += 1;
        self.mem.flush_all_contexts();
    }

    /// Another processor may have written to memory: decoded code is compared with memory before it runs again.
    /// Translations stay, as on hardware.
    pub fn memory_written(&mut self) {
        self.mem.renew_stamps();
    }

    /// Recomputes what follows from CR0, CR4, EFER, CPL, CS and the segments: seg_base, block-cache mode bits, which TLB is
    /// current. Call it after any change of these, of RFLAGS.VM and AC, and of DR7.
    pub(crate) fn mode_changed(&mut self) {
        let long = self.long64();
        let cs = &self.seg[seg::CS];
        let mut mode = if long {
            bits::CODE64
        } else if cs.rights & 1 << 14 != 0 {
            bits::CODE32
        } else {
            bits::CODE16
        };
        for (base, s) in self.seg_base.iter_mut().zip(&self.seg) {
            *base = s.base;
        }
        if long {
            for n in [seg::ES, seg::CS, seg::SS, seg::DS] {
                self.seg_base[n] = 0;
            }
        }
        self.linear_mask = if long { u64::MAX } else { 0xffff_ffff };
        self.watched = self.accesses_watched();
        let all_flat = [seg::ES, seg::SS, seg::DS].iter().all(|&n| flat(&self.seg[n]));
        if self.watched || !long && !all_flat {
            mode |= bits::CHECKED;
        }
        let reach = if mode & bits::SIZE == bits::CODE32 { u32::MAX } else { 0xffff };
        if !long && cs.limit < reach {
            mode |= bits::LIMITED;
        }
        if long || self.seg[seg::SS].rights & 1 << 14 != 0 {
            mode |= bits::STACK32;
        }
        let user = self.cpl == 3;
        if user {
            mode |= bits::USER;
        }
        self.mem.set_mode(mode, self.seg_base[seg::CS], user);
    }
}
