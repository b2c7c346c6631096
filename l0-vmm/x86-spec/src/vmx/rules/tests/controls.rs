//! Mutants of the control fields and of the MSR list.

use super::legal::{BEYOND, Base::*, MSRS, VAPIC};
use super::*;
use crate::vmx::controls::{Entry, Exit, Exit2, Pin, Proc, Proc2, Proc3};
use crate::vmx::field::Field as F;

const PIN: F = F::PIN_BASED_VM_EXEC_CONTROL;
const PROC: F = F::CPU_BASED_VM_EXEC_CONTROL;
const PROC2: F = F::SECONDARY_VM_EXEC_CONTROL;
const PROC3: F = F::TERTIARY_VM_EXEC_CONTROL;
const EXIT: F = F::VM_EXIT_CONTROLS;
const ENTRY: F = F::VM_ENTRY_CONTROLS;
const INFO: F = F::VM_ENTRY_INTR_INFO_FIELD;
const TERTIARY: Op = Or(PROC, Proc::ACTIVATE_TERTIARY_CONTROLS);
const SHADOWED: [Op; 2] = [Or(PROC, Proc::TPR_SHADOW), Set(F::VIRTUAL_APIC_PAGE_ADDR, VAPIC)];

/// An address whose control is on: not aligned, and too large.
fn address(cases: &mut Vec<Case>, ids: [&'static str; 2], with: &[Op], field: F, align: u64) {
    let mut with = with.to_vec();
    with.push(Set(field, BEYOND - align));
    cases.push(case(ids[0], Long, &with, Or(field, align / 2)));
    cases.push(case(ids[1], Long, &with, Set(field, BEYOND)));
    with.push(Cap(|caps| caps.basic |= 1 << 48));
    with.push(Set(field, 0xffff_f000));
    cases.push(case(ids[1], Long, &with, Set(field, 1 << 32)));
}

pub fn cases() -> Vec<Case> {
    let mut cases = exec();
    cases.extend(exit_and_entry());
    cases.extend(inject());
    cases
}

fn exec() -> Vec<Case> {
    let vid = [
        Or(PROC, Proc::TPR_SHADOW),
        Set(F::VIRTUAL_APIC_PAGE_ADDR, VAPIC),
        Or(PIN, Pin::EXT_INTR_EXITING),
        Or(PROC2, Proc2::VIRTUAL_INTR_DELIVERY),
    ];
    let ack = Or(EXIT, Exit::ACK_INTR_ON_EXIT);
    let posted = [vid[0], vid[1], vid[2], vid[3], ack, Or(PIN, Pin::POSTED_INTR)];
    let load_pt = Or(ENTRY, Entry::LOAD_IA32_RTIT_CTL);
    let clear_pt = Or(EXIT, Exit::CLEAR_IA32_RTIT_CTL);
    let vmfunc = Or(PROC2, Proc2::ENABLE_VMFUNC);
    let switching = Or(F::VM_FUNCTION_CONTROL, 1);
    let ept_off = Clear(PROC2, Proc2::ENABLE_EPT);
    let mut cases = std::vec![
        case("ctl.pin.reserved", Long, &[], Or(PIN, 1 << 8)),
        case("ctl.pin.reserved", Long, &[], Clear(PIN, 1 << 1)),
        case("ctl.proc.reserved", Long, &[], Or(PROC, 1 << 26 | 1 << 0)),
        case("ctl.proc.reserved", Long, &[], Clear(PROC, 1 << 1)),
        case("ctl.proc2.reserved", Long, &[], Or(PROC2, 1 << 29)),
        case(
            "ctl.proc2.reserved",
            Protected,
            &[Clear(PROC, Proc::ACTIVATE_SECONDARY_CONTROLS), Or(PROC2, 1 << 29)],
            Or(PROC, Proc::ACTIVATE_SECONDARY_CONTROLS)
        ),
        case("ctl.proc3.reserved", Long, &[TERTIARY], Or(PROC3, 1 << 63)),
        case("ctl.cr3_target_count", Long, &[Set(F::CR3_TARGET_COUNT, 4)], Set(F::CR3_TARGET_COUNT, 5)),
        case("ctl.tpr_threshold.reserved", Long, &SHADOWED, Or(F::TPR_THRESHOLD, 0x10)),
        case(
            "ctl.tpr_threshold.above_vtpr",
            Long,
            &[SHADOWED[0], SHADOWED[1], Set(F::TPR_THRESHOLD, 5)],
            Set(F::TPR_THRESHOLD, 6)
        ),
        case(
            "ctl.tpr_threshold.above_vtpr",
            Long,
            &[SHADOWED[0], SHADOWED[1], Or(PROC2, Proc2::VIRTUALIZE_APIC_ACCESSES), Set(F::TPR_THRESHOLD, 6)],
            Clear(PROC2, Proc2::VIRTUALIZE_APIC_ACCESSES)
        ),
        case("ctl.nmi.virtual_needs_exiting", Long, &[], Or(PIN, Pin::VIRTUAL_NMIS)),
        case(
            "ctl.nmi.window_needs_virtual",
            Long,
            &[Or(PIN, Pin::NMI_EXITING), Or(PIN, Pin::VIRTUAL_NMIS), Or(PROC, Proc::NMI_WINDOW_EXITING)],
            Clear(PIN, Pin::VIRTUAL_NMIS)
        ),
        case("ctl.x2apic.needs_tpr_shadow", Long, &[], Or(PROC2, Proc2::VIRTUALIZE_X2APIC_MODE)),
        case("ctl.apic_registers.needs_tpr_shadow", Long, &[], Or(PROC2, Proc2::APIC_REGISTER_VIRT)),
        case("ctl.vid.needs_tpr_shadow", Long, &vid, Clear(PROC, Proc::TPR_SHADOW)),
        case(
            "ctl.ipi.needs_tpr_shadow",
            Long,
            &[TERTIARY, SHADOWED[0], SHADOWED[1], Or(PROC3, Proc3::IPI_VIRT)],
            Clear(PROC, Proc::TPR_SHADOW)
        ),
        case(
            "ctl.x2apic.not_with_apic_access",
            Long,
            &[SHADOWED[0], SHADOWED[1], Or(PROC2, Proc2::VIRTUALIZE_X2APIC_MODE)],
            Or(PROC2, Proc2::VIRTUALIZE_APIC_ACCESSES)
        ),
        case("ctl.vid.needs_ext_intr", Long, &vid, Clear(PIN, Pin::EXT_INTR_EXITING)),
        case("ctl.posted.needs_vid", Long, &posted, Clear(PROC2, Proc2::VIRTUAL_INTR_DELIVERY)),
        case("ctl.posted.needs_ack", Long, &posted, Clear(EXIT, Exit::ACK_INTR_ON_EXIT)),
        case("ctl.posted.vector", Long, &posted, Set(F::POSTED_INTR_NV, 0x100)),
        case(
            "ctl.vpid.nonzero",
            Long,
            &[Or(PROC2, Proc2::ENABLE_VPID), Set(F::VIRTUAL_PROCESSOR_ID, 1)],
            Set(F::VIRTUAL_PROCESSOR_ID, 0)
        ),
        case("ctl.eptp.memory_type", Long, &[], Set(F::EPT_POINTER, 0x2_005c)),
        case("ctl.eptp.memory_type", Long, &[Set(F::EPT_POINTER, 0x58)], Cap(|c| c.ept_vpid &= !(1 << 8))),
        case("ctl.eptp.memory_type", Long, &[], Cap(|c| c.ept_vpid &= !(1 << 14))),
        case("ctl.eptp.walk_length", Long, &[], Set(F::EPT_POINTER, 0x2_0056)),
        case(
            "ctl.eptp.walk_length",
            Long,
            &[Cap(|c| c.ept_vpid |= 1 << 7), Set(F::EPT_POINTER, 0x2_0066)],
            Cap(|c| c.ept_vpid &= !(1 << 7))
        ),
        case("ctl.eptp.ad", Long, &[], Cap(|c| c.ept_vpid &= !(1 << 21))),
        case(
            "ctl.eptp.supervisor_shadow_stack",
            Long,
            &[Or(F::EPT_POINTER, 0x80)],
            Cap(|c| c.ept_vpid &= !(1 << 23))
        ),
        case("ctl.eptp.reserved", Long, &[], Or(F::EPT_POINTER, 0x800)),
        case("ctl.eptp.reserved", Long, &[Or(F::EPT_POINTER, BEYOND / 2)], Or(F::EPT_POINTER, BEYOND)),
        case("ctl.pml.needs_ept", Protected, &[Or(PROC2, Proc2::ENABLE_PML)], ept_off),
        case("ctl.unrestricted.needs_ept", Protected, &[Or(PROC2, Proc2::UNRESTRICTED_GUEST)], ept_off),
        case("ctl.mbec.needs_ept", Protected, &[Or(PROC2, Proc2::MODE_BASED_EPT_EXEC)], ept_off),
        case("ctl.spp.needs_ept", Protected, &[Or(PROC2, Proc2::SPP)], ept_off),
        case("ctl.vmfunc.reserved", Long, &[vmfunc, switching], Or(F::VM_FUNCTION_CONTROL, 1 << 63)),
        case("ctl.vmfunc.needs_ept", Protected, &[vmfunc, switching], ept_off),
        case("ctl.pt.needs_ept", Protected, &[load_pt, clear_pt, Or(PROC2, Proc2::PT_USE_GPA)], ept_off),
        case("ctl.pt.needs_entry_load", Long, &[clear_pt], Or(PROC2, Proc2::PT_USE_GPA)),
        case("ctl.pt.needs_exit_clear", Long, &[load_pt], Or(PROC2, Proc2::PT_USE_GPA)),
        case(
            "ctl.tsc_scaling.multiplier",
            Long,
            &[Or(PROC2, Proc2::TSC_SCALING), Set(F::TSC_MULTIPLIER, 1)],
            Set(F::TSC_MULTIPLIER, 0)
        ),
        case("ctl.hlat.needs_ept", Protected, &[TERTIARY, Or(PROC3, Proc3::ENABLE_HLAT)], ept_off),
        case(
            "ctl.hlat.pointer",
            Long,
            &[TERTIARY, Or(PROC3, Proc3::ENABLE_HLAT), Set(F::HLATP, 0x1018)],
            Or(F::HLATP, 4)
        ),
        case("ctl.hlat.pointer", Long, &[TERTIARY, Or(PROC3, Proc3::ENABLE_HLAT)], Set(F::HLATP, BEYOND)),
        case(
            "ctl.hlat.prefix_size",
            Long,
            &[TERTIARY, Or(PROC3, Proc3::ENABLE_HLAT), Set(F::HLAT_PREFIX_SIZE, 1)],
            Set(F::HLAT_PREFIX_SIZE, 2)
        ),
        case(
            "ctl.paging_write.needs_ept",
            Protected,
            &[TERTIARY, Or(PROC3, Proc3::EPT_PAGING_WRITE)],
            ept_off
        ),
        case(
            "ctl.paging_verification.needs_ept",
            Protected,
            &[TERTIARY, Or(PROC3, Proc3::GUEST_PAGING_VERIFICATION)],
            ept_off
        ),
    ];
    let ipi = [TERTIARY, SHADOWED[0], SHADOWED[1], Or(PROC3, Proc3::IPI_VIRT)];
    let table = F::PID_POINTER_TABLE;
    let last = F::LAST_PID_POINTER_INDEX;
    let at_end = [ipi[0], ipi[1], ipi[2], ipi[3], Set(table, BEYOND - 16), Set(last, 1)];
    cases.extend([
        case("ctl.ipi.table_address", Long, &at_end, Or(table, 4)),
        case("ctl.ipi.table_width", Long, &at_end, Set(last, 2)),
        case("ctl.ipi.table_width", Long, &at_end, Set(table, BEYOND)),
    ]);
    for (control, bitmaps, ids) in [
        (Proc::USE_IO_BITMAPS, F::IO_BITMAP_A, ["ctl.io_bitmap.address", "ctl.io_bitmap.width"]),
        (Proc::USE_IO_BITMAPS, F::IO_BITMAP_B, ["ctl.io_bitmap.address", "ctl.io_bitmap.width"]),
        (Proc::USE_MSR_BITMAPS, F::MSR_BITMAP, ["ctl.msr_bitmap.address", "ctl.msr_bitmap.width"]),
        (
            Proc::TPR_SHADOW,
            F::VIRTUAL_APIC_PAGE_ADDR,
            ["ctl.tpr_shadow.vapic_address", "ctl.tpr_shadow.vapic_width"],
        ),
    ] {
        address(&mut cases, ids, &[Or(PROC, control)], bitmaps, 0x1000);
    }
    for (control, field, ids) in [
        (
            Proc2::VIRTUALIZE_APIC_ACCESSES,
            F::APIC_ACCESS_ADDR,
            ["ctl.apic_access.address", "ctl.apic_access.width"],
        ),
        (Proc2::ENABLE_PML, F::PML_ADDRESS, ["ctl.pml.address", "ctl.pml.width"]),
        (Proc2::SPP, F::SPPTP, ["ctl.spp.address", "ctl.spp.width"]),
        (Proc2::SHADOW_VMCS, F::VMREAD_BITMAP, ["ctl.shadow.vmread_address", "ctl.shadow.vmread_width"]),
        (Proc2::SHADOW_VMCS, F::VMWRITE_BITMAP, ["ctl.shadow.vmwrite_address", "ctl.shadow.vmwrite_width"]),
        (Proc2::EPT_VIOLATION_VE, F::VE_INFORMATION_ADDRESS, ["ctl.ve.address", "ctl.ve.width"]),
        (Proc2::PASID_TRANSLATION, F::LOW_PASID_DIR_ADDRESS, ["ctl.pasid.low_address"; 2]),
        (Proc2::PASID_TRANSLATION, F::HIGH_PASID_DIR_ADDRESS, ["ctl.pasid.high_address"; 2]),
    ] {
        address(&mut cases, ids, &[Or(PROC2, control)], field, 0x1000);
    }
    let list = ["ctl.vmfunc.eptp_list_address", "ctl.vmfunc.eptp_list_width"];
    address(&mut cases, list, &[vmfunc, switching], F::EPTP_LIST_ADDRESS, 0x1000);
    let ids = ["ctl.posted.address", "ctl.posted.width"];
    address(&mut cases, ids, &posted, F::POSTED_INTR_DESC_ADDR, 0x40);
    cases
}

fn exit_and_entry() -> Vec<Case> {
    let secondary = Or(EXIT, Exit::ACTIVATE_SECONDARY_CONTROLS);
    let load_count = F::VM_ENTRY_MSR_LOAD_COUNT;
    let load = F::VM_ENTRY_MSR_LOAD_ADDR;
    let mut cases = std::vec![
        case(
            "ctl.exit.reserved",
            Long,
            &[Or(EXIT, Exit::CLEAR_UINV)],
            Cap(|c| c.true_exit &= !(Exit::CLEAR_UINV << 32))
        ),
        case("ctl.exit.reserved", Long, &[], Clear(EXIT, 1)),
        case(
            "ctl.exit2.reserved",
            Long,
            &[secondary, Set(F::SECONDARY_VM_EXIT_CONTROLS, Exit2::LOAD_IA32_FRED)],
            Or(F::SECONDARY_VM_EXIT_CONTROLS, 1 << 62)
        ),
        case("ctl.exit.preemption_save", Long, &[], Or(EXIT, Exit::SAVE_VMX_PREEMPTION_TIMER)),
        case("ctl.entry.reserved", Long, &[], Or(ENTRY, 1 << 31)),
        case("ctl.entry.reserved", Long, &[], Clear(ENTRY, 1)),
        case(
            "ctl.entry.smm",
            Long,
            &[Cpu(|c| c.in_smm = true), Or(ENTRY, Entry::SMM), Set(F::GUEST_INTERRUPTIBILITY_INFO, 4)],
            Cpu(|c| c.in_smm = false)
        ),
        case("ctl.entry.deactivate_dual_monitor", Long, &[], Or(ENTRY, Entry::DEACT_DUAL_MONITOR)),
        case(
            "ctl.entry.smm_or_deactivate",
            Long,
            &[Cpu(|c| c.in_smm = true), Or(ENTRY, Entry::SMM), Set(F::GUEST_INTERRUPTIBILITY_INFO, 4)],
            Or(ENTRY, Entry::DEACT_DUAL_MONITOR)
        ),
    ];
    for (address, count, ids) in [
        (
            F::VM_EXIT_MSR_STORE_ADDR,
            F::VM_EXIT_MSR_STORE_COUNT,
            ["ctl.exit.msr_store_address", "ctl.exit.msr_store_width"],
        ),
        (
            F::VM_EXIT_MSR_LOAD_ADDR,
            F::VM_EXIT_MSR_LOAD_COUNT,
            ["ctl.exit.msr_load_address", "ctl.exit.msr_load_width"],
        ),
    ] {
        let last = [Set(count, 2), Set(address, BEYOND - 32)];
        cases.extend([
            case(ids[0], Long, &[last[0], Set(address, 0x1000)], Or(address, 8)),
            case(ids[0], Long, &[Or(address, 8)], Set(count, 1)),
            case(ids[1], Long, &last, Set(count, 3)),
            case(ids[1], Long, &last, Set(address, BEYOND)),
            case(ids[1], Long, &[Set(address, !0xf)], Set(count, 1)),
        ]);
    }
    let one = [Set(load, MSRS), Set(load_count, 1)];
    cases.extend([
        case("ctl.entry.msr_load_address", Long, &one, Or(load, 8)),
        case("ctl.entry.msr_load_width", Long, &one, Set(load, BEYOND)),
        case("ctl.entry.msr_load_width", Long, &[Set(load, BEYOND - 16)], Set(load_count, 2)),
    ]);
    for (id, entry) in [
        ("msrload.reserved", 1),
        ("msrload.fs_gs_base", 2),
        ("msrload.x2apic", 3),
        ("msrload.smm", 4),
        ("msrload.microcode", 5),
    ] {
        cases.push(case(id, Long, &one, Set(load, MSRS + 16 * entry)));
    }
    cases
}

fn inject() -> Vec<Case> {
    const LEN: F = F::VM_ENTRY_INSTRUCTION_LEN;
    const ERROR: F = F::VM_ENTRY_EXCEPTION_ERROR_CODE;
    let interruptible = Or(F::GUEST_RFLAGS, 1 << 9);
    let event = |info| Set(INFO, info);
    let mut cases = std::vec![
        case("ctl.inject.type_reserved", Long, &[], event(0x8000_0120)),
        case(
            "ctl.inject.type_reserved",
            Long,
            &[event(0x8000_0700)],
            Cap(|c| c.true_proc &= !(Proc::MONITOR_TRAP_FLAG << 32))
        ),
        case("ctl.inject.vector", Long, &[event(0x8000_0202)], event(0x8000_0203)),
        case("ctl.inject.vector", Long, &[event(0x8000_031f)], event(0x8000_0320)),
        case("ctl.inject.vector", Long, &[event(0x8000_0700)], event(0x8000_0701)),
        case(
            "ctl.inject.vector",
            Long,
            &[Or(F::GUEST_CR4, crate::cr::cr4::FRED), event(0x8000_0702)],
            event(0x8000_0703)
        ),
        case("ctl.inject.reserved", Long, &[interruptible, event(0x8000_0030)], event(0xc000_0030)),
        case("ctl.inject.reserved", Long, &[interruptible, event(0x8000_0030)], event(0x8000_1030)),
        case(
            "ctl.inject.reserved",
            Long,
            &[Cap(|c| c.basic |= 1 << 58), event(0x8000_2306)],
            Cap(|c| c.basic &= !(1 << 58))
        ),
        case(
            "ctl.inject.reserved",
            Long,
            &[Cap(|c| c.basic |= 1 << 58), event(0x8000_2306)],
            event(0x8000_2202)
        ),
        case(
            "ctl.inject.error_code_upper",
            Long,
            &[event(0x8000_0b0e), Set(ERROR, 0xffff)],
            Set(ERROR, 1 << 16)
        ),
        case("ctl.inject.error_code_upper", Long, &[Set(ERROR, !0)], event(0x8000_0b0e)),
        case("ctl.inject.length", Long, &[event(0x8000_0480), Set(LEN, 15)], Set(LEN, 16)),
        case("ctl.inject.length", Long, &[event(0x8000_0603)], Cap(|c| c.misc &= !(1 << 30))),
        case(
            "ctl.inject.length",
            Long,
            &[Cap(|c| c.misc &= !(1 << 30)), event(0x8000_0501), Set(LEN, 1)],
            Set(LEN, 0)
        ),
        case(
            "ctl.inject.length",
            Long,
            &[Or(F::GUEST_CR4, crate::cr::cr4::FRED), event(0x8000_0701)],
            Set(LEN, 16)
        ),
        // In real-address mode nothing delivers an error code.
        case("ctl.inject.error_code_deliver", Real, &[event(0x8000_030d)], event(0x8000_0b0d)),
        case("ctl.inject.error_code_deliver", Long, &[event(0x8000_0480)], event(0x8000_0c80)),
        case(
            "ctl.inject.error_code_deliver",
            Long,
            &[Cap(|c| c.basic |= 1 << 56), event(0x8000_030d)],
            Cap(|c| c.basic &= !(1 << 56))
        ),
        case(
            "ctl.inject.error_code_deliver",
            Long,
            &[Cap(|c| c.basic |= 1 << 56), event(0x8000_0b15)],
            Cap(|c| c.basic &= !(1 << 56))
        ),
    ];
    for vector in 0..32 {
        let with = matches!(vector, 8 | 10..=14 | 17);
        let (good, bad) = if with { (0x8000_0b00, 0x8000_0300) } else { (0x8000_0300, 0x8000_0b00) };
        cases.push(case("ctl.inject.error_code_deliver", Long, &[event(good | vector)], event(bad | vector)));
    }
    cases
}
