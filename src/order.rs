//! Sorting. A sort of the standard library is eight kilobytes of code for each type and each way to compare; where it
//! takes no time that counts, one of numbers does for all.

/// Sorts numbers by a key. Those with equal keys come in any order.
#[inline(never)]
pub fn sort_by_key(numbers: &mut [usize], key: &mut dyn FnMut(usize) -> (u64, u64)) {
    numbers.sort_unstable_by_key(|&number| key(number));
}

/// Sorts numbers.
pub fn sort(numbers: &mut [usize]) {
    sort_by_key(numbers, &mut |number| (number as u64, 0));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_in_the_order_of_their_keys() {
        let mut numbers = [3, 1, 2, 9, 0];
        sort(&mut numbers);
        assert_eq!(numbers, [0, 1, 2, 3, 9]);
        sort_by_key(&mut numbers, &mut |number| (number as u64 % 3, u64::MAX - number as u64));
        assert_eq!(numbers, [9, 3, 0, 1, 2]);
    }
}
