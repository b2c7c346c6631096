use crate::{Stop, testing::*};
use x86_spec::vector;

/// Where the machine's mapping, and with it its memory, ends.
const END: u64 = 0x20_0000;

/// Runs bytes up to the end of what is mapped.
fn at_the_end(bytes: &[u8]) -> (Machine, Stop) {
    let mut m = Machine::new(Start::Long);
    let at = END - bytes.len() as u64;
    m.write(at, bytes);
    m.cpu.rip = at;
    let stop = m.cpu.run(10);
    (m, stop)
}

/// So many prefixes, then an instruction.
fn prefixed(prefixes: usize, prefix: u8, insn: &[u8]) -> Vec<u8> {
    [&vec![prefix; prefixes], insn].concat()
}

#[test]
fn more_than_15_bytes() {
    // CS and operand size before NOP; ADD AX, imm16; MOV RAX, imm64; LOCK, which alone is #UD behind 15 bytes.
    let [nop, add, mov, lock]: [&[u8]; 4] =
        [b"\x90\xf4", b"\x05\x01\x00\xf4", b"\x48\xb8\x01\x02\x03\x04\x05\x06\x07\x08\xf4", b"\xf0\x90\xf4"];
    for (length, prefix, insn) in [(1, 0x2e, nop), (1, 0x66, nop), (3, 0x66, add), (10, 0x2e, mov)] {
        let mut m = Machine::new(Start::Long);
        let stop = m.run_bytes(&prefixed(15 - length, prefix, insn));
        assert_eq!((stop, m.cpu.rip), (Stop::Halted, CODE + 16), "{insn:02x?}");
        let mut m = Machine::new(Start::Long);
        let stop = m.run_bytes(&prefixed(16 - length, prefix, insn));
        m.faulted(stop, vector::GP, 0);
        assert_eq!(m.slot(1), CODE);
    }
    // An operand-size prefix that makes the instruction longer.
    let mut m = Machine::new(Start::Real);
    let at = m.cpu.rip;
    let stop = m.run_bytes(&[b"\x66", prefixed(10, 0x2e, b"\x05\x01\x00\x00\x00\xf4").as_slice()].concat());
    assert_eq!((m.vector(&stop), m.slot(0)), (vector::GP, at));
    for (prefixes, expected) in [(13, vector::UD), (14, vector::GP)] {
        let mut m = Machine::new(Start::Long);
        let stop = m.run_bytes(&prefixed(prefixes, 0x2e, lock));
        assert_eq!(m.vector(&stop), expected);
    }
}

#[test]
fn undefined_opcodes_of_15_bytes() {
    for (prefixes, expected) in [(12, vector::UD), (13, vector::UD), (14, vector::GP)] {
        let mut m = Machine::new(Start::Long);
        // Group 5 has no member 7.
        let stop = m.run_bytes(&prefixed(prefixes, 0x3e, b"\xff\xff"));
        assert_eq!(m.vector(&stop), expected, "{prefixes}");
    }
}

#[test]
fn the_16th_byte_is_not_fetched() {
    let (m, stop) = at_the_end(&[0x2e; 15]);
    m.faulted(stop, vector::GP, 0);
    // The 15th is.
    let (m, stop) = at_the_end(&[0x2e; 14]);
    assert_eq!((m.vector(&stop), m.cpu.cr2), (vector::PF, END));
    // An instruction that ends where the page does is whole.
    let (m, stop) = at_the_end(&prefixed(14, 0x2e, b"\xf4"));
    assert_eq!((stop, m.cpu.rip), (Stop::Halted, END));
}
