//! What the machine is like when L1 begins: memory and the processor's state.

use crate::{
    engine::{Job, Script},
    image::Image,
    ram::Ram,
};
use rig_abi::{boot, layout};
use x86_ref::{DescTable, Segment, State};
use x86_spec::cr::{cr0, cr4, efer};
use zerocopy::IntoBytes;

#[cfg(test)]
mod tests;

/// Images or script cannot be put into the machine's memory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BootError {
    /// The script has too many bytes.
    #[error("the script has {0:#x} bytes, more than the {max:#x} that there is room for", max = layout::SCRIPT_MAX)]
    Script(u64),
    /// A segment of L1 lies where there is no memory, or where L0 puts something else.
    #[error("the segment of L1 at {address:#x} (size {size:#x}) does not lie in {low:#x}..{high:#x}")]
    L1 {
        /// Its address.
        address: u64,
        /// Its size.
        size: u64,
        /// Lowest address allowed.
        low: u64,
        /// End of the addresses allowed.
        high: u64,
    },
    /// The L2 image does not lie at the place for it.
    #[error("the L2 image lies at {low:#x}..{high:#x}, not in the {max:#x} bytes from {at:#x}", at = layout::L2_IMAGE, max = layout::L2_IMAGE_MAX)]
    L2 {
        /// Its lowest address.
        low: u64,
        /// Its end.
        high: u64,
    },
}

/// Descriptors of flat segments; L1 brings its own, this is what its selectors mean until then.
const GDT: [u64; 5] = [0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff, 0x0000_8b00_0000_0067, 0];
/// Behind [`boot::BootInfo`], in its page.
const GDT_AT: u64 = layout::BOOT_INFO + 0x800;
const CODE: u16 = 0x08;
const DATA: u16 = 0x10;
const TASK: u16 = 0x18;

/// Fills a fresh memory for a job.
pub(crate) fn load(ram: &Ram, job: &Job) -> Result<(), BootError> {
    load_l1(ram, &job.l1)?;
    let l2 = load_l2(ram, &job.l2)?;
    let script = load_script(ram, &job.script)?;
    put(ram, layout::L1_PAGING, paging().as_bytes());
    put(ram, GDT_AT, GDT.as_bytes());
    let info = boot::BootInfo {
        magic: boot::MAGIC,
        version: rig_abi::VERSION,
        steps: job.script.steps.len() as u32,
        script: layout::SCRIPT,
        script_len: script,
        ring: layout::RING,
        ring_len: layout::RING_SIZE,
        l2: layout::L2_PRISTINE,
        l2_len: l2,
        ram: layout::RAM_SIZE,
    };
    put(ram, layout::BOOT_INFO, info.as_bytes());
    Ok(())
}

fn load_l1(ram: &Ram, image: &Image) -> Result<(), BootError> {
    let (low, high) = (layout::L1_IMAGE, layout::L1_PAGING);
    for s in &image.segments {
        let end = s.address.checked_add(s.size);
        if s.address < low || end.is_none_or(|e| e > high) || s.bytes.len() as u64 > s.size {
            return Err(BootError::L1 { address: s.address, size: s.size, low, high });
        }
        put(ram, s.address, &s.bytes);
    }
    Ok(())
}

fn load_l2(ram: &Ram, image: &Image) -> Result<u64, BootError> {
    let at = image.range();
    let most = layout::L2_IMAGE..layout::L2_IMAGE + layout::L2_IMAGE_MAX;
    if !at.is_empty() && (at.start < most.start || at.end > most.end) {
        return Err(BootError::L2 { low: at.start, high: at.end });
    }
    let bytes = image.flatten(layout::L2_IMAGE);
    put(ram, layout::L2_PRISTINE, &bytes);
    Ok(bytes.len() as u64)
}

fn load_script(ram: &Ram, script: &Script) -> Result<u64, BootError> {
    let steps = script.steps.as_slice().as_bytes();
    let len = steps.len() as u64 + script.bytes.len() as u64;
    if len > layout::SCRIPT_MAX {
        return Err(BootError::Script(len));
    }
    put(ram, layout::SCRIPT, steps);
    put(ram, layout::SCRIPT + steps.len() as u64, &script.bytes);
    Ok(len)
}

/// Writes where the layout says that there is room: sizes were checked before.
fn put(ram: &Ram, address: u64, bytes: &[u8]) {
    let done = ram.write(address, bytes);
    debug_assert!(done, "{:#x} bytes at {address:#x}", bytes.len());
}

/// Paging structures that map 4 GiB to themselves in pages of 2 MiB: PML4, PDPT, and four page directories.
fn paging() -> Vec<u64> {
    const ENTRIES: u64 = 512;
    const PRESENT_WRITABLE: u64 = 3;
    const LARGE: u64 = 1 << 7;
    let mut tables = vec![0; 6 * ENTRIES as usize];
    let table = |n: u64| (layout::L1_PAGING + n * layout::PAGE) | PRESENT_WRITABLE;
    tables[0] = table(1);
    for gib in 0..4 {
        tables[(ENTRIES + gib) as usize] = table(2 + gib);
        for entry in 0..ENTRIES {
            let number = gib * ENTRIES + entry;
            tables[(2 * ENTRIES + number) as usize] = (number << 21) | LARGE | PRESENT_WRITABLE;
        }
    }
    tables
}

/// The processor's state at the entry point: 64-bit mode, interrupts disabled, RDI = [`boot::BootInfo`].
pub(crate) fn state(entry: u64) -> State {
    const RDI: usize = 7;
    const RIGHTS_CODE64: u32 = 0xa09b;
    const RIGHTS_DATA: u32 = 0xc093;
    const RIGHTS_TSS_BUSY: u32 = 0x8b;
    const RIGHTS_UNUSABLE: u32 = 1 << 16;
    const DR6_RESET: u64 = 0xffff_0ff0;
    const DR7_RESET: u64 = 0x400;
    let data = Segment { selector: DATA, base: 0, limit: u32::MAX, rights: RIGHTS_DATA };
    let code = Segment { selector: CODE, rights: RIGHTS_CODE64, ..data };
    let mut gpr = [0; 16];
    gpr[RDI] = layout::BOOT_INFO;
    State {
        gpr,
        rip: entry,
        rflags: 2,
        seg: [data, code, data, data, data, data],
        ldtr: Segment { rights: RIGHTS_UNUSABLE, ..Segment::default() },
        tr: Segment { selector: TASK, base: 0, limit: 0x67, rights: RIGHTS_TSS_BUSY },
        gdtr: DescTable { base: GDT_AT, limit: size_of_val(&GDT) as u16 - 1 },
        // No interrupt table: an exception before L1 has brought its own is a triple fault.
        idtr: DescTable::default(),
        cr0: cr0::PE | cr0::MP | cr0::ET | cr0::NE | cr0::WP | cr0::PG,
        cr3: layout::L1_PAGING,
        cr4: cr4::PAE | cr4::OSFXSR | cr4::OSXMMEXCPT,
        efer: efer::LME | efer::LMA | efer::NXE,
        dr: [0, 0, 0, 0, DR6_RESET, DR7_RESET],
        ..State::default()
    }
}
