//! Errors of the engine as JavaScript gets them: an `Error` whose `code` is an `ErrorCode` of `src/base/errors.ts`.

use easyrms_engine::EngineError;
use napi::{Env, Error, JsError, Unknown};

/// What a call that returns at once throws.
pub type Thrown = Error<&'static str>;

/// A result of a call that returns at once.
pub type Result<T, E = Thrown> = std::result::Result<T, E>;

pub fn thrown(error: &EngineError) -> Thrown {
    Error::new(error.code(), error.to_string())
}

/// A call that a correct caller never makes.
pub fn misuse(what: String) -> Thrown {
    thrown(&EngineError::Misuse(what))
}

/// What a promise is rejected with: tasks can carry the runtime's own status only, so the error object is made here.
pub fn rejection(env: Env, error: &EngineError) -> Error {
    let object: Unknown = JsError::from(thrown(error)).into_unknown(env);
    Error::from(object)
}
