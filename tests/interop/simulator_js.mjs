// Tests the simulator with the AWS SDK for JavaScript.
//
//     simulator_js.mjs SPEED
//
// Uses the simulator at AWS_ENDPOINT_URL_REKOGNITION, so that the variables that it prints are tested too. It must have been
// started with this --speed, and with a quota.

import { randomUUID } from "node:crypto";
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";

// `import` ignores NODE_PATH, so this uses `require`.
const sdk = createRequire(import.meta.url)("@aws-sdk/client-rekognition");

const SIMULATOR = process.env.AWS_ENDPOINT_URL_REKOGNITION;
const SPEED = Number(process.argv[2]);

// Much longer than any step of a session, for a busy machine.
const TIMEOUT_MS = 30_000;

// The errors of the two operations in the model. The SDK does not list them per operation.
const READ_ERRORS = [
  "AccessDeniedException", "InternalServerError", "InvalidParameterException", "ProvisionedThroughputExceededException",
  "SessionNotFoundException", "ThrottlingException",
];
const CREATE_ERRORS = READ_ERRORS.filter((name) => name !== "SessionNotFoundException");

// One attempt: a retry would hide the expected error.
const client = new sdk.RekognitionClient({ maxAttempts: 1 });

const send = {
  CreateFaceLivenessSession: (request = {}) => client.send(new sdk.CreateFaceLivenessSessionCommand(request)),
  GetFaceLivenessSessionResults: (request) => client.send(new sdk.GetFaceLivenessSessionResultsCommand(request)),
};

const create = async (request) => (await send.CreateFaceLivenessSession(request)).SessionId;

const read = (SessionId) => send.GetFaceLivenessSessionResults({ SessionId });

/** Returns the first response with a final status. */
async function wait(session) {
  const until = Date.now() + TIMEOUT_MS;
  for (;;) {
    const response = await read(session);
    if (!["CREATED", "IN_PROGRESS"].includes(response.Status)) return response;
    expectTrue(Date.now() < until, `the session is still ${response.Status} after ${TIMEOUT_MS} ms`);
    await sleep(100);
  }
}

async function control(method, path, body) {
  const response = await fetch(`${SIMULATOR}/simulator/${path}`, { method, body: body && JSON.stringify(body) });
  expectTrue(response.ok, `the control API returns ${response.status} for ${method} ${path}`);
  return response.json();
}

function expectTrue(truth, sentence) {
  if (!truth) throw new Error(sentence);
}

function equal(what, actual, expected) {
  const [is, should] = [JSON.stringify(actual), JSON.stringify(expected)];
  expectTrue(is === should, `${what} is ${is} and should be ${should}`);
}

/** Asserts that a call fails with the SDK's class for this code, and returns the error. */
async function expect_error(call, name) {
  try {
    await call();
  } catch (error) {
    expectTrue(error instanceof sdk[name], `the error is ${error.constructor.name} with name ${error.name}, not ${name}`);
    equal("its name", error.name, name);
    return error;
  }
  throw new Error(`the request succeeds instead of failing with ${name}`);
}

const isJpeg = (bytes) => bytes instanceof Uint8Array && bytes[0] === 0xff && bytes[1] === 0xd8 && bytes.at(-1) === 0xd9;

function hasBox({ BoundingBox: box }) {
  equal("the members of the box", Object.keys(box).sort(), ["Height", "Left", "Top", "Width"]);
  expectTrue(box.Width > 0 && box.Width <= 1 && box.Height > 0 && box.Height <= 1, "the box exceeds the image");
}

function hasNoResult(response) {
  const extra = ["Confidence", "ReferenceImage", "AuditImages"].filter((name) => response[name] !== undefined);
  expectTrue(extra.length === 0, `a session that is ${response.Status} has ${extra}`);
}

// Created first, so that its three minutes pass during the other tests.
const beforeCreation = Date.now();
const oldSession = await create();
const afterCreation = Date.now();

