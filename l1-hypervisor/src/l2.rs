//! What L2 finds in its memory: paging structures, GDT, IDT or IVT, and TSS, for each mode.
//!
//! L2 has a handler for each of the vectors 0 to 31, of two instructions: HLT and a jump back to it. So an exception
//! that is delivered in L2 shows as a HLT exit at [`vector_stub`].

use crate::memory::Memory;
use rig_abi::{
    layout::{self, PAGE},
    script::Mode,
};

/// Selectors of L2's GDT.
pub mod selector {
    /// 64-bit code.
    pub const CODE64: u16 = 0x08;
    /// Flat data.
    pub const DATA: u16 = 0x10;
    /// Flat 32-bit code.
    pub const CODE32: u16 = 0x18;
    /// Flat 32-bit code, DPL 3.
    pub const USER_CODE32: u16 = 0x23;
    /// Flat data, DPL 3.
    pub const USER_DATA: u16 = 0x2b;
    /// 64-bit code, DPL 3.
    pub const USER_CODE64: u16 = 0x33;
    /// The task-state segment; 16 bytes.
    pub const TSS: u16 = 0x38;
    /// 16-bit code at `L2_IMAGE`.
    pub const CODE16: u16 = 0x48;
    /// 16-bit data at `L2_DATA`.
    pub const DATA16: u16 = 0x50;
}

/// The descriptors, in the order of [`selector`]; the TSS's is put in by [`descriptors`]. SDM: "Segment Descriptors".
const GDT: [u64; 11] = [
    0,
    0x00af_9b00_0000_ffff,
    0x00cf_9300_0000_ffff,
    0x00cf_9b00_0000_ffff,
    0x00cf_fb00_0000_ffff,
    0x00cf_f300_0000_ffff,
    0x00af_fb00_0000_ffff,
    0x0000_8b00_0000_0000 | TSS_LIMIT | (layout::L2_TSS & 0xff_ffff) << 16,
    0,
    0x0000_9b01_0000_ffff,
    0x0000_9303_0000_ffff,
];

/// Limit of the GDT.
pub const GDT_LIMIT: u64 = 8 * GDT.len() as u64 - 1;
/// Limit of the TSS; the base of its I/O bitmap lies beyond.
pub const TSS_LIMIT: u64 = 0x67;
/// Number of vectors that have a handler.
pub const VECTORS: u64 = 32;

const STUBS: u64 = layout::L2_CODE + 0x800;
/// `hlt`, `jmp` to it, and what is never reached.
const STUB: u64 = u64::from_le_bytes([0xf4, 0xeb, 0xfd, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc]);
/// Present, writable, user.
const TABLE: u64 = 7;
const LARGE: u64 = 1 << 7;

/// Where L2's handler of a vector is.
pub const fn vector_stub(vector: u64) -> u64 {
    STUBS + 8 * vector
}

/// Limit of the IDT (of the IVT, in real mode).
pub const fn idt_limit(mode: Mode) -> u64 {
    match mode {
        Mode::REAL => 0x3ff,
        Mode::LONG64 => 16 * VECTORS - 1,
        _ => 8 * VECTORS - 1,
    }
}

/// CR3 of a mode; 0 without paging.
pub const fn cr3(mode: Mode) -> u64 {
    match mode {
        Mode::PAGED32 => layout::L2_PD,
        Mode::PAE => layout::L2_PDPT,
        Mode::LONG64 => layout::L2_PML4,
        _ => 0,
    }
}

/// The first page-directory-pointer-table entry of PAE paging; the others are not present.
pub const PDPTE0: u64 = (layout::L2_PDPT + PAGE) | 1;

/// Writes everything that L2 needs in a mode.
pub fn prepare(memory: &mut impl Memory, mode: Mode) {
    paging(memory, mode);
    descriptors(memory, mode);
}

/// Writes the paging structures of a mode: the machine's memory mapped to itself, user and writable, accessed and dirty
/// flags clear; with 4-KiB pages where the first table reaches (2 MiB, or 4 MiB with 32-bit paging).
fn paging(memory: &mut impl Memory, mode: Mode) {
    let directory = match mode {
        Mode::PAGED32 => {
            let (directory, table) = (layout::L2_PD, layout::L2_PD + PAGE);
            // Two entries of 32 bits at a time.
            memory.ramp(table, (PAGE | TABLE) << 32 | TABLE, ((2 * PAGE) << 32) | (2 * PAGE), 512);
            memory.write(directory, ((4 << 20) | LARGE | TABLE) << 32 | table | TABLE);
            memory.write(directory + 8, ((12 << 20) | LARGE | TABLE) << 32 | (8 << 20) | LARGE | TABLE);
            return;
        }
        Mode::PAE => {
            memory.write(layout::L2_PDPT, PDPTE0);
            layout::L2_PDPT + PAGE
        }
        Mode::LONG64 => {
            memory.write(layout::L2_PML4, (layout::L2_PML4 + PAGE) | TABLE);
            memory.write(layout::L2_PML4 + PAGE, (layout::L2_PML4 + 2 * PAGE) | TABLE);
            layout::L2_PML4 + 2 * PAGE
        }
        _ => return,
    };
    let table = directory + PAGE;
    memory.ramp(table, TABLE, PAGE, 512);
    memory.write(directory, table | TABLE);
    memory.ramp(directory + 8, (2 << 20) | LARGE | TABLE, 2 << 20, layout::RAM_SIZE / (2 << 20) - 1);
}

