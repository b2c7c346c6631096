//! The default VMCS: a state that every processor enters, for each mode of L2.
//!
//! SDM: "VM-Execution Control Fields", "Checks on the Guest State Area", "Checks on VMX Controls and Host-State Area".

use crate::l2::{self, selector};
use rig_abi::{layout, script::Mode};
use x86_spec::{
    cr::{cr0, cr4, efer},
    vmx::{
        caps::Caps,
        controls::{Entry, Exit, Proc, Proc2, Word},
        field::Field,
    },
};

/// L1's own state, to which every VM exit returns.
#[derive(Clone, Copy, Debug, Default)]
pub struct Host {
    /// CR0.
    pub cr0: u64,
    /// CR3.
    pub cr3: u64,
    /// CR4.
    pub cr4: u64,
    /// Selector of CS.
    pub cs: u16,
    /// Selector of SS, DS and ES; FS and GS are null.
    pub data: u16,
    /// Selector of TR.
    pub tr: u16,
    /// Base of FS.
    pub fs_base: u64,
    /// Base of GS.
    pub gs_base: u64,
    /// Base of TR.
    pub tr_base: u64,
    /// Base of the GDT.
    pub gdtr: u64,
    /// Base of the IDT.
    pub idtr: u64,
    /// IA32_SYSENTER_CS, _ESP and _EIP.
    pub sysenter: [u64; 3],
    /// IA32_EFER.
    pub efer: u64,
    /// IA32_PAT.
    pub pat: u64,
    /// RSP at a VM exit.
    pub rsp: u64,
    /// RIP at a VM exit.
    pub rip: u64,
}

/// Fields whose value is the same in every mode. Those that the processor does not have are left out.
const CONSTANT: &[(Field, u64)] = &[
    // Controls.
    (Field::VIRTUAL_PROCESSOR_ID, 1),
    (Field::EXCEPTION_BITMAP, 0xffff_ffff),
    (Field::PAGE_FAULT_ERROR_CODE_MASK, 0),
    (Field::PAGE_FAULT_ERROR_CODE_MATCH, 0),
    (Field::CR3_TARGET_COUNT, 0),
    (Field::TSC_OFFSET, 0),
    (Field::TSC_MULTIPLIER, 1 << 48),
    (Field::TPR_THRESHOLD, 0),
    (Field::PLE_GAP, 0),
    (Field::PLE_WINDOW, 0),
    (Field::VM_FUNCTION_CONTROL, 0),
    (Field::XSS_EXIT_BITMAP, 0),
    (Field::TERTIARY_VM_EXEC_CONTROL, 0),
    (Field::SECONDARY_VM_EXIT_CONTROLS, 0),
    (Field::IO_BITMAP_A, layout::IO_BITMAP_A),
    (Field::IO_BITMAP_B, layout::IO_BITMAP_B),
    (Field::MSR_BITMAP, layout::MSR_BITMAP),
    (Field::VIRTUAL_APIC_PAGE_ADDR, layout::VAPIC_PAGE),
    (Field::APIC_ACCESS_ADDR, layout::APIC_ACCESS_PAGE),
    (Field::PML_ADDRESS, layout::PML_PAGE),
    (Field::GUEST_PML_INDEX, 511),
    (Field::VM_EXIT_MSR_STORE_COUNT, 0),
    (Field::VM_EXIT_MSR_STORE_ADDR, layout::MSR_STORE),
    (Field::VM_EXIT_MSR_LOAD_COUNT, 0),
    (Field::VM_EXIT_MSR_LOAD_ADDR, layout::MSR_LOAD),
    (Field::VM_ENTRY_MSR_LOAD_COUNT, 0),
    (Field::VM_ENTRY_MSR_LOAD_ADDR, layout::ENTRY_MSR_LOAD),
    (Field::VM_ENTRY_INTR_INFO_FIELD, 0),
    (Field::VM_ENTRY_EXCEPTION_ERROR_CODE, 0),
    (Field::VM_ENTRY_INSTRUCTION_LEN, 0),
    // Guest state.
    (Field::VMCS_LINK_POINTER, u64::MAX),
    (Field::GUEST_IA32_DEBUGCTL, 0),
    (Field::GUEST_IA32_PAT, PAT_AT_RESET),
    (Field::GUEST_IA32_PERF_GLOBAL_CTRL, 0),
    (Field::GUEST_BNDCFGS, 0),
    (Field::GUEST_INTR_STATUS, 0),
    (Field::GUEST_S_CET, 0),
    (Field::GUEST_SSP, 0),
    (Field::GUEST_INTR_SSP_TABLE, 0),
    (Field::GUEST_SYSENTER_CS, 0),
    (Field::GUEST_SYSENTER_ESP, 0),
    (Field::GUEST_SYSENTER_EIP, 0),
    (Field::GUEST_INTERRUPTIBILITY_INFO, 0),
    (Field::GUEST_ACTIVITY_STATE, 0),
    (Field::GUEST_PENDING_DBG_EXCEPTIONS, 0),
    (Field::VMX_PREEMPTION_TIMER_VALUE, 0),
    (Field::GUEST_DR7, 0x400),
    (Field::GUEST_RFLAGS, 2),
    (Field::GUEST_GDTR_BASE, layout::L2_GDT),
    (Field::GUEST_GDTR_LIMIT, l2::GDT_LIMIT),
    (Field::GUEST_LDTR_SELECTOR, 0),
    (Field::GUEST_LDTR_BASE, 0),
    (Field::GUEST_LDTR_LIMIT, 0),
    (Field::GUEST_LDTR_AR_BYTES, UNUSABLE),
    (Field::GUEST_TR_SELECTOR, selector::TSS as u64),
    (Field::GUEST_TR_BASE, layout::L2_TSS),
    (Field::GUEST_TR_LIMIT, l2::TSS_LIMIT),
    (Field::GUEST_TR_AR_BYTES, BUSY_TSS),
    // Host state that L1 does not use.
    (Field::HOST_IA32_PERF_GLOBAL_CTRL, 0),
    (Field::HOST_S_CET, 0),
    (Field::HOST_SSP, 0),
    (Field::HOST_INTR_SSP_TABLE, 0),
    (Field::HOST_FS_SELECTOR, 0),
    (Field::HOST_GS_SELECTOR, 0),
];

