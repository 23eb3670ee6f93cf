//! Settings of the endpoint that exclude each other.

use crate::{
    certificates::{Authority, Secret},
    commands::run,
    program::aws,
};
use std::fs;

/// A folder for files. It is removed when this is dropped.
struct Files(Secret);

impl Files {
    fn new() -> Self {
        Self(Secret::new(&Authority::new().server(), ""))
    }

    /// Writes a file, and returns its path.
    fn write(&self, name: &str, content: &str) -> String {
        let path = self.0.files().cert.with_file_name(name);
        fs::write(&path, content).expect("the folder is writable");
        path.to_str().expect("the path is text").to_owned()
    }
}

#[tokio::test]
async fn an_endpoint_excludes_its_variants_wherever_they_are_set() {
    let files = Files::new();
    let endpoint = "endpoint_url = http://127.0.0.1:1";
    for (variant, name) in
        [("use_dualstack_endpoint", "AWS_USE_DUALSTACK_ENDPOINT"), ("use_fips_endpoint", "AWS_USE_FIPS_ENDPOINT")]
    {
        let in_profile = files.write("config-1", &format!("[default]\nregion = us-east-1\n{endpoint}\n"));
        let both_in_profile =
            files.write("config-2", &format!("[default]\nregion = us-east-1\n{endpoint}\n{variant} = true\n"));
        let variant_in_profile = files.write("config-3", &format!("[default]\n{variant} = true\n"));
        let key = &aws("http://127.0.0.1:1")[1..];
        for settings in [
            [&aws("http://127.0.0.1:1")[..], &[(name, "true")]].concat(),
            [key, &[(name, "true"), ("AWS_CONFIG_FILE", &in_profile)]].concat(),
            [key, &[("AWS_CONFIG_FILE", &both_in_profile)]].concat(),
            [&aws("http://127.0.0.1:1")[..], &[("AWS_CONFIG_FILE", &variant_in_profile)]].concat(),
            [key, &[(name, "true"), ("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")]].concat(),
        ] {
            for command in [&["check"][..], &["serve", "--validate"]] {
                run(command, &settings).await.assert_error(64, &[name, "cannot be true"]);
            }
        }
    }
}
