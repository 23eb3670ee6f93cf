//! What the service does, wherever it listens and whatever it asks.

use super::value::{count, duration, entries, min_confidence, pending_ttl, positive_duration, size};
use crate::{grpc, results};
use bytesize::ByteSize;
use clap::{Args, ValueEnum};
use std::{str::FromStr, time::Duration};

#[derive(Args, Clone, Debug)]
pub struct Service {
    /// How long the outcome of a session that has ended is held; 0s holds none.
    #[arg(long, env = "FACE_LIVENESS_RESULT_TTL", default_value = "1h", value_name = "DURATION", value_parser = duration)]
    pub result_ttl: Duration,
    /// How many outcomes are held; the least recently used leaves first.
    #[arg(long, env = "FACE_LIVENESS_RESULT_CACHE_ENTRIES", default_value_t = 100_000, value_name = "COUNT", value_parser = entries)]
    pub result_cache_entries: u64,
    /// How long images are held in memory, never longer than their outcome; 0s holds none.
    #[arg(long, env = "FACE_LIVENESS_IMAGE_TTL", default_value = "5m", value_name = "DURATION", value_parser = duration)]
    pub image_ttl: Duration,
    /// How many bytes of images are held, such as 256MiB.
    #[arg(long, env = "FACE_LIVENESS_IMAGE_CACHE_SIZE", default_value = "256MiB", value_name = "SIZE", value_parser = size)]
    pub image_cache_size: ByteSize,
    /// The most image content that is ever held and answered.
    #[arg(long, env = "FACE_LIVENESS_IMAGES", default_value = "full", value_enum)]
    pub images: Images,
    /// How long it is remembered that AWS does not know a session; 0s asks AWS each time.
    #[arg(long, env = "FACE_LIVENESS_NOT_FOUND_TTL", default_value = "2s", value_name = "DURATION", value_parser = duration)]
    pub not_found_ttl: Duration,
    /// The age up to which a session's state is current, and the shortest pause between two reads
    /// of a session.
    #[arg(long, env = "FACE_LIVENESS_PENDING_TTL", default_value = "500ms", value_name = "DURATION", value_parser = pending_ttl)]
    pub pending_ttl: Duration,
    /// Reads a second that AWS grants the account, or `auto`: 25 in us-east-1 and us-west-2, else
    /// 5; 0 sets no limit.
    #[arg(
        long,
        env = "FACE_LIVENESS_QUOTA_TPS",
        default_value = "auto",
        value_name = "RATE",
        allow_negative_numbers = true
    )]
    pub quota_tps: QuotaTps,
    /// How many replicas share the quota evenly, where no shared cache is there to see to it.
    #[arg(long, env = "FACE_LIVENESS_QUOTA_REPLICAS", default_value_t = 1, value_name = "COUNT", value_parser = count)]
    pub quota_replicas: u32,
    /// Whether a session that was asked for is read to its end though nobody waits any more.
    #[arg(long, env = "FACE_LIVENESS_CAPTURE", default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub capture: bool,
    /// The longest that a request may wait for a session to end; below the idle time that balancers
    /// allow.
    #[arg(long, env = "FACE_LIVENESS_MAX_WAIT", default_value = "50s", value_name = "DURATION", value_parser = duration)]
    pub max_wait: Duration,
    /// Confidence from which on a session counts as live: default and floor of what requests ask
    /// for; above 1, up to 100
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
    pub access_log: grpc::AccessLog,
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

/// Reads a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum QuotaTps {
    /// What AWS grants by default in the region.
    Auto,
    /// So many; zero means no limit.
    Rate(f64),
}

impl FromStr for QuotaTps {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => match text.parse() {
                Ok(rate) if rate == 0.0 || (0.1..=100_000.0).contains(&rate) => Ok(Self::Rate(rate)),
                _ => Err("must be auto, 0, or a number from 0.1 to 100000"),
            },
        }
    }
}

impl Service {
    /// The settings of reading and holding, where AWS grants `quota` reads a second by default.
    pub fn results(&self, quota: f64) -> results::ReaderSettings {
        let account = match self.quota_tps {
            QuotaTps::Auto => quota,
            QuotaTps::Rate(rate) => rate,
        };
        // Room for none is no time to hold any: an outcome that has no place has no expiry to tell,
        // and no images beside it.
        let result_ttl = if self.result_cache_entries == 0 { Duration::ZERO } else { self.result_ttl };
        results::ReaderSettings {
            limits: results::CacheLimits {
                result_ttl,
                result_entries: self.result_cache_entries,
                image_ttl: self.image_ttl,
                image_bytes: self.image_cache_size.as_u64(),
                images: self.images.into(),
                not_found_ttl: self.not_found_ttl,
            },
            pending_ttl: self.pending_ttl,
            // What is not held need not be captured.
            capture: self.capture && !result_ttl.is_zero(),
            rate: (account > 0.0).then_some(account),
            replicas: self.quota_replicas,
        }
    }
}
