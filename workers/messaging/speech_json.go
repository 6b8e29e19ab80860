package messaging

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/coder/websocket"

	"github.com/leanvibe/hive/api/frame"
)

// jsonSpeech is one JSON frame in each text message.
type jsonSpeech struct{}

func (jsonSpeech) limit() int64 { return frameMax }

// joins: an answer is a message of its own.
func (jsonSpeech) joins() bool { return false }

func (j jsonSpeech) hello(s *session, c frame.Cursor) {
	j.answer(s, &frame.Frame{Type: frame.Hello, Agent: s.agent, Cursor: c.String(), Instance: s.hub.instance})
}

func (jsonSpeech) answer(s *session, f *frame.Frame) {
	s.answer(func(b []byte) []byte {
		raw, err := json.Marshal(f)
		if err != nil {
			s.end(endError)
		}
		return append(b, raw...)
	})
}

func (j jsonSpeech) hear(ctx context.Context, s *session, kind websocket.MessageType, raw []byte) {
	var f frame.Frame
	err := errors.New("frames are JSON text; binary ones need the subprotocol " + frame.Subprotocol)
	if kind == websocket.MessageText {
		err = json.Unmarshal(raw, &f)
	}
	if err != nil {
		j.refuse(s, frame.Frame{Code: codeMalformed, Message: err.Error()})
		return
	}
	switch f.Type {
	case frame.Send:
		j.send(s, f)
	case frame.Ack:
		j.ack(ctx, s, f)
	case frame.Subscribe:
		j.subscribe(ctx, s, f)
	case frame.Unsubscribe:
		if !frame.ValidTopic(f.Topic) {
			j.refuse(s, frame.Frame{ID: f.ID, Topic: f.Topic, Code: codeAddress, Message: "topic " + topicForm})
			return
		}
		if !s.shut(f.Topic) {
			j.refuse(s, frame.Frame{ID: f.ID, Topic: f.Topic, Code: codeInvalid, Message: "topic must be one that you have subscribed to"})
			return
		}
		j.answer(s, &frame.Frame{Type: frame.Unsubscribed, ID: f.ID, Topic: f.Topic})
	case frame.Ping:
		// Who pings after an acknowledgement finds it done.
		if s.unflushed != (frame.Cursor{}) {
			j.flush(ctx, s)
		}
		j.answer(s, &frame.Frame{Type: frame.Pong, ID: f.ID})
	default:
		j.refuse(s, frame.Frame{ID: f.ID, Code: codeInvalid, Message: "unknown type; known: send, ack, ping, subscribe, unsubscribe"})
	}
}

func (j jsonSpeech) refuse(s *session, f frame.Frame) {
	f.Type = frame.Error
	j.answer(s, &f)
}

func (j jsonSpeech) send(s *session, f frame.Frame) {
	l := letter{From: s.agent, To: f.To, ID: f.ID, Body: f.Body}
	problems, err := l.check()
	if err != nil {
		j.refuse(s, frame.Frame{ID: f.ID, Code: codeTooLarge, Message: err.Error()})
		return
	}
	if problems != nil {
		j.refuse(s, frame.Frame{ID: f.ID, Code: codeFor(problems), Message: problems[0].Field + " " + problems[0].Problem})
		return
	}
	s.send([]*chunk{l.chunk()}, func(_ *chunk, o outcome) {
		if o.err != nil {
			j.refuse(s, frame.Frame{ID: f.ID, Code: codeOf(o.err), Message: o.err.Error()})
			return
		}
		j.answer(s, &frame.Frame{Type: frame.Sent, ID: f.ID, Cursor: o.cursor.String(), Duplicate: o.duplicate})
	})
}

func (j jsonSpeech) ack(ctx context.Context, s *session, f frame.Frame) {
	c, err := frame.ParseCursor(f.Cursor)
	switch {
	case err != nil:
		j.refuse(s, frame.Frame{ID: f.ID, Code: codeInvalid, Message: "cursor " + cursorForm})
		return
	case f.Topic != "" && !frame.ValidTopic(f.Topic):
		j.refuse(s, frame.Frame{ID: f.ID, Topic: f.Topic, Code: codeAddress, Message: "topic " + topicForm})
		return
	}
	if f.Topic == "" {
		s.unflushed = c
		s.hub.commits.ack(s.agent, c, func() {
			j.refuse(s, frame.Frame{ID: f.ID, Cursor: f.Cursor, Code: codeAhead, Message: ErrAhead.Error()})
		})
		return
	}
	if err := s.hub.store.read(ctx, f.Topic, s.agent, c); err != nil {
		s.hub.countError("redis")
		j.refuse(s, frame.Frame{ID: f.ID, Cursor: f.Cursor, Code: codeUnavailable, Message: err.Error()})
	}
}

