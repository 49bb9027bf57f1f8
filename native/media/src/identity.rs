//! Who a segment is, written into its header so that the file alone can be indexed again.

/// Trust in the wall clock when the run started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockTrust {
    Untrusted,
    Trusted,
}

/// Which RTSP presentation of the camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    Main,
    Sub,
}

/// Identity of a segment. Outside the catalog a segment is known by (`run`, `sequence`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Serial of the box, at most 64 bytes of UTF-8.
    pub serial: String,
    pub channel: u32,
    pub stream: StreamKind,
    /// UUID of the run.
    pub run: [u8; 16],
    /// Counts the segments of the run from 0.
    pub sequence: u32,
    /// Host's monotonic clock at the first sample, milliseconds; comparable within one boot only.
    pub start_mono_ms: u64,
    /// UTC of the first sample, milliseconds.
    pub start_utc_ms: i64,
    pub clock: ClockTrust,
    /// IANA name of the site's zone, at most 64 bytes.
    pub zone: String,
}
