//! ELF images of L1 and L2.
//!
//! An image is hostile input until it has been checked: every rule that it breaks is an error that names the place and
//! the values, and none is a panic.

use goblin::elf::{Elf, program_header as ph, section_header as sh, sym};
use std::ops::Range;

#[cfg(test)]
mod tests;

/// Name of the section that lists the addresses of L1's sensitive instructions, as little-endian 64-bit numbers.
pub const SENSITIVE_SECTION: &str = ".nestrig.sensitive";

/// Most bytes that an image file may have.
pub const MAX_FILE: usize = 64 << 20;

/// An image that was checked and can be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// What to load, in ascending order of addresses, without overlap.
    pub segments: Vec<Segment>,
    /// Where execution begins.
    pub entry: u64,
    /// Named places, in ascending order of addresses.
    pub symbols: Vec<Symbol>,
    /// Addresses of instructions that a machine without nested virtualization cannot run, ascending.
    pub sensitive: Vec<u64>,
}

/// A piece of memory to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Physical address.
    pub address: u64,
    /// The bytes that the file gives.
    pub bytes: Vec<u8>,
    /// Size in memory; what is behind `bytes` is zero.
    pub size: u64,
    /// Whether it holds code.
    pub executable: bool,
    /// Whether the image writes to it.
    pub writable: bool,
}

/// A named place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Name, as the linker knows it.
    pub name: String,
    /// Address.
    pub address: u64,
    /// Size in bytes, 0 if it is not known.
    pub size: u64,
}

/// What is wrong with an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// Larger than [`MAX_FILE`].
    #[error("the file has {0} bytes; at most {MAX_FILE} make sense")]
    TooLarge(usize),
    /// Not an ELF file, or its headers are broken.
    #[error("not a readable ELF file: {0}")]
    Elf(String),
    /// An ELF file of another kind.
    #[error("{what} is {found}, expected {expected}")]
    Kind {
        /// Which property.
        what: &'static str,
        /// What it is.
        found: u64,
        /// What it must be.
        expected: &'static str,
    },
    /// A segment needs more bytes than the file has.
    #[error("segment {index}: bytes {offset:#x}+{filesz:#x} lie beyond the end of the file ({len:#x})")]
    BeyondFile {
        /// Index of the program header.
        index: usize,
        /// Offset in the file.
        offset: u64,
        /// Bytes wanted.
        filesz: u64,
        /// Length of the file.
        len: u64,
    },
    /// A segment has more bytes in the file than in memory.
    #[error("segment {index}: {filesz:#x} bytes in the file, but only {memsz:#x} in memory")]
    FileLarger {
        /// Index of the program header.
        index: usize,
        /// Size in the file.
        filesz: u64,
        /// Size in memory.
        memsz: u64,
    },
    /// A segment lies where this image may not be.
    #[error("segment {index}: {address:#x}+{size:#x} is outside of {low:#x}..{high:#x}")]
    Outside {
        /// Index of the program header.
        index: usize,
        /// Its address.
        address: u64,
        /// Its size in memory.
        size: u64,
        /// Lowest address allowed.
        low: u64,
        /// End of the addresses allowed.
        high: u64,
    },
    /// Physical and linear address differ.
    #[error("segment {index}: linked at {virt:#x} but loaded at {phys:#x}")]
    Moved {
        /// Index of the program header.
        index: usize,
        /// Linear address.
        virt: u64,
        /// Physical address.
        phys: u64,
    },
    /// Two segments share memory.
    #[error("segments at {a:#x} (size {a_size:#x}) and {b:#x} overlap")]
    Overlap {
        /// The lower one.
        a: u64,
        /// Its size.
        a_size: u64,
        /// The other one.
        b: u64,
    },
    /// There is nothing to load.
    #[error("no segment to load (PT_LOAD)")]
    Empty,
    /// The entry point is not in the image.
    #[error("the entry point {0:#x} lies in no executable segment")]
    Entry(u64),
    /// The list of sensitive instructions makes no sense.
    #[error("section {SENSITIVE_SECTION}: {0}")]
    Sensitive(String),
}

impl Image {
    /// Reads and checks an image; everything that it loads must lie in `allowed`.
    pub fn parse(file: &[u8], allowed: Range<u64>) -> Result<Self, ImageError> {
        if file.len() > MAX_FILE {
            return Err(ImageError::TooLarge(file.len()));
        }
        let elf = Elf::parse(file).map_err(|e| ImageError::Elf(e.to_string()))?;
        check_kind(&elf)?;
        let segments = segments(&elf, file, &allowed)?;
        let covers = |address: u64| {
            segments
                .iter()
                .any(|s| s.executable && address >= s.address && address - s.address < s.bytes.len() as u64)
        };
        if !covers(elf.entry) {
            return Err(ImageError::Entry(elf.entry));
        }
        let sensitive = sensitive(&elf, file, covers)?;
        Ok(Self { entry: elf.entry, symbols: symbols(&elf, &segments), sensitive, segments })
    }

    /// The symbol that an address lies in or behind, and the distance from it. Only addresses inside the image have one.
    pub fn symbolize(&self, address: u64) -> Option<(&str, u64)> {
        let segment = self.segments.iter().find(|s| address >= s.address && address - s.address < s.size)?;
        let end = self.symbols.partition_point(|s| s.address <= address);
        let before = &self.symbols[..end];
        // The nearest one below; of several at the same address the one that says how long it is.
        let nearest = before.last()?.address;
        if nearest < segment.address {
            return None;
        }
        let same = before.iter().rev().take_while(|s| s.address == nearest);
        let best = same.max_by_key(|s| address - nearest < s.size)?;
        Some((&best.name, address - nearest))
    }

