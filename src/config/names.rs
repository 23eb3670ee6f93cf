//! Finds unknown variables. A misspelled one would leave its setting at the default.

use super::cli::Cli;
use clap::CommandFactory;
use std::collections::{BTreeMap, BTreeSet};

/// The environment, by name.
pub type Variables = BTreeMap<String, String>;

const PREFIX: &str = "FACE_LIVENESS_";

/// Only names with this prefix are compared, since [`PREFIX`] itself can be misspelled: a pod has a
/// dozen variables for each Service of its namespace.
const COMPARED: &str = "FACE";

/// A name within this edit distance of a known one is a misspelling.
const MAX_EDITS: usize = 2;

/// Returns a problem for each misspelled name, and a warning for each other unknown name.
pub fn check(variables: &Variables) -> (Vec<String>, Vec<String>) {
    let known = known();
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    for name in variables.keys().filter(|name| !known.contains(*name) && !is_service_link(name)) {
        if let Some(nearest) = nearest(name, &known) {
            problems.push(format!("{name:?} is not a variable of this program: do you mean {nearest}?"));
        } else if name.starts_with(PREFIX) {
            warnings.push(format!("{name:?} is not a variable of this program, and is ignored"));
        }
    }
    (problems, warnings)
}

/// Returns the variables of all commands: several often share an environment.
fn known() -> BTreeSet<String> {
    let command = Cli::command();
    let arguments = command.get_subcommands().flat_map(clap::Command::get_arguments);
    arguments.filter_map(|argument| Some(argument.get_env()?.to_str()?.to_owned())).collect()
}

/// Returns the known name that is nearest to `name`, within [`MAX_EDITS`]. Case is ignored.
fn nearest<'a>(name: &str, known: &'a BTreeSet<String>) -> Option<&'a String> {
    let name = name.to_ascii_uppercase();
    let near = |known: &&String| name.len().abs_diff(known.len()) <= MAX_EDITS * char::MAX.len_utf8();
    let compared = known.iter().filter(|_| name.starts_with(COMPARED)).filter(near);
    let distances = compared.map(|known| (strsim::osa_distance(&name, known), known));
    distances.min().filter(|(edits, _)| *edits <= MAX_EDITS).map(|(_, known)| known)
}

/// Decides whether Kubernetes sets this variable for a Service whose name begins with
/// `face-liveness`.
fn is_service_link(name: &str) -> bool {
    name.starts_with(PREFIX) && (name.ends_with("_SERVICE_HOST") || name.ends_with("_PORT") || name.contains("_PORT_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_names(names: &[&str]) -> (Vec<String>, Vec<String>) {
        check(&names.iter().map(|name| ((*name).to_owned(), "any".to_owned())).collect())
    }

    #[test]
    fn a_misspelled_name_is_rejected_with_the_known_one() {
        for (name, meant) in [
            ("FACE_LIVENESS_TLS_CERTS", "FACE_LIVENESS_TLS_CERT"),
            ("FACE_LIVENESS_ALLOWED_CLIENT", "FACE_LIVENESS_ALLOWED_CLIENTS"),
            ("FACE_LIVENESS_TLS_CRET", "FACE_LIVENESS_TLS_CERT"),
            ("FACE_LIVENESS_LISTENER", "FACE_LIVENESS_LISTEN"),
            ("FACE_LIVENESS_TLS-CERT", "FACE_LIVENESS_TLS_CERT"),
            ("FACE_LIVENESS_TLS_CERT\n", "FACE_LIVENESS_TLS_CERT"),
            ("FACE_LIVNESS_TLS_KEY", "FACE_LIVENESS_TLS_KEY"),
            ("face_liveness_tls_key", "FACE_LIVENESS_TLS_KEY"),
        ] {
            let (problems, warnings) = check_names(&[name]);
            assert_eq!(problems, [format!("{name:?} is not a variable of this program: do you mean {meant}?")]);
            assert_eq!(warnings, Vec::<String>::new());
        }
    }

    #[test]
    fn another_unknown_name_is_a_warning() {
        let (problems, warnings) =
            check_names(&["FACE_LIVENESS_TLS_CERT_FILE", "FACE_LIVENESS_", "FACE_LIVENESS_TEAM"]);
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(warnings.len(), 3);
        assert_eq!(warnings[2], r#""FACE_LIVENESS_TLS_CERT_FILE" is not a variable of this program, and is ignored"#);
    }

    #[test]
    fn known_names_service_links_and_names_of_others_are_accepted() {
        let known: Vec<_> = known().into_iter().collect();
        assert!(known.len() > 30, "{known:?}");
        let links = [
            "FACE_LIVENESS_SERVICE_HOST",
            "FACE_LIVENESS_SERVICE_PORT",
            "FACE_LIVENESS_SERVICE_PORT_GRPC",
            "FACE_LIVENESS_PORT",
            "FACE_LIVENESS_PORT_50051_TCP",
            "FACE_LIVENESS_FACADE_PORT_50051_TCP_ADDR",
            "FACE_LIVENESS_FACADE_ADMIN_SERVICE_HOST",
        ];
        let others = ["PATH", "FACEBOOK_TOKEN", "AWS_REGION", ""];
        let names: Vec<_> = known.iter().map(String::as_str).chain(links).chain(others).collect();
        assert_eq!(check_names(&names), (Vec::new(), Vec::new()));
    }
}
