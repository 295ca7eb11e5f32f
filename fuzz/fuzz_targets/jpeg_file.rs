//! Whole files: every backend gives what the plain version gives, whole or row by row, or all leave the file to Pillow.
//!
//! ```sh
//! cp -r fuzz/seeds fuzz/corpus/jpeg_file && cargo +nightly fuzz run jpeg_file -- -max_len=4096
//! ```

#![no_main]

mod judge;

libfuzzer_sys::fuzz_target!(|data: &[u8]| judge::judge(data));
