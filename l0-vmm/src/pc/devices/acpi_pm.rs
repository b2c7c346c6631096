//! ACPI's fixed hardware: the PM timer, and the registers that turn the machine off. ACPI 4.8: "ACPI Hardware Features".

use crate::pc::time::ticks;

/// Port of PM1a_EVT_BLK (4 bytes).
pub(crate) const PM1_EVENT: u16 = 0x600;
/// Port of PM1a_CNT_BLK (2 bytes).
pub(crate) const PM1_CONTROL: u16 = 0x604;
/// Port of PM_TMR_BLK (4 bytes).
pub(crate) const PM_TIMER: u16 = 0x608;
/// Sleep type of S5 in the DSDT.
pub(crate) const S5: u8 = 5;

const TIMER_HZ: u64 = 3_579_545;
/// PM1 control: the machine is in ACPI mode.
const SCI_ENABLED: u16 = 1;
const SLEEP_ENABLE: u16 = 1 << 13;

#[derive(Clone, Debug, Default)]
pub(crate) struct AcpiPm {
    enable: u16,
    control: u16,
}

impl AcpiPm {
    /// Reads a byte.
    pub fn read(&self, port: u16, now: u64) -> u8 {
        let (register, at) = match port {
            PM_TIMER.. => (ticks(now, TIMER_HZ) as u32, port - PM_TIMER),
            PM1_CONTROL.. => (u32::from(self.control | SCI_ENABLED), port - PM1_CONTROL),
            _ => (u32::from(self.enable) << 16, port - PM1_EVENT),
        };
        register.to_le_bytes()[usize::from(at) & 3]
    }

    /// Writes; true: the machine is turned off.
    pub fn write(&mut self, port: u16, value: u32) -> bool {
        match port {
            PM1_CONTROL => {
                self.control = value as u16 & !SLEEP_ENABLE;
                value as u16 & SLEEP_ENABLE != 0 && value >> 10 & 7 == u32::from(S5)
            }
            0x602 => {
                self.enable = value as u16;
                false
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pc::time::HZ;

    #[test]
    fn the_timer_counts_and_s5_turns_off() {
        let mut pm = AcpiPm::default();
        let read = |pm: &AcpiPm, now| u32::from_le_bytes([0, 1, 2, 3].map(|n| pm.read(PM_TIMER + n, now)));
        assert_eq!(read(&pm, HZ), 3_579_545);
        assert!(!pm.write(PM1_CONTROL, 5 << 10));
        assert!(!pm.write(PM1_CONTROL, 1 << 10 | 1 << 13));
        assert!(pm.write(PM1_CONTROL, 5 << 10 | 1 << 13));
    }
}
