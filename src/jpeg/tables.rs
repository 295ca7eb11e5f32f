//! What the segments between frame and scans define, and the headers of scans.

use std::sync::Arc;

use super::block::ZIGZAG;
use super::header::{Frame, marker};
use super::huffman::{Code, DcTable};
use super::{Reject, Result};

/// A quantisation table, in rows and columns, as the words that kernels multiply by.
pub(super) type Quantisation = [i16; 64];

/// The tables in force.
#[derive(Default)]
pub(super) struct Tables {
    pub(super) quantisation: [Option<Quantisation>; 4],
    pub(super) dc: [Option<Arc<DcTable>>; 4],
    pub(super) ac: [Option<Arc<Code>>; 4],
    /// Units between restarts; 0 for none.
    pub(super) restart: usize,
}

/// What a scan header says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scan {
    /// Component of the frame, DC table, AC table.
    pub(super) components: Vec<(usize, usize, usize)>,
    /// The first and the last coefficient.
    pub(super) band: (usize, usize),
    /// The bit that was the lowest before, and the one that is now.
    pub(super) bits: (u32, u32),
}

impl Tables {
    /// Takes in a segment between scans; false where it is none of ours.
    pub(super) fn read(&mut self, marker: u8, body: &[u8]) -> Result<bool> {
        match marker {
            marker::DQT => self.quantisation(body)?,
            marker::DHT => self.codes(body)?,
            marker::DRI => {
                let &[high, low] = body else {
                    return Err(Reject::Anomaly("a restart interval of the wrong length"));
                };
                self.restart = usize::from(u16::from_be_bytes([high, low]));
            }
            marker::COM | marker::APP0..=marker::APP15 => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn quantisation(&mut self, mut body: &[u8]) -> Result<()> {
        const ODD: Reject = Reject::Anomaly("a quantisation table out of range");
        while let [first, rest @ ..] = body {
            let (wide, number) = (first >> 4 > 0, usize::from(first & 15));
            let len = if wide { 128 } else { 64 };
            let (Some(values), true) = (rest.get(..len), first >> 4 < 2) else { return Err(ODD) };
            let mut table = [0; 64];
            for (k, &place) in ZIGZAG.iter().enumerate() {
                table[usize::from(place)] = if wide {
                    i16::from_be_bytes([values[2 * k], values[2 * k + 1]])
                } else {
                    i16::from(values[k])
                };
            }
            *self.quantisation.get_mut(number).ok_or(ODD)? = Some(table);
            body = &rest[len..];
        }
        Ok(())
    }

    fn codes(&mut self, mut body: &[u8]) -> Result<()> {
        const ODD: Reject = Reject::Anomaly("a Huffman table out of range");
        while let [first, rest @ ..] = body {
            let counts = *rest.first_chunk::<16>().ok_or(ODD)?;
            let count = counts.iter().map(|&count| usize::from(count)).sum::<usize>();
            let symbols = rest.get(16..16 + count).ok_or(ODD)?;
            let code = Code::new(counts, symbols)?;
            let number = usize::from(first & 15);
            match first >> 4 {
                0 => *self.dc.get_mut(number).ok_or(ODD)? = Some(DcTable::get(&code)?),
                1 => *self.ac.get_mut(number).ok_or(ODD)? = Some(Arc::new(code)),
                _ => return Err(ODD),
            }
            body = &rest[16 + count..];
        }
        Ok(())
    }
}

impl Scan {
    /// Reads a scan header.
    pub(super) fn new(frame: &Frame, body: &[u8]) -> Result<Self> {
        const ODD: Reject = Reject::Anomaly("a scan header out of range");
        let count = usize::from(*body.first().ok_or(ODD)?);
        if !(1..=frame.components.len()).contains(&count) || body.len() != 4 + 2 * count {
            return Err(ODD);
        }
        let mut components: Vec<(usize, usize, usize)> = Vec::with_capacity(count);
        for entry in body[1..].chunks_exact(2).take(count) {
            let index = frame.components.iter().position(|c| c.id == entry[0]).ok_or(ODD)?;
            let (dc, ac) = (usize::from(entry[1] >> 4), usize::from(entry[1] & 15));
            // In the order of the frame, each once.
            if components.last().is_some_and(|&(before, ..)| before >= index) || dc > 3 || ac > 3 {
                return Err(ODD);
            }
            components.push((index, dc, ac));
        }
        let rest = &body[1 + 2 * count..];
        let band = (usize::from(rest[0]), usize::from(rest[1]));
        let bits = (u32::from(rest[2] >> 4), u32::from(rest[2] & 15));
        Ok(Self { components, band, bits })
    }

    /// Whether it is the scan of a sequential file.
    pub(super) fn is_sequential(&self) -> bool {
        self.band == (0, 63) && self.bits == (0, 0)
    }
}
