// Package frame defines the JSON frames that agents and the communication-hub
// exchange over the WebSocket at GET /v1/hub/connect?agent=ID[&cursor=C].
//
// The hub greets with hello, then delivers the agent's inbox in order, beginning
// after the cursor (without one: after the last acknowledged message). Delivery
// is at least once: a message stays in the inbox until an ack names its cursor or
// a later one; who reconnects gets everything after its cursor again, on any hub.
//
//	client to hub                          hub answers
//	{type:send, id, to, body}              {type:sent, id, cursor, duplicate}
//	{type:ack, cursor[, topic]}            nothing
//	{type:subscribe, id, topic[, cursor]}  {type:subscribed, id, topic, cursor}
//	{type:unsubscribe, id, topic}          {type:unsubscribed, id, topic}
//	{type:ping, id}                        {type:pong, id}
//	anything else                          {type:error, id, code, message}
//
// To an agent's id the message lies in its inbox; to "topic:NAME" it is stored
// once and delivered, with its topic, to all who have subscribed. Acknowledging a
// topic's message forgets nothing, it only remembers where the agent stands.
//
// A browser sends its token as the subprotocol bearer.TOKEN, beside hive.json.v1:
// it needs one that the hub can agree to.
//
// Who asks for the subprotocol hive.batch.v1 speaks binary frames instead (Item).
//
// A send repeated with its id within ten minutes is answered duplicate: true and
// stored once; with another body it is an error, id_conflict. Close codes: 1001 the hub drains, connect again; 4008 the client
// reads too slowly; 4009 the agent connected again elsewhere.
package frame

import (
	"encoding/json"
	"time"
)

// Kind is a frame's type.
type Kind string

// The kinds of frames.
const (
	Hello   Kind = "hello"
	Send    Kind = "send"
	Sent    Kind = "sent"
	Deliver Kind = "deliver"
	Ack     Kind = "ack"
	Ping    Kind = "ping"
	Pong    Kind = "pong"
	Error   Kind = "error"

	Subscribe    Kind = "subscribe"
	Subscribed   Kind = "subscribed"
	Unsubscribe  Kind = "unsubscribe"
	Unsubscribed Kind = "unsubscribed"
)

// SubprotocolJSON is the subprotocol of JSON frames, which is also spoken without one.
const SubprotocolJSON = "hive.json.v1"

// Close codes beside those of RFC 6455.
const (
	// CloseSlow: the client did not read for 5 s, or its answers pile up.
	CloseSlow = 4008
	// CloseReplaced: the agent has connected again.
	CloseReplaced = 4009
)

// Frame is one JSON frame; each kind uses some of the fields.
type Frame struct {
	Type Kind `json:"type"`
	// ID is the sender's own name of a message or ping; of a numbered producer
	// whose messages have no names, PRODUCER.NUMBER.
	ID string `json:"id,omitempty"`
	// To is an agent or a topic, From an agent.
	To   string `json:"to,omitempty"`
	From string `json:"from,omitempty"`
	// Topic is "topic:" and a name; empty: the inbox.
	Topic string `json:"topic,omitempty"`
	// Cursor is a message's place in its inbox.
	Cursor string `json:"cursor,omitempty"`
	// Body is any JSON value, at most 64 KiB.
	Body json.RawMessage `json:"body,omitempty"`
	// Data is the body of a message whose sender did not write JSON.
	Data []byte `json:"data,omitempty"`
	// SentAt is when the hub stored the message.
	SentAt *time.Time `json:"sent_at,omitempty"`
	// Duplicate: the message had been stored before.
	Duplicate bool `json:"duplicate,omitempty"`
	// Agent and Instance say in a hello who is connected to whom.
	Agent    string `json:"agent,omitempty"`
	Instance string `json:"instance,omitempty"`
	// Code and Message say in an error what is wrong.
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
}
