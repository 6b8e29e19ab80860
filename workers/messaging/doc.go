// Package messaging is the communication-hub: messages between agents, durable in
// Redis Streams, one log per mailbox. Any hub serves any agent; package frame
// describes the WebSocket's frames, JSON by default and binary batches on request.
//
// A mailbox is an agent's inbox, or a topic ("topic:NAME"). A topic's message is
// stored once and read by all who subscribe (fan-out on read): storing costs the
// same for one reader and for a thousand, and a reader that is away costs nothing.
//
// HTTP beside the WebSocket:
//
//	POST /v1/messages {to, from, body}, header Idempotency-Key
//	  201 {id, cursor, duplicate:false}; 200 with duplicate:true for a repeat
//	GET /v1/messages?of=ADDRESS[&cursor=C][&limit=N]
//	  200 {messages, cursor}; without a cursor: what the agent has not acknowledged
//	POST /v1/messages/ack {of, cursor}
//	  200 {acknowledged}; everything up to the cursor is done
//
// Errors, on the WebSocket {code, message}, over HTTP {error:{code, message, fields[]}}:
//
//	code              HTTP  when                                        do
//	malformed_frame   400   not JSON, not items, bytes too many         mend the client
//	invalid_address   400   no such name of an agent or a topic         write it as the message says
//	invalid_argument  400   another field is not valid                  mend it; the message says what is expected
//	permission_denied 403   the token speaks for another agent          use that agent's own; docs/access.md has the door's codes
//	payload_too_large 413   a body over 64 KiB                          send less
//	id_conflict       409   the id had another body within 10 minutes   take another id
//	cursor_ahead      409   the mailbox ends before the cursor          begin without a cursor
//	inbox_full        503   10,000 messages not acknowledged            send again later
//	out_of_sequence         a numbered message before it is not stored  send from there, or begin a new producer at 1
//	overloaded        503   64 MiB wait for Redis in this hub           send again later
//	unavailable       503   Redis did not confirm within 6 s, draining  send again under the same id: it may be stored
//	too_many_topics         a session has 64 subscriptions              use another agent
//
// Every 503 has Retry-After. A frame over 1 MiB (JSON: 68 KiB) ends the socket with 1009.
// Any valid name is a mailbox's: a message may come before its agent does.
//
// At least once, and each message once per identity: an id (10 minutes), or a
// producer and its number, dense for each mailbox, which is exact for 7 days and
// costs a field of a hash however many messages it numbers. Order per mailbox is the order
// of the cursors; what one session sends to one mailbox keeps its order.
//
// What all sessions send is committed in groups: one pipeline to each master,
// and while it is under way the next one gathers (committer). Reads are grouped
// likewise: one pipeline to each node for all sessions that are behind (feeds). A
// blocking XREAD would need a connection per slot in a cluster; announcements
// over Pub/Sub wake the reader instead, and it looks by itself each second. A
// session that is not behind gets what this hub stores from memory, if it
// follows its cursor without a gap; for one that is, it is kept until the fetcher
// has caught up with it.
//
// Stored means: in the master's memory and on its way to its AOF; with
// HIVE_REDIS_WAIT=N also in N replicas. Without it a node's crash may take back the
// last second (appendfsync everysec). Cursors carry Redis's time, so that a
// message that takes a lost one's number is not mistaken for it.
//
// Bounds: an inbox holds 10,000 messages not acknowledged, then sends to it are
// refused (a slow agent must not fill Redis); a topic keeps its newest 10,000
// rounds and drops older ones, which a jump in the cursor's number shows; an
// untouched mailbox goes after 7 days. A session buffers 256 KiB of messages;
// what is beyond it stays in Redis until the client has read. A client that does
// not read for 5 s, or for whom 4,096 answers pile up, is closed with 4008 and
// finds everything in its inbox when it comes back; the code can only follow the
// frame that is stuck, for which it has another 5 s. A session with 4 MiB on their
// way to Redis is not read further.
//
// Time: a node rests between two rounds as long as the last one took, 1 to 5 ms, and
// the Go client holds what follows a frame back until that is answered, for at most
// 10 ms. Both sides of a frame, a round and a write cost the same for one
// message and for a hundred: at 64 agents with 700 messages a second each, the fixed
// costs alone filled two cores before.
//
// A drain takes nothing more in from its sockets, waits for Redis on what it has
// taken in, writes the answers, and only then closes with 1001. A send without an
// answer is the client's to repeat.
//
// Metrics:
//
//	leanvibe_messages_total                messages stored
//	leanvibe_message_events_total{event}   delivered, acknowledged, duplicate, refused
//	leanvibe_hub_sessions                  WebSockets open
//	leanvibe_hub_closed_total{reason}      draining, slow, replaced, client, error
//	leanvibe_hub_waiting_bytes             messages that wait for Redis
//	leanvibe_message_commit_duration_ms    histogram, per batch; taken in to stored
//	leanvibe_message_delivery_duration_ms  histogram, per batch; taken in to written to the agent's socket
package messaging
