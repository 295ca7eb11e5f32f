//! Bytes to elements, a line of 64 bytes at a time, at the output's own alignment.
//!
//! float32 comes by the arithmetic that [`Lut::new`] proved, sixteen bytes a line. float16 and bfloat16 come through a
//! table in registers: byte `b` of the elements of all 256 bytes is four vectors, looked up by two `vpermt2b` (which
//! take seven bits) and a choice by the eighth, so 64 elements cost 4 permutes, 2 choices, and 2 unpacks for their
//! bytes to come together.

use super::ops::{self, Line, Ops, Place, load, load_table, load_widened, store};
use crate::pack::{Element, LINE, Lut, Recipe, Run, Scaling, Writer};

/// Runs of `len` bytes of `planes` into elements.
#[inline(always)]
pub(super) fn elements<O: Ops>(
    ops: O,
    lut: &Lut,
    planes: &[u8],
    runs: &[Run],
    len: usize,
    writer: &mut Writer,
    out: &mut [u8],
) {
    for runs in runs.chunk_by(|a, b| (a.channel, a.from) == (b.channel, b.from)) {
        let (c, count) = (runs[0].channel, runs.len());
        let bytes = Bytes { planes, from: runs[0].from, len };
        match (lut.element, &lut.recipe) {
            (Element::Uint8, _) => some(ops, &Same, bytes, count, writer, out),
            (Element::Float32, Some(recipe)) => match (recipe.scaling, recipe.divided) {
                (Scaling::None, false) => {
                    let table = Arithmetic::<_, NONE, false>::new(ops, recipe, c);
                    floats(ops, &table, bytes, count, writer, out);
                }
                (Scaling::Once, false) => {
                    let table = Arithmetic::<_, ONCE, false>::new(ops, recipe, c);
                    floats(ops, &table, bytes, count, writer, out);
                }
                (Scaling::Twice, false) => {
                    let table = Arithmetic::<_, TWICE, false>::new(ops, recipe, c);
                    floats(ops, &table, bytes, count, writer, out);
                }
                (Scaling::None, true) => {
                    let table = Arithmetic::<_, NONE, true>::new(ops, recipe, c);
                    some(ops, &table, bytes, count, writer, out);
                }
                (Scaling::Once, true) => {
                    let table = Arithmetic::<_, ONCE, true>::new(ops, recipe, c);
                    some(ops, &table, bytes, count, writer, out);
                }
                (Scaling::Twice, true) => {
                    let table = Arithmetic::<_, TWICE, true>::new(ops, recipe, c);
                    some(ops, &table, bytes, count, writer, out);
                }
            },
            (Element::Float32, None) => {
                some(ops, &Plain { lut, channel: c }, bytes, count, writer, out);
            }
            (Element::Float16 | Element::Bfloat16, _) => {
                let table = Halves::new(ops, &lut.half_bytes[c]);
                some(ops, &table, bytes, count, writer, out);
            }
        }
    }
}

/// `len` bytes of pixels into elements.
#[inline(always)]
pub(super) fn pixels<O: Ops>(
    ops: O,
    lut: &Lut,
    bytes: &[u8],
    from: usize,
    len: usize,
    writer: &mut Writer,
    out: &mut [u8],
) {
    let bytes = Bytes { planes: bytes, from, len };
    match (lut.element, &lut.recipe) {
        (Element::Uint8, _) => line_by_line(ops, &Same, bytes, writer, out),
        (Element::Float32, Some(recipe)) => match (recipe.scaling, recipe.divided) {
            (Scaling::None, false) => {
                let turns = Arithmetic::<_, NONE, false>::turns(ops, recipe);
                pixels_by_line(ops, &turns, bytes, writer, out);
            }
            (Scaling::Once, false) => {
                let turns = Arithmetic::<_, ONCE, false>::turns(ops, recipe);
                pixels_by_line(ops, &turns, bytes, writer, out);
            }
            (Scaling::Twice, false) => {
                let turns = Arithmetic::<_, TWICE, false>::turns(ops, recipe);
                pixels_by_line(ops, &turns, bytes, writer, out);
            }
            (Scaling::None, true) => {
                let turns = Arithmetic::<_, NONE, true>::turns(ops, recipe);
                pixels_by_line(ops, &turns, bytes, writer, out);
            }
            (Scaling::Once, true) => {
                let turns = Arithmetic::<_, ONCE, true>::turns(ops, recipe);
                pixels_by_line(ops, &turns, bytes, writer, out);
            }
            (Scaling::Twice, true) => {
                let turns = Arithmetic::<_, TWICE, true>::turns(ops, recipe);
                pixels_by_line(ops, &turns, bytes, writer, out);
            }
        },
        (Element::Float32, None) => {
            let turns = [0, 1, 2].map(|channel| Plain { lut, channel });
            pixels_by_line(ops, &turns, bytes, writer, out);
        }
        (Element::Float16 | Element::Bfloat16, _) => {
            let [red, green, blue] = &lut.half_bytes;
            let channels = [Halves::new(ops, red), Halves::new(ops, green), Halves::new(ops, blue)];
            pixels_by_line(ops, &channels, bytes, writer, out);
        }
    }
}

