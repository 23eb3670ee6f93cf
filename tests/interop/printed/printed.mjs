// Prints as JSON what the ways to log a response print, and what clients/README.md advises instead.

import { inspect } from "node:util";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { redacted } from "./redacted.mjs";

const options = { includeDirs: ["../../proto"], enums: String };
const definition = loadSync("faceliveness/v1/face_liveness_service.proto", options);
const { FaceLivenessService } = grpc.loadPackageDefinition(definition).faceliveness.v1;
const [address, sessionId] = process.argv.slice(2);
const client = new FaceLivenessService(address, grpc.credentials.createInsecure());
const request = { sessionId, view: "RESULT_VIEW_FULL" };
client.getLivenessResult(request, { deadline: Date.now() + 10_000 }, (error, response) => {
  client.close();
  if (error) throw error;
  const ways = {
    // As console.log prints it.
    "console.log": inspect(response),
    "JSON.stringify": JSON.stringify(response),
    redacted: redacted(definition, response),
    advised: inspect([response.verdict, response.result.status]),
  };
  console.log(JSON.stringify(ways));
});
