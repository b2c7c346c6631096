//! KVM's structures and [`State`], both ways.

use kvm_bindings::{kvm_debugregs, kvm_dtable, kvm_regs, kvm_segment, kvm_sregs, kvm_xsave};
use x86_ref::{DescTable, Segment, State};

const UNUSABLE: u32 = 1 << 16;

fn segment_to_kvm(s: &Segment) -> kvm_segment {
    let bit = |n: u32| (s.rights >> n & 1) as u8;
    kvm_segment {
        base: s.base,
        limit: s.limit,
        selector: s.selector,
        type_: (s.rights & 0xf) as u8,
        s: bit(4),
        dpl: (s.rights >> 5 & 3) as u8,
        present: bit(7),
        avl: bit(12),
        l: bit(13),
        db: bit(14),
        g: bit(15),
        unusable: bit(16),
        padding: 0,
    }
}

fn segment_from_kvm(s: &kvm_segment) -> Segment {
    let bit = |value: u8, n: u32| u32::from(value & 1) << n;
    let mut rights = u32::from(s.type_ & 0xf)
        | bit(s.s, 4)
        | u32::from(s.dpl & 3) << 5
        | bit(s.present, 7)
        | bit(s.avl, 12)
        | bit(s.l, 13)
        | bit(s.db, 14)
        | bit(s.g, 15);
    if s.unusable != 0 || s.present == 0 {
        rights |= UNUSABLE;
    }
    Segment { selector: s.selector, base: s.base, limit: s.limit, rights }
}

fn table_to_kvm(t: DescTable) -> kvm_dtable {
    kvm_dtable { base: t.base, limit: t.limit, ..kvm_dtable::default() }
}

/// General-purpose registers, RIP and RFLAGS.
pub(super) fn to_regs(s: &State) -> kvm_regs {
    let [rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15] = s.gpr;
    kvm_regs {
        rax,
        rbx,
        rcx,
        rdx,
        rsi,
        rdi,
        rsp,
        rbp,
        r8,
        r9,
        r10,
        r11,
        r12,
        r13,
        r14,
        r15,
        rip: s.rip,
        rflags: s.rflags,
    }
}

/// Everything else but the debug registers, over what KVM has (`old`: the APIC base and pending interrupts stay).
pub(super) fn to_sregs(s: &State, old: &kvm_sregs, hidden_cr4: u64) -> kvm_sregs {
    let [es, cs, ss, ds, fs, gs] = s.seg.each_ref().map(segment_to_kvm);
    kvm_sregs {
        cs,
        ds,
        es,
        fs,
        gs,
        ss,
        tr: segment_to_kvm(&s.tr),
        ldt: segment_to_kvm(&s.ldtr),
        gdt: table_to_kvm(s.gdtr),
        idt: table_to_kvm(s.idtr),
        cr0: s.cr0,
        cr2: s.cr2,
        cr3: s.cr3,
        cr4: s.cr4 & !hidden_cr4,
        cr8: s.cr8,
        efer: s.efer,
        ..*old
    }
}

/// DR0 to DR3, DR6, DR7.
pub(super) fn to_debugregs(s: &State) -> kvm_debugregs {
    let [a, b, c, d, dr6, dr7] = s.dr;
    kvm_debugregs { db: [a, b, c, d], dr6, dr7, ..kvm_debugregs::default() }
}

