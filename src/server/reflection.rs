//! Reflection, for those who may ask.

use super::incoming::Peer;
use crate::{
    client::Clients,
    error::{Context, Error, Reason},
    proto,
    telemetry::metrics::Metrics,
};
use std::sync::Arc;
use tonic::{
    Request, Status,
    service::{Interceptor, interceptor::InterceptedService},
};
use tonic_reflection::server::{v1, v1alpha};

/// Both versions, since older tools speak v1alpha only. It knows google.rpc, so that they print error details. Who may not
/// ask may not ask what could be asked.
pub fn services(
    clients: &Clients,
    metrics: &Arc<Metrics>,
) -> (
    Guarded<v1::ServerReflectionServer<impl v1::ServerReflection>>,
    Guarded<v1alpha::ServerReflectionServer<impl v1alpha::ServerReflection>>,
) {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let sound = "the descriptors were compiled with this program";
    let guard = Guard { clients: clients.clone(), metrics: Arc::clone(metrics) };
    let v1 = InterceptedService::new(builder().build_v1().expect(sound), guard.clone());
    (v1, InterceptedService::new(builder().build_v1alpha().expect(sound), guard))
}

pub type Guarded<S> = InterceptedService<S, Guard>;

/// Lets those through who may ask.
#[derive(Clone)]
pub struct Guard {
    clients: Clients,
    metrics: Arc<Metrics>,
}

impl Interceptor for Guard {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let peer = request.extensions().get::<Arc<Peer>>();
        let caller = self.clients.caller(peer.map(|peer| &**peer), request.metadata());
        let allowed = match peer.is_some_and(|peer| peer.is_over_limit()) {
            true => Err(Error::new(Reason::Overloaded)),
            false => self.clients.may_ask(&caller),
        };
        allowed.map_err(|error| {
            self.metrics.errors.with_label_values(&[error.reason.name()]).inc();
            error.to_status(&Context::default())
        })?;
        Ok(request)
    }
}
