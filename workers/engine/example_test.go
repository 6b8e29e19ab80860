package engine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/leanvibe/hive/workers/engine"
)

// upper is a handler of one's own: it answers the payload's words in capitals.
func upper(ctx context.Context, task *engine.Task) ([]byte, error) {
	words := strings.Fields(string(task.Payload))
	if len(words) == 0 {
		return nil, engine.Permanent(errors.New("there are no words in the payload"))
	}
	for i, w := range words {
		if err := ctx.Err(); err != nil {
			return nil, err // the deadline, the lease or the grace is over
		}
		words[i] = strings.ToUpper(w)
		task.Progress(float64(i+1)/float64(len(words)), w)
	}
	return []byte(strings.Join(words, " ")), nil
}

// A handler is an ordinary function, so a test needs no engine.
func ExampleHandler() {
	var h engine.Handler = engine.HandlerFunc(upper)
	result, err := h.Handle(context.Background(), &engine.Task{Payload: []byte("take this")})
	fmt.Printf("%s %v\n", result, err)

	_, err = h.Handle(context.Background(), &engine.Task{})
	var failure *engine.Failure
	fmt.Println(errors.As(err, &failure) && failure.Permanent, err)
	// Output:
	// TAKE THIS <nil>
	// true there are no words in the payload
}

// An engine in a program of one's own, until it is told to end.
func ExampleNew() {
	e, err := engine.New(engine.Config{
		Orchestrator: "http://nginx",
		Agents:       []engine.Agents{{Name: "upper", Count: 4, Handlers: []string{"upper"}}},
	}, engine.WithHandler("upper", engine.HandlerFunc(upper)))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := e.Run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}
