//! The plain version, which defines the answer.

use super::{BAND, Backend, GROUP, group_len};
use crate::error::Result;
use crate::image::Row;
use crate::pack::{Element, Lut, PAD, Run, Writer};
use crate::resample::Axis;

/// Plain Rust, for every CPU.
#[derive(Clone, Copy, Debug)]
pub struct Scalar;

/// A horizontal pass: its weights and the pixels on both sides.
#[derive(Debug)]
pub struct Columns {
    axis: Axis,
    input: usize,
    output: usize,
}

/// Rounds and clamps a sum of weighted bytes.
fn to_byte(sum: i32, precision: u32) -> u8 {
    (sum >> precision).clamp(0, 255) as u8
}

const fn half(precision: u32) -> i32 {
    if precision == 0 { 0 } else { 1 << (precision - 1) }
}

impl Backend for Scalar {
    type Columns = Columns;
    type Rows = Axis;

    fn tile_rows(self) -> usize {
        8
    }

    fn columns(self, axis: &Axis, input: usize, output: usize) -> Result<Columns> {
        Ok(Columns { axis: axis.copied()?, input, output })
    }

    fn rows(self, axis: &Axis) -> Result<Axis> {
        axis.copied()
    }

    fn horizontal(self, weights: &Columns, rows: &[Row<'_>; BAND], _ahead: bool, band: &mut [u8]) {
        let Columns { axis, input, output } = weights;
        let group = group_len(axis.target * output);
        for (r, row) in rows.iter().enumerate() {
            let lane = (r / GROUP) * group + r % GROUP;
            for x in 0..axis.target {
                let (first, taps) = axis.window(x);
                for c in 0..*output {
                    let mut sum = half(axis.precision);
                    for (j, weight) in taps.iter().enumerate() {
                        sum =
                            sum.wrapping_add(weight * i32::from(row.get((first + j) * input + c)));
                    }
                    band[lane + (x * output + c) * GROUP] = to_byte(sum, axis.precision);
                }
            }
        }
    }

    fn interleave(self, rows: &[Row<'_>; BAND], band: &mut [u8]) {
        let group = group_len(rows[0].len());
        for (r, row) in rows.iter().enumerate() {
            let lane = (r / GROUP) * group + r % GROUP;
            for i in 0..row.len() {
                band[lane + i * GROUP] = row.get(i);
            }
        }
    }

    fn vertical(self, weights: &Axis, i: usize, groups: &[&[u8]], out: &mut [u8]) {
        let (first, taps) = weights.window(i);
        let lead = first % GROUP;
        for (c, byte) in out.iter_mut().enumerate() {
            let mut sum = half(weights.precision);
            for (j, weight) in taps.iter().enumerate() {
                let row = lead + j;
                sum = sum
                    .wrapping_add(weight * i32::from(groups[row / GROUP][c * GROUP + row % GROUP]));
            }
            *byte = to_byte(sum, weights.precision);
        }
    }

    fn deinterleave(self, group: &[u8], rows: [&mut [u8]; GROUP]) {
        for (r, row) in rows.into_iter().enumerate() {
            for (i, byte) in row.iter_mut().enumerate() {
                *byte = group[i * GROUP + r];
            }
        }
    }

    fn split(self, row: Row<'_>, pixel: usize, lines: [&mut [u8]; 3]) {
        for (c, line) in lines.into_iter().enumerate() {
            for (x, byte) in line.iter_mut().enumerate() {
                *byte = row.get(x * pixel + c);
            }
        }
    }

    fn split_patch(self, rows: &[Row<'_>], x: usize, pixel: usize, planes: &mut [u8]) {
        let side = rows.len();
        for c in 0..3 {
            let start = PAD + c * (side * side + PAD);
            let plane = &mut planes[start..start + side * side];
            for (line, row) in plane.chunks_exact_mut(side).zip(rows) {
                for (i, byte) in line.iter_mut().enumerate() {
                    *byte = row.get((x + i) * pixel + c);
                }
            }
        }
    }

    fn elements(
        self,
        lut: &Lut,
        planes: &[u8],
        runs: &[Run],
        len: usize,
        writer: &mut Writer,
        out: &mut [u8],
    ) {
        // Nothing is gained by whole lines here: what may be held goes first, then bytes come as they are.
        writer.finish(out);
        let size = lut.element.size();
        for run in runs {
            let bytes = &planes[run.from..run.from + len];
            let part = &mut out[writer.at..writer.at + len * size];
            match lut.element {
                Element::Uint8 => part.copy_from_slice(bytes),
                Element::Float32 => {
                    let table = &lut.float32[run.channel];
                    for (element, &byte) in part.as_chunks_mut::<4>().0.iter_mut().zip(bytes) {
                        *element = table[usize::from(byte)].to_ne_bytes();
                    }
                }
                Element::Float16 | Element::Bfloat16 => {
                    let table = &lut.half[run.channel];
                    for (element, &byte) in part.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
                        *element = table[usize::from(byte)].to_ne_bytes();
                    }
                }
            }
            writer.at += len * size;
        }
    }

    fn fence(self) {}
}

/// Pixels into elements.
pub(super) fn pixels(
    lut: &Lut,
    bytes: &[u8],
    from: usize,
    len: usize,
    writer: &mut Writer,
    out: &mut [u8],
) {
    writer.finish(out);
    let size = lut.element.size();
    let bytes = &bytes[from..from + len];
    let part = &mut out[writer.at..writer.at + len * size];
    match lut.element {
        Element::Uint8 => part.copy_from_slice(bytes),
        Element::Float32 => {
            let tables = lut.float32.iter().cycle();
            let bytes = bytes.iter().zip(tables);
            for (element, (&byte, table)) in part.as_chunks_mut::<4>().0.iter_mut().zip(bytes) {
                *element = table[usize::from(byte)].to_ne_bytes();
            }
        }
        Element::Float16 | Element::Bfloat16 => {
            let tables = lut.half.iter().cycle();
            let bytes = bytes.iter().zip(tables);
            for (element, (&byte, table)) in part.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
                *element = table[usize::from(byte)].to_ne_bytes();
            }
        }
    }
    writer.at += len * size;
}
