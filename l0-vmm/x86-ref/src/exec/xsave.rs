//! XSAVE and its siblings, in the standard and the compacted format; the PKRU register.
//!
//! Components: x87 (0), SSE (1), AVX (2), PKRU (9). A component counts as in use when it differs from its initial state; what
//! has not been modified since XRSTOR is saved all the same. SDM 1: "Managing State Using the XSAVE Feature Set".

use super::{
    Handler,
    feature::Feature,
    fxsave::{LEGACY, MXCSR_MASK, get},
};
use crate::{
    Cpu,
    cpu::{Fpu, gpr},
    fault::Exec,
    mem::Mode,
    vmx::Intercept,
};
use iced_x86::{Instruction, Mnemonic};
use x86_spec::cr::{cr0, cr4};

/// The XSAVE header's size.
const HEADER: usize = 64;
/// Where further components begin.
const EXTENDED: u64 = (LEGACY + HEADER) as u64;
/// State components.
const X87: u64 = 1 << 0;
const SSE: u64 = 1 << 1;
const AVX: u64 = 1 << 2;
const PKRU: u64 = 1 << 9;
const MODELLED: u64 = X87 | SSE | AVX | PKRU;
/// XCOMP_BV: the image is compacted.
const COMPACTED: u64 = 1 << 63;
/// MXCSR's initial value.
const MXCSR_INITIAL: u32 = 0x1f80;
/// CPUID leaf of XSAVE.
const LEAF: u32 = 0xd;

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    use Mnemonic::*;
    Some(match insn.mnemonic() {
        Xsave => |cpu, insn| standard(cpu, insn, false, false),
        Xsave64 => |cpu, insn| standard(cpu, insn, true, false),
        Xsaveopt => |cpu, insn| standard(cpu, insn, false, true),
        Xsaveopt64 => |cpu, insn| standard(cpu, insn, true, true),
        Xsavec => |cpu, insn| compacted(cpu, insn, false, false),
        Xsavec64 => |cpu, insn| compacted(cpu, insn, true, false),
        Xsaves => |cpu, insn| compacted(cpu, insn, false, true),
        Xsaves64 => |cpu, insn| compacted(cpu, insn, true, true),
        Xrstor => |cpu, insn| restore(cpu, insn, false, false),
        Xrstor64 => |cpu, insn| restore(cpu, insn, true, false),
        Xrstors => |cpu, insn| restore(cpu, insn, false, true),
        Xrstors64 => |cpu, insn| restore(cpu, insn, true, true),
        Rdpkru => rdpkru,
        Wrpkru => wrpkru,
        _ => return None,
    })
}

impl Fpu {
    /// Components that are not in their initial state.
    fn in_use(&self) -> u64 {
        let x87 = (self.fcw, self.fsw, self.ftw, self.fop, self.fip, self.fdp) != (0x37f, 0, 0, 0, 0, 0)
            || self.st != [0; 8];
        let bit = |on: bool, bit: u64| if on { bit } else { 0 };
        bit(x87, X87)
            | bit(self.xmm != [0; 16], SSE)
            | bit(self.ymm != [0; 16], AVX)
            | bit(self.pkru != 0, PKRU)
    }
}

impl Cpu {
    fn xsave_allowed(&mut self) -> Exec {
        self.need(Feature::Xsave)?;
        if self.cr4 & cr4::OSXSAVE == 0 {
            return Err(self.ud());
        }
        if self.cr0 & cr0::TS != 0 { Err(self.nm()) } else { Ok(()) }
    }

    /// XSAVES and XRSTORS: when they may execute, and their VM exits.
    fn supervisor_allowed(&mut self, insn: &Instruction, save: bool) -> Exec {
        let mask = self.mask();
        let what = if save { Intercept::Xsaves { mask } } else { Intercept::Xrstors { mask } };
        self.need(Feature::Xsaves)?;
        if self.vmx_disables(what) || self.cr4 & cr4::OSXSAVE == 0 {
            return Err(self.ud());
        }
        if self.cr0 & cr0::TS != 0 {
            return Err(self.nm());
        }
        self.need_cpl0()?;
        self.intercept(insn, what)
    }

    /// EDX:EAX.
    fn mask(&self) -> u64 {
        self.r[gpr::RDX] << 32 | self.r[gpr::RAX] & 0xffff_ffff
    }

    /// The components asked for, of those that are enabled.
    fn requested(&mut self, enabled: u64) -> Exec<u64> {
        let asked = enabled & self.mask();
        if asked & !MODELLED != 0 {
            return Err(self.unsupported("XSAVE components beyond x87, SSE, AVX and PKRU"));
        }
        Ok(asked)
    }

