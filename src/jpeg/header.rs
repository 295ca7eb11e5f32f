//! The segments before the first scan: whether a file is one that we decode, and all that its header says.

use super::ahead::STRIPS;
use super::{Reject, Result, Turn, planes, turned};
use crate::error::Size;
use crate::simd::jpeg::Group;

/// Samples of a side of a block.
pub(super) const BLOCK: usize = 8;
/// The longest side that libjpeg decodes.
const LONGEST: usize = 65_500;
/// Blocks that a unit of an interleaved scan may have.
const UNIT_BLOCKS: usize = 10;

pub(super) mod marker {
    pub(crate) const SOF0: u8 = 0xc0;
    pub(crate) const SOF1: u8 = 0xc1;
    pub(crate) const SOF2: u8 = 0xc2;
    pub(crate) const DHT: u8 = 0xc4;
    pub(crate) const RST0: u8 = 0xd0;
    pub(crate) const RST7: u8 = 0xd7;
    pub(crate) const SOI: u8 = 0xd8;
    pub(crate) const EOI: u8 = 0xd9;
    pub(crate) const SOS: u8 = 0xda;
    pub(crate) const DQT: u8 = 0xdb;
    pub(crate) const DRI: u8 = 0xdd;
    pub(crate) const APP0: u8 = 0xe0;
    pub(crate) const APP1: u8 = 0xe1;
    pub(crate) const APP2: u8 = 0xe2;
    pub(crate) const APP13: u8 = 0xed;
    pub(crate) const APP14: u8 = 0xee;
    pub(crate) const APP15: u8 = 0xef;
    pub(crate) const COM: u8 = 0xfe;
}

/// One component of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Component {
    /// Its number in the file.
    pub id: u8,
    /// Blocks of a unit, across.
    pub horizontal: usize,
    /// Blocks of a unit, down.
    pub vertical: usize,
    /// The number of its quantisation table.
    pub table: usize,
}

/// What the frame header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) size: Size,
    pub(super) components: Vec<Component>,
    pub(super) progressive: bool,
}

impl Frame {
    /// The largest factors of any component, (vertical, horizontal).
    pub(super) fn factors(&self) -> (usize, usize) {
        let largest = |factor: fn(&Component) -> usize| self.components.iter().map(factor).max();
        (largest(|c| c.vertical).unwrap_or(1), largest(|c| c.horizontal).unwrap_or(1))
    }

    /// Units of an interleaved scan, (down, across).
    pub(super) fn units(&self) -> Size {
        let (vertical, horizontal) = self.factors();
        (self.size.0.div_ceil(vertical * BLOCK), self.size.1.div_ceil(horizontal * BLOCK))
    }

    /// Samples of a component without what pads it to whole units, (down, across).
    pub(super) fn samples(&self, component: &Component) -> Size {
        let (vertical, horizontal) = self.factors();
        let down = (self.size.0 * component.vertical).div_ceil(vertical);
        (down, (self.size.1 * component.horizontal).div_ceil(horizontal))
    }

    /// Blocks of a component, padded to whole units, (down, across).
    pub(super) fn blocks(&self, component: &Component) -> Size {
        let (down, across) = self.units();
        (down * component.vertical, across * component.horizontal)
    }
}

/// What a file's header says. It is made by [`open`] alone, so its sizes and factors are in range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub(super) frame: Frame,
    pub(super) orientation: Option<u8>,
    pub(super) allowed: bool,
    pub(super) interleaved: bool,
}

impl Header {
    /// Height and width in pixels, as stored: no orientation is applied.
    #[must_use]
    pub const fn size(&self) -> Size {
        self.frame.size
    }

    /// The components: one (grey) or three (YCbCr).
    #[must_use]
    pub fn components(&self) -> &[Component] {
        &self.frame.components
    }

    /// Whether it is a progressive file.
    #[must_use]
    pub const fn is_progressive(&self) -> bool {
        self.frame.progressive
    }

