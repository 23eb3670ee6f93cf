//! Runs the service, or validates its configuration.

use super::{failure::Failure, open_files};
use crate::{
    app::App,
    config, process,
    rekognition::{Loaded, Rekognition},
    server::{self, Stopped, tls::Tls},
    session::SessionRefKey,
    telemetry,
};
use std::{cell::OnceCell, time::Instant};

pub async fn run(config: config::Serve, warnings: &[String]) -> Result<(), Failure> {
    let config::Serve { listen, admin_listen, server: mut config, log, validate: validate_only, effective } = config;
    let lowered =
        open_files::fit(&mut config.max_connections).map_err(|sentence| Failure::Configuration(vec![sentence]))?;
    let warnings = &[warnings, &lowered].concat();
    let paths = config.clone();
    let files = tokio::task::spawn_blocking(move || -> Result<_, String> {
        Ok((tls(&paths)?, session_refs(&paths)?, paths.shared_cache.settings()?))
    });
    let (tls, session_refs, shared_cache) = files.await.expect("reading files does not panic")?;
    if validate_only {
        telemetry::init(log.json(), log.log_level);
        telemetry::warn(warnings);
        return validate(tls.as_ref(), Rekognition::from_environment(config.service.upstream_timeout).await);
    }
    let stop = process::stop_signal();
    let telemetry = telemetry::init(log.json(), log.log_level);
    telemetry::warn(warnings);
    process::prepare();
    // Bind first, so that a port in use is reported before anything else happens.
    let listener = server::bind(listen, "--listen")?;
    let admin = server::bind(admin_listen, "--admin-listen")?;
    // Without a region in the environment, the SDK asks IMDS. Where there is none, that takes
    // seconds.
    let rekognition = Rekognition::from_environment(config.service.upstream_timeout);
    let mut stop = std::pin::pin!(stop);
    let Loaded { rekognition, malformed, missing, warnings, .. } = tokio::select! {
        loaded = rekognition => loaded,
        () = &mut stop => return Ok(()),
    };
    if !malformed.is_empty() {
        return Err(Failure::Configuration(malformed));
    }
    telemetry::warn(&missing);
    telemetry::warn(&warnings);
    let shared_cache_address = shared_cache.as_ref().map(|(store, _)| store.address());
    tracing::info!(set = effective.set, defaults = effective.defaults, shared_cache_address, "configuration");
    let (address, admin_address) = (server::address(&listener)?, server::address(&admin)?);
    let (region, version, tls_is_on) = (rekognition.region(), env!("CARGO_PKG_VERSION"), tls.is_some());
    tracing::info!(%address, %admin_address, region, tls = tls_is_on, version, "listening");
    // The last spans must be exported within the time of the shutdown.
    let (time, over) = (config.drain_delay + config.drain_timeout, OnceCell::new());
    let stop = async {
        stop.await;
        over.get_or_init(|| Instant::now() + time);
    };
    let end = App { listener, admin, tls, session_refs, shared_cache, config, rekognition }.run(stop).await;
    telemetry.shutdown(over.get().map_or(time, |over| over.saturating_duration_since(Instant::now()))).await;
    match end {
        Ok(Stopped::Drained) => tracing::info!("stopped"),
        Ok(Stopped::CutOff) => tracing::warn!("stopped; requests that outlasted the drain timeout were cut off"),
        Err(error) => return Err(format!("the server failed: {error}").into()),
    }
    Ok(())
}

/// Reports the problems that `serve` would report. A missing AWS setting or an expired certificate
/// is an error here, although `serve` starts with it: no read would succeed, or no client connect.
fn validate(tls: Option<&Tls>, aws: Loaded) -> Result<(), Failure> {
    telemetry::warn(&aws.warnings);
    telemetry::warn(tls.and_then(Tls::not_yet_valid).as_slice());
    let expired = tls.and_then(Tls::expired).map(|sentence| format!("{TLS_FLAGS}: {sentence}"));
    let problems: Vec<_> = [aws.malformed, aws.missing].concat().into_iter().chain(expired).collect();
    if !problems.is_empty() {
        return Err(Failure::Configuration(problems));
    }
    println!("The configuration is valid.");
    Ok(())
}

/// Validates the files that the configuration names.
pub fn problems(config: &config::Server) -> Vec<String> {
    [tls(config).err(), session_refs(config).err(), config.shared_cache.settings().err()]
        .into_iter()
        .flatten()
        .collect()
}

const TLS_FLAGS: &str = "--tls-cert, --tls-key and --tls-client-ca (FACE_LIVENESS_TLS_CERT, _KEY, _CLIENT_CA)";

fn tls(config: &config::Server) -> Result<Option<Tls>, String> {
    let load = |files| Tls::load(files).map_err(|sentence| format!("{TLS_FLAGS}: {sentence}"));
    config.tls.files().map(load).transpose()
}

fn session_refs(config: &config::Server) -> Result<SessionRefKey, String> {
    config.session_ref_key_file.as_deref().map_or_else(|| Ok(SessionRefKey::random()), SessionRefKey::read)
}
