//! The network thread: all camera connections on one epoll, woken by a tick once they play.

mod connection;
mod hub;
mod keepalive;
mod run;
mod stream;
mod thread;

pub use thread::{Callback, NetOptions, WAKER, spawn};
