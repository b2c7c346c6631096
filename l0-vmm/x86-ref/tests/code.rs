//! Decoded code follows what memory holds: writes by others, by the code itself, and by page tables that change.

mod machine;

use machine::{CODE, CODE_AT, DATA, DATA_AT, Machine, Width, hex};
use x86_ref::{Cpu, Stop};

/// Page-table entry of the second page of code: the table is the last one made for the code.
fn second_page_entry(machine: &Machine) -> u64 {
    let mut table = 0x1000;
    for shift in [39, 30, 21] {
        table = machine.read_u64(table + (CODE >> shift & 511) * 8) & !0xfff;
    }
    table + (CODE >> 12 & 511) * 8 + 8
}

#[test]
fn another_owner_of_the_memory_changes_code() {
    for tell in [Cpu::memory_changed, Cpu::memory_written] as [fn(&mut Cpu); 2] {
        // 1: add rbx, 1; jmp 1b
        let mut machine = Machine::new(Width::Long, &hex("4883c301ebfa"));
        assert_eq!(machine.cpu.run(20), Stop::Budget);
        assert_eq!(machine.cpu.state().gpr[3], 17);
        machine.write(CODE_AT + 3, &[2]);
        tell(&mut machine.cpu);
        assert_eq!(machine.cpu.run(20), Stop::Budget);
        assert_eq!(machine.cpu.state().gpr[3], 37);
        // And nothing changed.
        tell(&mut machine.cpu);
        assert_eq!(machine.cpu.run(20), Stop::Budget);
        assert_eq!(machine.cpu.state().gpr[3], 57);
    }
}

#[test]
fn an_instruction_over_two_pages_follows_both() {
    // At the end of the page: mov eax, imm32 with two bytes of the immediate on the next; jmp to itself.
    let mut machine = Machine::new(Width::Long, &[]);
    machine.write(CODE_AT + 0xffd, &hex("b811223344ebf9"));
    machine.write(CODE_AT + 0x2000, &hex("5566ebf9"));
    let mut state = machine.cpu.state();
    state.rip = CODE + 0xffd;
    machine.cpu.set_state(&state);
    assert_eq!(machine.cpu.run(10), Stop::Budget);
    assert_eq!(machine.cpu.state().gpr[0], 0x4433_2211);
    let entry = second_page_entry(&machine);
    machine.write(entry, &(CODE_AT + 0x2007).to_le_bytes());
    machine.cpu.memory_changed();
    assert_eq!(machine.cpu.run(10), Stop::Budget);
    assert_eq!(machine.cpu.state().gpr[0], 0x6655_2211);
}

#[test]
fn code_that_is_written_through_another_mapping() {
    // mov byte ptr [rdi+0x3003], 5 (the data page is mapped onto the code); jmp over nothing; add rbx, 1
    let mut machine = Machine::new(Width::Long, &hex("4883c301c687033000000548ffc975f1f4"));
    let mut state = machine.cpu.state();
    state.gpr[1] = 3;
    machine.cpu.set_state(&state);
    // Map the fourth data page onto the code.
    let mut table = 0x1000;
    for shift in [39, 30, 21] {
        table = machine.read_u64(table + (DATA >> shift & 511) * 8) & !0xfff;
    }
    let entry = table + (DATA >> 12 & 511) * 8 + 3 * 8;
    assert_eq!(machine.read_u64(entry) & !0xfff, DATA_AT + 0x3000);
    machine.write(entry, &(CODE_AT | 7).to_le_bytes());
    assert_eq!(machine.cpu.run(12), Stop::Budget);
    assert_eq!(machine.cpu.state().gpr[3], 7 + 1 + 5 + 5);
}

#[test]
fn data_beside_code_is_written_without_harm() {
    // 1: inc qword ptr [rip+0x100]; dec rcx; jnz 1b
    let mut machine = Machine::new(Width::Long, &hex("48ff050001000048ffc975f4"));
    assert_eq!(machine.cpu.run(300_000), Stop::Budget);
    assert_eq!(machine.read_u64(CODE_AT + 0x107), 100_000);
}

#[test]
fn the_same_ip_in_two_segments() {
    // 1000:0100 inc bx; jmp 2000:0100        2000:0100 dec cx; jmp 1000:0100
    let mut machine = Machine::new(Width::Real, &hex("43ea00010020"));
    machine.write(0x2_0100, &hex("49ea00010010"));
    assert_eq!(machine.cpu.run(400), Stop::Budget);
    let state = machine.cpu.state();
    assert_eq!((state.gpr[3], state.gpr[1]), (7 + 100, 0x7fff - 100));
}
