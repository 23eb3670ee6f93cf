//! The settings of the RPC, the caches and the reads.

use super::value::{count, duration, entries, min_confidence, pending_ttl, positive_duration, size};
use bytesize::ByteSize;
use clap::{Args, ValueEnum};
use std::{str::FromStr, time::Duration};

#[derive(Args, Clone, Debug)]
pub struct Service {
    /// How long a final result is cached; 0s disables the cache.
    #[arg(long, help_heading = "Cache", env = "FACE_LIVENESS_RESULT_TTL", default_value = "1h", value_name = "DURATION", value_parser = duration)]
    pub result_ttl: Duration,
    /// Maximum number of cached results. The least recently used is evicted first.
    #[arg(long, help_heading = "Cache", env = "FACE_LIVENESS_RESULT_CACHE_ENTRIES", default_value_t = 100_000, value_name = "COUNT", value_parser = entries)]
    pub result_cache_entries: u64,
    /// How long images are cached in memory, at most as long as their result; 0s disables it.
    #[arg(long, help_heading = "Cache", env = "FACE_LIVENESS_IMAGE_TTL", default_value = "5m", value_name = "DURATION", value_parser = duration)]
    pub image_ttl: Duration,
    /// Maximum size of all cached images, such as 256MiB.
    #[arg(long, help_heading = "Cache", env = "FACE_LIVENESS_IMAGE_CACHE_SIZE", default_value = "256MiB", value_name = "SIZE", value_parser = size)]
    pub image_cache_size: ByteSize,
    /// Images that may be cached and returned.
    #[arg(long, help_heading = "Cache", env = "FACE_LIVENESS_IMAGES", default_value = "full", value_enum)]
    pub images: Images,
    /// How long "session not found" is cached; 0s reads AWS each time.
    #[arg(long, help_heading = "Cache", env = "FACE_LIVENESS_NOT_FOUND_TTL", default_value = "2s", value_name = "DURATION", value_parser = duration)]
    pub not_found_ttl: Duration,
    /// Maximum age of a pending status, and the shortest interval between two reads of a session.
    #[arg(long, help_heading = "Reads from AWS", env = "FACE_LIVENESS_PENDING_TTL", default_value = "500ms", value_name = "DURATION", value_parser = pending_ttl)]
    pub pending_ttl: Duration,
    /// Quota of the AWS account in reads per second; `auto`: 25 in us-east-1 and us-west-2, else 5;
    /// 0: unlimited.
    #[arg(
        long,
        help_heading = "Reads from AWS",
        env = "FACE_LIVENESS_QUOTA_TPS",
        default_value = "auto",
        value_name = "RATE",
        allow_negative_numbers = true
    )]
    pub quota_tps: QuotaTps,
    /// Number of replicas. Each uses an equal share of the quota. Ignored while the shared cache is
    /// available.
    #[arg(long, help_heading = "Reads from AWS", env = "FACE_LIVENESS_QUOTA_REPLICAS", default_value_t = 1, value_name = "COUNT", value_parser = count)]
    pub quota_replicas: u32,
    /// Keep polling a session after all callers left, with spare quota, so that its result is not
    /// lost.
    #[arg(long, help_heading = "Reads from AWS", env = "FACE_LIVENESS_CAPTURE", default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub capture: bool,
    /// Maximum time that a request may wait for a final result; keep it below the idle timeout of
    /// load balancers.
    #[arg(long, help_heading = "Requests", env = "FACE_LIVENESS_MAX_WAIT", default_value = "50s", value_name = "DURATION", value_parser = duration)]
    pub max_wait: Duration,
    /// Confidence from which a session counts as live: the default and the minimum for requests;
    /// above 1, at most 100 [default: none]
    #[arg(long, help_heading = "Requests", env = "FACE_LIVENESS_MIN_CONFIDENCE", value_name = "CONFIDENCE", value_parser = min_confidence)]
    pub min_confidence: Option<f32>,
    /// Timeout of one read from AWS, including credentials and connection.
    #[arg(long, help_heading = "Reads from AWS", env = "FACE_LIVENESS_UPSTREAM_TIMEOUT", default_value = "5s", value_name = "DURATION", value_parser = positive_duration)]
    pub upstream_timeout: Duration,
    /// Serve gRPC server reflection.
    #[arg(long, help_heading = "Requests", env = "FACE_LIVENESS_REFLECTION", default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub reflection: bool,
    /// Successful requests that are logged. Failed ones always are.
    #[arg(long, help_heading = "Logs", env = "FACE_LIVENESS_ACCESS_LOG", default_value = "images", value_enum)]
    pub access_log: AccessLog,
}

/// The images that a server may cache and return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Images {
    /// All images.
    Full,
    /// The reference image.
    Reference,
    /// None. No face is cached.
    None,
}

/// The requests that are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AccessLog {
    /// None.
    None,
    /// Those with a face in the response.
    Images,
    /// All, including rejected ones.
    All,
}

/// A quota.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum QuotaTps {
    /// AWS's default for the region.
    Auto,
    /// Reads per second; zero means no limit.
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
