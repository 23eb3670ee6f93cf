// The same load as load.go, with the same arguments, input and output.
// It runs in clients/node, whose modules it uses.

import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const CONNECTIONS = 2;
const INTERVAL_MS = 100;
const WAIT_INTERVAL_MS = 1000;
const WAIT_MS = 10_000;
const TIMEOUT_MS = 5_000; // Of a call, in addition to its wait.

const PROTO = "faceliveness/v1/face_liveness_service.proto";
const includeDirs = [fileURLToPath(new URL("../../proto", import.meta.url))];
const { FaceLivenessService } = grpc.loadPackageDefinition(loadSync(PROTO, { includeDirs })).faceliveness.v1;

const counts = {};
function add(name, error) {
  const count = (counts[name] ??= { calls: 0, failed: {} });
  count.calls++;
  if (!error) return;
  // Without the times in messages, the same errors are the same text.
  const text = error.message.replace(/\d+/g, "#");
  count.failed[text] = (count.failed[text] ?? 0) + 1;
}

function load(client, sessionId, waitMs, intervalMs, name) {
  const request = { sessionId, wait: { seconds: waitMs / 1000 } };
  setInterval(() => {
    const deadline = Date.now() + waitMs + TIMEOUT_MS;
    client.getLivenessResult(request, { deadline }, (error) => add(name, error));
  }, intervalMs);
}

const [address, settings, session, pending, ca] = process.argv.slice(2);
const credentials = ca ? grpc.credentials.createSsl(Buffer.from(ca)) : grpc.credentials.createInsecure();
for (const [name, config] of Object.entries(JSON.parse(settings))) {
  // Without it, clients of one process share a connection.
  const options = { "grpc.use_local_subchannel_pool": 1 };
  if (config) options["grpc.service_config"] = JSON.stringify(config);
  for (let connection = 0; connection < CONNECTIONS; connection++) {
    const client = new FaceLivenessService(address, credentials, options);
    load(client, session, 0, INTERVAL_MS, name);
    if (pending) load(client, pending, WAIT_MS, WAIT_INTERVAL_MS, "waits");
  }
}

const lines = createInterface({ input: process.stdin });
lines.on("line", () => console.log(JSON.stringify(counts)));
lines.on("close", () => process.exit());
