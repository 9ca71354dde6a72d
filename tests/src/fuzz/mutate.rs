//! Damage to bytes of any format.

use rand::Rng;
use rand::seq::IndexedRandom;
use rand_pcg::Pcg64Mcg;

/// All chance of an input comes from one of these.
pub type Random = Pcg64Mcg;

/// Inputs grow to about so many bytes: enough for what takes time by the square of a length to be noticed.
pub const MOST_BYTES: usize = 1 << 20;

/// One of so many inputs grows.
const GROWN: u32 = 300;

/// Numbers that programs forget about.
pub const NUMBERS: [&str; 18] = [
    "0",
    "-0",
    "-1",
    "1",
    "2",
    "0.5",
    "255",
    "65536",
    "2147483647",
    "2147483648",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "18446744073709551616",
    "1e308",
    "-1e39",
    "NaN",
    "inf",
];

/// The same as bytes of binary formats.
pub const INTEGERS: [u64; 12] =
    [0, 1, 2, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 40, i64::MAX as u64, u64::MAX];

/// Changes `input` in one place, or in some. `words` are what the format gives a meaning to.
pub fn mutate(random: &mut Random, input: &mut Vec<u8>, words: &[&[u8]]) {
    for _ in 0..few(random) {
        change(random, input, words);
    }
    if random.random_ratio(1, GROWN) {
        grow(random, input);
    }
}

/// Mostly one: damage in many places is refused for the first.
pub fn few(random: &mut Random) -> usize {
    if random.random_ratio(2, 3) { 1 } else { random.random_range(2..5) }
}

fn change(random: &mut Random, input: &mut Vec<u8>, words: &[&[u8]]) {
    let at = random.random_range(0..=input.len());
    if at == input.len() {
        return put_in(random, input, at, words);
    }
    match random.random_range(0..11) {
        0 => input[at] ^= 1 << random.random_range(0..8),
        1 => input[at] = random.random(),
        2 => input[at] = *[0, 1, 0x7f, 0x80, 0xff, b'0', b'\n'].choose(random).expect("there are some"),
        3 => input.truncate(at),
        4 => {
            let end = (at + length(random)).min(input.len());
            input.drain(at..end);
        }
        5 | 6 => put_in(random, input, at, words),
        7 => {
            let copy = input[at..(at + length(random)).min(input.len())].to_vec();
            let to = random.random_range(0..=input.len());
            input.splice(to..to, copy);
        }
        8 => number(random, input, at),
        9 => {
            let width = *[1, 2, 4, 8].choose(random).expect("there are some");
            let value = *INTEGERS.choose(random).expect("there are some");
            let bytes = if random.random() { value.to_le_bytes() } else { (value << (64 - 8 * width)).to_be_bytes() };
            let end = (at + width).min(input.len());
            input[at..end].copy_from_slice(&bytes[..end - at]);
        }
        _ => {
            let other = random.random_range(0..input.len());
            input.swap(at, other);
        }
    }
}

/// Mostly some bytes, seldom many.
fn length(random: &mut Random) -> usize {
    let digits = random.random_range(0..9);
    random.random_range(1..=1 << digits)
}

fn put_in(random: &mut Random, input: &mut Vec<u8>, at: usize, words: &[&[u8]]) {
    let new = match words.choose(random) {
        Some(word) if random.random_ratio(3, 4) => word.to_vec(),
        _ if random.random() => vec![*[0, 0xff, b' ', b'0'].choose(random).expect("there are some"); length(random)],
        _ => (0..random.random_range(1..20)).map(|_| random.random()).collect(),
    };
    input.splice(at..at, new);
}

/// Another number in place of the first one behind `at`, where text has one.
fn number(random: &mut Random, input: &mut Vec<u8>, at: usize) {
    let is_part = |byte: &u8| byte.is_ascii_digit() || b".-".contains(byte);
    let Some(begin) = input[at..].iter().position(u8::is_ascii_digit).map(|begin| at + begin) else { return };
    let end = input[begin..].iter().position(|byte| !is_part(byte)).map_or(input.len(), |end| begin + end);
    input.splice(begin..end, NUMBERS.choose(random).expect("there are some").bytes());
}

/// Repeats a part of the input until there is much of it.
fn grow(random: &mut Random, input: &mut Vec<u8>) {
    if input.is_empty() || input.len() >= MOST_BYTES {
        return;
    }
    let begin = random.random_range(0..input.len());
    // From a word to its next occurrence there is often a whole tag, line or object.
    let word = &input[begin..(begin + random.random_range(1..10)).min(input.len())];
    let next = input[begin + 1..].windows(word.len()).position(|other| other == word);
    let end = match next {
        Some(next) if random.random_ratio(4, 5) => begin + 1 + next,
        _ => random.random_range(begin..input.len()) + 1,
    };
    let wanted = random.random_range(1..=MOST_BYTES - input.len());
    let many = input[begin..end].repeat(wanted.div_ceil(end - begin));
    input.splice(begin..end, many);
    input.truncate(MOST_BYTES);
}

/// Takes out, doubles or exchanges what lies between separators: lines, tags, columns.
pub fn pieces(random: &mut Random, input: &[u8], separator: u8) -> Vec<u8> {
    let mut pieces: Vec<&[u8]> = input.split(|&byte| byte == separator).collect();
    for _ in 0..few(random) {
        let [a, b] = [(); 2].map(|()| random.random_range(0..pieces.len()));
        match random.random_range(0..4) {
            0 if pieces.len() > 1 => drop(pieces.remove(a)),
            1 => pieces.insert(a, pieces[b]),
            2 => pieces.swap(a, b),
            _ => pieces[a] = b"",
        }
    }
    pieces.join(&separator)
}
