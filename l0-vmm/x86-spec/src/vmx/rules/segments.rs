//! Guest segment registers, as the checks see them.

use super::context::Ctx;
use crate::vmx::field::Field;

/// The fields of a segment register.
#[derive(Clone, Copy)]
pub(super) struct Segment {
    pub(super) selector: Field,
    pub(super) base: Field,
    pub(super) limit: Field,
    pub(super) ar: Field,
}

macro_rules! segments {
    ($($name:ident = $selector:ident $base:ident $limit:ident $ar:ident;)*) => {
        $(pub(super) const $name: Segment = Segment {
            selector: Field::$selector,
            base: Field::$base,
            limit: Field::$limit,
            ar: Field::$ar,
        };)*
    };
}

segments! {
    CS = GUEST_CS_SELECTOR GUEST_CS_BASE GUEST_CS_LIMIT GUEST_CS_AR_BYTES;
    SS = GUEST_SS_SELECTOR GUEST_SS_BASE GUEST_SS_LIMIT GUEST_SS_AR_BYTES;
    DS = GUEST_DS_SELECTOR GUEST_DS_BASE GUEST_DS_LIMIT GUEST_DS_AR_BYTES;
    ES = GUEST_ES_SELECTOR GUEST_ES_BASE GUEST_ES_LIMIT GUEST_ES_AR_BYTES;
    FS = GUEST_FS_SELECTOR GUEST_FS_BASE GUEST_FS_LIMIT GUEST_FS_AR_BYTES;
    GS = GUEST_GS_SELECTOR GUEST_GS_BASE GUEST_GS_LIMIT GUEST_GS_AR_BYTES;
    LDTR = GUEST_LDTR_SELECTOR GUEST_LDTR_BASE GUEST_LDTR_LIMIT GUEST_LDTR_AR_BYTES;
    TR = GUEST_TR_SELECTOR GUEST_TR_BASE GUEST_TR_LIMIT GUEST_TR_AR_BYTES;
}

/// Access rights. SDM: "Guest Register State", "Format of Access Rights".
pub(super) mod ar {
    pub(in super::super) const TYPE: u64 = 0xf;
    pub(in super::super) const S: u64 = 1 << 4;
    pub(in super::super) const P: u64 = 1 << 7;
    pub(in super::super) const L: u64 = 1 << 13;
    pub(in super::super) const DB: u64 = 1 << 14;
    pub(in super::super) const G: u64 = 1 << 15;
    pub(in super::super) const UNUSABLE: u64 = 1 << 16;
    /// Bits 11:8 and 31:17.
    pub(in super::super) const RESERVED: u64 = 0xfffe_0f00;
    /// What every segment of virtual-8086 mode has: present, DPL 3, data, writable, accessed.
    pub(in super::super) const V86: u64 = 0xf3;
}

/// Types. SDM: "Code- and Data-Segment Descriptor Types", "System Descriptor Types".
pub(super) mod kind {
    /// Accessed.
    pub(in super::super) const A: u64 = 1 << 0;
    /// Writable data, readable code.
    pub(in super::super) const RW: u64 = 1 << 1;
    /// Code.
    pub(in super::super) const CODE: u64 = 1 << 3;
    pub(in super::super) const LDT: u64 = 2;
    /// A 16-bit busy TSS. Also: data, writable, accessed.
    pub(in super::super) const BUSY_TSS16: u64 = 3;
    /// A 32-bit or 64-bit busy TSS.
    pub(in super::super) const BUSY_TSS: u64 = 11;
    pub(in super::super) const DATA: u64 = 3;
    /// Data that expands down, writable, accessed.
    pub(in super::super) const DATA_DOWN: u64 = 7;
    pub(in super::super) const CODE_ACCESSED: u64 = 9;
    /// The last type that is not conforming code.
    pub(in super::super) const CODE_READABLE: u64 = 11;
    pub(in super::super) const CONFORMING: u64 = 13;
    pub(in super::super) const CONFORMING_READABLE: u64 = 15;
}

/// The requested privilege level of a selector.
const RPL: u64 = 3;
/// The table indicator of a selector.
const TI: u64 = 1 << 2;
/// Bits of a limit that the granularity flag makes ones.
const LIMIT_LOW: u64 = 0xfff;
/// Bits of a limit that need the granularity flag.
const LIMIT_HIGH: u64 = 0xfff0_0000;
const LIMIT_V86: u64 = 0xffff;

impl Segment {
    #[inline]
    pub(super) fn ar(self, c: &Ctx<'_>) -> u64 {
        c.v[self.ar]
    }

    #[inline]
    pub(super) fn kind(self, c: &Ctx<'_>) -> u64 {
        self.ar(c) & ar::TYPE
    }

    #[inline]
    pub(super) fn usable(self, c: &Ctx<'_>) -> bool {
        self.ar(c) & ar::UNUSABLE == 0
    }

    /// The checks on access rights apply: usable, and not virtual-8086 mode.
    #[inline]
    pub(super) fn checked(self, c: &Ctx<'_>) -> bool {
        self.usable(c) && !c.v86()
    }

    #[inline]
    pub(super) fn dpl(self, c: &Ctx<'_>) -> u64 {
        self.ar(c) >> 5 & 3
    }

    #[inline]
    pub(super) fn rpl(self, c: &Ctx<'_>) -> u64 {
        c.v[self.selector] & RPL
    }

    #[inline]
    pub(super) fn in_gdt(self, c: &Ctx<'_>) -> bool {
        c.v[self.selector] & TI == 0
    }

    #[inline]
    pub(super) fn reserved_ok(self, c: &Ctx<'_>) -> bool {
        self.ar(c) & ar::RESERVED == 0
    }

    /// The granularity flag fits the limit.
    #[inline]
    pub(super) fn granularity_ok(self, c: &Ctx<'_>) -> bool {
        let limit = c.v[self.limit];
        if self.ar(c) & ar::G != 0 { limit & LIMIT_LOW == LIMIT_LOW } else { limit & LIMIT_HIGH == 0 }
    }

    /// The base, limit and rights of virtual-8086 mode.
    #[inline]
    pub(super) fn v86_base(self, c: &Ctx<'_>) -> bool {
        !c.v86() || c.v[self.base] == c.v[self.selector] << 4
    }

    #[inline]
    pub(super) fn v86_limit(self, c: &Ctx<'_>) -> bool {
        !c.v86() || c.v[self.limit] == LIMIT_V86
    }

    #[inline]
    pub(super) fn v86_rights(self, c: &Ctx<'_>) -> bool {
        !c.v86() || self.ar(c) == ar::V86
    }

    /// The type of a data segment register: accessed, and readable if code.
    #[inline]
    pub(super) fn data_kind(self, c: &Ctx<'_>) -> bool {
        let kind = self.kind(c);
        kind & kind::A != 0 && (kind & kind::CODE == 0 || kind & kind::RW != 0)
    }

    /// The privilege level of a data segment register.
    #[inline]
    pub(super) fn data_dpl(self, c: &Ctx<'_>) -> bool {
        c.unrestricted() || self.kind(c) > kind::CODE_READABLE || self.dpl(c) >= self.rpl(c)
    }
}
