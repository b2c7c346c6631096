//! `/dev/kvm` on tiny L1s. Where it cannot be used the tests say why, and fail if `NESTRIG_REQUIRE` names `kvm`.

mod common;

use common::{Code, check, profile};
use l0_vmm::engine::{End, Engine, EngineKind, Nested, open};
use rig_abi::layout;

fn engine() -> Option<Box<dyn Engine>> {
    match open(EngineKind::Kvm, profile()) {
        Ok(engine) => Some(engine),
        Err(why) => {
            let required = std::env::var("NESTRIG_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|r| r.trim() == "kvm"), "NESTRIG_REQUIRE={required}, but {why}");
            eprintln!("not run: {why}");
            None
        }
    }
}

#[test]
fn tiny_l1s() {
    let Some(mut engine) = engine() else { return };
    assert_eq!(engine.kind(), EngineKind::Kvm);
    check(&mut *engine);
}

/// MOV to CR4 with VMXE set, VMXON, VMXOFF: then what `tail` does.
fn vmx(tail: impl FnOnce(Code) -> Code) -> Code {
    let code = Code::default()
        // rdmsr of IA32_VMX_BASIC; mov [rbx], eax: the region's revision
        .load(1, 0x480)
        .sensitive(&[0x0f, 0x32])
        .load(3, layout::VMXON_REGION)
        .raw(&[0x89, 0x03])
        // mov rax, cr4; or eax, 0x2000; mov cr4, rax
        .sensitive(&[0x0f, 0x20, 0xe0])
        .raw(&[0x0d, 0, 0x20, 0, 0])
        .sensitive(&[0x0f, 0x22, 0xe0])
        // lea rsp, [rdi + 0x7f8]; push rbx; vmxon [rsp]; pushfq; pop rbp
        .raw(&[0x48, 0x8d, 0xa7, 0xf8, 7, 0, 0, 0x53])
        .sensitive(&[0xf3, 0x0f, 0xc7, 0x34, 0x24])
        .raw(&[0x9c, 0x5d]);
    tail(code)
}

#[test]
fn vmx_by_the_kernel_or_by_the_assist() {
    let Some(mut engine) = engine() else { return };
    // vmxoff; mov eax, ebp
    let run = vmx(|c| c.sensitive(&[0x0f, 0x01, 0xc4]).raw(&[0x89, 0xe8]).exit()).run(&mut *engine);
    // VMsucceed: no flag but the one that is always set.
    assert_eq!(run.end, End::Finished { code: 2 }, "{:#?}", run.l0_track);
    assert_eq!(run.stats.assists, if engine.nested() == Nested::Assisted { 5 } else { 0 });
}

#[test]
fn cr4_reads_back_as_written() {
    let Some(mut engine) = engine() else { return };
    let run = vmx(|c| c.sensitive(&[0x0f, 0x20, 0xe0]).exit()).run(&mut *engine);
    assert_eq!(run.end, End::Finished { code: 0x2620 });
}

#[test]
fn a_planted_instruction_reads_as_it_was() {
    let Some(mut engine) = engine() else { return };
    // After VMXOFF outside VMX operation, #UD without an interrupt table: L1's doing, not the engine's.
    let run = Code::default().sensitive(&[0x0f, 0x01, 0xc4]).exit_with(0).run(&mut *engine);
    assert_eq!(run.end, End::Shutdown);
}

/// XORPS and MOVD, which KVM's own emulator may not know: XMM registers must survive whoever executes them.
#[test]
fn vector_instructions_keep_their_registers() {
    let Some(mut engine) = engine() else { return };
    let code = Code::default()
        .load(0, 0x1234_5678)
        // movd xmm1, eax; xorps xmm2, xmm2; orps xmm2, xmm1; movaps xmm3, xmm2; movd eax, xmm3
        .raw(&[
            0x66, 0x0f, 0x6e, 0xc8, 0x0f, 0x57, 0xd2, 0x0f, 0x56, 0xd1, 0x0f, 0x28, 0xda, 0x66, 0x0f, 0x7e,
            0xd8,
        ]);
    let run = code.exit().run(&mut *engine);
    assert_eq!(run.end, End::Finished { code: 0x1234_5678 }, "{:#?}", run.l0_track);
}

/// What an assist costs: a loop over MOV from CR4.
#[test]
fn an_assist_takes_microseconds() {
    const ROUNDS: u32 = 5_000;
    let Some(mut engine) = engine() else { return };
    // mov ebx, ROUNDS; mov rax, cr4; dec ebx; jnz
    let code =
        Code::default().load(3, ROUNDS.into()).sensitive(&[0x0f, 0x20, 0xe0]).raw(&[0xff, 0xcb, 0x75, 0xf9]);
    let run = code.exit_with(0).run(&mut *engine);
    assert_eq!(run.end, End::Finished { code: 0 });
    if engine.nested() == Nested::Assisted {
        assert_eq!(run.stats.assists, u64::from(ROUNDS));
        let each = |time: std::time::Duration| time / ROUNDS;
        println!(
            "an assist: {:?}, of that {:?} on the reference CPU",
            each(run.stats.wall),
            each(run.stats.assist_wall)
        );
    }
}
