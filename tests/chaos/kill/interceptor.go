package kill

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"syscall"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
)

// New returns the interceptor that asks the referee on the unix socket at every act. It stands outside of the
// product's own interceptors, so that what they do (the gate, the ledger) lies on the step's side of the kill.
func New(socket string) interceptor.WorkerInterceptor {
	var d net.Dialer
	return &killer{http: &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return d.DialContext(ctx, "unix", socket)
	}}}}
}

type killer struct {
	interceptor.WorkerInterceptorBase
	http *http.Client
}

// InterceptActivity implements interceptor.WorkerInterceptor.
func (k *killer) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	a := &act{killer: k}
	a.Next = next
	return a
}

type act struct {
	interceptor.ActivityInboundInterceptorBase
	killer *killer
}

// ExecuteActivity implements interceptor.ActivityInboundInterceptor.
func (a *act) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	i := activity.GetInfo(ctx)
	m := Meeting{
		Procedure: i.WorkflowType.Name, Step: i.ActivityType.Name, Workflow: i.WorkflowExecution.ID, Run: i.WorkflowExecution.RunID,
		Activity: i.ActivityID, Attempt: i.Attempt,
	}
	if err := a.killer.ask(m); err != nil {
		return nil, err
	}
	out, failed := a.Next.ExecuteActivity(ctx, in)
	m.Done = true
	if err := a.killer.ask(m); err != nil {
		return nil, err
	}
	return out, failed
}

// ask tells the referee of the act and does what it says. It takes no part in the act's context: a cancelled act is met
// like any other.
func (k *killer) ask(m Meeting) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	res, err := k.http.Post("http://referee/", "application/json", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("the chaos kit's referee does not answer, so nothing is done: %w", err)
	}
	defer res.Body.Close()
	var said answer
	if err := json.NewDecoder(res.Body).Decode(&said); err != nil {
		return fmt.Errorf("the chaos kit's referee: %w", err)
	}
	if said.Die {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the kernel ends this process; nothing may happen meanwhile
	}
	return nil
}
