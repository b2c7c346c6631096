//! QEMU's firmware configuration, without DMA: selector at port 0x510, data at 0x511. QEMU documentation: "QEMU Firmware
//! Configuration (fw_cfg) Device".

/// Items by number.
mod key {
    pub const SIGNATURE: u16 = 0x00;
    pub const ID: u16 = 0x01;
    pub const RAM_SIZE: u16 = 0x03;
    pub const NB_CPUS: u16 = 0x05;
    pub const KERNEL_SIZE: u16 = 0x08;
    pub const INITRD_SIZE: u16 = 0x0b;
    pub const MAX_CPUS: u16 = 0x0f;
    pub const CMDLINE_SIZE: u16 = 0x14;
    pub const CMDLINE: u16 = 0x15;
    pub const FILE_DIR: u16 = 0x19;
    pub const FILE_FIRST: u16 = 0x20;
}

/// A file: its name has at most 55 bytes.
const NAME: usize = 56;

#[derive(Clone, Debug)]
pub(crate) struct FwCfg {
    items: Vec<(u16, Vec<u8>)>,
    selected: u16,
    at: usize,
}

impl FwCfg {
    pub fn new(ram: u64, cpus: u32, command_line: &str, files: &[(&str, Vec<u8>)]) -> Self {
        let word = |n: u32| n.to_le_bytes().to_vec();
        let mut line = command_line.as_bytes().to_vec();
        line.push(0);
        let mut items = vec![
            (key::SIGNATURE, b"QEMU".to_vec()),
            (key::ID, word(1)),
            (key::RAM_SIZE, ram.to_le_bytes().to_vec()),
            (key::NB_CPUS, word(cpus)),
            (key::MAX_CPUS, word(cpus)),
            // The kernel is in memory already.
            (key::KERNEL_SIZE, word(0)),
            (key::INITRD_SIZE, word(0)),
            (key::CMDLINE_SIZE, word(line.len() as u32)),
            (key::CMDLINE, line),
        ];
        let mut folder = (files.len() as u32).to_be_bytes().to_vec();
        for (key, (name, bytes)) in (key::FILE_FIRST..).zip(files) {
            folder.extend((bytes.len() as u32).to_be_bytes());
            folder.extend(key.to_be_bytes());
            folder.extend([0; 2]);
            let mut field = [0; NAME];
            for (to, from) in field.iter_mut().zip(name.bytes().take(NAME - 1)) {
                *to = from;
            }
            folder.extend(field);
            items.push((key, bytes.clone()));
        }
        items.push((key::FILE_DIR, folder));
        Self { items, selected: 0, at: 0 }
    }

    pub fn select(&mut self, key: u16) {
        (self.selected, self.at) = (key, 0);
    }

    /// The next byte of the item; 0 behind its end.
    pub fn read(&mut self) -> u8 {
        let item = self.items.iter().find(|(key, _)| *key == self.selected);
        let byte = item.and_then(|(_, bytes)| bytes.get(self.at)).copied().unwrap_or(0);
        self.at = self.at.saturating_add(1);
        byte
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_and_a_file_by_its_name() {
        let mut fw = FwCfg::new(1 << 20, 3, "a b", &[("etc/x", vec![1, 2, 3])]);
        let mut read = |key, n| {
            fw.select(key);
            (0..n).map(|_| fw.read()).collect::<Vec<u8>>()
        };
        assert_eq!(read(0, 5), b"QEMU\0");
        assert_eq!(read(5, 4), [3, 0, 0, 0]);
        assert_eq!(read(0x15, 5), b"a b\0\0");
        let folder = read(0x19, 20);
        assert_eq!(folder[..12], [0, 0, 0, 1, 0, 0, 0, 3, 0, 0x20, 0, 0]);
        assert_eq!(folder[12..17], *b"etc/x");
        assert_eq!(read(0x20, 3), [1, 2, 3]);
    }
}
