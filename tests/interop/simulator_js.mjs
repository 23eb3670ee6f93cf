// Holds the simulator against the AWS SDK for JavaScript.
//
//     simulator_js.mjs SPEED
//
// The simulator is the one that AWS_ENDPOINT_URL_REKOGNITION names, so that the variables that it prints are tested too. It
// must have been started with that --speed, and with a quota.

import { randomUUID } from "node:crypto";
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";

// Required and not imported, because only require looks along NODE_PATH.
const sdk = createRequire(import.meta.url)("@aws-sdk/client-rekognition");

const SIMULATOR = process.env.AWS_ENDPOINT_URL_REKOGNITION;
const SPEED = Number(process.argv[2]);

// Far beyond any step of a session's life, for a machine that is busy.
const PATIENCE_MS = 30_000;

// Those that the model has for the two operations. The SDK does not say which are whose.
const READ_ERRORS = [
  "AccessDeniedException", "InternalServerError", "InvalidParameterException", "ProvisionedThroughputExceededException",
  "SessionNotFoundException", "ThrottlingException",
];
const CREATE_ERRORS = READ_ERRORS.filter((name) => name !== "SessionNotFoundException");

// One attempt: a retry would hide the error that is waited for.
const client = new sdk.RekognitionClient({ maxAttempts: 1 });

const send = {
  CreateFaceLivenessSession: (request = {}) => client.send(new sdk.CreateFaceLivenessSessionCommand(request)),
  GetFaceLivenessSessionResults: (request) => client.send(new sdk.GetFaceLivenessSessionResultsCommand(request)),
};

const create = async (request) => (await send.CreateFaceLivenessSession(request)).SessionId;

const read = (SessionId) => send.GetFaceLivenessSessionResults({ SessionId });

/** The first answer in which the session has ended. */
async function wait(session) {
  const until = Date.now() + PATIENCE_MS;
  for (;;) {
    const answer = await read(session);
    if (!["CREATED", "IN_PROGRESS"].includes(answer.Status)) return answer;
    holds(Date.now() < until, `the session is still ${answer.Status} after ${PATIENCE_MS} ms`);
    await sleep(100);
  }
}

async function control(method, path, body) {
  const answer = await fetch(`${SIMULATOR}/simulator/${path}`, { method, body: body && JSON.stringify(body) });
  holds(answer.ok, `the control surface answers ${answer.status} to ${method} ${path}`);
  return answer.json();
}

function holds(truth, sentence) {
  if (!truth) throw new Error(sentence);
}

function equal(what, actual, expected) {
  const [is, should] = [JSON.stringify(actual), JSON.stringify(expected)];
  holds(is === should, `${what} is ${is} and should be ${should}`);
}

/** The error of a call that must be refused, as the class that the SDK has for the code. */
async function refused(call, name) {
  try {
    await call();
  } catch (error) {
    holds(error instanceof sdk[name], `the error is ${error.constructor.name} with name ${error.name}, not ${name}`);
    equal("its name", error.name, name);
    return error;
  }
  throw new Error(`the request is answered, not refused with ${name}`);
}

const isJpeg = (bytes) => bytes instanceof Uint8Array && bytes[0] === 0xff && bytes[1] === 0xd8 && bytes.at(-1) === 0xd9;

function hasBox({ BoundingBox: box }) {
  equal("the members of the box", Object.keys(box).sort(), ["Height", "Left", "Top", "Width"]);
  holds(box.Width > 0 && box.Width <= 1 && box.Height > 0 && box.Height <= 1, "the box is no part of the image");
}

function hasNoOutcome(answer) {
  const extra = ["Confidence", "ReferenceImage", "AuditImages"].filter((name) => answer[name] !== undefined);
  holds(extra.length === 0, `a session that is ${answer.Status} has ${extra}`);
}

// Made first, so that its three minutes pass while the other promises are checked.
const askedFor = Date.now();
const forgotten = await create();
const there = Date.now();

