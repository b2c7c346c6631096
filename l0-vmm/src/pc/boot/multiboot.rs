//! Multiboot 1, as GRUB and `qemu -kernel` do it. Multiboot Specification 0.6.96.

use super::{BootError, Loader, Payload, at, e820, elf, pvh, start};
use x86_ref::State;

const MAGIC: u32 = 0x1bad_b002;
const LOADER_MAGIC: u64 = 0x2bad_b002;
/// The header lies in this much of the file, aligned to 4 bytes.
const SEARCH: usize = 8192;
/// Flags that must be understood; of these we know pages and memory, and can do without graphics.
const REQUIRED: u32 = 0xffff;
const KNOWN: u32 = 0b111;
const ADDRESSES: u32 = 1 << 16;
/// Room for the information, and behind it lists and strings.
const INFO_SIZE: usize = 120;
const RAX: usize = 0;
const RBX: usize = 3;

/// Where in the file the header is, and its flags.
pub(super) fn header(image: &[u8]) -> Option<(usize, u32)> {
    let searched = &image[..image.len().min(SEARCH)];
    searched.chunks_exact(4).enumerate().find_map(|(n, bytes)| {
        let word = |at: usize| word(image, 4 * n + at);
        if u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) != MAGIC {
            return None;
        }
        let (flags, checksum) = (word(4)?, word(8)?);
        (MAGIC.wrapping_add(flags).wrapping_add(checksum) == 0).then_some((4 * n, flags))
    })
}

fn word(image: &[u8], at: usize) -> Option<u32> {
    image.get(at..)?.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes))
}

pub(super) fn load(loader: &Loader<'_>, payload: &Payload) -> Result<State, BootError> {
    let image = payload.image.as_slice();
    let Some((offset, flags)) = header(image) else { return Err(BootError::Unknown) };
    let wrong = |what: String| BootError::Multiboot { offset, what };
    if flags & REQUIRED & !KNOWN != 0 {
        return Err(wrong(format!("flags {flags:#x} ask for what nobody has defined")));
    }
    let (entry, end) = if flags & ADDRESSES != 0 {
        flat(loader, image, offset)?
    } else if elf::is(image) {
        let elf = elf::parse(image)?;
        let end = pvh::segments(loader, &elf)?;
        (physical_entry(&elf), end)
    } else {
        return Err(wrong("neither ELF nor addresses in the header (flag 16)".to_owned()));
    };
    let entry = u32::try_from(entry).map_err(|_| wrong(format!("entry {entry:#x} is beyond 4 GiB")))?;
    let info = information(loader, payload, end)?;
    Ok(State { gpr: start::gprs(&[(RAX, LOADER_MAGIC), (RBX, info)]), ..start::protected(loader, entry)? })
}

/// The entry of an ELF file is a physical address, or a virtual one in a segment that is loaded elsewhere.
fn physical_entry(elf: &elf::Elf<'_>) -> u64 {
    let inside = |base: u64, size: u64| elf.entry.checked_sub(base).is_some_and(|at| at < size);
    if elf.loads.iter().any(|s| inside(s.physical, s.size)) {
        return elf.entry;
    }
    let segment = elf.loads.iter().find(|s| inside(s.virtual_, s.size));
    segment.map_or(elf.entry, |s| elf.entry - s.virtual_ + s.physical)
}

/// "The address fields of Multiboot header".
fn flat(loader: &Loader<'_>, image: &[u8], offset: usize) -> Result<(u64, u64), BootError> {
    let wrong = |what: String| BootError::Multiboot { offset, what };
    let field = |n: usize| {
        let value = word(image, offset + n).map(u64::from);
        value.ok_or_else(|| wrong(format!("the file ends before the field at {:#x}", offset + n)))
    };
    let [header, load, load_end, bss_end, entry] =
        [field(12)?, field(16)?, field(20)?, field(24)?, field(28)?];
    let before = header.checked_sub(load).filter(|before| *before <= offset as u64).ok_or_else(|| {
        wrong(format!("header address {header:#x} and load address {load:#x} do not fit it"))
    })?;
    let file = &image[offset - before as usize..];
    let size = match load_end {
        0 => file.len() as u64,
        end => end
            .checked_sub(load)
            .ok_or_else(|| wrong(format!("load end {end:#x} is below the load address {load:#x}")))?,
    };
    let bytes = usize::try_from(size)
        .ok()
        .and_then(|size| file.get(..size))
        .ok_or_else(|| wrong(format!("{size:#x} bytes are to be loaded, the file has {:#x}", file.len())))?;
    let end = bss_end.max(load + size);
    loader.check("the image", load, end - load)?;
    loader.put("the image", load, bytes)?;
    Ok((entry, end))
}

/// "Boot information format".
fn information(loader: &Loader<'_>, payload: &Payload, end: u64) -> Result<u64, BootError> {
    let places = loader.modules(&payload.modules, loader.size, end)?;
    let mut data = vec![0u8; INFO_SIZE];
    let mut add = |bytes: &[u8]| {
        let at = data.len().next_multiple_of(4);
        data.resize(at, 0);
        data.extend_from_slice(bytes);
        (at::INFO as usize + at) as u32
    };
    let text = |text: &str| [text.as_bytes(), &[0]].concat();
    let line = match payload.command_line.as_str() {
        "" => payload.name.clone(),
        line => format!("{} {line}", payload.name),
    };
    let line = loader.line(&line)? as u32;
    let name = add(&text("nestrig"));
    let mut list = Vec::new();
    for (module, place) in payload.modules.iter().zip(&places) {
        let string = add(&text(&module.line));
        for n in [*place as u32, (*place as u32).wrapping_add(module.bytes.len() as u32), string, 0] {
            list.extend(n.to_le_bytes());
        }
    }
    let modules = add(&list);
    let mut map = Vec::new();
    for region in e820(loader.size) {
        map.extend(20u32.to_le_bytes());
        map.extend(region.base.to_le_bytes());
        map.extend(region.size.to_le_bytes());
        map.extend(region.kind.to_le_bytes());
    }
    let map_at = add(&map);
    let upper = (loader.size.saturating_sub(at::HIGH) >> 10) as u32;
    /// Memory, command line, modules, memory map, name of the loader.
    const FLAGS: u32 = 1 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 9;
    for (offset, value) in [
        (0, FLAGS),
        (4, (at::EBDA >> 10) as u32),
        (8, upper),
        (16, line),
        (20, payload.modules.len() as u32),
        (24, modules),
        (44, map.len() as u32),
        (48, map_at),
        (64, name),
    ] {
        data[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    }
    if data.len() as u64 > at::LINE - at::INFO {
        return Err(BootError::Modules("the multiboot information", payload.modules.len()));
    }
    loader.put("boot information", at::INFO, &data)?;
    Ok(at::INFO)
}
