//! What every target asks of a file.

use _dynres_rs::jpeg::{self, Decoder, Pixel};
use _dynres_rs::pipeline::Source;
use _dynres_rs::simd::Simd;

/// Pixels above which a header is believed without decoding.
const MOST: usize = 1 << 20;

/// Decodes under every backend, whole and row by row, and panics where two answers differ.
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
        match &first {
            None => first = Some(whole),
            Some(first) => assert_eq!(*first, whole, "{name} differs from {}", Simd::NAMES[0]),
        }
    }
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
