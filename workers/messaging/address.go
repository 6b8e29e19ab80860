package messaging

import (
	"errors"
	"strings"

	"github.com/leanvibe/hive/api/frame"
)

const (
	agentForm    = "must be 1 to 128 of letters, digits, '.', '_', '-', beginning with a letter or digit"
	addressForm  = agentForm + "; a topic has 'topic:' before it, for example topic:news"
	topicForm    = "must be 'topic:' and 1 to 128 of letters, digits, '.', '_', '-', for example topic:news"
	idForm       = "must be at most 200 printable ASCII characters without blanks"
	producerForm = "must be 1 to 64 of letters, digits, '.', '_', '-'"
	cursorForm   = "must be one that the hub sent, for example 1764039152639-17"
)

// Reasons for which a message is not stored; doc.go has the table.
var (
	// ErrFull: the inbox holds its most.
	ErrFull = errors.New("the inbox is full: its agent has not acknowledged 10000 messages; send again later")
	// ErrConflict: the id names another message.
	ErrConflict = errors.New("the sender used this id within 10 minutes for a message with another body: take another id")
	// ErrAhead: the cursor is not one of the mailbox's.
	ErrAhead = errors.New("the cursor is behind the mailbox's end: it is not the mailbox's, or its message was lost; begin without a cursor")
	// ErrGap: a numbered producer's predecessor is not stored.
	ErrGap = errors.New("out of sequence: the message before it is not stored; send from there, or begin a new producer at 1")
	// ErrAway: Redis did not confirm the message in time. It may be stored: send it again under the same id.
	ErrAway = errors.New("redis did not confirm the message in time: send it again under the same id")
	// ErrBusy: the hub holds as many messages as it may.
	ErrBusy = errors.New("the hub has too many messages waiting for redis: send again later")
)

func isTopic(address string) bool { return strings.HasPrefix(address, frame.TopicPrefix) }

func validAddress(address string) bool { return frame.ValidAgent(address) || frame.ValidTopic(address) }

func logKey(address string) string   { return "hub:{" + address + "}:log" }
func stateKey(address string) string { return "hub:{" + address + "}:state" }
func numbersKey(address, generation string) string {
	return "hub:{" + address + "}:numbers:" + generation
}
func markKey(address, from, id string) string { return "hub:{" + address + "}:seen:" + from + ":" + id }
func readerKey(address, reader string) string { return "hub:{" + address + "}:reader:" + reader }