/// Bytes of a run.
#[derive(Clone, Copy)]
struct Bytes<'a> {
    planes: &'a [u8],
    from: usize,
    len: usize,
}

/// A run `count` times.
#[inline(always)]
fn some<O: Ops, T: Table<O>>(
    ops: O,
    table: &T,
    bytes: Bytes<'_>,
    count: usize,
    writer: &mut Writer,
    out: &mut [u8],
) {
    for _ in 0..count {
        line_by_line(ops, table, bytes, writer, out);
    }
}

/// A run of float32 `count` times.
#[inline(always)]
fn floats<O: Ops, T: Table<O>>(
    ops: O,
    table: &T,
    bytes: Bytes<'_>,
    count: usize,
    writer: &mut Writer,
    out: &mut [u8],
) {
    if count < 2 || writer.head > 0 {
        return some(ops, table, bytes, count, writer, out);
    }
    match (bytes.len, writer.stream) {
        (196, false) => patch::<O, T, false, 12, 13>(ops, table, bytes, count, writer, out),
        (196, true) => patch::<O, T, true, 12, 13>(ops, table, bytes, count, writer, out),
        (256, false) => patch::<O, T, false, 16, 16>(ops, table, bytes, count, writer, out),
        (256, true) => patch::<O, T, true, 16, 16>(ops, table, bytes, count, writer, out),
        _ => some(ops, table, bytes, count, writer, out),
    }
}

/// Copies of the float32 of a patch, one after the other, whose `VECTORS` are made once and stay in registers.
///
/// ```text
/// vector i - 1, i    ............aaaa|bbbbbbbbbbbb....     as the bytes lie
/// vpermt2d           aaaabbbbbbbbbbbb                      a line of the output, whose place differs from copy to copy
/// ```
#[inline(always)]
fn patch<O: Ops, T: Table<O>, const STREAM: bool, const WHOLE: usize, const VECTORS: usize>(
    ops: O,
    table: &T,
    Bytes { planes, from, len }: Bytes<'_>,
    count: usize,
    writer: &mut Writer,
    out: &mut [u8],
) {
    let bytes = &planes[from..from + VECTORS * 16];
    let mut vectors = [ops.splat(0); VECTORS];
    let (mut held, mut fill, mut at) = (writer.held.load(ops), writer.fill, writer.at);
    for copy in 0..count {
        let order = SHIFTS[fill / 4 % 16].load(ops);
        let mut place = Place::<STREAM, WHOLE>::new(out, at);
        if copy == 0 {
            vectors[0] = table.line(ops, bytes, 0);
        }
        let first = ops.permute2_dwords(held, order, vectors[0]);
        place.put(ops, 0, ops.blend(u64::MAX << fill, held, first));
        for i in 1..WHOLE {
            if copy == 0 {
                vectors[i] = table.line(ops, bytes, 16 * i);
            }
            place.put(ops, i, ops.permute2_dwords(vectors[i - 1], order, vectors[i]));
        }
        if copy == 0 && WHOLE < VECTORS {
            vectors[WHOLE] = table.line(ops, bytes, 16 * WHOLE);
        }
        held = ops.permute2_dwords(vectors[WHOLE - 1], order, vectors[VECTORS - 1]);
        fill += len % 16 * 4;
        at += WHOLE * LINE;
        if fill >= LINE {
            Place::<STREAM, 1>::new(out, at).put(ops, 0, held);
            held = ops.permute2_dwords(vectors[VECTORS - 1], order, held);
            fill -= LINE;
            at += LINE;
        }
    }
    writer.held.store(ops, held);
    (writer.fill, writer.at) = (fill, at);
}

