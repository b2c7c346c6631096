//! What vector instructions of both encodings share: VEX forms have a destination of their own, operands of 128 or 256 bits,
//! need no alignment, and clear what lies above the destination. Most 256-bit operations are two of 128 bits.

use super::{feature::Feature, operand::seg_number, soft::Env, sse::Align};
use crate::{Cpu, fault::Exec, mem::Mode};
use iced_x86::{CpuidFeature, Instruction, OpKind, Register};
use x86_spec::cr::{cr0, cr4};

pub(super) mod forms;

pub(super) use forms::{is_vex, plain};

/// 256 bits, low half first.
pub(super) type Wide = [u128; 2];

/// XCR0: the SSE and AVX state.
const SSE_AND_AVX: u64 = 6;

/// Which operands are the two sources of a VEX form.
fn sources(insn: &Instruction) -> (u32, u32) {
    if insn.op_count() > 2 && insn.op2_kind() != OpKind::Immediate8 { (1, 2) } else { (0, 1) }
}

/// Halves that a VEX form has.
pub(super) fn halves(insn: &Instruction) -> usize {
    let wide = |n| match insn.op_kind(n) {
        OpKind::Register => insn.op_register(n).is_ymm(),
        OpKind::Memory => insn.memory_size().size() == 32,
        _ => false,
    };
    if (0..insn.op_count().min(3)).any(wide) { 2 } else { 1 }
}

impl Cpu {
    /// #UD and #NM of VEX-encoded vector instructions. SDM 2, "Exception Classifications".
    pub(super) fn avx(&mut self, insn: &Instruction) -> Exec {
        if !self.protected() || self.cr4 & cr4::OSXSAVE == 0 || self.xcr0 & SSE_AND_AVX != SSE_AND_AVX {
            return Err(self.ud());
        }
        for feature in insn.cpuid_features() {
            match feature {
                CpuidFeature::AVX => self.need(Feature::Avx)?,
                CpuidFeature::AVX2 => self.need(Feature::Avx2)?,
                CpuidFeature::F16C => self.need(Feature::F16c)?,
                CpuidFeature::FMA => self.need(Feature::Fma)?,
                _ => {}
            }
        }
        if self.cr0 & cr0::TS != 0 { Err(self.nm()) } else { Ok(()) }
    }

    /// [`Cpu::avx`] or [`Cpu::sse`].
    pub(super) fn enabled(&mut self, insn: &Instruction) -> Exec {
        if is_vex(insn) { self.avx(insn) } else { self.sse() }
    }

    pub(super) fn wide(&self, register: Register) -> Wide {
        let n = register.number() & 15;
        [self.fpu.xmm[n], if register.is_ymm() { self.fpu.ymm[n] } else { 0 }]
    }

    /// Writes a register by a VEX form: what lies above is cleared.
    pub(super) fn set_wide(&mut self, register: Register, value: Wide) {
        let n = register.number() & 15;
        self.fpu.xmm[n] = value[0];
        self.fpu.ymm[n] = if register.is_ymm() { value[1] } else { 0 };
    }

    /// Writes the destination: by a legacy form only the XMM register.
    pub(super) fn set_vector(&mut self, insn: &Instruction, value: u128) {
        if is_vex(insn) {
            self.set_wide(insn.op0_register(), [value, 0]);
        } else {
            self.set_xmm(insn.op0_register(), value);
        }
    }

    /// Writes an XMM register that the operands do not name.
    pub(super) fn set_vector_low(&mut self, insn: &Instruction, register: Register, value: u128) {
        if is_vex(insn) { self.set_wide(register, [value, 0]) } else { self.set_xmm(register, value) }
    }

    /// Operand `n` of a VEX form: a register, or memory of the operand's size.
    pub(super) fn read_wide(&mut self, insn: &Instruction, n: u32) -> Exec<Wide> {
        if insn.op_kind(n) == OpKind::Register {
            return Ok(self.wide(insn.op_register(n)));
        }
        if insn.memory_size().size() <= 16 {
            return Ok([self.read_sse(insn, n, Align::Any)?, 0]);
        }
        let offset = self.effective_address(insn);
        let linear = self.linear(seg_number(insn.memory_segment()), offset, 32, false)?;
        let mut bytes = [0; 32];
        self.read_linear_bytes(linear, &mut bytes, Mode::Data)?;
        let [low, high] = *bytes.as_chunks::<16>().0 else { return Ok([0, 0]) };
        Ok([u128::from_le_bytes(low), u128::from_le_bytes(high)])
    }

