//! What firmware leaves in memory: ACPI tables and an MP table, below 1 MiB, where their readers look.
//!
//! ACPI 6.5: "ACPI Software Programming Model"; Intel MultiProcessor Specification 1.4.

use super::{
    board::PIN_TIMER,
    devices::{acpi_pm, ioapic},
};

/// Where the RSDP and the tables behind it are.
pub(super) const AT: u64 = 0xe_0000;
/// Where the MP floating pointer and its table are.
pub(super) const MP_AT: u64 = 0xf_0000;
const LAPIC: u32 = 0xfee0_0000;
const OEM: &[u8; 6] = b"NSTRIG";
/// The interrupt of ACPI's fixed hardware.
const SCI: u16 = 9;

/// `\_S5`: sleep type of soft off. ACPI: "\_Sx (System States)".
const S5: [u8; 16] = [
    0x08,
    b'_',
    b'S',
    b'5',
    b'_', // Name (_S5_,
    0x12,
    0x0a,
    0x04, // Package (4)
    0x0a,
    acpi_pm::S5,
    0x0a,
    acpi_pm::S5,
    0x00,
    0x00, // { 5, 5, 0, 0 })
    0xa3,
    0xa3, // Noop
];

/// The byte that makes the sum of all of them 0.
fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte))
}

fn table(signature: &[u8; 4], revision: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = signature.to_vec();
    bytes.extend((36 + body.len() as u32).to_le_bytes());
    bytes.extend([revision, 0]);
    bytes.extend(OEM);
    bytes.extend(b"NESTRIG ");
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(b"NRIG");
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(body);
    bytes[9] = checksum(&bytes);
    bytes
}

/// A generic address: an I/O port.
fn port(port: u16, bits: u8) -> [u8; 12] {
    let [low, high] = port.to_le_bytes();
    let access = bits.min(32) / 8;
    let access = if access == 4 { 3 } else { access };
    [1, bits, 0, access, low, high, 0, 0, 0, 0, 0, 0]
}

/// Puts values at offsets of a body (whose table's header has 36 bytes) of that length.
fn body(length: usize, fields: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0; length - 36];
    for (at, value) in fields {
        for (to, from) in bytes.iter_mut().skip(at - 36).zip(*value) {
            *to = *from;
        }
    }
    bytes
}

/// SDM-like list of the FADT's fields by offset. ACPI: "Fixed ACPI Description Table (FADT)".
fn fadt(dsdt: u64) -> Vec<u8> {
    /// WBINVD works; the power button is no fixed one; the PM timer has 32 bits; the reset register is there.
    const FLAGS: u32 = 1 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 10;
    /// Legacy devices; no keyboard controller; no VGA; no MSI; CMOS clock there.
    const BOOT: u16 = 1 | 1 << 2 | 1 << 3;
    let word = |port: u16| u32::from(port).to_le_bytes();
    table(
        b"FACP",
        5,
        &body(
            268,
            &[
                (40, &(dsdt as u32).to_le_bytes()),
                (46, &SCI.to_le_bytes()),
                (56, &word(acpi_pm::PM1_EVENT)),
                (64, &word(acpi_pm::PM1_CONTROL)),
                (76, &word(acpi_pm::PM_TIMER)),
                (88, &[4, 2, 0, 4]),
                (96, &0xffffu16.to_le_bytes()),
                (98, &0xffffu16.to_le_bytes()),
                (108, &[0x32]),
                (109, &BOOT.to_le_bytes()),
                (112, &FLAGS.to_le_bytes()),
                (116, &port(0xcf9, 8)),
                (128, &[6]),
                (140, &dsdt.to_le_bytes()),
                (148, &port(acpi_pm::PM1_EVENT, 32)),
                (172, &port(acpi_pm::PM1_CONTROL, 16)),
                (208, &port(acpi_pm::PM_TIMER, 32)),
            ],
        ),
    )
}

/// ACPI: "Multiple APIC Description Table (MADT)".
fn madt(cpus: u32) -> Vec<u8> {
    let mut bytes = LAPIC.to_le_bytes().to_vec();
    // The 8259s are there too.
    bytes.extend(1u32.to_le_bytes());
    for cpu in 0..cpus as u8 {
        bytes.extend([0, 8, cpu, cpu, 1, 0, 0, 0]);
    }
    bytes.extend([1, 12, cpus as u8, 0]);
    bytes.extend((ioapic::BASE as u32).to_le_bytes());
    bytes.extend(0u32.to_le_bytes());
    // IRQ 0 is at another input; the SCI is level-triggered, active high.
    bytes.extend([2, 10, 0, 0, PIN_TIMER as u8, 0, 0, 0, 0, 0]);
    bytes.extend([2, 10, 0, SCI as u8, SCI as u8, 0, 0, 0, 0xd, 0]);
    // NMI at LINT1 of all processors.
    bytes.extend([4, 6, 0xff, 0, 0, 1]);
    table(b"APIC", 3, &bytes)
}

