//! Other people's images: what they are, where they go in memory, and how the processor begins.
//!
//! bzImage (Linux's 64-bit boot protocol), multiboot 1 (ELF of both widths, or flat with the addresses in its header), PVH.

mod elf;
mod linux;
mod multiboot;
mod pvh;
mod start;

use crate::pc::tables;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};
use x86_ref::State;

pub use elf::ElfError;

/// An image cannot be booted.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// Nobody knows what it is.
    #[error(
        "not a bzImage (no \"HdrS\" at offset 0x202), not multiboot (no header in the first 8 KiB), not PVH (no ELF note)"
    )]
    Unknown,
    /// Something does not fit into memory.
    #[error("{what} ({size:#x} bytes at {at:#x}) does not fit into {memory:#x} bytes of memory")]
    Memory {
        /// What it is.
        what: &'static str,
        /// Where it should go.
        at: u64,
        /// How large it is.
        size: u64,
        /// How much memory there is.
        memory: u64,
    },
    /// The ELF file is damaged.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// The bzImage is damaged.
    #[error("bzImage: {0}")]
    Linux(String),
    /// The multiboot header asks for something impossible.
    #[error("multiboot header at offset {offset:#x}: {what}")]
    Multiboot {
        /// Where it is in the file.
        offset: usize,
        /// What is wrong.
        what: String,
    },
    /// The command line is too long.
    #[error("the command line has {0} bytes, more than the {1} that there is room for")]
    CommandLine(usize, usize),
    /// There are more modules than one, for an image that takes one.
    #[error("{0} takes one initrd, not {1}")]
    Modules(&'static str, usize),
}

/// A file that goes along with an image: the initrd, or a multiboot module.
#[derive(Clone, Debug)]
pub struct Module {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its command line: by custom its name first.
    pub line: String,
}

/// What is to be booted.
#[derive(Clone, Debug, Default)]
pub struct Payload {
    /// Name of the image, for those that want to know it.
    pub name: String,
    /// The image.
    pub image: Vec<u8>,
    /// Command line.
    pub command_line: String,
    /// Initrd or modules.
    pub modules: Vec<Module>,
}

/// What an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Linux.
    BzImage,
    /// Multiboot 1.
    Multiboot,
    /// Xen's PVH entry.
    Pvh,
}

/// Where the boot data of all formats goes: page tables, descriptors, information for the kernel, command line.
mod at {
    pub const GDT: u64 = 0x1000;
    pub const STACK: u64 = 0x7000;
    pub const INFO: u64 = 0x7000;
    pub const LISTS: u64 = 0x8000;
    pub const PAGING: u64 = 0x9000;
    pub const LINE: u64 = 0x2_0000;
    pub const LINE_MAX: usize = 0x1_0000;
    /// Conventional memory ends here; then there is an extended BIOS data area.
    pub const EBDA: u64 = 0x9_fc00;
    pub const HIGH: u64 = 0x10_0000;
}

/// A region of the memory map, with its type in E820's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub base: u64,
    pub size: u64,
    pub kind: u32,
}

const RAM: u32 = 1;
const RESERVED: u32 = 2;

/// The memory map. ACPI: "INT 15H, E820H - Query System Address Map".
pub(super) fn e820(memory: u64) -> Vec<Region> {
    let region = |base, end, kind| Region { base, size: end - base, kind };
    vec![
        region(0, at::EBDA, RAM),
        region(at::EBDA, 0xa_0000, RESERVED),
        region(tables::AT, at::HIGH, RESERVED),
        region(at::HIGH, memory, RAM),
        region(0xfec0_0000, 0xfec0_1000, RESERVED),
        region(0xfee0_0000, 0xfee0_1000, RESERVED),
    ]
}

/// Guest memory with checks that have names.
struct Loader<'a> {
    memory: &'a GuestMemoryMmap,
    size: u64,
}

impl Loader<'_> {
    fn put(&self, what: &'static str, at: u64, bytes: &[u8]) -> Result<(), BootError> {
        let size = bytes.len() as u64;
        self.check(what, at, size)?;
        let written = self.memory.write_slice(bytes, GuestAddress(at));
        written.map_err(|_| BootError::Memory { what, at, size, memory: self.size })
    }

    fn check(&self, what: &'static str, at: u64, size: u64) -> Result<(), BootError> {
        let fits = at.checked_add(size).is_some_and(|end| end <= self.size);
        if fits { Ok(()) } else { Err(BootError::Memory { what, at, size, memory: self.size }) }
    }

    /// A command line with a zero behind it; gives its address.
    fn line(&self, line: &str) -> Result<u64, BootError> {
        if line.len() >= at::LINE_MAX {
            return Err(BootError::CommandLine(line.len(), at::LINE_MAX - 1));
        }
        self.put("the command line", at::LINE, &[line.as_bytes(), &[0]].concat())?;
        Ok(at::LINE)
    }

    /// Puts modules behind each other, each on its own pages, below `top`; gives their addresses.
    fn modules(&self, modules: &[Module], top: u64, above: u64) -> Result<Vec<u64>, BootError> {
        const PAGE: u64 = 0x1000;
        let sizes = modules.iter().map(|m| (m.bytes.len() as u64).next_multiple_of(PAGE));
        let total: u64 = sizes.clone().sum();
        let top = top.min(self.size) & !(PAGE - 1);
        let mut next = match top.checked_sub(total) {
            Some(first) if first >= above => first,
            _ => {
                return Err(BootError::Memory {
                    what: "the modules",
                    at: above,
                    size: total,
                    memory: self.size,
                });
            }
        };
        let mut places = Vec::new();
        for (module, size) in modules.iter().zip(sizes) {
            self.put("a module", next, &module.bytes)?;
            places.push(next);
            next += size;
        }
        Ok(places)
    }
}

/// What an image is, if it is something that boots here.
pub fn format(image: &[u8]) -> Option<Format> {
    if linux::is(image) {
        Some(Format::BzImage)
    } else if multiboot::header(image).is_some() {
        Some(Format::Multiboot)
    } else if pvh::entry(image).is_ok_and(|entry| entry.is_some()) {
        Some(Format::Pvh)
    } else {
        None
    }
}

/// Puts an image and what goes with it into memory; gives the processor's state at its entry.
pub(super) fn load(memory: &GuestMemoryMmap, payload: &Payload) -> Result<State, BootError> {
    let size = memory.last_addr().0 + 1;
    let loader = Loader { memory, size };
    match format(&payload.image) {
        Some(Format::BzImage) => linux::load(&loader, payload),
        Some(Format::Multiboot) => multiboot::load(&loader, payload),
        Some(Format::Pvh) => pvh::load(&loader, payload),
        None => Err(BootError::Unknown),
    }
}

#[cfg(test)]
mod tests;
