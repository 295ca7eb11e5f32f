//! How much a file asks of a decoder: its blocks times its scans, whoever decodes it.

/// The marker after `at`, where coded data ends that is no restart, and the place after it.
fn marker(data: &[u8], at: usize) -> Option<(usize, u8)> {
    let mut at = at;
    loop {
        at += data.get(at..)?.iter().position(|&byte| byte == 0xFF)?;
        at += data[at..].iter().position(|&byte| byte != 0xFF)?;
        match data[at] {
            0x00 | 0xD0..=0xD7 => {}
            marker => return Some((at + 1, marker)),
        }
    }
}

/// The two bytes at a place as a number, of as many as there are.
fn two(data: &[u8], at: usize) -> usize {
    let bytes = data.get(at..).unwrap_or_default();
    bytes.iter().take(2).fold(0, |number, &byte| number << 8 | usize::from(byte))
}

/// Blocks of 8 x 8 samples times scans of any JPEG, as libjpeg walks it; 0 where there is no frame or scan.
#[must_use]
pub fn work(data: &[u8]) -> u64 {
    let (mut at, mut blocks, mut components, mut scans, mut several) =
        (2, 0_u64, 0_u8, 0_u64, false);
    while let Some((after, marker)) = marker(data, at) {
        at = after;
        let body = data.get(at + 2..).unwrap_or_default();
        match marker {
            0xD9 => break,
            0xDA => {
                scans += 1;
                several |= body.first() != Some(&components);
                if !several {
                    break; // One scan of everything: libjpeg reads no other.
                }
            }
            // Frame headers; the others of C0 to CF are tables.
            0xC0..=0xCF
                if !matches!(marker, 0xC4 | 0xC8 | 0xCC) && blocks == 0 && body.len() >= 6 =>
            {
                let (height, width) = (two(body, 1) as u64, two(body, 3) as u64);
                components = body[5];
                several = matches!(marker, 0xC2 | 0xC6 | 0xCA | 0xCE);
                let (mut wide, mut tall, mut units) = (1, 1, 0);
                for place in 0..usize::from(components) {
                    let Some(&factors) = body.get(7 + 3 * place).filter(|_| 7 + 3 * place < 300)
                    else {
                        break;
                    };
                    let (h, v) = (u64::from(factors >> 4), u64::from(factors & 15));
                    (wide, tall, units) = (wide.max(h), tall.max(v), units + h * v);
                }
                blocks = height.div_ceil(8 * tall) * width.div_ceil(8 * wide) * units;
            }
            ..0xC0 => continue,
            _ => {}
        }
        at += two(data, at);
    }
    blocks.saturating_mul(scans)
}
