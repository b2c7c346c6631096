//! The instructions, one file for each family.
//!
//! Each family has `pub(super) fn find(&Instruction) -> Option<Handler>`; [`find`] asks them in turn when a block is
//! decoded, never while it runs. What is hot has specialised ops in `block` and no handler here.

use crate::{Cpu, fault::Exec};
use iced_x86::{FlowControl, Instruction, Mnemonic, OpKind, Register};

mod atomic;
mod avx;
mod bcd;
mod beyond;
mod bits;
mod bmi;
mod cache;
pub(crate) mod cet;
mod cpuid;
mod cr;
mod crypt;
pub(crate) mod descriptor;
mod dr;
mod far;
#[cfg(test)]
mod faults;
pub(crate) mod feature;
mod flag;
mod fma;
mod fxsave;
mod halt;
mod interrupt;
mod io;
mod misc;
mod mmx;
pub(crate) mod msr;
mod muldiv;
pub(crate) mod operand;
mod random;
mod reset;
#[cfg(test)]
mod scope;
mod segment;
mod shift;
mod soft;
mod sse;
mod sse_float;
mod sse_int;
mod sse_move;
mod stack;
mod string;
mod syscall;
mod table;
mod text;
mod time;
mod vex;
mod wait;
mod x87;
mod xcr;
mod xsave;

/// Executes one instruction.
///
/// When it is called [`Cpu::rip`] is that of the instruction (`insn.ip()`). A handler of an instruction that does not
/// change the flow leaves RIP alone; one that does sets [`Cpu::rip`] to its target; the run loop knows by
/// [`ends`] which it is. On `Err` nothing architectural may have changed, but what the manual says has.
pub(crate) type Handler = fn(&mut Cpu, &Instruction) -> Exec;

/// The handler of an instruction; `None`: it is not modelled.
pub(crate) fn find(insn: &Instruction) -> Option<Handler> {
    integer(insn).or_else(|| system(insn)).or_else(|| floating(insn))
}

/// The families of integer instructions.
fn integer(insn: &Instruction) -> Option<Handler> {
    string::find(insn)
        .or_else(|| muldiv::find(insn))
        .or_else(|| atomic::find(insn))
        .or_else(|| bits::find(insn))
        .or_else(|| shift::find(insn))
        .or_else(|| stack::find(insn))
        .or_else(|| misc::find(insn))
        .or_else(|| bmi::find(insn))
        .or_else(|| bcd::find(insn))
}

/// SSE and x87. `beyond` comes first: newer forms of vector instructions have the names of those that are modelled.
fn floating(insn: &Instruction) -> Option<Handler> {
    beyond::find(insn)
        .or_else(|| sse_move::find(insn))
        .or_else(|| sse_int::find(insn))
        .or_else(|| sse_float::find(insn))
        .or_else(|| mmx::find(insn))
        .or_else(|| fxsave::find(insn))
        .or_else(|| xsave::find(insn))
        .or_else(|| crypt::find(insn))
        .or_else(|| text::find(insn))
        .or_else(|| avx::find(insn))
        .or_else(|| fma::find(insn))
        .or_else(|| x87::find(insn))
}

/// The families of system instructions.
fn system(insn: &Instruction) -> Option<Handler> {
    segment::find(insn)
        .or_else(|| far::find(insn))
        .or_else(|| interrupt::find(insn))
        .or_else(|| syscall::find(insn))
        .or_else(|| cr::find(insn))
        .or_else(|| dr::find(insn))
        .or_else(|| table::find(insn))
        .or_else(|| msr::find(insn))
        .or_else(|| cpuid::find(insn))
        .or_else(|| io::find(insn))
        .or_else(|| halt::find(insn))
        .or_else(|| time::find(insn))
        .or_else(|| wait::find(insn))
        .or_else(|| xcr::find(insn))
        .or_else(|| cache::find(insn))
        .or_else(|| random::find(insn))
        .or_else(|| crate::vmx::find(insn))
}

