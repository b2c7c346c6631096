//! ELF files of both widths, as far as boot loaders look at them: program headers and notes. Every offset is checked.

/// An ELF file is damaged, or is not for this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// It is not for x86.
    #[error("ELF: machine {0} at offset 0x12 is not x86 (3, 62)")]
    Machine(u16),
    /// It is not little-endian, or of neither width.
    #[error("ELF: class {0} and data encoding {1} at offset 4 are not those of x86")]
    Class(u8, u8),
    /// A header lies outside the file.
    #[error("ELF: {what} at offset {offset:#x} (size {size:#x}) lies beyond the end of the file at {end:#x}")]
    Outside {
        /// Which.
        what: &'static str,
        /// Its offset.
        offset: u64,
        /// Its size.
        size: u64,
        /// The file's size.
        end: u64,
    },
    /// A program header says that more comes from the file than there is room for in memory.
    #[error("ELF: program header {number}: file size {file:#x} is more than memory size {memory:#x}")]
    Sizes {
        /// Which.
        number: u16,
        /// Its file size.
        file: u64,
        /// Its memory size.
        memory: u64,
    },
    /// Nothing is to be loaded.
    #[error("ELF: no segment to load")]
    Empty,
}

/// A segment that is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load<'a> {
    pub physical: u64,
    pub virtual_: u64,
    pub bytes: &'a [u8],
    pub size: u64,
}

/// What is of interest in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Elf<'a> {
    pub entry: u64,
    pub loads: Vec<Load<'a>>,
    pub notes: Vec<&'a [u8]>,
}

const PT_LOAD: u64 = 1;
const PT_NOTE: u64 = 4;

struct File<'a>(&'a [u8]);

impl<'a> File<'a> {
    fn slice(&self, what: &'static str, offset: u64, size: u64) -> Result<&'a [u8], ElfError> {
        let outside = ElfError::Outside { what, offset, size, end: self.0.len() as u64 };
        let end = offset.checked_add(size).ok_or(outside)?;
        let (start, end) = (usize::try_from(offset), usize::try_from(end));
        let (Ok(start), Ok(end)) = (start, end) else { return Err(outside) };
        self.0.get(start..end).ok_or(outside)
    }

    fn number(&self, what: &'static str, offset: u64, size: u64) -> Result<u64, ElfError> {
        let mut bytes = [0; 8];
        for (to, from) in bytes.iter_mut().zip(self.slice(what, offset, size)?) {
            *to = *from;
        }
        Ok(u64::from_le_bytes(bytes))
    }
}

/// Whether a file begins like ELF.
pub(super) fn is(file: &[u8]) -> bool {
    file.starts_with(b"\x7fELF")
}

/// Reads the headers.
pub(super) fn parse(file: &[u8]) -> Result<Elf<'_>, ElfError> {
    let file = File(file);
    let header = |offset, size| file.number("the file header", offset, size);
    let (class, data) = (header(4, 1)? as u8, header(5, 1)? as u8);
    let wide = match (class, data) {
        (1, 1) => false,
        (2, 1) => true,
        _ => return Err(ElfError::Class(class, data)),
    };
    let machine = header(0x12, 2)? as u16;
    if !matches!(machine, 3 | 62) {
        return Err(ElfError::Machine(machine));
    }
    let (entry, table, size, count) = if wide {
        (header(0x18, 8)?, header(0x20, 8)?, header(0x36, 2)?, header(0x38, 2)?)
    } else {
        (header(0x18, 4)?, header(0x1c, 4)?, header(0x2a, 2)?, header(0x2c, 2)?)
    };
    let mut elf = Elf { entry, loads: Vec::new(), notes: Vec::new() };
    for number in 0..count as u16 {
        let at = table.saturating_add(u64::from(number) * size);
        let field = |offset: u64, size| file.number("a program header", at.saturating_add(offset), size);
        let kind = field(0, 4)?;
        let (offset, virtual_, physical, in_file, in_memory) = if wide {
            (field(8, 8)?, field(16, 8)?, field(24, 8)?, field(32, 8)?, field(40, 8)?)
        } else {
            (field(4, 4)?, field(8, 4)?, field(12, 4)?, field(16, 4)?, field(20, 4)?)
        };
        match kind {
            PT_LOAD => {
                if in_file > in_memory {
                    return Err(ElfError::Sizes { number, file: in_file, memory: in_memory });
                }
                let bytes = file.slice("a segment", offset, in_file)?;
                elf.loads.push(Load { physical, virtual_, bytes, size: in_memory });
            }
            PT_NOTE => elf.notes.push(file.slice("a note", offset, in_file)?),
            _ => {}
        }
    }
    if elf.loads.is_empty() {
        return Err(ElfError::Empty);
    }
    Ok(elf)
}

/// The description of a note, by owner and type.
pub(super) fn note<'a>(notes: &'a [u8], owner: &[u8], kind: u32) -> Option<&'a [u8]> {
    let mut rest = notes;
    loop {
        let head = rest.get(..12)?;
        let word = |n: usize| u32::from_le_bytes([head[n], head[n + 1], head[n + 2], head[n + 3]]);
        let (name, description) = (word(0) as usize, word(4) as usize);
        let body = rest.get(12..)?;
        let at = name.checked_next_multiple_of(4)?;
        let found = body.get(..name)?.strip_suffix(b"\0") == Some(owner) && word(8) == kind;
        let text = body.get(at..at.checked_add(description)?)?;
        if found {
            return Some(text);
        }
        rest = body.get(at.checked_add(description.checked_next_multiple_of(4)?)?..)?;
    }
}
