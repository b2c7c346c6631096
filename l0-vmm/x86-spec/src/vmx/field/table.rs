//! The rows of the VMCS: encoding, condition of existence, meaning. In the order of the encodings.

/// Calls `$with!` with every VMCS field as `NAME = encoding, condition, "meaning";`.
///
/// SDM: "Field Encoding in VMCS".
macro_rules! for_each_field {
    ($with:ident) => {
        $with! {
            // 16-bit: control.
            VIRTUAL_PROCESSOR_ID = 0x0000, VPID, "Virtual-processor identifier (VPID) that tags linear and combined translations";
            POSTED_INTR_NV = 0x0002, POSTED_INTR, "Posted-interrupt notification vector";
            EPTP_INDEX = 0x0004, VIRT_EXCEPTION, "EPTP index: reported by EPT-violation #VE, written by the EPTP-switching VM function";
            HLAT_PREFIX_SIZE = 0x0006, HLAT, "HLAT prefix size: the number of upper linear-address bits that select HLAT paging";
            LAST_PID_POINTER_INDEX = 0x0008, IPI_VIRT, "Last PID-pointer index: the highest virtual APIC ID that IPI virtualization may use";
            // 16-bit: guest.
            GUEST_ES_SELECTOR = 0x0800, ALWAYS, "Guest ES selector";
            GUEST_CS_SELECTOR = 0x0802, ALWAYS, "Guest CS selector";
            GUEST_SS_SELECTOR = 0x0804, ALWAYS, "Guest SS selector";
            GUEST_DS_SELECTOR = 0x0806, ALWAYS, "Guest DS selector";
            GUEST_FS_SELECTOR = 0x0808, ALWAYS, "Guest FS selector";
            GUEST_GS_SELECTOR = 0x080a, ALWAYS, "Guest GS selector";
            GUEST_LDTR_SELECTOR = 0x080c, ALWAYS, "Guest LDTR selector";
            GUEST_TR_SELECTOR = 0x080e, ALWAYS, "Guest TR selector";
            GUEST_INTR_STATUS = 0x0810, INTR_DELIVERY, "Guest interrupt status: requesting virtual interrupt (low byte), servicing virtual interrupt (high byte)";
            GUEST_PML_INDEX = 0x0812, PML, "PML index: the page-modification-log entry that is filled next, counting down from 511";
            GUEST_UINV = 0x0814, UINV, "Guest UINV: the user-interrupt notification vector";
            // 16-bit: host.
            HOST_ES_SELECTOR = 0x0c00, ALWAYS, "Host ES selector";
            HOST_CS_SELECTOR = 0x0c02, ALWAYS, "Host CS selector";
            HOST_SS_SELECTOR = 0x0c04, ALWAYS, "Host SS selector";
            HOST_DS_SELECTOR = 0x0c06, ALWAYS, "Host DS selector";
            HOST_FS_SELECTOR = 0x0c08, ALWAYS, "Host FS selector";
            HOST_GS_SELECTOR = 0x0c0a, ALWAYS, "Host GS selector";
            HOST_TR_SELECTOR = 0x0c0c, ALWAYS, "Host TR selector";
            // 64-bit: control.
            IO_BITMAP_A = 0x2000, ALWAYS, "Physical address of I/O bitmap A (ports 0000H to 7FFFH)";
            IO_BITMAP_B = 0x2002, ALWAYS, "Physical address of I/O bitmap B (ports 8000H to FFFFH)";
            MSR_BITMAP = 0x2004, MSR_BITMAPS, "Physical address of the MSR bitmaps";
            VM_EXIT_MSR_STORE_ADDR = 0x2006, ALWAYS, "Physical address of the VM-exit MSR-store area";
            VM_EXIT_MSR_LOAD_ADDR = 0x2008, ALWAYS, "Physical address of the VM-exit MSR-load area";
            VM_ENTRY_MSR_LOAD_ADDR = 0x200a, ALWAYS, "Physical address of the VM-entry MSR-load area";
            EXECUTIVE_VMCS_POINTER = 0x200c, ALWAYS, "Executive-VMCS pointer, used by the dual-monitor treatment of SMIs and SMM";
            PML_ADDRESS = 0x200e, PML, "Physical address of the page-modification log";
            TSC_OFFSET = 0x2010, ALWAYS, "TSC offset, added to the time-stamp counter that the guest reads";
            VIRTUAL_APIC_PAGE_ADDR = 0x2012, TPR_SHADOW, "Physical address of the virtual-APIC page";
            APIC_ACCESS_ADDR = 0x2014, APIC_ACCESSES, "Physical address of the APIC-access page";
            POSTED_INTR_DESC_ADDR = 0x2016, POSTED_INTR, "Physical address of the posted-interrupt descriptor";
            VM_FUNCTION_CONTROL = 0x2018, VMFUNC, "VM-function controls: which VM functions VMFUNC may invoke";
            EPT_POINTER = 0x201a, EPT, "EPT pointer (EPTP)";
            EOI_EXIT_BITMAP0 = 0x201c, INTR_DELIVERY, "EOI-exit bitmap for vectors 00H to 3FH";
            EOI_EXIT_BITMAP1 = 0x201e, INTR_DELIVERY, "EOI-exit bitmap for vectors 40H to 7FH";
            EOI_EXIT_BITMAP2 = 0x2020, INTR_DELIVERY, "EOI-exit bitmap for vectors 80H to BFH";
            EOI_EXIT_BITMAP3 = 0x2022, INTR_DELIVERY, "EOI-exit bitmap for vectors C0H to FFH";
            EPTP_LIST_ADDRESS = 0x2024, EPTP_SWITCHING, "Physical address of the EPTP list";
            VMREAD_BITMAP = 0x2026, SHADOW_VMCS, "Physical address of the VMREAD bitmap";
            VMWRITE_BITMAP = 0x2028, SHADOW_VMCS, "Physical address of the VMWRITE bitmap";
            VE_INFORMATION_ADDRESS = 0x202a, VIRT_EXCEPTION, "Physical address of the virtualization-exception information area";
            XSS_EXIT_BITMAP = 0x202c, XSAVES, "XSS-exiting bitmap";
            ENCLS_EXITING_BITMAP = 0x202e, ENCLS, "ENCLS-exiting bitmap";
            SPPTP = 0x2030, SPP, "Sub-page-permission-table pointer";
            TSC_MULTIPLIER = 0x2032, TSC_SCALING, "TSC multiplier: a fixed-point number with 48 fractional bits";
            TERTIARY_VM_EXEC_CONTROL = 0x2034, TERTIARY, "Tertiary processor-based VM-execution controls";
            ENCLV_EXITING_BITMAP = 0x2036, ENCLV, "ENCLV-exiting bitmap";
            LOW_PASID_DIR_ADDRESS = 0x2038, PASID, "Physical address of the low PASID directory";
            HIGH_PASID_DIR_ADDRESS = 0x203a, PASID, "Physical address of the high PASID directory";
            SHARED_EPT_POINTER = 0x203c, SHARED_EPT, "Shared EPT pointer";
            PCONFIG_EXITING_BITMAP = 0x203e, PCONFIG, "PCONFIG-exiting bitmap";
            HLATP = 0x2040, HLAT, "Hypervisor-managed linear-address-translation pointer";
            PID_POINTER_TABLE = 0x2042, IPI_VIRT, "Physical address of the PID-pointer table";
            SECONDARY_VM_EXIT_CONTROLS = 0x2044, EXIT2, "Secondary VM-exit controls";
            SPEC_CTRL_MASK = 0x204a, SPEC_CTRL, "IA32_SPEC_CTRL mask: the bits that the guest cannot change";
            SPEC_CTRL_SHADOW = 0x204c, SPEC_CTRL, "IA32_SPEC_CTRL shadow: the value that the guest reads";
            INJECTED_EVENT_DATA = 0x2052, FRED_EVENTS, "Injected-event data, delivered with an event that is injected into a guest that uses FRED";
            // 64-bit: read-only.
            GUEST_PHYSICAL_ADDRESS = 0x2400, EPT, "Guest-physical address of the access that caused the VM exit";
            ORIGINAL_EVENT_DATA = 0x2404, FRED_EVENTS, "Original-event data of the event whose delivery the VM exit interrupted, where the guest uses FRED";
            // 64-bit: guest.
            VMCS_LINK_POINTER = 0x2800, ALWAYS, "VMCS link pointer: the shadow VMCS, or all ones";
            GUEST_IA32_DEBUGCTL = 0x2802, ALWAYS, "Guest IA32_DEBUGCTL";
            GUEST_IA32_PAT = 0x2804, GUEST_PAT, "Guest IA32_PAT";
            GUEST_IA32_EFER = 0x2806, GUEST_EFER, "Guest IA32_EFER";
            GUEST_IA32_PERF_GLOBAL_CTRL = 0x2808, GUEST_PERF, "Guest IA32_PERF_GLOBAL_CTRL";
            GUEST_PDPTR0 = 0x280a, EPT, "Guest page-directory-pointer-table entry 0";
            GUEST_PDPTR1 = 0x280c, EPT, "Guest page-directory-pointer-table entry 1";
            GUEST_PDPTR2 = 0x280e, EPT, "Guest page-directory-pointer-table entry 2";
            GUEST_PDPTR3 = 0x2810, EPT, "Guest page-directory-pointer-table entry 3";
            GUEST_BNDCFGS = 0x2812, GUEST_BNDCFGS, "Guest IA32_BNDCFGS";
            GUEST_IA32_RTIT_CTL = 0x2814, GUEST_RTIT, "Guest IA32_RTIT_CTL";
            GUEST_IA32_LBR_CTL = 0x2816, GUEST_LBR, "Guest IA32_LBR_CTL";
            GUEST_IA32_PKRS = 0x2818, GUEST_PKRS, "Guest IA32_PKRS";
            GUEST_IA32_FRED_CONFIG = 0x281a, FRED_EVENTS, "Guest IA32_FRED_CONFIG";
            GUEST_IA32_FRED_RSP1 = 0x281c, FRED_EVENTS, "Guest IA32_FRED_RSP1";
            GUEST_IA32_FRED_RSP2 = 0x281e, FRED_EVENTS, "Guest IA32_FRED_RSP2";
            GUEST_IA32_FRED_RSP3 = 0x2820, FRED_EVENTS, "Guest IA32_FRED_RSP3";
            GUEST_IA32_FRED_STKLVLS = 0x2822, FRED_EVENTS, "Guest IA32_FRED_STKLVLS";
            GUEST_IA32_FRED_SSP1 = 0x2824, FRED_EVENTS, "Guest IA32_FRED_SSP1";
            GUEST_IA32_FRED_SSP2 = 0x2826, FRED_EVENTS, "Guest IA32_FRED_SSP2";
            GUEST_IA32_FRED_SSP3 = 0x2828, FRED_EVENTS, "Guest IA32_FRED_SSP3";
            // 64-bit: host.
            HOST_IA32_PAT = 0x2c00, HOST_PAT, "Host IA32_PAT";
            HOST_IA32_EFER = 0x2c02, HOST_EFER, "Host IA32_EFER";
            HOST_IA32_PERF_GLOBAL_CTRL = 0x2c04, HOST_PERF, "Host IA32_PERF_GLOBAL_CTRL";
            HOST_IA32_PKRS = 0x2c06, HOST_PKRS, "Host IA32_PKRS";
            HOST_IA32_FRED_CONFIG = 0x2c08, HOST_FRED, "Host IA32_FRED_CONFIG";
            HOST_IA32_FRED_RSP1 = 0x2c0a, HOST_FRED, "Host IA32_FRED_RSP1";
            HOST_IA32_FRED_RSP2 = 0x2c0c, HOST_FRED, "Host IA32_FRED_RSP2";
            HOST_IA32_FRED_RSP3 = 0x2c0e, HOST_FRED, "Host IA32_FRED_RSP3";
            HOST_IA32_FRED_STKLVLS = 0x2c10, HOST_FRED, "Host IA32_FRED_STKLVLS";
            HOST_IA32_FRED_SSP1 = 0x2c12, HOST_FRED, "Host IA32_FRED_SSP1";
            HOST_IA32_FRED_SSP2 = 0x2c14, HOST_FRED, "Host IA32_FRED_SSP2";
            HOST_IA32_FRED_SSP3 = 0x2c16, HOST_FRED, "Host IA32_FRED_SSP3";
            // 32-bit: control.
            PIN_BASED_VM_EXEC_CONTROL = 0x4000, ALWAYS, "Pin-based VM-execution controls";
            CPU_BASED_VM_EXEC_CONTROL = 0x4002, ALWAYS, "Primary processor-based VM-execution controls";
            EXCEPTION_BITMAP = 0x4004, ALWAYS, "Exception bitmap: one bit for each vector 0 to 31";
            PAGE_FAULT_ERROR_CODE_MASK = 0x4006, ALWAYS, "Page-fault error-code mask";
            PAGE_FAULT_ERROR_CODE_MATCH = 0x4008, ALWAYS, "Page-fault error-code match";
            CR3_TARGET_COUNT = 0x400a, ALWAYS, "CR3-target count: how many CR3-target values are in use";
            VM_EXIT_CONTROLS = 0x400c, ALWAYS, "Primary VM-exit controls";
            VM_EXIT_MSR_STORE_COUNT = 0x400e, ALWAYS, "VM-exit MSR-store count, in entries of 16 bytes";
            VM_EXIT_MSR_LOAD_COUNT = 0x4010, ALWAYS, "VM-exit MSR-load count, in entries of 16 bytes";
            VM_ENTRY_CONTROLS = 0x4012, ALWAYS, "VM-entry controls";
            VM_ENTRY_MSR_LOAD_COUNT = 0x4014, ALWAYS, "VM-entry MSR-load count, in entries of 16 bytes";
            VM_ENTRY_INTR_INFO_FIELD = 0x4016, ALWAYS, "VM-entry interruption-information field: the event to inject";
            VM_ENTRY_EXCEPTION_ERROR_CODE = 0x4018, ALWAYS, "VM-entry exception error code";
            VM_ENTRY_INSTRUCTION_LEN = 0x401a, ALWAYS, "VM-entry instruction length, in bytes";
            TPR_THRESHOLD = 0x401c, TPR_SHADOW, "TPR threshold";
            SECONDARY_VM_EXEC_CONTROL = 0x401e, SECONDARY, "Secondary processor-based VM-execution controls";
            PLE_GAP = 0x4020, PAUSE_LOOP, "PLE gap: the greatest distance, in TSC ticks, of two PAUSEs in one loop";
            PLE_WINDOW = 0x4022, PAUSE_LOOP, "PLE window: the time, in TSC ticks, that a PAUSE loop may run";
            NOTIFY_WINDOW = 0x4024, TIMEOUT, "Instruction-timeout control, in units of the core crystal clock";
            // 32-bit: read-only.
            VM_INSTRUCTION_ERROR = 0x4400, ALWAYS, "VM-instruction error";
            VM_EXIT_REASON = 0x4402, ALWAYS, "Exit reason";
            VM_EXIT_INTR_INFO = 0x4404, ALWAYS, "VM-exit interruption information";
            VM_EXIT_INTR_ERROR_CODE = 0x4406, ALWAYS, "VM-exit interruption error code";
            IDT_VECTORING_INFO_FIELD = 0x4408, ALWAYS, "IDT-vectoring information";
            IDT_VECTORING_ERROR_CODE = 0x440a, ALWAYS, "IDT-vectoring error code";
            VM_EXIT_INSTRUCTION_LEN = 0x440c, ALWAYS, "VM-exit instruction length, in bytes";
            VMX_INSTRUCTION_INFO = 0x440e, ALWAYS, "VM-exit instruction information";
            // 32-bit: guest.
            GUEST_ES_LIMIT = 0x4800, ALWAYS, "Guest ES limit";
            GUEST_CS_LIMIT = 0x4802, ALWAYS, "Guest CS limit";
            GUEST_SS_LIMIT = 0x4804, ALWAYS, "Guest SS limit";
            GUEST_DS_LIMIT = 0x4806, ALWAYS, "Guest DS limit";
            GUEST_FS_LIMIT = 0x4808, ALWAYS, "Guest FS limit";
            GUEST_GS_LIMIT = 0x480a, ALWAYS, "Guest GS limit";
            GUEST_LDTR_LIMIT = 0x480c, ALWAYS, "Guest LDTR limit";
            GUEST_TR_LIMIT = 0x480e, ALWAYS, "Guest TR limit";
            GUEST_GDTR_LIMIT = 0x4810, ALWAYS, "Guest GDTR limit";
            GUEST_IDTR_LIMIT = 0x4812, ALWAYS, "Guest IDTR limit";
            GUEST_ES_AR_BYTES = 0x4814, ALWAYS, "Guest ES access rights";
            GUEST_CS_AR_BYTES = 0x4816, ALWAYS, "Guest CS access rights";
            GUEST_SS_AR_BYTES = 0x4818, ALWAYS, "Guest SS access rights";
            GUEST_DS_AR_BYTES = 0x481a, ALWAYS, "Guest DS access rights";
            GUEST_FS_AR_BYTES = 0x481c, ALWAYS, "Guest FS access rights";
            GUEST_GS_AR_BYTES = 0x481e, ALWAYS, "Guest GS access rights";
            GUEST_LDTR_AR_BYTES = 0x4820, ALWAYS, "Guest LDTR access rights";
            GUEST_TR_AR_BYTES = 0x4822, ALWAYS, "Guest TR access rights";
            GUEST_INTERRUPTIBILITY_INFO = 0x4824, ALWAYS, "Guest interruptibility state";
            GUEST_ACTIVITY_STATE = 0x4826, ALWAYS, "Guest activity state";
            GUEST_SMBASE = 0x4828, ALWAYS, "Guest SMBASE";
            GUEST_SYSENTER_CS = 0x482a, ALWAYS, "Guest IA32_SYSENTER_CS";
            VMX_PREEMPTION_TIMER_VALUE = 0x482e, PREEMPTION_TIMER, "VMX-preemption timer value, in TSC ticks shifted right by the rate that IA32_VMX_MISC gives";
            // 32-bit: host.
            HOST_IA32_SYSENTER_CS = 0x4c00, ALWAYS, "Host IA32_SYSENTER_CS";
            // natural width: control.
            CR0_GUEST_HOST_MASK = 0x6000, ALWAYS, "CR0 guest/host mask: the bits that the host owns";
            CR4_GUEST_HOST_MASK = 0x6002, ALWAYS, "CR4 guest/host mask: the bits that the host owns";
            CR0_READ_SHADOW = 0x6004, ALWAYS, "CR0 read shadow";
            CR4_READ_SHADOW = 0x6006, ALWAYS, "CR4 read shadow";
            CR3_TARGET_VALUE0 = 0x6008, ALWAYS, "CR3-target value 0";
            CR3_TARGET_VALUE1 = 0x600a, ALWAYS, "CR3-target value 1";
            CR3_TARGET_VALUE2 = 0x600c, ALWAYS, "CR3-target value 2";
            CR3_TARGET_VALUE3 = 0x600e, ALWAYS, "CR3-target value 3";
            // natural width: read-only.
            EXIT_QUALIFICATION = 0x6400, ALWAYS, "Exit qualification";
            EXIT_IO_RCX = 0x6402, ALWAYS, "I/O RCX: RCX before the I/O instruction that an SMI followed";
            EXIT_IO_RSI = 0x6404, ALWAYS, "I/O RSI: RSI before the I/O instruction that an SMI followed";
            EXIT_IO_RDI = 0x6406, ALWAYS, "I/O RDI: RDI before the I/O instruction that an SMI followed";
            EXIT_IO_RIP = 0x6408, ALWAYS, "I/O RIP: RIP of the I/O instruction that an SMI followed";
            GUEST_LINEAR_ADDRESS = 0x640a, ALWAYS, "Guest-linear address of the access that caused the VM exit";
            // natural width: guest.
            GUEST_CR0 = 0x6800, ALWAYS, "Guest CR0";
            GUEST_CR3 = 0x6802, ALWAYS, "Guest CR3";
            GUEST_CR4 = 0x6804, ALWAYS, "Guest CR4";
            GUEST_ES_BASE = 0x6806, ALWAYS, "Guest ES base";
            GUEST_CS_BASE = 0x6808, ALWAYS, "Guest CS base";
            GUEST_SS_BASE = 0x680a, ALWAYS, "Guest SS base";
            GUEST_DS_BASE = 0x680c, ALWAYS, "Guest DS base";
            GUEST_FS_BASE = 0x680e, ALWAYS, "Guest FS base";
            GUEST_GS_BASE = 0x6810, ALWAYS, "Guest GS base";
            GUEST_LDTR_BASE = 0x6812, ALWAYS, "Guest LDTR base";
            GUEST_TR_BASE = 0x6814, ALWAYS, "Guest TR base";
            GUEST_GDTR_BASE = 0x6816, ALWAYS, "Guest GDTR base";
            GUEST_IDTR_BASE = 0x6818, ALWAYS, "Guest IDTR base";
            GUEST_DR7 = 0x681a, ALWAYS, "Guest DR7";
            GUEST_RSP = 0x681c, ALWAYS, "Guest RSP";
            GUEST_RIP = 0x681e, ALWAYS, "Guest RIP";
            GUEST_RFLAGS = 0x6820, ALWAYS, "Guest RFLAGS";
            GUEST_PENDING_DBG_EXCEPTIONS = 0x6822, ALWAYS, "Guest pending debug exceptions";
            GUEST_SYSENTER_ESP = 0x6824, ALWAYS, "Guest IA32_SYSENTER_ESP";
            GUEST_SYSENTER_EIP = 0x6826, ALWAYS, "Guest IA32_SYSENTER_EIP";
            GUEST_S_CET = 0x6828, GUEST_CET, "Guest IA32_S_CET";
            GUEST_SSP = 0x682a, GUEST_CET, "Guest SSP";
            GUEST_INTR_SSP_TABLE = 0x682c, GUEST_CET, "Guest IA32_INTERRUPT_SSP_TABLE_ADDR";
            // natural width: host.
            HOST_CR0 = 0x6c00, ALWAYS, "Host CR0";
            HOST_CR3 = 0x6c02, ALWAYS, "Host CR3";
            HOST_CR4 = 0x6c04, ALWAYS, "Host CR4";
            HOST_FS_BASE = 0x6c06, ALWAYS, "Host FS base";
            HOST_GS_BASE = 0x6c08, ALWAYS, "Host GS base";
            HOST_TR_BASE = 0x6c0a, ALWAYS, "Host TR base";
            HOST_GDTR_BASE = 0x6c0c, ALWAYS, "Host GDTR base";
            HOST_IDTR_BASE = 0x6c0e, ALWAYS, "Host IDTR base";
            HOST_IA32_SYSENTER_ESP = 0x6c10, ALWAYS, "Host IA32_SYSENTER_ESP";
            HOST_IA32_SYSENTER_EIP = 0x6c12, ALWAYS, "Host IA32_SYSENTER_EIP";
            HOST_RSP = 0x6c14, ALWAYS, "Host RSP";
            HOST_RIP = 0x6c16, ALWAYS, "Host RIP";
            HOST_S_CET = 0x6c18, HOST_CET, "Host IA32_S_CET";
            HOST_SSP = 0x6c1a, HOST_CET, "Host SSP";
            HOST_INTR_SSP_TABLE = 0x6c1c, HOST_CET, "Host IA32_INTERRUPT_SSP_TABLE_ADDR";
        }
    };
}
pub(super) use for_each_field;
