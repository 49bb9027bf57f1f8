//! CRC-64/XZ (the CRC-64 that Alibaba Cloud OSS reports for objects), and joining the checksums of two adjoining pieces.

/// Polynomial of ECMA-182, bits reflected.
const POLYNOMIAL: u64 = 0xC96C_5795_D787_0F42;

/// `x^(8 * 2^k)` modulo the polynomial: what `2^k` following bytes do to a checksum.
const BYTE_POWERS: [u64; 64] = {
    let mut powers = [0; 64];
    let mut power = 1 << 55; // x^8; bit 63 is x^0
    let mut k = 0;
    while k < 64 {
        powers[k] = power;
        power = multiply(power, power);
        k += 1;
    }
    powers
};

/// A checksum in progress.
#[derive(Default)]
pub(super) struct Crc64(crc64fast::Digest);

impl Crc64 {
    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    pub(super) fn sum64(&self) -> u64 {
        self.0.sum64()
    }
}

impl std::fmt::Debug for Crc64 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.sum64())
    }
}

/// Checksum of one piece.
pub(super) fn crc64(bytes: &[u8]) -> u64 {
    let mut digest = Crc64::default();
    digest.write(bytes);
    digest.sum64()
}

/// Checksum of two adjoining pieces from theirs, so that no byte is read twice.
pub(super) fn combine(first: u64, second: u64, second_bytes: u64) -> u64 {
    let mut shifted = first;
    for (k, power) in BYTE_POWERS.iter().enumerate() {
        if second_bytes >> k & 1 == 1 {
            shifted = multiply(*power, shifted);
        }
    }
    shifted ^ second
}

/// Product of two polynomials over GF(2) modulo [`POLYNOMIAL`].
const fn multiply(a: u64, b: u64) -> u64 {
    let mut product = 0;
    let mut factor = b;
    let mut bit = 64;
    while bit > 0 {
        bit -= 1;
        if a >> bit & 1 == 1 {
            product ^= factor;
        }
        factor = (factor >> 1) ^ (if factor & 1 == 1 { POLYNOMIAL } else { 0 });
    }
    product
}

/// Both hashes of a file's bytes from its first one on, and their number.
#[derive(Debug, Clone)]
pub(super) struct FileHashes {
    crc64: u64,
    blake3: blake3::Hasher,
    bytes: u64,
}

impl FileHashes {
    pub(super) fn new() -> Self {
        Self { crc64: 0, blake3: blake3::Hasher::new(), bytes: 0 }
    }

    pub(super) fn update(&mut self, piece: &[u8]) {
        self.update_with_crc64(piece, crc64(piece));
    }

    /// For a piece whose checksum is needed elsewhere too.
    pub(super) fn update_with_crc64(&mut self, piece: &[u8], piece_crc64: u64) {
        self.update_blake3(piece);
        self.join_crc64(piece_crc64, piece.len() as u64);
    }

    /// First half of an update whose checksum is known only when all of the piece has been seen: [`Self::join_crc64`] is the other.
    pub(super) fn update_blake3(&mut self, piece: &[u8]) {
        self.blake3.update(piece);
    }

    pub(super) fn join_crc64(&mut self, piece_crc64: u64, piece_bytes: u64) {
        self.crc64 = combine(self.crc64, piece_crc64, piece_bytes);
        self.bytes += piece_bytes;
    }

    pub(super) fn crc64(&self) -> u64 {
        self.crc64
    }

    pub(super) fn blake3(&self) -> [u8; 32] {
        *self.blake3.finalize().as_bytes()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn is_crc_64_xz() {
        // Check value of the CRC catalogue's entry CRC-64/XZ.
        assert_eq!(crc64(b"123456789"), 0x995D_C9BB_DF19_39FA);
    }

    proptest! {
        #[test]
        fn joins_pieces(bytes in proptest::collection::vec(any::<u8>(), 0..5000), cut in any::<prop::sample::Index>()) {
            let (first, second) = bytes.split_at(cut.index(bytes.len() + 1));
            prop_assert_eq!(combine(crc64(first), crc64(second), second.len() as u64), crc64(&bytes));
            let mut hashes = FileHashes::new();
            hashes.update(first);
            hashes.update(second);
            prop_assert_eq!(hashes.crc64(), crc64(&bytes));
            prop_assert_eq!(hashes.blake3(), *blake3::hash(&bytes).as_bytes());
            prop_assert_eq!(hashes.bytes(), bytes.len() as u64);
        }
    }
}