const checks = {
  "a session is CREATED, then IN_PROGRESS, then SUCCEEDED": async () => {
    const [session, seen, until] = [await create(), [], Date.now() + TIMEOUT_MS];
    while (!seen.includes("SUCCEEDED") && Date.now() < until) {
      const response = await read(session);
      equal("the id in the response", response.SessionId, session);
      if (!seen.includes(response.Status)) seen.push(response.Status);
      if (response.Status !== "SUCCEEDED") hasNoResult(response);
      await sleep(50);
    }
    equal("the order", seen, ["CREATED", "IN_PROGRESS", "SUCCEEDED"]);
  },

  "a success has a confidence, a reference image and the requested audit images: JPEGs with boxes": async () => {
    for (const AuditImagesLimit of [0, 4]) {
      const ClientRequestToken = `outcome-confidence-42-${AuditImagesLimit}`;
      const response = await wait(await create({ ClientRequestToken, Settings: { AuditImagesLimit } }));
      equal("the confidence", response.Confidence, 42);
      equal("the number of audit images", response.AuditImages.length, AuditImagesLimit);
      for (const image of [response.ReferenceImage, ...response.AuditImages]) {
        expectTrue(isJpeg(image.Bytes), "an image is not a JPEG");
        hasBox(image);
      }
    }
  },

  "with an OutputConfig the images are in S3 and not in the response": async () => {
    const OutputConfig = { S3Bucket: "a-bucket", S3KeyPrefix: "some/prefix" };
    const session = await create({ Settings: { OutputConfig, AuditImagesLimit: 1 } });
    const response = await wait(session);
    for (const image of [response.ReferenceImage, ...response.AuditImages]) {
      equal("the bytes", image.Bytes, undefined);
      equal("the bucket", image.S3Object.Bucket, "a-bucket");
      const { Name } = image.S3Object;
      expectTrue(Name.startsWith(`some/prefix/${session}/`), `the object is named ${Name}`);
      hasBox(image);
    }
  },

  "a preferred challenge is the one in the response": async () => {
    const session = await create({ Settings: { ChallengePreferences: [{ Type: "FaceMovementChallenge" }] } });
    equal("the challenge", (await read(session)).Challenge.Type, "FaceMovementChallenge");
  },

  "a ClientRequestToken chooses FAILED and EXPIRED, without a confidence and without images": async () => {
    for (const outcome of ["failed", "expired"]) {
      const response = await wait(await create({ ClientRequestToken: `outcome-${outcome}-1` }));
      equal("the status", response.Status, outcome.toUpperCase());
      hasNoResult(response);
    }
  },

  "the same ClientRequestToken returns the same session, and another one a new session": async () => {
    const first = await create({ ClientRequestToken: "token-1" });
    equal("the second session", await create({ ClientRequestToken: "token-1" }), first);
    expectTrue((await create({ ClientRequestToken: "token-2" })) !== first, "another token gave the same session");
  },

  "an unknown session gets SessionNotFoundException": async () => {
    const error = await expect_error(() => read(randomUUID()), "SessionNotFoundException");
    equal("the HTTP status", error.$metadata.httpStatusCode, 400);
    expectTrue(error.$metadata.requestId, "the error has no request id");
  },

  "every error of the model is parsed as the SDK's own class, for both operations": async () => {
    for (const [operation, names] of [
      ["CreateFaceLivenessSession", CREATE_ERRORS],
      ["GetFaceLivenessSessionResults", READ_ERRORS],
    ]) {
      for (const code of names) {
        const status = code === "InternalServerError" ? 500 : 400;
        await control("POST", "faults", { operation, times: 1, kind: { error: { code, status, message: "scripted" } } });
        const error = await expect_error(() => send[operation]({ SessionId: randomUUID() }), code);
        equal("the message", error.Message ?? error.message, "scripted");
        equal("the HTTP status", error.$metadata.httpStatusCode, status);
      }
    }
    equal("the faults left", await control("GET", "faults"), { faults: [] });
  },

  "an error that the model does not have is parsed by its code": async () => {
    const code = "SomethingOfTomorrowException";
    await control("POST", "faults", { times: 1, kind: { error: { code } } });
    const error = await create().catch((error) => error);
    expectTrue(error instanceof sdk.RekognitionServiceException, "it is not a RekognitionServiceException");
    equal("its name", error.name, code);
  },

  "a request that violates the model gets a ValidationException that names the member": async () => {
    for (const [member, call] of [
      ["sessionId", () => read("not-a-session")],
      ["sessionId", () => read(undefined)],
      ["clientRequestToken", () => create({ ClientRequestToken: "a b" })],
      ["kmsKeyId", () => create({ KmsKeyId: "-" })],
      ["settings.outputConfig.s3Bucket", () => create({ Settings: { OutputConfig: {} } })],
      ["settings.challengePreferences.1.member.type", () => create({ Settings: { ChallengePreferences: [{ Type: "Dance" }] } })],
    ]) {
      const error = await call().catch((error) => error);
      // The model has no class for it, so neither has the SDK.
      equal(`the error of a bad ${member}`, error.name, "ValidationException");
      expectTrue(error.message.includes(`'${member}'`), `the message does not name '${member}': ${error.message}`);
    }
  },

  "a session is deleted after three simulated minutes, and not before": async () => {
    for (;;) {
      // Bounds of its age.
      const least = ((Date.now() - afterCreation) / 1000) * SPEED;
      const response = await read(oldSession).catch((error) => error);
      const most = ((Date.now() - beforeCreation) / 1000) * SPEED;
      if (response instanceof sdk.SessionNotFoundException) {
        expectTrue(most >= 180, `it is deleted after ${most.toFixed(0)} simulated seconds`);
        return;
      }
      if (response instanceof Error) throw response;
      expectTrue(least < 180, `it still exists after ${least.toFixed(0)} simulated seconds`);
      await sleep(100);
    }
  },

  "above its quota an operation gets ThrottlingException, independently of the other one": async () => {
    const drain = async (call) => {
      // The quota is 25 per second: 300 requests at once exceed it on any machine.
      const ends = await Promise.all(Array.from({ length: 300 }, () => call().catch((error) => error)));
      expectTrue(ends.some((end) => end instanceof sdk.ThrottlingException), "300 requests at once met no quota");
      const other = ends.find((end) => end instanceof Error && !(end instanceof sdk.ThrottlingException));
      if (other) throw other;
    };
    const session = await create();
    await drain(() => read(session));
    await create();
    // The quota of reads is available again after a second.
    await sleep(1000);
    await drain(() => create());
    await read(session);
  },
};

let failed = 0;
for (const [sentence, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`ok: ${sentence}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED: ${sentence}: ${error.name === "Error" ? "" : `${error.name}: `}${error.message}`);
  }
}
console.log(`${Object.keys(checks).length - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