// flush commits at once what acknowledgements have gathered.
func (j jsonSpeech) flush(ctx context.Context, s *session) {
	c := s.unflushed
	s.unflushed = frame.Cursor{}
	n, err := s.hub.store.ack(ctx, s.agent, c)
	switch {
	case err == nil:
		s.hub.metrics.count("acknowledged", n)
	case !errors.Is(err, ErrAhead): // which the gathered one answers
		s.hub.countError("redis")
		j.refuse(s, frame.Frame{Cursor: c.String(), Code: codeUnavailable, Message: err.Error()})
	}
}

func (j jsonSpeech) subscribe(ctx context.Context, s *session, f frame.Frame) {
	var c frame.Cursor
	problem, code := "", codeInvalid
	if !frame.ValidTopic(f.Topic) {
		problem, code = "topic "+topicForm, codeAddress
	} else if f.Cursor != "" {
		var err error
		if c, err = frame.ParseCursor(f.Cursor); err != nil {
			problem = "cursor " + cursorForm
		}
	}
	if problem != "" {
		j.refuse(s, frame.Frame{ID: f.ID, Topic: f.Topic, Code: code, Message: problem})
		return
	}
	ok, err := s.subscribe(ctx, f.Topic, c, func(c frame.Cursor) {
		j.answer(s, &frame.Frame{Type: frame.Subscribed, ID: f.ID, Topic: f.Topic, Cursor: c.String()})
	})
	switch {
	case err != nil:
		j.refuse(s, frame.Frame{ID: f.ID, Topic: f.Topic, Code: codeOf(err), Message: err.Error()})
	case !ok:
		j.refuse(s, frame.Frame{ID: f.ID, Topic: f.Topic, Code: codeTooMany, Message: fmt.Sprintf("a session subscribes to at most %d topics", topicsMax)})
	}
}

func (jsonSpeech) say(ctx context.Context, s *session, queue []outgoing) error {
	for i := range queue {
		if queue[i].entry == nil {
			if err := s.conn.Write(ctx, websocket.MessageText, queue[i].answers); err != nil {
				return err
			}
			continue
		}
		frames, err := deliveries(&queue[i])
		if err != nil {
			return err
		}
		for _, f := range frames {
			raw, err := json.Marshal(f)
			if err != nil {
				return err
			}
			if err := s.conn.Write(ctx, websocket.MessageText, raw); err != nil {
				return err
			}
		}
	}
	return nil
}

// deliveries are an entry's messages, without those that the client has.
func deliveries(o *outgoing) ([]*frame.Frame, error) {
	at := frame.Cursor{MS: o.entry.cursor.MS, N: o.entry.cursor.N - o.entry.count}
	topic := ""
	if isTopic(o.address) {
		topic = o.address
	}
	var out []*frame.Frame
	for rest := o.entry.records; len(rest) > 0; {
		rec, next, err := frame.NextRecord(rest)
		if err != nil {
			return nil, err
		}
		rest = next
		sentAt := time.UnixMicro(int64(rec.AtMicros)).UTC()
		messages := rec.Messages
		for i := range rec.Count {
			id, body, left, err := frame.NextMessage(messages)
			if err != nil {
				return nil, err
			}
			messages = left
			at.N++
			if !at.After(o.after) {
				continue
			}
			f := &frame.Frame{Type: frame.Deliver, ID: string(id), From: rec.From, Topic: topic, Cursor: at.String(), SentAt: &sentAt}
			if f.ID == "" && rec.Seq > 0 {
				f.ID = fmt.Sprintf("%s.%d", rec.Producer, rec.Seq+i)
			}
			if json.Valid(body) {
				f.Body = body
			} else {
				f.Data = body
			}
			out = append(out, f)
		}
	}
	return out, nil
}
