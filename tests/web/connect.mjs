// Makes every call with one answer by @connectrpc/connect, in JSON and in protobuf; prints how each ended.
import { readFileSync } from "node:fs";
import { createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";

const [, , baseUrl, key, file] = process.argv;
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(file)));
const authorize = (next) => (request) => {
  request.header.set("authorization", `Bearer ${key}`);
  return next(request);
};

for (const useBinaryFormat of [false, true]) {
  const transport = createConnectTransport({ baseUrl, httpVersion: "1.1", useBinaryFormat, interceptors: [authorize] });
  for (const service of registry) {
    if (service.kind !== "service" || !service.typeName.startsWith("fr_api.v1.")) continue;
    const client = createClient(service, transport);
    for (const method of service.methods) {
      if (method.methodKind !== "unary") continue;
      let told = ["", "OK"];
      try {
        await client[method.localName]({}, { timeoutMs: 60_000 });
      } catch (error) {
        const found = ConnectError.from(error);
        const info = found.findDetails(registry).find((one) => one.$typeName === "google.rpc.ErrorInfo");
        told = [Code[found.code], info?.reason ?? ""];
      }
      console.log(JSON.stringify([useBinaryFormat, `/${service.typeName}/${method.name}`, ...told]));
    }
  }
}
