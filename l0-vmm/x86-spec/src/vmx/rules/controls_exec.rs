//! Checks on the VM-execution control fields.

use super::context::implies;
use crate::vmx::caps::Caps;
use crate::vmx::controls::{Entry, Exit, Pin, Proc, Proc2, Proc3, Word};
use crate::vmx::ept::{eptp, memory_type};
use crate::vmx::field::Field as F;

/// The HLAT pointer: all but PWT, PCD and the address. SDM: "Hypervisor-Managed Linear-Address Translation".
const HLATP_RESERVED: u64 = 0xfe7;
/// The greatest HLAT prefix size: bits 53:48 of IA32_VMX_EPT_VPID_CAP.
const MAX_PREFIX_SHIFT: u32 = 48;
const MAX_PREFIX: u64 = 0x3f;
/// Bits 3:0 of the TPR threshold.
const THRESHOLD: u64 = 0xf;
/// Where the virtual task-priority register (VTPR) is in the virtual-APIC page.
const VTPR: u64 = 0x80;
/// Bits 5:0: a posted-interrupt descriptor is 64 bytes.
const DESCRIPTOR_OFFSET: u64 = 0x3f;
/// An entry of the PID-pointer table is 8 bytes.
const PID_POINTER: u64 = 8;

super::rules! { Controls;
in "VM-Execution Control Fields", NONE {
    "ctl.pin.reserved" [PIN_BASED_VM_EXEC_CONTROL]
        "the pin-based VM-execution controls have only settings that IA32_VMX_PINBASED_CTLS allows",
        |c| allowed(c, Word::Pin);
    "ctl.proc.reserved" [CPU_BASED_VM_EXEC_CONTROL]
        "the primary processor-based VM-execution controls have only settings that IA32_VMX_PROCBASED_CTLS allows",
        |c| allowed(c, Word::Proc);
    "ctl.proc2.reserved" [SECONDARY_VM_EXEC_CONTROL, CPU_BASED_VM_EXEC_CONTROL]
        "activated secondary controls have only settings that IA32_VMX_PROCBASED_CTLS2 allows",
        |c| implies(c.proc(Proc::ACTIVATE_SECONDARY_CONTROLS), allowed(c, Word::Proc2));
    "ctl.proc3.reserved" [TERTIARY_VM_EXEC_CONTROL, CPU_BASED_VM_EXEC_CONTROL]
        "activated tertiary controls have only settings that IA32_VMX_PROCBASED_CTLS3 allows",
        |c| implies(c.proc(Proc::ACTIVATE_TERTIARY_CONTROLS), allowed(c, Word::Proc3));
    "ctl.cr3_target_count" [CR3_TARGET_COUNT]
        "the CR3-target count is not above the number of CR3-target values that IA32_VMX_MISC gives",
        |c| c.v[F::CR3_TARGET_COUNT] <= c.caps.cr3_targets();
    "ctl.io_bitmap.address" [IO_BITMAP_A, IO_BITMAP_B, CPU_BASED_VM_EXEC_CONTROL]
        "bits 11:0 of the I/O-bitmap addresses are 0 with \"use I/O bitmaps\"",
        |c| implies(c.proc(Proc::USE_IO_BITMAPS), c.page(F::IO_BITMAP_A) && c.page(F::IO_BITMAP_B));
    "ctl.io_bitmap.width" [IO_BITMAP_A, IO_BITMAP_B, CPU_BASED_VM_EXEC_CONTROL]
        "the I/O-bitmap addresses are within the physical-address width with \"use I/O bitmaps\"",
        |c| implies(c.proc(Proc::USE_IO_BITMAPS), c.physical(F::IO_BITMAP_A) && c.physical(F::IO_BITMAP_B));
    "ctl.msr_bitmap.address" [MSR_BITMAP, CPU_BASED_VM_EXEC_CONTROL]
        "bits 11:0 of the MSR-bitmap address are 0 with \"use MSR bitmaps\"",
        |c| implies(c.proc(Proc::USE_MSR_BITMAPS), c.page(F::MSR_BITMAP));
    "ctl.msr_bitmap.width" [MSR_BITMAP, CPU_BASED_VM_EXEC_CONTROL]
        "the MSR-bitmap address is within the physical-address width with \"use MSR bitmaps\"",
        |c| implies(c.proc(Proc::USE_MSR_BITMAPS), c.physical(F::MSR_BITMAP));
    "ctl.tpr_shadow.vapic_address" [VIRTUAL_APIC_PAGE_ADDR, CPU_BASED_VM_EXEC_CONTROL]
        "bits 11:0 of the virtual-APIC address are 0 with \"use TPR shadow\"",
        |c| implies(c.proc(Proc::TPR_SHADOW), c.page(F::VIRTUAL_APIC_PAGE_ADDR));
    "ctl.tpr_shadow.vapic_width" [VIRTUAL_APIC_PAGE_ADDR, CPU_BASED_VM_EXEC_CONTROL]
        "the virtual-APIC address is within the physical-address width with \"use TPR shadow\"",
        |c| implies(c.proc(Proc::TPR_SHADOW), c.physical(F::VIRTUAL_APIC_PAGE_ADDR));
    "ctl.tpr_threshold.reserved" [TPR_THRESHOLD, CPU_BASED_VM_EXEC_CONTROL, SECONDARY_VM_EXEC_CONTROL]
        "bits 31:4 of the TPR threshold are 0 with \"use TPR shadow\" and without \"virtual-interrupt delivery\"",
        |c| implies(
            c.proc(Proc::TPR_SHADOW) && !c.proc2(Proc2::VIRTUAL_INTR_DELIVERY),
            c.v[F::TPR_THRESHOLD] & !THRESHOLD == 0,
        );
    "ctl.tpr_threshold.above_vtpr" [TPR_THRESHOLD, VIRTUAL_APIC_PAGE_ADDR, CPU_BASED_VM_EXEC_CONTROL,
        SECONDARY_VM_EXEC_CONTROL]
        "the TPR threshold is not above bits 7:4 of VTPR with \"use TPR shadow\" and without \"virtualize APIC accesses\" and \"virtual-interrupt delivery\"",
        |c| {
            let checked = c.proc(Proc::TPR_SHADOW)
                && !c.proc2(Proc2::VIRTUALIZE_APIC_ACCESSES)
                && !c.proc2(Proc2::VIRTUAL_INTR_DELIVERY);
            let threshold = c.v[F::TPR_THRESHOLD] & THRESHOLD;
            !checked || threshold == 0 || threshold <= vtpr(c) >> 4
        };
    "ctl.nmi.virtual_needs_exiting" [PIN_BASED_VM_EXEC_CONTROL]
        "\"virtual NMIs\" is 0 without \"NMI exiting\"",
        |c| implies(c.pin(Pin::VIRTUAL_NMIS), c.pin(Pin::NMI_EXITING));
    "ctl.nmi.window_needs_virtual" [CPU_BASED_VM_EXEC_CONTROL, PIN_BASED_VM_EXEC_CONTROL]
        "\"NMI-window exiting\" is 0 without \"virtual NMIs\"",
        |c| implies(c.proc(Proc::NMI_WINDOW_EXITING), c.pin(Pin::VIRTUAL_NMIS));
    "ctl.apic_access.address" [APIC_ACCESS_ADDR, SECONDARY_VM_EXEC_CONTROL]
        "bits 11:0 of the APIC-access address are 0 with \"virtualize APIC accesses\"",
        |c| implies(c.proc2(Proc2::VIRTUALIZE_APIC_ACCESSES), c.page(F::APIC_ACCESS_ADDR));
    "ctl.apic_access.width" [APIC_ACCESS_ADDR, SECONDARY_VM_EXEC_CONTROL]
        "the APIC-access address is within the physical-address width with \"virtualize APIC accesses\"",
        |c| implies(c.proc2(Proc2::VIRTUALIZE_APIC_ACCESSES), c.physical(F::APIC_ACCESS_ADDR));
    "ctl.x2apic.needs_tpr_shadow" [SECONDARY_VM_EXEC_CONTROL, CPU_BASED_VM_EXEC_CONTROL]
        "\"virtualize x2APIC mode\" is 0 without \"use TPR shadow\"",
        |c| implies(c.proc2(Proc2::VIRTUALIZE_X2APIC_MODE), c.proc(Proc::TPR_SHADOW));
    "ctl.apic_registers.needs_tpr_shadow" [SECONDARY_VM_EXEC_CONTROL, CPU_BASED_VM_EXEC_CONTROL]
        "\"APIC-register virtualization\" is 0 without \"use TPR shadow\"",
        |c| implies(c.proc2(Proc2::APIC_REGISTER_VIRT), c.proc(Proc::TPR_SHADOW));
    "ctl.vid.needs_tpr_shadow" [SECONDARY_VM_EXEC_CONTROL, CPU_BASED_VM_EXEC_CONTROL]
        "\"virtual-interrupt delivery\" is 0 without \"use TPR shadow\"",
        |c| implies(c.proc2(Proc2::VIRTUAL_INTR_DELIVERY), c.proc(Proc::TPR_SHADOW));
    "ctl.ipi.needs_tpr_shadow" [TERTIARY_VM_EXEC_CONTROL, CPU_BASED_VM_EXEC_CONTROL]
        "\"IPI virtualization\" is 0 without \"use TPR shadow\"",
        |c| implies(c.proc3(Proc3::IPI_VIRT), c.proc(Proc::TPR_SHADOW));
    "ctl.x2apic.not_with_apic_access" [SECONDARY_VM_EXEC_CONTROL]
        "\"virtualize x2APIC mode\" and \"virtualize APIC accesses\" are not both 1",
        |c| !c.proc2(Proc2::VIRTUALIZE_X2APIC_MODE | Proc2::VIRTUALIZE_APIC_ACCESSES);
    "ctl.vid.needs_ext_intr" [SECONDARY_VM_EXEC_CONTROL, PIN_BASED_VM_EXEC_CONTROL]
        "\"virtual-interrupt delivery\" is 0 without \"external-interrupt exiting\"",
        |c| implies(c.proc2(Proc2::VIRTUAL_INTR_DELIVERY), c.pin(Pin::EXT_INTR_EXITING));
    "ctl.posted.needs_vid" [PIN_BASED_VM_EXEC_CONTROL, SECONDARY_VM_EXEC_CONTROL]
        "\"process posted interrupts\" is 0 without \"virtual-interrupt delivery\"",
        |c| implies(c.pin(Pin::POSTED_INTR), c.proc2(Proc2::VIRTUAL_INTR_DELIVERY));
    "ctl.posted.needs_ack" [PIN_BASED_VM_EXEC_CONTROL, VM_EXIT_CONTROLS]
        "\"process posted interrupts\" is 0 without \"acknowledge interrupt on exit\"",
        |c| implies(c.pin(Pin::POSTED_INTR), c.exit(Exit::ACK_INTR_ON_EXIT));
    "ctl.posted.vector" [POSTED_INTR_NV, PIN_BASED_VM_EXEC_CONTROL]
        "the posted-interrupt notification vector is at most 255 with \"process posted interrupts\"",
        |c| implies(c.pin(Pin::POSTED_INTR), c.v[F::POSTED_INTR_NV] <= 0xff);
    "ctl.posted.address" [POSTED_INTR_DESC_ADDR, PIN_BASED_VM_EXEC_CONTROL]
        "bits 5:0 of the posted-interrupt descriptor address are 0 with \"process posted interrupts\"",
        |c| implies(c.pin(Pin::POSTED_INTR), c.v[F::POSTED_INTR_DESC_ADDR] & DESCRIPTOR_OFFSET == 0);
    "ctl.posted.width" [POSTED_INTR_DESC_ADDR, PIN_BASED_VM_EXEC_CONTROL]
        "the posted-interrupt descriptor address is within the physical-address width with \"process posted interrupts\"",
        |c| implies(c.pin(Pin::POSTED_INTR), c.physical(F::POSTED_INTR_DESC_ADDR));
    "ctl.vpid.nonzero" [VIRTUAL_PROCESSOR_ID, SECONDARY_VM_EXEC_CONTROL]
        "the VPID is not 0 with \"enable VPID\"",
        |c| implies(c.proc2(Proc2::ENABLE_VPID), c.v[F::VIRTUAL_PROCESSOR_ID] != 0);
    "ctl.eptp.memory_type" [EPT_POINTER, SECONDARY_VM_EXEC_CONTROL]
        "the memory type in bits 2:0 of the EPT pointer is one that IA32_VMX_EPT_VPID_CAP offers, with \"enable EPT\"",
        |c| implies(c.ept(), match c.v[F::EPT_POINTER] & eptp::MEMORY_TYPE {
            memory_type::UC => c.caps.ept_memory_uc(),
            memory_type::WB => c.caps.ept_memory_wb(),
            _ => false,
        });
    "ctl.eptp.walk_length" [EPT_POINTER, SECONDARY_VM_EXEC_CONTROL]
        "bits 5:3 of the EPT pointer are one less than a page-walk length that IA32_VMX_EPT_VPID_CAP offers, with \"enable EPT\"",
        |c| implies(c.ept(), match ((c.v[F::EPT_POINTER] & eptp::WALK) >> eptp::WALK_SHIFT) + 1 {
            4 => c.caps.ept_walk_4(),
            5 => c.caps.ept_walk_5(),
            _ => false,
        });
    "ctl.eptp.ad" [EPT_POINTER, SECONDARY_VM_EXEC_CONTROL]
        "bit 6 of the EPT pointer is 0 if there are no accessed and dirty flags for EPT, with \"enable EPT\"",
        |c| implies(
            c.ept() && c.v[F::EPT_POINTER] & eptp::ACCESSED_DIRTY != 0,
            c.caps.ept_accessed_dirty(),
        );
    "ctl.eptp.supervisor_shadow_stack" [EPT_POINTER, SECONDARY_VM_EXEC_CONTROL]
        "bit 7 of the EPT pointer is 0 if there is no supervisor shadow-stack control for EPT, with \"enable EPT\"",
        |c| implies(
            c.ept() && c.v[F::EPT_POINTER] & eptp::SUPERVISOR_SHADOW_STACK != 0,
            c.caps.ept_supervisor_shadow_stack(),
        );
    "ctl.eptp.reserved" [EPT_POINTER, SECONDARY_VM_EXEC_CONTROL]
        "bits 11:8 of the EPT pointer and those beyond the physical-address width are 0, with \"enable EPT\"",
        |c| implies(
            c.ept(),
            c.v[F::EPT_POINTER] & (eptp::RESERVED_LOW | c.caps.beyond_physical()) == 0,
        );
    "ctl.pml.needs_ept" [SECONDARY_VM_EXEC_CONTROL]
        "\"enable PML\" is 0 without \"enable EPT\"",
        |c| implies(c.proc2(Proc2::ENABLE_PML), c.ept());
    "ctl.pml.address" [PML_ADDRESS, SECONDARY_VM_EXEC_CONTROL]
        "bits 11:0 of the PML address are 0 with \"enable PML\"",
        |c| implies(c.proc2(Proc2::ENABLE_PML), c.page(F::PML_ADDRESS));
    "ctl.pml.width" [PML_ADDRESS, SECONDARY_VM_EXEC_CONTROL]
        "the PML address is within the physical-address width with \"enable PML\"",
        |c| implies(c.proc2(Proc2::ENABLE_PML), c.physical(F::PML_ADDRESS));
    "ctl.unrestricted.needs_ept" [SECONDARY_VM_EXEC_CONTROL]
        "\"unrestricted guest\" is 0 without \"enable EPT\"",
        |c| implies(c.unrestricted(), c.ept());
    "ctl.mbec.needs_ept" [SECONDARY_VM_EXEC_CONTROL]
        "\"mode-based execute control for EPT\" is 0 without \"enable EPT\"",
        |c| implies(c.proc2(Proc2::MODE_BASED_EPT_EXEC), c.ept());
    "ctl.spp.needs_ept" [SECONDARY_VM_EXEC_CONTROL]
        "\"sub-page write permissions for EPT\" is 0 without \"enable EPT\"",
        |c| implies(c.proc2(Proc2::SPP), c.ept());
    "ctl.spp.address" [SPPTP, SECONDARY_VM_EXEC_CONTROL]
        "bits 11:0 of the SPP-table pointer are 0 with \"sub-page write permissions for EPT\"",
        |c| implies(c.proc2(Proc2::SPP), c.page(F::SPPTP));
    "ctl.spp.width" [SPPTP, SECONDARY_VM_EXEC_CONTROL]
        "the SPP-table pointer is within the physical-address width with \"sub-page write permissions for EPT\"",
        |c| implies(c.proc2(Proc2::SPP), c.physical(F::SPPTP));
    "ctl.vmfunc.reserved" [VM_FUNCTION_CONTROL, SECONDARY_VM_EXEC_CONTROL]
        "the VM-function controls set only bits that IA32_VMX_VMFUNC allows, with \"enable VM functions\"",
        |c| implies(
            c.proc2(Proc2::ENABLE_VMFUNC),
            c.v[F::VM_FUNCTION_CONTROL] & !c.caps.vm_functions() == 0,
        );
    "ctl.vmfunc.needs_ept" [SECONDARY_VM_EXEC_CONTROL, VM_FUNCTION_CONTROL]
        "\"EPTP switching\" is 0 without \"enable EPT\"",
        |c| implies(eptp_switching(c), c.ept());
    "ctl.vmfunc.eptp_list_address" [EPTP_LIST_ADDRESS, VM_FUNCTION_CONTROL, SECONDARY_VM_EXEC_CONTROL]
        "bits 11:0 of the EPTP-list address are 0 with \"EPTP switching\"",
        |c| implies(eptp_switching(c), c.page(F::EPTP_LIST_ADDRESS));
    "ctl.vmfunc.eptp_list_width" [EPTP_LIST_ADDRESS, VM_FUNCTION_CONTROL, SECONDARY_VM_EXEC_CONTROL]
        "the EPTP-list address is within the physical-address width with \"EPTP switching\"",
        |c| implies(eptp_switching(c), c.physical(F::EPTP_LIST_ADDRESS));
    "ctl.shadow.vmread_address" [VMREAD_BITMAP, SECONDARY_VM_EXEC_CONTROL]
        "bits 11:0 of the VMREAD-bitmap address are 0 with \"VMCS shadowing\"",
        |c| implies(c.proc2(Proc2::SHADOW_VMCS), c.page(F::VMREAD_BITMAP));
    "ctl.shadow.vmread_width" [VMREAD_BITMAP, SECONDARY_VM_EXEC_CONTROL]
        "the VMREAD-bitmap address is within the physical-address width with \"VMCS shadowing\"",
        |c| implies(c.proc2(Proc2::SHADOW_VMCS), c.physical(F::VMREAD_BITMAP));
    "ctl.shadow.vmwrite_address" [VMWRITE_BITMAP, SECONDARY_VM_EXEC_CONTROL]
        "bits 11:0 of the VMWRITE-bitmap address are 0 with \"VMCS shadowing\"",
        |c| implies(c.proc2(Proc2::SHADOW_VMCS), c.page(F::VMWRITE_BITMAP));
    "ctl.shadow.vmwrite_width" [VMWRITE_BITMAP, SECONDARY_VM_EXEC_CONTROL]
        "the VMWRITE-bitmap address is within the physical-address width with \"VMCS shadowing\"",
        |c| implies(c.proc2(Proc2::SHADOW_VMCS), c.physical(F::VMWRITE_BITMAP));
    "ctl.ve.address" [VE_INFORMATION_ADDRESS, SECONDARY_VM_EXEC_CONTROL]
        "bits 11:0 of the virtualization-exception information address are 0 with \"EPT-violation #VE\"",
        |c| implies(c.proc2(Proc2::EPT_VIOLATION_VE), c.page(F::VE_INFORMATION_ADDRESS));
    "ctl.ve.width" [VE_INFORMATION_ADDRESS, SECONDARY_VM_EXEC_CONTROL]
        "the virtualization-exception information address is within the physical-address width with \"EPT-violation #VE\"",
        |c| implies(c.proc2(Proc2::EPT_VIOLATION_VE), c.physical(F::VE_INFORMATION_ADDRESS));
    "ctl.pt.needs_ept" [SECONDARY_VM_EXEC_CONTROL]
        "\"Intel PT uses guest physical addresses\" is 0 without \"enable EPT\"",
        |c| implies(c.proc2(Proc2::PT_USE_GPA), c.ept());
    "ctl.pt.needs_entry_load" [SECONDARY_VM_EXEC_CONTROL, VM_ENTRY_CONTROLS]
        "\"Intel PT uses guest physical addresses\" is 0 without the VM-entry control \"load IA32_RTIT_CTL\"",
        |c| implies(c.proc2(Proc2::PT_USE_GPA), c.entry(Entry::LOAD_IA32_RTIT_CTL));
    "ctl.pt.needs_exit_clear" [SECONDARY_VM_EXEC_CONTROL, VM_EXIT_CONTROLS]
        "\"Intel PT uses guest physical addresses\" is 0 without the VM-exit control \"clear IA32_RTIT_CTL\"",
        |c| implies(c.proc2(Proc2::PT_USE_GPA), c.exit(Exit::CLEAR_IA32_RTIT_CTL));
    "ctl.tsc_scaling.multiplier" [TSC_MULTIPLIER, SECONDARY_VM_EXEC_CONTROL]
        "the TSC multiplier is not 0 with \"use TSC scaling\"",
        |c| implies(c.proc2(Proc2::TSC_SCALING), c.v[F::TSC_MULTIPLIER] != 0);
    "ctl.pasid.low_address" [LOW_PASID_DIR_ADDRESS, SECONDARY_VM_EXEC_CONTROL]
        "the low PASID directory address is 4-KByte aligned and within the physical-address width with \"PASID translation\"",
        |c| implies(
            c.proc2(Proc2::PASID_TRANSLATION),
            c.page(F::LOW_PASID_DIR_ADDRESS) && c.physical(F::LOW_PASID_DIR_ADDRESS),
        );
    "ctl.pasid.high_address" [HIGH_PASID_DIR_ADDRESS, SECONDARY_VM_EXEC_CONTROL]
        "the high PASID directory address is 4-KByte aligned and within the physical-address width with \"PASID translation\"",
        |c| implies(
            c.proc2(Proc2::PASID_TRANSLATION),
            c.page(F::HIGH_PASID_DIR_ADDRESS) && c.physical(F::HIGH_PASID_DIR_ADDRESS),
        );
    "ctl.hlat.needs_ept" [TERTIARY_VM_EXEC_CONTROL, SECONDARY_VM_EXEC_CONTROL]
        "\"enable HLAT\" is 0 without \"enable EPT\"",
        |c| implies(c.proc3(Proc3::ENABLE_HLAT), c.ept());
    "ctl.hlat.pointer" [HLATP, TERTIARY_VM_EXEC_CONTROL]
        "the HLAT pointer sets only bits 4:3 and an address within the physical-address width, with \"enable HLAT\"",
        |c| implies(
            c.proc3(Proc3::ENABLE_HLAT),
            c.v[F::HLATP] & (HLATP_RESERVED | c.caps.beyond_physical()) == 0,
        );
    "ctl.hlat.prefix_size" [HLAT_PREFIX_SIZE, TERTIARY_VM_EXEC_CONTROL]
        "the HLAT prefix size is not above the one that IA32_VMX_EPT_VPID_CAP gives, with \"enable HLAT\"",
        |c| implies(
            c.proc3(Proc3::ENABLE_HLAT),
            c.v[F::HLAT_PREFIX_SIZE] <= c.caps.ept_vpid >> MAX_PREFIX_SHIFT & MAX_PREFIX,
        );
    "ctl.paging_write.needs_ept" [TERTIARY_VM_EXEC_CONTROL, SECONDARY_VM_EXEC_CONTROL]
        "\"EPT paging-write control\" is 0 without \"enable EPT\"",
        |c| implies(c.proc3(Proc3::EPT_PAGING_WRITE), c.ept());
    "ctl.paging_verification.needs_ept" [TERTIARY_VM_EXEC_CONTROL, SECONDARY_VM_EXEC_CONTROL]
        "\"guest-paging verification\" is 0 without \"enable EPT\"",
        |c| implies(c.proc3(Proc3::GUEST_PAGING_VERIFICATION), c.ept());
    "ctl.ipi.table_address" [PID_POINTER_TABLE, TERTIARY_VM_EXEC_CONTROL]
        "bits 2:0 of the PID-pointer table address are 0 with \"IPI virtualization\"",
        |c| implies(c.proc3(Proc3::IPI_VIRT), c.v[F::PID_POINTER_TABLE].is_multiple_of(PID_POINTER));
    "ctl.ipi.table_width" [PID_POINTER_TABLE, LAST_PID_POINTER_INDEX, TERTIARY_VM_EXEC_CONTROL]
        "the PID-pointer table and its last entry are within the physical-address width with \"IPI virtualization\"",
        |c| implies(c.proc3(Proc3::IPI_VIRT), {
            let last = c.v[F::PID_POINTER_TABLE].checked_add(PID_POINTER * c.v[F::LAST_PID_POINTER_INDEX]);
            c.physical(F::PID_POINTER_TABLE) && last.is_some_and(|last| c.caps.physical_ok(last))
        });
}
}

/// Every control of the word has a setting that the processor allows.
#[inline]
pub(super) fn allowed(c: &super::Ctx<'_>, word: Word) -> bool {
    let value = c.v[word.field()];
    let (zero, one) = (c.caps.allowed0(word), c.caps.allowed1(word));
    zero & !value == 0 && value & !one == 0
}

#[inline]
fn eptp_switching(c: &super::Ctx<'_>) -> bool {
    c.proc2(Proc2::ENABLE_VMFUNC) && c.v[F::VM_FUNCTION_CONTROL] & Caps::EPTP_SWITCHING != 0
}

/// The virtual task priority. No memory reads as all ones.
fn vtpr(c: &super::Ctx<'_>) -> u64 {
    let address = c.v[F::VIRTUAL_APIC_PAGE_ADDR].wrapping_add(VTPR);
    u64::from(c.mem.read_u32(address).unwrap_or(!0) & 0xff)
}
