//! The elements that no view reaches.

use super::lut::{Element, Lut};
use crate::error::Size;
use crate::plan::{Cut, Inside, Order};
use half::{bf16, f16};

/// What stands where no view reaches: of each channel the bytes of one element, from the first on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill(pub [[u8; 4]; 3]);

impl Fill {
    /// Zeros, of every type.
    pub const ZERO: Self = Self([[0; 4]; 3]);

    /// The elements of a colour.
    #[must_use]
    pub fn colour(lut: &Lut, colour: [u8; 3]) -> Self {
        Self(std::array::from_fn(|c| lut.bytes(c, colour[c])))
    }

    /// The elements of a value, rounded to the type.
    #[must_use]
    pub fn value(value: f32, element: Element) -> Self {
        let half = |bits: u16| {
            let [low, high] = bits.to_ne_bytes();
            [low, high, 0, 0]
        };
        let bytes = match element {
            Element::Float32 => value.to_ne_bytes(),
            Element::Float16 => half(f16::from_f32(value).to_bits()),
            Element::Bfloat16 => half(bf16::from_f32(value).to_bits()),
            Element::Uint8 => [value.round_ties_even() as u8, 0, 0, 0],
        };
        Self([bytes; 3])
    }

    /// Fills elements of one channel.
    pub fn plane(&self, channel: usize, element: Element, out: &mut [u8]) {
        repeat(out, &self.0[channel][..element.size()]);
    }

    /// Fills pixels of three elements.
    pub(super) fn pixels(&self, element: Element, out: &mut [u8]) {
        let size = element.size();
        let [a, b, c] = self.0;
        if a == b && b == c {
            return repeat(out, &a[..size]);
        }
        for (element, channel) in out.chunks_exact_mut(size).zip([a, b, c].iter().cycle()) {
            element.copy_from_slice(&channel[..size]);
        }
    }

    /// Fills whole patches of `frames` frames, or whole tiles of the size `tile`.
    pub fn rows(&self, cut: Cut, tile: Size, frames: usize, element: Element, out: &mut [u8]) {
        let plane = match cut {
            Cut::Patches { patch, inside: Inside::Ctpp, .. } => frames * patch * patch,
            Cut::Patches { patch, inside: Inside::Tcpp, .. } => patch * patch,
            Cut::Tiles { order: Order::ChannelsFirst, .. } => tile.0 * tile.1,
            Cut::Patches { inside: Inside::Tppc | Inside::Numbered, .. }
            | Cut::Tiles { order: Order::ChannelsLast, .. }
            | Cut::Rows { .. } => return self.pixels(element, out),
        };
        if self.0 == [self.0[0]; 3] {
            return self.plane(0, element, out);
        }
        for (number, out) in out.chunks_mut((plane * element.size()).max(1)).enumerate() {
            self.plane(number % 3, element, out);
        }
    }
}

fn repeat(out: &mut [u8], element: &[u8]) {
    match *element {
        [byte] => out.fill(byte),
        [a, b] => out.as_chunks_mut().0.fill([a, b]),
        [a, b, c, d] if a == b && b == c && c == d => out.fill(a),
        [a, b, c, d] => out.as_chunks_mut().0.fill([a, b, c, d]),
        _ => {}
    }
}