    /// The address of a symbol.
    pub fn symbol(&self, name: &str) -> Option<u64> {
        self.symbols.iter().find(|s| s.name == name).map(|s| s.address)
    }

    /// Where the image lies in memory.
    pub fn range(&self) -> Range<u64> {
        let low = self.segments.first().map_or(0, |s| s.address);
        low..self.segments.last().map_or(low, |s| s.address + s.size)
    }

    /// The image as it lies in memory from `base`, which is at or below its first segment.
    pub fn flatten(&self, base: u64) -> Vec<u8> {
        let end = self.range().end.saturating_sub(base) as usize;
        let mut memory = vec![0; end];
        for s in &self.segments {
            let Some(at) = s.address.checked_sub(base) else { continue };
            if let Some(to) = memory.get_mut(at as usize..at as usize + s.bytes.len()) {
                to.copy_from_slice(&s.bytes);
            }
        }
        memory
    }
}

fn check_kind(elf: &Elf<'_>) -> Result<(), ImageError> {
    use goblin::elf::header::{EM_X86_64, ET_EXEC};
    let kind = |what, found, expected| Err(ImageError::Kind { what, found, expected });
    if !elf.is_64 || !elf.little_endian {
        return kind("the class", u64::from(elf.is_64), "64-bit, little-endian");
    }
    if elf.header.e_machine != EM_X86_64 {
        return kind("the machine", elf.header.e_machine.into(), "62 (x86-64)");
    }
    if elf.header.e_type != ET_EXEC {
        return kind("the type", elf.header.e_type.into(), "2 (executable, linked to its addresses)");
    }
    Ok(())
}

fn segments(elf: &Elf<'_>, file: &[u8], allowed: &Range<u64>) -> Result<Vec<Segment>, ImageError> {
    let mut segments = Vec::new();
    for (index, p) in elf.program_headers.iter().enumerate() {
        if p.p_type != ph::PT_LOAD || p.p_memsz == 0 {
            continue;
        }
        let (offset, filesz, memsz) = (p.p_offset, p.p_filesz, p.p_memsz);
        if filesz > memsz {
            return Err(ImageError::FileLarger { index, filesz, memsz });
        }
        if p.p_paddr != p.p_vaddr {
            return Err(ImageError::Moved { index, virt: p.p_vaddr, phys: p.p_paddr });
        }
        let end = p.p_paddr.checked_add(memsz);
        if p.p_paddr < allowed.start || end.is_none_or(|e| e > allowed.end) {
            let (address, low, high) = (p.p_paddr, allowed.start, allowed.end);
            return Err(ImageError::Outside { index, address, size: memsz, low, high });
        }
        let bytes = range(file, offset, filesz);
        let bytes =
            bytes.ok_or(ImageError::BeyondFile { index, offset, filesz, len: file.len() as u64 })?.to_vec();
        segments.push(Segment {
            address: p.p_paddr,
            bytes,
            size: memsz,
            executable: p.p_flags & ph::PF_X != 0,
            writable: p.p_flags & ph::PF_W != 0,
        });
    }
    segments.sort_by_key(|s| s.address);
    for pair in segments.windows(2) {
        if pair[0].address + pair[0].size > pair[1].address {
            return Err(ImageError::Overlap { a: pair[0].address, a_size: pair[0].size, b: pair[1].address });
        }
    }
    if segments.is_empty() {
        return Err(ImageError::Empty);
    }
    Ok(segments)
}

fn symbols(elf: &Elf<'_>, segments: &[Segment]) -> Vec<Symbol> {
    // Labels at the end of a segment are kept too: linker scripts define them.
    let inside = |a: u64| segments.iter().any(|s| a >= s.address && a - s.address <= s.size);
    let mut symbols: Vec<Symbol> = elf
        .syms
        .iter()
        .filter(|s| matches!(s.st_type(), sym::STT_NOTYPE | sym::STT_OBJECT | sym::STT_FUNC))
        .filter(|s| s.st_shndx != sh::SHN_UNDEF as usize && inside(s.st_value))
        .filter_map(|s| {
            let name = elf.strtab.get_at(s.st_name)?;
            let local_label = name.is_empty() || name.starts_with(".L") || name.starts_with('$');
            (!local_label).then(|| Symbol { name: name.to_owned(), address: s.st_value, size: s.st_size })
        })
        .collect();
    symbols.sort_by(|a, b| (a.address, &a.name).cmp(&(b.address, &b.name)));
    symbols.dedup();
    symbols
}

fn sensitive(elf: &Elf<'_>, file: &[u8], covers: impl Fn(u64) -> bool) -> Result<Vec<u64>, ImageError> {
    let wrong = |text: String| Err(ImageError::Sensitive(text));
    let named = |s: &&sh::SectionHeader| elf.shdr_strtab.get_at(s.sh_name) == Some(SENSITIVE_SECTION);
    let mut all = Vec::new();
    for section in elf.section_headers.iter().filter(named) {
        let Some(bytes) = range(file, section.sh_offset, section.sh_size) else {
            return wrong(format!(
                "bytes {:#x}+{:#x} lie beyond the end of the file",
                section.sh_offset, section.sh_size
            ));
        };
        let (addresses, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() {
            return wrong(format!("{} bytes are no whole number of addresses", bytes.len()));
        }
        all.extend(addresses.iter().map(|a| u64::from_le_bytes(*a)));
    }
    all.sort_unstable();
    all.dedup();
    match all.iter().find(|a| !covers(**a)) {
        Some(outside) => wrong(format!("{outside:#x} lies in no executable segment")),
        None => Ok(all),
    }
}

/// The bytes `offset..offset + len`, if the file has them.
fn range(file: &[u8], offset: u64, len: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    file.get(start..start.checked_add(usize::try_from(len).ok()?)?)
}
