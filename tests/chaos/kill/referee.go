package kill

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
)

// Server is what the referee asks whether a reply was taken; every client.Client has it.
type Server interface {
	// Accepted says that the server has taken the reply of the meeting's attempt.
	Accepted(ctx context.Context, m Meeting) (bool, error)
}

// Referee holds the orders of a run and decides at each meeting. Whatever it decided has been noted before anybody
// dies, so an order is carried out at most once.
type Referee struct {
	// Kill ends the victim and returns once it is dead; who keeps it running starts it again.
	Kill func(context.Context, Victim) error
	// Server says whether a reply was taken.
	Server Server

	mu     sync.Mutex
	orders []Order
	taken  []Order
	// nth are the acts met so far, by procedure and step.
	nth map[string][]string
	// after are orders whose act has been met, and which wait for its reply.
	after  map[string]Order
	failed error
	work   sync.WaitGroup
}

// Arm gives the referee a run's orders, and makes it forget the run before.
func (r *Referee) Arm(orders []Order) {
	r.work.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.orders, r.taken, r.failed = slices.Clone(orders), nil, nil
	r.nth, r.after = map[string][]string{}, map[string]Order{}
}

// Taken are the orders that were carried out, in time's order; the error says what kept a kill from happening.
func (r *Referee) Taken() ([]Order, error) {
	r.work.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.taken), r.failed
}

// Serve answers meetings on the unix socket until the context ends.
func (r *Referee) Serve(ctx context.Context, socket string) error {
	r.Arm(nil)
	_ = os.Remove(socket) // one that a killed kit left
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "unix", socket)
	if err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var m Meeting
		if err := json.NewDecoder(req.Body).Decode(&m); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(w).Encode(answer{Die: r.meet(ctx, m)}) // who asked may be dead already
	})}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	go func() { _ = server.Serve(listener) }() // ends with Close alone
	return nil
}

// meet decides. It returns once a victim other than the asker is dead.
func (r *Referee) meet(ctx context.Context, m Meeting) (die bool) {
	o, found := r.take(m)
	if !found {
		return false
	}
	if o.Point == After {
		r.work.Go(func() { r.killAfter(ctx, o, m) })
		return false
	}
	if o.Victim == OpsWorker {
		return true
	}
	r.note(r.Kill(ctx, o.Victim))
	return false
}

// take finds the order for a meeting and notes it as carried out.
func (r *Referee) take(m Meeting) (Order, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	kind := m.Procedure + " " + m.Step
	if !slices.Contains(r.nth[kind], m.act()) {
		r.nth[kind] = append(r.nth[kind], m.act())
	}
	nth := slices.Index(r.nth[kind], m.act()) + 1
	for i, o := range r.orders {
		if o.Procedure == m.Procedure && o.Step == m.Step && o.Nth == nth && m.Done == (o.Point != Before) {
			r.orders = slices.Delete(r.orders, i, i+1)
			r.taken = append(r.taken, o)
			return o, true
		}
	}
	return Order{}, false
}

// acceptMax is far above the time that a reply takes to be taken.
const acceptMax = 20 * time.Second

// killAfter waits until the server has taken the reply, and kills then.
func (r *Referee) killAfter(ctx context.Context, o Order, m Meeting) {
	ctx, cancel := context.WithTimeout(ctx, acceptMax)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		taken, err := r.Server.Accepted(ctx, m)
		if err == nil && taken {
			r.note(r.Kill(ctx, o.Victim))
			return
		}
		select {
		case <-ctx.Done():
			r.note(errors.Join(errors.New(o.String()+": the reply was never taken"), err))
			return
		case <-tick.C:
		}
	}
}

func (r *Referee) note(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = errors.Join(r.failed, err)
}

// Asking asks a Temporal server.
type Asking struct{ Client client.Client }

// Accepted implements Server: the act is pending no more, or waits for another attempt.
func (a Asking) Accepted(ctx context.Context, m Meeting) (bool, error) {
	d, err := a.Client.DescribeWorkflowExecution(ctx, m.Workflow, m.Run)
	if err != nil {
		return false, err
	}
	for _, p := range d.GetPendingActivities() {
		if p.GetActivityId() == m.Activity {
			return p.GetState() == enums.PENDING_ACTIVITY_STATE_SCHEDULED || p.GetAttempt() > m.Attempt, nil
		}
	}
	return true, nil
}
