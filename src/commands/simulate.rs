//! Runs the simulator alone, for tests of other services.

use crate::{
    config, process, server,
    simulator::{self, Simulator},
    telemetry,
};

pub async fn run(config: config::Simulate, warnings: &[String]) -> Result<(), String> {
    let config::Simulate { listen, quota_tps, latency, created_for, in_progress_for, gone_after, speed, log } = config;
    let stop = process::stop_signal();
    telemetry::init(log.json(), log.log_level);
    telemetry::warn(warnings);
    let listener = server::bind(listen, "--listen")?;
    let address = server::address(&listener)?;
    println!(
        "A simulated Rekognition Face Liveness listens on http://{address}. Point any AWS SDK or this service at it:

  export AWS_ENDPOINT_URL_REKOGNITION=http://{address} AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1 AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any

Create a session. The token chooses its result (succeeded, confidence-42, failed, expired, pending):

  aws rekognition create-face-liveness-session --client-request-token outcome-failed-1

Script faults, place sessions with a fixed id, count requests, and reset between tests: curl http://{address}/simulator/
"
    );
    let config = simulator::Config { quota_tps, latency, created_for, in_progress_for, gone_after, speed };
    let end = Simulator::new(config).serve(listener, stop).await;
    end.map_err(|error| format!("the simulator failed: {error}"))
}
