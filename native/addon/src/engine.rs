//! `NativeEngine`: each method one order. The callback is one weak, bounded, long-lived thread-safe function, released after the threads are joined.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use napi::bindgen_prelude::{AsyncTask, Float64ArraySlice, Function};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi::{Env, Status};
use napi_derive::napi;

use crate::convert::{EngineOptions, SegmentTicket, StreamOptions, TapResult, TrackSetup, WriterOptions, to_u16, to_u32, to_u64, to_uuid};
use crate::failure::{Result, misuse, thrown};
use crate::files::{Join, join};

/// Batches on their way into JavaScript at most; the engine keeps what finds no room.
const BATCHES: usize = 4;
/// How long the last batches may take to get to JavaScript once the threads have ended.
const DELIVERY: Duration = Duration::from_secs(5);

/// Batches that were handed over and not yet received.
#[derive(Default)]
struct Delivery {
    on_their_way: Mutex<u64>,
    arrived: Condvar,
    /// The environment is being torn down: nothing may call into it.
    closed: AtomicBool,
}

impl Delivery {
    fn add(&self, sent: bool) {
        let mut count = self.on_their_way.lock().unwrap_or_else(PoisonError::into_inner);
        if sent {
            *count += 1;
        } else {
            *count = count.saturating_sub(1);
            self.arrived.notify_all();
        }
    }

    fn wait(&self) {
        let count = self.on_their_way.lock().unwrap_or_else(PoisonError::into_inner);
        let still = |count: &mut u64| *count > 0 && !self.closed.load(Ordering::Acquire);
        drop(self.arrived.wait_timeout_while(count, DELIVERY, still));
    }
}

/// The engine. One is enough for a process.
#[napi]
pub struct Engine {
    engine: Arc<easyrms_engine::Engine>,
    delivery: Arc<Delivery>,
}

#[napi]
impl Engine {
    #[napi(constructor)]
    pub fn new(options: EngineOptions) -> Result<Self> {
        let engine = easyrms_engine::Engine::new(to_u32(options.tick_ms, "tickMs")?).map_err(|error| thrown(&error))?;
        Ok(Self { engine: Arc::new(engine), delivery: Arc::default() })
    }

    #[napi]
    pub fn start(&self, env: Env, on_facts: Function<String, ()>) -> Result<()> {
        let delivery = Arc::clone(&self.delivery);
        let callback = on_facts
            .build_threadsafe_function::<String>()
            .weak::<true>()
            .max_queue_size::<BATCHES>()
            .callee_handled::<false>()
            .build_callback(move |call| {
                delivery.add(false);
                Ok(call.value)
            })
            .map_err(|error| misuse(error.reason.clone()))?;
        let delivery = Arc::clone(&self.delivery);
        self.engine
            .start(Box::new(move |batch| {
                if delivery.closed.load(Ordering::Acquire) {
                    return true;
                }
                delivery.add(true);
                let taken = callback.call(batch, ThreadsafeFunctionCallMode::NonBlocking) == Status::Ok;
                if !taken {
                    delivery.add(false);
                }
                taken
            }))
            .map_err(|error| thrown(&error))?;
        // A process that exits without stopping takes the environment away under the network thread.
        let parts = (Arc::clone(&self.engine), Arc::clone(&self.delivery));
        env.add_env_cleanup_hook(parts, |(engine, delivery)| {
            delivery.closed.store(true, Ordering::Release);
            delivery.arrived.notify_all();
            engine.stop().join();
        })
        .map_err(|error| misuse(error.reason.clone()))?;
        Ok(())
    }

    #[napi]
    pub fn stop(&self) -> AsyncTask<Join> {
        let stopping = self.engine.stop();
        let delivery = Arc::clone(&self.delivery);
        join(move || {
            stopping.join();
            delivery.wait();
        })
    }

    #[napi]
    pub fn open_writer(&self, root: f64, options: WriterOptions) -> Result<()> {
        let (root, sync_ms) = (to_u32(root, "root")?, to_u32(options.sync_ms, "syncMs")?);
        self.engine.open_writer(root, sync_ms).map_err(|error| thrown(&error))
    }

    #[napi]
    pub fn close_writer(&self, root: f64) -> Result<AsyncTask<Join>> {
        let closing = self.engine.close_writer(to_u32(root, "root")?).map_err(|error| thrown(&error))?;
        Ok(join(move || closing.join()))
    }