    /// Whether every segment before the first scan is of a kind that Pillow is known to open. Where it is not, let Pillow
    /// open the file first, which may refuse it; what Pillow opens may still be decoded here.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        self.allowed
    }

    /// The EXIF orientation, 1 to 8, where the file's own bytes leave no doubt: 1 without Exif, or plain Exif, and no
    /// XMP. `None`: ask Pillow.
    #[must_use]
    pub const fn orientation(&self) -> Option<u8> {
        self.orientation
    }

    /// The subsampling by its usual name: `grey`, `4:4:4`, `4:2:2`, `4:2:0`, `4:4:0`, `4:1:1`, or `other`.
    #[must_use]
    pub fn subsampling(&self) -> &'static str {
        let [luma, rest @ ..] = &self.frame.components[..] else { return "other" };
        let Some(chroma) = rest.first() else { return "grey" };
        if rest.iter().any(|c| (c.horizontal, c.vertical) != (1, 1)) {
            let same =
                |c: &Component| (c.horizontal, c.vertical) == (luma.horizontal, luma.vertical);
            return if same(chroma) && rest.iter().all(same) { "4:4:4" } else { "other" };
        }
        match (luma.horizontal, luma.vertical) {
            (1, 1) => "4:4:4",
            (2, 1) => "4:2:2",
            (2, 2) => "4:2:0",
            (1, 2) => "4:4:0",
            (4, 1) => "4:1:1",
            _ => "other",
        }
    }

    /// Blocks of all components, padded to whole units. Work is this times [`scans`].
    #[must_use]
    pub fn blocks(&self) -> u64 {
        let each = self.frame.components.iter().map(|component| {
            let (down, across) = self.frame.blocks(component);
            down as u64 * across as u64
        });
        each.sum()
    }

    /// Whether coefficients of the whole image are kept while it is decoded: it is progressive, or its first scan does not hold
    /// all components.
    #[must_use]
    pub const fn keeps_coefficients(&self) -> bool {
        self.frame.progressive || !self.interleaved
    }

    /// Bytes that decoding allocates for what grows with an image, beside the pixels it gives out: samples of some rows, or of all
    /// where the image is turned so that they are wanted in another order, and coefficients, all where they are kept and some rows
    /// where another thread decodes them.
    #[must_use]
    pub fn memory(&self, turn: Turn, divided: bool) -> u64 {
        let mut bytes = planes::bytes(&self.frame, turn.keeps_samples());
        if turn != Turn::NONE {
            bytes += turned::bytes(self.size(), turn);
        }
        for component in &self.frame.components {
            let (down, across) = self.frame.blocks(component);
            let group = across.next_multiple_of(4) as u64 / 4 * size_of::<Group>() as u64;
            if self.keeps_coefficients() {
                bytes += down as u64 * group;
                // Which of them are not zero.
                bytes += if self.frame.progressive { down as u64 * across as u64 * 8 } else { 0 };
            } else if divided {
                bytes += (STRIPS * component.vertical) as u64 * group;
            }
        }
        bytes
    }
}

/// Reads segment after segment.
pub(super) struct Segments<'a> {
    pub(super) data: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Segments<'a> {
    /// After the first marker of a file.
    pub(super) fn new(data: &'a [u8]) -> Result<Self> {
        if data.starts_with(&[0xff, marker::SOI, 0xff]) {
            Ok(Self { data, at: 2 })
        } else {
            Err(Reject::Unsupported("no JPEG file"))
        }
    }

    /// The next marker and its body; only the end has none.
    pub(super) fn next(&mut self) -> Result<(u8, &'a [u8])> {
        const SHORT: Reject = Reject::Anomaly("a segment is cut off");
        if self.data.get(self.at) != Some(&0xff) {
            return Err(Reject::Anomaly("bytes between segments"));
        }
        while self.data.get(self.at) == Some(&0xff) {
            self.at += 1;
        }
        let &marker = self.data.get(self.at).ok_or(SHORT)?;
        self.at += 1;
        if marker == marker::EOI {
            return Ok((marker, &[]));
        }
        if matches!(marker, 0..=1 | marker::RST0..=marker::SOI) {
            return Err(Reject::Anomaly("a marker where none belongs"));
        }
        let rest = &self.data[self.at..];
        let &[high, low, ..] = rest else { return Err(SHORT) };
        let len = usize::from(u16::from_be_bytes([high, low]));
        if len < 2 {
            return Err(Reject::Anomaly("a segment without a length"));
        }
        let body = rest.get(2..len).ok_or(SHORT)?;
        self.at += len;
        Ok((marker, body))
    }
}

fn word(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]))
}