/// Writes GDT, IDT or IVT, TSS and the handlers.
fn descriptors(memory: &mut impl Memory, mode: Mode) {
    memory.ramp(vector_stub(0), STUB, 0, VECTORS);
    for (at, descriptor) in (layout::L2_GDT..).step_by(8).zip(GDT) {
        memory.write(at, descriptor);
    }
    // SP0 (with SS0 behind it in 32-bit mode), and the base of the I/O bitmap in the last two bytes.
    let ss0 = if mode == Mode::LONG64 { 0 } else { selector::DATA as u64 };
    memory.write(layout::L2_TSS + 4, ss0 << 32 | layout::L2_STACK_TOP);
    memory.write(layout::L2_TSS + 0x60, (TSS_LIMIT + 1) << 48);
    // Interrupt gates with DPL 3. SDM: "IDT Descriptors", "64-Bit Mode IDT".
    let gate = |code: u16, vector| {
        let at = vector_stub(vector);
        at & 0xffff | u64::from(code) << 16 | 0xee00 << 32 | (at >> 16) << 48
    };
    match mode {
        Mode::REAL => {
            let far = |vector| (layout::L2_CODE >> 4) << 16 | (vector_stub(vector) - layout::L2_CODE);
            for vector in (0..VECTORS).step_by(2) {
                memory.write(layout::L2_IVT + 4 * vector, far(vector + 1) << 32 | far(vector));
            }
        }
        Mode::LONG64 => {
            for vector in 0..VECTORS {
                memory.write(layout::L2_IDT + 16 * vector, gate(selector::CODE64, vector));
                memory.write(layout::L2_IDT + 16 * vector + 8, 0);
            }
        }
        _ => memory.ramp(layout::L2_IDT, gate(selector::CODE32, 0), 8, VECTORS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Bytes;
    use std::vec;

    fn prepared(mode: Mode) -> Bytes {
        let mut memory = Bytes(vec![0; layout::L1_IMAGE as usize]);
        prepare(&mut memory, mode);
        memory
    }

    /// 64-bit and PAE page directories alike.
    fn walk(memory: &Bytes, directory: u64, linear: u64) -> u64 {
        let entry = memory.read(directory + 8 * (linear >> 21));
        if entry & LARGE != 0 {
            return (entry & !0xfff) + (linear & 0x1f_ffff);
        }
        (memory.read((entry & !0xfff) + 8 * (linear >> 12 & 511)) & !0xfff) + (linear & 0xfff)
    }

    #[test]
    fn long_mode_and_pae_map_memory_to_itself() {
        let memory = prepared(Mode::LONG64);
        let pdpt = memory.read(layout::L2_PML4) & !0xfff;
        let long = memory.read(pdpt) & !0xfff;
        let memory_pae = prepared(Mode::PAE);
        let pae = memory_pae.read(layout::L2_PDPT) & !0xfff;
        for linear in [0, 0x1_2345, 0x1f_ffff, 0x20_0000, 0xff_ffff] {
            assert_eq!(walk(&memory, long, linear), linear);
            assert_eq!(walk(&memory_pae, pae, linear), linear);
        }
        assert_eq!(memory.read(long + 8 * 8), 0);
    }

    #[test]
    fn paged32_maps_memory_to_itself() {
        let memory = prepared(Mode::PAGED32);
        let entry = |at| memory.read(at) as u32;
        for linear in [0, 0x1_2345_u32, 0x3f_f123, 0x40_0000, 0xff_ffff] {
            let pde = entry(layout::L2_PD + 4 * u64::from(linear >> 22));
            let mapped = if pde & 0x80 != 0 {
                (pde & 0xffc0_0000) + (linear & 0x3f_ffff)
            } else {
                (entry(u64::from(pde & !0xfff) + 4 * u64::from(linear >> 12 & 1023)) & !0xfff)
                    + (linear & 0xfff)
            };
            assert_eq!(mapped, linear);
        }
    }

    #[test]
    fn every_vector_leads_to_its_handler() {
        let long = prepared(Mode::LONG64);
        let flat = prepared(Mode::PROTECTED);
        let real = prepared(Mode::REAL);
        for vector in 0..VECTORS {
            let at = vector_stub(vector);
            assert_eq!(long.read(at), STUB);
            for gate in [long.read(layout::L2_IDT + 16 * vector), flat.read(layout::L2_IDT + 8 * vector)] {
                assert_eq!(gate & 0xffff | gate >> 48 << 16, at);
                assert_eq!(gate >> 40 & 0xff, 0xee);
            }
            let far = real.read(4 * vector) & 0xffff_ffff;
            assert_eq!((far >> 16) * 16 + (far & 0xffff), at);
        }
    }

    #[test]
    fn selectors_name_their_descriptors() {
        let at = |selector: u16| GDT[usize::from(selector >> 3)];
        assert_eq!(at(selector::CODE64) >> 53 & 1, 1, "L");
        assert_eq!(at(selector::CODE32) >> 53 & 3, 2, "D");
        for user in [selector::USER_CODE32, selector::USER_DATA, selector::USER_CODE64] {
            assert_eq!((user & 3, at(user) >> 45 & 3), (3, 3));
        }
        assert_eq!(at(selector::TSS) >> 16 & 0xff_ffff, layout::L2_TSS);
        assert_eq!(at(selector::CODE16) >> 16 & 0xff_ffff, layout::L2_IMAGE);
        assert_eq!(at(selector::DATA16) >> 16 & 0xff_ffff, layout::L2_DATA);
    }
}