    #[napi]
    pub fn open_stream(&self, options: StreamOptions) -> Result<f64> {
        self.engine.open_stream(options.into_engine()?).map(f64::from).map_err(|error| thrown(&error))
    }

    #[napi]
    pub fn close_stream(&self, stream: f64) -> Result<()> {
        self.engine.close_stream(to_u32(stream, "stream")?).map_err(|error| thrown(&error))
    }

    #[napi]
    pub fn connect(&self, stream: f64, address: String, port: f64, timeout_ms: f64) -> Result<f64> {
        let (stream, port, timeout_ms) = (to_u32(stream, "stream")?, to_u16(port, "port")?, to_u32(timeout_ms, "timeoutMs")?);
        self.engine.connect(stream, &address, port, timeout_ms).map(f64::from).map_err(|error| thrown(&error))
    }

    #[napi]
    pub fn send(&self, connection: f64, text: String) -> Result<()> {
        self.engine.send(to_u32(connection, "connection")?, text).map_err(|error| thrown(&error))
    }

    #[napi]
    pub fn play(&self, connection: f64, tracks: Vec<TrackSetup>) -> Result<()> {
        let tracks: Vec<_> = tracks.into_iter().map(TrackSetup::into_engine).collect::<Result<_>>()?;
        self.engine.play(to_u32(connection, "connection")?, &tracks).map_err(|error| thrown(&error))
    }

    #[napi]
    pub fn keepalive(&self, connection: f64, template: String, first_cseq: f64, interval_ms: f64) -> Result<()> {
        let (first_cseq, interval_ms) = (to_u32(first_cseq, "firstCseq")?, to_u32(interval_ms, "intervalMs")?);
        self.engine.keepalive(to_u32(connection, "connection")?, template, first_cseq, interval_ms).map_err(|error| thrown(&error))
    }

    #[napi]
    pub fn disconnect(&self, connection: f64, last_text: Option<String>) -> Result<()> {
        self.engine.disconnect(to_u32(connection, "connection")?, last_text).map_err(|error| thrown(&error))
    }

    #[napi]
    pub fn ticket(&self, stream: f64, ticket: SegmentTicket) -> Result<()> {
        self.engine.ticket(to_u32(stream, "stream")?, ticket.into_engine()?).map_err(|error| thrown(&error))
    }

    #[napi]
    pub fn stop_recording(&self, stream: f64) -> Result<()> {
        self.engine.stop_recording(to_u32(stream, "stream")?).map_err(|error| thrown(&error))
    }

    #[napi]
    pub fn finish_segment(&self, root: f64, run: String, sequence: f64, final_path: String) -> Result<()> {
        let (root, run, sequence) = (to_u32(root, "root")?, to_uuid(&run)?, to_u32(sequence, "sequence")?);
        self.engine.finish_segment(root, run, sequence, PathBuf::from(final_path)).map_err(|error| thrown(&error))
    }

    #[napi]
    pub fn tap(&self, stream: f64, from_sequence: f64) -> Result<TapResult> {
        let (stream, from_sequence) = (to_u32(stream, "stream")?, to_u64(from_sequence, "fromSequence")?);
        self.engine.tap(stream, from_sequence).map(TapResult::from).map_err(|error| thrown(&error))
    }

    #[napi]
    pub fn read_stream_stats(&self, stream: f64, mut page: Float64ArraySlice) -> Result<bool> {
        // SAFETY: the array is JavaScript's and this is its thread: nobody else touches it before this call returns.
        let page = unsafe { page.as_mut() };
        self.engine.read_stream_stats(to_u32(stream, "stream")?, page).map_err(|error| thrown(&error))
    }

    #[napi]
    pub fn read_writer_stats(&self, root: f64, mut page: Float64ArraySlice) -> Result<bool> {
        // SAFETY: as above.
        let page = unsafe { page.as_mut() };
        self.engine.read_writer_stats(to_u32(root, "root")?, page).map_err(|error| thrown(&error))
    }

    #[napi]
    pub fn read_engine_stats(&self, mut page: Float64ArraySlice) {
        // SAFETY: as above.
        let page = unsafe { page.as_mut() };
        self.engine.read_engine_stats(page);
    }
}
