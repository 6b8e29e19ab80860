// Package messaging is the communication-hub: messages between agents, durable in
// Redis Streams, one stream per inbox. Any hub serves any agent; package frame
// describes the WebSocket's frames.
//
// HTTP beside the WebSocket:
//
//	POST /v1/messages {to, from, body}, header Idempotency-Key
//	  201 {id, cursor, duplicate:false}; 200 with duplicate:true for a repeat
//	  400 invalid_argument with fields[], 413 body over 64 KiB,
//	  503 Redis away, inbox full, or draining; with Retry-After
//
// Bounds: an inbox holds 10,000 messages not acknowledged, then sends to it are
// refused (a slow agent must not fill Redis); an untouched inbox goes after 7
// days. A session buffers 256 frames; a client that does not read for 5 s, or
// whose answers fill that buffer, is closed with 4008 and finds everything in its
// inbox when it comes back.
//
// Metrics:
//
//	leanvibe_messages_total                messages stored
//	leanvibe_message_events_total{event}   delivered, acknowledged, duplicate, refused
//	leanvibe_hub_sessions                  WebSockets open
//	leanvibe_hub_closed_total{reason}      draining, slow, replaced, client, error
//	leanvibe_message_delivery_duration_ms  histogram; stored to written to the agent's socket
package messaging