    /// Writes the memory operand of a VEX form.
    pub(super) fn write_wide_memory(&mut self, insn: &Instruction, value: Wide) -> Exec {
        if insn.memory_size().size() <= 16 {
            return self.write_sse_memory(insn, value[0], Align::Any);
        }
        let offset = self.effective_address(insn);
        let linear = self.linear(seg_number(insn.memory_segment()), offset, 32, true)?;
        self.probe_write(linear, 32, Mode::Data)?;
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&value[0].to_le_bytes());
        bytes[16..].copy_from_slice(&value[1].to_le_bytes());
        self.write_linear_bytes(linear, &bytes, Mode::Data)
    }

    /// Destination and source, or the two sources of a VEX form, to the destination, 128 bits at a time; `f` gets the number
    /// of the half.
    pub(super) fn halves(
        &mut self,
        insn: &Instruction,
        align: Align,
        f: impl Fn(u128, u128, u32) -> u128,
    ) -> Exec {
        if !is_vex(insn) {
            self.sse()?;
            let b = self.read_sse(insn, 1, align)?;
            let a = self.xmm(insn.op0_register());
            self.set_xmm(insn.op0_register(), f(a, b, 0));
            return Ok(());
        }
        self.avx(insn)?;
        let (a, b) = sources(insn);
        let b = self.read_wide(insn, b)?;
        let a = self.wide(insn.op_register(a));
        let high = if halves(insn) == 2 { f(a[1], b[1], 1) } else { 0 };
        self.set_wide(insn.op0_register(), [f(a[0], b[0], 0), high]);
        Ok(())
    }

    /// [`Cpu::halves`] where both are the same.
    pub(super) fn vectors(
        &mut self,
        insn: &Instruction,
        align: Align,
        f: impl Fn(u128, u128) -> u128,
    ) -> Exec {
        self.halves(insn, align, |a, b, _| f(a, b))
    }

    /// [`Cpu::halves`] with floating-point exceptions.
    pub(super) fn halves_env(
        &mut self,
        insn: &Instruction,
        f: impl Fn(&mut Env, u128, u128) -> u128,
    ) -> Exec {
        let mut env = Env::new(self.fpu.mxcsr);
        if !is_vex(insn) {
            self.sse()?;
            let b = self.read_sse(insn, 1, Align::Checked)?;
            let result = f(&mut env, self.xmm(insn.op0_register()), b);
            self.collect(&env)?;
            self.set_xmm(insn.op0_register(), result);
            return Ok(());
        }
        self.avx(insn)?;
        let (a, b) = sources(insn);
        let b = self.read_wide(insn, b)?;
        let a = self.wide(insn.op_register(a));
        let low = f(&mut env, a[0], b[0]);
        let high = if halves(insn) == 2 { f(&mut env, a[1], b[1]) } else { 0 };
        self.collect(&env)?;
        self.set_wide(insn.op0_register(), [low, high]);
        Ok(())
    }

    /// The operands of a scalar operation: what the rest of the destination comes from, and the second source.
    pub(super) fn scalars(&mut self, insn: &Instruction) -> Exec<(u128, u128)> {
        if !is_vex(insn) {
            self.sse()?;
            let b = self.read_sse(insn, 1, Align::Any)?;
            return Ok((self.xmm(insn.op0_register()), b));
        }
        self.avx(insn)?;
        let b = self.read_wide(insn, 2)?[0];
        Ok((self.xmm(insn.op1_register()), b))
    }

    /// Both operands of an instruction that writes neither.
    pub(super) fn two_vectors(&mut self, insn: &Instruction) -> Exec<(u128, u128)> {
        self.enabled(insn)?;
        let b = self.read_sse(insn, 1, Align::Any)?;
        Ok((self.xmm(insn.op0_register()), b))
    }
}
