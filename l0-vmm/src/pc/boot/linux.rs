//! bzImage, by the 64-bit boot protocol. Linux: Documentation/arch/x86/boot.rst.

use super::{BootError, Loader, Payload, at, e820, start};
use crate::pc::tables;
use linux_loader::loader::{BzImage, KernelLoader};
use std::io::Cursor;
use vm_memory::GuestAddress;
use x86_ref::State;

/// Offset of the setup header in the image and in the boot parameters.
const HEADER: usize = 0x1f1;
const MAGIC: (usize, &[u8]) = (0x202, b"HdrS");
const JUMP: usize = 0x201;
const VERSION: usize = 0x206;
const XLOADFLAGS: usize = 0x236;
const INIT_SIZE: usize = 0x260;
const PREF_ADDRESS: usize = 0x258;
const INITRD_MAX: usize = 0x22c;
/// The 64-bit entry is there, at 0x200.
const KERNEL_64: u8 = 1;
const ENTRY_64: u64 = 0x200;
/// The protocol's version that has all fields used here.
const VERSION_MIN: u16 = 0x20c;
/// Boot parameters have one page.
const PARAMS: usize = 0x1000;
/// Entries of the memory map that there is room for.
const E820_MAX: usize = 128;

/// Whether this is Linux.
pub(super) fn is(image: &[u8]) -> bool {
    image.get(MAGIC.0..).is_some_and(|rest| rest.starts_with(MAGIC.1))
}

fn number<const N: usize>(image: &[u8], offset: usize) -> Result<[u8; N], BootError> {
    let bytes = image.get(offset..).and_then(|rest| rest.first_chunk::<N>());
    bytes.copied().ok_or_else(|| {
        BootError::Linux(format!("ends at {:#x}, before the field at {offset:#x}", image.len()))
    })
}

pub(super) fn load(loader: &Loader<'_>, payload: &Payload) -> Result<State, BootError> {
    let image = payload.image.as_slice();
    let version = u16::from_le_bytes(number(image, VERSION)?);
    if version < VERSION_MIN {
        return Err(BootError::Linux(format!(
            "boot protocol {:x}.{:02x}, older than the 2.12 that has a 64-bit entry",
            version >> 8,
            version & 0xff
        )));
    }
    if number::<1>(image, XLOADFLAGS)?[0] & KERNEL_64 == 0 {
        return Err(BootError::Linux("a 32-bit kernel (XLF_KERNEL_64 is clear)".to_owned()));
    }
    let address = u64::from_le_bytes(number(image, PREF_ADDRESS)?);
    let room = u64::from(u32::from_le_bytes(number(image, INIT_SIZE)?));
    loader.check("the kernel", address, room)?;
    let loaded = BzImage::load(loader.memory, Some(GuestAddress(address)), &mut Cursor::new(image), None)
        .map_err(|e| BootError::Linux(e.to_string()))?;
    let end = loaded.kernel_end.max(address + room);

    // The setup header goes into the boot parameters as it is; its end is where its first jump leads.
    let header_end = (MAGIC.0 + usize::from(number::<1>(image, JUMP)?[0])).min(PARAMS).min(image.len());
    let mut params = vec![0u8; PARAMS];
    params[HEADER..header_end].copy_from_slice(&image[HEADER..header_end]);
    let mut set = |offset: usize, bytes: &[u8]| params[offset..offset + bytes.len()].copy_from_slice(bytes);
    set(0x070, &tables::AT.to_le_bytes());
    // A boot loader without a number of its own.
    set(0x210, &[0xff]);
    set(0x228, &(loader.line(&payload.command_line)? as u32).to_le_bytes());
    if payload.modules.len() > 1 {
        return Err(BootError::Modules("Linux", payload.modules.len()));
    }
    let top = u64::from(u32::from_le_bytes(number(image, INITRD_MAX)?)) + 1;
    for (module, place) in payload.modules.iter().zip(loader.modules(&payload.modules, top, end)?) {
        set(0x218, &(place as u32).to_le_bytes());
        set(0x21c, &(module.bytes.len() as u32).to_le_bytes());
    }
    let map = e820(loader.size);
    set(0x1e8, &[map.len().min(E820_MAX) as u8]);
    for (n, region) in map.iter().take(E820_MAX).enumerate() {
        let bytes =
            [&region.base.to_le_bytes()[..], &region.size.to_le_bytes(), &region.kind.to_le_bytes()].concat();
        set(0x2d0 + 20 * n, &bytes);
    }
    loader.put("boot parameters", at::INFO, &params)?;

    let state = start::long(loader, address + ENTRY_64)?;
    let mut gpr = state.gpr;
    gpr[6] = at::INFO;
    Ok(State { gpr, ..state })
}