/// A state from KVM's three structures; `hidden_cr4` are bits of CR4 that KVM does not know of.
pub(super) fn from_kvm(r: &kvm_regs, s: &kvm_sregs, d: &kvm_debugregs, hidden_cr4: u64) -> State {
    State {
        gpr: [
            r.rax, r.rcx, r.rdx, r.rbx, r.rsp, r.rbp, r.rsi, r.rdi, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13,
            r.r14, r.r15,
        ],
        rip: r.rip,
        rflags: r.rflags,
        seg: [&s.es, &s.cs, &s.ss, &s.ds, &s.fs, &s.gs].map(segment_from_kvm),
        ldtr: segment_from_kvm(&s.ldt),
        tr: segment_from_kvm(&s.tr),
        gdtr: DescTable { base: s.gdt.base, limit: s.gdt.limit },
        idtr: DescTable { base: s.idt.base, limit: s.idt.limit },
        cr0: s.cr0,
        cr2: s.cr2,
        cr3: s.cr3,
        cr4: s.cr4 | hidden_cr4,
        cr8: s.cr8,
        efer: s.efer,
        dr: [d.db[0], d.db[1], d.db[2], d.db[3], d.dr6, d.dr7],
    }
}

/// x87 and SSE state in the format of FXSAVE64.
pub(super) type FxImage = [u8; 512];
/// Where an XSAVE area says which components are in it, in units of 32 bits.
const XSTATE_BV: usize = 128;
/// XSTATE_BV: x87 and SSE.
const X87_AND_SSE: u32 = 3;

/// The x87 and SSE part of KVM's XSAVE area. A component that is not in it has its initial state.
pub(super) fn to_image(area: &kvm_xsave) -> FxImage {
    const FCW: u32 = 0x37f;
    const XMM_AT: usize = 40;
    let mut words = [0; XSTATE_BV];
    words.copy_from_slice(&area.region[..XSTATE_BV]);
    let mxcsr = words[6];
    if area.region[XSTATE_BV] & 1 == 0 {
        words[..XMM_AT].fill(0);
        words[0] = FCW;
        words[6] = mxcsr;
    }
    if area.region[XSTATE_BV] & 2 == 0 {
        words[XMM_AT..].fill(0);
    }
    let mut image = [0; 512];
    for (to, from) in image.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *to = from.to_le_bytes();
    }
    image
}

/// The way back; other components stay as they are.
pub(super) fn from_image(image: &FxImage, area: &mut kvm_xsave) {
    for (to, from) in area.region.iter_mut().zip(image.as_chunks::<4>().0) {
        *to = u32::from_le_bytes(*from);
    }
    area.region[XSTATE_BV] |= X87_AND_SSE;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot;

    #[test]
    fn vector_registers_survive_the_way_to_kvm_and_back() {
        let image: FxImage = std::array::from_fn(|n| n as u8);
        let mut area = kvm_xsave::default();
        area.region[XSTATE_BV] = 4;
        from_image(&image, &mut area);
        assert_eq!((to_image(&area), area.region[XSTATE_BV]), (image, 7));
    }

    #[test]
    fn components_that_are_not_saved_are_in_their_initial_state() {
        let mut area = kvm_xsave { region: [u32::MAX; 1024], ..kvm_xsave::default() };
        area.region[XSTATE_BV] = 0;
        let image = to_image(&area);
        assert_eq!((&image[..4], &image[24..28]), ([0x7f, 3, 0, 0].as_slice(), [0xff; 4].as_slice()));
        assert!(image[32..].iter().all(|b| *b == 0));
    }

    #[test]
    fn a_state_survives_the_way_to_kvm_and_back() {
        const VMXE: u64 = 1 << 13;
        let mut state = boot::state(0x10_0000);
        for (n, r) in (1..).zip(&mut state.gpr) {
            *r = n;
        }
        state.cr4 |= VMXE;
        state.seg[5].base = 0x1234_5678_9abc;
        state.seg[3].rights = 0x1_0000;
        state.dr[0] = 77;
        let old = kvm_sregs { apic_base: 0xfee0_0900, ..kvm_sregs::default() };
        let sregs = to_sregs(&state, &old, VMXE);
        assert_eq!((sregs.apic_base, sregs.cr4 & VMXE), (0xfee0_0900, 0));
        assert_eq!(from_kvm(&to_regs(&state), &sregs, &to_debugregs(&state), VMXE), state);
    }
}
