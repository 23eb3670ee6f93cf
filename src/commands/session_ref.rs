//! Prints the log reference of a session, for a support ticket.

use crate::{
    config,
    session::{SessionId, SessionRefKey},
};
use std::io::Read;

/// The argument that means standard input.
const STANDARD_INPUT: &str = "-";

/// Validates the key, and the id unless it is on standard input.
pub fn problems(config: &config::SessionRef) -> Vec<String> {
    let key = SessionRefKey::read(&config.session_ref_key_file).err();
    let id = (config.session_id != STANDARD_INPUT).then(|| parse(&config.session_id).err()).flatten();
    key.into_iter().chain(id).collect()
}

pub fn run(config: config::SessionRef) -> Result<(), String> {
    let config::SessionRef { mut session_id, session_ref_key_file } = config;
    let key = SessionRefKey::read(&session_ref_key_file)?;
    if session_id == STANDARD_INPUT {
        session_id.clear();
        // An id and a line break fit.
        let read = std::io::stdin().take(64).read_to_string(&mut session_id);
        read.map_err(|error| format!("cannot read standard input: {error}"))?;
    }
    println!("{}", key.reference(parse(session_id.trim())?));
    Ok(())
}

fn parse(text: &str) -> Result<SessionId, String> {
    SessionId::parse(text).ok_or_else(|| "the session id must be a UUID of 36 characters in lower-case hex".to_owned())
}
