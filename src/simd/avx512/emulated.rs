//! The operations in plain Rust, written from the processor's manual, for tests on any machine.

#![expect(unsafe_code, reason = "the same contracts as the instructions have")]

use super::ops::Ops;

/// No instructions at all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Emulated;

type Bytes = [u8; 64];

fn dwords(v: Bytes) -> [i32; 16] {
    std::array::from_fn(|i| i32::from_le_bytes(std::array::from_fn(|j| v[4 * i + j])))
}

fn of_dwords(dwords: [i32; 16]) -> Bytes {
    std::array::from_fn(|i| dwords[i / 4].to_le_bytes()[i % 4])
}

fn words(v: Bytes) -> [i16; 32] {
    std::array::from_fn(|i| i16::from_le_bytes([v[2 * i], v[2 * i + 1]]))
}

fn of_words(words: [i16; 32]) -> Bytes {
    std::array::from_fn(|i| words[i / 2].to_le_bytes()[i % 2])
}

fn floats(v: Bytes) -> [f32; 16] {
    dwords(v).map(|dword| f32::from_bits(dword.cast_unsigned()))
}

fn of_floats(floats: [f32; 16]) -> Bytes {
    of_dwords(floats.map(|float| float.to_bits().cast_signed()))
}

impl Ops for Emulated {
    type V = Bytes;

    unsafe fn load(self, from: *const u8) -> Bytes {
        // SAFETY: 64 bytes are readable by this method's contract.
        unsafe { from.cast::<Bytes>().read_unaligned() }
    }

    unsafe fn load_widened(self, from: *const u8) -> Bytes {
        // SAFETY: 16 bytes are readable by this method's contract.
        let bytes = unsafe { from.cast::<[u8; 16]>().read_unaligned() };
        of_dwords(bytes.map(i32::from))
    }

    unsafe fn load_masked(self, mask: u64, from: *const u8) -> Bytes {
        std::array::from_fn(|i| {
            if mask >> i & 1 == 1 {
                // SAFETY: readable where masked by this method's contract.
                unsafe { from.wrapping_add(i).read() }
            } else {
                0
            }
        })
    }

    unsafe fn store(self, v: Bytes, to: *mut u8) {
        // SAFETY: 64 bytes are writable by this method's contract.
        unsafe { to.cast::<Bytes>().write_unaligned(v) }
    }

    unsafe fn store_masked(self, mask: u64, v: Bytes, to: *mut u8) {
        for (i, byte) in v.into_iter().enumerate() {
            if mask >> i & 1 == 1 {
                // SAFETY: writable where masked by this method's contract.
                unsafe { to.wrapping_add(i).write(byte) }
            }
        }
    }

    unsafe fn store_lane<const LANE: i32>(self, v: Bytes, to: *mut u8) {
        let mut lane = [0; 64];
        lane[..16].copy_from_slice(&v[LANE as usize * 16..][..16]);
        // SAFETY: 16 bytes are writable by this method's contract.
        unsafe { self.store_masked(0xFFFF, lane, to) }
    }

    unsafe fn stream(self, v: Bytes, to: *mut u8) {
        assert!(to.addr().is_multiple_of(64), "vmovntdq needs an aligned address");
        // SAFETY: 64 bytes are writable by this method's contract.
        unsafe { self.store(v, to) }
    }

    fn splat(self, dword: i32) -> Bytes {
        of_dwords([dword; 16])
    }

    fn splat_qword(self, [low, high]: [i32; 2]) -> Bytes {
        of_dwords(std::array::from_fn(|i| if i % 2 == 0 { low } else { high }))
    }

    fn dot(self, sum: Bytes, bytes: Bytes, weights: Bytes) -> Bytes {
        let mut sums = dwords(sum);
        for i in 0..64 {
            let product = i32::from(bytes[i]) * i32::from(weights[i].cast_signed());
            sums[i / 4] = sums[i / 4].wrapping_add(product);
        }
        of_dwords(sums)
    }

    fn dot_words(self, sum: Bytes, left: Bytes, right: Bytes) -> Bytes {
        let (mut sums, left, right) = (dwords(sum), words(left), words(right));
        for i in 0..32 {
            let product = i32::from(left[i]) * i32::from(right[i]);
            sums[i / 2] = sums[i / 2].wrapping_add(product);
        }
        of_dwords(sums)
    }

    fn add(self, a: Bytes, b: Bytes) -> Bytes {
        let (a, b) = (dwords(a), dwords(b));
        of_dwords(std::array::from_fn(|i| a[i].wrapping_add(b[i])))
    }

    fn subtract_dwords(self, a: Bytes, b: Bytes) -> Bytes {
        let (a, b) = (dwords(a), dwords(b));
        of_dwords(std::array::from_fn(|i| a[i].wrapping_sub(b[i])))
    }

    fn high_dwords(self, v: Bytes) -> Bytes {
        let v = dwords(v);
        of_dwords(std::array::from_fn(|i| if i % 2 == 0 { v[i + 1] } else { 0 }))
    }

    fn xor(self, a: Bytes, b: Bytes) -> Bytes {
        std::array::from_fn(|i| a[i] ^ b[i])
    }

    fn shift_right_by<const N: u32>(self, v: Bytes) -> Bytes {
        of_dwords(dwords(v).map(|dword| dword >> N))
    }

