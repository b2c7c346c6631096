//! Marks of the instructions that a machine without nested VMX cannot run.
//!
//! The address of every such instruction goes into the section `.nestrig.sensitive`, which is in the ELF file but not in
//! memory. There L0 may plant INT3 and have the reference CPU execute the instruction.

/// An instruction, marked as sensitive.
macro_rules! sensitive {
    ($instruction:expr) => {
        concat!(
            "771: ",
            $instruction,
            "\n.pushsection .nestrig.sensitive,\"\",@progbits\n.quad 771b\n.popsection\n"
        )
    };
    // And with a place where execution goes on after an exception in it: see `trap`.
    ($instruction:expr, $fixup:expr) => {
        concat!(
            sensitive!($instruction),
            ".pushsection .extable,\"a\",@progbits\n.quad 771b, ",
            $fixup,
            "\n.popsection\n"
        )
    };
}

/// Executes one sensitive instruction and tells how it ended, as a [`crate::vmx::Raw`].
///
/// R10 is zero if nothing happened, else what the trap handler put there; so an exception is a result like any other.
/// The flags before the instruction are those of XOR (ZF and PF set): an instruction that does not touch them shows.
macro_rules! execute {
    ($instruction:literal $(, $($operand:tt)*)?) => {{
        let (fault, flags): (u64, u64);
        core::arch::asm!(
            "xor r10d, r10d",
            sensitive!($instruction, "772f"),
            "772: pushfq",
            "pop r11",
            out("r10") fault,
            out("r11") flags,
            $($($operand)*)?
        );
        $crate::vmx::Raw { fault: l1_hypervisor::outcome::Fault(fault), flags }
    }};
}
