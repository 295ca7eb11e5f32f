//! What every target asks of a file.

use _dynres_rs::jpeg::{self, Decoder, Pixel, Turn};
use _dynres_rs::parallel::Watch;
use _dynres_rs::pipeline::Source;
use _dynres_rs::simd::Simd;

/// Pixels above which a header is believed without decoding.
const MOST: usize = 1 << 20;

/// Decodes under every backend, whole, row by row and turned, and panics where two answers differ.
pub fn judge(data: &[u8]) {
    let Ok(header) = jpeg::open(data) else { return };
    let (height, width) = header.size();
    if height * width > MOST || jpeg::scans(data, &header).saturating_mul(header.blocks()) > 1 << 20 {
        return;
    }
    let mut first: Option<Option<Vec<u8>>> = None;
    for name in Simd::NAMES {
        let Ok(simd) = Simd::choose(Some(name)) else { continue };
        let mut pixels = vec![0x5a; height * width * 3];
        let done = jpeg::decode(data, &header, simd, Pixel::Rgb, &mut pixels, &|| false);
        let whole = done.is_ok().then_some(pixels);
        assert_eq!(whole, rows(data, &header, simd), "{name}: rows and the whole differ");
        let orientation = 1 + (data.len() % 8) as u8;
        let stored = turned(data, &header, simd, orientation);
        assert_eq!(whole, stored, "{name}: orientation {orientation} and the whole differ");
        match &first {
            None => first = Some(whole),
            Some(first) => assert_eq!(*first, whole, "{name} differs from {}", Simd::NAMES[0]),
        }
    }
}

/// The image turned, and turned back by the definition of the orientations.
fn turned(data: &[u8], header: &jpeg::Header, simd: Simd, orientation: u8) -> Option<Vec<u8>> {
    let decoder = Decoder::new(data, header, simd).turned(Turn::new(orientation)?);
    let (height, width) = header.size();
    let mut pixels = vec![0x33; height * width * 3];
    decoder.copy_to(&mut pixels, &Watch::new(None)).ok()?;
    let mut stored = vec![0x77; pixels.len()];
    let sideways = orientation > 4;
    let across = if sideways { height } else { width };
    for (at, pixel) in pixels.chunks_exact(3).enumerate() {
        let (y, x) = if sideways { (at % across, at / across) } else { (at / across, at % across) };
        let y = if matches!(orientation, 3 | 4 | 6 | 7) { height - 1 - y } else { y };
        let x = if matches!(orientation, 2 | 3 | 7 | 8) { width - 1 - x } else { x };
        stored[(y * width + x) * 3..][..3].copy_from_slice(pixel);
    }
    Some(stored)
}

/// The image as a call reads it.
fn rows(data: &[u8], header: &jpeg::Header, simd: Simd) -> Option<Vec<u8>> {
    let decoder = Decoder::new(data, header, simd);
    let (height, width) = header.size();
    let mut pixels = vec![0; height * width * 3];
    let mut targets = pixels.chunks_exact_mut(width * 3);
    let mut rows = decoder.open().ok()?;
    let mut y = 0;
    while y < height {
        let window = rows.window(y, 8).ok()?;
        let end = window.first + window.image.size().0;
        assert!(end > y && window.first <= y);
        for (row, target) in (y..end).zip(&mut targets) {
            window.image.row(row - window.first).copy_to(target);
        }
        y = end;
    }
    rows.finish().ok()?;
    Some(pixels)
}
