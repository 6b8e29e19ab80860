package messaging

import (
	"context"
	"fmt"
	"sync"

	"github.com/coder/websocket"

	"github.com/leanvibe/hive/api/frame"
)

// batchSpeech is frame.Subprotocol.
type batchSpeech struct{}

// buffers are for frames on their way out.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 64<<10); return &b }}

// frameGoal is where a frame is full enough to be sent.
const frameGoal = 128 << 10

func (batchSpeech) limit() int64 { return frame.BatchMax }

func (batchSpeech) hello(s *session, c frame.Cursor) outgoing {
	return outgoing{item: frame.Item{Op: frame.OpHello, Address: s.agent, Cursor: c, Message: s.hub.instance}}
}

func wrong(address, code, message string) outgoing {
	return outgoing{item: frame.Item{Op: frame.OpError, Address: address, Code: code, Message: message}}
}

func (b batchSpeech) hear(ctx context.Context, s *session, kind websocket.MessageType, raw []byte) {
	if kind != websocket.MessageBinary {
		s.answer(wrong("", codeMalformed, "frames of "+frame.Subprotocol+" are binary"))
		return
	}
	for len(raw) > 0 {
		it, rest, err := frame.NextItem(raw)
		if err != nil {
			s.answer(wrong("", codeMalformed, err.Error()))
			return
		}
		raw = rest
		b.handle(ctx, s, &it)
	}
}

func (b batchSpeech) handle(ctx context.Context, s *session, it *frame.Item) {
	switch it.Op {
	case frame.OpSend:
		b.send(s, it)
	case frame.OpAck:
		if it.Address != s.agent && it.Address != "" && !validTopic(it.Address) {
			s.answer(wrong(it.Address, codeAddress, "address must be your own, or a topic's"))
			return
		}
		if !validTopic(it.Address) {
			s.hub.commits.ack(s.agent, it.Cursor, func() { s.answer(wrong(s.agent, codeAhead, ErrAhead.Error())) })
		} else if err := s.hub.store.read(ctx, it.Address, s.agent, it.Cursor); err != nil {
			s.hub.countError("redis")
			s.answer(wrong(it.Address, codeUnavailable, err.Error()))
		}
	case frame.OpSubscribe:
		b.subscribe(ctx, s, it)
	case frame.OpUnsubscribe:
		if !validTopic(it.Address) {
			s.answer(wrong(it.Address, codeAddress, "address "+topicForm))
			return
		}
		if !s.shut(it.Address) {
			s.answer(wrong(it.Address, codeInvalid, "address must be a topic that you have subscribed to"))
		}
	case frame.OpPing:
		s.answer(outgoing{item: frame.Item{Op: frame.OpPong, Message: it.Message}})
	default:
		s.answer(wrong("", codeInvalid, fmt.Sprintf("unknown item %q; known: S, A, U, N, P", rune(it.Op))))
	}
}

func (batchSpeech) subscribe(ctx context.Context, s *session, it *frame.Item) {
	if !validTopic(it.Address) {
		s.answer(wrong(it.Address, codeAddress, "address "+topicForm))
		return
	}
	ok, err := s.subscribe(ctx, it.Address, it.Cursor, func(c frame.Cursor) {
		s.answer(outgoing{item: frame.Item{Op: frame.OpSubscribed, Address: it.Address, Cursor: c}})
	})
	switch {
	case err != nil:
		s.answer(wrong(it.Address, codeOf(err), err.Error()))
	case !ok:
		s.answer(wrong(it.Address, codeTooMany, fmt.Sprintf("a session subscribes to at most %d topics", topicsMax)))
	}
}

func (batchSpeech) send(s *session, it *frame.Item) {
	refuse := func(seq uint64, code, message string) {
		s.answer(outgoing{item: frame.Item{
			Op: frame.OpRefused, Address: it.Address, Producer: it.Producer, Seq: seq, Code: code, Message: message,
		}})
	}
	if message, code := checkBatch(it); code != "" {
		s.hub.metrics.count("refused", int(min(it.Count, frame.BatchMax)))
		refuse(it.Seq, code, message)
		return
	}
	last := it.Seq + it.Count - 1
	s.send(&chunk{to: it.Address, producer: it.Producer, seq: it.Seq, count: it.Count, messages: it.Body}, func(o outcome) {
		if o.err != nil {
			refuse(it.Seq, codeOf(o.err), o.err.Error())
			return
		}
		s.answer(outgoing{item: frame.Item{Op: frame.OpSent, Address: it.Address, Producer: it.Producer, Seq: last, Cursor: o.cursor}})
	})
}

// seqMax is what the scripts can count to.
const seqMax = 1 << 50

// checkBatch names what is wrong with a send.
func checkBatch(it *frame.Item) (message, code string) {
	switch {
	case !validAddress(it.Address):
		return "to " + addressForm, codeAddress
	case !producerPattern.MatchString(it.Producer):
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
		case len(id) > 0 && !idPattern.Match(id):
			return "id " + idForm, codeInvalid
		}
		rest = next
	}
	if len(rest) > 0 {
		return fmt.Sprintf("%d bytes follow the last of %d messages", len(rest), it.Count), codeMalformed
	}
	return "", ""
}

func (batchSpeech) say(ctx context.Context, s *session, queue []outgoing) error {
	pooled := buffers.Get().(*[]byte)
	buf := (*pooled)[:0]
	defer func() { *pooled = buf[:0]; buffers.Put(pooled) }()
	for i := range queue {
		it := &queue[i].item
		if e := queue[i].entry; e != nil {
			it = &frame.Item{Op: frame.OpDeliver, Address: queue[i].address, Cursor: e.cursor, Count: e.count, Body: e.records}
		}
		buf = frame.AppendItem(buf, it)
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
