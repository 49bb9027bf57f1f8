//! In steady state a packet allocates nothing: what is allocated is per fragment.

mod camera;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use camera::{Camera, FRAME_TICKS, FRAME_US, SPS, VIDEO_EPOCH, aac, now, video};

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// 4 Mbit/s: 25 pictures a second of 14 pieces each, and 25 packets of sound.
fn seconds(camera: &mut Camera, from: u32, count: u32, payload: &mut Vec<u8>) -> u64 {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for n in from * 25..(from + count) * 25 {
        let kind = if n.is_multiple_of(50) { 5 } else { 1 };
        let at = now(u64::from(n) * FRAME_US);
        for piece in 0..14 {
            payload.clear();
            payload.extend([0x7c, kind | if piece == 0 { 0x80 } else { 0 } | if piece == 13 { 0x40 } else { 0 }, 0x88, 0x80]);
            payload.resize(1400, 0x55);
            camera.packet(0, VIDEO_EPOCH.wrapping_add(n * FRAME_TICKS), piece == 13, payload, at);
        }
        payload.clear();
        payload.extend([0, 16, 1, 0]);
        payload.resize(4 + 32, 0x21);
        camera.packet(1, n * 1024, true, payload, at);
        // As the ring would.
        camera.fragments.clear();
    }
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

#[test]
fn packets_of_a_steady_stream_allocate_nothing() {
    let mut camera = Camera::new(vec![video(&[SPS]), aac()]);
    let mut payload = Vec::with_capacity(2000);
    seconds(&mut camera, 0, 20, &mut payload);
    let allocations = seconds(&mut camera, 20, 60, &mut payload);
    assert_eq!(camera.counters().video_units, 80 * 25);
    assert_eq!(camera.counters().audio_units, 80 * 25);
    assert!(allocations <= 60 * 20, "{allocations} allocations for 60 fragments of 375 packets");
}