    fn shift_left<const N: u32>(self, v: Bytes) -> Bytes {
        of_dwords(dwords(v).map(|dword| dword << N))
    }

    fn shift_right(self, v: Bytes, counts: Bytes) -> Bytes {
        let (v, counts) = (dwords(v), dwords(counts));
        of_dwords(std::array::from_fn(|i| v[i] >> counts[i].clamp(0, 31)))
    }

    fn shift_right_words(self, v: Bytes, counts: Bytes) -> Bytes {
        let (v, counts) = (words(v), words(counts));
        of_words(std::array::from_fn(|i| v[i] >> counts[i].clamp(0, 15)))
    }

    fn permute(self, index: Bytes, v: Bytes) -> Bytes {
        index.map(|i| v[usize::from(i % 64)])
    }

    fn permute_masked(self, mask: u64, index: Bytes, v: Bytes) -> Bytes {
        self.blend(mask, [0; 64], self.permute(index, v))
    }

    fn permute2(self, a: Bytes, index: Bytes, b: Bytes) -> Bytes {
        index.map(|i| if i & 64 == 0 { a[usize::from(i % 64)] } else { b[usize::from(i % 64)] })
    }

    fn permute_dwords(self, index: Bytes, v: Bytes) -> Bytes {
        let v = dwords(v);
        of_dwords(dwords(index).map(|i| v[(i & 15) as usize]))
    }

    fn permute2_dwords(self, a: Bytes, index: Bytes, b: Bytes) -> Bytes {
        let (a, b) = (dwords(a), dwords(b));
        let pick = |i: i32| if i & 16 == 0 { a[(i & 15) as usize] } else { b[(i & 15) as usize] };
        of_dwords(dwords(index).map(pick))
    }

    fn shuffle(self, v: Bytes, index: Bytes) -> Bytes {
        std::array::from_fn(|i| {
            if index[i] & 128 == 0 { v[i / 16 * 16 + usize::from(index[i] % 16)] } else { 0 }
        })
    }

    fn lanes<const PICK: i32>(self, a: Bytes, b: Bytes) -> Bytes {
        std::array::from_fn(|i| {
            let lane = i / 16;
            let from = (PICK >> (2 * lane) & 3) as usize;
            (if lane < 2 { a } else { b })[from * 16 + i % 16]
        })
    }

    fn pack_dwords(self, a: Bytes, b: Bytes) -> Bytes {
        let (a, b) = (dwords(a), dwords(b));
        of_words(std::array::from_fn(|i| {
            let (lane, k) = (i / 8, i % 8);
            let dword = if k < 4 { a[lane * 4 + k] } else { b[lane * 4 + k - 4] };
            dword.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
        }))
    }

    fn pack_words(self, a: Bytes, b: Bytes) -> Bytes {
        let (a, b) = (words(a), words(b));
        std::array::from_fn(|i| {
            let (lane, k) = (i / 16, i % 16);
            let word = if k < 8 { a[lane * 8 + k] } else { b[lane * 8 + k - 8] };
            word.clamp(0, 255) as u8
        })
    }

    fn unpack_bytes<const HIGH: bool>(self, a: Bytes, b: Bytes) -> Bytes {
        std::array::from_fn(|i| {
            let from = i / 16 * 16 + usize::from(HIGH) * 8 + i % 16 / 2;
            if i % 2 == 0 { a[from] } else { b[from] }
        })
    }

    fn unpack_words<const HIGH: bool>(self, a: Bytes, b: Bytes) -> Bytes {
        let (a, b) = (words(a), words(b));
        of_words(std::array::from_fn(|i| {
            let from = i / 8 * 8 + usize::from(HIGH) * 4 + i % 8 / 2;
            if i % 2 == 0 { a[from] } else { b[from] }
        }))
    }

    fn select(self, by: Bytes, low: Bytes, high: Bytes) -> Bytes {
        std::array::from_fn(|i| if by[i] & 128 == 0 { low[i] } else { high[i] })
    }

    fn blend(self, mask: u64, low: Bytes, high: Bytes) -> Bytes {
        std::array::from_fn(|i| if mask >> i & 1 == 0 { low[i] } else { high[i] })
    }

    fn to_floats(self, v: Bytes) -> Bytes {
        of_floats(dwords(v).map(|dword| dword as f32))
    }

    fn subtract(self, a: Bytes, b: Bytes) -> Bytes {
        let (a, b) = (floats(a), floats(b));
        of_floats(std::array::from_fn(|i| a[i] - b[i]))
    }

    fn divide(self, a: Bytes, b: Bytes) -> Bytes {
        let (a, b) = (floats(a), floats(b));
        of_floats(std::array::from_fn(|i| a[i] / b[i]))
    }

    fn multiply(self, a: Bytes, b: Bytes) -> Bytes {
        let (a, b) = (floats(a), floats(b));
        of_floats(std::array::from_fn(|i| a[i] * b[i]))
    }

    fn fused(self, a: Bytes, b: Bytes, c: Bytes) -> Bytes {
        let (a, b, c) = (floats(a), floats(b), floats(c));
        of_floats(std::array::from_fn(|i| a[i].mul_add(b[i], c[i])))
    }

    fn settle(self, _: &mut [Bytes; 4], _: &mut [Bytes; 4]) {}

    fn fence(self) {}
}
