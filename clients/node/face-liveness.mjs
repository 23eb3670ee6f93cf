// Gets the verdict of an Amazon Rekognition Face Liveness session. Exits 0 only if the person is live.
//
//   npm ci
//   node face-liveness.mjs [ADDRESS [SESSION_ID [WAIT_SECONDS [MAX_RESULT_AGE_SECONDS]]]]

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import { fromJSON, loadSync } from "@grpc/proto-loader";

// Loads the proto file without generated stubs.
const PROTO = "faceliveness/v1/face_liveness_service.proto";
const includeDirs = [fileURLToPath(new URL("../../proto", import.meta.url))];
const stubs = grpc.loadPackageDefinition(loadSync(PROTO, { includeDirs, enums: String })).faceliveness.v1;

// Retries and load balancing, the same for every language.
const SERVICE_CONFIG = readFileSync(new URL("../service-config.json", import.meta.url), "utf8");

// On AWS's scale of 0 to 100. A higher threshold of the service takes precedence.
const MIN_CONFIDENCE = 80;

// Seconds of a call in addition to its wait: for a read from AWS, and retries.
const TIME_TO_RESPOND = 5;

// The next step of the caller.
const Action = {
  LIVE: "live",
  NOT_LIVE: "not live",
  CALL_AGAIN: "pending: ask again",
  NEW_SESSION: "offer a new session",
  FIX_CALL: "fix the call",
  TELL_OPERATOR: "tell the operator",
  RETRY_LATER: "retry later",
  ANOTHER_REPLICA: "ask another replica",
};

// Gets the verdict of a session, and waits that many seconds for a final status. A result that the service first read
// more than maxResultAge seconds ago does not count as live. The library retries as the service config says, within one
// deadline.
function faceLiveness(client, sessionId, wait, maxResultAge) {
  const request = {
    sessionId,
    wait: { seconds: wait },
    minConfidence: MIN_CONFIDENCE,
    maxResultAge: { seconds: maxResultAge },
  };
  const metadata = new grpc.Metadata();
  // For meshes that choose the replica by the hash of a header, so that all calls of a session reach one replica.
  // A hash and not the id, because access logs record headers.
  metadata.set("x-face-liveness-route", createHash("sha256").update(sessionId).digest("hex").slice(0, 16));
  const deadline = Date.now() + (wait + TIME_TO_RESPOND) * 1000;

  return new Promise((resolve) => {
    client.getLivenessResult(request, metadata, { deadline }, (error, response) => {
      resolve(error ? afterError(error) : afterVerdict(response.verdict));
    });
  });
}

// Only VERDICT_LIVE means live, also if verdicts are added.
function afterVerdict(verdict) {
  switch (verdict) {
    case "VERDICT_LIVE":
      return { action: Action.LIVE };
    case "VERDICT_NOT_LIVE":
      return { action: Action.NOT_LIVE };
    case "VERDICT_PENDING":
      return { action: Action.CALL_AGAIN };
    case "VERDICT_INCONCLUSIVE":
    case "VERDICT_TOO_OLD":
      return { action: Action.NEW_SESSION, reason: verdict };
    default:
      return { action: Action.TELL_OPERATOR, reason: `verdict ${verdict}` };
  }
}

function afterError(error) {
  // An error without ErrorInfo comes from the library or from a proxy. It has only a code.
  const { reason = grpc.status[error.code], retryAfter } = details(error);
  return { action: whatToDo(reason, error.code), reason, retryAfter };
}

function whatToDo(reason, code) {
  switch (reason) {
    case "SESSION_NOT_FOUND":
    case "SESSION_GONE":
      return Action.NEW_SESSION;
    case "INVALID_REQUEST":
    case "UPSTREAM_INVALID_PARAMETER":
    case "IMAGES_NOT_ALLOWED":
      return Action.FIX_CALL;
    case "CLIENT_NOT_ALLOWED":
    case "UPSTREAM_ACCESS_DENIED":
    case "UPSTREAM_CREDENTIALS":
    case "UPSTREAM_MALFORMED":
    case "INTERNAL":
    case "UPSTREAM_UNKNOWN":
      return Action.TELL_OPERATOR;
    case "UPSTREAM_THROTTLED":
    case "QUOTA_EXHAUSTED":
    case "OVERLOADED":
    case "UPSTREAM_UNAVAILABLE":
    case "UPSTREAM_TIMEOUT":
    case "DEADLINE_EXCEEDED": // With more time.
      return Action.RETRY_LATER;
    case "SHUTTING_DOWN":
      return Action.ANOTHER_REPLICA;
  }
  // An unknown reason, or none.
  switch (code) {
    case grpc.status.UNAVAILABLE:
    case grpc.status.RESOURCE_EXHAUSTED:
    case grpc.status.DEADLINE_EXCEEDED:
      return Action.RETRY_LATER;
    default:
      return Action.TELL_OPERATOR;
  }
}

// grpc-js does not decode error details, and no small package has the protos of google.rpc. These are the used fields
// of google/rpc/status.proto and error_details.proto.
const message = (fields) => ({ fields });
const nested = {
  Status: message({ details: { rule: "repeated", type: "Any", id: 3 } }),
  Any: message({ typeUrl: { type: "string", id: 1 }, value: { type: "bytes", id: 2 } }),
  ErrorInfo: message({ reason: { type: "string", id: 1 } }),
  RetryInfo: message({ retryDelay: { type: "Duration", id: 1 } }),
  Duration: message({ seconds: { type: "int64", id: 1 }, nanos: { type: "int32", id: 2 } }),
};
const rpc = fromJSON({ nested }, { longs: Number, defaults: true });

function details(error) {
  const found = {};
  for (const bytes of error.metadata.get("grpc-status-details-bin")) {
    for (const { typeUrl, value } of rpc.Status.deserialize(bytes).details) {
      if (typeUrl.endsWith("/google.rpc.ErrorInfo")) {
        found.reason = rpc.ErrorInfo.deserialize(value).reason;
      } else if (typeUrl.endsWith("/google.rpc.RetryInfo")) {
        const { seconds, nanos } = rpc.RetryInfo.deserialize(value).retryDelay;
        found.retryAfter = seconds + nanos / 1e9;
      }
    }
  }
  return found;
}

function inWords({ action, reason, retryAfter }) {
  let text = action;
  if (reason) text += `: ${reason}`;
  if (retryAfter !== undefined) text += `; try again in ${retryAfter.toFixed(1)} s`;
  return text;
}

const [address = "127.0.0.1:50051", sessionId = "facade00-0000-4000-8000-000000000001", wait = 5, maxResultAge = 300] =
  process.argv.slice(2);
// Use one client for the lifetime of a service: calls share its connections and the
// throttling of retries.
// TLS: grpc.credentials.createSsl(rootCertificates); mutual TLS: with the private key and the certificate chain, too.
const client = new stubs.FaceLivenessService(address, grpc.credentials.createInsecure(), {
  "grpc.service_config": SERVICE_CONFIG,
  // Detects a replica that disappears without closing the connection.
  "grpc.keepalive_time_ms": 60_000,
  "grpc.keepalive_timeout_ms": 20_000,
});
const decision = await faceLiveness(client, sessionId, Number(wait), Number(maxResultAge));
client.close();
console.log(inWords(decision));
process.exitCode = decision.action === Action.LIVE ? 0 : 1;