/// For each number of floats that a line has already: those that fill it up come from the end of a vector and the next one.
static SHIFTS: [Line; 16] = {
    let mut lines = [Line::ZERO; 16];
    let mut fill = 0;
    while fill < 16 {
        let mut i = 0;
        while i < 16 {
            lines[fill].0[4 * i] = (16 - fill + i) as u8;
            i += 1;
        }
        fill += 1;
    }
    lines
};

/// How bytes become the elements of a line.
trait Table<O: Ops> {
    /// Bytes of an element.
    const SIZE: usize;

    /// The line of the bytes from `at` on.
    fn line(&self, ops: O, planes: &[u8], at: usize) -> O::V;

    /// That line and the next one.
    #[inline(always)]
    fn pair(&self, ops: O, planes: &[u8], at: usize) -> [O::V; 2] {
        [self.line(ops, planes, at), self.line(ops, planes, at + LINE / Self::SIZE)]
    }
}

/// One run. A line that it shares with the run before it takes a whole vector and a blend; pads make that vector
/// readable.
#[inline(always)]
fn line_by_line<O: Ops, T: Table<O>>(
    ops: O,
    table: &T,
    Bytes { planes, from, len }: Bytes<'_>,
    writer: &mut Writer,
    out: &mut [u8],
) {
    let step = LINE / T::SIZE;
    let mut done = 0;
    if writer.fill > 0 {
        let fill = writer.fill / T::SIZE;
        let line = table.line(ops, planes, from - fill);
        let line = ops.blend(u64::MAX << writer.fill, writer.held.load(ops), line);
        writer.held.store(ops, line);
        if fill + len < step {
            writer.fill += len * T::SIZE;
            return;
        }
        if writer.head == 0 {
            put(ops, out, writer.at, line, writer.stream);
            writer.at += LINE;
            writer.fill = 0;
        } else {
            writer.put_held(out);
        }
        done = step - fill;
    }
    let count = (len - done) / (2 * step);
    let pairs = &planes[from + done..from + done + count * 2 * step];
    let lines = &mut out[writer.at..writer.at + count * 2 * LINE];
    if writer.stream {
        line_pairs::<O, T, true>(ops, table, pairs, lines);
    } else {
        line_pairs::<O, T, false>(ops, table, pairs, lines);
    }
    let mut at = writer.at + count * 2 * LINE;
    done += count * 2 * step;
    if done + step <= len {
        put(ops, out, at, table.line(ops, planes, from + done), writer.stream);
        (done, at) = (done + step, at + LINE);
    }
    if done < len {
        writer.held.store(ops, table.line(ops, planes, from + done));
        writer.fill = (len - done) * T::SIZE;
    }
    writer.at = at;
}

/// Two lines at a time, as many as `out` has.
#[inline(always)]
fn line_pairs<O: Ops, T: Table<O>, const STREAM: bool>(
    ops: O,
    table: &T,
    bytes: &[u8],
    out: &mut [u8],
) {
    let bytes = bytes.chunks_exact(2 * LINE / T::SIZE);
    for (bytes, lines) in bytes.zip(out.chunks_exact_mut(2 * LINE)) {
        let pair = table.pair(ops, bytes, 0);
        let mut place = Place::<STREAM, 2>::new(lines, 0);
        place.put(ops, 0, pair[0]);
        place.put(ops, 1, pair[1]);
    }
}

