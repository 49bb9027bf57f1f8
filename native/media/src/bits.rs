//! Bits from the most significant one on, as the syntax tables of ISO/IEC 14496 and ITU-T H.264 read them.

/// Takes fields off the front; `None` once there are too few bits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bits<'a> {
    bytes: &'a [u8],
    next: usize,
    end: usize,
}

impl<'a> Bits<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, next: 0, end: bytes.len().saturating_mul(8) }
    }

    /// Ends after this many bits.
    pub(crate) fn until(self, end: usize) -> Self {
        Self { end: end.min(self.end), ..self }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.next >= self.end
    }

    /// An unsigned number of `count` bits, at most 32.
    pub(crate) fn take(&mut self, count: u32) -> Option<u32> {
        let end = self.next.checked_add(count as usize).filter(|end| *end <= self.end && count <= 32)?;
        let mut value = 0;
        for at in self.next..end {
            value = value << 1 | u32::from(*self.bytes.get(at / 8)? >> (7 - at % 8) & 1);
        }
        self.next = end;
        Some(value)
    }

    pub(crate) fn flag(&mut self) -> Option<bool> {
        self.take(1).map(|bit| bit == 1)
    }

    /// `ue(v)`, ITU-T H.264 section 9.1.
    pub(crate) fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.take(zeros)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golomb_numbers() {
        for (bytes, number) in [
            (&[0x80][..], Some(0)),
            (&[0b0100_0000], Some(1)),
            (&[0b0110_0000], Some(2)),
            (&[0b0010_0000], Some(3)),
            (&[0], None),
            (&[], None),
        ] {
            assert_eq!(Bits::new(bytes).golomb(), number);
        }
        assert_eq!(Bits::new(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]).golomb(), Some(u32::MAX - 1));
        assert_eq!(Bits::new(&[0; 9]).golomb(), None);
    }

    #[test]
    fn nothing_behind_the_end() {
        let mut bits = Bits::new(&[0xf0, 0x0f]).until(12);
        assert_eq!((bits.take(4), bits.take(33), bits.take(9), bits.take(8)), (Some(15), None, None, Some(0)));
        assert!(bits.is_empty());
        assert_eq!(bits.take(0), Some(0));
    }
}