    /// Size and place of a component in the standard format, and whether it is aligned in the compacted one.
    fn component(&self, n: u32) -> (u64, u64, bool) {
        let [size, offset, flags, _] = self.cpuid_leaf(LEAF, n);
        (u64::from(size), u64::from(offset), flags & 2 != 0)
    }

    /// Where component `n` lies in an image; `format`: XCOMP_BV of a compacted one.
    fn place(&self, n: u32, format: u64) -> u64 {
        if format & COMPACTED == 0 {
            return self.component(n).1;
        }
        let aligned = |at: u64, align: bool| if align { at.next_multiple_of(64) } else { at };
        let end = (2..n).filter(|k| format >> k & 1 != 0).fold(EXTENDED, |at, k| {
            let (size, _, align) = self.component(k);
            aligned(at, align) + size
        });
        aligned(end, self.component(n).2)
    }

    /// Bytes of an image with these components.
    fn image_size(&self, components: u64, format: u64) -> u64 {
        (2..63)
            .filter(|n| components >> n & 1 != 0)
            .map(|n| self.place(n, format) + self.component(n).0)
            .fold(EXTENDED, u64::max)
    }

    /// Writes the components of `write` into an image whose legacy area is `legacy`.
    fn save_extended(&mut self, linear: u64, write: u64, format: u64) -> Exec {
        if write & AVX != 0 {
            let at = linear.wrapping_add(self.place(2, format));
            let count = self.xmm_count();
            let bytes: Vec<u8> = self.fpu.ymm.iter().take(count).flat_map(|y| y.to_le_bytes()).collect();
            self.write_linear_bytes(at, &bytes, Mode::Data)?;
        }
        if write & PKRU != 0 {
            let at = linear.wrapping_add(self.place(9, format));
            self.write_linear(at, 8, u64::from(self.fpu.pkru), Mode::Data)?;
        }
        Ok(())
    }

    fn load_extended(&mut self, linear: u64, load: u64, present: u64, format: u64) -> Exec {
        let count = self.xmm_count();
        if load & AVX != 0 {
            let mut bytes = [0; 256];
            let bytes = &mut bytes[..16 * count];
            if present & AVX != 0 {
                self.read_linear_bytes(linear.wrapping_add(self.place(2, format)), bytes, Mode::Data)?;
            }
            for (y, from) in self.fpu.ymm.iter_mut().zip(bytes.as_chunks::<16>().0) {
                *y = u128::from_le_bytes(*from);
            }
        }
        if load & PKRU != 0 {
            let pkru = if present & PKRU != 0 {
                self.read_linear(linear.wrapping_add(self.place(9, format)), 4, Mode::Data)? as u32
            } else {
                0
            };
            self.set_pkru(pkru);
        }
        Ok(())
    }

    /// Writes PKRU; translations depend on it.
    fn set_pkru(&mut self, value: u32) {
        if self.fpu.pkru != value {
            self.fpu.pkru = value;
            self.flush_tlb();
        }
    }
}

/// XSAVE and XSAVEOPT (which leaves out what is in its initial state).
fn standard(cpu: &mut Cpu, insn: &Instruction, wide: bool, optimised: bool) -> Exec {
    if optimised {
        cpu.need(Feature::Xsaveopt)?;
    }
    cpu.xsave_allowed()?;
    let asked = cpu.requested(cpu.xcr0)?;
    let size = cpu.image_size(asked, 0) as usize;
    let linear = cpu.image_at(insn, size, 64, true)?;
    cpu.probe_write(linear, size, Mode::Data)?;
    let mut image = cpu.read_image(linear)?;
    let header = linear.wrapping_add(LEGACY as u64);
    let old = cpu.read_linear(header, 8, Mode::Data)?;
    let used = cpu.fpu.in_use();
    let write = if optimised { asked & used } else { asked };
    if write & X87 != 0 {
        cpu.fpu.put_x87(&mut image, wide);
    }
    if asked & (SSE | AVX) != 0 {
        cpu.fpu.put_mxcsr(&mut image);
    }
    if write & SSE != 0 {
        let count = cpu.xmm_count();
        cpu.fpu.put_xmm(&mut image, count);
    }
    cpu.write_linear_bytes(linear, &image, Mode::Data)?;
    cpu.save_extended(linear, write, 0)?;
    cpu.write_linear(header, 8, old & !asked | asked & used, Mode::Data)
}

