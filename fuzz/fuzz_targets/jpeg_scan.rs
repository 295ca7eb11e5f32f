//! Coded data: the header of a well-formed file, and any bytes after it. The first byte chooses the file.
//!
//! ```sh
//! cargo +nightly fuzz run jpeg_scan -- -max_len=2048
//! ```

#![no_main]

mod judge;

/// Files whose headers are used: one a subsampling, and two that are progressive.
const FILES: [&[u8]; 8] = [
    include_bytes!("../seeds/grey.jpg"),
    include_bytes!("../seeds/444.jpg"),
    include_bytes!("../seeds/422.jpg"),
    include_bytes!("../seeds/420.jpg"),
    include_bytes!("../seeds/restarts.jpg"),
    include_bytes!("../seeds/411.jpg"),
    include_bytes!("../seeds/progressive.jpg"),
    include_bytes!("../seeds/absurd.jpg"),
];

/// The end of the first scan's header.
fn header(file: &[u8]) -> &[u8] {
    let mut at = 2;
    loop {
        let len = usize::from(u16::from_be_bytes([file[at + 2], file[at + 3]]));
        let is_scan = file[at + 1] == 0xda;
        at += 2 + len;
        if is_scan {
            return &file[..at];
        }
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((&first, rest)) = data.split_first() else { return };
    let mut file = header(FILES[usize::from(first) % FILES.len()]).to_vec();
    file.extend_from_slice(rest);
    if first & 0x80 == 0 {
        file.extend_from_slice(&[0xff, 0xd9]);
    }
    judge::judge(&file);
});
