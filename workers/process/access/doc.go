// Package access decides who may call a service, how much a caller may send, and
// how long a slow one is waited for. Every service has it through package process;
// docs/access.md is its page.
//
// Three doors stand one behind the other:
//
//	Certificate   TLS, when a pair is configured; read again when its files change
//	Guard         the body's limit, and time for whoever sends or reads slowly
//	Door          the bearer token, its role, and the table of who may what
//
// A refusal is one sentence with a code and a reason of its own, in the form that
// the caller speaks: JSON for REST and Connect, a status for gRPC.
package access
