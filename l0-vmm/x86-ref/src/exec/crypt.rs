//! AES-NI, PCLMULQDQ and SHA. SDM 2; FIPS 197 and FIPS 180-4 have the functions.

use super::{
    Handler,
    feature::Feature,
    sse::{Align, lane, vector},
};
use crate::{Cpu, fault::Exec};
use iced_x86::{Instruction, Mnemonic, Register};

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    use Mnemonic::*;
    Some(match insn.mnemonic() {
        Aesenc | Vaesenc => {
            |cpu, insn| aes(cpu, insn, |a, b| mix(shift_rows(substitute(a, &SBOX), 1), [2, 3, 1, 1]) ^ b)
        }
        Aesenclast | Vaesenclast => {
            |cpu, insn| aes(cpu, insn, |a, b| shift_rows(substitute(a, &SBOX), 1) ^ b)
        }
        Aesdec | Vaesdec => |cpu, insn| {
            aes(cpu, insn, |a, b| mix(shift_rows(substitute(a, &INVERSE), 3), [14, 11, 13, 9]) ^ b)
        },
        Aesdeclast | Vaesdeclast => {
            |cpu, insn| aes(cpu, insn, |a, b| shift_rows(substitute(a, &INVERSE), 3) ^ b)
        }
        Aesimc | Vaesimc => |cpu, insn| aes(cpu, insn, |_, b| mix(b, [14, 11, 13, 9])),
        Aeskeygenassist | Vaeskeygenassist => key_assist,
        Pclmulqdq | Vpclmulqdq => carry_less,
        Sha1nexte => |cpu, insn| sha(cpu, insn, sha1_next),
        Sha1msg1 => |cpu, insn| {
            sha(cpu, insn, |a, b| {
                vector::<32>(|n| {
                    // Word n before, from the top: W0..W3 in a, W4, W5 in b.
                    let earlier = if n >= 2 { lane::<32>(a, n - 2) } else { lane::<32>(b, n + 2) };
                    lane::<32>(a, n) ^ earlier
                })
            })
        },
        Sha1msg2 => |cpu, insn| sha(cpu, insn, sha1_schedule),
        Sha1rnds4 => sha1_rounds,
        Sha256msg1 => |cpu, insn| {
            sha(cpu, insn, |a, b| {
                vector::<32>(|n| {
                    let next = if n < 3 { lane::<32>(a, n + 1) } else { lane::<32>(b, 0) } as u32;
                    let s0 = next.rotate_right(7) ^ next.rotate_right(18) ^ next >> 3;
                    u64::from((lane::<32>(a, n) as u32).wrapping_add(s0))
                })
            })
        },
        Sha256msg2 => |cpu, insn| sha(cpu, insn, sha256_schedule),
        Sha256rnds2 => sha256_rounds,
        _ => return None,
    })
}

/// Multiplication by x in AES's field.
const fn double(a: u8) -> u8 {
    a << 1 ^ if a & 0x80 != 0 { 0x1b } else { 0 }
}

const fn multiply(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    while b != 0 {
        if b & 1 != 0 {
            product ^= a;
        }
        a = double(a);
        b >>= 1;
    }
    product
}

/// AES's substitution, from its definition: the inverse in the field, then an affine map.
const SBOX: [u8; 256] = {
    let mut table = [0; 256];
    // 3 generates the field; 0xf6 is its inverse.
    let (mut p, mut q) = (1u8, 1u8);
    loop {
        p = multiply(p, 3);
        q = multiply(q, 0xf6);
        table[p as usize] =
            q ^ q.rotate_left(1) ^ q.rotate_left(2) ^ q.rotate_left(3) ^ q.rotate_left(4) ^ 0x63;
        if p == 1 {
            break;
        }
    }
    table[0] = 0x63;
    table
};

const INVERSE: [u8; 256] = {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        table[SBOX[n] as usize] = n as u8;
        n += 1;
    }
    table
};

fn bytes(v: u128, f: impl Fn(usize, &[u8; 16]) -> u8) -> u128 {
    let v = v.to_le_bytes();
    u128::from_le_bytes(std::array::from_fn(|n| f(n, &v)))
}

fn substitute(v: u128, table: &[u8; 256]) -> u128 {
    bytes(v, |n, v| table[usize::from(v[n & 15])])
}

/// Row r (bytes r, r + 4, ...) moves by r columns, `by` each; 3 is the inverse of 1.
fn shift_rows(v: u128, by: usize) -> u128 {
    bytes(v, |n, v| v[(n + 4 * by * (n & 3)) & 15])
}

fn mix(v: u128, factors: [u8; 4]) -> u128 {
    bytes(v, |n, v| (0..4).fold(0, |sum, k| sum ^ multiply(v[(n & !3) | (n + k) & 3], factors[k & 3])))
}

fn aes(cpu: &mut Cpu, insn: &Instruction, f: impl Fn(u128, u128) -> u128) -> Exec {
    cpu.need(Feature::Aes)?;
    cpu.vectors(insn, Align::Checked, f)
}

