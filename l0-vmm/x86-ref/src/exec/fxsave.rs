//! State of x87 and SSE as a whole: FXSAVE, FXRSTOR, LDMXCSR, STMXCSR, and the legacy area that XSAVE has too.

use super::Handler;
use crate::{Cpu, cpu::Fpu, exec::operand::seg_number, fault::Exec, mem::Mode};
use iced_x86::{Instruction, Mnemonic};
use x86_spec::cr::{cr0, cr4};

/// MXCSR bits that exist: flags, masks, rounding, DAZ, FTZ. What MXCSR_MASK says in an image.
pub(super) const MXCSR_MASK: u32 = 0xffff;
/// Size of the legacy area.
pub(super) const LEGACY: usize = 512;
/// Where the legacy area has its first XMM register.
const XMM_AT: usize = 160;
/// Where it has its first x87 register.
const ST_AT: usize = 32;
pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    Some(match super::vex::plain(insn) {
        Mnemonic::Fxsave => fxsave::<false>,
        Mnemonic::Fxsave64 => fxsave::<true>,
        Mnemonic::Fxrstor => fxrstor::<false>,
        Mnemonic::Fxrstor64 => fxrstor::<true>,
        Mnemonic::Ldmxcsr => ldmxcsr,
        Mnemonic::Stmxcsr => stmxcsr,
        _ => return None,
    })
}

pub(super) fn put<const N: usize>(image: &mut [u8; LEGACY], at: usize, bytes: [u8; N]) {
    if let Some(to) = image.get_mut(at..at + N) {
        to.copy_from_slice(&bytes);
    }
}

pub(super) fn get<const N: usize>(image: &[u8; LEGACY], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    if let Some(from) = image.get(at..at + N) {
        bytes.copy_from_slice(from);
    }
    bytes
}

impl Fpu {
    /// The x87 register stack's top.
    fn top(&self) -> usize {
        usize::from(self.fsw >> 11 & 7)
    }

    /// Writes the x87 part of a legacy area. `wide`: 64-bit instruction and data pointers.
    pub(super) fn put_x87(&self, image: &mut [u8; LEGACY], wide: bool) {
        put(image, 0, self.fcw.to_le_bytes());
        put(image, 2, self.fsw.to_le_bytes());
        put(image, 4, [self.ftw, 0]);
        put(image, 6, self.fop.to_le_bytes());
        let cut = |pointer: u64| if wide { pointer } else { pointer & 0xffff_ffff };
        put(image, 8, cut(self.fip).to_le_bytes());
        put(image, 16, cut(self.fdp).to_le_bytes());
        for n in 0..8 {
            // The image counts from the top of the stack.
            let value = self.st[(self.top() + n) & 7];
            put(image, ST_AT + 16 * n, value.to_le_bytes());
        }
    }

    pub(super) fn get_x87(&mut self, image: &[u8; LEGACY], wide: bool) {
        // Reserved bits of the control word: bit 6 is always 1, others 0.
        self.fcw = u16::from_le_bytes(get(image, 0)) & 0x1f7f | 0x40;
        self.fsw = u16::from_le_bytes(get(image, 2));
        self.ftw = get::<1>(image, 4)[0];
        self.fop = u16::from_le_bytes(get(image, 6)) & 0x7ff;
        let cut = |pointer: u64| if wide { pointer } else { pointer & 0xffff_ffff };
        self.fip = cut(u64::from_le_bytes(get(image, 8)));
        self.fdp = cut(u64::from_le_bytes(get(image, 16)));
        for n in 0..8 {
            let mut bytes = [0; 16];
            bytes[..10].copy_from_slice(&get::<10>(image, ST_AT + 16 * n));
            let at = (self.top() + n) & 7;
            self.st[at] = u128::from_le_bytes(bytes);
        }
        self.summarise();
    }

    /// Sets ES and B of the status word as the flags and masks say.
    pub(super) fn summarise(&mut self) {
        let unmasked = self.fsw & !self.fcw & 0x3f != 0;
        self.fsw = self.fsw & !0x8080 | if unmasked { 0x8080 } else { 0 };
    }

    pub(super) fn put_xmm(&self, image: &mut [u8; LEGACY], count: usize) {
        for (n, value) in self.xmm.iter().take(count).enumerate() {
            put(image, XMM_AT + 16 * n, value.to_le_bytes());
        }
    }

