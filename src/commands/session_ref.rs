//! What stands for a session in the logs, for a support ticket.

use super::End;
use crate::{
    config,
    session::{SessionId, SessionRefKey},
};
use std::io::Read;

pub fn run(config: config::SessionRef) -> Result<(), End> {
    let config::SessionRef { session_id, session_ref_key_file } = config;
    let key = SessionRefKey::read(&session_ref_key_file).map_err(|sentence| End::Usage(vec![sentence]))?;
    let session_id = match session_id.as_str() {
        "-" => {
            let mut text = String::new();
            // An id and a line's end; whatever is longer is none.
            let read = std::io::stdin().take(64).read_to_string(&mut text);
            read.map_err(|error| format!("cannot read standard input: {error}"))?;
            text
        }
        _ => session_id,
    };
    let Some(id) = SessionId::parse(session_id.trim()) else {
        return Err(End::Usage(vec!["the session id must be a UUID of 36 characters in lower-case hex".to_owned()]));
    };
    println!("{}", key.reference(id));
    Ok(())
}
