//! Instructions that are not modelled: #UD where the state or the profile does not allow them, as software that probes for
//! them expects, and the end of the run where they would execute. Those of other vendors are #UD.
//!
//! The README lists the families; a test holds both together.

use super::Handler;
use crate::Cpu;
use iced_x86::{CpuidFeature, EncodingKind, Instruction};
use x86_spec::cr::cr4;

/// XCR0: the SSE and AVX state that VEX-encoded vector instructions need.
const SSE_AND_AVX: u64 = 6;

/// A bit of CPUID: leaf, subleaf, register (EAX, EBX, ECX, EDX), bit.
type Where = (u32, u32, usize, u32);

/// What Intel processors have or had and is not modelled, and where CPUID says that it is there.
pub(super) const NOT_MODELLED: &[(CpuidFeature, Where)] = {
    use CpuidFeature::*;
    &[
        (AVX512F, (7, 0, 1, 16)),
        (AVX512DQ, (7, 0, 1, 17)),
        (AVX512_IFMA, (7, 0, 1, 21)),
        (AVX512PF, (7, 0, 1, 26)),
        (AVX512ER, (7, 0, 1, 27)),
        (AVX512CD, (7, 0, 1, 28)),
        (AVX512BW, (7, 0, 1, 30)),
        (AVX512VL, (7, 0, 1, 31)),
        (AVX512_VBMI, (7, 0, 2, 1)),
        (AVX512_VBMI2, (7, 0, 2, 6)),
        (AVX512_VNNI, (7, 0, 2, 11)),
        (AVX512_BITALG, (7, 0, 2, 12)),
        (AVX512_VPOPCNTDQ, (7, 0, 2, 14)),
        (AVX512_4VNNIW, (7, 0, 3, 2)),
        (AVX512_4FMAPS, (7, 0, 3, 3)),
        (AVX512_VP2INTERSECT, (7, 0, 3, 8)),
        (AVX512_FP16, (7, 0, 3, 23)),
        (AVX512_BF16, (7, 1, 0, 5)),
        (AVX_VNNI, (7, 1, 0, 4)),
        (AVX_IFMA, (7, 1, 0, 23)),
        (AVX_VNNI_INT8, (7, 1, 3, 4)),
        (AVX_NE_CONVERT, (7, 1, 3, 5)),
        (AVX_VNNI_INT16, (7, 1, 3, 10)),
        (SHA512, (7, 1, 0, 0)),
        (SM3, (7, 1, 0, 1)),
        (SM4, (7, 1, 0, 2)),
        (VAES, (7, 0, 2, 9)),
        (VPCLMULQDQ, (7, 0, 2, 10)),
        (GFNI, (7, 0, 2, 8)),
        (AMX_BF16, (7, 0, 3, 22)),
        (AMX_TILE, (7, 0, 3, 24)),
        (AMX_INT8, (7, 0, 3, 25)),
        (AMX_FP16, (7, 1, 0, 21)),
        (AMX_COMPLEX, (7, 1, 3, 8)),
        (AESKLE, (0x19, 0, 1, 0)),
        (WIDE_KL, (0x19, 0, 1, 2)),
        (KL, (7, 0, 2, 23)),
        (CET_SS, (7, 0, 2, 7)),
        (MPX, (7, 0, 1, 14)),
        (RTM, (7, 0, 1, 11)),
        (HLE_or_RTM, (7, 0, 1, 11)),
        (TSXLDTRK, (7, 0, 3, 16)),
        (SGX1, (7, 0, 1, 2)),
        (OSS, (7, 0, 1, 2)),
        (PCONFIG, (7, 0, 3, 18)),
        (TSE, (7, 1, 1, 1)),
        (UINTR, (7, 0, 3, 5)),
        (FRED, (7, 1, 0, 17)),
        (LKGS, (7, 1, 0, 18)),
        (WRMSRNS, (7, 1, 0, 19)),
        (MSRLIST, (7, 1, 0, 27)),
        (HRESET, (7, 1, 0, 22)),
        (CMPCCXADD, (7, 1, 0, 7)),
        (RAO_INT, (7, 1, 0, 3)),
        (PREFETCHITI, (7, 1, 3, 14)),
        (ENQCMD, (7, 0, 2, 29)),
        (MOVDIRI, (7, 0, 2, 27)),
        (MOVDIR64B, (7, 0, 2, 28)),
        (PTWRITE, (0x14, 0, 1, 4)),
        (PCOMMIT, (7, 0, 1, 22)),
    ]
};

/// What no Intel processor of this century has: invalid.
const FOREIGN: &[CpuidFeature] = {
    use CpuidFeature::*;
    &[
        CENTAUR_AIS,
        CL1INVMB,
        CLZERO,
        CYRIX_D3NOW,
        CYRIX_DDI,
        CYRIX_DMI,
        CYRIX_EMMI,
        CYRIX_FPU,
        CYRIX_SHR,
        CYRIX_SMINT,
        CYRIX_SMINT_0F7E,
        CYRIX_SMM,
        D3NOW,
        D3NOWEXT,
        FMA4,
        IA64,
        INTEL286_ONLY,
        INTEL386_A0_ONLY,
        INTEL386_ONLY,
        INVLPGB,
        KNC,
        LWP,
        MCOMMIT,
        MONITORX,
        MOV_TR,
        PADLOCK_ACE,
        PADLOCK_GMI,
        PADLOCK_PHE,
        PADLOCK_PMM,
        PADLOCK_RNG,
        PADLOCK_UNDOC,
        RDPRU,
        RMPQUERY,
        SEV_ES,
        SEV_SNP,
        SKINIT_or_SVM,
        SSE4A,
        SVM,
        TBM,
        TDX,
        UDBG,
        UMOV,
        XOP,
    ]
};

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    let features = insn.cpuid_features();
    if features.iter().any(|f| FOREIGN.contains(f)) {
        return Some(|cpu, _| Err(cpu.ud()));
    }
    if features.iter().any(|f| NOT_MODELLED.iter().any(|row| row.0 == *f)) {
        return Some(refuse);
    }
    None
}

fn refuse(cpu: &mut Cpu, insn: &Instruction) -> crate::fault::Exec {
    let vector = insn.encoding() != EncodingKind::Legacy;
    if vector && (!cpu.protected() || cpu.cr4 & cr4::OSXSAVE == 0 || cpu.xcr0 & SSE_AND_AVX != SSE_AND_AVX) {
        return Err(cpu.ud());
    }
    let rows = || NOT_MODELLED.iter().filter(|row| insn.cpuid_features().contains(&row.0));
    for (_, (leaf, subleaf, register, bit)) in rows() {
        if cpu.cpuid_leaf(*leaf, *subleaf)[register & 3] >> bit & 1 == 0 {
            return Err(cpu.ud());
        }
    }
    let what = if vector { "a vector instruction of this family" } else { "an instruction of this family" };
    Err(cpu.unsupported(what))
}
