// Enrol one photo, and search with another:
//   FR_SERVER=HOST:PORT FR_CA=ca.pem FR_KEY_FILE=key node search.js GALLERY SUBJECT ENROL.jpg PROBE.jpg
// Without FR_CA and FR_KEY_FILE, it calls a server on this machine that asks for no key.
// The .proto files are read as they are; nothing is generated.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";
import protobuf from "protobufjs";

const PROTO = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "proto");
const definition = protoLoader.loadSync("fr_api/v1/gallery.proto", {
  includeDirs: [PROTO],
  keepCase: true,
  enums: String,
  longs: String,
});
const { fr_api } = grpc.loadPackageDefinition(definition);

// The parts of google/rpc/status.proto and error_details.proto that hold the reason.
const { root } = protobuf.parse(`
  syntax = "proto3";
  message Any { string type_url = 1; bytes value = 2; }
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message ErrorInfo { string reason = 1; string domain = 2; map<string, string> metadata = 3; }
`);

// The reason of a refusal; nothing for an error of this machine, such as a file that is not there.
function reasonOf(error) {
  if (!error.metadata) return undefined;
  const [bytes] = error.metadata.get("grpc-status-details-bin") ?? [];
  const details = bytes ? root.lookupType("Status").decode(bytes).details : [];
  const info = details.find(({ typeUrl }) => typeUrl.endsWith("/google.rpc.ErrorInfo"));
  return info ? root.lookupType("ErrorInfo").decode(info.value).reason : (grpc.status[error.code] ?? error.code);
}

function credentials({ FR_CA, FR_KEY_FILE }) {
  if (!FR_CA) return grpc.credentials.createInsecure();
  const tls = grpc.credentials.createSsl(readFileSync(FR_CA));
  if (!FR_KEY_FILE) throw new Error("FR_KEY_FILE names no file with a key.");
  const key = readFileSync(FR_KEY_FILE, "utf8").trim();
  if (!/^[!-~]+$/.test(key)) throw new Error("The file of FR_KEY_FILE holds no key: one line, without spaces.");
  const bearer = grpc.credentials.createFromMetadataGenerator((_, done) => {
    const metadata = new grpc.Metadata();
    metadata.set("authorization", `Bearer ${key}`);
    done(null, metadata);
  });
  return grpc.credentials.combineChannelCredentials(tls, bearer);
}

const [gallery_id, subject_id, enrolPath, probePath] = process.argv.slice(2);
if (!probePath) {
  console.error("Usage: node search.js GALLERY SUBJECT ENROL.jpg PROBE.jpg");
  process.exit(2);
}
let client;
const call = (method, request) =>
  new Promise((resolve, reject) =>
    client[method](request, { deadline: Date.now() + 60_000 }, (error, response) =>
      error ? reject(error) : resolve(response),
    ),
  );

try {
  client = new fr_api.v1.GalleryService(process.env.FR_SERVER ?? "localhost:50061", credentials(process.env));
  await call("Enrol", { gallery_id, subject_id, face: { image: { data: readFileSync(enrolPath) } } }).catch((error) => {
    if (reasonOf(error) !== "DUPLICATE_IMAGE") throw error;
    console.log("already enrolled");
  });
  const answer = await call("Search", {
    gallery_id,
    probe: { image: { data: readFileSync(probePath) } },
    top_k: 5,
    purpose: "PURPOSE_TESTING",
    case_reference: "first try",
  });
  for (const { rank, subject_id, similarity, above_threshold } of answer.results[0].candidates) {
    console.log(`${rank}  ${subject_id}  ${similarity.toFixed(4)}  ${above_threshold ? "lead" : "below threshold"}`);
  }
  console.log(answer.notice);
} catch (error) {
  const reason = reasonOf(error);
  console.error(reason ? `${reason}: ${error.details}` : error.message);
  process.exitCode = 1;
} finally {
  client?.close();
}
