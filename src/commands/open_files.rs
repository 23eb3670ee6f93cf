//! Fits the connections of clients into the limit of open files.

use crate::{process, server};

/// Raises the limit of open files. If it is still too low, lowers `max_connections` to what fits,
/// so that AWS, the shared cache and the admin port keep theirs, and returns a warning. It is no
/// error: the limit belongs to the machine, and `--validate` often runs on another one.
///
/// # Errors
/// One sentence for an operator: no connection fits.
pub fn fit(max_connections: &mut u32) -> Result<Vec<String>, String> {
    let Some(limit) = process::raise_open_files() else { return Ok(Vec::new()) };
    let (configured, needed) = (*max_connections, server::open_files(*max_connections));
    if needed <= limit {
        return Ok(Vec::new());
    }
    *max_connections = server::max_connections(limit);
    let problem = format!(
        "the hard limit of open files (ulimit -Hn, LimitNOFILE) is {limit}, and --max-connections \
         {configured} (FACE_LIVENESS_MAX_CONNECTIONS) needs {needed}"
    );
    match *max_connections {
        0 => Err(format!("{problem}: raise it; one connection needs {}", server::open_files(1))),
        fitting => Ok(vec![format!("{problem}: only {fitting} connections are served until it is raised")]),
    }
}
