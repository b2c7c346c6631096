//! Tiny L1s in raw bytes, and what every engine must make of them.

use l0_vmm::{
    engine::{End, Engine, Job, Limit, Limits, Nested, Run, Script},
    image::{Image, Segment},
    profile,
    trace::{Damage, Record},
};
use rig_abi::{layout, port, record};
use std::{path::Path, sync::Arc, time::Duration};
use x86_ref::Profile;
use zerocopy::IntoBytes;

pub fn profile() -> Arc<Profile> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/profiles/skylake_server.toml");
    Arc::new(profile::load(&path).unwrap())
}

/// Code with its data behind it, and the places of sensitive instructions.
#[derive(Default)]
pub struct Code {
    bytes: Vec<u8>,
    sensitive: Vec<u64>,
}

impl Code {
    /// Any bytes.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// An instruction that is marked as sensitive.
    pub fn sensitive(mut self, bytes: &[u8]) -> Self {
        self.sensitive.push(layout::L1_IMAGE + self.bytes.len() as u64);
        self.raw(bytes)
    }

    /// MOV r64, imm64 with the register's number (up to 7).
    pub fn load(self, register: u8, value: u64) -> Self {
        self.raw(&[0x48, 0xb8 + register]).raw(&value.to_le_bytes())
    }

    /// OUT imm8, EAX.
    pub fn out(self, port: u16) -> Self {
        self.raw(&[0xe7, port as u8])
    }

    /// Writes EAX to the exit port.
    pub fn exit(self) -> Self {
        self.out(port::EXIT).raw(&[0xf4])
    }

    /// Writes this to the exit port.
    pub fn exit_with(self, code: u32) -> Self {
        self.load(0, code.into()).exit()
    }

    /// Copies bytes into the ring. They lie in the code, which jumps over them.
    pub fn fill_ring(self, data: &[u8]) -> Self {
        let jump = [0xe9_u8].into_iter().chain((data.len() as u32).to_le_bytes()).collect::<Vec<_>>();
        let code = self.raw(&jump);
        let at = layout::L1_IMAGE + code.bytes.len() as u64;
        let code = code.raw(data);
        // REP MOVSB
        code.load(6, at).load(7, layout::RING).load(1, data.len() as u64).raw(&[0xf3, 0xa4])
    }

    /// Rings the doorbell for so many bytes.
    pub fn doorbell(self, len: usize) -> Self {
        self.load(0, len as u64).out(port::DOORBELL)
    }

    pub fn run(self, engine: &mut dyn Engine) -> Run {
        self.run_within(engine, Limits { instructions: 1_000_000, wall: Duration::from_secs(10) })
    }

    pub fn run_within(self, engine: &mut dyn Engine, limits: Limits) -> Run {
        let image = |address, bytes: Vec<u8>, sensitive| {
            let size = bytes.len() as u64;
            let segment = Segment { address, bytes, size, executable: true, writable: false };
            Arc::new(Image { segments: vec![segment], entry: address, symbols: Vec::new(), sensitive })
        };
        let l1 = image(layout::L1_IMAGE, self.bytes, self.sensitive);
        let l2 = image(layout::L2_IMAGE, vec![0xf4], Vec::new());
        let run = engine.run(&Job { l1, l2, script: Script::default(), limits }).unwrap();
        assert!(run.stats.wall < limits.wall + Duration::from_secs(5), "{:?}", run.stats);
        run
    }
}

/// A record of that number.
pub fn record_bytes(seq: u32) -> Vec<u8> {
    let header = record::Header { magic: record::MAGIC, kind: record::Kind::END.0, len: 32, seq, step: seq };
    let body = record::EndRecord { steps: u64::from(seq), records: 7 };
    [header.as_bytes(), body.as_bytes()].concat()
}

#[track_caller]
fn finished(run: &Run, code: u32) {
    assert_eq!(run.end, End::Finished { code }, "{:#?}", run.l0_track);
    assert_eq!(run.damage, None);
}

/// Everything that does not depend on the engine.
pub fn check(engine: &mut dyn Engine) {
    println!("on {}", engine.describe());
    exit_code(engine);
    start_state(engine);
    records(engine);
    rubbish(engine);
    text(engine);
    nobody(engine);
    shutdown(engine);
    halted(engine);
    endless(engine);
    not_modelled(engine);
    vmx_by_the_kernel_or_by_the_assist(engine);
    cr4_reads_back_as_written(engine);
    sensitive_outside_vmx(engine);
    vector_instructions_keep_their_registers(engine);
}

fn exit_code(engine: &mut dyn Engine) {
    let run = Code::default().exit_with(0xdead_beef).run(engine);
    finished(&run, 0xdead_beef);
    assert!(run.records.is_empty() && run.debug.is_empty());
}

/// RDI is the boot information, whose first bytes are the magic number; the stack can be anywhere below 4 GiB.
fn start_state(engine: &mut dyn Engine) {
    // mov eax, [rdi]
    let run = Code::default().raw(&[0x8b, 0x07]).exit().run(engine);
    finished(&run, rig_abi::boot::MAGIC as u32);
    // lea rsp, [rdi + 0x7f8]; push 0x11; pushfq; pop rax
    let run =
        Code::default().raw(&[0x48, 0x8d, 0xa7, 0xf8, 7, 0, 0, 0x6a, 0x11, 0x9c, 0x58]).exit().run(engine);
    finished(&run, 2);
}

