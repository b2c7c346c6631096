//! The bits of control registers, RFLAGS and IA32_EFER by name. SDM: "Control Registers", "EFLAGS Register", "IA-32e
//! Mode Operation", "Debug Registers".

/// One named bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bit {
    /// Position, 0 the least significant.
    pub bit: u8,
    /// The name: `PE`.
    pub ident: &'static str,
}

impl Bit {
    /// The bit as a mask.
    pub const fn mask(&self) -> u64 {
        1 << self.bit
    }
}

macro_rules! registers {
    ($($(#[$m:meta])* $module:ident $Name:literal { $($ID:ident = $bit:literal, $text:literal;)* })*) => {
        $($(#[$m])* pub mod $module {
            use super::Bit;
            $(#[doc = concat!($text, ".")] pub const $ID: u64 = 1 << $bit;)*

            /// Every named bit.
            pub const BITS: &[Bit] = &[$(Bit { bit: $bit, ident: stringify!($ID) }),*];
        })*

        /// The registers, by the name that scenarios and traces use.
        pub const REGISTERS: &[(&str, &[Bit])] = &[$(($Name, $module::BITS)),*];
    };
}

registers! {
    /// CR0.
    cr0 "CR0" {
        PE = 0, "Protection enable";
        MP = 1, "Monitor coprocessor";
        EM = 2, "Emulation";
        TS = 3, "Task switched";
        ET = 4, "Extension type";
        NE = 5, "Numeric error";
        WP = 16, "Write protect";
        AM = 18, "Alignment mask";
        NW = 29, "Not write-through";
        CD = 30, "Cache disable";
        PG = 31, "Paging";
    }
    /// CR4.
    cr4 "CR4" {
        VME = 0, "Virtual-8086 mode extensions";
        PVI = 1, "Protected-mode virtual interrupts";
        TSD = 2, "Time stamp disable";
        DE = 3, "Debugging extensions";
        PSE = 4, "Page size extensions";
        PAE = 5, "Physical address extension";
        MCE = 6, "Machine-check enable";
        PGE = 7, "Page global enable";
        PCE = 8, "Performance-monitoring counter enable";
        OSFXSR = 9, "Operating system support for FXSAVE and FXRSTOR";
        OSXMMEXCPT = 10, "Operating system support for unmasked SIMD floating-point exceptions";
        UMIP = 11, "User-mode instruction prevention";
        LA57 = 12, "57-bit linear addresses";
        VMXE = 13, "VMX enable";
        SMXE = 14, "SMX enable";
        FSGSBASE = 16, "RDFSBASE and its siblings";
        PCIDE = 17, "Process-context identifiers";
        OSXSAVE = 18, "XSAVE and extended processor states";
        KL = 19, "Key locker";
        SMEP = 20, "Supervisor-mode execution prevention";
        SMAP = 21, "Supervisor-mode access prevention";
        PKE = 22, "Protection keys for user-mode pages";
        CET = 23, "Control-flow enforcement technology";
        PKS = 24, "Protection keys for supervisor-mode pages";
        UINTR = 25, "User interrupts";
        LASS = 27, "Linear-address-space separation";
        LAM_SUP = 28, "Supervisor linear-address masking";
        FRED = 32, "Flexible return and event delivery";
    }
    /// RFLAGS.
    rflags "RFLAGS" {
        CF = 0, "Carry";
        FIXED = 1, "Always 1";
        PF = 2, "Parity";
        AF = 4, "Auxiliary carry";
        ZF = 6, "Zero";
        SF = 7, "Sign";
        TF = 8, "Trap";
        IF = 9, "Interrupt enable";
        DF = 10, "Direction";
        OF = 11, "Overflow";
        IOPL0 = 12, "I/O privilege level, low bit";
        IOPL1 = 13, "I/O privilege level, high bit";
        NT = 14, "Nested task";
        RF = 16, "Resume";
        VM = 17, "Virtual-8086 mode";
        AC = 18, "Alignment check, access control";
        VIF = 19, "Virtual interrupt";
        VIP = 20, "Virtual interrupt pending";
        ID = 21, "CPUID can be used";
    }
    /// IA32_EFER.
    efer "EFER" {
        SCE = 0, "SYSCALL enable";
        LME = 8, "IA-32e mode enable";
        LMA = 10, "IA-32e mode active";
        NXE = 11, "Execute-disable enable";
    }
    /// DR6.
    dr6 "DR6" {
        B0 = 0, "Breakpoint 0";
        B1 = 1, "Breakpoint 1";
        B2 = 2, "Breakpoint 2";
        B3 = 3, "Breakpoint 3";
        BLD = 11, "Bus lock (0: detected)";
        BD = 13, "Debug register access detected";
        BS = 14, "Single step";
        BT = 15, "Task switch";
        RTM = 16, "RTM region (0: inside)";
    }
    /// DR7.
    dr7 "DR7" {
        L0 = 0, "Local breakpoint 0";
        G0 = 1, "Global breakpoint 0";
        L1 = 2, "Local breakpoint 1";
        G1 = 3, "Global breakpoint 1";
        L2 = 4, "Local breakpoint 2";
        G2 = 5, "Global breakpoint 2";
        L3 = 6, "Local breakpoint 3";
        G3 = 7, "Global breakpoint 3";
        LE = 8, "Local exact breakpoint";
        GE = 9, "Global exact breakpoint";
        FIXED = 10, "Always 1";
        RTM = 11, "Debugging of RTM regions";
        GD = 13, "General detect";
    }
}

/// Bits 63:22, 15, 5 and 3 of RFLAGS, which are 0. SDM: "EFLAGS Register".
pub const RFLAGS_RESERVED: u64 = 0xffff_ffff_ffc0_8028;

/// RFLAGS.IOPL, both bits.
pub const IOPL: u64 = rflags::IOPL0 | rflags::IOPL1;

/// The arithmetic flags: CF, PF, AF, ZF, SF, OF.
pub const ARITHMETIC: u64 = rflags::CF | rflags::PF | rflags::AF | rflags::ZF | rflags::SF | rflags::OF;
