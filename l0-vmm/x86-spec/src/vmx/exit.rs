//! Basic exit reasons. SDM: "VMX Basic Exit Reasons"; what each defines: "Recording VM-Exit Information and Updating
//! VM-Entry Control Fields".

use core::fmt;

/// Bit 31 of the exit reason: the VM entry failed, no guest ran.
pub const ENTRY_FAILURE_BIT: u32 = 1 << 31;

/// A basic exit reason: bits 15:0 of the field `VM_EXIT_REASON`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reason(pub u16);

/// Whether a VM exit gives a field a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defined {
    /// The field is zero or undefined.
    Never,
    /// It depends on the instruction's operand, on the exception, or on what was being delivered.
    Sometimes,
    /// With every exit of this reason.
    Always,
}

/// What a VM exit defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defines {
    /// `VM_EXIT_INSTRUCTION_LEN`.
    pub length: Defined,
    /// `VMX_INSTRUCTION_INFO`.
    pub info: Defined,
    /// `EXIT_QUALIFICATION`.
    pub qualification: Defined,
    /// `GUEST_LINEAR_ADDRESS`.
    pub linear: Defined,
    /// `GUEST_PHYSICAL_ADDRESS`.
    pub physical: Defined,
}

impl Defines {
    const NOTHING: Self = Self::parse("");

    /// `L`ength, `I`nfo, `Q`ualification, linear `A`ddress, `P`hysical address; a small letter for "sometimes".
    const fn parse(letters: &str) -> Self {
        Self {
            length: defined(letters, b'L'),
            info: defined(letters, b'I'),
            qualification: defined(letters, b'Q'),
            linear: defined(letters, b'A'),
            physical: defined(letters, b'P'),
        }
    }
}

const fn defined(letters: &str, letter: u8) -> Defined {
    let letters = letters.as_bytes();
    let mut i = 0;
    while i < letters.len() {
        if letters[i] == letter {
            return Defined::Always;
        }
        if letters[i] == letter.to_ascii_lowercase() {
            return Defined::Sometimes;
        }
        i += 1;
    }
    Defined::Never
}

macro_rules! reasons {
    ($($ident:ident = $number:literal, $defines:literal, $name:literal, $text:literal;)*) => {
        impl Reason {
            $(#[doc = concat!($text, ".")] pub const $ident: Self = Self($number);)*

            /// Every reason that the manual defines.
            pub const ALL: &'static [Self] = &[$(Self::$ident),*];

            /// The name of the constant.
            pub const fn ident(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($ident)),)*
                    _ => None,
                }
            }

            /// A short name for traces; `unknown` for a number without a row.
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $($number => $name,)*
                    _ => "unknown",
                }
            }

            /// What happened.
            pub const fn description(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($text),)*
                    _ => None,
                }
            }

            /// Which exit-information fields have a meaning.
            pub const fn defines(self) -> Defines {
                match self.0 {
                    $($number => const { Defines::parse($defines) },)*
                    _ => Defines::NOTHING,
                }
            }
        }
    };
}

