package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// temporal reads runs through the user interface's own HTTP API. Nothing is started here: that is the browser's part.
type temporal struct{ base string }

// execution is what the server says of a run.
type execution struct {
	ID, RunID, Type, Status string
}

func (e execution) running() bool { return e.Status == "WORKFLOW_EXECUTION_STATUS_RUNNING" }

// report are the fields of a procedure's result that the test holds against the world.
type report struct {
	Procedure string `json:"procedure"`
	Outcome   string `json:"outcome"`
	Reason    string `json:"reason"`
	Steps     []struct {
		Name    string `json:"name"`
		Target  string `json:"target"`
		Outcome string `json:"outcome"`
		Changed bool   `json:"changed"`
		Note    string `json:"note"`
	} `json:"steps"`
}

func (s temporal) get(ctx context.Context, path string, into any) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+path, nil)
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return answer.StatusCode, fmt.Errorf("%s answers %s", path, answer.Status)
	}
	return answer.StatusCode, json.NewDecoder(answer.Body).Decode(into)
}

// describe reads the latest run of an ID; found is false where there is none.
func (s temporal) describe(ctx context.Context, id string) (found bool, e execution, err error) {
	var body struct {
		Info struct {
			Execution struct {
				WorkflowID string `json:"workflowId"`
				RunID      string `json:"runId"`
			} `json:"execution"`
			Type struct {
				Name string `json:"name"`
			} `json:"type"`
			Status string `json:"status"`
		} `json:"workflowExecutionInfo"`
	}
	code, err := s.get(ctx, "/api/v1/namespaces/ops/workflows/"+url.PathEscape(id), &body)
	if code == http.StatusNotFound {
		return false, execution{}, nil
	}
	i := body.Info
	return err == nil, execution{i.Execution.WorkflowID, i.Execution.RunID, i.Type.Name, i.Status}, err
}

// ended waits until the run has ended and answers how.
func (s temporal) ended(ctx context.Context, t *testing.T, run execution) execution {
	t.Helper()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		// An answer that fails is asked again: the platform may be restarted in the middle of a run.
		found, now, err := s.describe(ctx, run.ID)
		if err == nil && found {
			require.Equal(t, run.RunID, now.RunID, "another run of %s has begun", run.ID)
			if !now.running() {
				return now
			}
		}
		select {
		case <-ctx.Done():
			require.FailNow(t, "the run has not ended", "%s: %v (last answer: %v, %v)", run.ID, ctx.Err(), now, err)
		case <-tick.C:
		}
	}
}

// result reads what a completed run answered.
func (s temporal) result(ctx context.Context, t *testing.T, run execution) report {
	t.Helper()
	var body struct {
		History struct {
			Events []struct {
				Completed struct {
					Result struct {
						Payloads []struct {
							Data string `json:"data"`
						} `json:"payloads"`
					} `json:"result"`
				} `json:"workflowExecutionCompletedEventAttributes"`
			} `json:"events"`
		} `json:"history"`
	}
	_, err := s.get(ctx, "/api/v1/namespaces/ops/workflows/"+url.PathEscape(run.ID)+"/history-reverse?execution.runId="+run.RunID, &body)
	require.NoError(t, err)
	require.NotEmpty(t, body.History.Events)
	payloads := body.History.Events[0].Completed.Result.Payloads // the last event comes first
	require.Len(t, payloads, 1, "a completed run answers one report")
	raw, err := base64.StdEncoding.DecodeString(payloads[0].Data)
	require.NoError(t, err)
	var r report
	require.NoError(t, json.Unmarshal(raw, &r), "%s", raw)
	return r
}