/// The RSDP and all tables, for the address [`AT`].
pub(super) fn acpi(cpus: u32) -> Vec<u8> {
    const RSDP: usize = 64;
    let mut bytes = vec![0; RSDP];
    let mut add = |table: Vec<u8>| {
        let at = AT + bytes.len().next_multiple_of(16) as u64;
        bytes.resize((at - AT) as usize, 0);
        bytes.extend(table);
        at
    };
    // A FACS is 64 bytes, aligned to 64, and has no header; nobody here hibernates, so there is none.
    let dsdt = add(table(b"DSDT", 2, &S5));
    let tables = [add(fadt(dsdt)), add(madt(cpus))];
    let rsdt = add(table(b"RSDT", 1, &tables.map(|t| (t as u32).to_le_bytes()).concat()));
    let xsdt = add(table(b"XSDT", 1, &tables.map(u64::to_le_bytes).concat()));
    let mut rsdp = b"RSD PTR \0".to_vec();
    rsdp.extend(OEM);
    rsdp.push(2);
    rsdp.extend((rsdt as u32).to_le_bytes());
    rsdp[8] = checksum(&rsdp);
    rsdp.extend(36u32.to_le_bytes());
    rsdp.extend(xsdt.to_le_bytes());
    rsdp.extend([0; 4]);
    rsdp[32] = checksum(&rsdp);
    bytes[..rsdp.len()].copy_from_slice(&rsdp);
    bytes
}

/// The MP floating pointer structure and its table, for the address [`MP_AT`].
pub(super) fn mp(cpus: u32, signature: u32, features: u32) -> Vec<u8> {
    let io_apic = cpus as u8;
    let mut entries = Vec::new();
    let mut count = 0u16;
    let mut add = |entry: &[u8]| {
        entries.extend_from_slice(entry);
        count += 1;
    };
    for cpu in 0..cpus as u8 {
        let mut entry = vec![0, cpu, 0x14, 1 | if cpu == 0 { 2 } else { 0 }];
        entry.extend(signature.to_le_bytes());
        entry.extend(features.to_le_bytes());
        entry.extend([0; 8]);
        add(&entry);
    }
    add(b"\x01\x00ISA   ");
    let mut entry = vec![2, io_apic, 0x11, 1];
    entry.extend((ioapic::BASE as u32).to_le_bytes());
    add(&entry);
    for irq in (0..16u8).filter(|irq| *irq != 2) {
        let pin = if irq == 0 { PIN_TIMER as u8 } else { irq };
        add(&[3, 0, 0, 0, 0, irq, io_apic, pin]);
    }
    // ExtINT at LINT0 of the bootstrap processor, NMI at LINT1 of all.
    add(&[4, 3, 0, 0, 0, 0, 0, 0]);
    add(&[4, 1, 0, 0, 0, 0, 0xff, 1]);

    let mut table = b"PCMP".to_vec();
    table.extend((44 + entries.len() as u16).to_le_bytes());
    table.extend([4, 0]);
    table.extend(b"NESTRIG NESTRIG PC  ");
    table.extend([0; 6]);
    table.extend(count.to_le_bytes());
    table.extend(LAPIC.to_le_bytes());
    table.extend([0; 4]);
    table.extend(entries);
    table[7] = checksum(&table);

    let mut bytes = b"_MP_".to_vec();
    bytes.extend((MP_AT as u32 + 16).to_le_bytes());
    bytes.extend([1, 4, 0, 0, 0, 0, 0, 0]);
    bytes[10] = checksum(&bytes);
    bytes.extend(table);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(bytes: &[u8]) -> u8 {
        checksum(bytes).wrapping_neg()
    }

    #[test]
    fn acpi_tables_are_found_from_the_rsdp_and_their_sums_are_0() {
        let bytes = acpi(3);
        let at = |address: u64| &bytes[(address - AT) as usize..];
        let u32_at = |b: &[u8], n: usize| u32::from_le_bytes(b[n..n + 4].try_into().unwrap());
        let u64_at = |b: &[u8], n: usize| u64::from_le_bytes(b[n..n + 8].try_into().unwrap());
        assert_eq!((sum(&bytes[..20]), sum(&bytes[..36])), (0, 0));
        let xsdt = at(u64_at(&bytes, 24));
        assert_eq!((&xsdt[..4], u32_at(xsdt, 4)), (&b"XSDT"[..], 52));
        let rsdt = at(u64::from(u32_at(&bytes, 16)));
        for (n, name) in [b"FACP", b"APIC"].into_iter().enumerate() {
            let table = at(u64_at(xsdt, 36 + 8 * n));
            assert_eq!(u64::from(u32_at(rsdt, 36 + 4 * n)), u64_at(xsdt, 36 + 8 * n));
            assert_eq!(&table[..4], name);
            assert_eq!(sum(&table[..u32_at(table, 4) as usize]), 0);
        }
        let fadt = at(u64_at(xsdt, 36));
        assert_eq!(&at(u64_at(fadt, 140))[..4], b"DSDT");
        assert!(bytes.len() as u64 + AT <= MP_AT);
    }

    #[test]
    fn the_mp_table_counts_its_entries() {
        let bytes = mp(2, 0x50654, 0x201);
        assert_eq!((sum(&bytes[..16]), sum(&bytes[16..])), (0, 0));
        assert_eq!(usize::from(u16::from_le_bytes([bytes[20], bytes[21]])), bytes.len() - 16);
        assert_eq!(u16::from_le_bytes([bytes[16 + 34], bytes[16 + 35]]), 2 + 1 + 1 + 15 + 2);
    }
}