fn key_assist(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let constant = u32::from(insn.immediate8());
    aes(cpu, insn, |_, b| {
        let replaced = substitute(b, &SBOX);
        let word = |n| lane::<32>(replaced, n) as u32;
        vector::<32>(|n| {
            u64::from(match n {
                0 => word(1),
                1 => word(1).rotate_right(8) ^ constant,
                2 => word(3),
                _ => word(3).rotate_right(8) ^ constant,
            })
        })
    })
}

fn carry_less(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.need(Feature::Pclmul)?;
    let select = u32::from(insn.immediate8());
    cpu.vectors(insn, Align::Checked, |a, b| {
        let (a, b) = (lane::<64>(a, select & 1), lane::<64>(b, select >> 4 & 1));
        (0..64).filter(|n| b >> n & 1 != 0).fold(0, |product, n| product ^ u128::from(a) << n)
    })
}

fn sha(cpu: &mut Cpu, insn: &Instruction, f: impl Fn(u128, u128) -> u128) -> Exec {
    cpu.need(Feature::Sha)?;
    cpu.vectors(insn, Align::Checked, f)
}

fn sha1_next(a: u128, b: u128) -> u128 {
    let e = (lane::<32>(a, 3) as u32).rotate_left(30);
    vector::<32>(
        |n| if n == 3 { u64::from((lane::<32>(b, 3) as u32).wrapping_add(e)) } else { lane::<32>(b, n) },
    )
}

fn sha1_schedule(a: u128, b: u128) -> u128 {
    let word = |v, n| lane::<32>(v, n) as u32;
    let w16 = (word(a, 3) ^ word(b, 2)).rotate_left(1);
    let w17 = (word(a, 2) ^ word(b, 1)).rotate_left(1);
    let w18 = (word(a, 1) ^ word(b, 0)).rotate_left(1);
    let w19 = (word(a, 0) ^ w16).rotate_left(1);
    let w = [w19, w18, w17, w16];
    vector::<32>(|n| u64::from(w[n as usize & 3]))
}

/// The constants of SHA-1's four kinds of rounds.
const SHA1_K: [u32; 4] = [0x5a82_7999, 0x6ed9_eba1, 0x8f1b_bcdc, 0xca62_c1d6];

fn sha1_rounds(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let kind = insn.immediate8() & 3;
    sha(cpu, insn, |state, words| {
        let at = |v, n| lane::<32>(v, n) as u32;
        let (mut a, mut b, mut c, mut d) = (at(state, 3), at(state, 2), at(state, 1), at(state, 0));
        // E is in the first word already.
        let mut e = 0u32;
        for n in (0..4).rev() {
            let f = match kind {
                0 => b & c ^ !b & d,
                2 => b & c ^ b & d ^ c & d,
                _ => b ^ c ^ d,
            };
            let next = f
                .wrapping_add(a.rotate_left(5))
                .wrapping_add(at(words, n))
                .wrapping_add(e)
                .wrapping_add(SHA1_K[usize::from(kind)]);
            (a, b, c, d, e) = (next, a, b.rotate_left(30), c, d);
        }
        let new = [d, c, b, a];
        vector::<32>(|n| u64::from(new[n as usize & 3]))
    })
}

fn sha256_schedule(a: u128, b: u128) -> u128 {
    let sigma = |w: u32| w.rotate_right(17) ^ w.rotate_right(19) ^ w >> 10;
    let word = |v, n| lane::<32>(v, n) as u32;
    let w16 = word(a, 0).wrapping_add(sigma(word(b, 2)));
    let w17 = word(a, 1).wrapping_add(sigma(word(b, 3)));
    let w18 = word(a, 2).wrapping_add(sigma(w16));
    let w19 = word(a, 3).wrapping_add(sigma(w17));
    let w = [w16, w17, w18, w19];
    vector::<32>(|n| u64::from(w[n as usize & 3]))
}

fn sha256_rounds(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let keys = cpu.xmm(Register::XMM0);
    sha(cpu, insn, |cdgh, abef| {
        let at = |v, n| lane::<32>(v, n) as u32;
        let (mut a, mut b, mut e, mut f) = (at(abef, 3), at(abef, 2), at(abef, 1), at(abef, 0));
        let (mut c, mut d, mut g, mut h) = (at(cdgh, 3), at(cdgh, 2), at(cdgh, 1), at(cdgh, 0));
        for n in 0..2 {
            let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
            let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
            let first = h.wrapping_add(s1).wrapping_add(e & f ^ !e & g).wrapping_add(at(keys, n));
            let second = s0.wrapping_add(a & b ^ a & c ^ b & c);
            (h, g, f, e) = (g, f, e, d.wrapping_add(first));
            (d, c, b, a) = (c, b, a, first.wrapping_add(second));
        }
        let _ = (c, d, g, h);
        let new = [f, e, b, a];
        vector::<32>(|n| u64::from(new[n as usize & 3]))
    })
}
