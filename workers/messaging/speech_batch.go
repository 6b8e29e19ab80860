package messaging

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"github.com/coder/websocket"

	"github.com/leanvibe/hive/api/frame"
)

// batchSpeech is frame.Subprotocol; what it holds is the reader's.
type batchSpeech struct {
	names frame.Names
	// The last producer, and its name for the script: a session has one, mostly.
	producer string
	sender   any
}

// buffers are for frames on their way out.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 64<<10); return &b }}

// frameGoal is where a frame is full enough to be sent.
const frameGoal = 128 << 10

func (*batchSpeech) limit() int64 { return frame.BatchMax }

// joins: answers stand one behind the other.
func (*batchSpeech) joins() bool { return true }

func (b *batchSpeech) hello(s *session, c frame.Cursor) {
	b.answer(s, &frame.Item{Op: frame.OpHello, Address: s.agent, Cursor: c, Message: s.hub.instance})
}

func (*batchSpeech) answer(s *session, it *frame.Item) {
	s.answer(func(out []byte) []byte { return frame.AppendItem(out, it) })
}

func (b *batchSpeech) wrong(s *session, address, code, message string) {
	b.answer(s, &frame.Item{Op: frame.OpError, Address: address, Code: code, Message: message})
}

func (b *batchSpeech) hear(ctx context.Context, s *session, kind websocket.MessageType, raw []byte) {
	if kind != websocket.MessageBinary {
		b.wrong(s, "", codeMalformed, "frames of "+frame.Subprotocol+" are binary")
		return
	}
	var sent intake
	raw = bytes.Clone(raw) // what is sent stays until it is stored
	for len(raw) > 0 {
		it, rest, err := b.names.NextItem(raw)
		if err != nil {
			b.wrong(s, "", codeMalformed, err.Error())
			break
		}
		raw = rest
		if it.Op == frame.OpSend {
			b.send(s, &sent, &it)
			continue
		}
		// What stood before it goes first.
		b.store(s, &sent)
		b.handle(ctx, s, &it)
	}
	b.store(s, &sent)
}

func (b *batchSpeech) handle(ctx context.Context, s *session, it *frame.Item) {
	switch it.Op {
	case frame.OpAck:
		if it.Address != s.agent && it.Address != "" && !frame.ValidTopic(it.Address) {
			b.wrong(s, it.Address, codeAddress, "address must be your own, or a topic's")
			return
		}
		if !frame.ValidTopic(it.Address) {
			s.hub.commits.ack(s.agent, it.Cursor, func() { b.wrong(s, s.agent, codeAhead, ErrAhead.Error()) })
		} else if err := s.hub.store.read(ctx, it.Address, s.agent, it.Cursor); err != nil {
			s.hub.countError("redis")
			b.wrong(s, it.Address, codeUnavailable, err.Error())
		}
	case frame.OpSubscribe:
		b.subscribe(ctx, s, it)
	case frame.OpUnsubscribe:
		if !frame.ValidTopic(it.Address) {
			b.wrong(s, it.Address, codeAddress, "address "+topicForm)
			return
		}
		if !s.shut(it.Address) {
			b.wrong(s, it.Address, codeInvalid, "address must be a topic that you have subscribed to")
		}
	case frame.OpPing:
		b.answer(s, &frame.Item{Op: frame.OpPong, Message: it.Message})
	default:
		b.wrong(s, "", codeInvalid, fmt.Sprintf("unknown item %q; known: S, A, U, N, P", rune(it.Op)))
	}
}

func (b *batchSpeech) subscribe(ctx context.Context, s *session, it *frame.Item) {
	if !frame.ValidTopic(it.Address) {
		b.wrong(s, it.Address, codeAddress, "address "+topicForm)
		return
	}
	ok, err := s.subscribe(ctx, it.Address, it.Cursor, func(c frame.Cursor) {
		b.answer(s, &frame.Item{Op: frame.OpSubscribed, Address: it.Address, Cursor: c})
	})
	switch {
	case err != nil:
		b.wrong(s, it.Address, codeOf(err), err.Error())
	case !ok:
		b.wrong(s, it.Address, codeTooMany, fmt.Sprintf("a session subscribes to at most %d topics", topicsMax))
	}
}

