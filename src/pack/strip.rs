//! Patches side by side in one strip, as MiniCPM-V's models take them.

use crate::error::Result;
use crate::parallel::Watch;

/// Patches between two looks at the watch.
const WATCH_EVERY: usize = 64;

/// Fills `strip`, (channels, side, patches * side), with `patches`, (patches, channels, side, side), of `line` bytes a
/// row of a patch's channel.
///
/// # Errors
/// `Interrupted`.
pub fn side_by_side(
    patches: &[u8],
    (channels, side, line): (usize, usize, usize),
    strip: &mut [u8],
    watch: &Watch<'_>,
) -> Result<()> {
    let lines = channels * side;
    if patches.is_empty() || lines == 0 || line == 0 {
        return Ok(());
    }
    let length = strip.len() / lines;
    for (number, patch) in patches.chunks_exact(lines * line).enumerate() {
        if number.is_multiple_of(WATCH_EVERY) {
            watch.check()?;
        }
        for (from, to) in patch.chunks_exact(line).zip(strip.chunks_exact_mut(length)) {
            to[number * line..][..line].copy_from_slice(from);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_patches_follow_one_another() {
        // Two patches of two channels, two rows of two bytes each.
        let patches: Vec<u8> = (0..16).collect();
        let mut strip = [0; 16];
        let done = side_by_side(&patches, (2, 2, 2), &mut strip, &Watch::new(None));
        assert_eq!(done, Ok(()));
        assert_eq!(strip, [0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15]);
    }
}
