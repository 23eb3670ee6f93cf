//! Every flag, variable and default in the program, parsed into types before anything starts.
//!
//! A flag wins over its variable, and that over the default. AWS's own settings stay with AWS's variables. No sibling's logic is here.

use crate::{results, service, telemetry};
use bytesize::ByteSize;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{net::SocketAddr, time::Duration};

/// One typed, cached gRPC call in front of Amazon Rekognition Face Liveness.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the service, against AWS or any endpoint in AWS_ENDPOINT_URL_REKOGNITION.
    ///
    /// Region, credentials, proxy and endpoint come from AWS's standard variables, profiles and roles.
    Serve(Serve),
    /// Runs the service and a simulated Rekognition on this machine, and prints lines to paste.
    ///
    /// Needs neither an AWS account nor anything else.
    #[cfg(feature = "simulator")]
    #[command(mut_arg("access_log", |arg| arg.default_value("all")))]
    #[command(mut_arg("upstream_timeout", |arg| arg.default_value("1s")))]
    Demo(Demo),
    /// Runs the simulated Rekognition alone, for any AWS SDK.
    #[cfg(feature = "simulator")]
    Simulate(Simulate),
}

#[derive(Args, Debug)]
pub struct Serve {
    /// Address of the gRPC port; port 0 is the system's choice, which the log tells.
    #[arg(long, env = "FACE_LIVENESS_LISTEN", default_value = "[::]:50051", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    #[command(flatten)]
    pub service: Service,
    /// How long requests in flight may take to end when the service stops.
    #[arg(long, env = "FACE_LIVENESS_DRAIN_TIMEOUT", default_value = "20s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub drain_timeout: Duration,
    #[command(flatten)]
    pub log: Log,
}

/// What the service does, wherever it listens and whatever it asks.
#[derive(Args, Clone, Debug)]
pub struct Service {
    /// How long the outcome of a session that has ended is held; 0s holds none.
    #[arg(long, env = "FACE_LIVENESS_RESULT_TTL", default_value = "1h", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub result_ttl: Duration,
    /// How many outcomes are held; the least recently used leaves first.
    #[arg(long, env = "FACE_LIVENESS_RESULT_CACHE_ENTRIES", default_value_t = 100_000, value_name = "COUNT")]
    pub result_cache_entries: u64,
    /// How long images are held in memory, never longer than their outcome; 0s holds none.
    #[arg(long, env = "FACE_LIVENESS_IMAGE_TTL", default_value = "5m", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub image_ttl: Duration,
    /// How many bytes of images are held, such as 256MiB.
    #[arg(long, env = "FACE_LIVENESS_IMAGE_CACHE_SIZE", default_value = "256MiB", value_name = "SIZE")]
    pub image_cache_size: ByteSize,
    /// The most image content that is ever held and answered.
    #[arg(long, env = "FACE_LIVENESS_IMAGES", default_value = "full", value_enum)]
    pub images: Images,
    /// How long it is remembered that AWS does not know a session; 0s asks AWS each time.
    #[arg(long, env = "FACE_LIVENESS_NOT_FOUND_TTL", default_value = "2s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub not_found_ttl: Duration,
    /// Confidence from which on a session counts as live: default and floor of what requests ask for; above 1, up to 100
    /// [default: none]
    #[arg(long, env = "FACE_LIVENESS_MIN_CONFIDENCE", value_name = "CONFIDENCE", value_parser = min_confidence)]
    pub min_confidence: Option<f32>,
    /// How long one read from AWS may take, credentials and connection included.
    #[arg(long, env = "FACE_LIVENESS_UPSTREAM_TIMEOUT", default_value = "5s", value_name = "DURATION", value_parser = positive_duration)]
    pub upstream_timeout: Duration,
    /// Whether gRPC server reflection is served.
    #[arg(long, env = "FACE_LIVENESS_REFLECTION", default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub reflection: bool,
    /// Which answered requests are logged; refused ones always are.
    #[arg(long, env = "FACE_LIVENESS_ACCESS_LOG", default_value = "images", value_enum)]
    pub access_log: service::AccessLog,
}

#[derive(Args, Debug)]
pub struct Log {
    /// [default: text on a terminal, else json]
    #[arg(long, env = "FACE_LIVENESS_LOG_FORMAT", value_enum)]
    pub log_format: Option<telemetry::Format>,
    /// How much is logged; libraries log at most at info.
    #[arg(long, env = "FACE_LIVENESS_LOG_LEVEL", default_value = "info", value_enum)]
    pub log_level: telemetry::Level,
}

#[cfg(feature = "simulator")]
#[derive(Args, Debug)]
pub struct Demo {
    /// Address of the gRPC port; port 0 is the system's choice.
    #[arg(long, default_value = "127.0.0.1:50051", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    #[command(flatten)]
    pub service: Service,
}

#[cfg(feature = "simulator")]
#[derive(Args, Debug)]
pub struct Simulate {
    /// Address of the HTTP port; port 0 is the system's choice.
    #[arg(long, default_value = "127.0.0.1:4580", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Reads and creations a second, each; beyond it AWS's ThrottlingException. 0 never throttles.
    #[arg(long, default_value_t = 25, value_name = "RATE")]
    pub quota_tps: u32,
    /// How long each answer takes.
    #[arg(long, default_value = "0s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub latency: Duration,
    /// How long a session stays CREATED.
    #[arg(long, default_value = "5s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub created_for: Duration,
    /// How long a session stays IN_PROGRESS.
    #[arg(long, default_value = "8s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub in_progress_for: Duration,
    /// When a session is forgotten, from its creation on.
    #[arg(long, default_value = "3m", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub gone_after: Duration,
    /// How many times faster than real time sessions live.
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR", value_parser = speed)]
    pub speed: f64,
    #[command(flatten)]
    pub log: Log,
}

/// The most image content that a server holds and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Images {
    /// All images.
    Full,
    /// The reference image.
    Reference,
    /// None: no face is ever kept.
    None,
}

impl From<Images> for results::ImageSet {
    fn from(images: Images) -> Self {
        match images {
            Images::Full => Self::ALL,
            Images::Reference => Self::REFERENCE,
            Images::None => Self::NONE,
        }
    }
}

impl Service {
    /// The settings of the cache.
    pub fn limits(&self) -> results::Limits {
        results::Limits {
            result_ttl: self.result_ttl,
            result_entries: self.result_cache_entries,
            image_ttl: self.image_ttl,
            image_bytes: self.image_cache_size.as_u64(),
            images: self.images.into(),
            not_found_ttl: self.not_found_ttl,
        }
    }

    /// The settings of the RPC.
    pub fn rpc(&self) -> service::Settings {
        service::Settings {
            min_confidence: self.min_confidence,
            images: self.images.into(),
            access_log: self.access_log,
        }
    }
}

fn min_confidence(text: &str) -> Result<f32, &'static str> {
    text.parse().ok().filter(|threshold| service::is_min_confidence(*threshold)).ok_or(service::MIN_CONFIDENCE_RULE)
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("must be longer than nothing".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(feature = "simulator")]
fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse().map_err(|_| "must be a number".to_owned())?;
    if (0.01..=1000.0).contains(&speed) { Ok(speed) } else { Err("must be from 0.01 to 1000".to_owned()) }
}

#[cfg(test)]
mod tests;
