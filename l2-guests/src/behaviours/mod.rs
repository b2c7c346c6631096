//! The behaviours, a family to a file.

use crate::Behaviour;

macro_rules! families {
    ($($(#[$m:meta])* $family:ident,)+) => {
        $($(#[$m])* pub mod $family;)+

        /// The families, by the names of their modules.
        pub const FAMILIES: &[(&str, &[Behaviour])] = &[$((stringify!($family), $family::BEHAVIOURS)),+];
    };
}

families! {
    /// HLT.
    halt,
    /// CPUID.
    cpuid,
    /// Loops, for budgets, timers and measurements.
    loops,
    /// Port I/O from and to registers.
    io,
    /// Port I/O from and to memory.
    io_strings,
    /// Model-specific registers.
    msr,
    /// Control registers.
    control,
    /// Debug registers.
    debug,
    /// Faults, one kind each.
    faults,
    /// Software interrupts and IRET.
    interrupts,
    /// RFLAGS.IF, RFLAGS.TF and blocking by STI and MOV SS.
    flags,
    /// Instructions of the VMX extension.
    vmx,
    /// Their operands in each form of address.
    operands,
    /// Time, counters and waiting.
    time,
    /// TLBs and caches.
    caches,
    /// Other instructions that hypervisors intercept.
    system,
    /// Descriptor-table registers, LDTR and TR.
    tables,
    /// Memory.
    memory,
    /// Page faults.
    page_faults,
    /// Shutdown.
    shutdown,
    /// Far transfers and task switches.
    far,
    /// CPL 3.
    user,
    /// From one CPU mode to another.
    modes,
}

const COUNT: usize = {
    let (mut n, mut i) = (0, 0);
    while i < FAMILIES.len() {
        n += FAMILIES[i].1.len();
        i += 1;
    }
    n
};

/// All behaviours.
pub const BEHAVIOURS: &[Behaviour] = &{
    let mut all = [halt::BEHAVIOURS[0]; COUNT];
    let (mut n, mut i) = (0, 0);
    while i < FAMILIES.len() {
        let mut j = 0;
        while j < FAMILIES[i].1.len() {
            all[n] = FAMILIES[i].1[j];
            n += 1;
            j += 1;
        }
        i += 1;
    }
    all
};
