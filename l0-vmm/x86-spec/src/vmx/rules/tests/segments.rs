//! Mutants of the guest's segment and descriptor-table registers.

use super::host::NOT_CANONICAL;
use super::legal::Base::*;
use super::*;
use crate::vmx::controls::Proc2;
use crate::vmx::field::Field as F;

const CS: F = F::GUEST_CS_AR_BYTES;
const SS: F = F::GUEST_SS_AR_BYTES;
const TR: F = F::GUEST_TR_AR_BYTES;
const LDTR: F = F::GUEST_LDTR_AR_BYTES;
const PROC2: F = F::SECONDARY_VM_EXEC_CONTROL;
const UNUSABLE: u64 = 1 << 16;

/// A segment register: the field of each part, and the ids of its rules.
struct Row {
    selector: F,
    base: F,
    limit: F,
    ar: F,
    ids: [&'static str; 10],
}

macro_rules! row {
    ($name:literal, $selector:ident, $base:ident, $limit:ident, $ar:ident) => {
        Row {
            selector: F::$selector,
            base: F::$base,
            limit: F::$limit,
            ar: F::$ar,
            ids: [
                concat!("guest.", $name, ".base_v86"),
                concat!("guest.", $name, ".limit"),
                concat!("guest.", $name, ".rights_v86"),
                concat!("guest.", $name, ".base"),
                concat!("guest.", $name, ".type"),
                concat!("guest.", $name, ".s"),
                concat!("guest.", $name, ".present"),
                concat!("guest.", $name, ".reserved"),
                concat!("guest.", $name, ".granularity"),
                concat!("guest.", $name, ".dpl"),
            ],
        }
    };
}

fn rows() -> [Row; 6] {
    [
        row!("cs", GUEST_CS_SELECTOR, GUEST_CS_BASE, GUEST_CS_LIMIT, GUEST_CS_AR_BYTES),
        row!("ss", GUEST_SS_SELECTOR, GUEST_SS_BASE, GUEST_SS_LIMIT, GUEST_SS_AR_BYTES),
        row!("ds", GUEST_DS_SELECTOR, GUEST_DS_BASE, GUEST_DS_LIMIT, GUEST_DS_AR_BYTES),
        row!("es", GUEST_ES_SELECTOR, GUEST_ES_BASE, GUEST_ES_LIMIT, GUEST_ES_AR_BYTES),
        row!("fs", GUEST_FS_SELECTOR, GUEST_FS_BASE, GUEST_FS_LIMIT, GUEST_FS_AR_BYTES),
        row!("gs", GUEST_GS_SELECTOR, GUEST_GS_BASE, GUEST_GS_LIMIT, GUEST_GS_AR_BYTES),
    ]
}

pub fn cases() -> Vec<Case> {
    let mut cases = fixed();
    for Row { selector, base, limit, ar, ids } in rows() {
        let [base_v86, limit_v86, rights_v86, base_id, kind, s, present, reserved, granularity, dpl] = ids;
        cases.extend([
            case(base_v86, V86, &[], Set(base, 0x10010)),
            case(base_v86, V86, &[Set(selector, 0xffff), Set(base, 0xffff0)], Set(selector, 0)),
            case(limit_v86, V86, &[], Set(limit, 0xfffff)),
            case(limit_v86, V86, &[], Set(limit, 0xfffe)),
            case(rights_v86, V86, &[], Set(ar, 0xfb)),
            case(rights_v86, V86, &[], Or(ar, UNUSABLE)),
            case(s, Long, &[], Clear(ar, 0x10)),
            case(present, Long, &[], Clear(ar, 0x80)),
            case(reserved, Long, &[], Or(ar, 0x100)),
            case(reserved, Long, &[], Or(ar, 1 << 31)),
            case(granularity, Long, &[], Clear(ar, 1 << 15)),
            case(granularity, Long, &[], Set(limit, 0xffff_fffe)),
            case(granularity, Long, &[Clear(ar, 1 << 15), Set(limit, 0xf_fffe)], Or(ar, 1 << 15)),
            case(granularity, Long, &[Clear(ar, 1 << 15), Set(limit, 0xf_ffff)], Set(limit, 0x10_0000)),
        ]);
        let is_data = ![F::GUEST_CS_SELECTOR, F::GUEST_SS_SELECTOR].contains(&selector);
        if [F::GUEST_FS_BASE, F::GUEST_GS_BASE].contains(&base) {
            cases.push(case(base_id, Long, &[Set(base, !0 << 56)], Set(base, NOT_CANONICAL)));
        } else {
            cases.push(case(base_id, Long, &[Set(base, 0xffff_ffff)], Set(base, 1 << 32)));
        }
        if ar == CS {
            continue;
        }
        if !is_data {
            cases.push(case(kind, Long, &[Set(ar, 0xc097)], Set(ar, 0xc095)));
            cases.push(case(kind, Long, &[], Set(ar, 0xc09b)));
        } else {
            // Not accessed; code that cannot be read.
            cases.push(case(kind, Long, &[Set(ar, 0xc091)], Set(ar, 0xc090)));
            cases.push(case(kind, Long, &[Set(ar, 0xc09b)], Set(ar, 0xc099)));
            let rpl3 = Set(selector, 0x13);
            cases.extend([
                case(dpl, Long, &[rpl3, Set(ar, 0xc0f3)], Set(ar, 0xc0d3)),
                // Only of conforming code it does not matter.
                case(dpl, Long, &[rpl3, Set(ar, 0xc09f)], Set(ar, 0xc09b)),
                case(dpl, Long, &[Or(PROC2, Proc2::UNRESTRICTED_GUEST), rpl3], Set(PROC2, Proc2::ENABLE_EPT)),
            ]);
        }
        // An unusable register may hold anything.
        let junk = 0xfffe_0f00 | UNUSABLE;
        let rest = if ar == SS { 0x20_0000 } else { 0x6f };
        cases.push(case(reserved, Long, &[Set(ar, junk), Set(limit, 0xf_ffff | rest << 20)], {
            let sane = 0xc093 | 0x200;
            Set(ar, if ar == SS { sane & !0x8000 | 0x8000 } else { sane })
        }));
    }
    cases
}

fn fixed() -> Vec<Case> {
    let unrestricted = Or(PROC2, Proc2::UNRESTRICTED_GUEST);
    let conforming = Set(CS, 0xa09f);
    let ring1 =
        [conforming, Set(F::GUEST_CS_SELECTOR, 0x09), Set(F::GUEST_SS_SELECTOR, 0x11), Set(SS, 0xc0b3)];
    let ldt = [Set(LDTR, 0x82), Set(F::GUEST_LDTR_LIMIT, 0xff)];
    std::vec![
        case("guest.tr.ti", Long, &[], Or(F::GUEST_TR_SELECTOR, 4)),
        case("guest.ldtr.ti", Long, &ldt, Or(F::GUEST_LDTR_SELECTOR, 4)),
        case(
            "guest.ldtr.ti",
            Long,
            &[ldt[1], Set(LDTR, 0x82 | UNUSABLE), Or(F::GUEST_LDTR_SELECTOR, 4)],
            Set(LDTR, 0x82)
        ),
        case("guest.ss.rpl", Long, &ring1, Set(F::GUEST_CS_SELECTOR, 0x08)),
        case(
            "guest.ss.rpl",
            Long,
            &[unrestricted, Set(F::GUEST_CS_SELECTOR, 0x09)],
            Set(PROC2, Proc2::ENABLE_EPT)
        ),
        case("guest.ss.dpl_rpl", Long, &[conforming], Set(SS, 0xc0b3)),
        case("guest.tr.base", Long, &[], Set(F::GUEST_TR_BASE, NOT_CANONICAL)),
        case("guest.ldtr.base", Long, &ldt, Set(F::GUEST_LDTR_BASE, NOT_CANONICAL)),
        case(
            "guest.ldtr.base",
            Long,
            &[ldt[1], Set(LDTR, 0x82 | UNUSABLE), Set(F::GUEST_LDTR_BASE, NOT_CANONICAL)],
            Set(LDTR, 0x82)
        ),
        case("guest.cs.type", Long, &[], Set(CS, 0xa09a)),
        case("guest.cs.type", Long, &[Set(CS, 0xa09d)], Set(CS, 0xa097)),
        case("guest.cs.type", Long, &[unrestricted, Set(CS, 0xa093)], Set(PROC2, Proc2::ENABLE_EPT)),
        case("guest.cs.dpl", Long, &[], Set(CS, 0xa0bb)),
        case("guest.cs.dpl", Long, &[conforming], Set(CS, 0xa0bf)),
        case("guest.cs.dpl", Long, &ring1, Set(CS, 0xa09b)),
        case("guest.cs.dpl", Real, &[Set(CS, 0x93)], Set(CS, 0xb3)),
        case("guest.ss.dpl", Long, &[unrestricted, Set(CS, 0xa093)], Set(SS, 0xc0b3)),
        case("guest.ss.dpl", Real, &[Set(CS, 0x9f)], Set(SS, 0xb3)),
        case("guest.cs.db", Long, &[], Or(CS, 1 << 14)),
        case("guest.cs.db", Compat, &[Set(F::GUEST_RIP, 0)], Or(CS, 1 << 13)),
        case("guest.tr.type", Long, &[], Set(TR, 0x83)),
        case("guest.tr.type", Protected, &[Set(TR, 0x83)], Set(TR, 0x89)),
        case("guest.tr.s", Long, &[], Or(TR, 0x10)),
        case("guest.tr.present", Long, &[], Clear(TR, 0x80)),
        case("guest.tr.reserved", Long, &[], Or(TR, 1 << 17)),
        case("guest.tr.reserved", Long, &[], Or(TR, 1 << 8)),
        case("guest.tr.granularity", Long, &[], Or(TR, 1 << 15)),
        case("guest.tr.granularity", Long, &[], Set(F::GUEST_TR_LIMIT, 0x10_0000)),
        case("guest.tr.usable", Long, &[], Or(TR, UNUSABLE)),
        case("guest.ldtr.type", Long, &ldt, Set(LDTR, 0x83)),
        case("guest.ldtr.s", Long, &ldt, Or(LDTR, 0x10)),
        case("guest.ldtr.present", Long, &ldt, Clear(LDTR, 0x80)),
        case("guest.ldtr.reserved", Long, &ldt, Or(LDTR, 1 << 11)),
        case("guest.ldtr.reserved", Long, &ldt, Or(LDTR, 1 << 18)),
        case("guest.ldtr.granularity", Long, &ldt, Or(LDTR, 1 << 15)),
        case("guest.gdtr.base", Long, &[], Set(F::GUEST_GDTR_BASE, NOT_CANONICAL)),
        case("guest.idtr.base", Long, &[], Set(F::GUEST_IDTR_BASE, NOT_CANONICAL)),
        case(
            "guest.gdtr.limit",
            Long,
            &[Set(F::GUEST_GDTR_LIMIT, 0xffff)],
            Set(F::GUEST_GDTR_LIMIT, 0x1_0000)
        ),
        case(
            "guest.idtr.limit",
            Long,
            &[Set(F::GUEST_IDTR_LIMIT, 0xffff)],
            Set(F::GUEST_IDTR_LIMIT, 1 << 31)
        ),
    ]
}
