//! Bytes to elements: float32 by the arithmetic that [`Lut::new`] proved, all else through a table in registers.
//!
//! Byte `b` of the elements of all 256 bytes is a table of 256 bytes: four vectors, looked up by two
//! `vpermt2b` (which take seven bits) and a choice by the eighth. What the elements mean does not matter,
//! so it serves every formula and both half types: 64 of those cost 4 permutes, 2 choices, and 2 unpacks for
//! bytes to come together. A float32 costs twice as many, and 32 shuffles to lay the table out; the
//! arithmetic has nothing to lay out and runs where the shuffles do not.

use super::ops::{Line, Ops, load, load_part, load_table, store, store_part, stream};
use super::rows::ungrouped;
use super::vertical::ORDER;
use crate::pack::{Element, Lut, Recipe};

/// How 64 bytes become `K` vectors of elements.
trait Table<O: Ops, const K: usize> {
    fn elements(&self, ops: O, bytes: O::V) -> [O::V; K];
}

/// Bytes of channel `c` into elements.
#[inline(always)]
pub(super) fn convert<O: Ops>(
    ops: O,
    lut: &Lut,
    c: usize,
    bytes: &[u8],
    out: &mut [u8],
    stream: bool,
) {
    match lut.element {
        Element::Uint8 => run(ops, &Same, bytes, out, stream),
        Element::Float32 => match &lut.recipe {
            Some(recipe) if recipe.scaled && !recipe.divided => {
                run(ops, &Arithmetic::<_, true>::new(ops, recipe, c), bytes, out, stream);
            }
            Some(recipe) if !recipe.divided => {
                run(ops, &Arithmetic::<_, false>::new(ops, recipe, c), bytes, out, stream);
            }
            _ => run(ops, &Floats::new(ops, &lut.float32[c]), bytes, out, stream),
        },
        Element::Float16 | Element::Bfloat16 => {
            run(ops, &Halves::new(ops, &lut.half[c]), bytes, out, stream);
        }
    }
}

/// All of `bytes`; `out` is as long in elements of `K` bytes.
///
/// ```text
/// out   | head | 64 K bytes | 64 K bytes | ... | tail |      streaming: the head ends at a multiple of 64
/// ```
#[inline(always)]
fn run<O: Ops, const K: usize>(
    ops: O,
    table: &impl Table<O, K>,
    bytes: &[u8],
    out: &mut [u8],
    streams: bool,
) {
    assert!(out.len() == bytes.len() * K, "elements for bytes");
    let gap = out.as_ptr().addr().wrapping_neg() % 64;
    let streams = streams && gap.is_multiple_of(K) && out.len() >= 64 + gap;
    let mut at = 0;
    if streams && gap > 0 {
        at = gap / K;
        let head = table.elements(ops, load_part(ops, &bytes[..at], 0));
        store_part(ops, out, 0, gap, head[0]);
    }
    while at + 64 <= bytes.len() {
        let elements = table.elements(ops, load(ops, bytes, at));
        for k in 0..K {
            if streams {
                stream(ops, out, at * K + k * 64, elements[k]);
            } else {
                store(ops, out, at * K + k * 64, elements[k]);
            }
        }
        at += 64;
    }
    if at < bytes.len() {
        let elements = table.elements(ops, load_part(ops, bytes, at));
        for k in 0..K {
            let to = at * K + k * 64;
            if to + 64 > out.len() {
                store_part(ops, out, to, 64, elements[k]);
                break;
            }
            if streams {
                stream(ops, out, to, elements[k]);
            } else {
                store(ops, out, to, elements[k]);
            }
        }
    }
}

/// Bytes as they are.
struct Same;

impl<O: Ops> Table<O, 1> for Same {
    #[inline(always)]
    fn elements(&self, _ops: O, bytes: O::V) -> [O::V; 1] {
        [bytes]
    }
}

/// The steps of [`Recipe::value`] without its division.
struct Arithmetic<V, const SCALED: bool> {
    scale: V,
    scale_rest: V,
    mean: V,
    std: V,
    reciprocal: V,
    spread: [V; 4],
}

/// Sixteen bytes to the first bytes of sixteen dwords.
const SPREAD: [Line; 4] = {
    let mut lines = [Line::ZERO; 4];
    let mut i = 0;
    while i < 64 {
        lines[i / 16].0[i % 16 * 4] = i as u8;
        i += 1;
    }
    lines
};

impl<V: Copy, const SCALED: bool> Arithmetic<V, SCALED> {
    #[inline(always)]
    fn new<O: Ops<V = V>>(ops: O, recipe: &Recipe, c: usize) -> Self {
        Self {
            scale: splat(ops, recipe.scale),
            scale_rest: splat(ops, recipe.scale_rest),
            mean: splat(ops, recipe.mean[c]),
            std: splat(ops, recipe.std[c]),
            reciprocal: splat(ops, recipe.reciprocal[c]),
            spread: [
                SPREAD[0].load(ops),
                SPREAD[1].load(ops),
                SPREAD[2].load(ops),
                SPREAD[3].load(ops),
            ],
        }
    }
}

#[inline(always)]
fn splat<O: Ops>(ops: O, value: f32) -> O::V {
    ops.splat(value.to_bits().cast_signed())
}

