//! The machine's memory, which is mapped to itself.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use l1_hypervisor::{memory::Memory, step};

static SIZE: AtomicU64 = AtomicU64::new(0);

/// Says how much memory there is; L1's paging structures map no more than 4 GiB.
pub fn set_size(bytes: u64) {
    SIZE.store(bytes.min(1 << 32), Relaxed);
}

/// How much memory there is, in bytes.
pub fn size() -> u64 {
    SIZE.load(Relaxed)
}

/// Physical memory for the builders of tables. Its users keep to the places of `rig_abi::layout`.
pub struct Phys;

/// The page table that was written last, as a whole: most are the same as the one before.
struct Template {
    first: u64,
    step: u64,
    entries: [u64; 512],
}
static mut TEMPLATE: Template = Template { first: 0, step: 0, entries: [0; 512] };

impl Memory for Phys {
    fn read(&self, at: u64) -> u64 {
        // SAFETY: mapped memory; volatile, since L2 and the processor write there too.
        unsafe { (at as *const u64).read_unaligned() }
    }

    fn write(&mut self, at: u64, value: u64) {
        // SAFETY: as above, and callers write only to tables of L2, the EPT and operands.
        unsafe { (at as *mut u64).write_unaligned(value) };
    }

    fn zero(&mut self, at: u64, len: u64) {
        fill(at, 0, len);
    }

    fn ramp(&mut self, at: u64, first: u64, step: u64, count: u64) {
        if count != 512 {
            for i in 0..count {
                self.write(at + 8 * i, first.wrapping_add(step.wrapping_mul(i)));
            }
            return;
        }
        let template = &raw mut TEMPLATE;
        // SAFETY: L1 is single-threaded and this is the only user of the template.
        let template = unsafe { &mut *template };
        if (template.first, template.step) != (first, step) {
            let mut value = first;
            for entry in &mut template.entries {
                *entry = value;
                value = value.wrapping_add(step);
            }
            (template.first, template.step) = (first, step);
        }
        copy(at, template.entries.as_ptr() as u64, 4096);
    }
}

/// Copies memory that does not overlap.
pub fn copy(to: u64, from: u64, len: u64) {
    // SAFETY: callers have checked both ranges.
    unsafe { core::ptr::copy_nonoverlapping(from as *const u8, to as *mut u8, len as usize) };
}

/// Fills memory.
pub fn fill(at: u64, byte: u8, len: u64) {
    // SAFETY: callers have checked the range.
    unsafe { core::ptr::write_bytes(at as *mut u8, byte, len as usize) };
}

/// Reads 1, 2, 4 or 8 bytes where a script may.
pub fn peek(at: u64, len: u64) -> Option<u64> {
    if !matches!(len, 1 | 2 | 4 | 8) || !step::writable(at, len, size()) {
        return None;
    }
    // SAFETY: the range is in memory and not L1's own.
    Some(unsafe {
        match len {
            1 => u64::from((at as *const u8).read_volatile()),
            2 => u64::from((at as *const u16).read_unaligned()),
            4 => u64::from((at as *const u32).read_unaligned()),
            _ => (at as *const u64).read_unaligned(),
        }
    })
}

/// Writes the low `len` bytes of a value where a script may; false if it may not.
pub fn poke(at: u64, value: u64, len: u64) -> bool {
    let allowed = len <= 8 && step::writable(at, len, size());
    if allowed {
        for (at, byte) in (at..at + len).zip(value.to_le_bytes()) {
            // SAFETY: the range is in memory and not L1's own.
            unsafe { (at as *mut u8).write_volatile(byte) };
        }
    }
    allowed
}