/// Reads a frame header.
pub(super) fn frame(marker: u8, body: &[u8]) -> Result<Frame> {
    if body.len() < 6 || body.len() != 6 + 3 * usize::from(body[5]) {
        return Err(Reject::Anomaly("a frame header of the wrong length"));
    }
    if body[0] != 8 {
        return Err(Reject::Unsupported("samples of another depth than 8 bits"));
    }
    let size = (word(body, 1), word(body, 3));
    if size.0 == 0 || size.1 == 0 || size.0 > LONGEST || size.1 > LONGEST {
        return Err(Reject::Unsupported("a side that libjpeg refuses"));
    }
    if !matches!(body[5], 1 | 3) {
        return Err(Reject::Unsupported("neither one nor three components"));
    }
    let mut components: Vec<Component> = Vec::with_capacity(3);
    for entry in body[6..].chunks_exact(3) {
        let component = Component {
            id: entry[0],
            horizontal: usize::from(entry[1] >> 4),
            vertical: usize::from(entry[1] & 15),
            table: usize::from(entry[2]),
        };
        let factors = [component.horizontal, component.vertical];
        if !factors.iter().all(|factor| (1..=4).contains(factor)) || component.table > 3 {
            return Err(Reject::Anomaly("a component out of range"));
        }
        if components.iter().any(|other| other.id == component.id) {
            return Err(Reject::Anomaly("two components of one number"));
        }
        components.push(component);
    }
    if let [only] = &mut components[..] {
        // Blocks of a component alone are never interleaved, whatever its factors are.
        (only.horizontal, only.vertical) = (1, 1);
    }
    let frame = Frame { size, components, progressive: marker == marker::SOF2 };
    let (vertical, horizontal) = frame.factors();
    for component in &frame.components {
        if !vertical.is_multiple_of(component.vertical)
            || !horizontal.is_multiple_of(component.horizontal)
        {
            return Err(Reject::Unsupported("sampling factors that are no multiples"));
        }
    }
    let unit: usize = frame.components.iter().map(|c| c.horizontal * c.vertical).sum();
    if frame.components.len() > 1 && unit > UNIT_BLOCKS {
        return Err(Reject::Unsupported("too many blocks in a unit"));
    }
    Ok(frame)
}

/// What the segments of applications say.
#[derive(Default)]
struct Notes {
    jfif: bool,
    adobe: Option<u8>,
    exif: Exif,
    xmp: bool,
    /// Pillow may refuse it.
    doubtful: bool,
    /// What colours it has may be read in two ways.
    reject: Option<Reject>,
}

/// The orientation that Exif says.
#[derive(Default)]
enum Exif {
    #[default]
    Missing,
    Plain(u8),
    Odd,
}

impl Notes {
    fn read(&mut self, marker: u8, body: &[u8]) {
        const ODD: Option<Reject> =
            Some(Reject::Anomaly("a JFIF or Adobe segment of an unknown form"));
        match marker {
            marker::APP0 if body.starts_with(b"JFIF\0") && body.len() >= 14 && body[5] == 1 => {
                self.jfif = true;
            }
            marker::APP0 if body.starts_with(b"JFIF") => self.reject = ODD,
            marker::APP1 if body.starts_with(b"Exif\0\0") => {
                self.exif = match (&self.exif, exif_orientation(&body[6..])) {
                    (Exif::Missing, Some(orientation)) => Exif::Plain(orientation),
                    _ => Exif::Odd,
                };
                self.doubtful |= matches!(self.exif, Exif::Odd);
            }
            marker::APP1 => self.xmp |= body.starts_with(b"http://ns.adobe.com/xap/"),
            marker::APP2 => {
                let icc = body.starts_with(b"ICC_PROFILE\0") && body.len() < 14;
                self.doubtful |= icc || body.starts_with(b"MPF\0");
            }
            marker::APP13 => {
                self.doubtful |= body.starts_with(b"Photoshop 3.0\0") && !resources_are_whole(body);
            }
            marker::APP14 if body.starts_with(b"Adobe") && body.len() >= 12 => {
                self.adobe = Some(body[11]);
            }
            marker::APP14 if body.starts_with(b"Adobe") => self.reject = ODD,
            _ => {}
        }
    }

    fn orientation(&self) -> Option<u8> {
        match self.exif {
            _ if self.xmp || self.doubtful => None,
            Exif::Missing => Some(1),
            Exif::Plain(orientation) => Some(orientation),
            Exif::Odd => None,
        }
    }

    /// Whether three components of these numbers are luma and chroma, as libjpeg guesses.
    fn is_ycc(&self, ids: &[u8]) -> Result<bool> {
        if let Some(reject) = &self.reject {
            return Err(reject.clone());
        }
        match self.adobe {
            _ if self.jfif => Ok(true),
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            Some(_) => Err(Reject::Anomaly("an Adobe segment of an unknown transform")),
            None => Ok(ids != b"RGB"),
        }
    }
}

/// The resources of a Photoshop segment lie within it, so that walking them meets nothing odd.
fn resources_are_whole(body: &[u8]) -> bool {
    let mut at = 14;
    while body[at.min(body.len())..].starts_with(b"8BIM") {
        let Some(&name) = body.get(at + 6) else { return false };
        at += 7 + usize::from(name);
        at += at % 2;
        let Some(size) = body.get(at..at + 4) else { return false };
        let size = u32::from_be_bytes([size[0], size[1], size[2], size[3]]) as usize;
        at += 4;
        if size > body.len() - at {
            return false;
        }
        at += size;
        at += at % 2;
    }
    true
}

