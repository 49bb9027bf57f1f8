//! ISO/IEC 14496-12 section 4.2 boxes: writing them nested, reading them without ever stepping outside.

/// Bytes of a plain box header: size and type.
pub(super) const BOX_HEADER_BYTES: usize = 8;
/// Bytes of the header of a `uuid` box: size, type and user type.
pub(super) const UUID_HEADER_BYTES: usize = 24;

/// Four characters that name a box.
pub(super) type BoxKind = [u8; 4];

/// Appends a box whose body is what `body` appends. Bodies stay far below 4 GiB: every caller bounds them.
pub(super) fn write_box(out: &mut Vec<u8>, kind: BoxKind, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&kind);
    body(out);
    let size = (out.len() - start) as u32;
    patch(out, start, &size.to_be_bytes());
}

/// A box with version and flags (ISO/IEC 14496-12 section 4.2 `FullBox`).
pub(super) fn write_full_box(out: &mut Vec<u8>, kind: BoxKind, version: u8, flags: u32, body: impl FnOnce(&mut Vec<u8>)) {
    write_box(out, kind, |out| {
        put_u32(out, u32::from(version) << 24 | flags);
        body(out);
    });
}

/// A private box: `uuid`, the user type, then version and flags as in a `FullBox`.
pub(super) fn write_uuid_box(out: &mut Vec<u8>, user_type: &[u8; 16], version: u8, flags: u32, body: impl FnOnce(&mut Vec<u8>)) {
    write_box(out, *b"uuid", |out| {
        out.extend_from_slice(user_type);
        put_u32(out, u32::from(version) << 24 | flags);
        body(out);
    });
}

/// Overwrites bytes written before; a range outside `out` (a programming error) changes nothing.
pub(super) fn patch(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(slot) = out.get_mut(at..at + bytes.len()) {
        slot.copy_from_slice(bytes);
    }
}

pub(super) fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(super) fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(super) fn put_u32s(out: &mut Vec<u8>, values: impl IntoIterator<Item = u32>) {
    for value in values {
        put_u32(out, value);
    }
}

pub(super) fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(super) fn put_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Takes big-endian fields off the front of a slice; `None` once it is too short.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(front)
    }

    pub(super) fn skip(&mut self, count: usize) -> Option<()> {
        self.take(count).map(|_| ())
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    /// Version and flags of a `FullBox`.
    pub(super) fn version_and_flags(&mut self) -> Option<(u8, u32)> {
        let word = self.u32()?;
        Some(((word >> 24) as u8, word & 0x00FF_FFFF))
    }

    pub(super) fn remaining(&self) -> &'a [u8] {
        self.0
    }
}

/// The boxes inside a body, in order; ends at the first that does not fit. Sizes 0 and 1 (to the end, 64 bit) do not occur inside ours.
pub(super) fn children(body: &[u8]) -> impl Iterator<Item = (BoxKind, &[u8])> {
    let mut reader = Reader::new(body);
    std::iter::from_fn(move || {
        let size = reader.u32()? as usize;
        let kind = reader.array()?;
        let body = reader.take(size.checked_sub(BOX_HEADER_BYTES)?)?;
        Some((kind, body))
    })
}

/// Body of the first child of this kind.
pub(super) fn child(body: &[u8], kind: BoxKind) -> Option<&[u8]> {
    children(body).find(|(found, _)| *found == kind).map(|(_, body)| body)
}

/// Body of the first child `uuid` box of this user type, behind the user type.
pub(super) fn uuid_child<'a>(body: &'a [u8], user_type: &[u8; 16]) -> Option<&'a [u8]> {
    children(body).filter(|(kind, _)| kind == b"uuid").find_map(|(_, body)| body.strip_prefix(user_type))
}
