//! Vector instructions that are not modelled: #UD where the state or the profile does not allow them, as software that
//! probes for them expects, and the end of the run where they would execute.

use super::{Handler, feature::Feature};
use crate::{Cpu, fault::Exec};
use iced_x86::{EncodingKind, Instruction, Mnemonic};
use x86_spec::cr::cr4;

/// XCR0: the SSE and AVX state that VEX-encoded vector instructions need.
const SSE_AND_AVX: u64 = 6;

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    Some(match insn.mnemonic() {
        Mnemonic::Aesdec
        | Mnemonic::Aesdeclast
        | Mnemonic::Aesenc
        | Mnemonic::Aesenclast
        | Mnemonic::Aesimc
        | Mnemonic::Aeskeygenassist => |cpu, _| legacy(cpu, Feature::Aes, "AES"),
        Mnemonic::Pclmulqdq => |cpu, _| legacy(cpu, Feature::Pclmul, "PCLMULQDQ"),
        Mnemonic::Sha1msg1
        | Mnemonic::Sha1msg2
        | Mnemonic::Sha1nexte
        | Mnemonic::Sha1rnds4
        | Mnemonic::Sha256msg1
        | Mnemonic::Sha256msg2
        | Mnemonic::Sha256rnds2 => |cpu, _| legacy(cpu, Feature::Sha, "SHA"),
        Mnemonic::Pcmpestri
        | Mnemonic::Pcmpestri64
        | Mnemonic::Pcmpestrm
        | Mnemonic::Pcmpestrm64
        | Mnemonic::Pcmpistri
        | Mnemonic::Pcmpistrm => |cpu, _| legacy(cpu, Feature::Sse42, "SSE4.2 text instructions"),
        _ if insn.encoding() != EncodingKind::Legacy => |cpu, _| {
            if !cpu.protected() || cpu.cr4 & cr4::OSXSAVE == 0 || cpu.xcr0 & SSE_AND_AVX != SSE_AND_AVX {
                return Err(cpu.ud());
            }
            Err(cpu.unsupported("AVX"))
        },
        _ => return None,
    })
}

fn legacy(cpu: &mut Cpu, feature: Feature, what: &'static str) -> Exec {
    cpu.need(feature)?;
    cpu.sse()?;
    Err(cpu.unsupported(what))
}
