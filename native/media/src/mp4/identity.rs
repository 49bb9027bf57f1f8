//! The identity box: who the segment is, and the checksum of the header that it ends.

use crate::identity::{ClockTrust, Identity, StreamKind};

use super::Mp4Error;
use super::boxes::{Reader, put_i64, put_u32, put_u64, write_uuid_box};

/// User type of the identity's `uuid` box.
pub(super) const IDENTITY_UUID: [u8; 16] = *b"\x0b\xa0\x21\x2d\x18\xda\x47\x0c\x87\x46\x72\xcd\x6f\x7e\xb8\xfe";
const VERSION: u8 = 1;
const FLAG_CLOCK_TRUSTED: u32 = 1;
const MAX_TEXT_BYTES: usize = 64;

/// Refuses what the box cannot hold.
pub(super) fn validate(identity: &Identity) -> Result<(), Mp4Error> {
    for (field, text) in [("serial", &identity.serial), ("zone", &identity.zone)] {
        if text.len() > MAX_TEXT_BYTES {
            return Err(Mp4Error::IdentityField { field, observed: text.len(), allowed: MAX_TEXT_BYTES });
        }
    }
    Ok(())
}

/// Appends the box, its last field (the header's checksum) still 0.
pub(super) fn write(out: &mut Vec<u8>, identity: &Identity) {
    let flags = match identity.clock {
        ClockTrust::Trusted => FLAG_CLOCK_TRUSTED,
        ClockTrust::Untrusted => 0,
    };
    write_uuid_box(out, &IDENTITY_UUID, VERSION, flags, |out| {
        out.extend_from_slice(&identity.run);
        put_u32(out, identity.sequence);
        put_u32(out, identity.channel);
        put_u64(out, identity.start_mono_ms);
        put_i64(out, identity.start_utc_ms);
        out.push(match identity.stream {
            StreamKind::Main => 0,
            StreamKind::Sub => 1,
        });
        out.push(identity.serial.len() as u8);
        out.push(identity.zone.len() as u8);
        out.push(0);
        out.extend_from_slice(identity.serial.as_bytes());
        out.extend_from_slice(identity.zone.as_bytes());
        put_u64(out, 0);
    });
}

/// Parses the body behind the user type. It ends with the checksum of the header, which the reader of that checks.
pub(super) fn parse(body: &[u8]) -> Result<Identity, Mp4Error> {
    let mut reader = Reader::new(body);
    let (version, flags) = reader.version_and_flags().ok_or(Mp4Error::Foreign { what: "identity is too short" })?;
    if version != VERSION {
        return Err(Mp4Error::Version { what: "identity", observed: version, known: VERSION });
    }
    parse_fields(&mut reader, flags).ok_or(Mp4Error::Foreign { what: "identity holds impossible values" })
}

fn parse_fields(reader: &mut Reader<'_>, flags: u32) -> Option<Identity> {
    let run = reader.array()?;
    let sequence = reader.u32()?;
    let channel = reader.u32()?;
    let start_mono_ms = reader.u64()?;
    let start_utc_ms = reader.i64()?;
    let stream = match reader.u8()? {
        0 => StreamKind::Main,
        1 => StreamKind::Sub,
        _ => return None,
    };
    let serial_bytes = usize::from(reader.u8()?);
    let zone_bytes = usize::from(reader.u8()?);
    reader.skip(1)?;
    let serial = text(reader, serial_bytes)?;
    let zone = text(reader, zone_bytes)?;
    reader.skip(8)?;
    let clock = if flags & FLAG_CLOCK_TRUSTED != 0 { ClockTrust::Trusted } else { ClockTrust::Untrusted };
    reader.remaining().is_empty().then_some(Identity { serial, channel, stream, run, sequence, start_mono_ms, start_utc_ms, clock, zone })
}

fn text(reader: &mut Reader<'_>, bytes: usize) -> Option<String> {
    let raw = reader.take(bytes).filter(|raw| raw.len() <= MAX_TEXT_BYTES)?;
    String::from_utf8(raw.to_vec()).ok()
}