fn records(engine: &mut dyn Engine) {
    let two = [record_bytes(0), record_bytes(1)].concat();
    let one = record_bytes(2);
    // The third one without a doorbell: it must not be lost.
    let run = Code::default().fill_ring(&two).doorbell(two.len()).fill_ring(&one).exit_with(3).run(engine);
    finished(&run, 3);
    assert_eq!(run.records.len(), 3);
    assert!(matches!(&run.records[2], Record::End { header, body } if header.step == 2 && body.steps == 2));
    // Nor when L1 dies: UD2 without an interrupt table.
    let run = Code::default().fill_ring(&two).raw(&[0x0f, 0x0b]).run(engine);
    assert_eq!((run.end, run.records.len()), (End::Shutdown, 2));
}

fn rubbish(engine: &mut dyn Engine) {
    let bytes = [record_bytes(0), vec![0xee; 32]].concat();
    let run = Code::default().fill_ring(&bytes).doorbell(bytes.len()).exit_with(1).run(engine);
    assert_eq!((run.end, run.records.len()), (End::Finished { code: 1 }, 1));
    let damage = run.damage.unwrap();
    assert_eq!((damage.offset, damage.seq, damage.damage), (32, 1, Damage::Magic(0xeeee)));
    let run = Code::default().doorbell(0x7fff_ffff).exit_with(2).run(engine);
    assert_eq!(run.end, End::Finished { code: 2 });
    assert_eq!(run.damage.unwrap().damage, Damage::Doorbell(0x7fff_ffff));
}

fn text(engine: &mut dyn Engine) {
    // mov al, 'h'; out 0xe9, al; then "ello" by REP OUTSB, which may come as one exit.
    let code = Code::default().raw(&[0xb0, b'h', 0xe6, 0xe9]).fill_ring(b"ello");
    let code = code.load(6, layout::RING).load(1, 4).load(2, port::DEBUG.into()).raw(&[0xf3, 0x6e]);
    let run = code.exit_with(0).run(engine);
    finished(&run, 0);
    assert_eq!(run.debug, b"hello");
}

fn nobody(engine: &mut dyn Engine) {
    // mov eax, 0x1234; in ax, 0x60
    let run = Code::default().load(0, 0x1234_5678).raw(&[0x66, 0xe5, 0x60]).exit().run(engine);
    finished(&run, 0x1234_ffff);
    // mov eax, [rbx]
    let run = Code::default().load(3, 0xfee0_0000).raw(&[0x8b, 0x03]).exit().run(engine);
    finished(&run, u32::MAX);
}

fn shutdown(engine: &mut dyn Engine) {
    for fault in [&[0x0f, 0x0b][..], &[0xcc], &[0xcd, 0x21]] {
        let run = Code::default().raw(fault).exit_with(0).run(engine);
        assert_eq!(run.end, End::Shutdown, "{fault:02x?}");
    }
}

fn halted(engine: &mut dyn Engine) {
    let run = Code::default().raw(&[0x90, 0xf4]).run(engine);
    assert_eq!(run.end, End::Halted { rip: layout::L1_IMAGE + 2 });
}

fn endless(engine: &mut dyn Engine) {
    let limits = Limits { instructions: 100_000, wall: Duration::from_millis(200) };
    let run = Code::default().fill_ring(&record_bytes(0)).raw(&[0xeb, 0xfe]).run_within(engine, limits);
    let End::Budget { limit } = run.end else { panic!("{:?}", run.end) };
    assert!([Limit::Instructions(100_000), Limit::Wall(limits.wall)].contains(&limit));
    assert_eq!(run.records.len(), 1);
}

/// EMMS: an engine may do it or say that it cannot, but not blame the guest.
fn not_modelled(engine: &mut dyn Engine) {
    let run = Code::default().raw(&[0x0f, 0x77]).exit_with(0).run(engine);
    match run.end {
        End::Finished { code: 0 } => {}
        End::Unsupported { rip, bytes, .. } => {
            assert_eq!((rip, &bytes[..2]), (layout::L1_IMAGE, [0x0f, 0x77].as_slice()));
        }
        other => panic!("{other:?}"),
    }
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

fn vmx_by_the_kernel_or_by_the_assist(engine: &mut dyn Engine) {
    // vmxoff; mov eax, ebp
    let run = vmx(|c| c.sensitive(&[0x0f, 0x01, 0xc4]).raw(&[0x89, 0xe8]).exit()).run(engine);
    // VMsucceed: no flag but the one that is always set.
    assert_eq!(run.end, End::Finished { code: 2 }, "{:#?}", run.l0_track);
    assert_eq!(run.stats.assists, if engine.nested() == Nested::Assisted { 5 } else { 0 });
}

fn cr4_reads_back_as_written(engine: &mut dyn Engine) {
    let run = vmx(|c| c.sensitive(&[0x0f, 0x20, 0xe0]).exit()).run(engine);
    assert_eq!(run.end, End::Finished { code: 0x2620 });
}

fn sensitive_outside_vmx(engine: &mut dyn Engine) {
    // After VMXOFF outside VMX operation, #UD without an interrupt table: L1's doing, not the engine's.
    let run = Code::default().sensitive(&[0x0f, 0x01, 0xc4]).exit_with(0).run(engine);
    assert_eq!(run.end, End::Shutdown);
}

/// XORPS and MOVD, which KVM's own emulator may not know: XMM registers must survive whoever executes them.
fn vector_instructions_keep_their_registers(engine: &mut dyn Engine) {
    let code = Code::default()
        .load(0, 0x1234_5678)
        // movd xmm1, eax; xorps xmm2, xmm2; orps xmm2, xmm1; movaps xmm3, xmm2; movd eax, xmm3
        .raw(&[
            0x66, 0x0f, 0x6e, 0xc8, 0x0f, 0x57, 0xd2, 0x0f, 0x56, 0xd1, 0x0f, 0x28, 0xda, 0x66, 0x0f, 0x7e,
            0xd8,
        ]);
    let run = code.exit().run(engine);
    assert_eq!(run.end, End::Finished { code: 0x1234_5678 }, "{:#?}", run.l0_track);
}