reasons! {
    EXCEPTION_NMI = 0, "lq", "exception or NMI", "The guest caused an exception whose bit in the exception bitmap is 1, or an NMI arrived";
    EXTERNAL_INTERRUPT = 1, "", "external interrupt", "An external interrupt arrived and \"external-interrupt exiting\" is 1";
    TRIPLE_FAULT = 2, "", "triple fault", "The delivery of a double fault caused a fault";
    INIT = 3, "", "INIT", "An INIT signal arrived";
    SIPI = 4, "Q", "SIPI", "A start-up IPI arrived in the wait-for-SIPI state";
    IO_SMI = 5, "qa", "I/O SMI", "An SMI arrived after an I/O instruction";
    OTHER_SMI = 6, "", "other SMI", "An SMI arrived, not after an I/O instruction";
    INTERRUPT_WINDOW = 7, "", "interrupt window", "The guest can take an interrupt";
    NMI_WINDOW = 8, "", "NMI window", "The guest can take a virtual NMI";
    TASK_SWITCH = 9, "lQ", "task switch", "The guest tried to switch tasks";
    CPUID = 10, "L", "CPUID", "The guest executed CPUID";
    GETSEC = 11, "L", "GETSEC", "The guest executed GETSEC";
    HLT = 12, "L", "HLT", "The guest executed HLT";
    INVD = 13, "L", "INVD", "The guest executed INVD";
    INVLPG = 14, "LQ", "INVLPG", "The guest executed INVLPG";
    RDPMC = 15, "L", "RDPMC", "The guest executed RDPMC";
    RDTSC = 16, "L", "RDTSC", "The guest executed RDTSC";
    RSM = 17, "L", "RSM", "The guest executed RSM in SMM";
    VMCALL = 18, "L", "VMCALL", "The guest executed VMCALL";
    VMCLEAR = 19, "LIQ", "VMCLEAR", "The guest executed VMCLEAR";
    VMLAUNCH = 20, "L", "VMLAUNCH", "The guest executed VMLAUNCH";
    VMPTRLD = 21, "LIQ", "VMPTRLD", "The guest executed VMPTRLD";
    VMPTRST = 22, "LIQ", "VMPTRST", "The guest executed VMPTRST";
    VMREAD = 23, "LIQ", "VMREAD", "The guest executed VMREAD";
    VMRESUME = 24, "L", "VMRESUME", "The guest executed VMRESUME";
    VMWRITE = 25, "LIQ", "VMWRITE", "The guest executed VMWRITE";
    VMXOFF = 26, "L", "VMXOFF", "The guest executed VMXOFF";
    VMXON = 27, "LIQ", "VMXON", "The guest executed VMXON";
    CR_ACCESS = 28, "LQa", "CR access", "The guest accessed CR0, CR3, CR4 or CR8 by MOV CR, CLTS or LMSW";
    DR_ACCESS = 29, "LQ", "MOV DR", "The guest executed MOV DR";
    IO_INSTRUCTION = 30, "LiQa", "I/O", "The guest executed an I/O instruction";
    MSR_READ = 31, "L", "RDMSR", "The guest executed RDMSR";
    MSR_WRITE = 32, "L", "WRMSR", "The guest executed WRMSR";
    INVALID_STATE = 33, "Q", "entry failure: guest state", "A VM entry failed: the guest state is invalid";
    MSR_LOAD_FAIL = 34, "Q", "entry failure: MSR loading", "A VM entry failed: an MSR of the MSR-load area cannot be loaded";
    MWAIT_INSTRUCTION = 36, "LQ", "MWAIT", "The guest executed MWAIT";
    MONITOR_TRAP_FLAG = 37, "", "monitor trap flag", "The guest executed one instruction with \"monitor trap flag\" 1, or the entry injected a pending MTF exit";
    MONITOR_INSTRUCTION = 39, "L", "MONITOR", "The guest executed MONITOR";
    PAUSE_INSTRUCTION = 40, "L", "PAUSE", "The guest executed PAUSE, alone or in a loop";
    MCE_DURING_VMENTRY = 41, "", "entry failure: machine check", "A VM entry failed: a machine check occurred";
    TPR_BELOW_THRESHOLD = 43, "", "TPR below threshold", "The guest lowered the virtual TPR below the TPR threshold";
    APIC_ACCESS = 44, "lQ", "APIC access", "The guest accessed the APIC-access page";
    EOI_INDUCED = 45, "Q", "virtualized EOI", "The guest ended a virtual interrupt whose bit in the EOI-exit bitmap is 1";
    GDTR_IDTR = 46, "LIQ", "GDTR or IDTR access", "The guest executed LGDT, LIDT, SGDT or SIDT";
    LDTR_TR = 47, "LIQ", "LDTR or TR access", "The guest executed LLDT, LTR, SLDT or STR";
    EPT_VIOLATION = 48, "lQaP", "EPT violation", "An access to memory was not allowed by the EPT paging structures";
    EPT_MISCONFIG = 49, "lP", "EPT misconfiguration", "An access to memory met an EPT paging-structure entry with an unsupported value";
    INVEPT = 50, "LIQ", "INVEPT", "The guest executed INVEPT";
    RDTSCP = 51, "L", "RDTSCP", "The guest executed RDTSCP";
    PREEMPTION_TIMER = 52, "", "preemption timer", "The VMX-preemption timer counted down to zero";
    INVVPID = 53, "LIQ", "INVVPID", "The guest executed INVVPID";
    WBINVD = 54, "L", "WBINVD", "The guest executed WBINVD or WBNOINVD";
    XSETBV = 55, "L", "XSETBV", "The guest executed XSETBV";
    APIC_WRITE = 56, "Q", "APIC write", "The guest wrote to the virtual-APIC page a register that needs the host's help";
    RDRAND = 57, "LI", "RDRAND", "The guest executed RDRAND";
    INVPCID = 58, "LIQ", "INVPCID", "The guest executed INVPCID";
    VMFUNC = 59, "L", "VMFUNC", "The guest executed VMFUNC, and the function is not enabled or failed";
    ENCLS = 60, "L", "ENCLS", "The guest executed ENCLS";
    RDSEED = 61, "LI", "RDSEED", "The guest executed RDSEED";
    PML_FULL = 62, "lQ", "page-modification log full", "The processor had to log a page and the PML index is out of range";
    XSAVES = 63, "LIQ", "XSAVES", "The guest executed XSAVES";
    XRSTORS = 64, "LIQ", "XRSTORS", "The guest executed XRSTORS";
    PCONFIG = 65, "L", "PCONFIG", "The guest executed PCONFIG";
    SPP = 66, "lQaP", "SPP", "The sub-page permission table had a miss or a misconfiguration";
    UMWAIT = 67, "LI", "UMWAIT", "The guest executed UMWAIT";
    TPAUSE = 68, "LI", "TPAUSE", "The guest executed TPAUSE";
    LOADIWKEY = 69, "LI", "LOADIWKEY", "The guest executed LOADIWKEY";
    ENCLV = 70, "L", "ENCLV", "The guest executed ENCLV";
    ENQCMD = 72, "LQ", "ENQCMD", "The PASID of an ENQCMD has no translation";
    ENQCMDS = 73, "LQ", "ENQCMDS", "The PASID of an ENQCMDS has no translation";
    BUS_LOCK = 74, "", "bus lock", "The guest's last instruction took a bus lock";
    NOTIFY = 75, "Q", "instruction timeout", "No instruction boundary came within the instruction timeout";
    SEAMCALL = 76, "L", "SEAMCALL", "The guest executed SEAMCALL";
    TDCALL = 77, "L", "TDCALL", "The guest executed TDCALL";
    RDMSRLIST = 78, "LQ", "RDMSRLIST", "The guest executed RDMSRLIST";
    WRMSRLIST = 79, "LQ", "WRMSRLIST", "The guest executed WRMSRLIST";
}

impl Reason {
    /// The basic exit reason of a value of `VM_EXIT_REASON`.
    #[inline]
    pub const fn of(exit_reason: u32) -> Self {
        Self((exit_reason & 0xffff) as u16)
    }

    /// The number.
    #[inline]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The reason with this constant's name or this trace name, in any case of letters.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|r| {
            r.name().eq_ignore_ascii_case(name) || r.ident().is_some_and(|i| i.eq_ignore_ascii_case(name))
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.name())
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
