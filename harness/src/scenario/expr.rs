//! Values in scenarios: numbers, names of the manual, places in memory and points in L2's code.
//!
//! A value is an integer, or a string of terms joined by `|`, `+` or `-` (from left to right); `~` before a term inverts
//! it. A term is a number (`0x2000`, `0b101`, `42`), a place of the memory layout (`MSR_BITMAP`), a control bit
//! (`Proc.HLT_EXITING`), a bit of a register (`CR4.VMXE`, `RFLAGS.IF`, `EFER.LMA`), something that the processor under test
//! tells (`Pin.ALLOWED0`, `Proc.ALLOWED1`, `REVISION`, `MAXPHYADDR`: 1 shifted by the physical-address width), or a point of the
//! scenario's L2 behaviour (`@`: its entry, `@after_hlt`).

use super::toml::{At, Parse, Value, unknown};
use rig_abi::layout;
use std::ops::Range;
use x86_spec::{
    cr,
    vmx::{caps::Caps, controls::Word},
};

/// What names in values mean.
pub(crate) struct Names<'a> {
    /// Capabilities of the processor that the script is for.
    pub caps: &'a Caps,
    /// Address of a point of the L2 behaviour; the empty name is its entry.
    pub point: &'a dyn Fn(&str) -> Result<u64, String>,
}

/// A value that must fit into `bits`.
pub(crate) fn value(v: &Value<'_>, bits: u32, names: &Names<'_>) -> Parse<u64> {
    let n = match v.integer()? {
        Some(n) => n,
        None => parse(v.str()?, &v.span, names)?,
    };
    if bits < 64 && n >> bits != 0 {
        return Err(At::new(&v.span, format!("{n:#x} does not fit into {bits} bits")));
    }
    Ok(n)
}

fn parse(text: &str, span: &Range<usize>, names: &Names<'_>) -> Parse<u64> {
    let mut total = 0u64;
    let mut op = '|';
    let mut rest = text.trim();
    loop {
        let end = rest.find(['|', '+', '-']).unwrap_or(rest.len());
        let n = term(rest[..end].trim(), span, names)?;
        total = match op {
            '+' => total.wrapping_add(n),
            '-' => total.wrapping_sub(n),
            _ => total | n,
        };
        let Some(next) = rest[end..].chars().next() else { return Ok(total) };
        op = next;
        rest = &rest[end + 1..];
    }
}

fn term(text: &str, span: &Range<usize>, names: &Names<'_>) -> Parse<u64> {
    if let Some(inverted) = text.strip_prefix('~') {
        return Ok(!term(inverted.trim(), span, names)?);
    }
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return number(text)
            .ok_or_else(|| At::new(span, format!("\"{text}\" is not a number of at most 64 bits")));
    }
    if let Some(point) = text.strip_prefix('@') {
        return (names.point)(point).map_err(|message| At::new(span, message));
    }
    match text {
        "REVISION" => return Ok(u64::from(names.caps.revision())),
        "MAXPHYADDR" => return Ok(1u64.checked_shl(u32::from(names.caps.maxphyaddr)).unwrap_or(0)),
        _ => {}
    }
    if let Some((group, bit)) = text.split_once('.') {
        return bit_of(group, bit, span, names);
    }
    layout::place(text).ok_or_else(|| {
        unknown(span, "value", text, layout::PLACES.iter().map(|p| p.0).chain(["REVISION", "MAXPHYADDR"]))
    })
}

/// A number as scenarios write it; underscores are allowed.
pub(crate) fn number(text: &str) -> Option<u64> {
    let text = text.replace('_', "");
    if let Some(hex) = text.strip_prefix("0x") {
        u64::from_str_radix(hex, 16).ok()
    } else if let Some(binary) = text.strip_prefix("0b") {
        u64::from_str_radix(binary, 2).ok()
    } else {
        text.parse().ok()
    }
}

/// The control words by the names that scenarios use.
const WORDS: &[(&str, Word)] = &[
    ("Pin", Word::Pin),
    ("Proc", Word::Proc),
    ("Proc2", Word::Proc2),
    ("Proc3", Word::Proc3),
    ("Exit", Word::Exit),
    ("Exit2", Word::Exit2),
    ("Entry", Word::Entry),
];

/// `GROUP.BIT`: of a control word or a register.
fn bit_of(group: &str, bit: &str, span: &Range<usize>, names: &Names<'_>) -> Parse<u64> {
    if let Some((_, word)) = WORDS.iter().find(|w| w.0 == group) {
        return match bit {
            "ALLOWED0" => Ok(names.caps.allowed0(*word)),
            "ALLOWED1" => Ok(names.caps.allowed1(*word)),
            _ => word.bit_by_name(bit).map(|b| b.mask()).ok_or_else(|| {
                let valid = word.bits().iter().map(|b| b.ident).chain(["ALLOWED0", "ALLOWED1"]);
                unknown(span, &format!("control of {group}"), bit, valid)
            }),
        };
    }
    let registers = cr::REGISTERS;
    let Some((_, bits)) = registers.iter().find(|r| r.0 == group) else {
        let valid = WORDS.iter().map(|w| w.0).chain(registers.iter().map(|r| r.0));
        return Err(unknown(span, "group of bits", group, valid));
    };
    let bits = bits.iter();
    match bits.clone().find(|b| b.ident == bit) {
        Some(b) => Ok(b.mask()),
        None => Err(unknown(span, &format!("bit of {group}"), bit, bits.map(|b| b.ident))),
    }
}