/// SDM: "IA32_PAT MSR", its value at reset.
const PAT_AT_RESET: u64 = 0x0007_0406_0007_0406;
/// Access rights. SDM: "Guest Register State", "Format of Access Rights".
const UNUSABLE: u64 = 1 << 16;
const BUSY_TSS: u64 = 0x8b;
const CODE64: u64 = 0xa09b;
const CODE32: u64 = 0xc09b;
const DATA32: u64 = 0xc093;
const CODE16: u64 = 0x9b;
const DATA16: u64 = 0x93;

/// Selector, base, limit and access rights of a guest segment register.
const SEGMENTS: [[Field; 4]; 6] = [
    [Field::GUEST_CS_SELECTOR, Field::GUEST_CS_BASE, Field::GUEST_CS_LIMIT, Field::GUEST_CS_AR_BYTES],
    [Field::GUEST_SS_SELECTOR, Field::GUEST_SS_BASE, Field::GUEST_SS_LIMIT, Field::GUEST_SS_AR_BYTES],
    [Field::GUEST_DS_SELECTOR, Field::GUEST_DS_BASE, Field::GUEST_DS_LIMIT, Field::GUEST_DS_AR_BYTES],
    [Field::GUEST_ES_SELECTOR, Field::GUEST_ES_BASE, Field::GUEST_ES_LIMIT, Field::GUEST_ES_AR_BYTES],
    [Field::GUEST_FS_SELECTOR, Field::GUEST_FS_BASE, Field::GUEST_FS_LIMIT, Field::GUEST_FS_AR_BYTES],
    [Field::GUEST_GS_SELECTOR, Field::GUEST_GS_BASE, Field::GUEST_GS_LIMIT, Field::GUEST_GS_AR_BYTES],
];

