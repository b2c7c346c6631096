//! I/O and MSR bitmaps, and those of VMREAD and VMWRITE.

use crate::mem::Mem;

/// Layout of the MSR bitmaps. SDM: "MSR-Bitmap Address".
const MSR_LOW_END: u32 = 0x2000;
const MSR_HIGH: u32 = 0xc000_0000;
const MSR_HIGH_END: u32 = MSR_HIGH + MSR_LOW_END;
const MSR_HIGH_OFFSET: u64 = 1024;
const MSR_WRITE_OFFSET: u64 = 2048;
/// Ports in one I/O bitmap. SDM: "I/O-Bitmap Addresses".
const PORTS: u32 = 0x8000;

/// Whether a bit of a bitmap is set. Where there is no memory every bit is.
pub(super) fn test_bit(mem: &Mem, bitmap: u64, bit: u64) -> bool {
    mem.phys_read(bitmap.wrapping_add(bit / 8)).is_none_or(|[byte]| byte >> (bit % 8) & 1 != 0)
}

/// Whether RDMSR or WRMSR exits under those bitmaps.
pub(super) fn msr_exits(mem: &Mem, bitmaps: u64, index: u32, write: bool) -> bool {
    let half = match index {
        0..MSR_LOW_END => 0,
        MSR_HIGH..MSR_HIGH_END => MSR_HIGH_OFFSET,
        _ => return true,
    };
    let base = bitmaps.wrapping_add(half).wrapping_add(if write { MSR_WRITE_OFFSET } else { 0 });
    test_bit(mem, base, u64::from(index % MSR_LOW_END))
}

/// Whether an access to `size` ports exits: if it touches any port whose bit is 1, or wraps around.
pub(super) fn io_exits(mem: &Mem, a: u64, b: u64, port: u16, size: u8) -> bool {
    let first = u32::from(port);
    let last = first + u32::from(size) - 1;
    last >= 2 * PORTS
        || (first..=last).any(|port| {
            let bitmap = if port < PORTS { a } else { b };
            test_bit(mem, bitmap, u64::from(port % PORTS))
        })
}