/// XSAVEC and XSAVES.
fn compacted(cpu: &mut Cpu, insn: &Instruction, wide: bool, supervisor: bool) -> Exec {
    let enabled = if supervisor {
        cpu.supervisor_allowed(insn, true)?;
        cpu.xcr0 | cpu.msr.xss
    } else {
        cpu.need(Feature::Xsavec)?;
        cpu.xsave_allowed()?;
        cpu.xcr0
    };
    let asked = cpu.requested(enabled)?;
    let format = asked | COMPACTED;
    let size = cpu.image_size(asked, format) as usize;
    let linear = cpu.image_at(insn, size, 64, true)?;
    cpu.probe_write(linear, size, Mode::Data)?;
    let mut image = cpu.read_image(linear)?;
    // MXCSR belongs to SSE here.
    let mxcsr = if cpu.fpu.mxcsr != MXCSR_INITIAL { SSE } else { 0 };
    let write = asked & (cpu.fpu.in_use() | mxcsr);
    if write & X87 != 0 {
        cpu.fpu.put_x87(&mut image, wide);
    }
    if write & SSE != 0 {
        cpu.fpu.put_mxcsr(&mut image);
        let count = cpu.xmm_count();
        cpu.fpu.put_xmm(&mut image, count);
    }
    cpu.write_linear_bytes(linear, &image, Mode::Data)?;
    cpu.save_extended(linear, write, format)?;
    let header = linear.wrapping_add(LEGACY as u64);
    let mut words = [0; HEADER];
    words[..8].copy_from_slice(&write.to_le_bytes());
    words[8..16].copy_from_slice(&format.to_le_bytes());
    cpu.write_linear_bytes(header, &words, Mode::Data)
}

/// XRSTOR of either format, and XRSTORS. SDM 1, "Operation of XRSTOR", "Operation of XRSTORS".
fn restore(cpu: &mut Cpu, insn: &Instruction, wide: bool, supervisor: bool) -> Exec {
    let enabled = if supervisor {
        cpu.supervisor_allowed(insn, false)?;
        cpu.xcr0 | cpu.msr.xss
    } else {
        cpu.xsave_allowed()?;
        cpu.xcr0
    };
    let asked = cpu.requested(enabled)?;
    let linear = cpu.image_at(insn, LEGACY + HEADER, 64, false)?;
    let image = cpu.read_image(linear)?;
    let mut header = [0; HEADER];
    cpu.read_linear_bytes(linear.wrapping_add(LEGACY as u64), &mut header, Mode::Data)?;
    let word = |n: usize| header.as_chunks::<8>().0.get(n).map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let (present, format) = (word(0), word(1));
    let good = if format & COMPACTED != 0 {
        let known = supervisor || cpu.features.has(Feature::Xsavec);
        known
            && format & !COMPACTED & !enabled == 0
            && present & !format == 0
            && header[16..].iter().all(|byte| *byte == 0)
    } else {
        !supervisor && format == 0 && word(2) == 0 && present & !cpu.xcr0 == 0
    };
    let mxcsr = u32::from_le_bytes(get(&image, 24));
    let load_mxcsr =
        if format & COMPACTED != 0 { asked & present & SSE != 0 } else { asked & (SSE | AVX) != 0 };
    if !good || load_mxcsr && mxcsr & !MXCSR_MASK != 0 {
        return Err(cpu.gp(0));
    }
    if format & COMPACTED != 0 && present & asked & !MODELLED != 0 {
        return Err(cpu.unsupported("XSAVE components beyond x87, SSE, AVX and PKRU"));
    }
    cpu.load_extended(linear, asked, present, format)?;
    if load_mxcsr {
        cpu.fpu.mxcsr = mxcsr;
    } else if format & COMPACTED != 0 && asked & SSE != 0 {
        cpu.fpu.mxcsr = MXCSR_INITIAL;
    }
    if asked & X87 != 0 {
        if present & X87 != 0 {
            cpu.fpu.get_x87(&image, wide);
        } else {
            cpu.fpu.init_x87();
            cpu.fpu.st = [0; 8];
        }
    }
    if asked & SSE != 0 {
        let count = cpu.xmm_count();
        if present & SSE != 0 {
            cpu.fpu.get_xmm(&image, count);
        } else {
            cpu.fpu.xmm.iter_mut().take(count).for_each(|x| *x = 0);
        }
    }
    Ok(())
}

fn pkru_allowed(cpu: &mut Cpu) -> Exec {
    if cpu.cr4 & cr4::PKE == 0 {
        return Err(cpu.ud());
    }
    if cpu.r[gpr::RCX] & 0xffff_ffff != 0 { Err(cpu.gp(0)) } else { Ok(()) }
}

fn rdpkru(cpu: &mut Cpu, _: &Instruction) -> Exec {
    pkru_allowed(cpu)?;
    cpu.r[gpr::RAX] = cpu.fpu.pkru.into();
    cpu.r[gpr::RDX] = 0;
    Ok(())
}

fn wrpkru(cpu: &mut Cpu, _: &Instruction) -> Exec {
    pkru_allowed(cpu)?;
    if cpu.r[gpr::RDX] & 0xffff_ffff != 0 {
        return Err(cpu.gp(0));
    }
    cpu.set_pkru(cpu.r[gpr::RAX] as u32);
    Ok(())
}

#[cfg(test)]
mod tests;
