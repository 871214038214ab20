// Create a gallery, enrol one photo, search it with another:
//   node search.js HOST:PORT GALLERY SUBJECT ENROL.jpg PROBE.jpg
// The .proto files are read as they are; nothing is generated.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

const PROTO = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "proto");
const definition = protoLoader.loadSync("fr_api/v1/gallery.proto", {
  includeDirs: [PROTO],
  keepCase: true,
  enums: String,
  longs: String,
});
const { fr_api } = grpc.loadPackageDefinition(definition);

const [address, gallery_id, subject_id, enrolPath, probePath] = process.argv.slice(2);
const client = new fr_api.v1.GalleryService(address, grpc.credentials.createInsecure());
const call = (method, request) =>
  new Promise((resolve, reject) =>
    client[method](request, (error, response) => (error ? reject(error) : resolve(response))),
  );

try {
  await call("CreateGallery", { gallery_id });
  await call("Enrol", { gallery_id, subject_id, face: { image: { data: readFileSync(enrolPath) } } });
  const answer = await call("Search", { gallery_id, probe: { image: { data: readFileSync(probePath) } }, top_k: 5 });
  for (const { rank, subject_id, similarity, above_threshold } of answer.results[0].candidates) {
    console.log(`${rank}  ${subject_id}  ${similarity.toFixed(4)}  ${above_threshold ? "lead" : "below threshold"}`);
  }
  console.log(answer.notice);
} catch (error) {
  console.error(`${grpc.status[error.code]}: ${error.details}`);
  process.exitCode = 1;
} finally {
  client.close();
}