/// The orientation in a TIFF structure whose first directory lies within it, entry by entry; 1 where it has none.
fn exif_orientation(tiff: &[u8]) -> Option<u8> {
    const SIZES: [usize; 13] = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8];
    let big = match tiff.get(..4)? {
        b"II*\0" => false,
        b"MM\0*" => true,
        _ => return None,
    };
    let short = |at: usize| -> Option<usize> {
        let bytes = [*tiff.get(at)?, *tiff.get(at + 1)?];
        let value = if big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
        Some(usize::from(value))
    };
    let long = |at: usize| -> Option<usize> {
        let (first, second) = (short(at)?, short(at + 2)?);
        Some(if big { first << 16 | second } else { second << 16 | first })
    };
    let directory = long(4)?;
    if directory < 8 {
        return None;
    }
    let count = short(directory)?;
    let mut orientation = None;
    let mut last = 0;
    for number in 0..count {
        let entry = directory + 2 + number * 12;
        let (tag, kind, values) = (short(entry)?, short(entry + 2)?, long(entry + 4)?);
        let bytes = SIZES.get(kind).filter(|&&size| size > 0)?.checked_mul(values)?;
        if values == 0 || (number > 0 && tag <= last) {
            return None;
        }
        last = tag;
        if bytes > 4 {
            tiff.get(long(entry + 8)?..)?.get(..bytes)?;
        }
        // Pillow reads the resolution while it opens a file, and may stumble over what is not one value of its type.
        let plain = match tag {
            0x011a => (kind, values) == (5, 1),
            0x0128 => (kind, values) == (3, 1),
            _ => true,
        };
        if !plain {
            return None;
        }
        if tag == 0x0112 {
            if kind != 3 || values != 1 {
                return None;
            }
            let value = u8::try_from(short(entry + 8)?).ok()?;
            orientation = Some((1..=8).contains(&value).then_some(value)?);
        }
    }
    // The offset of a next directory, which nobody follows, is there.
    long(directory + 2 + count * 12)?;
    Some(orientation.unwrap_or(1))
}

/// Reads the segments up to the first scan's header.
///
/// # Errors
/// `Unsupported` where the file is of a kind that we leave to Pillow, `Anomaly` where something about it is odd.
pub fn open(data: &[u8]) -> Result<Header> {
    let mut segments = Segments::new(data)?;
    let mut notes = Notes::default();
    let mut found = None;
    loop {
        let (marker, body) = segments.next()?;
        match marker {
            marker::SOF0 | marker::SOF1 | marker::SOF2 => {
                if found.replace(frame(marker, body)?).is_some() {
                    return Err(Reject::Anomaly("two frames"));
                }
            }
            // What DQT, DHT and DRI hold is read when it is used; Pillow looks at the first of them.
            marker::DQT => tables_are_whole(body)?,
            marker::DHT | marker::DRI | marker::COM => {}
            marker::APP0..=marker::APP15 => notes.read(marker, body),
            marker::SOS => {
                let frame = found.ok_or(Reject::Anomaly("a scan without a frame"))?;
                let ids: Vec<u8> = frame.components.iter().map(|component| component.id).collect();
                if !notes.is_ycc(&ids)? && ids.len() == 3 {
                    return Err(Reject::Unsupported("components that are red, green and blue"));
                }
                let interleaved = body.first().copied().map(usize::from) == Some(ids.len());
                let (orientation, allowed) = (notes.orientation(), !notes.doubtful);
                return Ok(Header { frame, orientation, allowed, interleaved });
            }
            _ => return Err(Reject::Unsupported("a segment of an unknown kind")),
        }
    }
}

fn tables_are_whole(mut body: &[u8]) -> Result<()> {
    while let Some(first) = body.first() {
        let len = 1 + if first >> 4 == 0 { 64 } else { 128 };
        body = body.get(len..).ok_or(Reject::Anomaly("a quantisation table is cut off"))?;
    }
    Ok(())
}

/// How many scans the file has, found without decoding: the markers that begin one, up to the end or the last byte.
#[must_use]
pub fn scans(data: &[u8], header: &Header) -> u64 {
    if !header.keeps_coefficients() {
        return 1;
    }
    let mut at = 2;
    let mut count = 0;
    while let Some(next) = data[at..].iter().position(|&byte| byte == 0xff) {
        at += next + 1;
        match data.get(at) {
            None | Some(&marker::EOI) => break,
            Some(&(0 | 0xff | marker::RST0..=marker::RST7)) => {}
            Some(&kind) => {
                count += u64::from(kind == marker::SOS);
                let Some(len) = data.get(at + 1..at + 3) else { break };
                at += 1 + word(len, 0).max(2);
                if at > data.len() {
                    break;
                }
            }
        }
    }
    count
}
