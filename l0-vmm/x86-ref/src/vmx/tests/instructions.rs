//! Errors of the VMX instructions.

use super::*;
use x86_spec::{
    vector,
    vmx::{controls::Word, field::Kind},
};

#[test]
fn vmxon() {
    let mut rig = Rig::new();
    assert_eq!(rig.fault(INSN_VMXOFF), Some(vector::UD), "outside VMX operation");
    rig.cpu.cr4 &= !cr4::VMXE;
    assert_eq!(rig.fault(INSN_VMXON), Some(vector::UD));
    rig.cpu.cr4 |= cr4::VMXE;
    rig.cpu.cpl = 3;
    assert_eq!(rig.fault(INSN_VMXON), Some(vector::GP));
    rig.cpu.cpl = 0;
    rig.cpu.msr.feature_control = 4;
    assert_eq!(rig.fault(INSN_VMXON), Some(vector::GP), "not locked");
    rig.cpu.msr.feature_control = 1;
    assert_eq!(rig.fault(INSN_VMXON), Some(vector::GP), "locked without VMX");
    rig.cpu.msr.feature_control = 5;
    rig.cpu.cr0 &= !cr0::NE;
    assert_eq!(rig.fault(INSN_VMXON), Some(vector::GP), "CR0.NE is fixed to 1");
    rig.cpu.cr0 |= cr0::NE;
    assert_eq!(rig.vmxon(VMXON + 8), 1, "misaligned");
    assert_eq!(rig.vmxon(1 << 39), 1, "beyond the physical-address width");
    assert_eq!(rig.vmxon(L1_DATA), 1, "wrong revision");
    rig.write(VMXON, &(REVISION | 1 << 31).to_le_bytes());
    assert_eq!(rig.vmxon(VMXON), 1, "bit 31");
    rig.write(VMXON, &REVISION.to_le_bytes());
    assert_eq!(rig.vmxon(VMXON), 0);
    assert_eq!(rig.vmxon(VMXON), 1, "again, without a current VMCS");
    assert_eq!(rig.vmptrld(VMCS), 0);
    assert_eq!(rig.vmxon(VMXON), 0x100 + 15, "again, with a current VMCS");
    assert_eq!(rig.insn(INSN_VMCALL), None);
    assert_eq!(rig.outcome(), 0x100 + 1);
    assert_eq!(rig.insn(INSN_VMXOFF), None);
    assert_eq!(rig.fault(INSN_VMXOFF), Some(vector::UD));
}

#[test]
fn cr_bits_are_fixed_in_vmx_operation() {
    let mut rig = Rig::new();
    assert!(rig.cpu.cr_fixed_ok(4, cr4::PAE));
    assert_eq!(rig.vmxon(VMXON), 0);
    assert!(!rig.cpu.cr_fixed_ok(4, cr4::PAE));
    assert!(rig.cpu.cr_fixed_ok(4, cr4::PAE | cr4::VMXE));
    assert!(!rig.cpu.cr_fixed_ok(0, cr0::PE | cr0::NE));
}

#[test]
fn vmclear_vmptrld_vmptrst() {
    let mut rig = Rig::new();
    assert_eq!(rig.vmxon(VMXON), 0);
    assert_eq!(rig.pointer(INSN_VMPTRST, 7), None);
    assert_eq!(rig.read(L1_DATA), u64::MAX);
    assert_eq!(rig.vmclear(VMCS + 1), 1, "VMfailInvalid without a current VMCS");
    assert_eq!(rig.vmptrld(VMCS), 0);
    assert_eq!(rig.vmclear(VMCS + 1), 0x100 + 2);
    assert_eq!(rig.vmclear(1 << 39), 0x100 + 2);
    assert_eq!(rig.vmclear(VMXON), 0x100 + 3);
    assert_eq!(rig.vmptrld(VMCS2 + 0x800), 0x100 + 9);
    assert_eq!(rig.vmptrld(1 << 40), 0x100 + 9);
    assert_eq!(rig.vmptrld(VMXON), 0x100 + 10);
    assert_eq!(rig.vmptrld(L1_DATA), 0x100 + 11);
    assert_eq!(rig.pointer(INSN_VMPTRST, 7), None);
    assert_eq!(rig.read(L1_DATA), VMCS);
    assert_eq!(rig.vmclear(VMCS), 0);
    assert_eq!(rig.pointer(INSN_VMPTRST, 7), None);
    assert_eq!(rig.read(L1_DATA), u64::MAX, "VMCLEAR of the current VMCS leaves none");
}

#[test]
fn shadow_bit_needs_the_capability() {
    let mut none = caps();
    none.proc2 &= !(Proc2::SHADOW_VMCS << 32);
    for (caps, expected) in [(caps(), 0), (none, 1)] {
        let mut rig = Rig::with(caps);
        rig.write(VMCS, &(REVISION | 1 << 31).to_le_bytes());
        assert_eq!(rig.vmxon(VMXON), 0);
        assert_eq!(rig.vmptrld(VMCS), expected);
        assert_eq!(rig.insn(INSN_VMLAUNCH), None);
        assert_eq!(rig.outcome(), 1, "a shadow VMCS cannot be entered");
    }
}