// send takes a send item in, or refuses it.
func (b *batchSpeech) send(s *session, sent *intake, it *frame.Item) {
	if message, code := checkBatch(it); code != "" {
		s.hub.metrics.count("refused", int(min(it.Count, frame.BatchMax)))
		b.refuse(s, it.Address, it.Producer, it.Seq, code, message)
		return
	}
	if b.producer != it.Producer {
		b.producer, b.sender = it.Producer, senderOf(s.agent, it.Producer)
	}
	ch := sent.add()
	ch.to, ch.from, ch.producer, ch.sender = it.Address, s.agent, it.Producer, b.sender
	ch.seq, ch.first, ch.count, ch.messages = it.Seq, it.Seq, it.Count, it.Body
}

// store hands on what a frame has sent so far.
func (b *batchSpeech) store(s *session, sent *intake) {
	if list := sent.take(); len(list) > 0 {
		s.send(list, func(ch *chunk, o outcome) { b.stored(s, ch, o) })
	}
}

// stored answers a send.
func (b *batchSpeech) stored(s *session, ch *chunk, o outcome) {
	if o.err != nil {
		b.refuse(s, ch.to, ch.producer, ch.first, codeOf(o.err), o.err.Error())
		return
	}
	b.answer(s, &frame.Item{Op: frame.OpSent, Address: ch.to, Producer: ch.producer, Seq: ch.seq + ch.count - 1, Cursor: o.cursor})
}

func (b *batchSpeech) refuse(s *session, to, producer string, seq uint64, code, message string) {
	b.answer(s, &frame.Item{Op: frame.OpRefused, Address: to, Producer: producer, Seq: seq, Code: code, Message: message})
}

// seqMax is what the scripts can count to.
const seqMax = 1 << 50

// checkBatch names what is wrong with a send.
func checkBatch(it *frame.Item) (message, code string) {
	switch {
	case !validAddress(it.Address):
		return "to " + addressForm, codeAddress
	case !frame.ValidProducer(it.Producer):
		return "producer " + producerForm, codeInvalid
	case it.Seq == 0 || it.Seq > seqMax:
		return "seq must be the number of the first message, from 1 on, without gaps for each address", codeInvalid
	case it.Count == 0 || it.Count > inboxMax/2:
		return fmt.Sprintf("count must be 1 to %d", inboxMax/2), codeInvalid
	}
	rest := it.Body
	for n := range it.Count {
		id, body, next, err := frame.NextMessage(rest)
		switch {
		case err != nil:
			return fmt.Sprintf("message %d of %d: %s", n+1, it.Count, err), codeMalformed
		case len(body) > MaxBody:
			return errTooLarge.Error(), codeTooLarge
		case !frame.ValidID(id):
			return "id " + idForm, codeInvalid
		}
		rest = next
	}
	if len(rest) > 0 {
		return fmt.Sprintf("%d bytes follow the last of %d messages", len(rest), it.Count), codeMalformed
	}
	return "", ""
}

func (*batchSpeech) say(ctx context.Context, s *session, queue []outgoing) error {
	pooled := buffers.Get().(*[]byte)
	buf := (*pooled)[:0]
	defer func() { *pooled = buf[:0]; buffers.Put(pooled) }()
	for i := range queue {
		if e := queue[i].entry; e != nil {
			buf = frame.AppendItem(buf, &frame.Item{Op: frame.OpDeliver, Address: queue[i].address, Cursor: e.cursor, Count: e.count, Body: e.records})
		} else {
			buf = append(buf, queue[i].answers...)
		}
		if len(buf) < frameGoal && i < len(queue)-1 {
			continue
		}
		if err := s.conn.Write(ctx, websocket.MessageBinary, buf); err != nil {
			return err
		}
		buf = buf[:0]
	}
	return nil
}