/// The EPTP of the default EPT.
pub fn eptp(caps: &Caps) -> u64 {
    const WALK_4: u64 = 3 << 3;
    layout::EPT | WALK_4 | if caps.ept_memory_wb() { 6 } else { 0 }
}

/// A control word: what is wanted as far as it is allowed, and what is required. SDM: "VMX Capability Reporting Facility".
fn adjust(caps: &Caps, word: Word, wanted: u64) -> u64 {
    wanted & caps.allowed1(word) | caps.allowed0(word)
}

/// Where real-mode code at a linear address runs: base of CS, and IP. The places for L2's code are segments of their own.
pub fn real_entry(entry: u64) -> Option<(u64, u64)> {
    let base = match layout::name_of(entry) {
        Some(("L2_IMAGE", _)) => layout::L2_IMAGE,
        Some(("L2_CODE", _)) => layout::L2_CODE,
        _ if entry < 1 << 20 => entry & !0xf,
        _ => return None,
    };
    Some((base, entry - base))
}

/// Gives `put` every field of the default state for a mode, with `entry` as L2's first instruction, until it returns an
/// error. Fields that the processor does not have are left out.
///
/// # Errors
///
/// `bad` if real mode cannot begin at that address; else what `put` says.
pub fn setup<E>(
    mode: Mode,
    entry: u64,
    host: &Host,
    caps: &Caps,
    bad: E,
    mut put: impl FnMut(Field, u64) -> Result<(), E>,
) -> Result<(), E> {
    let mut put = |field: Field, value: u64| if field.exists(caps) { put(field, value) } else { Ok(()) };
    let real = if mode == Mode::REAL { real_entry(entry).ok_or(bad)? } else { (0, entry) };
    for &(field, value) in CONSTANT {
        put(field, value)?;
    }

    let long = mode == Mode::LONG64;
    let unpaged = matches!(mode, Mode::REAL | Mode::PROTECTED);
    let proc = adjust(
        caps,
        Word::Proc,
        Proc::HLT_EXITING | Proc::UNCOND_IO_EXITING | Proc::ACTIVATE_SECONDARY_CONTROLS,
    );
    let mut proc2 = Proc2::ENABLE_EPT | Proc2::ENABLE_VPID | Proc2::ENABLE_RDTSCP | Proc2::ENABLE_INVPCID;
    if unpaged && caps.allows(Word::Proc2, Proc2::ENABLE_EPT) {
        proc2 |= Proc2::UNRESTRICTED_GUEST;
    }
    let proc2 = adjust(caps, Word::Proc2, proc2);
    let exit = Exit::HOST_ADDR_SPACE_SIZE | Exit::SAVE_IA32_EFER | Exit::LOAD_IA32_EFER;
    let entry_controls = Entry::LOAD_IA32_EFER | if long { Entry::IA32E_MODE } else { 0 };
    put(Word::Pin.field(), adjust(caps, Word::Pin, 0))?;
    put(Word::Proc.field(), proc)?;
    put(Word::Proc2.field(), proc2)?;
    put(Word::Exit.field(), adjust(caps, Word::Exit, exit))?;
    put(Word::Entry.field(), adjust(caps, Word::Entry, entry_controls))?;
    put(Field::EPT_POINTER, eptp(caps))?;

    // The bits that VMX operation fixes stay L1's; L2 sees them as they would be without VMX.
    let mut fixed = caps.cr0_fixed0;
    if proc2 & Proc2::UNRESTRICTED_GUEST != 0 {
        fixed &= !(cr0::PE | cr0::PG);
    }
    let own0 = cr0::ET
        | match mode {
            Mode::REAL => 0,
            Mode::PROTECTED => cr0::PE,
            _ => cr0::PE | cr0::WP | cr0::PG,
        };
    put(Field::GUEST_CR0, (own0 | fixed) & caps.cr0_fixed1)?;
    put(Field::CR0_GUEST_HOST_MASK, fixed)?;
    put(Field::CR0_READ_SHADOW, own0)?;
    let own4 = match mode {
        Mode::PAGED32 => cr4::PSE,
        Mode::PAE | Mode::LONG64 => cr4::PAE,
        _ => 0,
    };
    put(Field::GUEST_CR4, own4 | caps.cr4_fixed0)?;
    put(Field::CR4_GUEST_HOST_MASK, caps.cr4_fixed0 | cr4::VMXE)?;
    put(Field::CR4_READ_SHADOW, own4)?;
    put(Field::GUEST_CR3, l2::cr3(mode))?;
    put(Field::GUEST_IA32_EFER, if long { efer::LME | efer::LMA } else { 0 })?;
    let pdptes = [Field::GUEST_PDPTR0, Field::GUEST_PDPTR1, Field::GUEST_PDPTR2, Field::GUEST_PDPTR3];
    for (i, field) in pdptes.into_iter().enumerate() {
        put(field, if mode == Mode::PAE && i == 0 { l2::PDPTE0 } else { 0 })?;
    }

    let flat = |selector: u16, rights| [u64::from(selector), 0, 0xffff_ffff, rights];
    let tight = |base: u64, rights| [base >> 4, base, 0xffff, rights];
    let (code, stack, data) = match mode {
        Mode::REAL => {
            (tight(real.0, CODE16), tight(layout::L2_STACK, DATA16), tight(layout::L2_DATA, DATA16))
        }
        Mode::LONG64 => {
            (flat(selector::CODE64, CODE64), flat(selector::DATA, DATA32), flat(selector::DATA, DATA32))
        }
        _ => (flat(selector::CODE32, CODE32), flat(selector::DATA, DATA32), flat(selector::DATA, DATA32)),
    };
    for (fields, values) in SEGMENTS.into_iter().zip([code, stack, data, data, data, data]) {
        for (field, value) in fields.into_iter().zip(values) {
            put(field, value)?;
        }
    }
    put(Field::GUEST_IDTR_BASE, if mode == Mode::REAL { layout::L2_IVT } else { layout::L2_IDT })?;
    put(Field::GUEST_IDTR_LIMIT, l2::idt_limit(mode))?;
    let stack_base = if mode == Mode::REAL { layout::L2_STACK } else { 0 };
    put(Field::GUEST_RSP, layout::L2_STACK_TOP - stack_base)?;
    put(Field::GUEST_RIP, real.1)?;

    let data = u64::from(host.data);
    let [sysenter_cs, sysenter_esp, sysenter_eip] = host.sysenter;
    for (field, value) in [
        (Field::HOST_CR0, host.cr0),
        (Field::HOST_CR3, host.cr3),
        (Field::HOST_CR4, host.cr4),
        (Field::HOST_CS_SELECTOR, u64::from(host.cs)),
        (Field::HOST_SS_SELECTOR, data),
        (Field::HOST_DS_SELECTOR, data),
        (Field::HOST_ES_SELECTOR, data),
        (Field::HOST_TR_SELECTOR, u64::from(host.tr)),
        (Field::HOST_FS_BASE, host.fs_base),
        (Field::HOST_GS_BASE, host.gs_base),
        (Field::HOST_TR_BASE, host.tr_base),
        (Field::HOST_GDTR_BASE, host.gdtr),
        (Field::HOST_IDTR_BASE, host.idtr),
        (Field::HOST_IA32_SYSENTER_CS, sysenter_cs),
        (Field::HOST_IA32_SYSENTER_ESP, sysenter_esp),
        (Field::HOST_IA32_SYSENTER_EIP, sysenter_eip),
        (Field::HOST_IA32_EFER, host.efer),
        (Field::HOST_IA32_PAT, host.pat),
        (Field::HOST_RSP, host.rsp),
        (Field::HOST_RIP, host.rip),
    ] {
        put(field, value)?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "vmcs/tests.rs"]
mod tests;