/// How an instruction that is not hot ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// It goes on behind itself, in the block.
    No,
    /// It goes on behind itself, but something may have changed that blocks are decoded or linked under: the run loop sets
    /// RIP behind the instruction and looks up the next block.
    After,
    /// The handler sets RIP.
    Flow,
}

/// How this instruction ends.
pub(crate) fn ends(insn: &Instruction) -> Ends {
    match insn.flow_control() {
        FlowControl::Next if changes_state(insn) => Ends::After,
        FlowControl::Next => Ends::No,
        // A VMX instruction that fails goes on behind itself; one that succeeds switches, which is not its end.
        _ if matches!(
            insn.mnemonic(),
            Mnemonic::Vmcall | Mnemonic::Vmlaunch | Mnemonic::Vmresume | Mnemonic::Vmmcall | Mnemonic::Vmfunc
        ) =>
        {
            Ends::After
        }
        _ => Ends::Flow,
    }
}

/// Whether the instruction changes something besides registers, memory and arithmetic flags.
fn changes_state(insn: &Instruction) -> bool {
    let system_register = |n| {
        let register = insn.op_register(n);
        insn.op_kind(n) == OpKind::Register
            && (register.is_segment_register() || register.is_cr() || register.is_dr() || register.is_tr())
            && register != Register::None
    };
    use Mnemonic::*;
    match insn.mnemonic() {
        Mov | Pop => system_register(0),
        Lds | Les | Lfs | Lgs | Lss => true,
        Clts | Lmsw | Wrmsr | Wrmsrns | Xsetbv | Swapgs | Wrfsbase | Wrgsbase | Wrpkru => true,
        Popf | Popfd | Popfq | Cli | Sti | Clac | Stac => true,
        Lgdt | Lidt | Lldt | Ltr => true,
        Hlt | Mwait | Pause => true,
        Invlpg | Invpcid | Invd | Wbinvd | Wbnoinvd | Invept | Invvpid | Vmfunc => true,
        In | Out | Insb | Insw | Insd | Outsb | Outsw | Outsd => true,
        Vmclear | Vmptrld | Vmptrst | Vmread | Vmwrite | Vmxoff | Vmxon => true,
        Xrstor | Xrstor64 | Xrstors | Xrstors64 => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::{Decoder, DecoderOptions};

    #[test]
    fn how_instructions_end() {
        let rows: &[(&[u8], Ends)] = &[
            (b"\x48\x89\xc3", Ends::No),    // mov rbx, rax
            (b"\x0f\xa2", Ends::No),        // cpuid
            (b"\x8e\xd0", Ends::After),     // mov ss, eax
            (b"\x8c\xd0", Ends::No),        // mov eax, ss
            (b"\x0f\x22\xd8", Ends::After), // mov cr3, rax
            (b"\x0f\x20\xd8", Ends::No),    // mov rax, cr3
            (b"\xf4", Ends::After),         // hlt
            (b"\xfb", Ends::After),         // sti
            (b"\x48\xcf", Ends::Flow),      // iretq
            (b"\xcd\x80", Ends::Flow),      // int 0x80
            (b"\x0f\x05", Ends::Flow),      // syscall
            (b"\x0f\x07", Ends::Flow),      // sysret
            (b"\x0f\x35", Ends::Flow),      // sysexit
            (b"\xcb", Ends::Flow),          // retf
            (b"\xff\x28", Ends::Flow),      // jmp far [rax]
            (b"\x0f\x01\xc1", Ends::After), // vmcall
            (b"\x0f\x01\xc2", Ends::After), // vmlaunch
            (b"\x0f\x78\xc3", Ends::After), // vmread rbx, rax
            (b"\x0f\x0b", Ends::Flow),      // ud2
        ];
        for (bytes, expected) in rows {
            let insn = Decoder::new(64, bytes, DecoderOptions::NONE).decode();
            assert_eq!(ends(&insn), *expected, "{bytes:02x?}");
        }
    }
}