/// How the bytes of pixels become the elements of a line.
trait Turns<O: Ops> {
    /// Bytes of an element.
    const SIZE: usize;

    /// The line of the bytes from `at` on, the first of which is of `channel`, and the next line.
    fn pair(&self, ops: O, bytes: &[u8], at: usize, channel: usize) -> [O::V; 2];

    /// The first of them.
    fn line(&self, ops: O, bytes: &[u8], at: usize, channel: usize) -> O::V;
}

/// The channel `count` bytes after one of `channel`.
#[inline(always)]
const fn turn(channel: usize, count: usize) -> usize {
    (channel + count) % 3
}

/// A run of pixels, as [`line_by_line`] takes one of a channel.
#[inline(always)]
fn pixels_by_line<O: Ops, T: Turns<O>>(
    ops: O,
    turns: &T,
    Bytes { planes, from, len }: Bytes<'_>,
    writer: &mut Writer,
    out: &mut [u8],
) {
    let step = LINE / T::SIZE;
    let mut done = 0;
    if writer.fill > 0 {
        let fill = writer.fill / T::SIZE;
        let line = turns.line(ops, planes, from - fill, turn(0, 66 - fill));
        let line = ops.blend(u64::MAX << writer.fill, writer.held.load(ops), line);
        writer.held.store(ops, line);
        if fill + len < step {
            writer.fill += len * T::SIZE;
            return;
        }
        if writer.head == 0 {
            put(ops, out, writer.at, line, writer.stream);
            writer.at += LINE;
            writer.fill = 0;
        } else {
            writer.put_held(out);
        }
        done = step - fill;
    }
    let (mut at, mut channel) = (writer.at, turn(0, done));
    while done + 2 * step <= len {
        let pair = turns.pair(ops, planes, from + done, channel);
        put(ops, out, at, pair[0], writer.stream);
        put(ops, out, at + LINE, pair[1], writer.stream);
        channel = turn(channel, 2 * step);
        (done, at) = (done + 2 * step, at + 2 * LINE);
    }
    if done + step <= len {
        put(ops, out, at, turns.line(ops, planes, from + done, channel), writer.stream);
        channel = turn(channel, step);
        (done, at) = (done + step, at + LINE);
    }
    if done < len {
        writer.held.store(ops, turns.line(ops, planes, from + done, channel));
        writer.fill = (len - done) * T::SIZE;
    }
    writer.at = at;
}

#[inline(always)]
fn put<O: Ops>(ops: O, out: &mut [u8], at: usize, line: O::V, stream: bool) {
    if stream {
        ops::stream(ops, out, at, line);
    } else {
        store(ops, out, at, line);
    }
}

/// Bytes as they are.
struct Same;

impl<O: Ops> Table<O> for Same {
    const SIZE: usize = 1;

    #[inline(always)]
    fn line(&self, ops: O, planes: &[u8], at: usize) -> O::V {
        load(ops, planes, at)
    }
}

/// The table in memory, where no arithmetic gives its values.
struct Plain<'a> {
    lut: &'a Lut,
    channel: usize,
}

impl<O: Ops> Table<O> for Plain<'_> {
    const SIZE: usize = 4;

    #[inline(always)]
    fn line(&self, ops: O, planes: &[u8], at: usize) -> O::V {
        let mut line = Line::ZERO;
        for (element, &byte) in line.0.as_chunks_mut::<4>().0.iter_mut().zip(&planes[at..at + 16]) {
            *element = self.lut.bytes(self.channel, byte);
        }
        line.load(ops)
    }
}

/// By the channel of a line's first byte.
impl<O: Ops> Turns<O> for [Plain<'_>; 3] {
    const SIZE: usize = 4;

    #[inline(always)]
    fn line(&self, ops: O, bytes: &[u8], at: usize, channel: usize) -> O::V {
        let mut line = Line::ZERO;
        let elements = line.0.as_chunks_mut::<4>().0.iter_mut().zip(&bytes[at..at + 16]);
        for (i, (element, &byte)) in elements.enumerate() {
            let plain = &self[turn(channel, i)];
            *element = plain.lut.bytes(plain.channel, byte);
        }
        line.load(ops)
    }

    #[inline(always)]
    fn pair(&self, ops: O, bytes: &[u8], at: usize, channel: usize) -> [O::V; 2] {
        [self.line(ops, bytes, at, channel), self.line(ops, bytes, at + 16, turn(channel, 16))]
    }
}

