//! `NativeFiles`: file steps that need no running engine, each on a worker thread of the runtime.

use std::path::Path;

use easyrms_engine::{EngineError, Root, files, folders, roots, scans};
use napi::bindgen_prelude::{AsyncTask, ToNapiValue, TypeName};
use napi::{Env, Task};
use napi_derive::napi;

use crate::convert::{FreeSpace, RootInspection, SegmentHead, SegmentScan, to_u32, to_u64};
use crate::failure::{Result, rejection};

/// A blocking step and the shape of its answer.
pub struct Step<T, J> {
    run: Option<Box<dyn FnOnce() -> Result<T, EngineError> + Send>>,
    answer: fn(T) -> J,
}

impl<T, J> Step<T, J> {
    fn task(run: impl FnOnce() -> Result<T, EngineError> + Send + 'static, answer: fn(T) -> J) -> AsyncTask<Self>
    where
        T: Send + 'static,
        J: ToNapiValue + TypeName,
    {
        AsyncTask::new(Self { run: Some(Box::new(run)), answer })
    }
}

impl<T: Send + 'static, J: ToNapiValue + TypeName> Task for Step<T, J> {
    /// The engine's error goes along as a value, since only the main thread can make the error object with its code.
    type Output = Result<T, EngineError>;
    type JsValue = J;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        Ok(self.run.take().map_or_else(|| Err(EngineError::Internal("a step runs once".to_owned())), |run| run()))
    }

    fn resolve(&mut self, env: Env, output: Self::Output) -> napi::Result<J> {
        output.map(self.answer).map_err(|error| rejection(env, &error))
    }
}

type Nothing = Step<(), ()>;

#[napi(namespace = "files")]
pub fn scan_segment(path: String) -> AsyncTask<Step<easyrms_media::mp4::Scan, SegmentScan>> {
    Step::task(move || files::scan_segment(Path::new(&path)), SegmentScan::from)
}

#[napi(namespace = "files")]
pub fn open_scan(path: String) -> AsyncTask<Step<u32, f64>> {
    Step::task(move || scans::open(Path::new(&path)), f64::from)
}

#[napi(namespace = "files")]
pub fn step_scan(scan: f64, bytes: f64) -> Result<AsyncTask<Step<Option<easyrms_media::mp4::Scan>, Option<SegmentScan>>>> {
    let (scan, bytes) = (to_u32(scan, "scan")?, to_u64(bytes, "bytes")?);
    Ok(Step::task(move || scans::step(scan, bytes), |found| found.map(SegmentScan::from)))
}

#[napi(namespace = "files")]
pub fn close_scan(scan: f64) -> Result<()> {
    scans::close(to_u32(scan, "scan")?);
    Ok(())
}

#[napi(namespace = "files")]
pub fn read_segment(path: String) -> AsyncTask<Step<files::SegmentEnds, SegmentHead>> {
    Step::task(move || files::read_segment(Path::new(&path)), SegmentHead::from)
}

#[napi(namespace = "files")]
pub fn read_segments(directory: String, names: Vec<String>) -> AsyncTask<Step<String, String>> {
    Step::task(move || folders::read_segments(Path::new(&directory), &names), |text| text)
}

#[napi(namespace = "files")]
pub fn list_folder(directory: String) -> AsyncTask<Step<String, String>> {
    Step::task(move || folders::list_folder(Path::new(&directory)), |text| text)
}

#[napi(namespace = "files")]
pub fn inspect_root(path: String) -> AsyncTask<Step<roots::Inspection, RootInspection>> {
    Step::task(move || roots::inspect(Path::new(&path)), RootInspection::from)
}

#[napi(namespace = "files")]
pub fn adopt_root(path: String, inspected: RootInspection, id: String, serial: String) -> Result<AsyncTask<Nothing>> {
    let inspected = inspected.into_engine()?;
    Ok(Step::task(move || roots::adopt(Path::new(&path), &inspected, &id, &serial), |()| ()))
}

#[napi(namespace = "files")]
pub fn open_root(path: String, id: String) -> AsyncTask<Step<u32, f64>> {
    Step::task(move || roots::open(Path::new(&path), &id), f64::from)
}

#[napi(namespace = "files")]
pub fn close_root(root: f64) -> Result<AsyncTask<Nothing>> {
    let root = to_u32(root, "root")?;
    Ok(Step::task(move || roots::close(root), |()| ()))
}

#[napi(namespace = "files")]
pub fn check_root(root: f64) -> Result<AsyncTask<Nothing>> {
    let root = to_u32(root, "root")?;
    Ok(Step::task(move || roots::check(root), |()| ()))
}

#[napi(namespace = "files")]
pub fn test_root(root: f64) -> Result<AsyncTask<Nothing>> {
    let root = to_u32(root, "root")?;
    Ok(Step::task(move || roots::test(root), |()| ()))
}

#[napi(namespace = "files")]
pub fn recover_segment(root: f64, path: String) -> Result<AsyncTask<Step<easyrms_media::mp4::Scan, SegmentScan>>> {
    on_root(root, move |root| files::recover_segment(root, Path::new(&path)), SegmentScan::from)
}

#[napi(namespace = "files")]
pub fn rename_durable(root: f64, from: String, to: String) -> Result<AsyncTask<Nothing>> {
    on_root(root, move |root| files::rename_durable(root, Path::new(&from), Path::new(&to)), |()| ())
}

#[napi(namespace = "files")]
pub fn remove_durable(root: f64, path: String, prune_directory: bool) -> Result<AsyncTask<Nothing>> {
    on_root(root, move |root| files::remove_durable(root, Path::new(&path), prune_directory), |()| ())
}

#[napi(namespace = "files")]
pub fn append_durable(root: f64, path: String, line: String) -> Result<AsyncTask<Nothing>> {
    on_root(root, move |root| files::append_durable(root, Path::new(&path), &line), |()| ())
}

#[napi(namespace = "files")]
pub fn free_space(root: f64) -> Result<AsyncTask<Step<(u64, u64), FreeSpace>>> {
    let answer = |(available, total): (u64, u64)| FreeSpace { available_bytes: available as f64, total_bytes: total as f64 };
    on_root(root, files::free_space, answer)
}

/// A step on a root that is open when its turn comes.
fn on_root<T, J>(
    root: f64,
    run: impl FnOnce(&Root) -> Result<T, EngineError> + Send + 'static,
    answer: fn(T) -> J,
) -> Result<AsyncTask<Step<T, J>>>
where
    T: Send + 'static,
    J: ToNapiValue + TypeName,
{
    let root = to_u32(root, "root")?;
    Ok(Step::task(move || roots::get(root).and_then(|root| run(&root)), answer))
}

/// Waits for threads that are on their way out.
pub fn join(wait: impl FnOnce() + Send + 'static) -> AsyncTask<Nothing> {
    Step::task(
        move || {
            wait();
            Ok(())
        },
        |()| (),
    )
}

/// The task that [`join`] makes.
pub type Join = Nothing;
