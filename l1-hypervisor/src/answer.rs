//! What L1 answers L2 in the run loop: fixed patterns, the same on every machine.

/// CPUID as L2 sees it: EAX repeats the leaf, EBX is "nest", ECX "rig!" and EDX repeats the sub-leaf.
pub const fn cpuid(leaf: u32, subleaf: u32) -> [u32; 4] {
    [leaf, u32::from_le_bytes(*b"nest"), u32::from_le_bytes(*b"rig!"), subleaf]
}

/// An MSR that L2 has not written: its index in both halves.
pub const fn msr(index: u32) -> u64 {
    (index as u64) << 32 | index as u64
}

/// What IN reads: the port in both halves of a doubleword, cut to the size of the access.
pub const fn port(port: u16) -> u32 {
    (port as u32) << 16 | port as u32
}

/// MSRs that L2 wrote, for reads by the run loop.
#[derive(Clone, Debug, Default)]
pub struct Msrs {
    used: usize,
    entries: [(u32, u64); 16],
}

impl Msrs {
    /// Nothing written.
    pub const fn new() -> Self {
        Self { used: 0, entries: [(0, 0); 16] }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.used = 0;
    }

    /// What was written to an MSR, else its pattern.
    pub fn get(&self, index: u32) -> u64 {
        self.entries.iter().take(self.used).find(|e| e.0 == index).map_or(msr(index), |e| e.1)
    }

    /// Keeps a value; where the table is full, it is dropped.
    pub fn set(&mut self, index: u32, value: u64) {
        if let Some(entry) = self.entries.iter_mut().take(self.used).find(|e| e.0 == index) {
            entry.1 = value;
        } else if let Some(entry) = self.entries.get_mut(self.used) {
            *entry = (index, value);
            self.used += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpuid_spells_the_rig() {
        let [eax, ebx, ecx, edx] = cpuid(7, 1);
        assert_eq!((eax, edx), (7, 1));
        assert_eq!([ebx.to_le_bytes(), ecx.to_le_bytes()].concat(), b"nestrig!");
    }

    #[test]
    fn msrs_keep_what_was_written() {
        let mut msrs = Msrs::new();
        assert_eq!(msrs.get(0x10), 0x10_0000_0010);
        for i in 0..20 {
            msrs.set(i, 100 + u64::from(i));
        }
        msrs.set(3, 7);
        assert_eq!((msrs.get(3), msrs.get(15)), (7, 115));
        assert_eq!(msrs.get(16), msr(16), "the table holds sixteen");
        msrs.clear();
        assert_eq!(msrs.get(3), msr(3));
    }
}