/// [`Scaling`] as a number.
const NONE: usize = 0;
const ONCE: usize = 1;
const TWICE: usize = 2;

/// The steps of [`Recipe::value`].
struct Arithmetic<V, const SCALING: usize, const DIVIDED: bool> {
    times: V,
    scale: V,
    scale_rest: V,
    mean: V,
    std: V,
    reciprocal: V,
    reciprocal_rest: V,
}

impl<V: Copy, const SCALING: usize, const DIVIDED: bool> Arithmetic<V, SCALING, DIVIDED> {
    #[inline(always)]
    fn new<O: Ops<V = V>>(ops: O, recipe: &Recipe, c: usize) -> Self {
        Self {
            times: splat(ops, Recipe::TIMES),
            scale: splat(ops, recipe.scale),
            scale_rest: splat(ops, recipe.scale_rest),
            mean: splat(ops, recipe.mean[c]),
            std: splat(ops, recipe.std[c]),
            reciprocal: splat(ops, recipe.reciprocal[c]),
            reciprocal_rest: splat(ops, recipe.reciprocal_rest[c]),
        }
    }
}

impl<V: Copy, const SCALING: usize, const DIVIDED: bool> Arithmetic<V, SCALING, DIVIDED> {
    /// For lines of pixels, by the channel of their first byte.
    #[inline(always)]
    fn turns<O: Ops<V = V>>(ops: O, recipe: &Recipe) -> [Self; 3] {
        [
            Self::of_pixels(ops, recipe, 0),
            Self::of_pixels(ops, recipe, 1),
            Self::of_pixels(ops, recipe, 2),
        ]
    }

    #[inline(always)]
    fn of_pixels<O: Ops<V = V>>(ops: O, recipe: &Recipe, channel: usize) -> Self {
        Self {
            mean: in_turn(ops, &recipe.mean, channel),
            std: in_turn(ops, &recipe.std, channel),
            reciprocal: in_turn(ops, &recipe.reciprocal, channel),
            reciprocal_rest: in_turn(ops, &recipe.reciprocal_rest, channel),
            ..Self::new(ops, recipe, 0)
        }
    }
}

impl<O: Ops, const SCALING: usize, const DIVIDED: bool> Turns<O>
    for [Arithmetic<O::V, SCALING, DIVIDED>; 3]
{
    const SIZE: usize = 4;

    #[inline(always)]
    fn line(&self, ops: O, bytes: &[u8], at: usize, channel: usize) -> O::V {
        Table::<O>::line(&self[channel], ops, bytes, at)
    }

    #[inline(always)]
    fn pair(&self, ops: O, bytes: &[u8], at: usize, channel: usize) -> [O::V; 2] {
        let next = turn(channel, 16);
        [
            Table::<O>::line(&self[channel], ops, bytes, at),
            Table::<O>::line(&self[next], ops, bytes, at + 16),
        ]
    }
}

/// The values of the channels, lane after lane, from `channel` on.
#[inline(always)]
fn in_turn<O: Ops>(ops: O, values: &[f32; 3], channel: usize) -> O::V {
    let mut lanes = [0; 16];
    for i in 0..16 {
        lanes[i] = values[turn(channel, i)].to_bits().cast_signed();
    }
    ops::load_dwords(ops, &lanes)
}

#[inline(always)]
fn splat<O: Ops>(ops: O, value: f32) -> O::V {
    ops.splat(value.to_bits().cast_signed())
}

