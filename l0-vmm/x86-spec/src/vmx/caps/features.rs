//! Facts from CPUID that decide which bits of the guest and host state are reserved.

bitflags::bitflags! {
    /// What the processor supports, apart from VMX. SDM: "CPUID - CPU Identification".
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Features: u64 {
        /// Intel 64 architecture.
        const LM = 1 << 0;
        /// Execute-disable: IA32_EFER.NXE.
        const NX = 1 << 1;
        /// SYSCALL and SYSRET: IA32_EFER.SCE.
        const SYSCALL = 1 << 2;
        /// Process-context identifiers: CR4.PCIDE.
        const PCID = 1 << 3;
        /// Supervisor-mode execution prevention.
        const SMEP = 1 << 4;
        /// Supervisor-mode access prevention.
        const SMAP = 1 << 5;
        /// 57-bit linear addresses.
        const LA57 = 1 << 6;
        /// Protection keys for user pages.
        const PKU = 1 << 7;
        /// Protection keys for supervisor pages.
        const PKS = 1 << 8;
        /// Control-flow enforcement: shadow stacks.
        const CET_SS = 1 << 9;
        /// Control-flow enforcement: indirect-branch tracking.
        const CET_IBT = 1 << 10;
        /// XSAVE, XSETBV.
        const XSAVE = 1 << 11;
        /// RDFSBASE and its like.
        const FSGSBASE = 1 << 12;
        /// User-mode instruction prevention.
        const UMIP = 1 << 13;
        /// Memory-protection extensions.
        const MPX = 1 << 14;
        /// Restricted transactional memory: DR6, DR7 and IA32_DEBUGCTL have a bit for it.
        const RTM = 1 << 15;
        /// Intel Processor Trace.
        const PT = 1 << 16;
        /// OS bus-lock detection: IA32_DEBUGCTL.BLD, DR6.BLD.
        const BUS_LOCK_DETECT = 1 << 17;
        /// Architectural last-branch records.
        const ARCH_LBR = 1 << 18;
        /// Software guard extensions.
        const SGX = 1 << 19;
        /// Safer-mode extensions: CR4.SMXE.
        const SMX = 1 << 20;
        /// User interrupts: CR4.UINTR.
        const UINTR = 1 << 21;
        /// Key locker: CR4.KL.
        const KEY_LOCKER = 1 << 22;
        /// Flexible return and event delivery.
        const FRED = 1 << 23;
        /// Linear-address masking.
        const LAM = 1 << 24;
        /// Linear-address-space separation: CR4.LASS.
        const LASS = 1 << 25;
        /// Pages of 1 GByte.
        const PAGE_1G = 1 << 26;
        /// Freezing of performance counters in SMM: IA32_DEBUGCTL bit 14.
        const FREEZE_IN_SMM = 1 << 27;
        /// RDTSCP and IA32_TSC_AUX.
        const RDTSCP = 1 << 28;
        /// INVPCID.
        const INVPCID = 1 << 29;
        /// XSAVES and XRSTORS.
        const XSAVES = 1 << 30;
        /// Local APIC in x2APIC mode.
        const X2APIC = 1 << 31;
    }
}

impl Features {
    /// Either half of control-flow enforcement: CR4.CET can be 1.
    pub const CET: Self = Self::CET_SS.union(Self::CET_IBT);

    /// Whether any of the given features is there. Usable in constants.
    #[inline]
    pub const fn any(self, features: Self) -> bool {
        self.bits() & features.bits() != 0
    }
}
