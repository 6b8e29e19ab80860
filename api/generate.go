// Package api holds the definition of the hot path's protocol: hive/v1 for
// tasks (protobuf, served with connect), place for the partition of a queue, frame and
// hub for messages (frames, and the hub's Go client), and client, the Go client of agents
// and submitters.
//
// To change the protocol, edit hive/v1/assignment.proto and run
//
//	go install github.com/bufbuild/buf/cmd/buf@v1.75.0
//	go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
//	go install connectrpc.com/connect/cmd/protoc-gen-connect-go@v1.21.1
//	go generate ./api
package api

//go:generate buf generate
