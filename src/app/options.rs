//! Turns the configuration into the options of the other modules.

use crate::{
    client::Clients,
    config::{Images, QuotaTps, Server, Service, SharedCache, Tls},
    grpc,
    results::{self, ImageSet, Keyring, SharedCacheSettings},
    server::{self, tls},
    store::{CredentialSources, Credentials, StoreSettings},
};
use std::time::Duration;

impl Tls {
    /// Returns the certificate files, or None if the port is plaintext.
    pub fn files(&self) -> Option<tls::Files> {
        let (cert, key) = self.tls_cert.clone().zip(self.tls_key.clone())?;
        Some(tls::Files { cert, key, client_ca: self.tls_client_ca.clone() })
    }
}

impl Server {
    /// Returns the options of the ports.
    pub fn options(&self) -> server::Options {
        server::Options {
            max_requests: self.max_requests as usize,
            max_connections: self.max_connections as usize,
            max_connection_age: self.max_connection_age,
            max_wait: self.service.max_wait,
            reflection: self.service.reflection,
            drain_delay: self.drain_delay,
            drain_timeout: self.drain_timeout,
        }
    }

    /// Returns the settings of the RPC. `region` is the AWS region that results are read from.
    pub fn rpc(&self, region: Option<&str>) -> grpc::RpcOptions {
        grpc::RpcOptions {
            min_confidence: self.service.min_confidence,
            images: image_set(self.service.images),
            max_wait: self.service.max_wait,
            access_log: self.service.access_log,
            clients: Clients {
                identity: self.access.client_identity,
                allowed: self.access.allowed_clients.clone(),
                images: self.access.image_clients.clone(),
            },
            region: region.map(str::to_owned),
        }
    }
}

impl Service {
    /// Returns the settings of caches and polls. `default_quota` is the quota of the region, in
    /// reads per second.
    pub fn results(&self, default_quota: f64) -> results::ReaderSettings {
        let quota = match self.quota_tps {
            QuotaTps::Auto => default_quota,
            QuotaTps::Rate(rate) => rate,
        };
        // A cache without entries has no TTL either. Otherwise responses would have an expiry, and
        // images would be cached without their result.
        let result_ttl = if self.result_cache_entries == 0 { Duration::ZERO } else { self.result_ttl };
        results::ReaderSettings {
            limits: results::CacheLimits {
                result_ttl,
                result_entries: self.result_cache_entries,
                image_ttl: self.image_ttl,
                image_bytes: self.image_cache_size.as_u64(),
                images: image_set(self.images),
                not_found_ttl: self.not_found_ttl,
            },
            pending_ttl: self.pending_ttl,
            // A captured result that is not cached would be lost.
            capture: self.capture && !result_ttl.is_zero(),
            rate: (quota > 0.0).then_some(quota),
            replicas: self.quota_replicas,
            min_confidence: self.min_confidence,
        }
    }
}

impl SharedCache {
    /// Returns the settings of the connection and of the shared cache, or None without a URL.
    ///
    /// # Errors
    /// One sentence for an operator.
    pub fn settings(&self) -> Result<Option<(StoreSettings, SharedCacheSettings)>, String> {
        let (Some(url), Some(key_file)) = (&self.shared_cache_url, &self.shared_cache_key_file) else {
            return Ok(None);
        };
        let sources = CredentialSources {
            credentials: Credentials {
                username: self.shared_cache_username.clone(),
                password: self.shared_cache_password.clone(),
            },
            username_file: self.shared_cache_username_file.clone(),
            password_file: self.shared_cache_password_file.clone(),
        };
        let store = StoreSettings::new(url, self.shared_cache_ca.clone(), sources, self.shared_cache_timeout)
            .map_err(|sentence| format!("--shared-cache-url (FACE_LIVENESS_SHARED_CACHE_URL): {sentence}"))?;
        let keyring = Keyring::read(key_file)
            .map_err(|sentence| format!("--shared-cache-key-file (FACE_LIVENESS_SHARED_CACHE_KEY_FILE): {sentence}"))?;
        Ok(Some((store, SharedCacheSettings { keyring, images: self.shared_cache_images })))
    }
}

const fn image_set(images: Images) -> ImageSet {
    match images {
        Images::Full => ImageSet::ALL,
        Images::Reference => ImageSet::REFERENCE,
        Images::None => ImageSet::NONE,
    }
}
