//! What the system says of a piece of memory.

/// Bytes of output from which on whole lines may go past the cache: what is smaller is better found there by whoever
/// reads it next.
pub const LARGE: usize = 16 << 20;

/// Pages that are asked for.
#[cfg(target_os = "linux")]
const SAMPLES: usize = 16;

/// Whether stores to `bytes` pay when they go past the cache: there are many, and the pages exist.
///
/// A page that nobody has touched yet is zeroed by the system at the first store, which leaves it in the cache, where
/// ordinary stores find it. A few pages stand for all of them: a wrong guess costs time and nothing else.
#[must_use]
pub fn pays_to_stream(bytes: &[u8]) -> bool {
    bytes.len() >= LARGE && is_resident(bytes)
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "asks the system about pages")]
fn is_resident(bytes: &[u8]) -> bool {
    // SAFETY: asks for a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let Ok(page) = usize::try_from(page) else { return false };
    if !page.is_power_of_two() || bytes.len() < SAMPLES * page {
        return false;
    }
    (0..SAMPLES).all(|sample| {
        let at = (bytes.len() - 1) / (SAMPLES - 1) * sample;
        let address = bytes.as_ptr().wrapping_add(at).addr() & !(page - 1);
        let mut state = 0;
        // SAFETY: the system looks the address up, which lies in a page of `bytes`, and writes a byte for the one page.
        let failed = unsafe {
            libc::mincore(std::ptr::without_provenance_mut(address), page, &raw mut state)
        };
        failed == 0 && state & 1 == 1
    })
}

#[cfg(not(target_os = "linux"))]
fn is_resident(_bytes: &[u8]) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_pages_and_small_outputs_are_not_streamed() {
        assert!(!pays_to_stream(&vec![1; LARGE - 1]));
        let zeroed: Vec<u8> = vec![0; 4 * LARGE];
        assert!(!pays_to_stream(&zeroed));
        #[cfg(target_os = "linux")]
        assert!(pays_to_stream(&vec![1; LARGE]));
    }
}
