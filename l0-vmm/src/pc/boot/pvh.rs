//! Xen's PVH entry: an ELF note gives a 32-bit physical entry. Xen: docs/misc/pvh.pandoc, public/arch-x86/hvm/start_info.h.

use super::{BootError, ElfError, Loader, Payload, at, e820, elf, start};
use crate::pc::tables;
use x86_ref::State;

/// XEN_ELFNOTE_PHYS32_ENTRY.
const PHYS32_ENTRY: u32 = 18;
const MAGIC: u32 = 0x336e_c578;
const RBX: usize = 3;

/// The PVH entry of an image, if it has one.
pub(super) fn entry(image: &[u8]) -> Result<Option<u32>, ElfError> {
    if !elf::is(image) {
        return Ok(None);
    }
    let elf = elf::parse(image)?;
    let note = elf.notes.iter().find_map(|notes| elf::note(notes, b"Xen", PHYS32_ENTRY));
    Ok(note.and_then(|bytes| bytes.first_chunk::<4>()).map(|bytes| u32::from_le_bytes(*bytes)))
}

pub(super) fn load(loader: &Loader<'_>, payload: &Payload) -> Result<State, BootError> {
    let Some(entry) = entry(&payload.image)? else { return Err(BootError::Unknown) };
    let elf = elf::parse(&payload.image)?;
    let end = segments(loader, &elf)?;
    let line = loader.line(&payload.command_line)?;
    let places = loader.modules(&payload.modules, loader.size, end)?;
    let map = e820(loader.size);
    // The list of modules, then the memory map.
    let map_at = at::LISTS + 32 * payload.modules.len() as u64;
    let mut lists = Vec::new();
    for (module, place) in payload.modules.iter().zip(places) {
        for n in [place, module.bytes.len() as u64, 0, 0] {
            lists.extend(n.to_le_bytes());
        }
    }
    for region in &map {
        lists.extend(region.base.to_le_bytes());
        lists.extend(region.size.to_le_bytes());
        lists.extend(region.kind.to_le_bytes());
        lists.extend([0; 4]);
    }
    if lists.len() as u64 > at::PAGING - at::LISTS {
        return Err(BootError::Modules("the PVH information page", payload.modules.len()));
    }
    loader.put("lists", at::LISTS, &lists)?;
    let mut info = Vec::new();
    for n in [MAGIC, 1, 0, payload.modules.len() as u32] {
        info.extend(n.to_le_bytes());
    }
    for n in [at::LISTS, line, tables::AT, map_at] {
        info.extend(n.to_le_bytes());
    }
    info.extend((map.len() as u32).to_le_bytes());
    info.extend([0; 4]);
    loader.put("start information", at::INFO, &info)?;
    Ok(State { gpr: start::gprs(&[(RBX, at::INFO)]), ..start::protected(loader, entry)? })
}

/// Puts an ELF file's segments at their physical addresses; gives the end of the last.
pub(super) fn segments(loader: &Loader<'_>, elf: &elf::Elf<'_>) -> Result<u64, BootError> {
    let mut end = at::HIGH;
    for segment in &elf.loads {
        loader.check("a segment", segment.physical, segment.size)?;
        loader.put("a segment", segment.physical, segment.bytes)?;
        // Fresh memory is zero, so what the file does not fill needs nothing.
        end = end.max(segment.physical + segment.size);
    }
    Ok(end)
}
