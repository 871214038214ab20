// `go mod tidy` adds gRPC and protobuf.
module fr-core.example/search

go 1.22
