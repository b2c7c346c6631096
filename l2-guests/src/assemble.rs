//! The macros that make both the list and the code out of one text.
//!
//! ```text
//! behaviours! {
//!     /// What it does.
//!     name [16 32 64] (rcx "what the argument means") {
//!         r"mov \eax, cr0"      // a line of assembly, Intel syntax
//!         @after_mov            // a named point
//!         @long:64              // a named point from which on the code is 64 bits wide
//!     }
//! }
//! ```
//!
//! The body becomes an assembler macro that is expanded once per width. In it:
//!
//! | text | 16 | 32 | 64 |
//! |---|---|---|---|
//! | `\bits` | 16 | 32 | 64 |
//! | `\ax` `\bx` `\cx` `\dx` `\si` `\di` `\sp` | `ax` ... | `eax` ... | `rax` ... |
//! | `\eax` `\ebx` `\ecx` `\edx` `\esi` `\edi` `\esp` | `eax` ... | `eax` ... | `rax` ... |
//! | `\w`, as in `pushf\w` | (nothing) | `d` | `q` |
//! | `\ptr`, as in `inc \ptr ptr [...]` | `word` | `dword` | `qword` |
//! | `\data` | 0, in DS | `L2_DATA` | `L2_DATA` |
//! | `\stack` | 0x2000, in SS | `L2_STACK_TOP` | `L2_STACK_TOP` |
//!
//! `near_call \bits, 3f` calls label 3 and pushes an instruction pointer of the code's width.
//! Labels in a body are 2 to 7; `.if \bits == 64` chooses between widths.

/// The list of a family of behaviours, and in the image their code.
macro_rules! behaviours {
    ($($(#[doc = $text:literal])+ $name:ident [$($bits:tt)+] ($($reg:ident $arg:literal),*) { $($body:tt)* })+) => {
        /// | behaviour | widths | arguments | what it does |
        /// |---|---|---|---|
        $(#[doc = concat!(
            "| `", stringify!($name), "` |", $(" ", stringify!($bits),)+ " | ",
            $("`", stringify!($reg), "`: ", $arg, "; ",)* "|", $($text,)+ " |",
        )])+
        pub const BEHAVIOURS: &[$crate::Behaviour] = &[$(
            $crate::Behaviour {
                name: stringify!($name),
                bits: &[$($bits),+],
                text: concat!($($text),+).trim_ascii(),
                args: &[$((stringify!($reg), $arg)),*],
                points: points!([] $($body)*),
            },
        )+];
        $(
            #[cfg(nestrig_image)]
            assemble!($name [$($bits)+] [] $($body)*);
        )+
    };
}

/// The points of a body.
macro_rules! points {
    ([$($done:tt)*]) => { &[$($done)*] };
    ([$($done:tt)*] @ $name:ident : $bits:literal $($rest:tt)*) => {
        points!([$($done)* $crate::Point { name: stringify!($name), bits: Some($bits) },] $($rest)*)
    };
    ([$($done:tt)*] @ $name:ident $($rest:tt)*) => {
        points!([$($done)* $crate::Point { name: stringify!($name), bits: None },] $($rest)*)
    };
    ([$($done:tt)*] $line:literal $($rest:tt)*) => { points!([$($done)*] $($rest)*) };
}

/// The code of a behaviour: its body as an assembler macro, expanded for each width.
#[cfg(nestrig_image)]
macro_rules! assemble {
    ($name:ident [$($bits:tt)+] [$($done:tt)*]) => {
        core::arch::global_asm!(
            concat!(".section .text.l2.", stringify!($name), ",\"ax\",@progbits"),
            ".macro near_call bits, to",
            r".if \bits == 16",
            ".byte 0xe8", // The assembler would choose the form that pushes 4 bytes.
            r".word \to - (. + 2)",
            ".else",
            r"call \to",
            ".endif",
            ".endm",
            concat!(
                ".macro l2_body bits, ax, bx, cx, dx, si, di, sp, eax, ebx, ecx, edx, esi, edi, esp, w, ",
                "ptr, data={data}, stack={stack}",
            ),
            $($done)*
            ".endm",
            $(width!($name $bits),)+
            ".purgem l2_body",
            ".purgem near_call",
            ".code64",
            ".text",
            data = const rig_abi::layout::L2_DATA,
            stack = const rig_abi::layout::L2_STACK_TOP,
        );
    };
    ($name:ident $bits:tt [$($done:tt)*] @ $point:ident : $to:literal $($rest:tt)*) => {
        assemble!($name $bits [$($done)* concat!(".code", stringify!($to)), point_label!($name $point),] $($rest)*);
    };
    ($name:ident $bits:tt [$($done:tt)*] @ $point:ident $($rest:tt)*) => {
        assemble!($name $bits [$($done)* point_label!($name $point),] $($rest)*);
    };
    ($name:ident $bits:tt [$($done:tt)*] $line:literal $($rest:tt)*) => {
        assemble!($name $bits [$($done)* $line,] $($rest)*);
    };
}

/// The label of a point; its symbol reaches to the end of the behaviour.
#[cfg(nestrig_image)]
macro_rules! point_label {
    ($name:ident $point:ident) => {
        point_label!(@ concat!("l2.\\bits\\().", stringify!($name), ".", stringify!($point)))
    };
    (@ $symbol:expr) => {
        concat!(".type ", $symbol, ", @function\n", $symbol, ":\n.size ", $symbol, ", 9f - ", $symbol)
    };
}

/// A behaviour in one width.
#[cfg(nestrig_image)]
macro_rules! width {
    ($name:ident 16) => {
        width!(@ ".code16", concat!("l2.16.", stringify!($name)),
            "16, ax, bx, cx, dx, si, di, sp, eax, ebx, ecx, edx, esi, edi, esp, , word, 0, 0x2000")
    };
    ($name:ident 32) => {
        width!(@ ".code32", concat!("l2.32.", stringify!($name)),
            "32, eax, ebx, ecx, edx, esi, edi, esp, eax, ebx, ecx, edx, esi, edi, esp, d, dword")
    };
    ($name:ident 64) => {
        width!(@ ".code64", concat!("l2.64.", stringify!($name)),
            "64, rax, rbx, rcx, rdx, rsi, rdi, rsp, rax, rbx, rcx, rdx, rsi, rdi, rsp, q, qword")
    };
    (@ $code:literal, $symbol:expr, $registers:literal) => {
        concat!(
            $code, "\n.balign 16, 0xf4\n",
            ".globl ", $symbol, "\n.type ", $symbol, ", @function\n", $symbol, ":\n",
            "l2_body ", $registers, "\n",
            "8: hlt\njmp 8b\n9:\n.size ", $symbol, ", 9b - ", $symbol,
        )
    };
}
