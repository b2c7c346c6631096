//! Checks on the guest's segment registers and descriptor-table registers.

use super::context::{HIGH_HALF, implies};
use super::segments::{CS, DS, ES, FS, GS, LDTR, SS, TR, kind};
use crate::vmx::field::Field as F;
use crate::vmx::segment::{self as ar, system};

/// Bits of a limit of GDTR or IDTR that do not exist.
const TABLE_LIMIT_UPPER: u64 = 0xffff_0000;

super::rules! { Guest;
in "Checks on Guest Segment Registers", NONE {
    "guest.tr.ti" [GUEST_TR_SELECTOR] "the TI flag of the TR selector is 0",
        |c| TR.in_gdt(c);
    "guest.ldtr.ti" [GUEST_LDTR_SELECTOR, GUEST_LDTR_AR_BYTES]
        "the TI flag of the LDTR selector is 0 if LDTR is usable",
        |c| implies(LDTR.usable(c), LDTR.in_gdt(c));
    "guest.ss.rpl" [GUEST_SS_SELECTOR, GUEST_CS_SELECTOR, GUEST_RFLAGS, SECONDARY_VM_EXEC_CONTROL]
        "the RPL of SS equals that of CS, outside of virtual-8086 mode and without \"unrestricted guest\"",
        |c| implies(!c.v86() && !c.unrestricted(), SS.rpl(c) == CS.rpl(c));
    "guest.cs.base_v86" [GUEST_CS_BASE, GUEST_CS_SELECTOR, GUEST_RFLAGS]
        "the base of CS is 16 times its selector in virtual-8086 mode",
        |c| CS.v86_base(c);
    "guest.ss.base_v86" [GUEST_SS_BASE, GUEST_SS_SELECTOR, GUEST_RFLAGS]
        "the base of SS is 16 times its selector in virtual-8086 mode",
        |c| SS.v86_base(c);
    "guest.ds.base_v86" [GUEST_DS_BASE, GUEST_DS_SELECTOR, GUEST_RFLAGS]
        "the base of DS is 16 times its selector in virtual-8086 mode",
        |c| DS.v86_base(c);
    "guest.es.base_v86" [GUEST_ES_BASE, GUEST_ES_SELECTOR, GUEST_RFLAGS]
        "the base of ES is 16 times its selector in virtual-8086 mode",
        |c| ES.v86_base(c);
    "guest.fs.base_v86" [GUEST_FS_BASE, GUEST_FS_SELECTOR, GUEST_RFLAGS]
        "the base of FS is 16 times its selector in virtual-8086 mode",
        |c| FS.v86_base(c);
    "guest.gs.base_v86" [GUEST_GS_BASE, GUEST_GS_SELECTOR, GUEST_RFLAGS]
        "the base of GS is 16 times its selector in virtual-8086 mode",
        |c| GS.v86_base(c);
    "guest.tr.base" [GUEST_TR_BASE] "the base of TR is canonical",
        |c| c.canonical(F::GUEST_TR_BASE);
    "guest.fs.base" [GUEST_FS_BASE] "the base of FS is canonical",
        |c| c.canonical(F::GUEST_FS_BASE);
    "guest.gs.base" [GUEST_GS_BASE] "the base of GS is canonical",
        |c| c.canonical(F::GUEST_GS_BASE);
    "guest.ldtr.base" [GUEST_LDTR_BASE, GUEST_LDTR_AR_BYTES]
        "the base of LDTR is canonical if LDTR is usable",
        |c| implies(LDTR.usable(c), c.canonical(F::GUEST_LDTR_BASE));
    "guest.cs.base" [GUEST_CS_BASE] "bits 63:32 of the base of CS are 0",
        |c| c.v[F::GUEST_CS_BASE] & HIGH_HALF == 0;
    "guest.ss.base" [GUEST_SS_BASE, GUEST_SS_AR_BYTES] "bits 63:32 of the base of SS are 0 if it is usable",
        |c| implies(SS.usable(c), c.v[F::GUEST_SS_BASE] & HIGH_HALF == 0);
    "guest.ds.base" [GUEST_DS_BASE, GUEST_DS_AR_BYTES] "bits 63:32 of the base of DS are 0 if it is usable",
        |c| implies(DS.usable(c), c.v[F::GUEST_DS_BASE] & HIGH_HALF == 0);
    "guest.es.base" [GUEST_ES_BASE, GUEST_ES_AR_BYTES] "bits 63:32 of the base of ES are 0 if it is usable",
        |c| implies(ES.usable(c), c.v[F::GUEST_ES_BASE] & HIGH_HALF == 0);
    "guest.cs.limit" [GUEST_CS_LIMIT, GUEST_RFLAGS] "the limit of CS is FFFFH in virtual-8086 mode",
        |c| CS.v86_limit(c);
    "guest.ss.limit" [GUEST_SS_LIMIT, GUEST_RFLAGS] "the limit of SS is FFFFH in virtual-8086 mode",
        |c| SS.v86_limit(c);
    "guest.ds.limit" [GUEST_DS_LIMIT, GUEST_RFLAGS] "the limit of DS is FFFFH in virtual-8086 mode",
        |c| DS.v86_limit(c);
    "guest.es.limit" [GUEST_ES_LIMIT, GUEST_RFLAGS] "the limit of ES is FFFFH in virtual-8086 mode",
        |c| ES.v86_limit(c);
    "guest.fs.limit" [GUEST_FS_LIMIT, GUEST_RFLAGS] "the limit of FS is FFFFH in virtual-8086 mode",
        |c| FS.v86_limit(c);
    "guest.gs.limit" [GUEST_GS_LIMIT, GUEST_RFLAGS] "the limit of GS is FFFFH in virtual-8086 mode",
        |c| GS.v86_limit(c);
    "guest.cs.rights_v86" [GUEST_CS_AR_BYTES, GUEST_RFLAGS]
        "the access rights of CS are F3H in virtual-8086 mode",
        |c| CS.v86_rights(c);
    "guest.ss.rights_v86" [GUEST_SS_AR_BYTES, GUEST_RFLAGS]
        "the access rights of SS are F3H in virtual-8086 mode",
        |c| SS.v86_rights(c);
    "guest.ds.rights_v86" [GUEST_DS_AR_BYTES, GUEST_RFLAGS]
        "the access rights of DS are F3H in virtual-8086 mode",
        |c| DS.v86_rights(c);
    "guest.es.rights_v86" [GUEST_ES_AR_BYTES, GUEST_RFLAGS]
        "the access rights of ES are F3H in virtual-8086 mode",
        |c| ES.v86_rights(c);
    "guest.fs.rights_v86" [GUEST_FS_AR_BYTES, GUEST_RFLAGS]
        "the access rights of FS are F3H in virtual-8086 mode",
        |c| FS.v86_rights(c);
    "guest.gs.rights_v86" [GUEST_GS_AR_BYTES, GUEST_RFLAGS]
        "the access rights of GS are F3H in virtual-8086 mode",
        |c| GS.v86_rights(c);
    "guest.cs.type" [GUEST_CS_AR_BYTES, GUEST_RFLAGS, SECONDARY_VM_EXEC_CONTROL]
        "the type of CS is accessed code; with \"unrestricted guest\" it may be 3, writable data",
        |c| implies(!c.v86(), match CS.kind(c) {
            kind::CODE_ACCESSED | kind::CODE_READABLE | kind::CONFORMING | kind::CONFORMING_READABLE => true,
            kind::DATA => c.unrestricted(),
            _ => false,
        });
    "guest.ss.type" [GUEST_SS_AR_BYTES, GUEST_RFLAGS] "the type of SS is 3 or 7 if it is usable",
        |c| implies(SS.checked(c), matches!(SS.kind(c), kind::DATA | kind::DATA_DOWN));
    "guest.ds.type" [GUEST_DS_AR_BYTES, GUEST_RFLAGS]
        "the type of DS is accessed, and readable if it is code, if DS is usable",
        |c| implies(DS.checked(c), DS.data_kind(c));
    "guest.es.type" [GUEST_ES_AR_BYTES, GUEST_RFLAGS]
        "the type of ES is accessed, and readable if it is code, if ES is usable",
        |c| implies(ES.checked(c), ES.data_kind(c));
    "guest.fs.type" [GUEST_FS_AR_BYTES, GUEST_RFLAGS]
        "the type of FS is accessed, and readable if it is code, if FS is usable",
        |c| implies(FS.checked(c), FS.data_kind(c));
    "guest.gs.type" [GUEST_GS_AR_BYTES, GUEST_RFLAGS]
        "the type of GS is accessed, and readable if it is code, if GS is usable",
        |c| implies(GS.checked(c), GS.data_kind(c));
    "guest.cs.s" [GUEST_CS_AR_BYTES, GUEST_RFLAGS] "the S flag of CS is 1",
        |c| implies(!c.v86(), CS.ar(c) & ar::S != 0);
    "guest.ss.s" [GUEST_SS_AR_BYTES, GUEST_RFLAGS] "the S flag of SS is 1 if it is usable",
        |c| implies(SS.checked(c), SS.ar(c) & ar::S != 0);
    "guest.ds.s" [GUEST_DS_AR_BYTES, GUEST_RFLAGS] "the S flag of DS is 1 if it is usable",
        |c| implies(DS.checked(c), DS.ar(c) & ar::S != 0);
    "guest.es.s" [GUEST_ES_AR_BYTES, GUEST_RFLAGS] "the S flag of ES is 1 if it is usable",
        |c| implies(ES.checked(c), ES.ar(c) & ar::S != 0);
    "guest.fs.s" [GUEST_FS_AR_BYTES, GUEST_RFLAGS] "the S flag of FS is 1 if it is usable",
        |c| implies(FS.checked(c), FS.ar(c) & ar::S != 0);
    "guest.gs.s" [GUEST_GS_AR_BYTES, GUEST_RFLAGS] "the S flag of GS is 1 if it is usable",
        |c| implies(GS.checked(c), GS.ar(c) & ar::S != 0);
    "guest.cs.dpl" [GUEST_CS_AR_BYTES, GUEST_SS_AR_BYTES, GUEST_RFLAGS]
        "the DPL of CS is 0 for type 3, that of SS for code, and at most that of SS for conforming code",
        |c| implies(!c.v86(), match CS.kind(c) {
            kind::DATA => CS.dpl(c) == 0,
            kind::CODE_ACCESSED | kind::CODE_READABLE => CS.dpl(c) == SS.dpl(c),
            kind::CONFORMING | kind::CONFORMING_READABLE => CS.dpl(c) <= SS.dpl(c),
            _ => true,
        });
    "guest.ss.dpl_rpl" [GUEST_SS_AR_BYTES, GUEST_SS_SELECTOR, GUEST_RFLAGS, SECONDARY_VM_EXEC_CONTROL]
        "the DPL of SS equals its RPL without \"unrestricted guest\"",
        |c| implies(!c.v86() && !c.unrestricted(), SS.dpl(c) == SS.rpl(c));
    "guest.ss.dpl" [GUEST_SS_AR_BYTES, GUEST_CS_AR_BYTES, GUEST_CR0, GUEST_RFLAGS]
        "the DPL of SS is 0 if the type of CS is 3 or CR0.PE is 0",
        |c| implies(!c.v86() && (CS.kind(c) == kind::DATA || !c.protected()), SS.dpl(c) == 0);
    "guest.ds.dpl" [GUEST_DS_AR_BYTES, GUEST_DS_SELECTOR, GUEST_RFLAGS, SECONDARY_VM_EXEC_CONTROL]
        "the DPL of DS is not below its RPL if DS is usable and not conforming code, without \"unrestricted guest\"",
        |c| implies(DS.checked(c), DS.data_dpl(c));
    "guest.es.dpl" [GUEST_ES_AR_BYTES, GUEST_ES_SELECTOR, GUEST_RFLAGS, SECONDARY_VM_EXEC_CONTROL]
        "the DPL of ES is not below its RPL if ES is usable and not conforming code, without \"unrestricted guest\"",
        |c| implies(ES.checked(c), ES.data_dpl(c));
    "guest.fs.dpl" [GUEST_FS_AR_BYTES, GUEST_FS_SELECTOR, GUEST_RFLAGS, SECONDARY_VM_EXEC_CONTROL]
        "the DPL of FS is not below its RPL if FS is usable and not conforming code, without \"unrestricted guest\"",
        |c| implies(FS.checked(c), FS.data_dpl(c));
    "guest.gs.dpl" [GUEST_GS_AR_BYTES, GUEST_GS_SELECTOR, GUEST_RFLAGS, SECONDARY_VM_EXEC_CONTROL]
        "the DPL of GS is not below its RPL if GS is usable and not conforming code, without \"unrestricted guest\"",
        |c| implies(GS.checked(c), GS.data_dpl(c));
    "guest.cs.present" [GUEST_CS_AR_BYTES, GUEST_RFLAGS] "the P flag of CS is 1",
        |c| implies(!c.v86(), CS.ar(c) & ar::P != 0);
    "guest.ss.present" [GUEST_SS_AR_BYTES, GUEST_RFLAGS] "the P flag of SS is 1 if it is usable",
        |c| implies(SS.checked(c), SS.ar(c) & ar::P != 0);
    "guest.ds.present" [GUEST_DS_AR_BYTES, GUEST_RFLAGS] "the P flag of DS is 1 if it is usable",
        |c| implies(DS.checked(c), DS.ar(c) & ar::P != 0);
    "guest.es.present" [GUEST_ES_AR_BYTES, GUEST_RFLAGS] "the P flag of ES is 1 if it is usable",
        |c| implies(ES.checked(c), ES.ar(c) & ar::P != 0);
    "guest.fs.present" [GUEST_FS_AR_BYTES, GUEST_RFLAGS] "the P flag of FS is 1 if it is usable",
        |c| implies(FS.checked(c), FS.ar(c) & ar::P != 0);
    "guest.gs.present" [GUEST_GS_AR_BYTES, GUEST_RFLAGS] "the P flag of GS is 1 if it is usable",
        |c| implies(GS.checked(c), GS.ar(c) & ar::P != 0);
    "guest.cs.reserved" [GUEST_CS_AR_BYTES, GUEST_RFLAGS]
        "bits 11:8 and 31:17 of the access rights of CS are 0",
        |c| implies(!c.v86(), CS.reserved_ok(c));
    "guest.ss.reserved" [GUEST_SS_AR_BYTES, GUEST_RFLAGS]
        "bits 11:8 and 31:17 of the access rights of SS are 0 if SS is usable",
        |c| implies(SS.checked(c), SS.reserved_ok(c));
    "guest.ds.reserved" [GUEST_DS_AR_BYTES, GUEST_RFLAGS]
        "bits 11:8 and 31:17 of the access rights of DS are 0 if DS is usable",
        |c| implies(DS.checked(c), DS.reserved_ok(c));
    "guest.es.reserved" [GUEST_ES_AR_BYTES, GUEST_RFLAGS]
        "bits 11:8 and 31:17 of the access rights of ES are 0 if ES is usable",
        |c| implies(ES.checked(c), ES.reserved_ok(c));
    "guest.fs.reserved" [GUEST_FS_AR_BYTES, GUEST_RFLAGS]
        "bits 11:8 and 31:17 of the access rights of FS are 0 if FS is usable",
        |c| implies(FS.checked(c), FS.reserved_ok(c));
    "guest.gs.reserved" [GUEST_GS_AR_BYTES, GUEST_RFLAGS]
        "bits 11:8 and 31:17 of the access rights of GS are 0 if GS is usable",
        |c| implies(GS.checked(c), GS.reserved_ok(c));
    "guest.cs.db" [GUEST_CS_AR_BYTES, GUEST_RFLAGS, VM_ENTRY_CONTROLS]
        "the D flag of CS is 0 if its L flag is 1, with \"IA-32e mode guest\"",
        |c| implies(!c.v86() && c.ia32e() && CS.ar(c) & ar::L != 0, CS.ar(c) & ar::DB == 0);
    "guest.cs.granularity" [GUEST_CS_AR_BYTES, GUEST_CS_LIMIT, GUEST_RFLAGS]
        "the G flag of CS is 0 unless bits 11:0 of the limit are all 1, and 1 if any of bits 31:20 is",
        |c| implies(!c.v86(), CS.granularity_ok(c));
    "guest.ss.granularity" [GUEST_SS_AR_BYTES, GUEST_SS_LIMIT, GUEST_RFLAGS]
        "the G flag of SS is 0 unless bits 11:0 of the limit are all 1, and 1 if any of bits 31:20 is, if SS is usable",
        |c| implies(SS.checked(c), SS.granularity_ok(c));
    "guest.ds.granularity" [GUEST_DS_AR_BYTES, GUEST_DS_LIMIT, GUEST_RFLAGS]
        "the G flag of DS is 0 unless bits 11:0 of the limit are all 1, and 1 if any of bits 31:20 is, if DS is usable",
        |c| implies(DS.checked(c), DS.granularity_ok(c));
    "guest.es.granularity" [GUEST_ES_AR_BYTES, GUEST_ES_LIMIT, GUEST_RFLAGS]
        "the G flag of ES is 0 unless bits 11:0 of the limit are all 1, and 1 if any of bits 31:20 is, if ES is usable",
        |c| implies(ES.checked(c), ES.granularity_ok(c));
    "guest.fs.granularity" [GUEST_FS_AR_BYTES, GUEST_FS_LIMIT, GUEST_RFLAGS]
        "the G flag of FS is 0 unless bits 11:0 of the limit are all 1, and 1 if any of bits 31:20 is, if FS is usable",
        |c| implies(FS.checked(c), FS.granularity_ok(c));
    "guest.gs.granularity" [GUEST_GS_AR_BYTES, GUEST_GS_LIMIT, GUEST_RFLAGS]
        "the G flag of GS is 0 unless bits 11:0 of the limit are all 1, and 1 if any of bits 31:20 is, if GS is usable",
        |c| implies(GS.checked(c), GS.granularity_ok(c));
    "guest.tr.type" [GUEST_TR_AR_BYTES, VM_ENTRY_CONTROLS]
        "the type of TR is that of a busy TSS: 11, or 3 without \"IA-32e mode guest\"",
        |c| match TR.kind(c) {
            system::TSS_BUSY => true,
            system::TSS16_BUSY => !c.ia32e(),
            _ => false,
        };
    "guest.tr.s" [GUEST_TR_AR_BYTES] "the S flag of TR is 0",
        |c| TR.ar(c) & ar::S == 0;
    "guest.tr.present" [GUEST_TR_AR_BYTES] "the P flag of TR is 1",
        |c| TR.ar(c) & ar::P != 0;
    "guest.tr.reserved" [GUEST_TR_AR_BYTES] "bits 11:8 and 31:17 of the access rights of TR are 0",
        |c| TR.reserved_ok(c);
    "guest.tr.granularity" [GUEST_TR_AR_BYTES, GUEST_TR_LIMIT]
        "the G flag of TR is 0 unless bits 11:0 of the limit are all 1, and 1 if any of bits 31:20 is",
        |c| TR.granularity_ok(c);
    "guest.tr.usable" [GUEST_TR_AR_BYTES] "TR is usable",
        |c| TR.usable(c);
    "guest.ldtr.type" [GUEST_LDTR_AR_BYTES] "the type of LDTR is 2 if it is usable",
        |c| implies(LDTR.usable(c), LDTR.kind(c) == system::LDT);
    "guest.ldtr.s" [GUEST_LDTR_AR_BYTES] "the S flag of LDTR is 0 if it is usable",
        |c| implies(LDTR.usable(c), LDTR.ar(c) & ar::S == 0);
    "guest.ldtr.present" [GUEST_LDTR_AR_BYTES] "the P flag of LDTR is 1 if it is usable",
        |c| implies(LDTR.usable(c), LDTR.ar(c) & ar::P != 0);
    "guest.ldtr.reserved" [GUEST_LDTR_AR_BYTES]
        "bits 11:8 and 31:17 of the access rights of LDTR are 0 if LDTR is usable",
        |c| implies(LDTR.usable(c), LDTR.reserved_ok(c));
    "guest.ldtr.granularity" [GUEST_LDTR_AR_BYTES, GUEST_LDTR_LIMIT]
        "the G flag of LDTR is 0 unless bits 11:0 of the limit are all 1, and 1 if any of bits 31:20 is, if LDTR is usable",
        |c| implies(LDTR.usable(c), LDTR.granularity_ok(c));
}
in "Checks on Guest Descriptor-Table Registers", NONE {
    "guest.gdtr.base" [GUEST_GDTR_BASE] "the base of GDTR is canonical",
        |c| c.canonical(F::GUEST_GDTR_BASE);
    "guest.idtr.base" [GUEST_IDTR_BASE] "the base of IDTR is canonical",
        |c| c.canonical(F::GUEST_IDTR_BASE);
    "guest.gdtr.limit" [GUEST_GDTR_LIMIT] "bits 31:16 of the limit of GDTR are 0",
        |c| c.v[F::GUEST_GDTR_LIMIT] & TABLE_LIMIT_UPPER == 0;
    "guest.idtr.limit" [GUEST_IDTR_LIMIT] "bits 31:16 of the limit of IDTR are 0",
        |c| c.v[F::GUEST_IDTR_LIMIT] & TABLE_LIMIT_UPPER == 0;
}
}
