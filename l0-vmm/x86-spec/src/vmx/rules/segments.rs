//! Guest segment registers, as the checks see them.

use super::context::Ctx;
use crate::vmx::field::Field;
use crate::vmx::segment::{
    ACCESSED, CODE, DPL, G, P, RESERVED_HIGH, RESERVED_LOW, S, TYPE, UNUSABLE, WRITABLE, dpl,
};

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

/// What every segment of virtual-8086 mode has: present, DPL 3, data, writable, accessed.
const V86_RIGHTS: u32 = P | DPL | S | kind::DATA;

/// Types of code and data. SDM: "Code- and Data-Segment Descriptor Types".
pub(super) mod kind {
    use crate::vmx::segment::{ACCESSED, CODE, EXPAND_DOWN, WRITABLE};

    /// Data, writable, accessed.
    pub(in super::super) const DATA: u32 = WRITABLE | ACCESSED;
    /// Data that expands down, writable, accessed.
    pub(in super::super) const DATA_DOWN: u32 = EXPAND_DOWN | DATA;
    /// Code, accessed.
    pub(in super::super) const CODE_ACCESSED: u32 = CODE | ACCESSED;
    /// Code, readable, accessed: the last type that is not conforming code.
    pub(in super::super) const CODE_READABLE: u32 = CODE | WRITABLE | ACCESSED;
    /// Conforming code, accessed.
    pub(in super::super) const CONFORMING: u32 = CODE_ACCESSED | EXPAND_DOWN;
    /// Conforming code, readable, accessed.
    pub(in super::super) const CONFORMING_READABLE: u32 = CODE_READABLE | EXPAND_DOWN;
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
    pub(super) fn ar(self, c: &Ctx<'_>) -> u32 {
        c.v[self.ar] as u32
    }

    #[inline]
    pub(super) fn kind(self, c: &Ctx<'_>) -> u32 {
        self.ar(c) & TYPE
    }

    #[inline]
    pub(super) fn usable(self, c: &Ctx<'_>) -> bool {
        self.ar(c) & UNUSABLE == 0
    }

    /// The checks on access rights apply: usable, and not virtual-8086 mode.
    #[inline]
    pub(super) fn checked(self, c: &Ctx<'_>) -> bool {
        self.usable(c) && !c.v86()
    }

    #[inline]
    pub(super) fn dpl(self, c: &Ctx<'_>) -> u8 {
        dpl(self.ar(c))
    }

    #[inline]
    pub(super) fn rpl(self, c: &Ctx<'_>) -> u8 {
        (c.v[self.selector] & RPL) as u8
    }

    #[inline]
    pub(super) fn in_gdt(self, c: &Ctx<'_>) -> bool {
        c.v[self.selector] & TI == 0
    }

    #[inline]
    pub(super) fn reserved_ok(self, c: &Ctx<'_>) -> bool {
        self.ar(c) & (RESERVED_LOW | RESERVED_HIGH) == 0
    }

    /// The granularity flag fits the limit.
    #[inline]
    pub(super) fn granularity_ok(self, c: &Ctx<'_>) -> bool {
        let limit = c.v[self.limit];
        if self.ar(c) & G != 0 { limit & LIMIT_LOW == LIMIT_LOW } else { limit & LIMIT_HIGH == 0 }
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
        !c.v86() || self.ar(c) == V86_RIGHTS
    }

    /// The type of a data segment register: accessed, and readable if code.
    #[inline]
    pub(super) fn data_kind(self, c: &Ctx<'_>) -> bool {
        let kind = self.kind(c);
        kind & ACCESSED != 0 && (kind & CODE == 0 || kind & WRITABLE != 0)
    }

    /// The privilege level of a data segment register.
    #[inline]
    pub(super) fn data_dpl(self, c: &Ctx<'_>) -> bool {
        c.unrestricted() || self.kind(c) > kind::CODE_READABLE || self.dpl(c) >= self.rpl(c)
    }
}