impl<O: Ops, const SCALED: bool> Table<O, 4> for Arithmetic<O::V, SCALED> {
    #[inline(always)]
    fn elements(&self, ops: O, bytes: O::V) -> [O::V; 4] {
        let mut elements = self.spread;
        for k in 0..4 {
            let byte = ops.to_floats(ops.permute_to_dwords(self.spread[k], bytes));
            let scaled = if SCALED {
                ops.fused(byte, self.scale, ops.multiply(byte, self.scale_rest))
            } else {
                byte
            };
            let centred = ops.subtract(scaled, self.mean);
            let quotient = ops.multiply(centred, self.reciprocal);
            let rest = ops.fused_negative(quotient, self.std, centred);
            elements[k] = ops.fused(rest, self.reciprocal, quotient);
        }
        elements
    }
}

/// 256 bytes.
#[derive(Clone, Copy)]
struct Plane<V>([V; 4]);

impl<V: Copy> Plane<V> {
    #[inline(always)]
    fn at<O: Ops<V = V>>(&self, ops: O, bytes: V) -> V {
        let [a, b, c, d] = self.0;
        ops.select(bytes, ops.permute2(a, bytes, b), ops.permute2(c, bytes, d))
    }
}

/// The four bytes of 256 dwords.
struct Floats<V> {
    planes: [Plane<V>; 4],
    order: V,
}

impl<V: Copy> Floats<V> {
    #[inline(always)]
    fn new<O: Ops<V = V>>(ops: O, table: &[f32; 256]) -> Self {
        let order = ORDER.load(ops);
        let mut planes = [Plane([order; 4]); 4];
        for v in 0..4 {
            let mut four = [order; 4];
            for i in 0..4 {
                four[i] = load_table(ops, table, v * 4 + i);
            }
            let bytes = ungrouped(ops, four);
            for b in 0..4 {
                planes[b].0[v] = bytes[b];
            }
        }
        Self { planes, order }
    }
}

impl<O: Ops> Table<O, 4> for Floats<O::V> {
    /// ```text
    /// vpermd        lane i: dwords i, 4 + i, 8 + i, 12 + i of the bytes, thus elements 4i .. 4i+3, 16+4i ..
    /// planes        b0, b1, b2, b3 of the same elements
    /// vpunpck?bw    b0 b1 of elements 4i .. 4i+3 and 16+4i .. 16+4i+3; of 32+4i .. and 48+4i ..
    /// vpunpck?wd    b0 b1 b2 b3 of elements 4i .. 4i+3, lane i of vector 0; and so on
    /// ```
    #[inline(always)]
    fn elements(&self, ops: O, bytes: O::V) -> [O::V; 4] {
        let bytes = ops.permute_dwords(self.order, bytes);
        let [b0, b1, b2, b3] = [
            self.planes[0].at(ops, bytes),
            self.planes[1].at(ops, bytes),
            self.planes[2].at(ops, bytes),
            self.planes[3].at(ops, bytes),
        ];
        let (low, low_high) =
            (ops.unpack_bytes::<false>(b0, b1), ops.unpack_bytes::<false>(b2, b3));
        let (high, high_high) =
            (ops.unpack_bytes::<true>(b0, b1), ops.unpack_bytes::<true>(b2, b3));
        [
            ops.unpack_words::<false>(low, low_high),
            ops.unpack_words::<true>(low, low_high),
            ops.unpack_words::<false>(high, high_high),
            ops.unpack_words::<true>(high, high_high),
        ]
    }
}

/// The two bytes of 256 words.
struct Halves<V> {
    planes: [Plane<V>; 2],
    order: V,
}

/// Quadwords 0 and 4, 1 and 5, 2 and 6, 3 and 7 side by side.
const HALVES: Line = {
    let mut line = Line::ZERO;
    let mut i = 0;
    while i < 16 {
        line.0[i * 4] = (i / 4 * 2 + i / 2 % 2 * 8 + i % 2) as u8;
        i += 1;
    }
    line
};

/// The low, or the high, bytes of the words of two vectors.
const PARITY: [Line; 2] = {
    let mut lines = [Line::ZERO; 2];
    let mut i = 0;
    while i < 64 {
        lines[0].0[i] = 2 * i as u8;
        lines[1].0[i] = 2 * i as u8 + 1;
        i += 1;
    }
    lines
};

impl<V: Copy> Halves<V> {
    #[inline(always)]
    fn new<O: Ops<V = V>>(ops: O, table: &[u16; 256]) -> Self {
        let order = HALVES.load(ops);
        let mut planes = [Plane([order; 4]); 2];
        for v in 0..4 {
            let (near, far) = (load_table(ops, table, v * 2), load_table(ops, table, v * 2 + 1));
            for b in 0..2 {
                planes[b].0[v] = ops.permute2(near, PARITY[b].load(ops), far);
            }
        }
        Self { planes, order }
    }
}

impl<O: Ops> Table<O, 2> for Halves<O::V> {
    /// ```text
    /// vpermd        lane i: elements 8i .. 8i+7, then 32+8i .. 32+8i+7
    /// vpunpck?bw    both bytes of elements 8i .. 8i+7, lane i of vector 0; of 32+8i .. of vector 1
    /// ```
    #[inline(always)]
    fn elements(&self, ops: O, bytes: O::V) -> [O::V; 2] {
        let bytes = ops.permute_dwords(self.order, bytes);
        let (low, high) = (self.planes[0].at(ops, bytes), self.planes[1].at(ops, bytes));
        [ops.unpack_bytes::<false>(low, high), ops.unpack_bytes::<true>(low, high)]
    }
}