impl<O: Ops, const SCALING: usize, const DIVIDED: bool> Table<O>
    for Arithmetic<O::V, SCALING, DIVIDED>
{
    const SIZE: usize = 4;

    #[inline(always)]
    fn line(&self, ops: O, planes: &[u8], at: usize) -> O::V {
        let byte = ops.to_floats(load_widened(ops, planes, at));
        let scaled = match SCALING {
            NONE => byte,
            ONCE => ops.fused(ops.multiply(byte, self.times), self.scale, self.scale_rest),
            _ => ops.fused(byte, self.scale, ops.multiply(byte, self.scale_rest)),
        };
        let centred = ops.subtract(scaled, self.mean);
        if DIVIDED {
            ops.divide(centred, self.std)
        } else {
            ops.fused(centred, self.reciprocal, ops.multiply(centred, self.reciprocal_rest))
        }
    }
}

/// 256 bytes.
#[derive(Clone, Copy)]
struct Plane<V>([V; 4]);

impl<V: Copy> Plane<V> {
    #[inline(always)]
    fn new<O: Ops<V = V>>(ops: O, table: &[u8; 256]) -> Self {
        Self([
            load_table(ops, table, 0),
            load_table(ops, table, 1),
            load_table(ops, table, 2),
            load_table(ops, table, 3),
        ])
    }

    #[inline(always)]
    fn at<O: Ops<V = V>>(&self, ops: O, bytes: V) -> V {
        let [a, b, c, d] = self.0;
        ops.select(bytes, ops.permute2(a, bytes, b), ops.permute2(c, bytes, d))
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

impl<V: Copy> Halves<V> {
    #[inline(always)]
    fn new<O: Ops<V = V>>(ops: O, tables: &[[u8; 256]; 2]) -> Self {
        let planes = [Plane::new(ops, &tables[0]), Plane::new(ops, &tables[1])];
        Self { planes, order: HALVES.load(ops) }
    }
}

impl<O: Ops> Table<O> for Halves<O::V> {
    const SIZE: usize = 2;

    #[inline(always)]
    fn line(&self, ops: O, planes: &[u8], at: usize) -> O::V {
        self.pair(ops, planes, at)[0]
    }

    /// ```text
    /// vpermd        lane i: elements 8i .. 8i+7, then 32+8i .. 32+8i+7
    /// vpunpck?bw    both bytes of elements 8i .. 8i+7, lane i of vector 0; of 32+8i .. of vector 1
    /// ```
    #[inline(always)]
    fn pair(&self, ops: O, planes: &[u8], at: usize) -> [O::V; 2] {
        let bytes = ops.permute_dwords(self.order, load(ops, planes, at));
        let (low, high) = (self.planes[0].at(ops, bytes), self.planes[1].at(ops, bytes));
        [ops.unpack_bytes::<false>(low, high), ops.unpack_bytes::<true>(low, high)]
    }
}

/// The bits of every third byte of a vector, from the first, the second or the third on.
const THIRDS: [u64; 3] = {
    let mut thirds = [0; 3];
    let mut i = 0;
    while i < 64 {
        thirds[i % 3] |= 1 << i;
        i += 1;
    }
    thirds
};

/// Each byte through the tables of all channels, of which it keeps its own's.
impl<O: Ops> Turns<O> for [Halves<O::V>; 3] {
    const SIZE: usize = 2;

    #[inline(always)]
    fn line(&self, ops: O, bytes: &[u8], at: usize, channel: usize) -> O::V {
        self.pair(ops, bytes, at, channel)[0]
    }

    #[inline(always)]
    fn pair(&self, ops: O, bytes: &[u8], at: usize, channel: usize) -> [O::V; 2] {
        let bytes = load(ops, bytes, at);
        let mut halves = [bytes; 2];
        for half in 0..2 {
            let [red, green, blue] = [
                self[0].planes[half].at(ops, bytes),
                self[1].planes[half].at(ops, bytes),
                self[2].planes[half].at(ops, bytes),
            ];
            let others = ops.blend(THIRDS[turn(1, 3 - channel)], red, green);
            let all = ops.blend(THIRDS[turn(2, 3 - channel)], others, blue);
            halves[half] = ops.permute_dwords(self[0].order, all);
        }
        let [low, high] = halves;
        [ops.unpack_bytes::<false>(low, high), ops.unpack_bytes::<true>(low, high)]
    }
}
