//! Calls that a correct caller never makes are named; ids of what is gone are passed over.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::PathBuf;

use easyrms_engine::{Engine, EngineError, roots};
use support::{Bench, RUN, options};

fn code<T>(result: Result<T, EngineError>) -> &'static str {
    result.err().map_or("none", |error| error.code())
}

#[test]
fn before_the_start_and_after_the_stop() {
    let engine = Engine::new(50).unwrap();
    assert_eq!(code(engine.open_stream(options())), "ENGINE_MISUSE");
    engine.start(Box::new(|_| true)).unwrap();
    assert_eq!(code(engine.start(Box::new(|_| true))), "ENGINE_MISUSE");
    let stream = engine.open_stream(options()).unwrap();
    engine.stop().join();
    engine.stop().join();
    assert_eq!(code(engine.connect(stream, "127.0.0.1", 1, 1)), "ENGINE_MISUSE");
    assert_eq!(code(engine.tap(stream, 0)), "ENGINE_MISUSE");
    assert_eq!(code(engine.start(Box::new(|_| true))), "ENGINE_MISUSE");
    engine.read_engine_stats(&mut [0.0; 4]);
}

#[test]
fn ids_that_were_never_given_out() {
    let bench = Bench::new();
    let engine = &bench.engine;
    for id in [0, u32::MAX] {
        assert_eq!(code(engine.close_stream(id)), "ENGINE_MISUSE");
        assert_eq!(code(engine.connect(id, "127.0.0.1", 1, 1)), "ENGINE_MISUSE");
        assert_eq!(code(engine.send(id, String::new())), "ENGINE_MISUSE");
        assert_eq!(code(engine.play(id, &[])), "ENGINE_MISUSE");
        assert_eq!(code(engine.disconnect(id, None)), "ENGINE_MISUSE");
        assert_eq!(code(engine.stop_recording(id)), "ENGINE_MISUSE");
        assert_eq!(code(engine.close_writer(id)), "ENGINE_MISUSE");
        assert_eq!(code(engine.open_writer(id, 250)), "ENGINE_MISUSE");
        assert_eq!(code(engine.read_writer_stats(id, &mut [])), "ENGINE_MISUSE");
        assert_eq!(code(roots::check(id)), "ENGINE_MISUSE");
        assert_eq!(code(roots::close(id)), "ENGINE_MISUSE");
        assert_eq!(code(engine.finish_segment(id, RUN, 0, PathBuf::new())), "ENGINE_MISUSE");
        assert_eq!(code(engine.read_stream_stats(id, &mut [])), "ENGINE_MISUSE");
    }
    bench.stop();
}

#[test]
fn ids_of_what_is_gone() {
    let bench = Bench::new();
    let (engine, stream) = (&bench.engine, bench.stream);
    engine.close_stream(stream).unwrap();
    engine.close_stream(stream).unwrap();
    engine.stop_recording(stream).unwrap();
    assert!(!engine.read_stream_stats(stream, &mut []).unwrap());
    let connection = engine.connect(stream, "127.0.0.1", 1, 1).unwrap();
    let gone = bench.wait_kind("disconnected");
    assert_eq!(gone["connection"], connection, "also a connection that never was is reported gone");
    engine.send(connection, "x".to_owned()).unwrap();
    engine.disconnect(connection, Some("x".to_owned())).unwrap();
    engine.close_writer(bench.root).unwrap().join();
    engine.close_writer(bench.root).unwrap().join();
    engine.finish_segment(bench.root, RUN, 0, PathBuf::from("/nowhere")).unwrap();
    assert_eq!(bench.wait_kind("segmentFailed")["errno"], libc::ENODEV);
    assert!(!engine.read_writer_stats(bench.root, &mut []).unwrap());
    roots::close(bench.root).unwrap();
    roots::close(bench.root).unwrap();
    assert_eq!(code(roots::test(bench.root)), "ROOT_UNAVAILABLE");
    assert_eq!(code(engine.open_writer(bench.root, 250)), "ROOT_UNAVAILABLE");
    bench.stop();
}

#[test]
fn values_that_cannot_be() {
    let bench = Bench::new();
    assert_eq!(code(Engine::new(5)), "INPUT_INVALID");
    assert_eq!(code(bench.engine.connect(bench.stream, "camera.local", 554, 1000)), "INPUT_INVALID");
    assert_eq!(code(roots::open(&bench.path("nothing"), support::ROOT)), "NOT_FOUND");
    std::fs::write(bench.path("file"), "").unwrap();
    assert_eq!(code(roots::inspect(&bench.path("file"))), "NOT_FOUND");
    assert_eq!(code(bench.engine.open_writer(bench.root, 250)), "ENGINE_MISUSE", "one writer a root");
    assert_eq!(code(bench.engine.open_stream(easyrms_engine::StreamOptions { fragment_ms: 1, ..options() })), "INPUT_INVALID");
    let connection = bench.engine.connect(bench.stream, "::1", 1, 1000).unwrap();
    assert_eq!(code(bench.engine.send(connection, "x".repeat(70_000))), "INPUT_INVALID");
    assert_eq!(code(bench.engine.keepalive(connection, String::new(), 0, 1)), "INPUT_INVALID");
    bench.stop();
}

#[test]
fn an_engine_that_nobody_stops_ends_with_its_owner() {
    let (sender, batches) = std::sync::mpsc::channel();
    let engine = Engine::new(20).unwrap();
    engine.start(Box::new(move |batch| sender.send(batch).is_ok())).unwrap();
    drop(engine);
    assert!(batches.recv_timeout(std::time::Duration::from_secs(5)).is_err(), "the callback is dropped with the thread");
}

#[test]
fn the_last_facts_wait_for_a_callback_that_is_busy() {
    let (sender, batches) = std::sync::mpsc::channel();
    let free_at = std::time::Instant::now() + std::time::Duration::from_millis(500);
    let engine = Engine::new(20).unwrap();
    engine.start(Box::new(move |batch| std::time::Instant::now() >= free_at && sender.send(batch).is_ok())).unwrap();
    let stream = engine.open_stream(options()).unwrap();
    engine.close_stream(stream).unwrap();
    engine.connect(stream, "127.0.0.1", 1, 1).unwrap();
    engine.stop().join();
    assert!(batches.iter().any(|batch| batch.contains("disconnected")));
}