#[test]
fn every_field() {
    let mut rig = Rig::new();
    assert_eq!(rig.vmxon(VMXON), 0);
    assert_eq!(rig.vmread(0x681e), Err(1), "no current VMCS");
    assert_eq!(rig.vmptrld(VMCS), 0);
    for field in Field::ALL {
        let encoding = u64::from(field.encoding());
        if !field.exists(&caps()) {
            assert_eq!(rig.vmread(encoding), Err(0x100 + 12), "{field}");
            assert_eq!(rig.vmwrite(encoding, 1), 0x100 + 12, "{field}");
            continue;
        }
        if field.kind() == Kind::ReadOnly {
            assert_eq!(rig.vmwrite(encoding, 1), 0x100 + 13, "{field}");
            assert!(rig.vmread(encoding).is_ok());
            continue;
        }
        let value = 0x8877_6655_4433_2211 ^ encoding;
        assert_eq!(rig.vmwrite(encoding, value), 0);
        assert_eq!(rig.vmread(encoding), Ok(value & field.mask()), "{field}");
        if encoding >> 13 & 3 == 1 {
            assert_eq!(rig.vmread(encoding | 1), Ok(value >> 32), "{field} high");
            assert_eq!(rig.vmwrite(encoding | 1, 0xffff_ffff_0123_4567), 0);
            assert_eq!(rig.vmread(encoding), Ok(value & 0xffff_ffff | 0x0123_4567 << 32), "{field}");
        } else {
            assert_eq!(rig.vmread(encoding | 1), Err(0x100 + 12));
        }
    }
    assert_eq!(rig.vmread(0x1_0000_681e), Err(0x100 + 12), "bits 63:32 of the operand");
    assert_eq!(rig.vmread(0x6830), Err(0x100 + 12));
}

#[test]
fn read_only_fields_can_be_writable() {
    let mut caps = caps();
    caps.misc |= 1 << 29;
    let mut rig = Rig::with(caps);
    assert_eq!(rig.vmxon(VMXON), 0);
    assert_eq!(rig.vmptrld(VMCS), 0);
    rig.set(Field::VM_EXIT_REASON, 99);
    assert_eq!(rig.field(Field::VM_EXIT_REASON), 99);
}

#[test]
fn fields_survive_in_the_region() {
    let mut rig = Rig::new();
    assert_eq!(rig.vmxon(VMXON), 0);
    assert_eq!(rig.vmptrld(VMCS), 0);
    rig.set(Field::GUEST_RIP, 1);
    assert_eq!(rig.vmptrld(VMCS2), 0);
    rig.set(Field::GUEST_RIP, 2);
    assert_eq!(rig.vmptrld(VMCS), 0);
    assert_eq!(rig.field(Field::GUEST_RIP), 1);
    assert_eq!(rig.insn(INSN_VMXOFF), None);
    assert_eq!(rig.vmxon(VMXON), 0);
    assert_eq!(rig.vmptrld(VMCS2), 0);
    assert_eq!(rig.field(Field::GUEST_RIP), 2);
}

#[test]
fn invalidation() {
    let mut rig = Rig::ready();
    rig.cpu.r[gpr::RCX] = L1_DATA;
    let mut run = |insn: &[u8], kind: u64, low: u64, high: u64| {
        rig.cpu.r[gpr::RAX] = kind;
        rig.write(L1_DATA, &low.to_le_bytes());
        rig.write(L1_DATA + 8, &high.to_le_bytes());
        assert_eq!(rig.insn(insn), None);
        rig.outcome()
    };
    let invept = b"\x66\x0f\x38\x80\x01".as_slice();
    let invvpid = b"\x66\x0f\x38\x81\x01".as_slice();
    assert_eq!(run(invept, 1, EPT | 6 | 3 << 3, 0), 0);
    assert_eq!(run(invept, 1, EPT | 5 | 3 << 3, 0), 0x100 + 28, "memory type");
    assert_eq!(run(invept, 2, 0, 0), 0);
    assert_eq!(run(invept, 3, 0, 0), 0x100 + 28);
    assert_eq!(run(invvpid, 0, 1, 0x1000), 0);
    assert_eq!(run(invvpid, 0, 1, 1 << 63), 0x100 + 28, "not canonical");
    assert_eq!(run(invvpid, 1, 0, 0), 0x100 + 28, "VPID 0");
    assert_eq!(run(invvpid, 1, 0x1_0001, 0), 0x100 + 28, "reserved bits");
    assert_eq!(run(invvpid, 2, 0, 0), 0);
    assert_eq!(run(invvpid, 4, 1, 0), 0x100 + 28);
}

#[test]
fn capability_msrs() {
    let rig = Rig::new();
    assert_eq!(rig.cpu.vmx_msr(0x480), Some(caps().basic));
    assert_eq!(rig.cpu.vmx_msr(0x493), None, "no secondary exit controls");
    assert!(!caps().allows(Word::Exit, Exit::ACTIVATE_SECONDARY_CONTROLS));
    assert_eq!(Rig::with(Caps::NONE).cpu.vmx_msr(0x48b), None);
}