const promises = {
  "a session is CREATED, then IN_PROGRESS, then SUCCEEDED": async () => {
    const [session, seen, until] = [await create(), [], Date.now() + PATIENCE_MS];
    while (!seen.includes("SUCCEEDED") && Date.now() < until) {
      const answer = await read(session);
      equal("the id in the answer", answer.SessionId, session);
      if (!seen.includes(answer.Status)) seen.push(answer.Status);
      if (answer.Status !== "SUCCEEDED") hasNoOutcome(answer);
      await sleep(50);
    }
    equal("the order", seen, ["CREATED", "IN_PROGRESS", "SUCCEEDED"]);
  },

  "a success has a confidence, a reference image and as many audit images as were asked for: JPEGs with boxes": async () => {
    for (const AuditImagesLimit of [0, 4]) {
      const ClientRequestToken = `outcome-confidence-42-${AuditImagesLimit}`;
      const answer = await wait(await create({ ClientRequestToken, Settings: { AuditImagesLimit } }));
      equal("the confidence", answer.Confidence, 42);
      equal("the number of audit images", answer.AuditImages.length, AuditImagesLimit);
      for (const image of [answer.ReferenceImage, ...answer.AuditImages]) {
        holds(isJpeg(image.Bytes), "an image is no JPEG");
        hasBox(image);
      }
    }
  },

  "with an OutputConfig the images lie in S3 and not in the answer": async () => {
    const OutputConfig = { S3Bucket: "a-bucket", S3KeyPrefix: "some/prefix" };
    const session = await create({ Settings: { OutputConfig, AuditImagesLimit: 1 } });
    const answer = await wait(session);
    for (const image of [answer.ReferenceImage, ...answer.AuditImages]) {
      equal("the bytes", image.Bytes, undefined);
      equal("the bucket", image.S3Object.Bucket, "a-bucket");
      const { Name } = image.S3Object;
      holds(Name.startsWith(`some/prefix/${session}/`), `the object is named ${Name}`);
      hasBox(image);
    }
  },

  "a preferred challenge is the one in the answer": async () => {
    const session = await create({ Settings: { ChallengePreferences: [{ Type: "FaceMovementChallenge" }] } });
    equal("the challenge", (await read(session)).Challenge.Type, "FaceMovementChallenge");
  },

  "a ClientRequestToken chooses FAILED and EXPIRED, without a confidence and without images": async () => {
    for (const outcome of ["failed", "expired"]) {
      const answer = await wait(await create({ ClientRequestToken: `outcome-${outcome}-1` }));
      equal("the status", answer.Status, outcome.toUpperCase());
      hasNoOutcome(answer);
    }
  },

  "the same ClientRequestToken is the same session, and another is another": async () => {
    const first = await create({ ClientRequestToken: "token-1" });
    equal("the second session", await create({ ClientRequestToken: "token-1" }), first);
    holds((await create({ ClientRequestToken: "token-2" })) !== first, "another token gave the same session");
  },

  "a session that nobody created gets SessionNotFoundException": async () => {
    const error = await refused(() => read(randomUUID()), "SessionNotFoundException");
    equal("the HTTP status", error.$metadata.httpStatusCode, 400);
    holds(error.$metadata.requestId, "the error has no request id");
  },

  "every error of the model is parsed as the SDK's own class, for both operations": async () => {
    for (const [operation, names] of [
      ["CreateFaceLivenessSession", CREATE_ERRORS],
      ["GetFaceLivenessSessionResults", READ_ERRORS],
    ]) {
      for (const code of names) {
        const status = code === "InternalServerError" ? 500 : 400;
        await control("POST", "faults", { operation, times: 1, kind: { error: { code, status, message: "scripted" } } });
        const error = await refused(() => send[operation]({ SessionId: randomUUID() }), code);
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
    holds(error instanceof sdk.RekognitionServiceException, "it is no RekognitionServiceException");
    equal("its name", error.name, code);
  },

  "a request that breaks the model gets a ValidationException that names the member": async () => {
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
      holds(error.message.includes(`'${member}'`), `the message does not name '${member}': ${error.message}`);
    }
  },

  "a session is forgotten after three simulated minutes, and not before": async () => {
    for (;;) {
      // Its age is somewhere between the two.
      const least = ((Date.now() - there) / 1000) * SPEED;
      const answer = await read(forgotten).catch((error) => error);
      const most = ((Date.now() - askedFor) / 1000) * SPEED;
      if (answer instanceof sdk.SessionNotFoundException) {
        holds(most >= 180, `it is forgotten after ${most.toFixed(0)} simulated seconds`);
        return;
      }
      if (answer instanceof Error) throw answer;
      holds(least < 180, `it is still there after ${least.toFixed(0)} simulated seconds`);
      await sleep(100);
    }
  },

  "beyond the quota each operation gets ThrottlingException, without a word to the other": async () => {
    const drain = async (call) => {
      // The quota is 25 a second: no machine sends 300 requests so slowly that all of them pass.
      const ends = await Promise.all(Array.from({ length: 300 }, () => call().catch((error) => error)));
      holds(ends.some((end) => end instanceof sdk.ThrottlingException), "300 requests at once met no quota");
      const other = ends.find((end) => end instanceof Error && !(end instanceof sdk.ThrottlingException));
      if (other) throw other;
    };
    const session = await create();
    await drain(() => read(session));
    await create();
    // The reads' quota fills again within a second.
    await sleep(1000);
    await drain(() => create());
    await read(session);
  },
};

let failed = 0;
for (const [sentence, check] of Object.entries(promises)) {
  try {
    await check();
    console.log(`ok: ${sentence}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED: ${sentence}: ${error.name === "Error" ? "" : `${error.name}: `}${error.message}`);
  }
}
console.log(`${Object.keys(promises).length - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
