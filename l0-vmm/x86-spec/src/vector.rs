//! Exceptions and their vectors. SDM: "Exception and Interrupt Reference", "Error Code Summary", "Interrupt 8—Double Fault
//! Exception (#DF)".

/// How an exception takes part in a double fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Delivered one after the other.
    Benign,
    /// Two of them make a double fault.
    Contributory,
    /// Followed by a contributory exception or a page fault it makes a double fault.
    PageFault,
    /// A contributory exception or page fault after it shuts the processor down.
    DoubleFault,
}

macro_rules! vectors {
    ($($ID:ident = $number:literal, $name:literal, $error:literal, $class:ident, $text:literal;)*) => {
        $(#[doc = concat!($text, " (", $name, ").")] pub const $ID: u8 = $number;)*

        /// Every vector that the manual gives a name.
        pub const ALL: &[u8] = &[$($number),*];

        /// The mnemonic: `#PF`; `vector` for one without.
        pub const fn name(vector: u8) -> &'static str {
            match vector { $($number => $name,)* _ => "vector" }
        }

        /// Whether it pushes an error code when it is delivered in protected mode.
        pub const fn has_error_code(vector: u8) -> bool {
            match vector { $($number => $error,)* _ => false }
        }

        /// Its class for double faults.
        pub const fn class(vector: u8) -> Class {
            match vector { $($number => Class::$class,)* _ => Class::Benign }
        }
    };
}

vectors! {
    DE = 0, "#DE", false, Contributory, "Divide error";
    DB = 1, "#DB", false, Benign, "Debug exception";
    NMI = 2, "NMI", false, Benign, "Non-maskable interrupt";
    BP = 3, "#BP", false, Benign, "Breakpoint";
    OF = 4, "#OF", false, Benign, "Overflow";
    BR = 5, "#BR", false, Benign, "BOUND range exceeded";
    UD = 6, "#UD", false, Benign, "Invalid opcode";
    NM = 7, "#NM", false, Benign, "Device not available";
    DF = 8, "#DF", true, DoubleFault, "Double fault";
    TS = 10, "#TS", true, Contributory, "Invalid TSS";
    NP = 11, "#NP", true, Contributory, "Segment not present";
    SS = 12, "#SS", true, Contributory, "Stack-segment fault";
    GP = 13, "#GP", true, Contributory, "General protection";
    PF = 14, "#PF", true, PageFault, "Page fault";
    MF = 16, "#MF", false, Benign, "x87 floating-point error";
    AC = 17, "#AC", true, Benign, "Alignment check";
    MC = 18, "#MC", false, Benign, "Machine check";
    XM = 19, "#XM", false, Benign, "SIMD floating-point exception";
    VE = 20, "#VE", false, PageFault, "Virtualization exception";
    CP = 21, "#CP", true, Contributory, "Control-protection exception";
}
