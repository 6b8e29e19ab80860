package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// payloadSize is the size of a task in bytes.
const payloadSize = 128

// stampSize is one number in a payload: 16 hexadecimal digits.
const stampSize = 16

// filler pads payloads; printable, since some peers carry tasks as JSON.
var filler = strings.Repeat("0a4f7c19e2b35d86", 6)

// epoch is where the run's clock starts. One clock, monotonic, read only by the
// client process: no difference between two machines' clocks is in any figure.
var epoch = time.Now()

func now() time.Duration { return time.Since(epoch) }

// Task is one task as it is submitted.
type Task struct {
	ID      uint64
	Payload []byte
}

// newTask makes a task that was due at an instant of the run's clock.
func newTask(id uint64, due time.Duration) Task {
	return Task{id, fmt.Appendf(make([]byte, 0, payloadSize), "%016x%016x%s", id, uint64(due), filler)}
}

var errPayload = errors.New("a task's payload is not the one that was sent")

// parse reads a payload back.
func parse(payload []byte) (id uint64, due time.Duration, err error) {
	if len(payload) < 2*stampSize {
		return 0, 0, errPayload
	}
	var raw [stampSize]byte
	if _, err := hex.Decode(raw[:], payload[:2*stampSize]); err != nil {
		return 0, 0, errPayload
	}
	var at uint64
	for i := range stampSize / 2 {
		id = id<<8 | uint64(raw[i])
		at = at<<8 | uint64(raw[stampSize/2+i])
	}
	return id, time.Duration(at), nil
}