    pub(super) fn get_xmm(&mut self, image: &[u8; LEGACY], count: usize) {
        for (n, value) in self.xmm.iter_mut().take(count).enumerate() {
            *value = u128::from_le_bytes(get(image, XMM_AT + 16 * n));
        }
    }

    pub(super) fn put_mxcsr(&self, image: &mut [u8; LEGACY]) {
        put(image, 24, self.mxcsr.to_le_bytes());
        put(image, 28, MXCSR_MASK.to_le_bytes());
    }

    /// FNINIT's state.
    pub(super) fn init_x87(&mut self) {
        (self.fcw, self.fsw, self.ftw, self.fop, self.fip, self.fdp) = (0x37f, 0, 0, 0, 0, 0);
    }
}

impl Cpu {
    /// x87 and SSE state as FXSAVE64 writes it in 64-bit mode, whatever the mode.
    pub fn fxsave_image(&self) -> [u8; 512] {
        let mut image = [0; LEGACY];
        self.fpu.put_x87(&mut image, true);
        self.fpu.put_mxcsr(&mut image);
        self.fpu.put_xmm(&mut image, 16);
        image
    }

    /// Puts in what [`Cpu::fxsave_image`] gives. Reserved bits are dropped.
    pub fn load_fxsave_image(&mut self, image: &[u8; 512]) {
        self.fpu.get_x87(image, true);
        self.fpu.mxcsr = u32::from_le_bytes(get(image, 24)) & MXCSR_MASK;
        self.fpu.get_xmm(image, 16);
    }

    /// How many XMM registers there are in this mode.
    pub(super) fn xmm_count(&self) -> usize {
        if self.long64() { 16 } else { 8 }
    }

    /// Linear address of a state image, with its alignment checked.
    pub(super) fn image_at(&mut self, insn: &Instruction, size: usize, align: u64, write: bool) -> Exec<u64> {
        let segment = seg_number(insn.memory_segment());
        let offset = self.effective_address(insn);
        let linear = self.linear(segment, offset, size, write)?;
        if linear & (align - 1) != 0 { Err(self.gp(0)) } else { Ok(linear) }
    }

    pub(super) fn read_image(&mut self, linear: u64) -> Exec<[u8; LEGACY]> {
        let mut image = [0; LEGACY];
        self.read_linear_bytes(linear, &mut image, Mode::Data)?;
        Ok(image)
    }
}

fn fxsave<const WIDE: bool>(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    if cpu.cr0 & (cr0::EM | cr0::TS) != 0 {
        return Err(cpu.nm());
    }
    let linear = cpu.image_at(insn, LEGACY, 16, true)?;
    cpu.probe_write(linear, LEGACY, Mode::Data)?;
    // What is reserved, and XMM registers where CR4.OSFXSR is clear, stays as it is in memory.
    let mut image = cpu.read_image(linear)?;
    cpu.fpu.put_x87(&mut image, WIDE);
    cpu.fpu.put_mxcsr(&mut image);
    if cpu.cr4 & cr4::OSFXSR != 0 {
        let count = cpu.xmm_count();
        cpu.fpu.put_xmm(&mut image, count);
    }
    cpu.write_linear_bytes(linear, &image, Mode::Data)
}

fn fxrstor<const WIDE: bool>(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    if cpu.cr0 & (cr0::EM | cr0::TS) != 0 {
        return Err(cpu.nm());
    }
    let linear = cpu.image_at(insn, LEGACY, 16, false)?;
    let image = cpu.read_image(linear)?;
    let mxcsr = u32::from_le_bytes(get(&image, 24));
    if mxcsr & !MXCSR_MASK != 0 {
        return Err(cpu.gp(0));
    }
    cpu.fpu.get_x87(&image, WIDE);
    cpu.fpu.mxcsr = mxcsr;
    if cpu.cr4 & cr4::OSFXSR != 0 {
        let count = cpu.xmm_count();
        cpu.fpu.get_xmm(&image, count);
    }
    Ok(())
}

fn ldmxcsr(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.enabled(insn)?;
    let value = cpu.read_operand(insn, 0)? as u32;
    if value & !MXCSR_MASK != 0 {
        return Err(cpu.gp(0));
    }
    cpu.fpu.mxcsr = value;
    Ok(())
}

fn stmxcsr(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.enabled(insn)?;
    cpu.write_operand(insn, 0, u64::from(cpu.fpu.mxcsr))
}
